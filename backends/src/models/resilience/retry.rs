//! Sends a request again that failed in a way that may pass.
//!
//! The loop is `backoff`'s; the pauses are random between nothing and a limit that doubles
//! ("full jitter": M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015),
//! so that callers who failed together do not come back together. Only a share of all
//! requests are repetitions: a provider that is down is not asked three times as often.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::future::{Retry, Sleeper};
use quaestor_core::clock::Clock;
use quaestor_core::entropy::Entropy;
use quaestor_core::ports::model_error::ModelError;

use super::policy::RetryPolicy;

/// A repetition needs a whole one; this many are there at first.
const BUDGET_AT_FIRST: f64 = 3.0;
/// Each request earns this part of a repetition.
const BUDGET_PER_REQUEST: f64 = 0.1;
/// More are not saved up.
const BUDGET_AT_MOST: f64 = 10.0;

/// How many repetitions a provider is still worth.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<f64>);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(BUDGET_AT_FIRST))
    }
}

impl RetryBudget {
    /// A request is sent for the first time.
    pub(crate) fn earn(&self) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (*left + BUDGET_PER_REQUEST).min(BUDGET_AT_MOST);
    }

    /// Takes one repetition, if there is one.
    fn spend(&self) -> bool {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }
}

/// Random pauses below a limit that doubles.
struct FullJitter<'a> {
    policy: RetryPolicy,
    entropy: &'a dyn Entropy,
    limit: Duration,
}

impl Backoff for FullJitter<'_> {
    fn reset(&mut self) {
        self.limit = self.policy.pause;
    }

    fn next_backoff(&mut self) -> Option<Duration> {
        let limit = self.limit.min(self.policy.longest_pause);
        self.limit = limit.saturating_mul(2);
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        #[expect(clippy::cast_precision_loss, reason = "a part between 0 and 1")]
        let part = u64::from_le_bytes(bytes) as f64 / u64::MAX as f64;
        Some(limit.mul_f64(part))
    }
}

/// Sleeps by the application's clock.
struct ByClock(Arc<dyn Clock>);

impl Sleeper for ByClock {
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn sleep(&self, pause: Duration) -> Self::Sleep {
        let clock = Arc::clone(&self.0);
        Box::pin(async move { clock.sleep(pause).await })
    }
}

/// What retries go by.
#[derive(Clone, Copy)]
pub(crate) struct Retries<'a> {
    pub(crate) policy: RetryPolicy,
    pub(crate) budget: &'a RetryBudget,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) entropy: &'a dyn Entropy,
}

impl Retries<'_> {
    /// Tries until it succeeds, fails for good, or is tried often enough. `again` hears of
    /// each failure that is tried again. A request whose provider asks to be left alone,
    /// or that was not sent at all, is not tried again here: the job waits.
    pub(crate) async fn run<T, F>(
        self,
        mut attempt: impl FnMut() -> F,
        again: impl FnMut(&ModelError),
    ) -> Result<T, ModelError>
    where
        F: Future<Output = Result<T, ModelError>>,
    {
        let mut again = again;
        let mut tried = 0;
        self.budget.earn();
        let judged = || {
            tried += 1;
            let may_repeat = tried < self.policy.attempts;
            let attempt = attempt();
            async move {
                attempt.await.map_err(|error| {
                    let passes = error.class.is_transient()
                        && error.class.was_sent()
                        && error.retry_after.is_none();
                    if passes && may_repeat && self.budget.spend() {
                        backoff::Error::transient(error)
                    } else {
                        backoff::Error::permanent(error)
                    }
                })
            }
        };
        let pauses =
            FullJitter { policy: self.policy, entropy: self.entropy, limit: self.policy.pause };
        let notify = |error: ModelError, _: Duration| again(&error);
        Retry::new(ByClock(Arc::clone(self.clock)), pauses, notify, judged).await
    }
}
