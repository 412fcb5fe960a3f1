//! `collections.reindex`: gives all passages of a collection their vectors in a generation,
//! and then makes it the one that is searched. Where the generation's passages are cut anew,
//! all documents are read for it before, beside what is searched.
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
use quaestor_core::ids::{DocumentId, GenerationId};
use quaestor_core::jobs::{ReindexPayload, Step};
use quaestor_core::metrics;
use quaestor_core::model::{Allowance, Generation, GenerationState, Reason};
use quaestor_core::ports::store::{ReindexSubject, Switch};
use tracing::{info, warn};

use super::reading::{Ingestion, Parsed};
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
/// Documents to be read that are asked for at once.
const DOCUMENTS: u32 = 32;
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
        clear(context, job, &subject).await?;
        read(context, job, &subject).await?;
        fill(context, job, &subject).await?;
        failpoint::store("reindex.before_switch")?;
        let (claim, mut now) = (&job.claim, context.clock.now());
        if subject.generation.state != GenerationState::Building {
            store.finish_reindex(job.workspace, claim, now).await?;
            return Ok(Outcome::Ended(vec![Event::Done { usage: None }]));
        }
        let mut switch =
            store.switch_generation(job.workspace, claim, id, subject.skipped, now).await?;
        if switch == Switch::IndexMissing {
            build_index(context, job).await?;
            now = context.clock.now();
            switch =
                store.switch_generation(job.workspace, claim, id, subject.skipped, now).await?;
        }
        match switch {
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

/// Builds the index over the vectors now, which else waits for the store's next upkeep. Where
/// that is under way elsewhere, or this process may not, the switch is tried again later.
async fn build_index(context: &Context, job: &Running) -> Result<(), Decision> {
    tokio::select! {
        built = context.store.upkeep() => {
            if let Err(error) = built {
                let error = &error as &dyn std::error::Error;
                warn!(error, "the index of a generation is left to the store's upkeep");
            }
            Ok(())
        }
        () = job.cancel.cancelled() => Err(Decision::Cancelled),
    }
}

/// Removes what is left of earlier cuts: it stands where readings of this one will.
async fn clear(context: &Context, job: &Running, subject: &ReindexSubject) -> Result<(), Decision> {
    let collection = subject.generation.collection_id;
    let begun = context.clock.now();
    while context.store.clear_readings(job.workspace, collection).await? {
        pass(context, job, begun)?;
    }
    Ok(())
}

/// Whether there is time left of this message.
fn pass(context: &Context, job: &Running, begun: Time) -> Result<(), Decision> {
    if job.cancel.is_cancelled() {
        return Err(Decision::Cancelled);
    }
    if context.clock.now() - begun >= TURN {
        return Err(Decision::PutOff { reason: Reason::GoesOn, after: Duration::ZERO });
    }
    Ok(())
}

/// Reads the documents that have no reading of the generation's cut, one after the other. What
/// is searched stays as it is.
async fn read(context: &Context, job: &Running, subject: &ReindexSubject) -> Result<(), Decision> {
    let (store, clock, id) = (&context.store, &context.clock, subject.generation.id);
    let mut left = store.count_to_read(job.workspace, id).await?;
    let (begun, mut done, mut after) = (clock.now(), 0, None);
    loop {
        let found = store.documents_to_read(job.workspace, id, after, DOCUMENTS).await?;
        let Some(last) = found.last() else { return Ok(()) };
        after = Some(*last);
        for document in found {
            pass(context, job, begun)?;
            may_go_on(context, job, subject).await?;
            let since = clock.now();
            let passages = read_one(context, job, id, document).await?;
            (done, left) = (done + 1, left.saturating_sub(1));
            let unit = "documents".to_owned();
            if !job.emitter.emit(Event::Progress { done, total: done + left, unit }).await {
                return Err(Decision::Fenced);
            }
            if let Some(rate) = subject.passages_per_minute {
                keep_pace(context, since, passages, rate).await?;
            }
        }
    }
}

/// Reads a document beside the reading that it has. One that cannot be read keeps that, and
/// says so. Returns how many passages there are.
async fn read_one(
    context: &Context,
    job: &Running,
    generation: GenerationId,
    document: DocumentId,
) -> Result<u64, Decision> {
    let (store, claim) = (&context.store, &job.claim);
    let opened = store.open_reading(job.workspace, claim, generation, document).await?;
    let Some(subject) = opened else { return Ok(0) };
    let mut ingestion = Ingestion::of(context, job, &subject).await?;
    match ingestion.parse().await {
        Ok(Parsed::Whole(summary)) => {
            ingestion.flush().await?;
            let passages = u64::from(summary.chunks);
            failpoint::store("reindex.before_reading")?;
            store.finish_reading(job.workspace, claim, &subject, summary).await?;
            failpoint::store("reindex.after_reading")?;
            metrics::DOCUMENTS_READ_AGAIN.of([]).increment(1);
            Ok(passages)
        }
        Ok(Parsed::Longer) => {
            Err(Decision::PutOff { reason: Reason::GoesOn, after: Duration::ZERO })
        }
        Err(Decision::Fail(problem)) => {
            warn!(document.id = %document, problem.detail, "a document could not be read again");
            store.fail_reading(job.workspace, claim, &subject, problem).await?;
            Ok(0)
        }
        Err(decision) => Err(decision),
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
        pass(context, job, begun)?;
        let now = clock.now();
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
