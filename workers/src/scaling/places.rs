//! How many slots each step has in this process at the moment.

use quaestor_core::jobs::Step;
use quaestor_core::scaling::PerStep;
use tokio::sync::watch;

use crate::context::Slots;

/// The slots. Clones are one.
#[derive(Clone, Debug)]
pub struct Places(watch::Sender<PerStep<u16>>);

impl Places {
    /// As many as a process begins with.
    #[must_use]
    pub fn new(slots: &Slots) -> Self {
        Self(watch::Sender::new(PerStep::of_each(|step| slots.of(step))))
    }

    /// The slots of a step.
    #[must_use]
    pub fn of(&self, step: Step) -> u16 {
        *self.0.borrow().of(step)
    }

    /// Gives steps other slots. Whoever has more than that takes nothing until it has not.
    pub(crate) fn set(&self, slots: PerStep<u16>) {
        self.0.send_if_modified(|now| {
            let changed = *now != slots;
            *now = slots;
            changed
        });
    }

    /// Tells whenever they change.
    pub(crate) fn watch(&self) -> watch::Receiver<PerStep<u16>> {
        self.0.subscribe()
    }
}
