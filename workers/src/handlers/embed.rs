//! `documents.embed`: makes a document's passages searchable by meaning.
//!
//! They get their vectors in every generation that the collection lives with: the one that is
//! searched, and the one that is built beside it. Which these are is asked anew for every
//! batch, so that a switch in the middle leaves no passage behind. Each batch is committed, so
//! an attempt that is cut off loses at most one batch.

use async_trait::async_trait;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::GenerationId;
use quaestor_core::jobs::{DocumentPayload, Step};
use quaestor_core::model::{Allowance, Generation, GenerationState};
use quaestor_core::ports::store::EmbedBatch;
use tracing::warn;

use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::registry::{Handler, Running};
use crate::vectors::give_vectors;

/// The handler of `documents.embed`.
pub(crate) struct Embed;

#[async_trait]
impl Handler for Embed {
    const STEP: Step = Step::DocumentsEmbed;
    type Payload = DocumentPayload;

    async fn run(
        context: &Context,
        job: &Running,
        payload: DocumentPayload,
    ) -> Result<Outcome, Decision> {
        let DocumentPayload { document_id, version, collection_id, .. } = payload;
        let store = &context.store;
        if store.ingest_subject(job.workspace, document_id, version).await?.is_none() {
            return Ok(Outcome::SubjectGone);
        }
        // Generations under construction that this document is left out of.
        let mut skipped: Vec<GenerationId> = Vec::new();
        loop {
            if job.cancel.is_cancelled() {
                return Err(Decision::Cancelled);
            }
            if let (true, Some(principal)) = (context.settings.embedding_costs, job.scope.principal)
                && let Allowance::Over(over) =
                    context.budgets.allowance(job.workspace, principal).await?
            {
                return Err(Decision::Fail(over.problem()));
            }
            let live = store.live_generations(job.workspace, collection_id).await?;
            let mut next = None;
            for generation in live.iter().filter(|one| !skipped.contains(&one.id)) {
                let batch = lacking(context, job, &payload, generation).await?;
                if !batch.chunks.is_empty() {
                    next = Some((generation, batch));
                    break;
                }
            }
            let Some((generation, batch)) = next else { break };
            let done = batch.done + batch.chunks.len() as u64;
            let embedder = context.embedders.of(generation).cloned();
            let given = match &embedder {
                Some(embedder) => {
                    give_vectors(context, job, embedder, generation.id, batch.chunks).await
                }
                // Found by words, which is all that can be done here.
                None => Ok(()),
            };
            match (given, embedder) {
                (Ok(()), Some(_)) => {}
                (Err(error), _) if generation.state == GenerationState::Current => {
                    return Err(error);
                }
                (Err(error @ (Decision::Fenced | Decision::Cancelled)), _) => return Err(error),
                (given, _) => {
                    // What is built beside may have trouble of its own, and nobody searches it
                    // yet: it is looked through once more.
                    if generation.state == GenerationState::Building {
                        warn!(outcome = ?given, "a document is left to the reindexing");
                        store.note_skipped(job.workspace, &job.claim, generation.id).await?;
                    }
                    skipped.push(generation.id);
                    continue;
                }
            }
            let unit = "passages".to_owned();
            if !job.emitter.emit(Event::Progress { done, total: batch.total, unit }).await {
                return Err(Decision::Fenced);
            }
        }
        let now = context.clock.now();
        failpoint::store("embed.before_finish")?;
        store.finish_embed(job.workspace, &job.claim, document_id, version, now).await?;
        Ok(Outcome::Ended(vec![Event::Done { usage: None }]))
    }
}

/// Passages of the document without a vector in the generation.
async fn lacking(
    context: &Context,
    job: &Running,
    payload: &DocumentPayload,
    generation: &Generation,
) -> Result<EmbedBatch, Decision> {
    let (document, version) = (payload.document_id, payload.version);
    let limit = context.settings.embed_batch;
    let store = &context.store;
    Ok(store.chunks_to_embed(job.workspace, document, version, generation.id, limit).await?)
}
