//! Which entries or documents does a file of judgements call right for which query?

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::lines::Lines;
use super::{DatasetError, Ids, Query};

/// The most judgements of one file.
const MOST_JUDGEMENTS: usize = 5_000_000;

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::eval) enum Unit {
    /// Entries of the corpus.
    Passages,
    /// The documents that entries belong to.
    Documents,
}

/// A query with what is right for it.
#[derive(Debug)]
pub(in crate::eval) struct Judged {
    /// The query, as the place in `Dataset::queries`.
    pub(in crate::eval) query: u32,
    /// What is right, with its grade from 1, as entries counted from 0 or as
    /// places in `Dataset::documents`. Never empty.
    pub(in crate::eval) right: Vec<(u32, u32)>,
}

/// The judgements of one file.
#[derive(Debug)]
pub(in crate::eval) struct JudgedSet {
    /// The file's name without its ending: `test`.
    pub(in crate::eval) name: String,
    /// What is judged.
    pub(in crate::eval) unit: Unit,
    /// In the order in which the file names the queries first.
    pub(in crate::eval) queries: Vec<Judged>,
}

/// The files of judgements, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let folder = folder.join("qrels");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |source| DatasetError::Read { path: folder.clone(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|ending| ending == "tsv") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl JudgedSet {
    pub(super) fn read(path: &Path, queries: &[Query], ids: &Ids) -> Result<Self, DatasetError> {
        let by_id: HashMap<&str, u32> =
            (0..).zip(queries).map(|(at, query)| (query.id.as_str(), at)).collect();
        let mut lines = Lines::open(path)?;
        let unit = unit(&mut lines)?;
        let known = match unit {
            Unit::Passages => &ids.entries,
            Unit::Documents => &ids.documents,
        };
        let mut places: HashMap<u32, usize> = HashMap::new();
        let mut judged: Vec<Judged> = Vec::new();
        let mut count = 0;
        while let Some(line) = lines.next()? {
            count += 1;
            if count > MOST_JUDGEMENTS {
                let (path, most) = (path.to_owned(), MOST_JUDGEMENTS);
                return Err(DatasetError::TooMany { path, most, what: "judgements" });
            }
            let cells: Vec<&str> = line.text.split('\t').map(str::trim).collect();
            let [query, id, rest @ ..] = cells.as_slice() else {
                let wrong = "it has no two columns parted by a tab".to_owned();
                return Err(lines.wrong(line.number, wrong, COLUMNS));
            };
            let grade = grade(rest).ok_or_else(|| {
                let wrong = format!("its third column {:?} is no whole number", rest.join(" "));
                lines.wrong(line.number, wrong, COLUMNS)
            })?;
            let Some(query) = by_id.get(query) else {
                let wrong = format!("there is no query {query:?} in queries.jsonl");
                return Err(lines.wrong(line.number, wrong, "add it, or remove the line"));
            };
            let Some(right) = known.get(*id) else {
                let (wrong, mend) = match unit {
                    Unit::Passages => (
                        format!("there is no entry {id:?} in corpus.jsonl"),
                        "add it, or remove the line; where documents are judged, call the \
                         second column `doc-id`",
                    ),
                    Unit::Documents => (
                        format!("no entry of corpus.jsonl has the `metadata.doc` {id:?}"),
                        "add it, or remove the line; where entries are judged, call the second \
                         column `corpus-id`",
                    ),
                };
                return Err(lines.wrong(line.number, wrong, mend));
            };
            if grade == 0 {
                continue;
            }
            let place = *places.entry(*query).or_insert_with(|| {
                judged.push(Judged { query: *query, right: Vec::new() });
                judged.len() - 1
            });
            let list = &mut judged[place].right;
            if !list.iter().any(|(known, _)| known == right) {
                list.push((*right, grade));
            }
        }
        if judged.is_empty() {
            let wrong = "the file calls nothing right for any query".to_owned();
            return Err(lines.wrong(1, wrong, COLUMNS));
        }
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        Ok(Self { name: name.unwrap_or_default(), unit, queries: judged })
    }
}

const COLUMNS: &str = "the columns are query-id, corpus-id (or doc-id) and score, parted by \
                       tabs, with those names in the first line";

/// What the first line says is judged.
fn unit(lines: &mut Lines) -> Result<Unit, DatasetError> {
    let Some(line) = lines.next()? else {
        return Err(lines.wrong(1, "the file is empty".to_owned(), COLUMNS));
    };
    let cells: Vec<&str> = line.text.split('\t').map(str::trim).collect();
    match cells.as_slice() {
        ["query-id", "corpus-id", ..] => Ok(Unit::Passages),
        ["query-id", "doc-id", ..] => Ok(Unit::Documents),
        _ => Err(lines.wrong(line.number, "it does not name the columns".to_owned(), COLUMNS)),
    }
}

/// The grade of a judgement; one that says none is 1, and less than nothing is nothing.
fn grade(cells: &[&str]) -> Option<u32> {
    match cells {
        [] | [""] => Some(1),
        [score, ..] => {
            let score: f64 = score.parse().ok()?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            (score.is_finite() && score.fract() == 0.0)
                .then(|| score.clamp(0.0, f64::from(u16::MAX)) as u32)
        }
    }
}
