//! How does a data set get into an installation, so that the product's own search finds it?
//!
//! A document is stored as an upload is once it was parsed: each entry is a page, read
//! and cut as the product reads Markdown and plain text. Only titles and texts are
//! searchable; ids and what `metadata` says are not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use futures::{StreamExt, TryStreamExt};
use quaestor_core::ids::{ChunkId, CollectionId, DocumentId, JobId, OutboxId, PrincipalId};
use quaestor_core::jobs::{JobKind, NewJob, Step};
use quaestor_core::model::Passage;
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::store::{
    AcceptUpload, Advance, Claim, ClaimOutcome, ClaimRequest, EmbeddedChunk, IngestSubject,
    NewAuditEntry, NewChunk, NewCollection, NewFile, NewPage, ParsedSummary,
};
use quaestor_core::retrieval::{OPENING_CHARS, describe, document_field, index_terms};
use quaestor_documents::chunk::Chunker;
use quaestor_documents::tokens;
use sha2::{Digest, Sha256};

use super::dataset::{Dataset, Text};
use super::entry::{file_name, page};
use crate::app::Bare;

/// Documents that are loaded at once: while one is embedded, others are read and stored.
const AT_ONCE: usize = 4;
/// Passages that are embedded at once.
const EMBED_BATCH: u32 = 64;
/// What is stored in one transaction, in bytes of text.
const BATCH_BYTES: usize = 256 * 1024;
/// How long a document may take before another worker could claim it; there is none.
const LEASE: chrono::TimeDelta = chrono::TimeDelta::days(1);

/// A data set in an installation.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The collection that holds it.
    pub(super) collection: CollectionId,
    /// Passages that were stored.
    pub(super) passages: u64,
    places: HashMap<DocumentId, u32>,
    documents: Vec<DocumentId>,
}

impl Loaded {
    /// The place of a document in the data set.
    pub(super) fn place(&self, document: DocumentId) -> Option<u32> {
        self.places.get(&document).copied()
    }

    /// The documents at these places.
    pub(super) fn documents(&self, places: &[u32]) -> Vec<DocumentId> {
        places.iter().filter_map(|at| self.documents.get(*at as usize).copied()).collect()
    }

    /// The document and the entry that a passage stands in, as places in the data set.
    pub(super) fn entry(&self, dataset: &Dataset, passage: &Passage) -> Option<(u32, u32)> {
        self.entry_of(dataset, passage.document_id, passage.page_ordinal)
    }

    /// The same for a page of a document, counted from 0.
    pub(super) fn entry_of(
        &self,
        dataset: &Dataset,
        document: DocumentId,
        page: u32,
    ) -> Option<(u32, u32)> {
        let place = self.place(document)?;
        let entries = &dataset.documents.get(place as usize)?.entries;
        Some((place, *entries.get(page as usize)?))
    }
}

/// Stores the whole data set; `tell` hears how many documents are done.
pub(super) async fn load(
    bare: &Bare,
    dataset: &Dataset,
    embedder: Option<&dyn Embedder>,
    tell: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Loaded> {
    let principal: PrincipalId = bare.ids.next();
    let collection = NewCollection {
        id: bare.ids.next(),
        name: "data set".to_owned(),
        created_at: bare.clock.now(),
    };
    let made = bare.store.create_collection(
        bare.workspace,
        collection,
        audit(bare, principal, "collection.create"),
    );
    let collection = made.await.context("making the collection")?.id;
    let loading = Loading { bare, dataset, embedder, principal, collection };
    let done = AtomicU64::new(0);
    let passages = AtomicU64::new(0);
    let documents: Vec<DocumentId> = futures::stream::iter(0..dataset.documents.len())
        .map(|place| {
            let (loading, done, passages) = (&loading, &done, &passages);
            async move {
                let (document, stored) = loading.document(place).await?;
                passages.fetch_add(stored, Ordering::Relaxed);
                tell(done.fetch_add(1, Ordering::Relaxed) + 1);
                anyhow::Ok(document)
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(Loaded {
        collection,
        passages: passages.into_inner(),
        places: documents.iter().copied().zip(0..).collect(),
        documents,
    })
}

fn audit(bare: &Bare, principal: PrincipalId, action: &'static str) -> NewAuditEntry {
    NewAuditEntry {
        id: bare.ids.next(),
        principal_id: principal,
        action,
        subject: "a data set".to_owned(),
        at: bare.clock.now(),
    }
}

/// A data set on its way.
struct Loading<'a> {
    bare: &'a Bare,
    dataset: &'a Dataset,
    embedder: Option<&'a dyn Embedder>,
    principal: PrincipalId,
    collection: CollectionId,
}

impl Loading<'_> {
    /// Stores the document at a place; its id, and how many passages it has.
    async fn document(&self, place: usize) -> anyhow::Result<(DocumentId, u64)> {
        let (bare, workspace) = (self.bare, self.bare.workspace);
        let texts = self.dataset.texts(&self.dataset.documents[place])?;
        let title = texts.iter().map(|text| text.title.trim()).find(|title| !title.is_empty());
        let filename = file_name(title, place);
        let (subject, claim) = self.accept(&filename, place).await?;
        bare.store.begin_ingest(workspace, &claim, &subject).await?;
        let summary = self.store_texts(&claim, &subject, title, &texts).await?;
        let stored = u64::from(summary.chunks);
        let embedder = self.embedder.filter(|_| stored > 0);
        let (now, outbox_id) = (bare.clock.now(), bare.ids.next());
        let next = embedder.map(|_| Advance {
            step: Step::DocumentsEmbed,
            payload: serde_json::Value::Null,
            outbox_id,
            due_at: now,
            kept: None,
        });
        bare.store.finish_ingest(workspace, &claim, &subject, summary, next, now).await?;
        if let Some(embedder) = embedder {
            let claim = self.claim(claim.job_id, Step::DocumentsEmbed, outbox_id).await?;
            self.embed(embedder, &subject, &claim).await?;
        }
        Ok((subject.document_id, stored))
    }

    /// Accepts the document as an upload and claims the job that would parse it.
    async fn accept(&self, filename: &str, place: usize) -> anyhow::Result<(IngestSubject, Claim)> {
        let (bare, workspace) = (self.bare, self.bare.workspace);
        let now = bare.clock.now();
        let job = NewJob {
            id: bare.ids.next(),
            kind: JobKind::Documents,
            step: Step::DocumentsIngest,
            principal_id: self.principal,
            payload: serde_json::Value::Null,
            batch_id: None,
            outbox_id: bare.ids.next(),
            created_at: now,
            held_until: None,
            deadline: None,
            traceparent: None,
        };
        let (job_id, outbox_id) = (job.id, job.outbox_id);
        let digest = Sha256::digest(place.to_be_bytes());
        let file = NewFile {
            document_id: bare.ids.next(),
            filename: filename.to_owned(),
            media_type: "text/plain".to_owned(),
            size_bytes: 1,
            // No file stands behind it: equal documents are still two of them.
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            object_key: format!("eval/{place}"),
            job,
        };
        let document = file.document_id;
        let upload = AcceptUpload {
            batch_id: bare.ids.next(),
            collection_id: self.collection,
            files: vec![file],
            idempotency: None,
            audit: audit(bare, self.principal, "document.create"),
        };
        bare.store.accept_upload(workspace, upload).await?;
        let claim = self.claim(job_id, Step::DocumentsIngest, outbox_id).await?;
        let subject = bare.store.ingest_subject(workspace, document, 1).await?;
        Ok((subject.context("the store lost a document")?, claim))
    }

    /// Claims a step, whose message has its receiver here.
    async fn claim(&self, job_id: JobId, step: Step, outbox_id: OutboxId) -> anyhow::Result<Claim> {
        let (bare, workspace) = (self.bare, self.bare.workspace);
        let now = bare.clock.now();
        bare.store.outbox_sent(&[outbox_id], now).await?;
        let worker = bare.ids.next();
        let request =
            ClaimRequest { job_id, step, outbox_id, worker, now, lease_until: now + LEASE };
        match bare.store.claim(workspace, request).await? {
            ClaimOutcome::Claimed(claimed) => Ok(claimed.claim),
            _ => bail!("the store did not grant a job that nobody else knows"),
        }
    }

    async fn store_texts(
        &self,
        claim: &Claim,
        subject: &IngestSubject,
        title: Option<&str>,
        texts: &[Text],
    ) -> anyhow::Result<ParsedSummary> {
        let mut opening = String::new();
        for text in texts {
            opening.push_str(&text.text);
            opening.push('\n');
            if opening.len() > 4 * OPENING_CHARS {
                break;
            }
        }
        let described = describe(title, &opening);
        let mut summary = ParsedSummary {
            media_type: "text/plain".to_owned(),
            title: described.title,
            document_date: described.date,
            pages: u32::try_from(texts.len()).unwrap_or(u32::MAX),
            ..ParsedSummary::default()
        };
        let document = document_field(&subject.object.filename, summary.title.as_deref());
        let mut chunker = Chunker::new();
        let (mut pages, mut chunks, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (ordinal, text) in (0..).zip(texts) {
            let page = page(&text.text, ordinal).map_err(|problem| anyhow::anyhow!("{problem}"))?;
            for chunk in chunker.page(&page) {
                chunks.push(NewChunk {
                    id: ChunkId::derive(subject.document_id, subject.version, chunk.ordinal),
                    index_terms: index_terms(&document, &chunk.section, &chunk.header, &chunk.text),
                    tokens: tokens::count(&chunk.header) + tokens::count(&chunk.text),
                    chunk,
                });
                summary.chunks += 1;
            }
            bytes += page.text.len();
            pages.push(NewPage {
                ordinal,
                number: page.number,
                label: None,
                text: page.text,
                boxes: Vec::new(),
                missing: None,
            });
            if bytes > BATCH_BYTES {
                bytes = 0;
                let (pages, chunks) = (std::mem::take(&mut pages), std::mem::take(&mut chunks));
                self.save(claim, subject, pages, chunks).await?;
            }
        }
        self.save(claim, subject, pages, chunks).await?;
        Ok(summary)
    }

    async fn save(
        &self,
        claim: &Claim,
        subject: &IngestSubject,
        pages: Vec<NewPage>,
        chunks: Vec<NewChunk>,
    ) -> anyhow::Result<()> {
        let workspace = self.bare.workspace;
        Ok(self.bare.store.save_parsed(workspace, claim, subject, pages, chunks).await?)
    }

    /// Makes a stored document's vectors.
    async fn embed(
        &self,
        embedder: &dyn Embedder,
        subject: &IngestSubject,
        claim: &Claim,
    ) -> anyhow::Result<()> {
        let (bare, workspace) = (self.bare, self.bare.workspace);
        let generation = bare
            .store
            .current_generation(
                workspace,
                self.collection,
                embedder.model(),
                embedder.dimensions(),
                bare.ids.next(),
                bare.clock.now(),
            )
            .await?
            .context("the collection has vectors of another model")?
            .id;
        let (document, version) = (subject.document_id, subject.version);
        let scope = CallScope::of(workspace, None);
        loop {
            let batch = bare
                .store
                .chunks_to_embed(workspace, document, version, generation, EMBED_BATCH)
                .await?;
            if batch.chunks.is_empty() {
                break;
            }
            let (ids, texts): (Vec<_>, Vec<_>) = batch.chunks.into_iter().unzip();
            let vectors = embedder.embed(EmbedKind::Passage, &texts, &scope).await?;
            if vectors.len() != ids.len() {
                bail!("{}: {} texts, {} vectors", embedder.model(), ids.len(), vectors.len());
            }
            let made = ids.into_iter().zip(vectors);
            let vectors =
                made.map(|(chunk_id, vector)| EmbeddedChunk { chunk_id, text: None, vector });
            let calls = scope.calls.take();
            bare.store
                .save_vectors(workspace, claim, generation, vectors.collect(), 0, &calls)
                .await?;
        }
        let now = bare.clock.now();
        Ok(bare.store.finish_embed(workspace, claim, document, version, now).await?)
    }
}
