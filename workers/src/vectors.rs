//! Vectors of passages: those that the store knows already, and those that a model makes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use quaestor_core::failpoint;
use quaestor_core::ids::{ChunkId, GenerationId};
use quaestor_core::metrics;
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::store::{EmbeddedChunk, TextHash};
use quaestor_core::problem::Problem;

use crate::context::Context;
use crate::decision::Decision;
use crate::registry::Running;
use crate::settle::with_calls;

/// Gives passages their vectors in a generation: first those whose text the workspace has a
/// vector of, which is not sent to the model again, then the others, each in one transaction.
///
/// # Errors
/// What the model or the store says. What other requests of the same call have brought is
/// stored all the same, and so are copies of known vectors.
pub(crate) async fn give_vectors(
    context: &Context,
    job: &Running,
    embedder: &Arc<dyn Embedder>,
    generation: GenerationId,
    chunks: Vec<(ChunkId, String)>,
) -> Result<(), Decision> {
    let hashes: Vec<TextHash> = chunks.iter().map(|(_, text)| TextHash::of(text)).collect();
    let known = context.store.known_vectors(job.workspace, generation, &hashes).await?;
    let (mut given, mut wanted) = (Vec::with_capacity(chunks.len()), Vec::new());
    for (((chunk_id, text), hash), vector) in chunks.into_iter().zip(hashes).zip(known) {
        match vector {
            Some(vector) => given.push(EmbeddedChunk { chunk_id, text: Some(hash), vector }),
            None => wanted.push((chunk_id, hash, text)),
        }
    }
    metrics::PASSAGES_REUSED.of([]).increment(given.len() as u64);
    if !given.is_empty() {
        save(context, job, generation, given, 0).await?;
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let begun = context.clock.now();
    let made =
        wanted.chunks(context.settings.embed_batch.max(1) as usize).map(async |some| {
            let texts: Vec<String> = some.iter().map(|(_, _, text)| text.clone()).collect();
            let vectors = embedder.embed(EmbedKind::Passage, &texts, &job.scope).await?;
            if vectors.len() != texts.len() {
                return Err(wrong_count(texts.len(), vectors.len()));
            }
            let given = some.iter().zip(vectors).map(|((chunk_id, hash, _), vector)| {
                EmbeddedChunk { chunk_id: *chunk_id, text: Some(*hash), vector }
            });
            Ok(given.collect::<Vec<_>>())
        });
    let (mut vectors, mut failed) = (Vec::with_capacity(wanted.len()), None);
    for made in join_all(made).await {
        match made {
            Ok(made) => vectors.extend(made),
            // The first one decides; the others would likely say the same.
            Err(decision) => failed = failed.or(Some(decision)),
        }
    }
    let took = (context.clock.now() - begun).num_microseconds().unwrap_or(0).max(1);
    let count = vectors.len() as u64;
    if count > 0 {
        save(context, job, generation, vectors, took.unsigned_abs()).await?;
        metrics::PASSAGES_EMBEDDED.of([]).increment(count);
    }
    failed.map_or(Ok(()), Err)
}

async fn save(
    context: &Context,
    job: &Running,
    generation: GenerationId,
    vectors: Vec<EmbeddedChunk>,
    took_us: u64,
) -> Result<(), Decision> {
    with_calls(job, |calls| async move {
        failpoint::store("embed.before_save")?;
        let (store, claim) = (&context.store, &job.claim);
        store.save_vectors(job.workspace, claim, generation, vectors, took_us, &calls).await
    })
    .await?;
    job.progressed.store(true, Ordering::Relaxed);
    failpoint::store("embed.mid_embedding")?;
    Ok(())
}

fn wrong_count(sent: usize, came: usize) -> Decision {
    Decision::Fail(Problem::new(
        "embedding_count",
        "The embedding model answered with the wrong number of vectors",
        format!("{sent} texts were sent, {came} vectors came back"),
    ))
}
