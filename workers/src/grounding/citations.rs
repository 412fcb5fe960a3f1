//! Makes citations of located quotes: place on the page, cell, boxes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use quaestor_core::boxes::{self, WordBox};
use quaestor_core::ids::{ChunkId, DocumentId, WorkspaceId};
use quaestor_core::model::{Citation, Passage};
use quaestor_core::ports::store::{Store, StoreError};

use super::quote::Span;
use super::{Located, Surroundings};

/// How many characters above a passage are read for the scale of its table: as much as
/// stands on a page of a filing.
const MAX_ABOVE_CHARS: usize = 6_000;

/// How many below it.
const MAX_BELOW_CHARS: usize = 2_000;

/// What is known of a cited page.
#[derive(Debug, Default)]
struct Page {
    words: Vec<WordBox>,
    text: String,
}

/// The pages that an answer cites, read once.
#[derive(Debug, Default)]
pub(crate) struct CitedPages {
    pages: HashMap<(DocumentId, u32, u32), Page>,
}

impl CitedPages {
    /// Reads them.
    pub(crate) async fn read(
        store: &dyn Store,
        workspace: WorkspaceId,
        located: &[Located],
    ) -> Result<Self, StoreError> {
        let mut pages = HashMap::new();
        for Located { passage, .. } in located {
            let place = place_of(passage);
            if let Entry::Vacant(free) = pages.entry(place) {
                let page = store.passage_page(workspace, passage.chunk_id).await?;
                let page =
                    page.map(|page| Page { words: boxes::decode(&page.boxes), text: page.text });
                free.insert(page.unwrap_or_default());
            }
        }
        Ok(Self { pages })
    }

    /// What stands around each cited passage on its page.
    pub(crate) fn around(&self, located: &[Located]) -> HashMap<ChunkId, Surroundings> {
        let mut around = HashMap::new();
        for Located { passage, .. } in located {
            let Some(page) = self.pages.get(&place_of(passage)) else { continue };
            let (start, end) = (passage.char_start as usize, passage.char_end as usize);
            let from = start.saturating_sub(MAX_ABOVE_CHARS);
            around.entry(passage.chunk_id).or_insert_with(|| Surroundings {
                above: page.text.chars().skip(from).take(start - from).collect(),
                below: page.text.chars().skip(end).take(MAX_BELOW_CHARS).collect(),
            });
        }
        around
    }
}

fn place_of(passage: &Passage) -> (DocumentId, u32, u32) {
    (passage.document_id, passage.version, passage.page_ordinal)
}

/// The citations of an answer, in the order of their ordinals.
pub(crate) fn build_citations(located: &[Located], pages: &CitedPages) -> Vec<Citation> {
    let mut citations = Vec::with_capacity(located.len());
    for Located { ordinal, passage, quote } in located {
        let char_start = passage.char_start + count_chars(&passage.text[..quote.start]);
        let char_end = char_start + count_chars(&passage.text[quote.start..quote.end]);
        let marks = match (passage.page, pages.pages.get(&place_of(passage))) {
            (Some(number), Some(page)) => boxes::mark(number, &page.words, char_start, char_end),
            _ => Vec::new(),
        };
        citations.push(Citation {
            ordinal: *ordinal,
            document_id: passage.document_id,
            filename: passage.filename.clone(),
            version: passage.version,
            page: passage.page,
            cell: cell_of(passage, *quote),
            section: (!passage.section.is_empty()).then(|| passage.section.clone()),
            quote: passage.text[quote.start..quote.end].to_owned(),
            char_start,
            char_end,
            boxes: marks,
        });
    }
    citations
}

fn count_chars(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// The cells of a quote: the passage's own, narrowed to the quote's rows where every
/// line of the passage is one row.
fn cell_of(passage: &Passage, quote: Span) -> Option<String> {
    let cells = passage.cells.as_ref()?;
    Some(narrowed(cells, &passage.text, quote).unwrap_or_else(|| cells.clone()))
}

/// The cell of a figure at a byte of a passage, in the given column of its row: exact
/// where the row has as many cells as the sheet's range has columns, else the row.
pub(super) fn cell_at(passage: &Passage, byte: usize, column: usize) -> Option<String> {
    let cells = passage.cells.as_ref()?;
    let row = narrowed(cells, &passage.text, Span { start: byte, end: byte + 1 })?;
    let (sheet, range) = row.rsplit_once('!').map_or(("", row.as_str()), |(s, r)| (s, r));
    let Some((first, last)) = range.split_once(':') else { return Some(row) };
    let ((first, line), (last, _)) = (split_cell(first)?, split_cell(last)?);
    let number = column_number(first)? + u32::try_from(column).ok()?;
    if number > column_number(last)? {
        return Some(row);
    }
    let name = format!("{}{line}", column_name(number));
    Some(if sheet.is_empty() { name } else { format!("{sheet}!{name}") })
}

/// `A` is 1, `AA` is 27.
fn column_number(letters: &str) -> Option<u32> {
    letters.bytes().try_fold(0_u32, |number, letter| {
        let digit = u32::from(letter.checked_sub(b'A').filter(|digit| *digit < 26)?) + 1;
        number.checked_mul(26)?.checked_add(digit)
    })
}

fn column_name(mut number: u32) -> String {
    let mut letters = Vec::new();
    while number > 0 {
        let digit = (number - 1) % 26;
        letters.push(char::from(b'A' + u8::try_from(digit).unwrap_or_default()));
        number = (number - 1) / 26;
    }
    letters.iter().rev().collect()
}

fn narrowed(cells: &str, text: &str, quote: Span) -> Option<String> {
    let (sheet, range) = cells.rsplit_once('!')?;
    let (first, last) = range.split_once(':')?;
    let (first_column, first_row) = split_cell(first)?;
    let (last_column, last_row) = split_cell(last)?;
    let rows = last_row.checked_sub(first_row)? + 1;
    // A line above the table may stand in the passage too: then the rows are the lines
    // that have cells.
    let is_row: fn(&str) -> bool =
        if count_lines(text, |_| true)? == rows { |_| true } else { |line| line.contains(" | ") };
    if count_lines(text, is_row)? != rows {
        return None;
    }
    let line_start = text[..quote.start].rfind('\n').map_or(0, |at| at + 1);
    let before = count_lines(&text[..line_start], is_row)?;
    let within = count_lines(&text[line_start..quote.end], is_row)?.checked_sub(1)?;
    let top = first_row + before;
    let bottom = top + within;
    if (first_column, top) == (last_column, bottom) {
        return Some(format!("{sheet}!{first_column}{top}"));
    }
    Some(format!("{sheet}!{first_column}{top}:{last_column}{bottom}"))
}

fn count_lines(text: &str, counts: impl Fn(&str) -> bool) -> Option<u32> {
    u32::try_from(text.trim_end().lines().filter(|line| counts(line)).count()).ok()
}

fn split_cell(cell: &str) -> Option<(&str, u32)> {
    let digits = cell.find(|c: char| c.is_ascii_digit())?;
    let (column, row) = cell.split_at(digits);
    Some((column, row.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_as_a_sheet_names_them() {
        for (name, number) in [("A", 1), ("Z", 26), ("AA", 27), ("AZ", 52), ("XFD", 16_384)] {
            assert_eq!(column_number(name), Some(number));
            assert_eq!(column_name(number), name);
        }
    }

    #[test]
    fn the_cells_of_a_quote_are_those_of_its_rows() {
        let text = "Cash | 10\nBonds | 20\nShares | 30";
        let start = text.find("Bonds").unwrap();
        let row = Span { start, end: start + "Bonds | 20".len() };
        assert_eq!(narrowed("Holdings 2026!B7:C9", text, row).unwrap(), "Holdings 2026!B8:C8");
        assert_eq!(narrowed("Holdings!B7:C12", text, row), None);
        let titled = format!("Holdings of the fund\n{text}");
        let start = titled.find("Bonds").unwrap();
        let row = Span { start, end: start + "Bonds | 20".len() };
        assert_eq!(narrowed("Holdings!B7:C9", &titled, row).unwrap(), "Holdings!B8:C8");
    }
}
