//! Exchanges, queues, bindings and policies: those of `queue-topology/`, and no others.

mod condition;
mod found;
mod wanted;

use quaestor_core::jobs::Step;

pub use condition::Condition;
pub use found::{Difference, Topology, TopologyError};
pub use wanted::{Binding, Exchange, Policy, QueueShape, Wanted, WantedError};

/// Every job goes through this exchange, with its step as the routing key.
pub const JOBS_EXCHANGE: &str = "qs.jobs.v1";
/// What no version of the program can read ends here.
pub const DEAD_QUEUE: &str = "qs.dead.v1";

/// The queue of a step.
#[must_use]
pub fn queue_of(step: Step) -> &'static str {
    match step {
        Step::ChatRetrieve => "qs.chat.retrieve.v1",
        Step::ChatGenerate => "qs.chat.generate.v1",
        Step::DocumentsIngest => "qs.documents.ingest.v1",
        Step::DocumentsEmbed => "qs.documents.embed.v1",
        Step::CollectionsReindex => "qs.collections.reindex.v1",
        Step::ExportsWrite => "qs.exports.write.v1",
    }
}
