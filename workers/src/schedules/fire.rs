//! What has come due is taken, once.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::failpoint;
use quaestor_core::metrics;
use quaestor_core::model::{RunState, Schedule};
use quaestor_core::ports::store::{Fired, Moment, ScheduleOffer, StoreError};
use quaestor_core::schedule::{Missed, Timetable};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::context::Context;

/// How often is looked, where nothing is due sooner.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(5);
/// How often a process says that it still offers what it offers.
const OFFER_EVERY: TimeDelta = TimeDelta::minutes(10);
/// What nobody has offered for so long is switched off.
const RETIRED_AFTER: TimeDelta = TimeDelta::hours(1);
/// A moment that is seen so late was missed: no process was there.
pub(super) const MISSED_AFTER: TimeDelta = TimeDelta::minutes(5);

/// Looks what is due, for ever; tells which tasks have a run to be done.
pub(super) async fn fire(
    context: &Context,
    offers: &[ScheduleOffer],
    waiting: &watch::Sender<HashSet<String>>,
) {
    let mut looker = Looker { context, offers, offered: None, unreadable: HashSet::new() };
    loop {
        let looked = looker.look(waiting).await;
        let now = context.clock.now();
        let until = match looked {
            Ok(next) => next.map_or(now + LOOK_EVERY, |next| next.min(now + LOOK_EVERY)),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(error, "could not look which schedules are due");
                now + LOOK_EVERY
            }
        };
        context.clock.sleep((until - now).to_std().unwrap_or(Duration::ZERO)).await;
    }
}

struct Looker<'a> {
    context: &'a Context,
    offers: &'a [ScheduleOffer],
    /// When it was last said what is offered.
    offered: Option<Time>,
    /// Schedules that were complained about.
    unreadable: HashSet<String>,
}

impl Looker<'_> {
    /// Takes what is due. Returns when the next moment is.
    async fn look(
        &mut self,
        waiting: &watch::Sender<HashSet<String>>,
    ) -> Result<Option<Time>, StoreError> {
        self.offer().await?;
        let store = &self.context.store;
        let mut next = None;
        let mut fired = false;
        let listed = store.list_schedules().await?;
        for schedule in &listed {
            if !schedule.enabled || schedule.paused_at.is_some() {
                continue;
            }
            let now = self.context.clock.now();
            let timing = &schedule.timing;
            let timetable = match Timetable::new(&timing.cron, &timing.zone, now) {
                Ok(timetable) => timetable,
                Err(why) => {
                    if self.unreadable.insert(schedule.name.clone()) {
                        error!("the schedule {} is never due: {why}", schedule.name);
                    }
                    continue;
                }
            };
            let at = match schedule.next_at {
                Some(at) if at > now => at,
                _ => {
                    fired |= self.take(schedule, &timetable, now).await?;
                    match timetable.after(now) {
                        Some(at) => at,
                        None => continue,
                    }
                }
            };
            next = Some(next.map_or(at, |next: Time| next.min(at)));
        }
        let listed = if fired { store.list_schedules().await? } else { listed };
        let tasks = listed.into_iter().filter_map(|one| one.current).map(|run| run.task).collect();
        waiting.send_replace(tasks);
        Ok(next)
    }

    /// Says what this process offers: at the start all of it, later that it still does.
    async fn offer(&mut self) -> Result<(), StoreError> {
        let (store, now) = (&self.context.store, self.context.clock.now());
        match self.offered {
            Some(at) if at <= now && now - at < OFFER_EVERY => return Ok(()),
            None => store.offer_schedules(self.offers, now).await?,
            Some(_) => {
                let wanted = self.offers.iter().filter(|offer| offer.enabled);
                let names: Vec<String> = wanted.map(|offer| offer.name.clone()).collect();
                if store.keep_schedules(&names, now).await? < names.len() as u64 {
                    store.offer_schedules(self.offers, now).await?;
                }
            }
        }
        let retired = store.retire_schedules(now - RETIRED_AFTER).await?;
        if retired > 0 {
            info!("{retired} schedules are switched off: no worker offers them any more");
        }
        self.offered = Some(now);
        Ok(())
    }

    /// Takes the moment that has come, or sets the first one. Whether a run is there now.
    async fn take(
        &self,
        schedule: &Schedule,
        timetable: &Timetable,
        now: Time,
    ) -> Result<bool, StoreError> {
        let Some(next) = timetable.after(now) else { return Ok(false) };
        let moment = schedule.next_at.map(|due| moment(schedule, timetable, due, now));
        let run = self.context.ids.next();
        let fired =
            self.context.store.fire_schedule(schedule, moment.clone(), next, run, now).await?;
        let Fired::Run(state) = fired else { return Ok(false) };
        failpoint::hit("schedule.after_fire");
        let name = &schedule.name;
        let at = match moment {
            Some(Moment::Run(at) | Moment::Missed(at)) => timetable.shown(at),
            None => String::new(),
        };
        match state {
            RunState::Missed => {
                told(name, state);
                warn!(
                    schedule.name = name,
                    "{name} was due at {at}, when no worker was there; it \
                      waits for {}",
                    timetable.shown(next)
                );
            }
            RunState::Skipped => {
                told(name, state);
                warn!(
                    schedule.name = name,
                    "{name} is due at {at}, and the run before has not \
                      ended; it waits for {}",
                    timetable.shown(next)
                );
            }
            _ => info!(schedule.name = name, "{name} is due ({at})"),
        }
        Ok(true)
    }
}

/// Counts a run by how it ended.
pub(super) fn told(schedule: &str, state: RunState) {
    let schedule = metrics::SCHEDULE_NAMES.or_other(schedule);
    metrics::SCHEDULE_RUNS.of([schedule.into(), state.as_str().into()]).increment(1);
}

/// What becomes of a schedule that was due: the last of the moments that have passed counts,
/// and all before it with it.
fn moment(schedule: &Schedule, timetable: &Timetable, due: Time, now: Time) -> Moment {
    let last = timetable.last(due, now).unwrap_or(due);
    if schedule.timing.missed == Missed::Skip && now - last > MISSED_AFTER {
        Moment::Missed(last)
    } else {
        Moment::Run(last)
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::model::Timing;
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn schedule(missed: Missed) -> (Schedule, Timetable) {
        let (cron, zone) = ("0 3 * * *".to_owned(), "UTC".to_owned());
        let timetable = Timetable::new(&cron, &zone, at("2026-11-01T00:00:00Z")).unwrap();
        let timing = Timing { cron, zone, missed };
        let schedule = Schedule {
            name: "backup".to_owned(),
            task: "backup".to_owned(),
            options: json!({}),
            configured: timing.clone(),
            timing,
            enabled: true,
            paused_at: None,
            next_at: None,
            current: None,
            last: None,
        };
        (schedule, timetable)
    }

    #[test]
    fn of_many_missed_moments_the_last_is_run_or_none() {
        let due = at("2026-11-10T03:00:00Z");
        for (now, run_once, skip) in [
            // A little late is not missed.
            ("2026-11-10T03:04:59Z", Moment::Run(due), Moment::Run(due)),
            ("2026-11-10T04:00:00Z", Moment::Run(due), Moment::Missed(due)),
            (
                "2026-11-22T02:00:00Z",
                Moment::Run(at("2026-11-21T03:00:00Z")),
                Moment::Missed(at("2026-11-21T03:00:00Z")),
            ),
            (
                "2026-11-22T03:01:00Z",
                Moment::Run(at("2026-11-22T03:00:00Z")),
                Moment::Run(at("2026-11-22T03:00:00Z")),
            ),
        ] {
            for (missed, wanted) in [(Missed::RunOnce, run_once), (Missed::Skip, skip)] {
                let (schedule, timetable) = schedule(missed);
                assert_eq!(moment(&schedule, &timetable, due, at(now)), wanted, "{missed} {now}");
            }
        }
    }
}
