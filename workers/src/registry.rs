//! Which handler runs which step: one line each.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use futures::future::BoxFuture;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::jobs::Step;
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::store::Claim;
use quaestor_core::problem::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::emitter::Emitter;
use crate::following::{Carried, Following};
use crate::handlers::{embed, export, generate, ingest, reindex, retrieve};

/// A claimed step, as its handler sees it.
#[derive(Debug)]
pub(crate) struct Running {
    /// The tenant.
    pub(crate) workspace: WorkspaceId,
    /// The claim; every write carries it.
    pub(crate) claim: Claim,
    /// For whom models are called, and until when.
    pub(crate) scope: CallScope,
    /// Tells the watchers.
    pub(crate) emitter: Emitter,
    /// Cancelled when somebody wants the job stopped: end soon, and keep what stands.
    pub(crate) cancel: CancellationToken,
    /// Whether the step got further in this attempt, in the store: then what stops it now is
    /// the first thing that does.
    pub(crate) progressed: AtomicBool,
    /// What the step before has handed on.
    pub(crate) carried: Carried,
    /// The steps that may follow at once.
    pub(crate) following: Following,
}

/// Runs one step of a kind of job.
#[async_trait]
pub(crate) trait Handler: Send + Sync + 'static {
    /// The step.
    const STEP: Step;
    /// What the step's message carries.
    type Payload: DeserializeOwned + Send;

    /// Does the work. Everything that must survive is committed when this returns.
    async fn run(
        context: &Context,
        job: &Running,
        payload: Self::Payload,
    ) -> Result<Outcome, Decision>;
}

type ErasedHandler = Arc<
    dyn for<'a> Fn(&'a Context, &'a Running, Value) -> BoxFuture<'a, Result<Outcome, Decision>>
        + Send
        + Sync,
>;

/// The handlers of this program.
pub(crate) struct Registry {
    handlers: HashMap<Step, ErasedHandler>,
}

impl Registry {
    /// Every handler there is. A new kind of job adds its line here.
    pub(crate) fn of_all() -> Self {
        let mut registry = Self { handlers: HashMap::new() };
        registry.register::<retrieve::Retrieve>();
        registry.register::<generate::Generate>();
        registry.register::<ingest::Ingest>();
        registry.register::<embed::Embed>();
        registry.register::<reindex::Reindex>();
        registry.register::<export::Export>();
        registry
    }

    fn register<H: Handler>(&mut self) {
        let erased: ErasedHandler = Arc::new(|context, job, payload| {
            Box::pin(async move {
                let payload = serde_json::from_value(payload).map_err(|error| {
                    // A payload that does not decode now will not decode later.
                    Decision::Fail(Problem::new(
                        "bad_payload",
                        "The job's message cannot be read",
                        format!("the payload of {} does not decode: {error}", H::STEP),
                    ))
                })?;
                H::run(context, job, payload).await
            })
        });
        self.handlers.insert(H::STEP, erased);
    }

    /// The handler of a step.
    pub(crate) fn of(&self, step: Step) -> Option<ErasedHandler> {
        self.handlers.get(&step).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_handler() {
        let registry = Registry::of_all();
        for step in Step::ALL {
            assert!(registry.of(step).is_some(), "{step} has no handler");
        }
    }
}
