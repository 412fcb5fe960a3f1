//! What does a folder of labelled data hold? It is laid out as BEIR lays out its sets
//! (Thakur et al., 2021, arXiv 2104.08663): `corpus.jsonl`, `queries.jsonl` and judgements in
//! `qrels/*.tsv`.
//!
//! Texts are not kept in memory: an entry is its id and where its line begins. Beside
//! `_id`, `title` and `text`, an entry's and a query's `metadata` may name the document
//! (`doc`) and the collection (`collection` or `company`) that they belong to.

mod lines;
mod qrels;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use lines::{Line, Lines};
pub(super) use qrels::{Judged, JudgedSet, Unit};

/// The most entries of a corpus: their ids and places are kept in memory.
pub(super) const MOST_ENTRIES: usize = 2_000_000;
/// The most queries.
pub(super) const MOST_QUERIES: usize = 200_000;

/// What is wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatasetError {
    /// A file or folder of it is missing.
    #[error("{} has no {what}; a data set is a folder with corpus.jsonl, queries.jsonl and qrels/*.tsv", folder.display())]
    Missing {
        /// The data set.
        folder: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}:{number}: {wrong}; {mend}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        number: u64,
        /// What is wrong with it.
        wrong: String,
        /// How to mend it.
        mend: &'static str,
    },
    /// There is more than this program holds.
    #[error("{} has more than {most} {what}; evaluate a part of it", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The most.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}

/// A line of `corpus.jsonl` or `queries.jsonl`.
#[derive(Debug, Deserialize)]
struct Record {
    #[serde(rename = "_id")]
    id: Value,
    #[serde(default)]
    title: Option<String>,
    text: String,
    #[serde(default)]
    metadata: Option<Value>,
}

impl Record {
    fn read(line: &Line, lines: &Lines) -> Result<(String, Self), DatasetError> {
        let mend = "every line is an object with `_id` and `text`, and maybe `title`";
        let record: Self = serde_json::from_str(&line.text).map_err(|error| {
            let wrong = match error.classify() {
                serde_json::error::Category::Data => error.to_string(),
                _ => format!("it is no JSON ({error})"),
            };
            lines.wrong(line.number, wrong, mend)
        })?;
        let id = match &record.id {
            Value::String(id) if !id.trim().is_empty() => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => {
                let wrong = "its `_id` is neither a text nor a number".to_owned();
                return Err(lines.wrong(line.number, wrong, mend));
            }
        };
        Ok((id, record))
    }

    fn told(&self, keys: &[&str]) -> Option<String> {
        let metadata = self.metadata.as_ref()?;
        let told = keys.iter().find_map(|key| metadata.get(*key)?.as_str())?;
        Some(told.to_owned()).filter(|told| !told.is_empty())
    }

    fn document(&self) -> Option<String> {
        self.told(&["doc"])
    }

    fn collection(&self) -> Option<String> {
        self.told(&["collection", "company"])
    }
}

/// One document of the corpus: the entries that say that they belong to it, in order. An
/// entry that says nothing is a document of its own.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Its entries, counted from 0 over the corpus.
    pub(super) entries: Vec<u32>,
    /// The collection that its first entry names.
    pub(super) collection: Option<String>,
}

/// What an entry says.
#[derive(Debug)]
pub(super) struct Text {
    /// Its title; may be empty.
    pub(super) title: String,
    /// Its text.
    pub(super) text: String,
}

/// A question with what is known of where its answer stands.
#[derive(Debug)]
pub(super) struct Query {
    /// Its id.
    pub(super) id: String,
    /// The question.
    pub(super) text: String,
    /// The document that it is asked of, as the place in [`Dataset::documents`].
    pub(super) document: Option<u32>,
    /// The collection that it is asked of.
    pub(super) collection: Option<String>,
}

/// A data set that was read and found whole.
#[derive(Debug)]
pub(super) struct Dataset {
    folder: PathBuf,
    /// Where the line of each entry begins, in the order of the file.
    offsets: Vec<u64>,
    /// In the order in which the corpus names them.
    pub(super) documents: Vec<Document>,
    /// Only those that some set judges.
    pub(super) queries: Vec<Query>,
    /// One for each file of judgements, by name.
    pub(super) sets: Vec<JudgedSet>,
}

/// What the ids of the corpus name, while judgements are read.
struct Ids {
    entries: HashMap<String, u32>,
    documents: HashMap<String, u32>,
}

impl Dataset {
    /// Reads and checks a folder. The first thing that is wrong is the error.
    pub(super) fn open(folder: &Path) -> Result<Self, DatasetError> {
        let missing = |what| DatasetError::Missing { folder: folder.to_owned(), what };
        for name in ["corpus.jsonl", "queries.jsonl"] {
            if !folder.join(name).is_file() {
                return Err(missing(name));
            }
        }
        let (offsets, documents, ids) = read_corpus(&folder.join("corpus.jsonl"))?;
        let mut queries = read_queries(&folder.join("queries.jsonl"), &ids)?;
        let files = qrels::files(folder)?;
        if files.is_empty() {
            return Err(missing("qrels/*.tsv"));
        }
        let mut sets = Vec::new();
        for file in files {
            sets.push(JudgedSet::read(&file, &queries, &ids)?);
        }
        keep_judged(&mut queries, &mut sets);
        Ok(Self { folder: folder.to_owned(), offsets, documents, queries, sets })
    }

    /// How many entries the corpus has.
    pub(super) fn entries(&self) -> usize {
        self.offsets.len()
    }

    /// The texts of a document's entries, in their order.
    pub(super) fn texts(&self, document: &Document) -> Result<Vec<Text>, DatasetError> {
        let path = self.folder.join("corpus.jsonl");
        let mut lines = Lines::open(&path)?;
        let mut texts = Vec::with_capacity(document.entries.len());
        for entry in &document.entries {
            let offset = self.offsets.get(*entry as usize).copied().unwrap_or_default();
            let Some(line) = lines.at(offset)? else {
                let source = std::io::Error::other("the file became shorter while it was read");
                return Err(DatasetError::Read { path, source });
            };
            let (_, record) = Record::read(&line, &lines)?;
            texts.push(Text { title: record.title.unwrap_or_default(), text: record.text });
        }
        Ok(texts)
    }

    /// What a query's collection holds: the places of its documents.
    pub(super) fn in_collection(&self, name: &str) -> Vec<u32> {
        (0..)
            .zip(&self.documents)
            .filter(|(_, document)| document.collection.as_deref() == Some(name))
            .map(|(at, _)| at)
            .collect()
    }
}

fn read_corpus(path: &Path) -> Result<(Vec<u64>, Vec<Document>, Ids), DatasetError> {
    let mut lines = Lines::open(path)?;
    let (mut offsets, mut documents) = (Vec::new(), Vec::<Document>::new());
    let mut ids = Ids { entries: HashMap::new(), documents: HashMap::new() };
    while let Some(line) = lines.next()? {
        let (id, record) = Record::read(&line, &lines)?;
        let at = narrow(offsets.len());
        if offsets.len() >= MOST_ENTRIES {
            let path = path.to_owned();
            return Err(DatasetError::TooMany { path, most: MOST_ENTRIES, what: "entries" });
        }
        if ids.entries.insert(id.clone(), at).is_some() {
            let wrong = format!("a line before it has the same `_id` {id:?}");
            return Err(lines.wrong(line.number, wrong, "ids name one entry each: remove one"));
        }
        let fresh = narrow(documents.len());
        let document = match record.document() {
            Some(name) => *ids.documents.entry(name).or_insert(fresh),
            None => fresh,
        };
        if document == fresh {
            documents.push(Document { entries: vec![], collection: record.collection() });
        }
        if let Some(document) = documents.get_mut(document as usize) {
            document.entries.push(at);
        }
        offsets.push(line.offset);
    }
    if offsets.is_empty() {
        let wrong = "the file holds no entry".to_owned();
        return Err(lines.wrong(1, wrong, "put one object with `_id` and `text` on each line"));
    }
    Ok((offsets, documents, ids))
}

fn read_queries(path: &Path, ids: &Ids) -> Result<Vec<Query>, DatasetError> {
    let mut lines = Lines::open(path)?;
    let mut seen = std::collections::HashSet::new();
    let mut queries = Vec::new();
    while let Some(line) = lines.next()? {
        let (id, record) = Record::read(&line, &lines)?;
        if queries.len() >= MOST_QUERIES {
            let path = path.to_owned();
            return Err(DatasetError::TooMany { path, most: MOST_QUERIES, what: "queries" });
        }
        if !seen.insert(id.clone()) {
            let wrong = format!("a line before it has the same `_id` {id:?}");
            return Err(lines.wrong(line.number, wrong, "ids name one query each: remove one"));
        }
        let document = record.document().and_then(|name| ids.documents.get(&name).copied());
        let collection = record.collection();
        queries.push(Query { id, text: record.text, document, collection });
    }
    Ok(queries)
}

/// Leaves only the queries that a set judges, and lets the sets name their new places.
fn keep_judged(queries: &mut Vec<Query>, sets: &mut [JudgedSet]) {
    let mut place = vec![None; queries.len()];
    for set in sets.iter() {
        for judged in &set.queries {
            place[judged.query as usize] = Some(0);
        }
    }
    for (next, place) in (0..).zip(place.iter_mut().flatten()) {
        *place = next;
    }
    for set in sets {
        for judged in &mut set.queries {
            judged.query = place[judged.query as usize].unwrap_or_default();
        }
    }
    let mut at = 0;
    queries.retain(|_| {
        at += 1;
        place[at - 1].is_some()
    });
}

/// A place in a list that is bounded far below 2^32.
fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
