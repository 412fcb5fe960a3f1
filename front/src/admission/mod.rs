//! Whether new work is let in. What cannot be done in time is refused at once and told when
//! to come again: accepting it would make everybody wait, and answer nobody.
//!
//! - A workspace may have so many unfinished questions, files and exports (429, `workspace_busy`).
//! - A question that would wait longer than it may is refused, by the age of the oldest one
//!   that nobody has begun: of the caller's own workspace, and of those that no worker has
//!   looked at yet, whoever's they are (503, `overloaded`).
//! - While the queue is away, so many messages may wait in the outbox (503, `overloaded`).
//!
//! A request counts nothing itself. It goes by a look that the process takes once a second,
//! bounded in rows, and by what the process has let in since. So several fronts may together
//! let in a second's work more than the limits say.

mod sampled;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use futures::FutureExt;
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::jobs::JobKind;
use quaestor_core::metrics;
use quaestor_core::ports::store::Unfinished;

use crate::app::App;
use crate::problem::ApiError;
use sampled::{Sampled, Way, sample};

/// Questions that are looked at, those with the nearest deadlines. With more, their age has
/// closed the gate before their number matters.
const MOST_QUESTIONS: u32 = 20_000;
/// Files are looked at in so many times the number that one workspace may have.
const FILES_OF: u32 = 4;
/// So few that wait tell nothing of how long a new one will: one of them may be stuck.
const TELLING: u64 = 8;
/// A deadline that a question may have at the latest is this much after what is configured.
const SLACK: TimeDelta = TimeDelta::minutes(1);
/// What a client is told to wait, before the rest is spread over as much again.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// The same while the queue is away.
const OUTBOX_WAIT: Duration = Duration::from_secs(5);

/// What the process knows of the work that waits.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Whether the outbox has room.
    outbox: Sampled<bool>,
    questions: Sampled<Load>,
    files: Sampled<Load>,
    exports: Sampled<Load>,
}

/// The unfinished work of one kind.
#[derive(Debug, Default)]
struct Load {
    of: HashMap<WorkspaceId, Unfinished>,
    /// What no worker has looked at yet, whoever's it is: how much, and since when.
    untouched: u64,
    untouched_since: Option<Time>,
    /// What this process has let in after the look began.
    since: Mutex<HashMap<WorkspaceId, u64>>,
}

impl Load {
    fn of(unfinished: Vec<Unfinished>) -> Self {
        Self {
            untouched: unfinished.iter().map(|one| one.untouched).sum(),
            untouched_since: unfinished.iter().filter_map(|one| one.untouched_since).min(),
            of: unfinished.into_iter().map(|one| (one.workspace_id, one)).collect(),
            since: Mutex::default(),
        }
    }

    fn since(&self) -> MutexGuard<'_, HashMap<WorkspaceId, u64>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_in(&self, workspace: WorkspaceId, jobs: u64) {
        *self.since().entry(workspace).or_default() += jobs;
    }

    /// How much unfinished work the workspace has, what was let in since the look counted.
    fn jobs(&self, workspace: WorkspaceId) -> u64 {
        let seen = self.of.get(&workspace).map_or(0, |own| own.jobs);
        seen + self.since().get(&workspace).copied().unwrap_or_default()
    }

    /// How long it takes until one more has room. In a steady flow the jobs that wait were
    /// accepted in the time that the oldest of them has waited, and leave in as much.
    fn until_room(&self, workspace: WorkspaceId, most: u64, now: Time) -> Duration {
        let Some(own) = self.of.get(&workspace) else { return SHORTEST_WAIT };
        let oldest = own.unstarted_since.map_or(Duration::ZERO, |since| age(since, now));
        let jobs = self.jobs(workspace).max(1);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let share = (jobs.saturating_sub(most) + 1) as f64 / jobs as f64;
        oldest.mul_f64(share)
    }

    /// For how long a question has waited that stands before a new one of the workspace.
    fn oldest(&self, workspace: WorkspaceId, now: Time) -> Duration {
        let own = self.of.get(&workspace).filter(|own| own.unstarted >= TELLING);
        let own = own.and_then(|own| own.unstarted_since);
        let all = self.untouched_since.filter(|_| self.untouched >= TELLING);
        own.into_iter().chain(all).map(|since| age(since, now)).max().unwrap_or_default()
    }
}

fn age(since: Time, now: Time) -> Duration {
    (now - since).to_std().unwrap_or_default()
}

const OUTBOX: Way<bool> = Way {
    of: |gate| &gate.outbox,
    good_for: TimeDelta::seconds(1),
    look: |app| {
        async move {
            let cap = app.front.settings.outbox_cap;
            Ok(app.front.store.outbox_unsent(cap).await? < u64::from(cap))
        }
        .boxed()
    },
};

const QUESTIONS: Way<Load> = Way {
    of: |gate| &gate.questions,
    good_for: TimeDelta::seconds(1),
    look: |app| {
        async move {
            let front = &app.front;
            let deadline = TimeDelta::from_std(front.settings.chat_deadline).unwrap_or_default();
            let now = front.clock.now();
            let until = now + deadline + SLACK;
            let seen = front.store.unfinished(JobKind::Chat, until, MOST_QUESTIONS).await?;
            Ok(Load::of(seen))
        }
        .boxed()
    },
};

const FILES: Way<Load> = Way {
    of: |gate| &gate.files,
    // There may be many, and nobody waits for one.
    good_for: TimeDelta::seconds(5),
    look: |app| {
        async move {
            let front = &app.front;
            let most = front.settings.files_per_workspace.saturating_mul(FILES_OF);
            let seen = front.store.unfinished(JobKind::Documents, Time::MAX_UTC, most).await?;
            Ok(Load::of(seen))
        }
        .boxed()
    },
};

const EXPORTS: Way<Load> = Way {
    of: |gate| &gate.exports,
    good_for: TimeDelta::seconds(5),
    look: |app| {
        async move {
            let front = &app.front;
            let most = front.settings.exports_per_workspace.saturating_mul(FILES_OF);
            let seen = front.store.unfinished(JobKind::Exports, Time::MAX_UTC, most).await?;
            Ok(Load::of(seen))
        }
        .boxed()
    },
};

/// Lets a question in, or says when to come again.
pub(crate) async fn admit_question(app: &App, workspace: WorkspaceId) -> Result<(), ApiError> {
    room_in_outbox(app).await?;
    let Some(load) = sample(app, &QUESTIONS).await else { return Ok(()) };
    let (load, now) = (&load.seen, app.front.clock.now());
    let settings = &app.front.settings;
    let most = u64::from(settings.questions_per_workspace);
    if load.jobs(workspace) >= most {
        let wait = come_back(app, load.until_room(workspace, most, now));
        let what = format!("{most} questions of this workspace are unfinished");
        return Err(refused("workspace_questions", ApiError::workspace_busy(&what, wait)));
    }
    let oldest = load.oldest(workspace, now);
    if oldest > settings.question_wait {
        let wait = come_back(app, oldest - settings.question_wait);
        return Err(refused("queue_age", ApiError::overloaded(wait)));
    }
    load.let_in(workspace, 1);
    Ok(())
}

/// Lets an upload in, or says when to come again. It is not known yet how many files it has.
pub(crate) async fn admit_upload(app: &App, workspace: WorkspaceId) -> Result<(), ApiError> {
    room_in_outbox(app).await?;
    let Some(load) = sample(app, &FILES).await else { return Ok(()) };
    let (load, now) = (&load.seen, app.front.clock.now());
    let most = u64::from(app.front.settings.files_per_workspace);
    if load.jobs(workspace) >= most {
        let wait = come_back(app, load.until_room(workspace, most, now));
        let what = format!("{most} files of this workspace are not ready yet");
        return Err(refused("workspace_files", ApiError::workspace_busy(&what, wait)));
    }
    Ok(())
}

/// Counts files that were accepted.
pub(crate) fn took_files(app: &App, workspace: WorkspaceId, files: u64) {
    if let Some(load) = app.gate.files.last() {
        load.seen.let_in(workspace, files);
    }
}

/// Lets an export in, or says when to come again.
pub(crate) async fn admit_export(app: &App, workspace: WorkspaceId) -> Result<(), ApiError> {
    room_in_outbox(app).await?;
    let Some(load) = sample(app, &EXPORTS).await else { return Ok(()) };
    let (load, now) = (&load.seen, app.front.clock.now());
    let most = u64::from(app.front.settings.exports_per_workspace);
    if load.jobs(workspace) >= most {
        let wait = come_back(app, load.until_room(workspace, most, now));
        let what = format!("{most} exports of this workspace are not written yet");
        return Err(refused("workspace_exports", ApiError::workspace_busy(&what, wait)));
    }
    Ok(())
}

/// Counts an export that was accepted.
pub(crate) fn took_export(app: &App, workspace: WorkspaceId) {
    if let Some(load) = app.gate.exports.last() {
        load.seen.let_in(workspace, 1);
    }
}

async fn room_in_outbox(app: &App) -> Result<(), ApiError> {
    match sample(app, &OUTBOX).await {
        Some(sample) if !sample.seen => {
            let wait = OUTBOX_WAIT + app.spread(OUTBOX_WAIT);
            Err(refused("outbox_full", ApiError::overloaded(wait)))
        }
        _ => Ok(()),
    }
}

/// Counts a refusal by its reason.
pub(crate) fn refused(reason: &'static str, error: ApiError) -> ApiError {
    metrics::ADMISSIONS_REFUSED.of([reason.into()]).increment(1);
    error
}

/// What a client is told: the time until there is room, and a random part of as much again,
/// so that not all of them come back at once.
fn come_back(app: &App, until_room: Duration) -> Duration {
    let wait = until_room.clamp(SHORTEST_WAIT, LONGEST_WAIT);
    wait + app.spread(wait)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const OWN: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
    const OTHER: WorkspaceId = WorkspaceId(Uuid::from_u128(2));

    fn at(second: i64) -> Time {
        Time::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    fn some(workspace_id: WorkspaceId, jobs: u64, since: i64) -> Unfinished {
        Unfinished {
            workspace_id,
            jobs,
            unstarted: jobs,
            unstarted_since: Some(at(since)),
            untouched: 0,
            untouched_since: None,
        }
    }

    #[test]
    fn a_workspace_waits_for_its_own_line_and_for_what_nobody_has_looked_at() {
        let mut other = some(OTHER, 500, 0);
        let load = Load::of(vec![some(OWN, 20, 90), other.clone()]);
        assert_eq!(load.oldest(OWN, at(100)).as_secs(), 10, "not for the other's line");
        assert_eq!(load.oldest(OTHER, at(100)).as_secs(), 100);
        (other.untouched, other.untouched_since) = (40, Some(at(70)));
        let load = Load::of(vec![some(OWN, 20, 90), other]);
        assert_eq!(load.oldest(OWN, at(100)).as_secs(), 30);
    }

    #[test]
    fn a_few_that_are_stuck_close_nothing() {
        let mut own = some(OWN, 7, 0);
        (own.untouched, own.untouched_since) = (7, Some(at(0)));
        assert_eq!(Load::of(vec![own]).oldest(OWN, at(1_000)), Duration::ZERO);
    }

    #[test]
    fn what_was_let_in_since_the_look_counts() {
        let load = Load::of(vec![some(OWN, 20, 0)]);
        load.let_in(OWN, 3);
        load.let_in(OTHER, 1);
        assert_eq!((load.jobs(OWN), load.jobs(OTHER)), (23, 1));
        // 40 s for 20: each of the four that are too many takes two.
        assert_eq!(load.until_room(OWN, 20, at(40)).as_secs(), 6);
    }
}
