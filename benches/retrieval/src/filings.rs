//! What are the passages of the filings, as ingestion would store them?

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use quaestor_core::ids::{ChunkId, CollectionId, DocumentId};
use quaestor_core::model::Passage;
use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;
use quaestor_core::retrieval::{OPENING_CHARS, describe};
use quaestor_documents::chunk::Chunker;
use quaestor_documents::{Limits, Sink, Source, detect, parse};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Ids that follow from the document's name and the place in it.
pub fn passage_ids(document: &str, ordinal: u32) -> (ChunkId, DocumentId, CollectionId) {
    let id = |text: String| {
        let digest = Sha256::digest(text.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Uuid::from_bytes(bytes)
    };
    (
        ChunkId(id(format!("{document}#{ordinal}"))),
        DocumentId(id(document.to_owned())),
        CollectionId(Uuid::nil()),
    )
}

#[derive(Default)]
struct Pages {
    title: Option<String>,
    pages: Vec<ParsedPage>,
}

impl Sink for Pages {
    fn title(&mut self, title: &str) -> Result<(), Problem> {
        self.title = Some(title.to_owned());
        Ok(())
    }

    fn page(&mut self, page: ParsedPage) -> Result<(), Problem> {
        self.pages.push(page);
        Ok(())
    }

    fn warn(&mut self, _warning: String) {}
}

/// Every file under a folder, parsed and cut, in the order of their names. The file's
/// name holds its folder below the root, as the questions name it.
#[expect(clippy::print_stderr, reason = "a file that is not read should be seen")]
pub fn read_all(root: &Path) -> Result<Vec<Passage>> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut passages = Vec::new();
    for file in files {
        let name = file.strip_prefix(root)?.to_string_lossy().into_owned();
        match read(&file, &name) {
            Ok(found) => passages.extend(found),
            Err(error) => eprintln!("{name}: {error:#}"),
        }
    }
    Ok(passages)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.file_name().is_some_and(|name| name != "MANIFEST.tsv") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path, name: &str) -> Result<Vec<Passage>> {
    let bytes = std::fs::read(file)?;
    let limits = Limits::default();
    let filename = name.rsplit('/').next().unwrap_or(name).to_owned();
    let source = Source { name: &filename, bytes: bytes.as_slice().into() };
    let refused = |problem: Problem| anyhow::anyhow!("{problem:?}");
    let kind = detect(&filename, &bytes, &limits).map_err(refused)?;
    let mut read = Pages::default();
    parse(source, kind, &limits, &mut read).map_err(refused)?;
    let mut opening = String::new();
    for page in &read.pages {
        opening.push_str(&page.text);
        opening.push('\n');
        if opening.len() > OPENING_CHARS {
            break;
        }
    }
    let described = describe(read.title.as_deref(), &opening);
    let mut chunker = Chunker::new();
    let mut passages = Vec::new();
    for page in &read.pages {
        for chunk in chunker.page(page) {
            let (chunk_id, document_id, collection_id) = passage_ids(name, chunk.ordinal);
            passages.push(Passage {
                chunk_id,
                document_id,
                version: 1,
                collection_id,
                filename: filename.clone(),
                title: described.title.clone(),
                media_type: String::new(),
                document_date: described.date,
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
    Ok(passages)
}
