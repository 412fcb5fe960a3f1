//! How many worker processes a machine runs of each kind of work.

use super::PerStep;
use super::notice::Wanted;
use super::room::Memory;
use crate::jobs::{JobKind, Step};

/// The processes of one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crew {
    /// The kind.
    pub kind: JobKind,
    /// How many there are, those that leave not counted.
    pub have: u32,
    /// How many there are at least.
    pub min: u32,
    /// How many there are at most.
    pub max: u32,
    /// How many are wanted.
    pub wanted: u32,
}

/// How many processes hold the slots that are wanted for a kind of work, each of which has at
/// most so many.
#[must_use]
pub fn processes(kind: JobKind, wanted: &Wanted, most: &PerStep<u16>) -> u32 {
    let steps = Step::ALL.into_iter().filter(|step| step.kind() == kind);
    let of_step = |step: Step| {
        let slots = wanted.of(step).map_or(0, |queue| queue.slots);
        slots.div_ceil(u32::from((*most.of(step)).max(1)))
    };
    steps.map(of_step).max().unwrap_or_default()
}

/// How many processes of a kind have work for so many cores: those that compute have a core for
/// each slot. None where cores do not bound it.
#[must_use]
pub fn by_cores(kind: JobKind, most: &PerStep<u16>, cores: u16) -> Option<u32> {
    let step = match kind {
        JobKind::Documents => Step::DocumentsIngest,
        JobKind::Exports => Step::ExportsWrite,
        JobKind::Chat | JobKind::Collections => return None,
    };
    Some(u32::from(cores / (*most.of(step)).max(1)).max(1))
}

/// Says how many processes of each crew there are to be, in their order. Questions come first;
/// beyond the least, a process is started only while there is memory for it, and above the
/// high water each crew of bulk work is to be one smaller.
#[must_use]
pub fn fleet(crews: &[Crew], memory: Option<&Memory>) -> Vec<u32> {
    let mut more = memory.map_or(u32::MAX, Memory::more);
    let high = memory.is_some_and(Memory::is_high);
    let mut order: Vec<usize> = (0..crews.len()).collect();
    order.sort_by_key(|place| crews[*place].kind != JobKind::Chat);
    let mut given = vec![0; crews.len()];
    for place in order {
        let crew = &crews[place];
        let mut target = crew.wanted.min(crew.max).max(crew.min);
        if high && crew.kind != JobKind::Chat {
            target = target.min(crew.have.saturating_sub(1)).max(crew.min);
        }
        let kept = crew.have.max(crew.min);
        if target > kept {
            let further = more.min(target - kept);
            more -= further;
            target = kept + further;
        }
        given[place] = target;
    }
    given
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::notice::QueueWanted;
    use super::*;
    use crate::clock::Time;

    const MB: u64 = 1 << 20;

    fn memory(used: u64) -> Memory {
        Memory { used: used * MB, limit: 1_000 * MB, per_slot: 100.0 * MB as f64 }
    }

    fn crew(kind: JobKind, have: u32, wanted: u32) -> Crew {
        Crew { kind, have, min: 1, max: 8, wanted }
    }

    #[test]
    fn as_many_as_hold_the_slots_of_the_queue_that_needs_most() {
        let of = |step, slots| QueueWanted {
            step,
            slots,
            ready: 0,
            running: 0,
            oldest_s: 0.0,
            arrivals_per_s: 0.0,
            service_s: 0.0,
            requests: 0.0,
            tokens: 0.0,
        };
        let queues = vec![of(Step::ChatRetrieve, 3), of(Step::ChatGenerate, 17)];
        let wanted = Wanted { at: Time::UNIX_EPOCH, queues };
        let most = PerStep::of_each(|_| 8);
        assert_eq!(processes(JobKind::Chat, &wanted, &most), 3);
        assert_eq!(processes(JobKind::Exports, &wanted, &most), 0);
        assert_eq!(by_cores(JobKind::Documents, &most, 16), Some(2));
        assert_eq!(by_cores(JobKind::Documents, &most, 2), Some(1));
        assert_eq!(by_cores(JobKind::Chat, &most, 2), None);
    }

    #[test]
    fn questions_get_their_processes_first_and_memory_bounds_all() {
        let crews = [crew(JobKind::Documents, 1, 8), crew(JobKind::Chat, 1, 4)];
        assert_eq!(fleet(&crews, None), [8, 4]);
        assert_eq!(fleet(&crews, Some(&memory(100))), [5, 4]);
        assert_eq!(fleet(&crews, Some(&memory(700))), [1, 2]);
        let crews = [crew(JobKind::Documents, 3, 8), crew(JobKind::Chat, 3, 3)];
        assert_eq!(fleet(&crews, Some(&memory(950))), [2, 3], "one goes, and no question's");
        let crews = [crew(JobKind::Documents, 0, 8), crew(JobKind::Chat, 0, 3)];
        assert_eq!(fleet(&crews, Some(&memory(950))), [1, 1], "the least is had");
    }

    proptest! {
        #[test]
        fn the_bounds_hold(
            have in 0u32..20, wanted: u32, min in 0u32..5, more in 0u32..10, used in 0u64..2_000,
        ) {
            let bulk = Crew { kind: JobKind::Documents, have, min, max: min + more, wanted };
            let chat = Crew { kind: JobKind::Chat, ..bulk };
            let given = fleet(&[bulk, chat], Some(&memory(used)));
            for number in &given {
                prop_assert!((bulk.min..=bulk.max).contains(number));
            }
            prop_assert!(given[1] >= bulk.wanted.min(bulk.max).min(have.max(min)).max(min));
        }
    }
}
