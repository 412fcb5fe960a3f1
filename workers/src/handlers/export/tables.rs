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
    /// Whether it ended with a row.
    goes_on: bool,
    /// Tables so far.
    number: u64,
}

impl Tables {
    fn of(document: DocumentId, version: u32) -> Self {
        Self { document, version, from: Some(0), last: None, goes_on: false, number: 0 }
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
        let (mut runs, ends_in_rows) = runs(&passage);
        let goes_on =
            self.goes_on && self.last.as_ref().is_some_and(|last| follows(last, &passage));
        for (place, run) in runs.iter_mut().enumerate() {
            let same = place == 0 && goes_on && run.begins && run.header.is_empty();
            if !same {
                self.number += 1;
                parts.push(Part::Table(head(&passage, run, self.number)));
            }
            if !run.rows.is_empty() {
                parts.push(Part::Rows(std::mem::take(&mut run.rows)));
            }
        }
        self.goes_on = ends_in_rows;
        self.last = Some(passage);
    }
}

/// Rows of a passage that stand directly below each other.
#[derive(Debug, Default, PartialEq)]
struct Run {
    /// The header's lines that it begins with.
    header: Vec<Vec<String>>,
    /// What names it, in the line above it.
    caption: Option<String>,
    rows: Vec<Vec<String>>,
    /// Whether the passage begins with it.
    begins: bool,
}

/// The rows of a passage, and whether it ends with one. A passage of rows may hold lines of one
/// cell alone; in one that is mostly text, rows are the lines with several cells, and the
/// labels between them.
fn runs(passage: &Passage) -> (Vec<Run>, bool) {
    let lines: Vec<&str> =
        passage.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let header: Vec<&str> = passage.header.lines().map(str::trim).collect();
    let has_cells = |at: usize| lines.get(at).is_some_and(|line| line.contains(CELLS));
    let is_row = |at: usize| {
        let label = lines[at].ends_with(':') && at > 0 && has_cells(at - 1) && has_cells(at + 1);
        passage.is_table || has_cells(at) || label
    };
    let mut runs: Vec<Run> = Vec::new();
    let mut in_run = false;
    for (at, line) in lines.iter().enumerate() {
        if !is_row(at) {
            in_run = false;
            continue;
        }
        if !in_run {
            let above = at.checked_sub(1).and_then(|above| lines.get(above));
            let caption = above.filter(|above| header.contains(above)).map(|it| (*it).to_owned());
            runs.push(Run { caption, begins: at == 0, ..Run::default() });
        }
        in_run = true;
        let Some(run) = runs.last_mut() else { continue };
        if run.rows.is_empty() && header.contains(line) {
            match line.contains(CELLS) {
                true => run.header.push(cells(line)),
                false => run.caption = Some((*line).to_owned()),
            }
        } else {
            run.rows.push(cells(line));
        }
    }
    (runs, in_run)
}

/// Whether a passage goes on where the one before has ended.
fn follows(last: &Passage, next: &Passage) -> bool {
    last.page_ordinal == next.page_ordinal
        && last.section == next.section
        // Passages of one table are parted by the end of a line.
        && next.char_start <= last.char_end.saturating_add(2)
}

/// What is known of a table. One whose passage does not begin with its header has it beside the
/// text: of all that stands there, what no line of the text repeats.
fn head(passage: &Passage, run: &Run, number: u64) -> TableHead {
    let lines = passage.header.lines().map(str::trim).filter(|line| !line.is_empty());
    let beside: Vec<&str> =
        lines.filter(|line| !passage.text.lines().any(|it| it.trim() == *line)).collect();
    let (columns, captions): (Vec<&str>, Vec<&str>) =
        beside.into_iter().partition(|line| line.contains(CELLS));
    let header = match run.header.is_empty() && run.begins {
        true => columns.into_iter().map(cells).collect(),
        false => run.header.clone(),
    };
    let captions = match &run.caption {
        Some(caption) => vec![caption.clone()],
        None if run.begins => captions.into_iter().map(str::to_owned).collect(),
        None => Vec::new(),
    };
    TableHead {
        number,
        document_id: passage.document_id,
        filename: passage.filename.clone(),
        version: passage.version,
        page: passage.page,
        cells: passage.cells.clone(),
        section: passage.section.clone(),
        captions,
        header,
    }
}

fn cells(line: &str) -> Vec<String> {
    line.split(CELLS).map(|cell| cell.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use quaestor_core::ids::{ChunkId, CollectionId};
    use uuid::Uuid;

    use super::*;

    fn passage(ordinal: u32, is_table: bool, header: &str, text: &str) -> Passage {
        let id = Uuid::from_u128(1);
        Passage {
            chunk_id: ChunkId(id),
            document_id: DocumentId(id),
            version: 1,
            collection_id: CollectionId(id),
            filename: "a.pdf".to_owned(),
            title: None,
            media_type: "application/pdf".to_owned(),
            document_date: None,
            ordinal,
            page_ordinal: 0,
            page: Some(1),
            char_start: ordinal * 100,
            char_end: ordinal * 100 + 99,
            section: "Sales".to_owned(),
            header: header.to_owned(),
            text: text.to_owned(),
            is_table,
            cells: None,
            tokens: 1,
        }
    }

    /// Captions, header and rows of each table.
    fn told(passages: Vec<Passage>) -> Vec<String> {
        let mut tables = Tables::of(DocumentId(Uuid::from_u128(1)), 1);
        let mut parts = Vec::new();
        for passage in passages {
            tables.passage(passage, &mut parts);
        }
        let line = |row: &Vec<String>| row.join(",");
        let mut told: Vec<String> = Vec::new();
        for part in parts {
            match part {
                Part::Table(table) => {
                    let header: Vec<String> = table.header.iter().map(line).collect();
                    told.push(format!("{}/{}:", table.captions.join("+"), header.join("+")));
                }
                Part::Rows(rows) => {
                    let rows: Vec<String> = rows.iter().map(line).collect();
                    let last = told.last_mut().unwrap();
                    last.push_str(&format!(" {}", rows.join(" ")));
                }
                Part::Cover(_) | Part::Turn(_) => panic!("no table"),
            }
        }
        told
    }

    #[test]
    fn a_table_over_several_passages_is_one() {
        let header = "In millions\nLine | 2025";
        let passages = vec![
            passage(0, true, header, "Line | 2025\nSales | 1\nNet:"),
            passage(1, true, header, "Costs | 2"),
        ];
        assert_eq!(told(passages), ["In millions/Line,2025: Sales,1 Net: Costs,2"]);
        // What stands elsewhere on the page, or after text, is another.
        let mut apart = passage(1, true, header, "Costs | 2");
        apart.char_start = 150;
        let passages = vec![passage(0, true, header, "Line | 2025\nSales | 1"), apart];
        assert_eq!(
            told(passages),
            ["In millions/Line,2025: Sales,1", "In millions/Line,2025: Costs,2"]
        );
    }

    #[test]
    fn rows_among_text_are_tables_too() {
        let text = "The fund holds bonds.\nHoldings\nItem | 2025\nBond | 5\nThat was all.\n\
                    Unit | Price\nA:\nX | 7";
        let passages = vec![passage(0, false, "Holdings\nItem | 2025\nUnit | Price", text)];
        assert_eq!(told(passages), ["Holdings/Item,2025: Bond,5", "/Unit,Price: A: X,7"]);
        assert!(told(vec![passage(0, false, "", "No table here.")]).is_empty());
    }
}
