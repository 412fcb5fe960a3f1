//! How a provider of models stands, as one process sees it.

use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// One model for one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// `provider:model`.
    pub model: String,
    /// `chat`, `embed` or `rerank`.
    pub operation: String,
    /// `closed` where calls go through, `open` where none does, `half_open` while one call
    /// is under way to see whether the provider is back.
    pub breaker: String,
    /// No call goes out before this.
    pub until: Option<Time>,
    /// The class of the last failure, such as `overloaded`.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<Time>,
    /// Requests sent since the process started.
    pub calls: u64,
    /// Those of them that failed or broke off.
    pub failed: u64,
    /// Those of them that were repetitions.
    pub retried: u64,
    /// How often another model of the chain stood in.
    pub failed_over: u64,
    /// How long the first piece, or the whole of a short answer, took of late, in
    /// milliseconds; null before the first.
    pub latency_ms: Option<u64>,
}
