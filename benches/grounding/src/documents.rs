//! What are the passages of a labelled document, as ingestion would store them?

use std::collections::HashMap;

use anyhow::Result;
use quaestor_core::ids::{ChunkId, CollectionId, DocumentId};
use quaestor_core::model::Passage;
use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;
use quaestor_documents::chunk::Chunker;
use quaestor_documents::{Limits, Sink, Source, detect, parse};
use quaestor_workers::grounding::{Located, Span, Surroundings};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A document's passages.
pub(crate) struct Document {
    passages: Vec<Passage>,
    /// What stands around each on its page.
    pub(crate) around: HashMap<ChunkId, Surroundings>,
}

#[derive(Default)]
struct Pages(Vec<ParsedPage>);

impl Sink for Pages {
    fn title(&mut self, _title: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn page(&mut self, page: ParsedPage) -> Result<(), Problem> {
        self.0.push(page);
        Ok(())
    }

    fn warn(&mut self, _warning: String) {}
}

impl Document {
    /// Parses and cuts a document.
    pub(crate) fn read(name: &str, html: &str) -> Result<Self> {
        let id = |text: String| {
            let digest = Sha256::digest(text.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            Uuid::from_bytes(bytes)
        };
        let refused = |problem: Problem| anyhow::anyhow!("{problem:?}");
        let filename = "report.html".to_owned();
        let limits = Limits::default();
        let kind = detect(&filename, html.as_bytes(), &limits).map_err(refused)?;
        let source = Source { name: &filename, bytes: html.as_bytes().into() };
        let mut pages = Pages::default();
        parse(source, kind, &limits, &mut pages).map_err(refused)?;
        let mut chunker = Chunker::new();
        let mut document = Self { passages: Vec::new(), around: HashMap::new() };
        for page in &pages.0 {
            for chunk in chunker.page(page) {
                let chunk_id = ChunkId(id(format!("{name}#{}", chunk.ordinal)));
                let above = page.text.chars().take(chunk.char_start as usize).collect();
                let below = page.text.chars().skip(chunk.char_end as usize).collect();
                document.around.insert(chunk_id, Surroundings { above, below });
                document.passages.push(Passage {
                    chunk_id,
                    document_id: DocumentId(id(name.to_owned())),
                    version: 1,
                    collection_id: CollectionId(Uuid::nil()),
                    filename: filename.clone(),
                    title: None,
                    media_type: String::new(),
                    document_date: None,
                    ordinal: chunk.ordinal,
                    page_ordinal: chunk.page_ordinal,
                    page: page.number,
                    char_start: chunk.char_start,
                    char_end: chunk.char_end,
                    section: chunk.section,
                    header: chunk.header,
                    text: chunk.text,
                    is_table: chunk.is_table,
                    cells: chunk.cells,
                    tokens: 0,
                });
            }
        }
        Ok(document)
    }

    /// Citations of the passages that hold the table; of all where none does.
    pub(crate) fn cited(&self) -> Vec<Located> {
        let has_rows = |passage: &&Passage| passage.text.contains(" | ");
        let mut cited: Vec<&Passage> = self.passages.iter().filter(has_rows).collect();
        if cited.is_empty() {
            cited = self.passages.iter().collect();
        }
        (1..)
            .zip(cited)
            .map(|(ordinal, passage)| Located {
                ordinal,
                passage: passage.clone(),
                quote: Span { start: 0, end: passage.text.len() },
            })
            .collect()
    }
}
