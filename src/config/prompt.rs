//! How much does a model get to read and to write?

use serde::{Deserialize, Serialize};

/// The `[models.prompt]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptShares {
    /// At most so many tokens of passages.
    pub passage_tokens: u32,
    /// At most about so many tokens of what was said before; older turns are summarised.
    pub history_tokens: u32,
    /// At most so many tokens of answer.
    pub answer_tokens: u32,
}

impl Default for PromptShares {
    fn default() -> Self {
        Self { passage_tokens: 6_000, history_tokens: 1_500, answer_tokens: 1_500 }
    }
}
