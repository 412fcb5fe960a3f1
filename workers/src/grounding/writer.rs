//! Passes a model's text on while it comes, with its citation markers checked.
//!
//! A model names passages by the ordinals it was given. A reader sees ordinals of
//! citations, which count from 1 in the order of the text: one for each quote of each
//! passage. A marker that names no given passage is dropped before anybody sees it, and
//! a marker that is split over pieces is held back until it is whole. Other forms that
//! models write (`[1, 2]`, `[1-3]`, `【1】`) become `[1][2]`.

use quaestor_core::model::Passage;

use super::marker;
use super::quote::{self, Span};

/// A citation whose place in its passage is known.
#[derive(Clone, Debug)]
pub struct Located {
    /// What `[n]` in the answer names.
    pub ordinal: u32,
    /// The passage.
    pub passage: Passage,
    /// Where the quote stands in the passage's text.
    pub quote: Span,
}

/// Writes an answer piece by piece.
#[derive(Debug)]
pub(crate) struct CitationWriter {
    passages: Vec<Passage>,
    /// The beginning of what may become a marker.
    held: String,
    text: String,
    /// Where in `text` the statement began that the next marker belongs to.
    statement_start: usize,
    last_statement: String,
    located: Vec<Located>,
    dropped: u64,
}

impl CitationWriter {
    /// A writer for an answer to which these passages were given, ordinal 1 first.
    pub(crate) fn new(passages: Vec<Passage>) -> Self {
        Self {
            passages,
            held: String::new(),
            text: String::new(),
            statement_start: 0,
            last_statement: String::new(),
            located: Vec::new(),
            dropped: 0,
        }
    }

    /// The answer so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// How many markers named no given passage.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the next piece from the model; returns what may be shown.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        let shown_from = self.text.len();
        for character in piece.chars() {
            self.take(character);
        }
        self.text[shown_from..].to_owned()
    }

    /// The model has ended; returns what was held back.
    pub(crate) fn finish(&mut self) -> String {
        let shown_from = self.text.len();
        let held = std::mem::take(&mut self.held);
        self.text.push_str(&held);
        self.text[shown_from..].to_owned()
    }

    /// The answer and its citations, in the order of their ordinals.
    pub(crate) fn into_parts(self) -> (String, Vec<Located>) {
        (self.text, self.located)
    }

    fn take(&mut self, character: char) {
        if self.held.is_empty() {
            self.begin(character);
            return;
        }
        let closing = if self.held.starts_with('[') { ']' } else { '】' };
        if character == closing {
            let held = std::mem::take(&mut self.held);
            match marker::ordinals(&held[opening_len(&held)..]) {
                Some(ordinals) => ordinals.into_iter().for_each(|ordinal| self.cite(ordinal)),
                None => {
                    self.text.push_str(&held);
                    self.text.push(character);
                }
            }
            return;
        }
        if self.held.len() + character.len_utf8() <= marker::LONGEST
            && marker::may_go_on(&self.held[opening_len(&self.held)..], character)
        {
            self.held.push(character);
            return;
        }
        let held = std::mem::take(&mut self.held);
        self.text.push_str(&held);
        self.begin(character);
    }

    fn begin(&mut self, character: char) {
        if matches!(character, '[' | '【') {
            self.held.push(character);
        } else {
            self.text.push(character);
        }
    }

    fn cite(&mut self, given: usize) {
        let Some(passage) = given.checked_sub(1).and_then(|index| self.passages.get(index)) else {
            self.dropped += 1;
            return;
        };
        let statement = quote::last_statement(&self.text[self.statement_start..]);
        if !statement.trim().is_empty() {
            self.last_statement = statement.to_owned();
        }
        let span = quote::locate(&self.last_statement, &passage.text);
        let known = self
            .located
            .iter()
            .find(|located| located.passage.chunk_id == passage.chunk_id && located.quote == span);
        let ordinal = match known {
            Some(located) => located.ordinal,
            None => {
                let ordinal = u32::try_from(self.located.len() + 1).unwrap_or(u32::MAX);
                self.located.push(Located { ordinal, passage: passage.clone(), quote: span });
                ordinal
            }
        };
        self.text.push_str(&format!("[{ordinal}]"));
        self.statement_start = self.text.len();
    }
}

fn opening_len(held: &str) -> usize {
    held.chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use quaestor_core::ids::{ChunkId, CollectionId, DocumentId};
    use uuid::Uuid;

    use super::*;

    pub(crate) fn passage(n: u128, text: &str) -> Passage {
        Passage {
            chunk_id: ChunkId(Uuid::from_u128(n)),
            document_id: DocumentId(Uuid::from_u128(n)),
            version: 1,
            collection_id: CollectionId(Uuid::from_u128(1)),
            filename: "a.pdf".into(),
            title: None,
            media_type: "application/pdf".into(),
            document_date: None,
            ordinal: 0,
            page_ordinal: 0,
            page: Some(1),
            char_start: 0,
            char_end: 0,
            section: String::new(),
            header: String::new(),
            text: text.into(),
            is_table: false,
            cells: None,
            tokens: 1,
        }
    }

    fn written(answer: &str, split: usize) -> (String, Vec<u32>, u64, String) {
        let passages = vec![
            passage(1, "Net sales were 10. Costs were 7."),
            passage(2, "The fund holds 42 bonds."),
        ];
        let mut writer = CitationWriter::new(passages);
        let mut shown = String::new();
        let characters: Vec<char> = answer.chars().collect();
        for piece in characters.chunks(split) {
            shown.push_str(&writer.push(&piece.iter().collect::<String>()));
        }
        shown.push_str(&writer.finish());
        let dropped = writer.dropped();
        let (text, located) = writer.into_parts();
        (text, located.iter().map(|located| located.ordinal).collect(), dropped, shown)
    }

    #[test]
    fn markers_are_checked_and_counted_however_the_text_is_split() {
        let answer = "Bonds: 42 [2]. Costs were 7 [1]. Forged [9]. Not one: [a] [12345678901]. [";
        for split in 1..answer.len() {
            let (text, ordinals, dropped, shown) = written(answer, split);
            assert_eq!(
                text,
                "Bonds: 42 [1]. Costs were 7 [2]. Forged . Not one: [a] [12345678901]. ["
            );
            assert_eq!(ordinals, [1, 2]);
            assert_eq!(dropped, 1);
            assert_eq!(shown, text);
        }
    }

    #[test]
    fn two_quotes_of_one_passage_are_two_citations_and_the_same_quote_is_one() {
        let (text, ordinals, ..) =
            written("Net sales were 10 [1]. Costs were 7 [1]. Again net sales were 10 [1].", 3);
        assert_eq!(text, "Net sales were 10 [1]. Costs were 7 [2]. Again net sales were 10 [1].");
        assert_eq!(ordinals, [1, 2]);
    }
    #[test]
    fn every_form_of_a_marker_becomes_the_plain_one_however_it_is_split() {
        for (answer, expected) in [
            ("Bonds: 42 [2, 1].", "Bonds: 42 [1][2]."),
            ("Bonds: 42 [1-2].", "Bonds: 42 [1][2]."),
            ("Bonds: 42 [2][1].", "Bonds: 42 [1][2]."),
            ("Bonds: 42 【2】.", "Bonds: 42 [1]."),
            ("Bonds: 42 【2†source】.", "Bonds: 42 [1]."),
            ("Bonds: 42 [ 2 ; 7 ].", "Bonds: 42 [1]."),
            ("Sold for [1,234] and [x] 【y】 [-] [", "Sold for [1,234] and [x] 【y】 [-] ["),
            ("[[2]]", "[[1]]"),
        ] {
            for split in 1..=answer.chars().count() {
                let (text, _, _, shown) = written(answer, split);
                assert_eq!(text, expected, "{answer} in pieces of {split}");
                assert_eq!(shown, text);
            }
        }
    }
}
