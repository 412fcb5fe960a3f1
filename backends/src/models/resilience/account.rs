//! Writes every request to a provider down: for the bill, and for the metrics.

use std::sync::Arc;

use quaestor_core::model::Usage;
use quaestor_core::ports::model_call::{CallLog, CallOutcome, ModelCall, Operation};

/// What a call costs, in millionths of the currency that prices are configured in.
pub type CostOf = Arc<dyn Fn(&str, Operation, &Usage) -> u64 + Send + Sync>;

/// Puts the price on a call, counts it, and writes it down. Returns what it cost in all.
pub(crate) fn enter(log: &CallLog, cost_of: &CostOf, mut call: ModelCall) -> Usage {
    if call.outcome != CallOutcome::Failed {
        call.usage.cost_micros = cost_of(&call.model, call.operation, &call.usage);
    }
    let usage = call.usage;
    let labels = [("model", call.model.clone()), ("operation", call.operation.as_str().to_owned())];
    metrics::counter!("quaestor_model_input_tokens_total", &labels).increment(usage.input_tokens);
    metrics::counter!("quaestor_model_output_tokens_total", &labels).increment(usage.output_tokens);
    metrics::counter!("quaestor_model_cost_micros_total", &labels).increment(usage.cost_micros);
    metrics::counter!(
        "quaestor_model_calls_total",
        "model" => call.model.clone(),
        "operation" => call.operation.as_str(),
        "outcome" => call.outcome.as_str()
    )
    .increment(1);
    log.push(call);
    usage
}
