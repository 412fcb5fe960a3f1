//! Tables of documents, as their passages hold them.
//!
//! Each document is read in the version that was current when the export was begun, even if
//! another takes its place meanwhile.

use quaestor_core::ids::{CollectionId, DocumentId};
use quaestor_core::model::{ExportSelection, Passage};
use quaestor_core::problem::Problem;
use quaestor_exports::part::{About, Counts};
use quaestor_exports::{Cover, Part, TableHead};

use super::output::Output;
use super::{Produced, Writing, gone};
use crate::decision::Decision;

/// Passages that are read at once: each has about a thousand characters.
const PASSAGES: u32 = 200;
/// Documents that are listed at once.
const DOCUMENTS: u32 = 500;
/// More documents than this are exported in several exports. Their ids take 20 MB.
const DOCUMENTS_MAX: usize = 1_000_000;
/// How a parser parts the cells of a row.
const CELLS: &str = " | ";

/// Writes the cover and every table. They are read twice: the cover tells how wide they are.
pub(super) async fn write(writing: &Writing<'_>, output: &mut Output) -> Result<(), Produced> {
    let documents = documents(writing).await?;
    let mut seen = Widest::default();
    for (document, version) in &documents {
        let mut tables = Tables::of(*document, *version);
        while let Some(parts) = tables.next(writing).await? {
            parts.iter().for_each(|part| seen.take(part));
        }
        seen.documents += u64::from(tables.number > 0);
    }
    if seen.documents == 0 {
        return Err(Produced::Decided(Decision::Fail(Problem::new(
            "nothing_to_export",
            "There is no table to export",
            "the documents hold no tables; their text is in the documents themselves",
        ))));
    }
    let (title, collections) = about(writing, documents.len()).await?;
    let cover = Cover {
        about: About::Tables,
        title,
        asker: writing.asker(),
        created_at: writing.work.created_at,
        models: Vec::new(),
        generations: writing.generations(Some(&collections)).await?,
        counts: Counts { documents: seen.documents, columns: seen.columns, ..Counts::default() },
    };
    output.part(Part::Cover(cover)).await?;
    let (mut number, total) = (0, documents.len() as u64);
    for (place, (document, version)) in (1..).zip(&documents) {
        let mut tables = Tables::of(*document, *version);
        tables.number = number;
        while let Some(parts) = tables.next(writing).await? {
            for part in parts {
                output.part(part).await?;
            }
        }
        number = tables.number;
        writing.progress(place, total, "documents").await?;
    }
    Ok(())
}

async fn about(
    writing: &Writing<'_>,
    documents: usize,
) -> Result<(String, Vec<CollectionId>), Decision> {
    let store = &writing.context.store;
    let workspace = writing.job.workspace;
    match &writing.work.selection {
        ExportSelection::CollectionId(id) => {
            let found = store.collection(workspace, *id).await?;
            let collection = found.ok_or_else(|| gone("the collection"))?;
            Ok((collection.name, vec![*id]))
        }
        ExportSelection::DocumentIds(ids) => {
            let mut collections = Vec::new();
            let mut title = format!("{documents} documents");
            for id in ids {
                if let Some(document) = store.document(workspace, *id).await? {
                    collections.push(document.collection_id);
                    if ids.len() == 1 {
                        title = document.filename;
                    }
                }
            }
            collections.sort_unstable();
            collections.dedup();
            Ok((title, collections))
        }
        ExportSelection::ConversationId(_) | ExportSelection::MessageIds(_) => {
            Err(gone("the collection"))
        }
    }
}

/// The documents and the versions in which they are exported.
async fn documents(writing: &Writing<'_>) -> Result<Vec<(DocumentId, u32)>, Decision> {
    let (store, workspace) = (&writing.context.store, writing.job.workspace);
    let mut documents = Vec::new();
    match &writing.work.selection {
        ExportSelection::DocumentIds(ids) => {
            for id in ids {
                // One that was deleted, or never had a text, has no tables.
                if let Some(document) = store.export_document(workspace, *id).await? {
                    documents.push((document.id, document.version));
                }
            }
        }
        ExportSelection::CollectionId(id) => loop {
            let after = documents.last().map(|(last, _)| *last);
            let page = store.export_documents(workspace, *id, after, DOCUMENTS).await?;
            if page.is_empty() {
                break;
            }
            documents.extend(page.iter().map(|document| (document.id, document.version)));
            if documents.len() > DOCUMENTS_MAX {
                return Err(Decision::Fail(Problem::new(
                    "export_too_large",
                    "The export is too large",
                    format!("the collection has more than {DOCUMENTS_MAX} documents"),
                )));
            }
        },
        ExportSelection::ConversationId(_) | ExportSelection::MessageIds(_) => {}
    }
    Ok(documents)
}

/// What the cover tells of the tables.
#[derive(Default)]
struct Widest {
    documents: u64,
    columns: u32,
}

impl Widest {
    fn take(&mut self, part: &Part) {
        let widest = match part {
            Part::Table(table) => {
                let captions = usize::from(!table.captions.is_empty());
                table.header.iter().map(Vec::len).max().unwrap_or(0).max(captions)
            }
            Part::Rows(rows) => rows.iter().map(Vec::len).max().unwrap_or(0),
            Part::Cover(_) | Part::Turn(_) => 0,
        };
        self.columns = self.columns.max(u32::try_from(widest).unwrap_or(u32::MAX));
    }
}

/// The tables of a document, page by page of its passages.
struct Tables {
    document: DocumentId,
    version: u32,
    /// The next passage's place; none after the last one.
    from: Option<u32>,
    /// The passage before: what goes on directly behind it is the same table.
    last: Option<Passage>,
    /// Tables so far.
    number: u64,
}

impl Tables {
    fn of(document: DocumentId, version: u32) -> Self {
        Self { document, version, from: Some(0), last: None, number: 0 }
    }

    async fn next(&mut self, writing: &Writing<'_>) -> Result<Option<Vec<Part>>, Decision> {
        let Some(from) = self.from else { return Ok(None) };
        let (store, workspace) = (&writing.context.store, writing.job.workspace);
        let (document, version) = (self.document, self.version);
        let found = store.table_passages(workspace, document, version, from, PASSAGES).await?;
        let passages = match found {
            Some(passages) => passages,
            // Deleted before anything of it was written: there is nothing of it to export.
            None if from == 0 => Vec::new(),
            None => return Err(gone("one of the documents")),
        };
        self.from = passages.last().map(|last| last.ordinal + 1);
        if passages.len() < PASSAGES as usize {
            self.from = None;
        }
        let mut parts = Vec::with_capacity(passages.len() * 2);
        for passage in passages {
            self.passage(passage, &mut parts);
        }
        Ok(Some(parts))
    }

    fn passage(&mut self, passage: Passage, parts: &mut Vec<Part>) {
        if !self.last.as_ref().is_some_and(|last| goes_on(last, &passage)) {
            self.number += 1;
            parts.push(Part::Table(head(&passage, self.number)));
        }
        let header: Vec<&str> = passage.header.lines().map(str::trim).collect();
        let rows: Vec<Vec<String>> = passage
            .text
            .lines()
            .map(str::trim)
            // The header's lines stand in its first passage once more.
            .filter(|line| !line.is_empty() && !header.contains(line))
            .map(cells)
            .collect();
        if !rows.is_empty() {
            parts.push(Part::Rows(rows));
        }
        self.last = Some(passage);
    }
}

/// Whether a passage goes on with the table of the one before.
fn goes_on(last: &Passage, next: &Passage) -> bool {
    last.page_ordinal == next.page_ordinal
        && last.header == next.header
        && last.section == next.section
        // Passages of one table are parted by the end of a line, or overlap by a row.
        && next.char_start <= last.char_end.saturating_add(2)
}

fn head(passage: &Passage, number: u64) -> TableHead {
    let lines = passage.header.lines().map(str::trim).filter(|line| !line.is_empty());
    let (header, captions): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.contains(CELLS));
    TableHead {
        number,
        document_id: passage.document_id,
        filename: passage.filename.clone(),
        version: passage.version,
        page: passage.page,
        cells: passage.cells.clone(),
        section: passage.section.clone(),
        captions: captions.into_iter().map(str::to_owned).collect(),
        header: header.into_iter().map(cells).collect(),
    }
}

fn cells(line: &str) -> Vec<String> {
    line.split(CELLS).map(|cell| cell.trim().to_owned()).collect()
}
