//! `documents.ingest`: parses a file into pages and chunks, and makes it searchable by
//! words.
//!
//! What the child process finds is stored in batches while it goes on, so that neither
//! side holds the whole document. Nothing of it is searchable before the last step,
//! which makes the version the current one in a single transaction.
//!
//! With every batch is stored how far the parse is. An attempt that is cut off is taken up
//! there: a PDF is entered behind its last whole range of pages, anything else is read from
//! its beginning and what is stored of it is passed over. A parse that takes long goes on as
//! a further message of the same step, so that no message is held for long.

use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::{GenerationId, OutboxId};
use quaestor_core::jobs::{DocumentPayload, Step};
use quaestor_core::metrics;
use quaestor_core::model::Reason;
use quaestor_core::ports::store::{Advance, IngestSubject, ParsedSummary, StoreError};
use quaestor_core::problem::Problem;
use serde_json::Value;
use tracing::warn;

use super::reading::{Ingestion, Parsed};
use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::registry::{Handler, Running};

/// The handler of `documents.ingest`.
pub(crate) struct Ingest;

#[async_trait]
impl Handler for Ingest {
    const STEP: Step = Step::DocumentsIngest;
    type Payload = DocumentPayload;

    async fn run(
        context: &Context,
        job: &Running,
        payload: DocumentPayload,
    ) -> Result<Outcome, Decision> {
        let Some(subject) = context
            .store
            .ingest_subject(job.workspace, payload.document_id, payload.version)
            .await?
        else {
            return Ok(Outcome::SubjectGone);
        };
        let mut ingestion = Ingestion::of(context, job, &subject).await?;
        match ingestion.parse().await {
            Ok(Parsed::Whole(summary)) => {
                if subject.reading_of.is_some() && ingestion.is_the_same(&summary).await? {
                    return keep(context, job, &subject, &summary.parser).await;
                }
                ingestion.flush().await?;
                finish(context, job, &payload, &subject, summary).await
            }
            Ok(Parsed::Longer) => go_on_later(context, job, &payload).await,
            Err(Decision::Fail(problem)) => {
                metrics::DOCUMENTS_FAILED.of_any(&problem.code).increment(1);
                let now = context.clock.now();
                context
                    .store
                    .fail_ingest(job.workspace, &job.claim, &subject, problem.clone(), now)
                    .await?;
                Ok(Outcome::Ended(vec![Event::Failed { problem }]))
            }
            Err(decision) => Err(decision),
        }
    }
}

/// Hands a parse on that takes longer than a message is held.
async fn go_on_later(
    context: &Context,
    job: &Running,
    payload: &DocumentPayload,
) -> Result<Outcome, Decision> {
    let now = context.clock.now();
    let next = Advance {
        step: Step::DocumentsIngest,
        payload: to_value(payload)?,
        outbox_id: context.ids.next::<OutboxId>(),
        due_at: now,
        kept: None,
    };
    failpoint::store("ingest.before_next")?;
    context.store.continue_ingest(job.workspace, &job.claim, next, now).await?;
    Ok(Outcome::Advanced)
}

fn to_value(payload: &DocumentPayload) -> Result<Value, Decision> {
    serde_json::to_value(payload).map_err(|error| {
        Decision::Fail(Problem::new("bad_payload", "The job cannot go on", error.to_string()))
    })
}

/// A later parser finds what is stored already.
async fn keep(
    context: &Context,
    job: &Running,
    subject: &IngestSubject,
    parser: &str,
) -> Result<Outcome, Decision> {
    let now = context.clock.now();
    failpoint::store("ingest.before_keep")?;
    context.store.keep_reading(job.workspace, &job.claim, subject, parser, now).await?;
    metrics::DOCUMENTS_READ_AGAIN.of([]).increment(1);
    Ok(Outcome::Ended(vec![Event::Done { usage: None }]))
}

async fn finish(
    context: &Context,
    job: &Running,
    payload: &DocumentPayload,
    subject: &IngestSubject,
    summary: ParsedSummary,
) -> Result<Outcome, Decision> {
    let now = context.clock.now();
    let next = next_step(context, job, payload, subject, &summary).await?;
    let advanced = next.is_some();
    failpoint::store("ingest.before_switch")?;
    let (pages, passages) = (u64::from(summary.pages), u64::from(summary.chunks));
    let (store, claim) = (&context.store, &job.claim);
    match store.finish_ingest(job.workspace, claim, subject, summary, next, now).await {
        // The search of the collection has changed over to passages that are cut otherwise.
        Err(StoreError::Conflict { .. }) => {
            return Err(Decision::PutOff { reason: Reason::GoesOn, after: Duration::ZERO });
        }
        finished => finished?,
    }
    metrics::DOCUMENTS_INGESTED.of([]).increment(1);
    metrics::PAGES_INGESTED.of([]).increment(pages);
    metrics::PASSAGES_INGESTED.of([]).increment(passages);
    failpoint::store("ingest.after_switch")?;
    Ok(if advanced { Outcome::Advanced } else { Outcome::Ended(vec![Event::Done { usage: None }]) })
}

/// `documents.embed`, where there is a model that makes the collection's vectors.
async fn next_step(
    context: &Context,
    job: &Running,
    payload: &DocumentPayload,
    subject: &IngestSubject,
    summary: &ParsedSummary,
) -> Result<Option<Advance>, Decision> {
    let Some(first) = context.embedders.first().filter(|_| summary.chunks > 0) else {
        return Ok(None);
    };
    let (store, collection) = (&context.store, payload.collection_id);
    let now = context.clock.now();
    let mut live = store.live_generations(job.workspace, collection).await?;
    if live.is_empty() {
        let (model, dimensions) = (first.model(), first.dimensions());
        let id = context.ids.next::<GenerationId>();
        let made =
            store.current_generation(job.workspace, collection, model, dimensions, id, now).await?;
        live.extend(made);
    }
    let Some(generation) = live.iter().find(|one| context.embedders.of(one).is_some()) else {
        if subject.reading_of.is_some() {
            // The passages that are searched have their vectors, and would lose them.
            return Err(Decision::Fail(Problem::new(
                "model_not_configured",
                "The collection's embedding model is not configured",
                "name the model of the collection's vectors in `models.embed_also`, or reindex \
                 the collection with one that is configured, and then read it again",
            )));
        }
        warn!(
            collection.id = %collection,
            "the collection's vectors are of a model that is not configured: the document is \
             searchable by words until the collection is reindexed"
        );
        return Ok(None);
    };
    let payload = DocumentPayload { generation_id: Some(generation.id), ..payload.clone() };
    let payload = to_value(&payload)?;
    let outbox_id = context.ids.next::<OutboxId>();
    Ok(Some(Advance { step: Step::DocumentsEmbed, payload, outbox_id, due_at: now, kept: None }))
}
