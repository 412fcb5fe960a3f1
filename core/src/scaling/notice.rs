//! What processes tell each other of their queues, on the noticeboard.
//!
//! Every worker process tells what it has done, in counts that only rise. One process, which
//! holds a lease of the noticeboard, adds them up, looks at the store, and tells what is wanted.
//! All of it may be lost and is told again a second later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::WorkerId;
use crate::jobs::Step;

/// What worker processes have done stands under this topic, as a list of [`Worked`].
pub const WORKED_TOPIC: &str = "worked";
/// What is wanted stands under this topic, as a [`Wanted`].
pub const WANTED_TOPIC: &str = "wanted";

/// What a process has done of one step since it began.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worked {
    /// The step.
    pub step: Step,
    /// Whether the process takes it from its queue still.
    #[serde(default)]
    pub takes: bool,
    /// How often it ended, however.
    pub left: u64,
    /// For how many seconds it held slots.
    pub held_s: f64,
    /// Requests that were sent to providers for it.
    #[serde(default)]
    pub requests: u64,
    /// Tokens that these took.
    #[serde(default)]
    pub tokens: u64,
}

/// What is wanted of all processes together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// When it was reckoned.
    pub at: Time,
    /// By queues.
    pub queues: Vec<QueueWanted>,
}

/// What is wanted for one queue, and why.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueWanted {
    /// The step, which is the queue's name.
    pub step: Step,
    /// Slots.
    pub slots: u32,
    /// Jobs that wait.
    pub ready: u64,
    /// Jobs that run.
    pub running: u64,
    /// How long the oldest of those that wait has been due, in seconds.
    pub oldest_s: f64,
    /// Arrivals in a second.
    pub arrivals_per_s: f64,
    /// How long a job holds its slot, in seconds.
    pub service_s: f64,
    /// Requests that a job sends to a provider.
    pub requests: f64,
    /// Tokens that these take.
    pub tokens: f64,
}

impl Wanted {
    /// What is wanted for a queue.
    #[must_use]
    pub fn of(&self, step: Step) -> Option<&QueueWanted> {
        self.queues.iter().find(|queue| queue.step == step)
    }
}

/// Adds up what processes tell, each of which begins at nought and may end at any time.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// What each has told last, and when it was last heard.
    heard: BTreeMap<WorkerId, (Time, Vec<Worked>)>,
    sums: BTreeMap<Step, Sum>,
}

/// What all processes have done of one step, since it is added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// How often it ended.
    pub left: u64,
    /// For how many seconds it held slots.
    pub held_s: f64,
    /// Requests to providers.
    pub requests: u64,
    /// Tokens of these.
    pub tokens: u64,
}

/// A process that was silent for so many minutes is forgotten.
const FORGOTTEN_AFTER_MIN: i64 = 10;

impl Sums {
    /// Takes over what a process tells. What it had done before it was first heard counts only
    /// where somebody listened when it began: `listening` says so.
    pub fn hear(&mut self, now: Time, process: WorkerId, told: &[Worked], listening: bool) {
        let before = self.heard.insert(process, (now, told.to_vec()));
        if before.is_none() && !listening {
            return;
        }
        let before = before.map(|(_, told)| told).unwrap_or_default();
        for worked in told {
            let last = before.iter().find(|last| last.step == worked.step);
            let sum = self.sums.entry(worked.step).or_default();
            sum.left += worked.left.saturating_sub(last.map_or(0, |last| last.left));
            sum.held_s += (worked.held_s - last.map_or(0.0, |last| last.held_s)).max(0.0);
            sum.requests += worked.requests.saturating_sub(last.map_or(0, |last| last.requests));
            sum.tokens += worked.tokens.saturating_sub(last.map_or(0, |last| last.tokens));
        }
    }

    /// Forgets who has been silent for long.
    pub fn forget(&mut self, now: Time) {
        self.heard.retain(|_, (at, _)| (now - *at).num_minutes() < FORGOTTEN_AFTER_MIN);
    }

    /// The sum of a step.
    #[must_use]
    pub fn of(&self, step: Step) -> Sum {
        self.sums.get(&step).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn worked(left: u64) -> Worked {
        let step = Step::ChatGenerate;
        Worked { step, takes: true, left, held_s: left as f64, requests: left, tokens: 10 * left }
    }

    #[test]
    fn what_processes_tell_is_added_up_once() {
        let (now, one, other) =
            (Time::UNIX_EPOCH, WorkerId(Uuid::from_u128(1)), WorkerId(Uuid::from_u128(2)));
        let mut sums = Sums::default();
        sums.hear(now, one, &[worked(100)], false);
        assert_eq!(sums.of(Step::ChatGenerate), Sum::default(), "nobody listened before");
        sums.hear(now, one, &[worked(105)], true);
        sums.hear(now, one, &[worked(105)], true);
        sums.hear(now, other, &[worked(7)], true);
        let wanted = Sum { left: 12, held_s: 12.0, requests: 12, tokens: 120 };
        assert_eq!(sums.of(Step::ChatGenerate), wanted);
        // One that comes back is known still; one that began anew has counted from nought.
        sums.forget(now + chrono::TimeDelta::minutes(5));
        sums.hear(now, one, &[worked(106)], true);
        assert_eq!(sums.of(Step::ChatGenerate).left, 13);
        assert_eq!(sums.of(Step::ChatRetrieve), Sum::default());
    }

    #[test]
    fn a_notice_of_another_version_is_read() {
        let text = r#"{"step":"chat.generate","left":3,"held_s":1.5,"later":true}"#;
        let read: Worked = serde_json::from_str(text).unwrap();
        assert_eq!((read.left, read.takes, read.tokens), (3, false, 0));
    }
}
