//! `documents.ingest`: parses a file into pages and chunks, and makes it searchable by
//! words.
//!
//! What the child process finds is stored in batches while it goes on, so that neither
//! side holds the whole document. Nothing of it is searchable before the last step,
//! which makes the version the current one in a single transaction.

use async_trait::async_trait;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::{ChunkId, GenerationId, OutboxId};
use quaestor_core::jobs::{DocumentPayload, Step};
use quaestor_core::metrics;
use quaestor_core::parsed::ParsedChunk;
use quaestor_core::ports::store::{Advance, IngestSubject, NewChunk, NewPage, ParsedSummary};
use quaestor_core::problem::Problem;
use quaestor_core::retrieval::{OPENING_CHARS, describe, document_field, index_terms};
use quaestor_documents::tokens;
use quaestor_documents::wire::{Frame, PageRecord, RecordState};
use tracing::warn;

use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::parse_process::ParseFailure;
use crate::registry::{Handler, Running};

/// How much text is stored in one transaction.
const BATCH_BYTES: usize = 256 * 1024;

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
        context.store.begin_ingest(job.workspace, &job.claim, &subject).await?;
        let mut ingestion = Ingestion::new(context, job, &subject);
        match ingestion.parse().await {
            Ok(summary) => finish(context, job, &payload, &subject, summary).await,
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

/// One run of the parser, and what was stored of it.
struct Ingestion<'a> {
    context: &'a Context,
    job: &'a Running,
    subject: &'a IngestSubject,
    pages: Vec<NewPage>,
    chunks: Vec<NewChunk>,
    batched_bytes: usize,
    summary: ParsedSummary,
    /// The beginning of the text, until the document is described by it.
    opening: Opening,
    /// Chunks that wait for the description, which they are indexed with.
    undescribed: Vec<ParsedChunk>,
    /// What chunks are indexed with beside their own text: the document's name and title.
    document: String,
}

/// The first characters of a document, which tell what it is called and of which day it
/// speaks.
#[derive(Debug)]
enum Opening {
    Gathering { text: String, chars: usize },
    Described,
}

impl<'a> Ingestion<'a> {
    fn new(context: &'a Context, job: &'a Running, subject: &'a IngestSubject) -> Self {
        Self {
            context,
            job,
            subject,
            pages: Vec::new(),
            chunks: Vec::new(),
            batched_bytes: 0,
            summary: ParsedSummary::default(),
            opening: Opening::Gathering { text: String::new(), chars: 0 },
            undescribed: Vec::new(),
            document: String::new(),
        }
    }

    async fn parse(&mut self) -> Result<ParsedSummary, Decision> {
        let object = &self.subject.object;
        let key = quaestor_core::ports::objects::ObjectKey::parse(&object.key)?;
        let file = self.context.objects.local_copy(&key).await?;
        let clock = self.context.clock.clone();
        let mut parsed = self
            .context
            .parser
            .start(file.path(), &object.filename, clock)
            .await
            .map_err(process_failed)?;
        loop {
            let frame = tokio::select! {
                frame = parsed.next() => frame.map_err(process_failed)?,
                () = self.job.cancel.cancelled() => return Err(Decision::Cancelled),
            };
            match frame {
                Frame::Begin { media_type, title } => {
                    self.summary.media_type = media_type;
                    self.summary.title = title;
                }
                Frame::Page(page) => self.take_page(page).await?,
                Frame::Chunk(chunk) => self.take_chunk(chunk).await?,
                Frame::End { pages_unreadable, warnings, .. } => {
                    return self.end(pages_unreadable, warnings).await;
                }
                Frame::Failed(problem) => return Err(Decision::Fail(problem)),
            }
        }
    }

    async fn take_page(&mut self, page: PageRecord) -> Result<(), Decision> {
        if let Opening::Gathering { text, chars } = &mut self.opening {
            let left = OPENING_CHARS - *chars;
            text.extend(page.text.chars().take(left).chain(['\n']));
            *chars += page.text.chars().take(left).count();
            if *chars >= OPENING_CHARS {
                self.describe().await?;
            }
        }
        self.batched_bytes += page.text.len() + page.boxes.len();
        self.pages.push(NewPage {
            ordinal: page.ordinal,
            number: page.number,
            label: page.label,
            text: page.text,
            boxes: page.boxes,
            missing: match page.state {
                RecordState::Text => None,
                RecordState::Empty => Some("empty".to_owned()),
                RecordState::ImageOnly => Some("image_only".to_owned()),
                RecordState::Unreadable(reason) => Some(reason),
            },
        });
        self.summary.pages += 1;
        self.flush_if_full().await
    }

    async fn take_chunk(&mut self, chunk: ParsedChunk) -> Result<(), Decision> {
        match self.opening {
            Opening::Gathering { .. } => {
                self.undescribed.push(chunk);
                Ok(())
            }
            Opening::Described => self.index_chunk(chunk).await,
        }
    }

    /// Names the document and its day by its beginning, and indexes what waited for it.
    async fn describe(&mut self) -> Result<(), Decision> {
        let opening = std::mem::replace(&mut self.opening, Opening::Described);
        if let Opening::Gathering { text, .. } = opening {
            let description = describe(self.summary.title.as_deref(), &text);
            self.summary.title = description.title;
            self.summary.document_date = description.date;
            let name = &self.subject.object.filename;
            self.document = document_field(name, self.summary.title.as_deref());
        }
        for chunk in std::mem::take(&mut self.undescribed) {
            self.index_chunk(chunk).await?;
        }
        Ok(())
    }

    async fn index_chunk(&mut self, chunk: ParsedChunk) -> Result<(), Decision> {
        let index_terms = index_terms(&self.document, &chunk.section, &chunk.header, &chunk.text);
        let tokens = tokens::count(&chunk.header) + tokens::count(&chunk.text);
        self.batched_bytes += chunk.text.len() + chunk.header.len() + index_terms.len();
        let (document, version) = (self.subject.document_id, self.subject.version);
        self.chunks.push(NewChunk {
            id: ChunkId::derive(document, version, chunk.ordinal),
            chunk,
            index_terms,
            tokens,
        });
        self.summary.chunks += 1;
        self.flush_if_full().await
    }

    async fn flush_if_full(&mut self) -> Result<(), Decision> {
        if self.batched_bytes < BATCH_BYTES { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), Decision> {
        let pages = std::mem::take(&mut self.pages);
        let chunks = std::mem::take(&mut self.chunks);
        self.batched_bytes = 0;
        if pages.is_empty() && chunks.is_empty() {
            return Ok(());
        }
        self.context
            .store
            .save_parsed(self.job.workspace, &self.job.claim, self.subject, pages, chunks)
            .await?;
        failpoint::store("ingest.mid_parse")?;
        let progress = Event::Progress {
            done: u64::from(self.summary.pages),
            total: 0,
            unit: "pages".to_owned(),
        };
        if self.job.emitter.emit(progress).await { Ok(()) } else { Err(Decision::Fenced) }
    }

    async fn end(
        &mut self,
        pages_unreadable: u32,
        warnings: Vec<String>,
    ) -> Result<ParsedSummary, Decision> {
        self.describe().await?;
        self.flush().await?;
        let mut summary = std::mem::take(&mut self.summary);
        let mut notes = warnings;
        if pages_unreadable > 0 {
            notes.insert(
                0,
                format!(
                    "{pages_unreadable} of {} pages gave no text and cannot be searched",
                    summary.pages
                ),
            );
        }
        if !notes.is_empty() {
            summary.warning = Some(Problem::new(
                "partly_read",
                "A part of the file could not be read",
                notes.join("; "),
            ));
        }
        Ok(summary)
    }
}

fn process_failed(failure: ParseFailure) -> Decision {
    match failure {
        ParseFailure::Document(problem) => Decision::Fail(problem),
        ParseFailure::Process(error) => Decision::retry("parser_unavailable", error),
    }
}

async fn finish(
    context: &Context,
    job: &Running,
    payload: &DocumentPayload,
    subject: &IngestSubject,
    summary: ParsedSummary,
) -> Result<Outcome, Decision> {
    let now = context.clock.now();
    let next = next_step(context, job, payload, &summary).await?;
    let advanced = next.is_some();
    failpoint::store("ingest.before_switch")?;
    let (pages, passages) = (u64::from(summary.pages), u64::from(summary.chunks));
    context.store.finish_ingest(job.workspace, &job.claim, subject, summary, next, now).await?;
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
        warn!(
            collection.id = %collection,
            "the collection's vectors are of a model that is not configured: the document is \
             searchable by words until the collection is reindexed"
        );
        return Ok(None);
    };
    let payload = DocumentPayload { generation_id: Some(generation.id), ..payload.clone() };
    let payload = serde_json::to_value(&payload).map_err(|error| {
        Decision::Fail(Problem::new("bad_payload", "The job cannot go on", error.to_string()))
    })?;
    let outbox_id = context.ids.next::<OutboxId>();
    Ok(Some(Advance { step: Step::DocumentsEmbed, payload, outbox_id, due_at: now, kept: None }))
}
