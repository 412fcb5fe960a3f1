//! Which questions this process works on, where some workspace has more than its share.
//!
//! Everybody is let in while there is room. Then a workspace is let in only while it has
//! less than its share of what runs here; its further questions wait in the store, each
//! under a due time, and the queue is free for the others'. Whenever a question ends, the
//! workspace with the fewest running ones has its next called: its due time is now. A process
//! that has room and knows of nobody who waits calls those of others, as the store knows them.
//! So nothing spins, no slot stands idle while somebody waits, and the due times are only a
//! net, for the case that processes end.
//!
//! Who is let in is decided from what this process knows itself, and costs no round trip. Each
//! process does so for its own slots, and the queue spreads the messages over them: together
//! they are as fair as each one is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, WorkspaceId};
use quaestor_core::jobs::Step;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::Context;
use crate::scaling::Places;

/// Why a question waits whose workspace has its share of the slots.
pub(crate) const WORKSPACE_BUSY: &str = "workspace_busy";

/// One part of so many of the slots is kept for workspaces that have none.
const KEPT_PART: usize = 8;
/// Questions of one workspace that are known here to wait. Further ones wait for their due
/// time alone.
const MOST_WAITING: usize = 10_000;
/// When the first of those that wait is due, should nobody call it before.
const FIRST_DUE: Duration = Duration::from_secs(10);
/// How much later the next one is due, so that they do not all come at once.
const NEXT_DUE: Duration = Duration::from_millis(50);
/// None is due later than this.
const LAST_DUE: Duration = Duration::from_secs(60);
/// A question that was called has come by then, or another process has it: the store is asked.
const COMES_WITHIN: TimeDelta = TimeDelta::milliseconds(250);
/// Who was due so long ago, and was never called, is another process's.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::seconds(1);
/// How often those are looked at who were called, beside whenever a question ends.
const LOOK: Duration = Duration::from_millis(250);
/// How often the store is asked whether anybody waits, where nobody is known to.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(1);

/// Lets questions in. Cheap to clone; clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Fair(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The slots, and whether this process takes questions to be searched and to be answered.
    places: Places,
    retrieves: bool,
    generates: bool,
    /// The most of one workspace, whatever the room.
    most: usize,
    state: Mutex<State>,
    /// Something has ended, or has begun to wait.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    workspaces: HashMap<WorkspaceId, Share>,
    /// The store knew of somebody when it was asked last: it is asked again at the next end.
    others_wait: bool,
}

#[derive(Debug, Default)]
struct Share {
    running: usize,
    /// Who waits, in the order in which they were asked, and when each is due.
    line: BTreeMap<JobId, Time>,
    /// Who was called and has not come yet, and when.
    called: BTreeMap<JobId, Time>,
}

/// A question that runs. Dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Seat {
    fair: Fair,
    workspace: WorkspaceId,
}

impl Fair {
    /// For a process that takes these steps. `most` is what one workspace may have at once
    /// at the most; none where nobody has said.
    pub(crate) fn new(steps: &[Step], places: &Places, most: Option<u16>) -> Self {
        Self(Arc::new(Inner {
            places: places.clone(),
            retrieves: steps.contains(&Step::ChatRetrieve),
            generates: steps.contains(&Step::ChatGenerate),
            most: most.map_or(usize::MAX, |most| usize::from(most.max(1))),
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Lets a question in, or says when it is due again. One that has `begun`, whose
    /// passages were found, comes before those that have not.
    pub(crate) fn enter(
        &self,
        workspace: WorkspaceId,
        job: JobId,
        begun: bool,
        now: Time,
    ) -> Result<Seat, Time> {
        let full = self.0.room();
        let mut state = self.state();
        let total = state.running;
        let active = state.active(workspace);
        let share = state.workspaces.entry(workspace).or_default();
        let waited = share.called.remove(&job).is_some() || share.line.contains_key(&job);
        // Who comes new does not overtake those who wait.
        let first = begun || waited || share.line.is_empty();
        let room = total < full || share.running < (full / active).max(1);
        if first && room && share.running < self.0.most {
            share.line.remove(&job);
            drop(state);
            return Ok(self.seat(workspace));
        }
        let place = share.line.range(..job).count();
        let wait = FIRST_DUE + NEXT_DUE * u32::try_from(place).unwrap_or(u32::MAX).min(10_000);
        let due = now + wait.min(LAST_DUE);
        if waited || share.line.len() < MOST_WAITING {
            share.line.insert(job, due);
        }
        Err(due)
    }

    /// Lets a question in whatever runs: it could not be put off.
    pub(crate) fn let_in(&self, workspace: WorkspaceId, job: JobId) -> Seat {
        self.gone(workspace, &[job]);
        self.seat(workspace)
    }

    fn seat(&self, workspace: WorkspaceId) -> Seat {
        let mut state = self.state();
        state.running += 1;
        state.workspaces.entry(workspace).or_default().running += 1;
        Seat { fair: self.clone(), workspace }
    }

    /// Says that a question waits by now, as the store knows.
    pub(crate) fn waits(&self) {
        self.0.changed.notify_one();
    }

    /// Those who may come now, of each workspace: as many as there is room for, of whom has
    /// the fewest. Who was due long ago is forgotten: another process has it.
    fn call(&self, now: Time) -> HashMap<WorkspaceId, Vec<JobId>> {
        let room = self.0.room();
        let mut state = self.state();
        let mut coming = 0;
        for share in state.workspaces.values_mut() {
            share.line.retain(|_, due| *due + FORGOTTEN_AFTER > now);
            // Called once more: the store knows whether it still waits.
            while let Some((job, _)) =
                share.called.iter().find(|(_, called)| **called + COMES_WITHIN <= now)
            {
                let job = *job;
                share.called.remove(&job);
                share.line.insert(job, now);
            }
            coming += share.called.len();
        }
        state.workspaces.retain(|_, share| !share.is_idle());
        let mut calls: HashMap<WorkspaceId, Vec<JobId>> = HashMap::new();
        while state.running + coming < room {
            let next = state
                .workspaces
                .iter_mut()
                .filter(|(_, share)| share.taken() < self.0.most && !share.line.is_empty())
                .min_by_key(|(_, share)| share.taken());
            let Some((workspace, share)) = next else { break };
            let Some((job, _)) = share.line.pop_first() else { break };
            share.called.insert(job, now);
            calls.entry(*workspace).or_default().push(job);
            coming += 1;
        }
        calls
    }

    /// How many may be called of those whom other processes had wait: there is so much room,
    /// and nobody waits here.
    fn room_for_others(&self) -> u32 {
        let room = self.0.room();
        let state = self.state();
        if state.workspaces.values().any(|share| !share.line.is_empty()) {
            return 0;
        }
        let coming: usize = state.workspaces.values().map(|share| share.called.len()).sum();
        u32::try_from(room.saturating_sub(state.running + coming)).unwrap_or(u32::MAX)
    }

    /// Knows who was called, of those whom other processes had wait.
    fn called(&self, jobs: Vec<(WorkspaceId, JobId)>, now: Time) {
        let mut state = self.state();
        state.others_wait = !jobs.is_empty();
        for (workspace, job) in jobs {
            state.workspaces.entry(workspace).or_default().called.insert(job, now);
        }
    }

    /// Everybody who waits.
    fn everybody(&self) -> HashMap<WorkspaceId, Vec<JobId>> {
        let mut state = self.state();
        let lines = state.workspaces.iter_mut().map(|(workspace, share)| {
            (*workspace, std::mem::take(&mut share.line).into_keys().collect())
        });
        lines.filter(|(_, jobs): &(_, Vec<_>)| !jobs.is_empty()).collect()
    }

    fn somebody_waits(&self) -> bool {
        self.state().somebody_waits()
    }

    /// Forgets those whom the store does not know as waiting.
    fn gone(&self, workspace: WorkspaceId, jobs: &[JobId]) {
        if let Some(share) = self.state().workspaces.get_mut(&workspace) {
            for job in jobs {
                share.called.remove(job);
                share.line.remove(job);
            }
        }
    }

    /// Calls whoever may come until `stop`. Then everybody, for other processes.
    pub(crate) async fn tend(&self, context: &Context, stop: &CancellationToken) {
        if !self.0.retrieves && !self.0.generates {
            return stop.cancelled().await;
        }
        let mut places = self.0.places.watch();
        let mut next_look_for_others = context.clock.now();
        loop {
            let pause = if self.somebody_waits() { LOOK } else { LOOK_FOR_OTHERS };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.changed.notified() => {}
                _ = places.changed() => {}
                () = context.clock.sleep(pause) => {}
            }
            self.call_those_who_wait(context).await;
            let now = context.clock.now();
            if self.state().others_wait || next_look_for_others <= now {
                next_look_for_others = now + LOOK_FOR_OTHERS;
                self.call_those_of_others(context).await;
            }
        }
        for (workspace, jobs) in self.everybody() {
            self.bring_forward(context, workspace, &jobs).await;
        }
    }

    /// Calls whoever may come. Who has ended meanwhile leaves its place to the next at once:
    /// a fresh question does not stand behind those whose time was over while they waited.
    async fn call_those_who_wait(&self, context: &Context) {
        for _ in 0..MOST_WAITING {
            let mut gone = false;
            for (workspace, jobs) in self.call(context.clock.now()) {
                gone |= self.bring_forward(context, workspace, &jobs).await;
            }
            if !gone {
                return;
            }
        }
    }

    /// Calls those whom other processes had wait, where this one has room.
    async fn call_those_of_others(&self, context: &Context) {
        let room = self.room_for_others();
        if room == 0 {
            return;
        }
        let now = context.clock.now();
        match context.store.call_turns(WORKSPACE_BUSY, room, now).await {
            Ok(jobs) => {
                if !jobs.is_empty() {
                    context.wake.notify();
                }
                self.called(jobs, now);
            }
            // They come when they are due; the store is not asked at every end meanwhile.
            Err(error) => {
                self.called(Vec::new(), now);
                warn!(error = &error as &dyn std::error::Error, "could not call others' questions");
            }
        }
    }

    /// Has jobs come. True where some of them do not wait any more.
    async fn bring_forward(
        &self,
        context: &Context,
        workspace: WorkspaceId,
        jobs: &[JobId],
    ) -> bool {
        let now = context.clock.now();
        match context.store.bring_forward(workspace, jobs, WORKSPACE_BUSY, now).await {
            Ok(found) => {
                let gone: Vec<JobId> =
                    jobs.iter().filter(|job| !found.contains(job)).copied().collect();
                self.gone(workspace, &gone);
                context.wake.notify();
                !gone.is_empty()
            }
            // They come when they are due.
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not call who waits");
                false
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Questions that run at once before shares count.
    fn room(&self) -> usize {
        let slots = |takes, step| if takes { usize::from(self.places.of(step)) } else { 0 };
        let retrieve = slots(self.retrieves, Step::ChatRetrieve);
        let generate = slots(self.generates, Step::ChatGenerate);
        // As many again may follow at once where this process runs both.
        let all = match (retrieve, generate) {
            (0, generate) => generate,
            (retrieve, 0) => retrieve,
            (_, generate) => 2 * generate,
        };
        // Of a few slots none is kept: who has none at work then has the next that is free.
        (all - all / KEPT_PART).max(1)
    }
}

impl State {
    /// How many workspaces share the room, this one among them.
    fn active(&self, workspace: WorkspaceId) -> usize {
        let others = self.workspaces.iter().filter(|(other, _)| **other != workspace);
        others.filter(|(_, share)| !share.is_idle()).count() + 1
    }

    fn somebody_waits(&self) -> bool {
        self.others_wait
            || self
                .workspaces
                .values()
                .any(|share| !share.line.is_empty() || !share.called.is_empty())
    }
}

impl Share {
    fn taken(&self) -> usize {
        self.running + self.called.len()
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.line.is_empty() && self.called.is_empty()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.fair.state();
        state.running = state.running.saturating_sub(1);
        if let Some(share) = state.workspaces.get_mut(&self.workspace) {
            share.running = share.running.saturating_sub(1);
            if share.is_idle() {
                state.workspaces.remove(&self.workspace);
            }
        }
        let waits = state.somebody_waits();
        drop(state);
        if waits {
            self.fair.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::context::Slots;

    const SLOTS: Slots = Slots {
        chat_retrieve: 4,
        chat_generate: 8,
        documents_ingest: 1,
        documents_embed: 1,
        collections_reindex: 1,
        exports_write: 1,
    };
    const BUSY: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
    const OTHER: WorkspaceId = WorkspaceId(Uuid::from_u128(2));

    fn fair(most: Option<u16>) -> Fair {
        Fair::new(&Step::ALL, &Places::new(&SLOTS), most)
    }

    fn job(number: u128) -> JobId {
        JobId(Uuid::from_u128(number))
    }

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    /// Has questions ask to be let in. Gives the seats of those who were.
    fn ask(fair: &Fair, workspace: WorkspaceId, jobs: std::ops::Range<u128>) -> Vec<Seat> {
        jobs.filter_map(|number| fair.enter(workspace, job(number), false, at(0)).ok()).collect()
    }

    #[test]
    fn one_workspace_alone_has_all_the_room_but_a_part() {
        assert_eq!(ask(&fair(None), BUSY, 0..1_000).len(), 14);
        assert_eq!(ask(&fair(Some(5)), BUSY, 0..1_000).len(), 5);
        let one = Slots { chat_generate: 1, ..SLOTS };
        assert_eq!(ask(&Fair::new(&Step::ALL, &Places::new(&one), None), BUSY, 0..9).len(), 2);
        let retrieval = Fair::new(&[Step::ChatRetrieve], &Places::new(&SLOTS), None);
        assert_eq!(ask(&retrieval, BUSY, 0..9).len(), 4);
    }

    #[test]
    fn another_workspace_is_let_in_at_once_and_shares_come_to_be_equal() {
        let fair = fair(None);
        let mut busy = ask(&fair, BUSY, 0..1_000);
        let mut other = ask(&fair, OTHER, 2_000..3_000);
        assert_eq!(other.len(), 7, "its share");
        // Each end calls whoever has fewer.
        for _ in 0..100 {
            busy.pop();
            for (workspace, jobs) in fair.call(at(1)) {
                let seats =
                    jobs.into_iter().map(|job| fair.enter(workspace, job, false, at(1)).unwrap());
                if workspace == BUSY { busy.extend(seats) } else { other.extend(seats) }
            }
        }
        assert_eq!((busy.len(), other.len()), (7, 7));
    }

    #[test]
    fn who_was_asked_first_is_called_first_and_not_overtaken() {
        let fair = fair(None);
        let mut seats = ask(&fair, BUSY, 0..30);
        assert_eq!(seats.len(), 14);
        seats.truncate(12);
        assert!(fair.enter(BUSY, job(99), false, at(0)).is_err(), "it stands at the end");
        assert_eq!(fair.call(at(0))[&BUSY], [job(14), job(15)]);
        assert!(fair.call(at(0)).is_empty(), "they are coming");
        let due = |number| fair.enter(BUSY, job(number), false, at(0)).unwrap_err();
        let seat = fair.enter(BUSY, job(14), false, at(0)).unwrap();
        let other = fair.enter(BUSY, job(15), false, at(0)).unwrap();
        assert!(due(16) < due(17) && due(17) < due(99));
        assert!(due(99) <= at(60));
        drop((seat, other));
    }

    #[test]
    fn who_does_not_come_is_called_again_and_forgotten_when_it_is_gone() {
        let fair = fair(None);
        let mut seats = ask(&fair, BUSY, 0..15);
        seats.pop();
        assert_eq!(fair.call(at(0))[&BUSY], [job(14)]);
        assert!(fair.call(at(0)).is_empty());
        assert_eq!(fair.call(at(2))[&BUSY], [job(14)]);
        fair.gone(BUSY, &[job(14)]);
        assert!(!fair.somebody_waits());
        assert!(fair.enter(BUSY, job(50), false, at(2)).is_ok());
    }

    #[test]
    fn those_of_others_are_called_where_there_is_room_and_nobody_waits() {
        let fair = fair(None);
        assert_eq!(fair.room_for_others(), 14);
        let mut seats = ask(&fair, BUSY, 0..4);
        assert_eq!(fair.room_for_others(), 10);
        let called = [(BUSY, job(90)), (OTHER, job(91))];
        fair.called(called.to_vec(), at(0));
        assert_eq!(fair.room_for_others(), 8, "they are coming");
        assert!(fair.somebody_waits());
        assert!(fair.call(at(0)).is_empty(), "they are called already");
        seats.push(fair.enter(OTHER, job(91), false, at(0)).unwrap());
        assert_eq!(fair.call(at(1))[&BUSY], [job(90)], "the store is asked whether it waits");
        fair.gone(BUSY, &[job(90)]);
        assert_eq!(fair.room_for_others(), 9);
        fair.called(Vec::new(), at(1));
        assert!(!fair.somebody_waits());
        seats.extend(ask(&fair, BUSY, 100..120));
        assert_eq!((seats.len(), fair.room_for_others()), (14, 0), "its own come first");
    }

    #[test]
    fn who_was_due_long_ago_is_forgotten() {
        let fair = fair(None);
        let seats = ask(&fair, BUSY, 0..20);
        assert!(fair.call(at(30)).is_empty());
        assert!(!fair.somebody_waits());
        drop(seats);
        assert!(fair.state().workspaces.is_empty());
    }
}
