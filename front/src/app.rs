//! The front at work: what the routes share beyond what the composition root hands in.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::Time;
use quaestor_core::ids::JobId;
use quaestor_core::model::{Allowance, Caller};
use quaestor_core::ports::limits::{Admission, Quota};
use quaestor_core::ports::store::NewAuditEntry;
use tokio_util::task::TaskTracker;

use crate::Front;
use crate::admission::{Gate, refused};
use crate::auth::Keys;
use crate::http::health::HealthCache;
use crate::http::metrics::Scraped;
use crate::http::route::RateClass;
use crate::jobs::Standings;
use crate::problem::{ApiError, chain};
use crate::server::Stop;

/// The state of the router. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

/// What [`App`] shares.
pub(crate) struct Inner {
    pub(crate) front: Arc<Front>,
    /// Keys that were good a moment ago.
    pub(crate) keys: Keys,
    /// The last answer of the health checks.
    pub(crate) health: HealthCache,
    /// What the last scrape of the metrics read.
    pub(crate) scraped: Scraped,
    /// Cancelled when the process is to stop.
    pub(crate) stop: Stop,
    /// How much work waits, as it was a moment ago.
    pub(crate) gate: Gate,
    /// Why queued jobs do not run, as it was a moment ago.
    pub(crate) standings: Standings,
    /// Waits for uploads, sockets and connections at the end.
    pub(crate) tasks: TaskTracker,
    pub(crate) started_at: Time,
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl App {
    pub(crate) fn new(front: Arc<Front>, stop: Stop, tasks: TaskTracker) -> Self {
        let started_at = front.clock.now();
        Self(Arc::new(Inner {
            front,
            keys: Keys::default(),
            health: HealthCache::default(),
            scraped: Scraped::default(),
            stop,
            gate: Gate::default(),
            standings: Standings::default(),
            tasks,
            started_at,
        }))
    }
}

impl Inner {
    /// An entry for the audit log.
    pub(crate) fn audit(
        &self,
        caller: &Caller,
        action: &'static str,
        subject: impl std::fmt::Display,
    ) -> NewAuditEntry {
        NewAuditEntry {
            id: self.front.ids.next(),
            principal_id: caller.principal_id,
            action,
            subject: subject.to_string(),
            at: self.front.clock.now(),
        }
    }

    /// Counts a request of a principal against the quota of its class.
    pub(crate) async fn admit(&self, caller: &Caller, class: RateClass) -> Result<(), ApiError> {
        let quotas = &self.front.settings.quotas;
        let (name, quota) = match class {
            RateClass::Open => return Ok(()),
            RateClass::Read => ("read", quotas.read),
            RateClass::Write => ("write", quotas.write),
            RateClass::Ask => ("ask", quotas.ask),
            RateClass::Search => ("search", quotas.search),
            RateClass::Upload => ("upload", quotas.upload),
            RateClass::Admin => ("admin", quotas.admin),
            RateClass::Socket => ("socket", quotas.socket),
        };
        self.count(&format!("{name}:{}", caller.principal_id), quota).await
    }

    /// Refuses work that needs a model while a hard budget of the caller is used up.
    pub(crate) async fn admit_cost(&self, caller: &Caller) -> Result<(), ApiError> {
        let budgets = &self.front.budgets;
        match budgets.allowance(caller.workspace_id, caller.principal_id).await? {
            Allowance::Within | Allowance::Soft => Ok(()),
            Allowance::Over(over) => {
                Err(refused("budget", ApiError::over_budget(&over, self.front.clock.now())))
            }
        }
    }

    /// The same for work that embeds text, where that costs anything.
    pub(crate) async fn admit_embedding(&self, caller: &Caller) -> Result<(), ApiError> {
        if self.front.settings.embedding_costs { self.admit_cost(caller).await } else { Ok(()) }
    }

    /// Counts one under a name.
    pub(crate) async fn count(&self, name: &str, quota: Quota) -> Result<(), ApiError> {
        match self.front.limits.admit(name, quota).await {
            Admission::Admitted => Ok(()),
            Admission::RetryAfter(wait) => Err(refused("rate", ApiError::rate_limited(wait))),
        }
    }

    /// Keeps in the audit log that a caller named an id that is not there for it. Bounded
    /// per caller, so that guessing ids does not fill the log.
    pub(crate) async fn record_denied(&self, caller: &Caller, subject: &str) {
        quaestor_core::metrics::HTTP_DENIED.of([]).increment(1);
        let name = format!("denied:{}", caller.principal_id);
        if self.count(&name, self.front.settings.quotas.denied_audit).await.is_err() {
            return;
        }
        let entry = self.audit(caller, "authz_denied", subject);
        if let Err(error) = self.front.store.record_audit(caller.workspace_id, entry).await {
            tracing::warn!(error = %chain(&error), "could not keep a refusal in the audit log");
        }
    }

    /// A random part of a time, so that clients that are sent away do not all come back at
    /// once.
    pub(crate) fn spread(&self, within: Duration) -> Duration {
        let mut random = [0; 2];
        self.front.entropy.fill(&mut random);
        within.mul_f64(f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX))
    }

    /// Removes files that nothing names any more. A failure leaves a file behind and is
    /// told to the operator; the request has had its effect.
    pub(crate) async fn delete_objects(&self, keys: impl IntoIterator<Item = String>) {
        use quaestor_core::ports::objects::ObjectKey;
        for key in keys {
            let deleted = match ObjectKey::parse(&key) {
                Ok(key) => self.front.objects.delete(&key).await,
                Err(error) => Err(error),
            };
            if let Err(error) = deleted {
                tracing::warn!(
                    object.key = %key,
                    error = %chain(&error),
                    "a stored file could not be removed and stays behind"
                );
            }
        }
    }

    /// Appends an event without waiting long: the store is the truth, and whoever watches
    /// finds the end of the job there.
    pub(crate) async fn append_event(
        &self,
        caller: &Caller,
        job: JobId,
        attempt: u32,
        event: quaestor_core::events::Event,
    ) {
        self.append_events(caller, job, attempt, vec![event]).await;
    }

    /// The same for events that belong together.
    pub(crate) async fn append_events(
        &self,
        caller: &Caller,
        job: JobId,
        attempt: u32,
        events: Vec<quaestor_core::events::Event>,
    ) {
        /// An event log that is away must not hold up an acceptance.
        const PATIENCE: Duration = Duration::from_millis(250);
        let append = self.front.events.append(caller.workspace_id, job, attempt, events);
        tokio::select! {
            appended = append => if let Err(error) = appended {
                tracing::warn!(job.id = %job, error = %chain(&error), "an event was not logged");
            },
            () = self.front.clock.sleep(PATIENCE) => {
                tracing::warn!(job.id = %job, "an event was not logged in time");
            }
        }
    }
}
