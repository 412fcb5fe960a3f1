//! Writes every request to a provider down: for the bill, and for the metrics.

use std::sync::Arc;

use quaestor_core::metrics;
use quaestor_core::model::Usage;
use quaestor_core::ports::model_call::{CallLog, CallOutcome, ModelCall, Operation};

/// What a call costs, in millionths of the currency that prices are configured in.
pub type CostOf = Arc<dyn Fn(&str, Operation, &Usage) -> u64 + Send + Sync>;

/// The labels of metrics on a model: provider, model and operation.
pub(super) fn labels(model: &str, operation: Operation) -> [metrics::SharedString; 3] {
    let provider = metrics::provider_of(model).to_owned();
    [provider.into(), model.to_owned().into(), operation.as_str().into()]
}

/// Puts the price on a call, counts it, and writes it down. Returns what it cost in all.
pub(crate) fn enter(log: &CallLog, cost_of: &CostOf, mut call: ModelCall) -> Usage {
    if call.outcome != CallOutcome::Failed {
        call.usage.cost_micros = cost_of(&call.model, call.operation, &call.usage);
    }
    let usage = call.usage;
    let labels = labels(&call.model, call.operation);
    metrics::MODEL_INPUT_TOKENS.of(labels.clone()).increment(usage.input_tokens);
    metrics::MODEL_OUTPUT_TOKENS.of(labels.clone()).increment(usage.output_tokens);
    metrics::MODEL_COST.of(labels.clone()).increment(usage.cost_micros);
    let took = metrics::seconds(call.started_at, call.ended_at);
    metrics::MODEL_CALL_SECONDS.of(labels.clone()).record(took);
    let [provider, model, operation] = labels;
    let outcome = call.outcome.as_str().into();
    metrics::MODEL_CALLS.of([provider, model, operation, outcome]).increment(1);
    log.push(call);
    usage
}
