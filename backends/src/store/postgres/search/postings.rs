//! Posting lists as bytes: in which chunks of a version a term stands, and how often.
//!
//! A list is a run of entries in the order of the chunks. An entry is three numbers in
//! LEB128: how far the chunk's ordinal is from the one before, how often the term stands
//! in it, and how many terms the chunk has. The last is the chunk's and not the term's;
//! said here again, it spares a look at every matching chunk when BM25 is computed.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// A row of the index may have 2,704 bytes, the term and the keys among them.
const MAX_LIST_BYTES: usize = 2_000;
/// Longer terms are kept by their beginning and their hash.
const MAX_TERM_BYTES: usize = 256;

/// A term of a version with chunks that hold it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct List {
    pub(super) chunks: i32,
    pub(super) bytes: Vec<u8>,
    last_ordinal: u32,
}

impl List {
    fn push(&mut self, entry: Entry) {
        write(&mut self.bytes, entry.ordinal.wrapping_sub(self.last_ordinal));
        write(&mut self.bytes, entry.times);
        write(&mut self.bytes, entry.length);
        self.last_ordinal = entry.ordinal;
        self.chunks += 1;
    }
}

/// A chunk that holds a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) ordinal: u32,
    /// How often the term stands in the chunk.
    pub(super) times: u32,
    /// How many terms the chunk has.
    pub(super) length: u32,
}

/// Posting lists of some chunks of one version.
#[derive(Debug, Default)]
pub(super) struct Postings {
    by_term: BTreeMap<String, Vec<List>>,
    /// How many terms the chunks have together.
    pub(super) length: i64,
}

impl Postings {
    /// Adds a chunk; chunks come in the order of their ordinals.
    pub(super) fn add(&mut self, ordinal: u32, index_terms: &str) {
        let mut times: BTreeMap<&str, u32> = BTreeMap::new();
        let mut length = 0;
        for term in index_terms.split(is_between).filter(|term| !term.is_empty()) {
            *times.entry(term).or_default() += 1;
            length += 1;
        }
        self.length += i64::from(length);
        for (term, times) in times {
            let lists = self.by_term.entry(stored(term).into_owned()).or_default();
            let entry = Entry { ordinal, times, length };
            match lists.last_mut() {
                Some(list) if list.bytes.len() < MAX_LIST_BYTES - 15 => list.push(entry),
                _ => {
                    let mut list = List::default();
                    list.push(entry);
                    lists.push(list);
                }
            }
        }
    }

    /// The rows to store, ordered by term.
    pub(super) fn into_rows(self) -> impl Iterator<Item = (String, List)> {
        self.by_term
            .into_iter()
            .flat_map(|(term, lists)| lists.into_iter().map(move |list| (term.clone(), list)))
    }
}

/// What parts terms: spaces, as the port says, and characters that no store can hold in
/// a term or that SQLite's full text does not.
fn is_between(character: char) -> bool {
    character == ' ' || character == '"' || character.is_ascii_control()
}

/// How a term of a question stands in the rows; none where no chunk can hold it.
pub(super) fn asked(term: &str) -> Option<Cow<'_, str>> {
    (!term.is_empty() && !term.contains(is_between)).then(|| stored(term))
}

/// ASCII letters are folded, as SQLite's full text does.
fn stored(term: &str) -> Cow<'_, str> {
    if term.len() > MAX_TERM_BYTES {
        let term = term.to_ascii_lowercase();
        let begins = term.floor_char_boundary(64);
        let hash =
            Sha256::digest(&term).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        return Cow::Owned(format!("{}…{hash}", &term[..begins]));
    }
    if term.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(term.to_ascii_lowercase());
    }
    Cow::Borrowed(term)
}

fn write(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Reads lists that stand one behind the other.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// The bytes of a list end within an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a posting list ends within an entry")]
pub(super) struct Torn;

impl<'a> Reader<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Reads the next list, which has so many chunks.
    pub(super) fn list(&mut self, chunks: i32, mut each: impl FnMut(Entry)) -> Result<(), Torn> {
        let mut ordinal = 0_u32;
        for _ in 0..chunks {
            ordinal = ordinal.wrapping_add(self.number()?);
            let (times, length) = (self.number()?, self.number()?);
            each(Entry { ordinal, times, length });
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u32, Torn> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let (&byte, rest) = self.0.split_first().ok_or(Torn)?;
            self.0 = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Torn)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lists: &[&List]) -> Vec<Entry> {
        let bytes: Vec<u8> = lists.iter().flat_map(|list| list.bytes.clone()).collect();
        let mut reader = Reader::of(&bytes);
        let mut entries = Vec::new();
        for list in lists {
            reader.list(list.chunks, |entry| entries.push(entry)).unwrap();
        }
        assert!(reader.0.is_empty(), "nothing is left over");
        entries
    }

    #[test]
    fn a_list_tells_chunk_times_and_length() {
        let mut postings = Postings::default();
        postings.add(3, "a b a");
        postings.add(200, " b  c ");
        assert_eq!(postings.length, 5);
        let rows: Vec<_> = postings.into_rows().collect();
        let terms: Vec<_> = rows.iter().map(|(term, _)| term.as_str()).collect();
        assert_eq!(terms, ["a", "b", "c"]);
        assert_eq!(read(&[&rows[0].1]), [Entry { ordinal: 3, times: 2, length: 3 }]);
        let both = [
            Entry { ordinal: 3, times: 1, length: 3 },
            Entry { ordinal: 200, times: 1, length: 2 },
        ];
        assert_eq!(read(&[&rows[1].1]), both);
    }

    #[test]
    fn a_long_list_is_several_rows_that_fit_an_index() {
        let mut postings = Postings::default();
        for ordinal in 0..5_000 {
            postings.add(ordinal, "the same");
        }
        let rows: Vec<_> = postings.into_rows().filter(|(term, _)| term == "same").collect();
        assert!(rows.len() > 1);
        assert!(rows.iter().all(|(_, list)| list.bytes.len() <= MAX_LIST_BYTES));
        let lists: Vec<&List> = rows.iter().map(|(_, list)| list).collect();
        let ordinals: Vec<u32> = read(&lists).iter().map(|entry| entry.ordinal).collect();
        assert_eq!(ordinals, (0..5_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_term_is_asked_for_as_it_is_stored() {
        let long = "x".repeat(5_000);
        for term in ["10-q", "Über", "REVENUE", "3.5%", long.as_str()] {
            let mut postings = Postings::default();
            postings.add(0, term);
            let rows: Vec<_> = postings.into_rows().collect();
            assert_eq!(asked(term).as_deref(), Some(rows[0].0.as_str()));
            assert!(rows[0].0.len() <= MAX_TERM_BYTES);
        }
        assert_ne!(asked(&long), asked(&format!("{long}y")));
        for nothing in ["", "a b", "\" OR \"10", "a\0b"] {
            assert_eq!(asked(nothing), None);
        }
    }

    #[test]
    fn torn_bytes_are_an_error() {
        assert_eq!(Reader::of(&[1, 1]).list(1, |_| {}), Err(Torn));
        assert_eq!(Reader::of(&[0xff; 9]).list(1, |_| {}), Err(Torn));
    }

    proptest! {
        #[test]
        fn every_number_is_read_as_written(value: u32) {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            prop_assert_eq!(Reader::of(&bytes).number(), Ok(value));
        }
    }
}
