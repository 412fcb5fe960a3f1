//! `collections.reindex`: gives all passages of a collection their vectors in a generation,
//! and then makes it the one that is searched.
//!
//! Documents that come in meanwhile are given theirs by `documents.embed`, so that one look
//! through all passages is enough: none that was behind it can have lost its vector. What it
//! has given is committed batch by batch. It runs for some minutes and then queues itself
//! again, so that no message is held for long and other collections have their turn.

use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::jobs::{ReindexPayload, Step};
use quaestor_core::metrics;
use quaestor_core::model::{Allowance, Generation, GenerationState, Reason};
use quaestor_core::ports::store::{ReindexSubject, Switch};
use tracing::info;

use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::registry::{Handler, Running};
use crate::vectors::give_vectors;

/// Requests to a model at once.
const AT_ONCE: u32 = 4;
/// After so long it queues itself again.
const TURN: TimeDelta = TimeDelta::minutes(5);
/// A pause for the sake of the rate that is at most so long is waited for in place.
const SHORT_PAUSE: TimeDelta = TimeDelta::seconds(2);
/// One that is paused is looked at again after so long, should its resumption be missed.
const PAUSED_FOR: Duration = Duration::from_hours(1);
/// When a budget that is spent is looked at again.
const BUDGET_AFTER: Duration = Duration::from_mins(15);
/// When the index is looked at again that is being built.
const INDEX_AFTER: Duration = Duration::from_secs(5);

/// The handler of `collections.reindex`.
pub(crate) struct Reindex;

/// No process of this queue can ask the model.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model {model} with vectors of {dimensions} numbers is not configured here: name it in `models.embed` or `models.embed_also`"
)]
struct NoModel {
    model: String,
    dimensions: u32,
}

#[async_trait]
impl Handler for Reindex {
    const STEP: Step = Step::CollectionsReindex;
    type Payload = ReindexPayload;

    async fn run(
        context: &Context,
        job: &Running,
        payload: ReindexPayload,
    ) -> Result<Outcome, Decision> {
        let (store, id) = (&context.store, payload.generation_id);
        let Some(subject) = store.reindex_subject(job.workspace, id).await? else {
            return Ok(Outcome::SubjectGone);
        };
        fill(context, job, &subject).await?;
        failpoint::store("reindex.before_switch")?;
        let (claim, now) = (&job.claim, context.clock.now());
        if subject.generation.state != GenerationState::Building {
            store.finish_reindex(job.workspace, claim, now).await?;
            return Ok(Outcome::Ended(vec![Event::Done { usage: None }]));
        }
        match store.switch_generation(job.workspace, claim, id, subject.skipped, now).await? {
            Switch::Done => {
                let took = metrics::seconds(now, context.clock.now());
                metrics::GENERATION_SWITCH_SECONDS.of([]).record(took);
                info!(
                    collection.id = %payload.collection_id,
                    model = subject.generation.model,
                    "the search of the collection has changed over to its new vectors"
                );
                Ok(Outcome::Ended(vec![Event::Done { usage: None }]))
            }
            Switch::Behind => Err(Decision::PutOff { reason: Reason::GoesOn, after: INDEX_AFTER }),
            Switch::IndexMissing => {
                Err(Decision::PutOff { reason: Reason::IndexBuilding, after: INDEX_AFTER })
            }
        }
    }
}

/// Looks through all passages of the collection, and gives those their vector that lack it.
async fn fill(context: &Context, job: &Running, subject: &ReindexSubject) -> Result<(), Decision> {
    let (store, clock) = (&context.store, &context.clock);
    let Generation { id, model, dimensions, .. } = &subject.generation;
    let (total, mut done) = store.reindex_progress(job.workspace, *id).await?;
    let begun = clock.now();
    let limit = context.settings.embed_batch.saturating_mul(AT_ONCE);
    // A slow rate is kept by small portions: a minute's at the most.
    let limit = subject.passages_per_minute.map_or(limit, |rate| limit.min(rate)).max(1);
    let mut cursor = None;
    loop {
        if job.cancel.is_cancelled() {
            return Err(Decision::Cancelled);
        }
        let now = clock.now();
        if now - begun >= TURN {
            return Err(Decision::PutOff { reason: Reason::GoesOn, after: Duration::ZERO });
        }
        may_go_on(context, job, subject).await?;
        let found = store.passages_to_index(job.workspace, *id, cursor, limit).await?;
        if !found.chunks.is_empty() {
            let embedder = context.embedders.of(&subject.generation).ok_or_else(|| {
                let error = NoModel { model: model.clone(), dimensions: *dimensions };
                Decision::retry("model_unavailable", error)
            })?;
            let count = found.chunks.len() as u64;
            failpoint::store("reindex.before_save")?;
            give_vectors(context, job, embedder, *id, found.chunks).await?;
            failpoint::store("reindex.mid_way")?;
            metrics::PASSAGES_REINDEXED.of([]).increment(count);
            done += count;
            let unit = "passages".to_owned();
            if !job.emitter.emit(Event::Progress { done, total: total.max(done), unit }).await {
                return Err(Decision::Fenced);
            }
            if let Some(rate) = subject.passages_per_minute {
                keep_pace(context, now, count, rate).await?;
            }
        }
        match found.next {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

/// Whether nobody has paused it, and there is money for it.
async fn may_go_on(
    context: &Context,
    job: &Running,
    subject: &ReindexSubject,
) -> Result<(), Decision> {
    let found = context.store.reindex_subject(job.workspace, subject.generation.id).await?;
    match found {
        // Dropped: whoever did has cancelled the job, or will.
        None => return Err(Decision::Cancelled),
        Some(now) if now.paused => {
            return Err(Decision::PutOff { reason: Reason::ReindexPaused, after: PAUSED_FOR });
        }
        Some(_) => {}
    }
    if let (true, Some(principal)) = (context.settings.embedding_costs, job.scope.principal)
        && let Allowance::Over(_) = context.budgets.allowance(job.workspace, principal).await?
    {
        return Err(Decision::PutOff { reason: Reason::BudgetSpent, after: BUDGET_AFTER });
    }
    Ok(())
}

/// Waits until so many passages may have been embedded by the rate.
async fn keep_pace(
    context: &Context,
    since: Time,
    passages: u64,
    per_minute: u32,
) -> Result<(), Decision> {
    let share = i64::try_from(passages).unwrap_or(i64::MAX).saturating_mul(60_000);
    let due = since + TimeDelta::milliseconds(share / i64::from(per_minute.max(1)));
    let rest = due - context.clock.now();
    if rest > SHORT_PAUSE {
        let after = rest.to_std().unwrap_or_default();
        return Err(Decision::PutOff { reason: Reason::ReindexPaced, after });
    }
    context.clock.sleep_until(due).await;
    Ok(())
}
