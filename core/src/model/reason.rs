//! Why a job does not run: the one list of reasons.
//!
//! A reason that a worker gives stands on the job, with the time of the next try. What a
//! queued job waits for is worked out when somebody asks, and never where work is accepted
//! or claimed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($variant:ident = $code:literal: $sentence:literal;)+) => {
        /// Why a job does not run. `queue` and those up to `replay_paced` are worked out of
        /// how things stand; the others are what the last try ran into.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $(
                #[doc = $sentence]
                #[serde(rename = $code)]
                $variant,
            )+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// Their codes, in the same order.
            pub const CODES: &[&str] = &[$($code),+];

            /// The code in rows, JSON and metrics.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// What it means, for people.
            #[must_use]
            pub fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)+
                }
            }
        }
    };
}

reasons! {
    Queue = "queue": "it waits in its queue for a worker that is free";
    NoWorker = "no_worker": "no running worker takes its queue: start one";
    Unpublished = "unpublished": "it is not on its queue yet: the queue is full, or cannot be reached";
    ReplayPaced = "replay_paced": "it was replayed among others, which begin one after another";
    BatchPaused = "batch_paused": "its batch is paused; it goes on when the batch is resumed";
    WorkspaceBusy = "workspace_busy": "its workspace has as many questions at work as its share is; it is next when one of them ends";
    ReindexPaused = "reindex_paused": "the reindexing of its collection is paused: resume it";
    ReindexPaced = "reindex_paced": "it makes no more vectors in a minute than its rate says";
    IndexBuilding = "index_building": "the index over its vectors is being built, which the search needs before the switch";
    BudgetSpent = "budget_spent": "the budget is spent: it goes on when there is more, with the next day or month at the latest";
    GoesOn = "goes_on": "it has run for a while and lets others have a turn";
    ModelLimitReached = "model_limit_reached": "the limit that the model's provider allows is used up";
    ModelBreakerOpen = "model_breaker_open": "the model has failed too often and is left alone for a while";
    ModelOverloaded = "model_overloaded": "the model's provider has too much to do";
    ModelUnavailable = "model_unavailable": "the model cannot be reached";
    ModelTooSlow = "model_too_slow": "the model took too long";
    ModelMalformed = "model_malformed": "the model's answer could not be read";
    StoreUnavailable = "store_unavailable": "the database cannot be reached";
    StoreFailed = "store_failed": "the database refused what was asked of it";
    EventsUnavailable = "events_unavailable": "the event log cannot be reached";
    ObjectsUnavailable = "objects_unavailable": "the stored files cannot be reached";
    ParserUnavailable = "parser_unavailable": "the process that reads files could not be started";
    RendererUnavailable = "renderer_unavailable": "the process that lays exports out could not be started";
    HandlerPanicked = "handler_panicked": "the program failed in the middle of the step: a bug";
}

impl Reason {
    /// What a code means; a sentence that says so for one that this version does not know.
    #[must_use]
    pub fn told(code: &str) -> &'static str {
        code.parse::<Self>().map_or("this version does not know the reason", Self::sentence)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == code)
            .ok_or_else(|| format!("no reason is named {code:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own_and_a_sentence() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
            assert!(reason.sentence().len() > 10 && !reason.sentence().ends_with('.'));
        }
        let mut codes = Reason::CODES.to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::told("moon").contains("does not know"));
    }
}
