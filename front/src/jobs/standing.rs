//! Why a queued job does not run: worked out when somebody asks, from the front of its queue
//! and from what the workers tell of themselves. Nothing is counted where work is accepted
//! or claimed, and however many ask, each is read once in a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::jobs::Step;
use quaestor_core::model::{Job, JobState, Reason, Taking, WORKERS_TOPIC};
use quaestor_core::ports::store::QueuedJob;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::app::App;
use crate::problem::{ApiError, chain};

/// How old what is known of a queue may be.
const GOOD_FOR: Duration = Duration::from_secs(2);
/// Places that are told; beyond it a job knows only that it is queued.
const PLACES: u32 = 1_000;
/// A message that is due for so long and on no queue is kept from it by something.
const PUBLISHED_IN: TimeDelta = TimeDelta::seconds(10);

/// A job with why it does not run.
#[derive(Debug, Serialize)]
pub(crate) struct ShownJob {
    #[serde(flatten)]
    job: Job,
    /// Its place in its queue, from 1; null where it is not queued, or is further back than
    /// is counted.
    position: Option<u64>,
    /// How many jobs of its own workspace stand before it.
    ahead: Option<u64>,
}

impl From<Job> for ShownJob {
    fn from(job: Job) -> Self {
        Self { job, position: None, ahead: None }
    }
}

/// What was read, and when.
type Seen<T> = (Time, Arc<Vec<T>>);

/// What was read of queues and workers a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    queues: Mutex<HashMap<Step, Seen<QueuedJob>>>,
    workers: Mutex<Option<Seen<Taking>>>,
}

/// Jobs as they are shown, each with why it does not run.
pub(crate) async fn shown(app: &App, jobs: Vec<Job>) -> Result<Vec<ShownJob>, ApiError> {
    let mut all = Vec::with_capacity(jobs.len());
    for job in jobs {
        all.push(match job.state {
            JobState::Queued => queued(app, job).await?,
            _ => job.into(),
        });
    }
    Ok(all)
}

/// One job as it is shown.
pub(crate) async fn shown_one(app: &App, job: Job) -> Result<ShownJob, ApiError> {
    match job.state {
        JobState::Queued => queued(app, job).await,
        _ => Ok(job.into()),
    }
}

async fn queued(app: &App, mut job: Job) -> Result<ShownJob, ApiError> {
    if job.reason.as_deref() == Some(Reason::BatchPaused.as_str()) {
        return Ok(job.into());
    }
    let queue = front_of(app, job.step).await?;
    let workers = taking(app).await;
    let now = app.front.clock.now();
    let place = queue.iter().position(|queued| queued.job_id == job.id);
    let found = place.and_then(|place| queue.get(place));
    let (reason, until) = match found {
        Some(queued) if !queued.sent && queued.due_at + PUBLISHED_IN < now => {
            (Reason::Unpublished, None)
        }
        _ => taken(&workers, job.step, now),
    };
    job.reason = Some(reason.as_str().to_owned());
    job.until = until;
    let ahead = place.zip(found).map(|(place, own)| {
        let before = queue.iter().take(place);
        before.filter(|other| other.workspace_id == own.workspace_id).count() as u64
    });
    Ok(ShownJob { job, position: place.map(|place| place as u64 + 1), ahead })
}

/// Whether anybody takes a step's queue, and from when on. Workers that cannot be asked are
/// taken to be there.
fn taken(workers: &[Taking], step: Step, now: Time) -> (Reason, Option<Time>) {
    let mut takers = workers.iter().filter(|taking| taking.step == step).peekable();
    if takers.peek().is_none() {
        return (Reason::NoWorker, None);
    }
    // A pause that is over by now was told before it ended.
    let pauses: Option<Vec<Time>> =
        takers.map(|taking| taking.paused_until.filter(|until| *until > now)).collect();
    match pauses.and_then(|pauses| pauses.into_iter().min()) {
        Some(until) => (Reason::ModelBreakerOpen, Some(until)),
        None => (Reason::Queue, None),
    }
}

/// The front of a step's queue, as it was a moment ago. Those who ask together wait for one
/// look.
async fn front_of(app: &App, step: Step) -> Result<Arc<Vec<QueuedJob>>, ApiError> {
    let mut known = app.standings.queues.lock().await;
    let now = app.front.clock.now();
    if let Some((at, queue)) = known.get(&step)
        && *at + GOOD_FOR > now
    {
        return Ok(queue.clone());
    }
    let queue = Arc::new(app.front.store.queue_front(step, PLACES).await?);
    known.insert(step, (now, queue.clone()));
    Ok(queue)
}

/// What the workers tell of themselves.
pub(crate) async fn taking(app: &App) -> Arc<Vec<Taking>> {
    let mut known = app.standings.workers.lock().await;
    let now = app.front.clock.now();
    if let Some((at, workers)) = known.as_ref()
        && *at + GOOD_FOR > now
    {
        return workers.clone();
    }
    let told: Vec<Taking> = match app.front.noticeboard.read(WORKERS_TOPIC).await {
        Ok(notices) => notices
            .into_iter()
            // A process of another version may tell what this one cannot read.
            .flat_map(|(_, notice)| {
                serde_json::from_value::<Vec<Taking>>(notice).unwrap_or_default()
            })
            .collect(),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the workers cannot be asked");
            let there = |step| Taking { step, slots: 1, paused_until: None };
            Step::ALL.into_iter().map(there).collect()
        }
    };
    let workers = Arc::new(told);
    *known = Some((now, workers.clone()));
    workers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_paused_only_where_all_who_take_it_pause() {
        let at = |seconds| Time::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let one = |step, paused| Taking { step, slots: 1, paused_until: paused };
        let step = Step::ChatGenerate;
        for (workers, wanted) in [
            (vec![], (Reason::NoWorker, None)),
            (vec![one(Step::ChatRetrieve, None)], (Reason::NoWorker, None)),
            (vec![one(step, Some(at(9))), one(step, None)], (Reason::Queue, None)),
            (vec![one(step, Some(at(1)))], (Reason::Queue, None)),
            (
                vec![one(step, Some(at(9))), one(step, Some(at(7)))],
                (Reason::ModelBreakerOpen, Some(at(7))),
            ),
        ] {
            assert_eq!(taken(&workers, step, at(1)), wanted, "{workers:?}");
        }
    }
}
