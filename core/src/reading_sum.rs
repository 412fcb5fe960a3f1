//! Are two readings of a file the same?
//!
//! A sum over all that is shown, searched and cited of a reading. Pages and passages come by
//! turns from a parser, and one after the other from a store: each have a sum of their own.

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::parsed::ParsedChunk;
use crate::ports::store::{NewPage, ReadingDigest};

/// The sum of a reading while it is added up, in the order of pages and of passages.
#[derive(Clone, Debug, Default)]
pub struct ReadingSum {
    pages: Sha256,
    chunks: Sha256,
}

/// Adds values so that no two lists of them look alike.
fn add(sum: &mut Sha256, numbers: &[Option<u32>], texts: &[Option<&[u8]>]) {
    for number in numbers {
        sum.update([u8::from(number.is_some())]);
        sum.update(number.unwrap_or(0).to_be_bytes());
    }
    for text in texts {
        sum.update([u8::from(text.is_some())]);
        let bytes = text.unwrap_or_default();
        sum.update((bytes.len() as u64).to_be_bytes());
        sum.update(bytes);
    }
}

impl ReadingSum {
    /// The next page.
    pub fn page(&mut self, page: &NewPage) {
        let NewPage { ordinal, number, label, text, boxes, missing } = page;
        let texts = [
            label.as_deref().map(str::as_bytes),
            Some(text.as_bytes()),
            Some(boxes.as_slice()),
            missing.as_deref().map(str::as_bytes),
        ];
        add(&mut self.pages, &[Some(*ordinal), *number], &texts);
    }

    /// The next passage.
    pub fn chunk(&mut self, chunk: &ParsedChunk) {
        let numbers = [
            Some(chunk.ordinal),
            Some(chunk.page_ordinal),
            Some(chunk.char_start),
            Some(chunk.char_end),
            Some(u32::from(chunk.is_table)),
        ];
        let texts = [
            chunk.cells.as_deref().map(str::as_bytes),
            Some(chunk.section.as_bytes()),
            Some(chunk.header.as_bytes()),
            Some(chunk.text.as_bytes()),
        ];
        add(&mut self.chunks, &numbers, &texts);
    }

    /// The sum of all, with what describes the document.
    #[must_use]
    pub fn finish(
        self,
        title: Option<&str>,
        document_date: Option<NaiveDate>,
        media_type: &str,
    ) -> ReadingDigest {
        let mut all = Sha256::new();
        all.update(self.pages.finalize());
        all.update(self.chunks.finalize());
        let date = document_date.map(|date| date.to_string());
        let texts = [
            title.map(str::as_bytes),
            date.as_deref().map(str::as_bytes),
            Some(media_type.as_bytes()),
        ];
        add(&mut all, &[], &texts);
        all.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &str, section: &str) -> ParsedChunk {
        ParsedChunk {
            ordinal: 0,
            page_ordinal: 0,
            char_start: 0,
            char_end: 4,
            section: section.to_owned(),
            header: String::new(),
            text: text.to_owned(),
            is_table: false,
            cells: None,
        }
    }

    fn page(text: &str) -> NewPage {
        NewPage {
            ordinal: 0,
            number: None,
            label: None,
            text: text.to_owned(),
            boxes: Vec::new(),
            missing: None,
        }
    }

    #[test]
    fn readings_are_the_same_in_whatever_order_pages_and_passages_come_by_turns() {
        let (mut by_turns, mut apart) = (ReadingSum::default(), ReadingSum::default());
        by_turns.page(&page("a"));
        by_turns.chunk(&chunk("a", ""));
        by_turns.page(&page("b"));
        apart.page(&page("a"));
        apart.page(&page("b"));
        apart.chunk(&chunk("a", ""));
        assert_eq!(by_turns.finish(None, None, "x"), apart.finish(None, None, "x"));
    }

    #[test]
    fn whatever_is_shown_tells_two_readings_apart() {
        let of = |text: &str, section: &str, title: Option<&str>| {
            let mut sum = ReadingSum::default();
            sum.chunk(&chunk(text, section));
            sum.finish(title, None, "x")
        };
        let same = of("ab", "c", None);
        assert_eq!(same, of("ab", "c", None));
        assert_ne!(same, of("a", "bc", None));
        assert_ne!(same, of("ab", "d", None));
        assert_ne!(same, of("ab", "c", Some("")));
    }
}
