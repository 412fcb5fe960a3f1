//! Events that could not be appended while Redis was away. They keep the numbers that they
//! were to have, and are appended before whatever follows them once it is back: a watcher
//! that waited misses nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, WorkspaceId};
use tokio::sync::Notify;

use super::append::Part;

/// Attempts of one job that are kept: it goes from step to step while Redis is away.
const ATTEMPTS: usize = 4;
/// Bytes of one job's events, and of all, that are kept.
const BYTES_PER_JOB: usize = 256 << 10;
const BYTES: usize = 16 << 20;
/// How long they are kept: whoever watches has been told by the store until then.
const KEPT: TimeDelta = TimeDelta::minutes(1);

pub(super) type Key = (WorkspaceId, JobId);

/// Events of one attempt, in their order.
#[derive(Clone, Debug)]
pub(super) struct Debt {
    pub(super) part: Part,
    /// The number after which they come within the attempt; none where this process did not
    /// write to the attempt before.
    pub(super) after: Option<u64>,
    since: Time,
}

#[derive(Default)]
struct Debts {
    jobs: HashMap<Key, VecDeque<Debt>>,
    bytes: usize,
}

/// What is owed to the log.
#[derive(Default)]
pub(super) struct Owed {
    debts: Mutex<Debts>,
    kept: Notify,
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, Debts> {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything of a job is owed.
    pub(super) fn has(&self, key: Key) -> bool {
        self.lock().jobs.contains_key(&key)
    }

    /// Waits until something is owed.
    pub(super) async fn some(&self) {
        while self.lock().jobs.is_empty() {
            self.kept.notified().await;
        }
    }

    /// The jobs to which something is owed.
    pub(super) fn jobs(&self) -> Vec<Key> {
        self.lock().jobs.keys().copied().collect()
    }

    /// What is to be appended next of a job.
    pub(super) fn first(&self, key: Key) -> Option<Debt> {
        self.lock().jobs.get(&key)?.front().cloned()
    }

    /// Takes so many events off the list that were appended, up to a number. What was added
    /// meanwhile comes after it.
    pub(super) fn paid(&self, key: Key, events: u64, last: u64) {
        let mut debts = self.lock();
        let Debts { jobs, bytes } = &mut *debts;
        let Some(debt) = jobs.get_mut(&key).and_then(VecDeque::front_mut) else { return };
        *bytes -= debt.part.forget_first(events);
        debt.after = Some(last);
        if debt.part.len() == 0 {
            drop_first(jobs, key);
        }
    }

    /// Takes an attempt's events off the list: nobody may append them any more.
    pub(super) fn forget_first(&self, key: Key) {
        let mut debts = self.lock();
        let Debts { jobs, bytes } = &mut *debts;
        *bytes -= jobs.get(&key).and_then(VecDeque::front).map_or(0, |debt| debt.part.bytes());
        drop_first(jobs, key);
    }

    /// Forgets what nobody waits for any more. Returns how many jobs that concerns.
    pub(super) fn forget_old(&self, now: Time) -> usize {
        let mut debts = self.lock();
        let Debts { jobs, bytes } = &mut *debts;
        let before = jobs.len();
        jobs.retain(|_, of_job| {
            let old = of_job.front().is_some_and(|debt| now - debt.since > KEPT);
            if old {
                *bytes -= of_job.iter().map(|debt| debt.part.bytes()).sum::<usize>();
            }
            !old
        });
        before - jobs.len()
    }

    /// Keeps events for later. False where there is no room: they are lost, and so is what
    /// was kept of the job, since what comes after a hole is no use to anybody.
    pub(super) fn keep(&self, key: Key, part: Part, after: Option<u64>, now: Time) -> bool {
        let mut debts = self.lock();
        let Debts { jobs, bytes } = &mut *debts;
        let of_job = jobs.entry(key).or_default();
        let own: usize = of_job.iter().map(|debt| debt.part.bytes()).sum();
        let more = part.bytes();
        let continued = of_job.back().is_some_and(|debt| debt.part.goes_on(&part));
        let room = own + more <= BYTES_PER_JOB
            && *bytes + more <= BYTES
            && (continued || of_job.len() < ATTEMPTS);
        if !room {
            *bytes -= own;
            jobs.remove(&key);
            return false;
        }
        *bytes += more;
        match of_job.back_mut().filter(|_| continued) {
            Some(debt) => debt.part.extend(part),
            None => of_job.push_back(Debt { part, after, since: now }),
        }
        drop(debts);
        self.kept.notify_one();
        true
    }
}

fn drop_first(jobs: &mut HashMap<Key, VecDeque<Debt>>, key: Key) {
    let Some(of_job) = jobs.get_mut(&key) else { return };
    of_job.pop_front();
    if of_job.is_empty() {
        jobs.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use quaestor_core::events::Event;
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> Key {
        (WorkspaceId(Uuid::from_u128(1)), JobId(Uuid::from_u128(number)))
    }

    fn at(seconds: i64) -> Time {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn token(attempt: u32, bytes: usize) -> Part {
        Part::new(attempt, &[Event::Token { text: "x".repeat(bytes) }]).unwrap()
    }

    fn bytes(owed: &Owed) -> usize {
        owed.lock().bytes
    }

    #[test]
    fn what_is_added_while_it_is_paid_comes_next() {
        let owed = Owed::default();
        assert!(owed.keep(key(1), token(1, 1), Some(4), at(0)));
        assert!(owed.keep(key(1), token(1, 2), Some(9), at(0)));
        let paying = owed.first(key(1)).unwrap();
        assert_eq!((paying.after, paying.part.len()), (Some(4), 2));
        assert!(owed.keep(key(1), token(1, 3), None, at(0)));
        owed.paid(key(1), 2, 6);
        let next = owed.first(key(1)).unwrap();
        assert_eq!((next.after, next.part.len()), (Some(6), 1));
        owed.paid(key(1), 1, 7);
        assert!(!owed.has(key(1)) && bytes(&owed) == 0);
    }

    #[test]
    fn attempts_stand_one_after_another() {
        let owed = Owed::default();
        assert!(owed.keep(key(1), token(1, 1), Some(4), at(0)));
        assert!(owed.keep(key(1), token(2, 1), None, at(0)));
        assert_eq!(owed.first(key(1)).unwrap().part.attempt, 1);
        owed.forget_first(key(1));
        assert_eq!(owed.first(key(1)).unwrap().part.attempt, 2);
        owed.forget_first(key(1));
        assert!(owed.jobs().is_empty() && bytes(&owed) == 0);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let owed = Owed::default();
        let half = BYTES_PER_JOB / 2;
        assert!(owed.keep(key(1), token(1, half), None, at(0)));
        assert!(!owed.keep(key(1), token(1, half), None, at(0)));
        assert!(!owed.has(key(1)), "what comes after a hole is of no use");
        let jobs = (1..).take_while(|job| owed.keep(key(*job), token(1, half), None, at(0)));
        let jobs = jobs.count();
        assert!(jobs > 100 && bytes(&owed) <= BYTES, "{jobs}");
        assert_eq!(owed.forget_old(at(60)), 0);
        assert_eq!(owed.forget_old(at(61)), jobs);
        assert_eq!(bytes(&owed), 0);
        for attempt in 1..=4 {
            assert!(owed.keep(key(1), token(attempt, 1), None, at(0)));
        }
        assert!(!owed.keep(key(1), token(5, 1), None, at(0)));
    }
}
