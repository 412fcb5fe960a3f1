//! `documents.embed`: makes a document's passages searchable by meaning.
//!
//! Each batch is committed, so an attempt that is cut off loses at most one batch.

use async_trait::async_trait;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::jobs::{DocumentPayload, Step};
use quaestor_core::metrics;
use quaestor_core::model::Allowance;
use quaestor_core::ports::embedder::EmbedKind;
use quaestor_core::problem::Problem;

use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::registry::{Handler, Running};
use crate::settle::with_calls;

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
        let DocumentPayload { document_id, version, generation_id, .. } = payload;
        let Some(generation) = generation_id else {
            return Err(Decision::Fail(Problem::new(
                "bad_payload",
                "The job's message cannot be read",
                "documents.embed needs a generation_id",
            )));
        };
        let subject = context.store.ingest_subject(job.workspace, document_id, version).await?;
        if subject.is_none() {
            return Ok(Outcome::SubjectGone);
        }
        let Some(embedder) = &context.embedder else {
            // Accepted by a process with a model, run by one without: the document is
            // searchable by words, which is all that this installation can do.
            let now = context.clock.now();
            context
                .store
                .finish_embed(job.workspace, &job.claim, document_id, version, now)
                .await?;
            return Ok(Outcome::Ended(vec![Event::Done { usage: None }]));
        };
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
            let batch = context
                .store
                .chunks_to_embed(
                    job.workspace,
                    document_id,
                    version,
                    generation,
                    context.settings.embed_batch,
                )
                .await?;
            if batch.chunks.is_empty() {
                break;
            }
            let (ids, texts): (Vec<_>, Vec<_>) = batch.chunks.into_iter().unzip();
            let vectors = embedder.embed(EmbedKind::Passage, &texts, &job.scope).await?;
            if vectors.len() != ids.len() {
                return Err(Decision::Fail(Problem::new(
                    "embedding_count",
                    "The embedding model answered with the wrong number of vectors",
                    format!("{} texts were sent, {} vectors came back", ids.len(), vectors.len()),
                )));
            }
            let made = ids.len() as u64;
            let done = batch.done + made;
            let vectors = ids.into_iter().zip(vectors).collect();
            with_calls(job, |calls| async move {
                failpoint::store("embed.before_save")?;
                let store = &context.store;
                store.save_vectors(job.workspace, &job.claim, generation, vectors, &calls).await
            })
            .await?;
            metrics::PASSAGES_EMBEDDED.of([]).increment(made);
            failpoint::store("embed.mid_embedding")?;
            let progress =
                Event::Progress { done, total: batch.total, unit: "passages".to_owned() };
            if !job.emitter.emit(progress).await {
                return Err(Decision::Fenced);
            }
        }
        let now = context.clock.now();
        failpoint::store("embed.before_finish")?;
        context.store.finish_embed(job.workspace, &job.claim, document_id, version, now).await?;
        Ok(Outcome::Ended(vec![Event::Done { usage: None }]))
    }
}
