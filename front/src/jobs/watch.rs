//! One job, watched to its end: the event log's events, and where the log has lost them,
//! a gap and the end as the store knows it. A watcher is never left hanging.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use quaestor_core::events::{Event, EventId, NumberedEvent};
use quaestor_core::ids::JobId;
use quaestor_core::model::{Caller, Job, JobState};
use quaestor_core::ports::event_log::Watched;
use quaestor_core::problem::Problem;

use super::visible_to;
use crate::app::App;
use crate::problem::{ApiError, chain};

/// The store is written before the log is: an end that the store knows is given this
/// long to arrive by the log.
const GRACE: Duration = Duration::from_millis(250);

/// What a watcher gets. The stream ends after the terminal event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WatchItem {
    /// The next event.
    Event(NumberedEvent),
    /// Events are gone: read the stored result.
    Gap,
}

/// Watches a job that the caller may see, from after an event on.
pub(crate) async fn watch_job(
    app: &App,
    caller: &Caller,
    job_id: JobId,
    after: Option<EventId>,
) -> Result<BoxStream<'static, WatchItem>, ApiError> {
    let job = app.front.store.job(caller.workspace_id, visible_to(caller), job_id).await?;
    let job = job.ok_or_else(|| ApiError::missing("job", job_id))?;
    let pause = if job.state.is_terminal() { GRACE } else { app.front.settings.watch_poll };
    Ok(watch(app, caller, job_id, after, (job.attempt, pause)).await)
}

/// Watches a job of the caller's that has just been accepted, from its beginning on.
pub(crate) async fn watch_new_job(
    app: &App,
    caller: &Caller,
    job_id: JobId,
) -> BoxStream<'static, WatchItem> {
    watch(app, caller, job_id, None, (0, app.front.settings.watch_poll)).await
}

async fn watch(
    app: &App,
    caller: &Caller,
    job_id: JobId,
    after: Option<EventId>,
    (attempt, pause): (u32, Duration),
) -> BoxStream<'static, WatchItem> {
    let mut watch = Watch {
        app: app.clone(),
        caller: *caller,
        job_id,
        last: after,
        life: attempt,
        resumed: after.is_some(),
        log: None,
        in_gap: false,
        pause,
        ended: false,
    };
    watch.open().await;
    stream::unfold(watch, |mut watch| async move {
        let item = watch.next().await?;
        Some((item, watch))
    })
    .boxed()
}

struct Watch {
    app: App,
    caller: Caller,
    job_id: JobId,
    /// The last event that the watcher has.
    last: Option<EventId>,
    /// The attempt that the job was at when it was first looked at. An end under an earlier
    /// one is of a life before: the job was replayed, and the log does not know it yet.
    life: u32,
    /// Whether the watcher came with an id and nothing was said to it yet.
    resumed: bool,
    /// The log's stream; none while the log is away.
    log: Option<BoxStream<'static, Watched>>,
    /// Whether the last word was a gap: it is not said twice.
    in_gap: bool,
    /// How long silence lasts before the store is asked.
    pause: Duration,
    /// Whether the terminal event was given.
    ended: bool,
}

/// What woke the watch.
enum Wakeup {
    Log(Option<Watched>),
    Silence,
}

impl Watch {
    async fn open(&mut self) {
        let opened =
            self.app.front.events.watch(self.caller.workspace_id, self.job_id, self.last).await;
        match opened {
            Ok(log) => self.log = Some(log),
            Err(error) => tracing::warn!(
                job.id = %self.job_id,
                error = %chain(&error),
                "the event log does not serve; the store is asked instead"
            ),
        }
    }

    async fn next(&mut self) -> Option<WatchItem> {
        while !self.ended {
            match self.wakeup().await {
                Wakeup::Log(Some(Watched::Event(event))) => {
                    self.pause = self.app.front.settings.watch_poll;
                    // A log that was opened again may begin before what was given.
                    if self.last.is_some_and(|last| event.id <= last) {
                        continue;
                    }
                    if event.event.is_terminal() && event.id.attempt < self.life {
                        self.last = Some(event.id);
                        self.resumed = false;
                        continue;
                    }
                    return Some(self.give(event));
                }
                Wakeup::Log(Some(Watched::Gap)) => {
                    if self.in_gap {
                        continue;
                    }
                    self.in_gap = true;
                    self.resumed = false;
                    return Some(WatchItem::Gap);
                }
                // The log has ended, has nothing after what the watcher has, and misses
                // nothing: the watcher has it all, unless the job has another life by now.
                Wakeup::Log(None) if self.resumed && !self.is_replayed() => return None,
                Wakeup::Log(None) => {
                    self.log = None;
                    self.pause = GRACE;
                }
                Wakeup::Silence => {
                    if let Some(item) = self.ask_store().await {
                        return Some(item);
                    }
                }
            }
        }
        None
    }

    async fn wakeup(&mut self) -> Wakeup {
        let silence = self.app.front.clock.sleep(self.pause);
        let Some(log) = &mut self.log else {
            silence.await;
            return Wakeup::Silence;
        };
        // What stands in the log goes first, however long this took.
        if let Some(item) = log.next().now_or_never() {
            return Wakeup::Log(item);
        }
        tokio::select! {
            biased;
            item = log.next() => Wakeup::Log(item),
            () = silence => Wakeup::Silence,
        }
    }

    /// Whether the watcher has the end of a life before alone.
    fn is_replayed(&self) -> bool {
        self.last.is_some_and(|last| last.attempt < self.life)
    }

    fn give(&mut self, event: NumberedEvent) -> WatchItem {
        self.last = Some(event.id);
        self.in_gap = false;
        self.resumed = false;
        self.ended = event.event.is_terminal();
        WatchItem::Event(event)
    }

    /// After silence: if the job has ended, says so in the log's stead.
    async fn ask_store(&mut self) -> Option<WatchItem> {
        let settings = &self.app.front.settings;
        let (workspace, visible) = (self.caller.workspace_id, visible_to(&self.caller));
        let job = match self.app.front.store.job(workspace, visible, self.job_id).await {
            Ok(job) => job,
            Err(error) => {
                tracing::warn!(job.id = %self.job_id, error = %chain(&error), "a watch waits");
                self.pause = settings.watch_poll;
                return None;
            }
        };
        let (terminal, attempt) = match job {
            // Its conversation or document was deleted while it was watched.
            None => (Event::Cancelled, 0),
            Some(job) if job.state.is_terminal() => {
                let fresh = job
                    .finished_at
                    .is_some_and(|at| self.app.front.clock.now() - at < chrono_of(GRACE));
                if fresh {
                    self.pause = GRACE;
                    return None;
                }
                (self.terminal(&job).await, job.attempt)
            }
            Some(_) => {
                self.pause = settings.watch_poll;
                if self.log.is_none() {
                    self.open().await;
                }
                return None;
            }
        };
        if !self.in_gap {
            self.in_gap = true;
            self.pause = Duration::ZERO;
            self.log = None;
            return Some(WatchItem::Gap);
        }
        let id = after(self.last, attempt);
        Some(self.give(NumberedEvent { id, event: terminal }))
    }

    /// The end of a job, from what is stored of it.
    async fn terminal(&mut self, job: &Job) -> Event {
        match job.state {
            JobState::Done => Event::Done { usage: self.usage().await },
            JobState::Cancelled => Event::Cancelled,
            _ => Event::Failed {
                problem: job.problem.clone().unwrap_or_else(|| {
                    Problem::new("job_failed", "The job failed", "no reason was kept")
                }),
            },
        }
    }

    async fn usage(&mut self) -> Option<quaestor_core::model::Usage> {
        let (workspace, principal) = (self.caller.workspace_id, self.caller.principal_id);
        match self.app.front.store.answer_of_job(workspace, principal, self.job_id).await {
            Ok(answer) => answer.and_then(|answer| answer.usage),
            Err(error) => {
                tracing::warn!(job.id = %self.job_id, error = %chain(&error), "usage is left out");
                None
            }
        }
    }
}

/// A number for an event that the log does not have: after all that the watcher has.
fn after(last: Option<EventId>, attempt: u32) -> EventId {
    match last {
        Some(last) if last.attempt >= attempt => {
            EventId { attempt: last.attempt, seq: last.seq.saturating_add(1) }
        }
        _ => EventId { attempt, seq: 1 },
    }
}

fn chrono_of(duration: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(duration).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_end_is_numbered_after_what_the_watcher_has() {
        let id = |text: &str| text.parse::<EventId>().unwrap();
        assert_eq!(after(Some(id("1-7")), 1), id("1-8"));
        assert_eq!(after(Some(id("1-7")), 2), id("2-1"));
        assert_eq!(after(Some(id("3-7")), 2), id("3-8"));
        assert_eq!(after(None, 0), id("0-1"));
    }
}
