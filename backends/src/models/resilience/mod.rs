//! Calls of models that survive their providers. The only place that names `backoff` and
//! `failsafe`, and the only layer that tries anything again.
//!
//! From the outside in: the deadline of the job; the chain, which goes on to the next
//! model where one cannot answer (`chat`); retries with random pauses (`retry`); and
//! within each attempt the breaker (`breaker`) and the time that the first piece may take
//! (`guard`). Every request that was sent is written down with what it cost (`account`).
//!
//! Passages that several jobs want embedded share requests (`gather`).
//!
//! What waits longer than a few seconds does not wait here: the error says when it makes
//! sense to ask again, and the job is due then.

mod account;
mod breaker;
mod chat;
mod embed;
mod gather;
mod guard;
mod policy;
mod rerank;
mod retry;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use quaestor_core::model::ProviderStatus;
use quaestor_core::ports::model_call::Operation;

pub use account::CostOf;
pub use breaker::BreakerState;
pub use chat::{ChatChain, ChatLink};
pub use embed::GuardedEmbedder;
use guard::Guard;
pub use guard::Surroundings;
pub use policy::{BreakerPolicy, Policy, RetryPolicy, Timeouts};
pub use rerank::GuardedReranker;

use crate::models::limits::LimitsOf;

type ByModel = BTreeMap<(String, Operation), Arc<Guard>>;

/// The guards of a process: one for each model and operation, however many chains name it.
#[derive(Clone, Debug)]
pub struct Guards {
    around: Surroundings,
    limits_of: Option<Limits>,
    guards: Arc<Mutex<ByModel>>,
}

#[derive(Clone)]
struct Limits(LimitsOf);

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Guards {
    /// No guards yet.
    #[must_use]
    pub fn new(around: Surroundings) -> Self {
        Self { around, limits_of: None, guards: Arc::default() }
    }

    /// The same, with what providers allow a key.
    #[must_use]
    pub fn limited_by(mut self, limits_of: LimitsOf) -> Self {
        self.limits_of = Some(Limits(limits_of));
        self
    }

    fn of(&self, model: &str, operation: Operation) -> Arc<Guard> {
        let mut guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = guards.entry((model.to_owned(), operation)).or_insert_with(|| {
            let limited = self.limits_of.as_ref().and_then(|limits| limits.0(model));
            Arc::new(Guard::new(model.to_owned(), operation, self.around.clone(), limited))
        });
        Arc::clone(guard)
    }

    /// How each provider stands, in the order of their names.
    #[must_use]
    pub fn status(&self) -> Vec<ProviderStatus> {
        let guards = self.guards.lock().unwrap_or_else(PoisonError::into_inner);
        guards.values().map(|guard| guard.status()).collect()
    }
}
