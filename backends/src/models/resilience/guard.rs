//! Stands before one model for one operation: breaker, retries, time limits, accounts.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::{Clock, Time};
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::{CallId, IdSource};
use quaestor_core::metrics;
use quaestor_core::model::{ProviderStatus, Usage};
use quaestor_core::ports::model_call::{
    BegunCall, CallOutcome, CallScope, ModelCall, Operation, Readiness,
};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::store::{CallsOf, Money};
use quaestor_core::trace;
use tracing::{Instrument, Span, warn};

use super::account::{self, CostOf};
use super::breaker::{Breaker, BreakerState, Rejected};
use super::policy::Policy;
use super::retry::{Retries, RetryBudget};
use crate::models::limits::Limited;
use crate::models::provider::LimitsTold;

/// A provider that asks to be left alone is left alone for at most this long.
const LONGEST_HOLD_OFF: Duration = Duration::from_secs(3600);
/// What the latest call weighs in the latency that is shown.
const LATENCY_WEIGHT: u64 = 5;

/// What every guard is given.
#[derive(Clone)]
pub struct Surroundings {
    /// The numbers.
    pub policy: Policy,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for the pauses between retries.
    pub entropy: Arc<dyn Entropy>,
    /// Prices.
    pub cost_of: CostOf,
    /// Where requests are named.
    pub ids: IdSource,
    /// Where a request is written down before it is sent; none where nobody is charged.
    pub ledger: Option<Arc<dyn Money>>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// What was counted since the process started.
#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    rejected: AtomicU64,
    failed_over: AtomicU64,
    latency_micros: AtomicU64,
    last_error: Mutex<Option<(ErrorClass, Time)>>,
}

/// Guards one model for one operation. Chains that name the same model share it.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) model: String,
    pub(crate) operation: Operation,
    pub(crate) around: Surroundings,
    breaker: Breaker,
    budget: RetryBudget,
    counts: Counts,
    /// What the provider allows the key, where that is configured.
    limited: Option<Limited>,
}

/// A request's name, when it was sent, and what it had reserved of the provider's limits.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) call: CallId,
    pub(crate) at: Time,
    pub(crate) reserved: u64,
    /// The span of the request in traces.
    pub(crate) span: Span,
}

/// A request that was sent and answered.
pub(crate) struct Sent<T> {
    pub(crate) answer: T,
    pub(crate) started: Started,
}

impl Guard {
    pub(crate) fn new(
        model: String,
        operation: Operation,
        around: Surroundings,
        limited: Option<Limited>,
    ) -> Self {
        Self {
            breaker: Breaker::new(around.policy.breaker, Arc::clone(&around.clock)),
            budget: RetryBudget::default(),
            counts: Counts::default(),
            limited,
            model,
            operation,
            around,
        }
    }

    pub(crate) fn error(&self, class: ErrorClass) -> ModelError {
        ModelError::new(&self.model, class)
    }

    /// Whether a call would be let through.
    pub(crate) fn readiness(&self) -> Readiness {
        match self.breaker.stands() {
            (_, Some(until), _) => Readiness::NotBefore(until),
            (BreakerState::Closed, None, _) => Readiness::Ready,
            (BreakerState::Open | BreakerState::HalfOpen, None, _) => Readiness::Trial,
        }
    }

    /// Sends a request until it is answered, fails for good, or is given up. Each attempt
    /// passes the breaker, may take as long as the first piece may, and is written down
    /// where it fails; where it succeeds the caller does that, who knows what it cost.
    /// It is taken to cost so much until then.
    pub(crate) async fn call<T, F>(
        &self,
        scope: &CallScope,
        expected: Usage,
        mut attempt: impl FnMut(CallId) -> F,
    ) -> Result<Sent<T>, ModelError>
    where
        F: Future<Output = Result<T, ModelError>>,
    {
        let retries = Retries {
            policy: self.around.policy.retry,
            budget: &self.budget,
            clock: &self.around.clock,
            entropy: &*self.around.entropy,
        };
        let again = |error: &ModelError| {
            self.counts.retried.fetch_add(1, Ordering::Relaxed);
            metrics::MODEL_RETRIES.of(self.labels()).increment(1);
            warn!(error = error as &dyn std::error::Error, "{} is asked again", self.model);
        };
        let tried = retries.run(
            || {
                let call: CallId = self.around.ids.next();
                let request = attempt(call);
                async move { self.once(scope, call, expected, request).await }
            },
            again,
        );
        let Some(deadline) = scope.deadline else { return tried.await };
        tokio::select! {
            biased;
            answer = tried => answer,
            () = self.around.clock.sleep_until(deadline) => {
                Err(self.error(ErrorClass::TooSlow).because("the deadline of the job has passed"))
            }
        }
    }

    async fn once<T>(
        &self,
        scope: &CallScope,
        call: CallId,
        expected: Usage,
        request: impl Future<Output = Result<T, ModelError>>,
    ) -> Result<Sent<T>, ModelError> {
        let permit = self.breaker.permit().map_err(|rejected| self.rejected(rejected))?;
        // After the breaker: what is not let through has reserved nothing.
        let tokens = expected.input_tokens + expected.output_tokens;
        self.reserve(tokens).await?;
        let span = trace::model_call(&self.model, self.operation);
        let started = Started { call, at: self.around.clock.now(), reserved: tokens, span };
        let request = request.instrument(started.span.clone());
        self.begin(scope, &started, expected.input_tokens).await?;
        self.counts.calls.fetch_add(1, Ordering::Relaxed);
        let mut unanswered =
            Unanswered { guard: self, scope, started: &started, request_id: None, told: false };
        let first = self.around.policy.timeouts.first;
        let answer = tokio::select! {
            biased;
            answer = request => answer,
            () = self.around.clock.sleep(first) => Err(self
                .error(ErrorClass::TooSlow)
                .because(format!("nothing came within {} s", first.as_secs()))),
        };
        match answer {
            Ok(answer) => {
                unanswered.told = true;
                permit.began();
                self.took(started.at);
                drop(unanswered);
                Ok(Sent { answer, started })
            }
            Err(error) => {
                unanswered.request_id.clone_from(&error.request_id);
                trace::model_failed(&started.span, error.class.as_str());
                if says_something_of_the_provider(error.class) {
                    permit.failed(error.class);
                }
                self.failed(&error);
                if let (Some(limited), Some(after)) = (&self.limited, error.retry_after) {
                    limited.refused(after.min(LONGEST_HOLD_OFF)).await;
                }
                Err(error)
            }
        }
    }

    /// Writes a request down before it is sent: should this process die, it is accounted all
    /// the same. Where that cannot be done it is not sent, as its answer could not be kept
    /// either; the provider is not to blame for that.
    async fn begin(
        &self,
        scope: &CallScope,
        started: &Started,
        input_tokens: u64,
    ) -> Result<(), ModelError> {
        let (Some(ledger), Some(principal_id)) = (&self.around.ledger, scope.principal) else {
            return Ok(());
        };
        let mut usage = Usage { input_tokens, ..Usage::default() };
        usage.cost_micros = (self.around.cost_of)(&self.model, self.operation, &usage);
        let call = BegunCall {
            id: started.call,
            model: self.model.clone(),
            operation: self.operation,
            usage,
            started_at: started.at,
        };
        let of = CallsOf { principal_id, job: scope.job };
        ledger.begin_call(scope.workspace, of, call).await.map_err(|error| {
            self.error(ErrorClass::NotSent)
                .because("it could not be written down before it was sent")
                .caused_by(error)
        })
    }

    /// Takes room for a request from what the provider allows the key.
    async fn reserve(&self, tokens: u64) -> Result<(), ModelError> {
        let Some(limited) = &self.limited else { return Ok(()) };
        limited.reserve(tokens).await.map_err(|wait| {
            metrics::MODEL_LIMIT_REACHED.of(self.labels()).increment(1);
            self.error(ErrorClass::LimitReached).retry_after(Some(wait))
        })
    }

    /// The provider tells what it still allows the key.
    pub(crate) fn told(&self, limits: &LimitsTold) {
        if let Some(limited) = &self.limited {
            limited.told(limits);
        }
    }

    /// Takes note of a failure: of a request, or of an answer that broke off.
    pub(crate) fn failed(&self, error: &ModelError) {
        let now = self.around.clock.now();
        *self.counts.last_error.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((error.class, now));
        if let Some(after) = error.retry_after {
            let after = TimeDelta::from_std(after.min(LONGEST_HOLD_OFF)).unwrap_or_default();
            self.breaker.hold_off(now + after);
        }
        self.tell_breaker();
    }

    /// An answer that had begun broke off: that counts as a failed call.
    pub(crate) fn broke_off(&self, error: &ModelError) {
        if says_something_of_the_provider(error.class) {
            self.breaker.note_failure(error.class);
        }
        self.failed(error);
    }

    /// Writes a request down that was answered, wholly or in part.
    pub(crate) fn enter(
        &self,
        scope: &CallScope,
        started: &Started,
        outcome: CallOutcome,
        request_id: Option<String>,
        usage: (Usage, bool),
    ) -> Usage {
        match outcome {
            CallOutcome::Done => self.breaker.note_success(),
            CallOutcome::Cut | CallOutcome::Failed | CallOutcome::Lost => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.tell_breaker();
        if let Some(limited) = &self.limited {
            limited.settle(started.reserved, usage.0.input_tokens + usage.0.output_tokens);
        }
        let call = ModelCall {
            id: started.call,
            model: self.model.clone(),
            operation: self.operation,
            request_id,
            usage: usage.0,
            estimated: usage.1,
            outcome,
            started_at: started.at,
            ended_at: self.around.clock.now(),
        };
        trace::model_answered(&started.span, &call.usage);
        account::enter(&scope.calls, &self.around.cost_of, call)
    }

    /// What this usage of the model costs.
    pub(crate) fn cost_micros(&self, usage: &Usage) -> u64 {
        (self.around.cost_of)(&self.model, self.operation, usage)
    }

    /// Another model of the chain stands in.
    pub(crate) fn failed_over(&self) {
        self.counts.failed_over.fetch_add(1, Ordering::Relaxed);
        metrics::MODEL_FAILOVERS.of(self.labels()).increment(1);
    }

    /// How it stands, for administrators.
    pub(crate) fn status(&self) -> ProviderStatus {
        let (state, until, _) = self.breaker.stands();
        let last = *self.counts.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = self.counts.latency_micros.load(Ordering::Relaxed);
        ProviderStatus {
            model: self.model.clone(),
            operation: self.operation.as_str().to_owned(),
            breaker: state.as_str().to_owned(),
            until,
            last_error: last.map(|(class, _)| class.as_str().to_owned()),
            last_error_at: last.map(|(_, at)| at),
            calls: self.counts.calls.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
            retried: self.counts.retried.load(Ordering::Relaxed),
            rejected: self.counts.rejected.load(Ordering::Relaxed),
            failed_over: self.counts.failed_over.load(Ordering::Relaxed),
            latency_ms: (latency > 0).then_some(latency.div_ceil(1000)),
        }
    }

    fn labels(&self) -> [metrics::SharedString; 3] {
        account::labels(&self.model, self.operation)
    }

    fn tell_breaker(&self) {
        let state = match self.breaker.stands().0 {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        metrics::MODEL_BREAKER.of(self.labels()).set(state);
    }

    fn took(&self, started_at: Time) {
        let micros = (self.around.clock.now() - started_at).num_microseconds().unwrap_or(0);
        let micros = u64::try_from(micros).unwrap_or(0).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a duration for a histogram")]
        metrics::MODEL_FIRST_PIECE.of(self.labels()).record(micros as f64 / 1e6);
        let before = self.counts.latency_micros.load(Ordering::Relaxed);
        let now = if before == 0 {
            micros
        } else {
            (before * (LATENCY_WEIGHT - 1) + micros) / LATENCY_WEIGHT
        };
        // Of two calls that end at once one is left out: it is a rough figure.
        self.counts.latency_micros.store(now, Ordering::Relaxed);
    }

    fn rejected(&self, rejected: Rejected) -> ModelError {
        let wait = (rejected.until - self.around.clock.now()).to_std().unwrap_or_default();
        self.counts.rejected.fetch_add(1, Ordering::Relaxed);
        metrics::MODEL_REJECTIONS.of(self.labels()).increment(1);
        match rejected.after {
            // Waiting does not make a key valid: who asks is told at once.
            Some(class @ (ErrorClass::Credentials | ErrorClass::Quota)) => self
                .error(class)
                .because("the last requests were refused for this, and it is not asked again yet"),
            _ => self.error(ErrorClass::BreakerOpen).retry_after(Some(wait)),
        }
    }
}

/// Whether the next caller would likely fare the same. A request that is wrong in itself
/// says nothing about the provider.
fn says_something_of_the_provider(class: ErrorClass) -> bool {
    class.was_sent()
        && (class.is_transient() || matches!(class, ErrorClass::Credentials | ErrorClass::Quota))
}

/// A request that was sent and has no answer yet. Whether it fails or is no longer wanted,
/// it is written down.
struct Unanswered<'a> {
    guard: &'a Guard,
    scope: &'a CallScope,
    started: &'a Started,
    request_id: Option<String>,
    told: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.told {
            let id = self.request_id.take();
            let nothing = (Usage::default(), false);
            self.guard.enter(self.scope, self.started, CallOutcome::Failed, id, nothing);
        }
    }
}
