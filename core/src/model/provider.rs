//! How a provider of models stands, as one process sees it.

use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// What processes tell about providers stands under this topic of the noticeboard, as a list
/// of [`ProviderStatus`].
pub const PROVIDERS_TOPIC: &str = "providers";

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
    /// How often a call was not let through.
    pub rejected: u64,
    /// How often another model of the chain stood in.
    pub failed_over: u64,
    /// How long the first piece, or the whole of a short answer, took of late, in
    /// milliseconds; null before the first.
    pub latency_ms: Option<u64>,
}

impl ProviderStatus {
    /// What two processes have seen of the same model: the worse state, the later error,
    /// the sum of the counts, and the mean of the latencies, by the calls they are of.
    #[must_use]
    pub fn together(self, other: Self) -> Self {
        let bad = |status: &Self| {
            ["closed", "half_open", "open"].iter().position(|s| *s == status.breaker)
        };
        let (worse, better) = if bad(&other) > bad(&self) { (other, self) } else { (self, other) };
        let later = better.last_error_at > worse.last_error_at;
        let latency_ms = match (worse.latency_ms, better.latency_ms) {
            (Some(one), Some(two)) => {
                let calls = (worse.calls + better.calls).max(1);
                Some((one * worse.calls + two * better.calls) / calls)
            }
            (one, two) => one.or(two),
        };
        Self {
            until: worse.until.max(better.until),
            last_error: if later { better.last_error } else { worse.last_error },
            last_error_at: worse.last_error_at.max(better.last_error_at),
            calls: worse.calls + better.calls,
            failed: worse.failed + better.failed,
            retried: worse.retried + better.retried,
            rejected: worse.rejected + better.rejected,
            failed_over: worse.failed_over + better.failed_over,
            latency_ms,
            model: worse.model,
            operation: worse.operation,
            breaker: worse.breaker,
        }
    }
}
