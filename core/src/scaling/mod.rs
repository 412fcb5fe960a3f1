//! How many slots each queue needs, and how many it gets: numbers in, numbers out.
//!
//! - [`need`]: the slots that drain a queue within its target wait;
//! - [`meter`]: how fast work arrives and how long it takes, from counts that are looked at;
//! - [`steady`]: when a wanted number becomes the number, so that noise moves nothing;
//! - [`room`]: what providers, memory and cores allow, and who goes without first;
//! - [`fleet`]: how many processes hold them on one machine;
//! - [`plan`]: all of it together, for all queues;
//! - [`notice`]: what the processes tell each other about it.
//!
//! Nothing here asks a clock or a machine: whoever calls says what it is.

pub mod fleet;
pub mod meter;
pub mod need;
pub mod notice;
pub mod plan;
pub mod room;
pub mod steady;

use crate::jobs::{JobKind, Step};

/// A value for each step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerStep<T>([T; Step::ALL.len()]);

impl<T> PerStep<T> {
    /// What `make` says of each step.
    pub fn of_each(make: impl Fn(Step) -> T) -> Self {
        Self(Step::ALL.map(make))
    }

    /// That of a step.
    #[must_use]
    pub fn of(&self, step: Step) -> &T {
        &self.0[place(step)]
    }

    /// That of a step, to be changed.
    pub fn of_mut(&mut self, step: Step) -> &mut T {
        &mut self.0[place(step)]
    }
}

/// Where a step stands in the list of all.
fn place(step: Step) -> usize {
    Step::ALL.iter().position(|each| *each == step).unwrap_or_default()
}

/// Whether somebody sits and waits for the step: its slots are its own, and everything else
/// yields to it.
#[must_use]
pub fn is_interactive(step: Step) -> bool {
    step.kind() == JobKind::Chat
}

/// The step whose queue holds back the jobs of this one: a question that waits for
/// `chat.retrieve` will want a slot of `chat.generate` at once, because a process goes on with
/// it by itself, and lets it in only where it has one.
#[must_use]
pub fn fed_by(step: Step) -> Option<Step> {
    (step == Step::ChatGenerate).then_some(Step::ChatRetrieve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_a_value_of_its_own() {
        let mut lengths = PerStep::of_each(|step| step.as_str().len());
        for step in Step::ALL {
            assert_eq!(*lengths.of(step), step.as_str().len());
        }
        *lengths.of_mut(Step::ExportsWrite) = 0;
        assert_eq!(*lengths.of(Step::ExportsWrite), 0);
        assert_eq!(*lengths.of(Step::ChatRetrieve), "chat.retrieve".len());
    }

    #[test]
    fn questions_alone_are_waited_for() {
        let waited: Vec<Step> =
            Step::ALL.into_iter().filter(|step| is_interactive(*step)).collect();
        assert_eq!(waited, [Step::ChatRetrieve, Step::ChatGenerate]);
        assert_eq!(fed_by(Step::ChatGenerate), Some(Step::ChatRetrieve));
        assert_eq!(fed_by(Step::ChatRetrieve), None);
    }
}
