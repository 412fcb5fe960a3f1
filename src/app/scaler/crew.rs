//! The processes of one kind of work, those that leave among them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::jobs::JobKind;
use quaestor_core::metrics;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::child::{Child, Ended, Leaving};

/// The pause before a process that died is replaced: at first, and at the most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// A process that lived as long did not die of being started.
const WELL: TimeDelta = TimeDelta::seconds(60);
/// How often it is told that a process leaves still.
const STILL_LEAVING: TimeDelta = TimeDelta::seconds(60);

/// The processes.
pub(super) struct Crew {
    kind: JobKind,
    program: PathBuf,
    flags: Vec<String>,
    changed: Arc<Notify>,
    children: Vec<Child>,
    /// How many have died one after the other, and until when none is started for it.
    deaths: u32,
    pause_until: Option<Time>,
}

impl Crew {
    pub(super) fn new(
        kind: JobKind,
        program: &Path,
        flags: &[String],
        changed: Arc<Notify>,
    ) -> Self {
        Self {
            kind,
            program: program.to_path_buf(),
            flags: flags.to_vec(),
            changed,
            children: Vec::new(),
            deaths: 0,
            pause_until: None,
        }
    }

    pub(super) fn kind(&self) -> JobKind {
        self.kind
    }

    /// How many there are that do not leave.
    pub(super) fn number(&self) -> u32 {
        let staying = self.children.iter().filter(|child| child.leaving.is_none()).count();
        u32::try_from(staying).unwrap_or(u32::MAX)
    }

    /// Whether every process has ended.
    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// The numbers of all.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.children.iter().map(Child::pid)
    }

    /// Forgets who has ended, says who takes long to leave, and counts.
    pub(super) fn tidy(&mut self, now: Time) {
        let (ended, there): (Vec<_>, Vec<_>) = std::mem::take(&mut self.children)
            .into_iter()
            .partition(|child| child.ended().is_some());
        self.children = there;
        for child in ended {
            match (child.leaving, child.ended()) {
                (Some(Leaving { since, .. }), how) => {
                    let took = (now - since).num_seconds();
                    info!(
                        "the worker process {} has left after {took} s{}",
                        child.pid(),
                        after(how.as_ref())
                    );
                }
                (None, how) => self.died(&child, how.as_ref(), now),
            }
        }
        for child in &mut self.children {
            let running = child.status().map_or(0, |status| status.running);
            let pid = child.pid();
            if let Some(leaving) = child.leaving.as_mut()
                && now - leaving.told_at >= STILL_LEAVING
            {
                leaving.told_at = now;
                warn!(
                    "the worker process {pid} was told to leave {} s ago and still does {running} \
                     steps; it is waited for",
                    (now - leaving.since).num_seconds()
                );
            }
        }
        // Whoever has lived for a while shows that processes can.
        if self.children.iter().any(|child| now - child.started_at >= WELL) {
            self.deaths = 0;
        }
        self.count();
    }

    fn died(&mut self, child: &Child, how: Option<&Ended>, now: Time) {
        if now - child.started_at >= WELL {
            self.deaths = 0;
        }
        metrics::SCALER_CRASHES.of([self.kind.as_str().into()]).increment(1);
        let pause = self.pause(now);
        error!(
            "the worker process {} for {} has died{}; another is started in {} s",
            child.pid(),
            self.kind.as_str(),
            after(how),
            pause.as_secs()
        );
    }

    /// The pause before the next start, which grows with each death.
    fn pause(&mut self, now: Time) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1_u32 << self.deaths.min(10)).min(LAST_PAUSE);
        self.deaths = self.deaths.saturating_add(1);
        self.pause_until = Some(now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::zero()));
        pause
    }

    /// Starts processes or has some leave, so that there are as many.
    pub(super) fn have(&mut self, number: u32, now: Time) {
        while self.number() > number {
            let Some(idlest) = self.idlest() else { break };
            info!("the worker process {} is the idlest and is told to leave", idlest.pid());
            idlest.leave(now);
        }
        if self.pause_until.is_some_and(|until| now < until) {
            return;
        }
        self.pause_until = None;
        while self.number() < number {
            let started =
                Child::start(&self.program, self.kind, &self.flags, now, self.changed.clone());
            match started {
                Ok(child) => {
                    info!("started the worker process {} for {}", child.pid(), self.kind.as_str());
                    self.children.push(child);
                }
                Err(reason) => {
                    metrics::SCALER_CRASHES.of([self.kind.as_str().into()]).increment(1);
                    let pause = self.pause(now);
                    error!(
                        error = &reason as &dyn std::error::Error,
                        "could not start a worker process; tried again in {} s",
                        pause.as_secs()
                    );
                    break;
                }
            }
        }
        self.count();
    }

    /// Whoever does the least of those that do not leave; of two the one that was started last.
    /// One that does not work yet does nothing.
    fn idlest(&mut self) -> Option<&mut Child> {
        self.children.iter_mut().filter(|child| child.leaving.is_none()).min_by_key(|child| {
            let running = child.status().map_or(0, |status| status.running);
            (running, std::cmp::Reverse(child.started_at))
        })
    }

    /// Tells all to leave, within the time of a drain.
    pub(super) fn end(&mut self, now: Time) {
        for child in &mut self.children {
            child.leave(now);
            child.hurry();
        }
    }

    fn count(&self) {
        let mut counts = [("starting", 0_u32), ("working", 0), ("leaving", 0)];
        for child in &self.children {
            let place = match (child.leaving, child.status()) {
                (Some(_), _) => 2,
                (None, Some(_)) => 1,
                (None, None) => 0,
            };
            counts[place].1 += 1;
        }
        for (state, count) in counts {
            let labels = [self.kind.as_str().into(), state.into()];
            metrics::SCALER_PROCESSES.of(labels).set(f64::from(count));
        }
    }
}

/// How it ended, as the rest of a sentence.
fn after(how: Option<&Ended>) -> String {
    match how {
        Some(Ended::With(status)) if status.success() => String::new(),
        Some(Ended::With(status)) => format!(" ({status})"),
        Some(Ended::Unknown(why)) => format!(" ({why})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn the_pause_grows_to_a_minute_and_no_further() {
        let changed = Arc::new(Notify::new());
        let mut crew = Crew::new(JobKind::Chat, Path::new("/no/program"), &[], changed);
        let pauses: Vec<u64> = (0..40).map(|_| crew.pause(at(0)).as_secs()).collect();
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(pauses[8..].iter().all(|pause| *pause == 60));
    }

    #[test]
    fn what_cannot_be_started_is_tried_again_after_the_pause_alone() {
        let changed = Arc::new(Notify::new());
        let mut crew = Crew::new(JobKind::Chat, Path::new("/no/program"), &[], changed);
        for (second, deaths) in [(0, 1), (0, 1), (1, 2), (2, 2), (3, 3), (6, 3), (7, 4)] {
            crew.have(3, at(second));
            assert_eq!((crew.number(), crew.deaths), (0, deaths), "{second}");
        }
    }
}
