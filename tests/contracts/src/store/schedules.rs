//! What is done by the clock: each moment makes one run, and each run has one worker.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use futures::future::join_all;
use quaestor_core::clock::Time;
use quaestor_core::model::{Cursor, PageRequest, RunState, Schedule, Timing};
use quaestor_core::ports::store::{
    Asked, ClaimedRun, Fired, Moment, RunEnd, ScheduleChange, ScheduleOffer,
};
use quaestor_core::schedule::Missed;
use serde_json::json;
use uuid::Uuid;

use super::fixture::Fixture;

const LEASE: Duration = Duration::from_secs(60);

fn timing(cron: &str) -> Timing {
    Timing { cron: cron.to_owned(), zone: "Europe/Zurich".to_owned(), missed: Missed::RunOnce }
}

fn offer(name: &str, cron: &str) -> ScheduleOffer {
    ScheduleOffer {
        name: name.to_owned(),
        task: "check".to_owned(),
        options: json!({"a": 1}),
        timing: timing(cron),
        enabled: true,
    }
}

impl Fixture {
    async fn offered(&self, name: &str) -> Schedule {
        self.store.offer_schedules(&[offer(name, "0 3 * * *")], self.now()).await.unwrap();
        self.schedule(name).await
    }

    async fn schedule(&self, name: &str) -> Schedule {
        let listed = self.store.list_schedules().await.unwrap();
        listed.into_iter().find(|one| one.name == name).expect("it is there")
    }

    fn later(&self, seconds: u64) -> Time {
        self.now() + Duration::from_secs(seconds)
    }

    async fn fire(&self, seen: &Schedule, moment: Option<Moment>) -> Fired {
        let next = self.later(3_600);
        self.store.fire_schedule(seen, moment, next, self.id(), self.now()).await.unwrap()
    }

    async fn change(&self, name: &str, change: ScheduleChange) -> bool {
        let audit = (self.workspace, self.audit("schedule.set"));
        self.store.change_schedule(name, change, audit, self.now()).await.unwrap()
    }

    async fn take_run(&self) -> Option<ClaimedRun> {
        self.store.claim_run("check", self.now() + LEASE, self.now()).await.unwrap()
    }

    async fn ask_for(&self, name: &str, options: serde_json::Value) -> (Uuid, Asked) {
        let (id, audit) = (self.id(), (self.workspace, self.audit("schedule.run")));
        (id, self.store.ask_run(name, id, options, audit, self.now()).await.unwrap())
    }
}

pub async fn of_many_that_take_a_moment_one_makes_its_run(f: Fixture) {
    let seen = f.offered("nightly").await;
    assert_eq!((seen.next_at, seen.enabled), (None, true));
    assert_eq!(f.fire(&seen, None).await, Fired::Set, "the first moment is set");
    assert_eq!(f.fire(&seen, None).await, Fired::Not, "by one of them");
    f.pass(Duration::from_secs(3_600));
    let seen = f.schedule("nightly").await;
    let due = seen.next_at.unwrap();
    assert_eq!(due, f.now());
    let fired = join_all((0..8).map(|_| f.fire(&seen, Some(Moment::Run(due))))).await;
    let made: Vec<&Fired> = fired.iter().filter(|fired| **fired != Fired::Not).collect();
    assert_eq!(made, [&Fired::Run(RunState::Queued)]);
    let page = PageRequest { after: None, limit: 10 };
    let runs = f.store.list_runs("nightly", page).await.unwrap().items;
    assert_eq!(runs.len(), 1);
    let (run, options) = (&runs[0], json!({"a": 1}));
    assert_eq!((run.due_at, run.state, &run.options), (Some(due), RunState::Queued, &options));
    // A moment that comes again, as when a clock is set back, makes no second run.
    let ended = f.take_run().await.unwrap();
    f.store.end_run(ended.held, RunEnd::Done { report: json!({}) }, f.now()).await.unwrap();
    let seen = f.schedule("nightly").await;
    assert_eq!(f.fire(&seen, Some(Moment::Run(due))).await, Fired::Set);
    assert_eq!(f.store.list_runs("nightly", page).await.unwrap().items.len(), 1);
}

pub async fn a_moment_whose_run_before_has_not_ended_is_skipped(f: Fixture) {
    let seen = f.offered("nightly").await;
    assert_eq!(f.fire(&seen, Some(Moment::Run(f.now()))).await, Fired::Run(RunState::Queued));
    f.pass(Duration::from_secs(60));
    let seen = f.schedule("nightly").await;
    assert_eq!(f.fire(&seen, Some(Moment::Run(f.now()))).await, Fired::Run(RunState::Skipped));
    f.pass(Duration::from_secs(60));
    let seen = f.schedule("nightly").await;
    let missed = f.fire(&seen, Some(Moment::Missed(f.now()))).await;
    assert_eq!(missed, Fired::Run(RunState::Missed));
    let seen = f.schedule("nightly").await;
    assert_eq!(seen.current.unwrap().state, RunState::Queued);
    let last = seen.last.unwrap();
    assert_eq!((last.state, last.ended_at), (RunState::Missed, Some(f.now())));
    assert!(f.take_run().await.is_some());
    assert!(f.take_run().await.is_none(), "what was skipped or missed is not done");
}

pub async fn what_an_operator_has_changed_stays(f: Fixture) {
    let seen = f.offered("nightly").await;
    f.fire(&seen, None).await;
    let next = f.schedule("nightly").await.next_at;
    f.offered("nightly").await;
    assert_eq!(f.schedule("nightly").await.next_at, next, "the same again changes nothing");
    let only_missed = ScheduleChange::Timing { cron: None, zone: None, missed: Some(Missed::Skip) };
    assert!(f.change("nightly", only_missed).await);
    assert_eq!(f.schedule("nightly").await.next_at, next);
    let cron = Some("15 4 * * 1".to_owned());
    assert!(f.change("nightly", ScheduleChange::Timing { cron, zone: None, missed: None }).await);
    let set = f.schedule("nightly").await;
    assert_eq!(set.next_at, None, "another time has another next moment");
    assert_eq!(f.fire(&seen, None).await, Fired::Not, "who knows the old time sets none");
    f.fire(&set, None).await;
    // The configuration changes beneath: what was not set by hand follows it.
    let mut other = offer("nightly", "0 5 * * *");
    f.store.offer_schedules(std::slice::from_ref(&other), f.now()).await.unwrap();
    assert!(f.schedule("nightly").await.next_at.is_some(), "it is not due at another time");
    other.timing.zone = "UTC".to_owned();
    f.store.offer_schedules(&[other], f.now()).await.unwrap();
    let after = f.schedule("nightly").await;
    assert_eq!(after.next_at, None);
    assert_eq!((&*after.timing.cron, &*after.timing.zone), ("15 4 * * 1", "UTC"));
    assert_eq!((after.timing.missed, after.configured.missed), (Missed::Skip, Missed::RunOnce));
    assert_eq!(after.configured.cron, "0 5 * * *");
    assert!(f.change("nightly", ScheduleChange::Reset).await);
    let reset = f.schedule("nightly").await;
    assert_eq!(reset.timing, reset.configured);
    assert!(!f.change("none", ScheduleChange::Reset).await);
    let page = PageRequest { after: None, limit: 10 };
    let audit = f.store.list_audit(f.workspace, page).await.unwrap().items;
    assert_eq!(audit.iter().filter(|entry| entry.action == "schedule.set").count(), 3);
}

pub async fn what_is_paused_or_switched_off_is_not_taken(f: Fixture) {
    let seen = f.offered("nightly").await;
    f.fire(&seen, None).await;
    let seen = f.schedule("nightly").await;
    assert!(f.change("nightly", ScheduleChange::Pause).await);
    let moment = Some(Moment::Run(f.now()));
    assert_eq!(f.fire(&seen, moment.clone()).await, Fired::Not);
    let paused = f.schedule("nightly").await;
    assert_eq!((paused.paused_at, paused.next_at), (Some(f.now()), None));
    assert_eq!(f.fire(&paused, moment.clone()).await, Fired::Not);
    assert!(matches!(f.ask_for("nightly", json!({})).await, (_, Asked::Queued)));
    assert!(f.change("nightly", ScheduleChange::Resume).await);
    let resumed = f.schedule("nightly").await;
    assert_eq!((resumed.paused_at, resumed.next_at), (None, None));
    assert_eq!(f.fire(&resumed, None).await, Fired::Set);
    assert!(f.change("nightly", ScheduleChange::Resume).await);
    assert!(f.schedule("nightly").await.next_at.is_some(), "what is not paused goes on as it did");
    // Nobody offers it any more.
    f.pass(Duration::from_secs(600));
    assert_eq!(f.store.keep_schedules(&["nightly".to_owned()], f.now()).await.unwrap(), 1);
    assert_eq!(f.store.retire_schedules(f.now()).await.unwrap(), 0);
    f.pass(Duration::from_secs(600));
    assert_eq!(f.store.retire_schedules(f.now()).await.unwrap(), 1);
    let off = f.schedule("nightly").await;
    assert!(!off.enabled);
    assert_eq!(f.fire(&off, moment).await, Fired::Not);
    assert_eq!(f.store.keep_schedules(&["nightly".to_owned()], f.now()).await.unwrap(), 0);
    f.take_run().await.unwrap();
    assert_eq!(f.ask_for("nightly", json!({})).await.1, Asked::Missing);
    // A moment that passed while it was off is still known when it is offered again.
    assert_eq!(f.offered("nightly").await.next_at, off.next_at);
    assert!(off.next_at.is_some());
}

pub async fn a_run_whose_worker_died_goes_on_where_it_was(f: Fixture) {
    let seen = f.offered("nightly").await;
    f.fire(&seen, Some(Moment::Run(f.now()))).await;
    let claims = join_all((0..8).map(|_| f.take_run())).await;
    let claims: Vec<ClaimedRun> = claims.into_iter().flatten().collect();
    assert_eq!(claims.len(), 1, "one worker has it");
    let first = &claims[0];
    assert_eq!((first.run.tries, first.run.state), (1, RunState::Running));
    assert_eq!(first.checkpoint, None);
    f.pass(Duration::from_secs(50));
    let until = f.now() + LEASE;
    let at = json!({"at": 7});
    assert!(f.store.renew_run(first.held, Some(at.clone()), until).await.unwrap());
    assert!(f.store.renew_run(first.held, None, until).await.unwrap());
    f.pass(Duration::from_secs(59));
    assert!(f.take_run().await.is_none(), "it was renewed");
    f.pass(Duration::from_secs(1));
    let second = f.take_run().await.unwrap();
    assert_eq!(second.checkpoint, Some(at));
    assert_eq!((second.held.id, second.run.tries), (first.held.id, 2));
    assert_eq!(second.run.began_at, first.run.began_at);
    assert!(!f.store.renew_run(first.held, None, until).await.unwrap());
    let late = RunEnd::Done { report: json!("late") };
    assert!(!f.store.end_run(first.held, late, f.now()).await.unwrap());
    let done = RunEnd::Done { report: json!({"found": 0}) };
    assert!(f.store.end_run(second.held, done, f.now()).await.unwrap());
    f.pass(LEASE);
    assert!(f.take_run().await.is_none());
    let run = f.store.last_done("nightly").await.unwrap().unwrap();
    assert_eq!((run.id, run.report.clone()), (second.held.id, Some(json!({"found": 0}))));
    assert_eq!(f.store.schedule_run(run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(f.schedule("nightly").await.last, Some(run));
}

pub async fn a_run_that_is_put_off_waits_and_may_fail(f: Fixture) {
    let seen = f.offered("nightly").await;
    f.fire(&seen, Some(Moment::Run(f.now()))).await;
    let first = f.take_run().await.unwrap();
    let again = |tried| {
        let (error, at) = ("the bucket is away".to_owned(), f.later(600));
        RunEnd::Again { error, at, tried }
    };
    assert!(f.store.end_run(first.held, again(false), f.now()).await.unwrap());
    f.pass(Duration::from_secs(599));
    assert!(f.take_run().await.is_none());
    f.pass(Duration::from_secs(1));
    let second = f.take_run().await.unwrap();
    assert_eq!(second.run.tries, 1, "the first was no try");
    assert_eq!(second.run.error.as_deref(), Some("the bucket is away"));
    assert!(f.store.end_run(second.held, again(true), f.now()).await.unwrap());
    f.pass(Duration::from_secs(600));
    let third = f.take_run().await.unwrap();
    assert_eq!(third.run.tries, 2);
    let failed = RunEnd::Failed { error: "the bucket is gone\0".to_owned() };
    assert!(f.store.end_run(third.held, failed, f.now()).await.unwrap());
    let last = f.schedule("nightly").await.last.unwrap();
    assert_eq!((last.state, last.ended_at), (RunState::Failed, Some(f.now())));
    assert!(last.error.unwrap().starts_with("the bucket is gone"));
    assert_eq!(f.store.last_done("nightly").await.unwrap(), None);
}

pub async fn of_many_that_ask_for_a_run_one_is_given_it(f: Fixture) {
    f.offered("nightly").await;
    let options = json!({"repair": true});
    let asked = join_all((0..8).map(|_| f.ask_for("nightly", options.clone()))).await;
    let queued: Vec<Uuid> =
        asked.iter().filter(|(_, asked)| *asked == Asked::Queued).map(|(id, _)| *id).collect();
    assert_eq!(queued.len(), 1);
    let refused = asked.iter().filter(|(_, asked)| *asked == Asked::Unfinished(queued[0])).count();
    assert_eq!(refused, 7);
    assert_eq!(f.ask_for("none", json!({})).await.1, Asked::Missing);
    let claimed = f.take_run().await.unwrap();
    assert_eq!((claimed.run.due_at, claimed.run.options), (None, options));
    // Asked for again once it has ended; runs are listed newest first, in pages.
    for _ in 0..4 {
        let run = match f.schedule("nightly").await.current {
            Some(run) if run.state == RunState::Running => claimed.held,
            _ => {
                f.pass(Duration::from_secs(1));
                assert_eq!(f.ask_for("nightly", json!({})).await.1, Asked::Queued);
                f.take_run().await.unwrap().held
            }
        };
        f.store.end_run(run, RunEnd::Done { report: json!(null) }, f.now()).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = PageRequest { after, limit: 3 };
        let page = f.store.list_runs("nightly", page).await.unwrap();
        seen.extend(page.items.into_iter().map(|run| run.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!((seen.len(), seen), (4, sorted));
}
