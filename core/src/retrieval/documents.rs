//! Which of the candidates' documents does a question mean? By the name that it says, by
//! the quarter that it says, or because it asks for the latest.

use std::collections::HashMap;

use chrono::{Datelike, NaiveDate};

use super::analyse::terms;
use super::period::{Fit, Periods};
use super::question::Question;
use super::rank::Candidate;
use crate::ids::DocumentId;
use crate::model::Passage;

/// How well a document fits what a question says of documents, each part from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct DocumentFit {
    /// How much of what the question says of documents' names its name holds.
    pub(super) named: f32,
    /// 1 where its name says the quarter and the year that the question says.
    pub(super) period: f32,
    /// 1 where the question asks for the latest, and it is, among those that are named.
    pub(super) latest: f32,
}

/// How well each candidate's document fits. `documents` are their names and titles, `idf`
/// how much each term of the question tells.
pub(super) fn document_fits(
    question: &Question,
    idf: &[f32],
    candidates: &[Candidate],
    documents: &[String],
) -> HashMap<DocumentId, DocumentFit> {
    let mut fits: HashMap<DocumentId, DocumentFit> = HashMap::new();
    let mut days = HashMap::new();
    let asks_quarter = !question.periods.quarters.is_empty() && !question.periods.years.is_empty();
    for candidate in candidates {
        let passage = &candidate.passage;
        fits.entry(passage.document_id).or_insert_with(|| {
            let says = asks_quarter && says_quarter(&question.periods, passage);
            DocumentFit { period: if says { 1.0 } else { 0.0 }, ..DocumentFit::default() }
        });
        if question.wants_latest {
            days.entry(passage.document_id).or_insert_with(|| day(passage));
        }
    }
    for (document, named) in named_documents(question, idf, candidates, documents) {
        fits.entry(document).or_default().named = named;
    }
    let best = fits.values().map(|fit| fit.named).fold(0.0, f32::max);
    let is_meant = |document: &DocumentId| fits.get(document).is_some_and(|fit| fit.named >= best);
    let newest = days.iter().filter(|(document, _)| is_meant(document)).filter_map(|(_, day)| *day);
    if let Some(newest) = newest.max() {
        for (document, fit) in &mut fits {
            if fit.named >= best && days.get(document).copied().flatten() == Some(newest) {
                fit.latest = 1.0;
            }
        }
    }
    fits
}

/// Whether a document's name, or else its title, says the quarter and the year asked for.
/// The end of its period does not tell: quarters of fiscal years end when they like.
fn says_quarter(asked: &Periods, passage: &Passage) -> bool {
    let of = |text: &str| {
        let said = Periods::read(text);
        (!said.quarters.is_empty() && !said.years.is_empty()).then_some(said)
    };
    let said = of(&passage.filename).or_else(|| of(passage.title.as_deref()?));
    said.is_some_and(|said| {
        let year = said.years.iter().any(|year| asked.years.contains(year));
        year && asked.quarter_fit(&said) == Fit::Fits
    })
}

/// The day that a document speaks of, as its text or else its name tells.
fn day(passage: &Passage) -> Option<NaiveDate> {
    passage.document_date.or_else(|| {
        let said = Periods::read(&passage.filename);
        let year = said.years.iter().copied().max()?;
        let months = said.quarters.iter().copied().max().map_or(12, |quarter| quarter * 3);
        let named = NaiveDate::from_ymd_opt(year, u32::from(months), 28);
        said.dates.iter().copied().filter(|date| date.year() == year).max().or(named)
    })
}

/// A company's name and the ticker it trades under, as terms.
type Alias = (Vec<String>, String);

/// How much of what the question says of documents' names each document's name holds,
/// 0 to 1. A document whose title reads `Apple Inc. (AAPL)` lends its ticker to the
/// name, so that other documents of that ticker are found by the name as well.
fn named_documents(
    question: &Question,
    idf: &[f32],
    candidates: &[Candidate],
    documents: &[String],
) -> HashMap<DocumentId, f32> {
    let mut names: HashMap<DocumentId, (Vec<String>, Option<Alias>)> = HashMap::new();
    for (candidate, document) in candidates.iter().zip(documents) {
        names.entry(candidate.passage.document_id).or_insert_with(|| {
            (terms(document), candidate.passage.title.as_deref().and_then(name_and_ticker))
        });
    }
    let holds = |name: &[String], term: &str| name.iter().any(|word| word == term);
    // Only terms that tell documents apart say which one is meant.
    let telling: Vec<usize> = (0..question.terms.len())
        .filter(|at| question.names[*at] && !question.times[*at])
        .filter(|at| {
            let with = names.values().filter(|(name, _)| holds(name, &question.terms[*at])).count();
            with > 0 && (with < names.len() || names.len() == 1)
        })
        .collect();
    let whole: f32 = telling.iter().map(|at| idf[*at]).sum();
    if whole <= 0.0 {
        return HashMap::new();
    }
    let aliases: Vec<(&[String], &String)> = names
        .values()
        .filter_map(|(_, alias)| alias.as_ref())
        .map(|(name, ticker)| (name.as_slice(), ticker))
        .collect();
    names
        .iter()
        .map(|(document, (name, _))| {
            let found: f32 = telling
                .iter()
                .filter(|at| {
                    let term = &question.terms[**at];
                    holds(name, term)
                        || aliases
                            .iter()
                            .any(|(alias, ticker)| holds(alias, term) && holds(name, ticker))
                })
                .map(|at| idf[*at])
                .sum();
            (*document, found / whole)
        })
        .collect()
}

/// `Apple Inc. (AAPL) 10-Q` is the terms of the name, and the ticker's.
fn name_and_ticker(title: &str) -> Option<Alias> {
    let (name, rest) = title.split_once(" (")?;
    let (ticker, _) = rest.split_once(')')?;
    let is_ticker = (1..=6).contains(&ticker.len())
        && ticker.bytes().all(|b| b.is_ascii_uppercase() || b == b'.' || b == b'-');
    if !is_ticker {
        return None;
    }
    Some((terms(name), terms(ticker).into_iter().next()?))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::{ChunkId, CollectionId};

    fn candidate(n: u128, filename: &str, title: &str, date: Option<(i32, u32, u32)>) -> Candidate {
        let date = date.and_then(|(year, month, day)| NaiveDate::from_ymd_opt(year, month, day));
        let passage = Passage {
            chunk_id: ChunkId(Uuid::from_u128(n)),
            document_id: DocumentId(Uuid::from_u128(n)),
            version: 1,
            collection_id: CollectionId(Uuid::nil()),
            filename: filename.to_owned(),
            title: Some(title.to_owned()),
            media_type: String::new(),
            document_date: date,
            ordinal: 0,
            page_ordinal: 0,
            page: None,
            char_start: 0,
            char_end: 0,
            section: String::new(),
            header: String::new(),
            text: String::new(),
            is_table: false,
            cells: None,
            tokens: 0,
        };
        Candidate { passage, similarity: None }
    }

    fn filings() -> Vec<Candidate> {
        vec![
            candidate(1, "2022 Q3 AAPL.pdf", "Apple Inc. (AAPL) 10-Q", Some((2022, 6, 25))),
            candidate(2, "2023 Q3 AAPL.pdf", "Apple Inc. (AAPL) 10-Q", Some((2023, 7, 1))),
            candidate(3, "2023 Q3 INTC.pdf", "INTEL (INTC) 10-Q", Some((2023, 9, 30))),
            candidate(4, "fund.pdf", "A fund", None),
        ]
    }

    fn fits(question: &str) -> Vec<DocumentFit> {
        let question = Question::read(question);
        let (candidates, idf) = (filings(), vec![1.0; question.terms.len()]);
        let named = |candidate: &Candidate| {
            let passage = &candidate.passage;
            super::super::document_field(&passage.filename, passage.title.as_deref())
        };
        let documents: Vec<String> = candidates.iter().map(named).collect();
        let fits = document_fits(&question, &idf, &candidates, &documents);
        candidates.iter().map(|candidate| fits[&candidate.passage.document_id]).collect()
    }

    #[test]
    fn a_quarter_is_that_of_the_document_that_says_it() {
        let period = |question| fits(question).iter().map(|fit| fit.period).collect::<Vec<_>>();
        assert_eq!(period("Apple's sales in Q3 2022"), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(period("sales in the third quarter of 2023"), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(period("sales in 2023"), [0.0; 4]);
        assert_eq!(period("sales in the third quarter"), [0.0; 4]);
    }

    #[test]
    fn the_latest_is_the_newest_of_those_that_are_named() {
        let latest = |question| fits(question).iter().map(|fit| fit.latest).collect::<Vec<_>>();
        assert_eq!(latest("Apple's gross margin in the latest 10-Q"), [0.0, 1.0, 0.0, 0.0]);
        assert_eq!(latest("gross margin in the most recent 10-Q"), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(latest("Apple's gross margin"), [0.0; 4]);
    }

    #[test]
    fn a_document_without_a_date_is_as_old_as_its_name_says() {
        let day = |name: &str| day(&candidate(1, name, "", None).passage);
        assert!(day("2023 Q3 INTC.pdf") > day("2023 Q1 INTC.pdf"));
        assert!(day("report-2023.pdf") > day("2023 Q3 INTC.pdf"));
        assert_eq!(day("2023-10-27 letter.pdf"), NaiveDate::from_ymd_opt(2023, 10, 27));
        assert_eq!(day("fund.pdf"), None);
    }
}
