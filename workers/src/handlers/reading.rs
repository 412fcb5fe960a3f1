//! One run of the parser over a version, and what is stored of it.
//!
//! What the child process finds is stored in batches while it goes on, so that neither side
//! holds the whole document. A reading beside another is held back as long as it is small: if
//! it turns out to be the same, nothing of it is written at all.

use std::time::Duration;

use chrono::NaiveDate;
use quaestor_core::clock::Time;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::ChunkId;
use quaestor_core::parsed::ParsedChunk;
use quaestor_core::ports::store::{Checkpoint, IngestSubject, NewChunk, NewPage, ParsedSummary};
use quaestor_core::problem::Problem;
use quaestor_core::reading_sum::ReadingSum;
use quaestor_core::retrieval::{OPENING_CHARS, describe, document_field, index_terms};
use quaestor_documents::wire::{Frame, PageRecord, RecordState};
use quaestor_documents::{PARSER, tokens};

use super::taken_up::TakenUp;
use crate::context::Context;
use crate::decision::Decision;
use crate::parse_process::ParseFailure;
use crate::registry::Running;

/// How much text is stored in one transaction.
const BATCH_BYTES: usize = 256 * 1024;
/// How much of a reading beside another is held until it is known whether it is the same.
const HELD_BYTES: usize = 2 << 20;

/// What came of one run of the parser.
pub(super) enum Parsed {
    Whole(ParsedSummary),
    /// It takes longer than a message may be held; what was found is stored.
    Longer,
}

/// One run of the parser, and what was stored of it.
pub(super) struct Ingestion<'a> {
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
    /// How many pages and chunks are stored: what comes again of them is passed over.
    stored: (u32, u32),
    /// What an attempt after this one is told.
    taken_up: TakenUp,
    began_at: Time,
    /// What tells whether another reading is the same; none where a part was read before.
    sum: Option<ReadingSum>,
    /// Whether nothing is written yet, since it may be the same as another.
    holds: bool,
}

/// The first characters of a document, which tell what it is called and of which day it
/// speaks.
#[derive(Debug)]
enum Opening {
    Gathering { text: String, chars: usize },
    Described,
}

impl<'a> Ingestion<'a> {
    /// Takes up what an earlier run has stored, or begins anew.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn of(
        context: &'a Context,
        job: &'a Running,
        subject: &'a IngestSubject,
    ) -> Result<Self, Decision> {
        let (store, claim) = (&context.store, &job.claim);
        let found = store.resume_ingest(job.workspace, claim, subject, PARSER).await?;
        Ok(Self::new(context, job, subject, found))
    }

    fn new(
        context: &'a Context,
        job: &'a Running,
        subject: &'a IngestSubject,
        found: Option<Checkpoint>,
    ) -> Self {
        let stored = found.as_ref().map_or((0, 0), |found| (found.pages, found.chunks));
        let is_fresh = stored == (0, 0);
        let taken_up = found.and_then(|found| TakenUp::of(&found.state)).unwrap_or_default();
        let mut ingestion = Self {
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
            stored,
            began_at: context.clock.now(),
            taken_up,
            sum: is_fresh.then(ReadingSum::default),
            holds: is_fresh && subject.reading_of.is_some(),
        };
        if let Some(described) = ingestion.taken_up.described.clone() {
            ingestion.take_description(described);
        }
        ingestion
    }

    /// How long the parse takes already, over all attempts whose work was kept.
    fn spent(&self) -> Duration {
        let now = self.context.clock.now();
        let of_this = (now - self.began_at).to_std().unwrap_or_default();
        Duration::from_millis(self.taken_up.spent_ms).saturating_add(of_this)
    }

    /// Runs the parser to its end, or until the message was held for long enough.
    ///
    /// # Errors
    /// `Fail` where the file is the reason, `Cancelled`, and what store and objects say.
    pub(super) async fn parse(&mut self) -> Result<Parsed, Decision> {
        let object = &self.subject.object;
        let key = quaestor_core::ports::objects::ObjectKey::parse(&object.key)?;
        let file = self.context.objects.local_copy(&key).await?;
        let clock = self.context.clock.clone();
        let mut parsed = self
            .context
            .parser
            .start(
                file.path(),
                &object.filename,
                self.taken_up.from.as_deref(),
                Duration::from_millis(self.taken_up.spent_ms),
                self.subject.chunking,
                clock,
            )
            .await
            .map_err(process_failed)?;
        loop {
            let frame = tokio::select! {
                frame = parsed.next() => frame.map_err(process_failed)?,
                () = self.job.cancel.cancelled() => return Err(Decision::Cancelled),
            };
            match frame {
                Frame::Begin { media_type, title, parser } => {
                    self.summary.media_type = media_type;
                    self.summary.parser = parser;
                    if let Opening::Gathering { .. } = self.opening {
                        self.summary.title = title;
                    }
                }
                Frame::Page(page) => self.take_page(page).await?,
                Frame::Chunk(chunk) => self.take_chunk(chunk).await?,
                Frame::Checkpoint(from) => {
                    if self.take_checkpoint(from).await? {
                        return Ok(Parsed::Longer);
                    }
                }
                Frame::End { pages_unreadable, warnings, .. } => {
                    return self.end(pages_unreadable, warnings).await.map(Parsed::Whole);
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
        self.summary.pages = page.ordinal + 1;
        if page.ordinal < self.stored.0 {
            return Ok(());
        }
        self.batched_bytes += page.text.len() + page.boxes.len();
        let page = NewPage {
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
        };
        if let Some(sum) = &mut self.sum {
            sum.page(&page);
        }
        self.pages.push(page);
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
            self.take_description((description.title, description.date));
        }
        for chunk in std::mem::take(&mut self.undescribed) {
            self.index_chunk(chunk).await?;
        }
        Ok(())
    }

    fn take_description(&mut self, described: (Option<String>, Option<NaiveDate>)) {
        self.opening = Opening::Described;
        self.taken_up.described = Some(described.clone());
        (self.summary.title, self.summary.document_date) = described;
        let name = &self.subject.object.filename;
        self.document = document_field(name, self.summary.title.as_deref());
    }

    /// Behind what was found so far the document can be entered. Before it is described it
    /// would not help: what describes it would be missing. Returns whether the parse goes on
    /// with another message.
    async fn take_checkpoint(&mut self, from: Vec<u8>) -> Result<bool, Decision> {
        if let Opening::Gathering { .. } = self.opening {
            return Ok(false);
        }
        self.taken_up.from = Some(from);
        let held = (self.context.clock.now() - self.began_at).to_std().unwrap_or_default();
        let is_long = held >= self.context.settings.parse_slice;
        if !self.holds || is_long {
            self.flush().await?;
        }
        Ok(is_long)
    }

    async fn index_chunk(&mut self, chunk: ParsedChunk) -> Result<(), Decision> {
        self.summary.chunks = chunk.ordinal + 1;
        if chunk.ordinal < self.stored.1 {
            return Ok(());
        }
        let index_terms = index_terms(&self.document, &chunk.section, &chunk.header, &chunk.text);
        let tokens = tokens::count(&chunk.header) + tokens::count(&chunk.text);
        self.batched_bytes += chunk.text.len() + chunk.header.len() + index_terms.len();
        if let Some(sum) = &mut self.sum {
            sum.chunk(&chunk);
        }
        let (document, version) = (self.subject.document_id, self.subject.version);
        self.chunks.push(NewChunk {
            id: ChunkId::derive(document, version, chunk.ordinal),
            chunk,
            index_terms,
            tokens,
        });
        self.flush_if_full().await
    }

    async fn flush_if_full(&mut self) -> Result<(), Decision> {
        let most = if self.holds { HELD_BYTES } else { BATCH_BYTES };
        if self.batched_bytes < most { Ok(()) } else { self.flush().await }
    }

    /// Stores what was found.
    ///
    /// # Errors
    /// What the store says; `Fenced` where another attempt has the job.
    pub(super) async fn flush(&mut self) -> Result<(), Decision> {
        self.holds = false;
        let pages = std::mem::take(&mut self.pages);
        let chunks = std::mem::take(&mut self.chunks);
        self.batched_bytes = 0;
        if pages.is_empty() && chunks.is_empty() {
            return Ok(());
        }
        let count = |some: usize| u32::try_from(some).unwrap_or(u32::MAX);
        let stored = (self.stored.0 + count(pages.len()), self.stored.1 + count(chunks.len()));
        let spent_ms = u64::try_from(self.spent().as_millis()).unwrap_or(u64::MAX);
        let checkpoint = Checkpoint {
            parser: PARSER.to_owned(),
            pages: stored.0,
            chunks: stored.1,
            state: TakenUp { spent_ms, ..self.taken_up.clone() }.to_bytes(),
        };
        let (workspace, claim) = (self.job.workspace, &self.job.claim);
        self.context
            .store
            .save_checkpoint(workspace, claim, self.subject, pages, chunks, checkpoint)
            .await?;
        self.stored = stored;
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
        if !self.holds {
            self.flush().await?;
        }
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

    /// Whether the reading that this one would take the place of holds the same.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn is_the_same(&self, summary: &ParsedSummary) -> Result<bool, Decision> {
        let Some(sum) = &self.sum else { return Ok(false) };
        let (title, date) = (summary.title.as_deref(), summary.document_date);
        let digest = sum.clone().finish(title, date, &summary.media_type);
        let store = &self.context.store;
        let before = store.reading_digest(self.job.workspace, self.subject).await?;
        Ok(before == Some(digest))
    }
}

fn process_failed(failure: ParseFailure) -> Decision {
    match failure {
        ParseFailure::Document(problem) => Decision::Fail(problem),
        ParseFailure::Process(error) => Decision::retry("parser_unavailable", error),
    }
}
