//! Makes citations of located quotes: place on the page, cell, boxes.

use std::collections::HashMap;

use quaestor_core::boxes::{self, WordBox};
use quaestor_core::ids::{DocumentId, WorkspaceId};
use quaestor_core::model::{Citation, Passage};
use quaestor_core::ports::store::{Store, StoreError};

use super::Located;
use super::quote::Span;

/// The citations of an answer, in the order of their ordinals.
pub(crate) async fn build_citations(
    store: &dyn Store,
    workspace: WorkspaceId,
    located: &[Located],
) -> Result<Vec<Citation>, StoreError> {
    let mut pages: HashMap<(DocumentId, u32, u32), Vec<WordBox>> = HashMap::new();
    let mut citations = Vec::with_capacity(located.len());
    for Located { ordinal, passage, quote } in located {
        let place = (passage.document_id, passage.version, passage.page_ordinal);
        if passage.page.is_some() && !pages.contains_key(&place) {
            let page = store.document_page(workspace, place.0, place.1, place.2).await?;
            pages.insert(place, page.map(|page| boxes::decode(&page.boxes)).unwrap_or_default());
        }
        let char_start = passage.char_start + count_chars(&passage.text[..quote.start]);
        let char_end = char_start + count_chars(&passage.text[quote.start..quote.end]);
        let marks = match (passage.page, pages.get(&place)) {
            (Some(page), Some(words)) => boxes::mark(page, words, char_start, char_end),
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
    Ok(citations)
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
