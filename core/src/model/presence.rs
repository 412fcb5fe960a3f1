//! Which queues the worker processes take, as they tell it themselves.

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::jobs::Step;

/// What worker processes tell of themselves stands under this topic of the noticeboard, as a
/// list of [`Taking`]. It is renewed every few seconds.
pub const WORKERS_TOPIC: &str = "workers";

/// A queue that a process takes messages from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taking {
    /// The step.
    pub step: Step,
    /// How many of it at once.
    pub slots: u16,
    /// It takes none before this: the step's model is left alone.
    #[serde(default)]
    pub paused_until: Option<Time>,
}
