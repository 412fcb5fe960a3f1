//! How many questions over the filings are answered with the right page and value?

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use quaestor_backends::models::offline::OfflineModel;
use quaestor_core::model::Passage;
use quaestor_core::ports::chat_model::{ChatRequest, GroundingPassage};
use quaestor_core::retrieval::{
    Candidate, Question, ScoredPassage, Weights, document_field, embedding_text, quotes, rank,
};
use serde::Deserialize;

use crate::memory_index::{MemoryIndex, best};
use crate::vectors::{Vectors, cosine};

/// A question with its gold.
#[derive(Clone, Debug, Deserialize)]
pub struct Asked {
    pub id: String,
    pub question: String,
    pub file: String,
    pub pages: Option<Vec<u32>>,
    pub value: String,
}

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The place of the first passage of a right page, from 1.
    pub rank: Option<usize>,
    pub cites_page: bool,
    pub quotes_value: bool,
    /// Whether the first quote already does both.
    pub at_once: bool,
    pub answer: String,
    /// What ranking the candidates took.
    pub ranking: Duration,
    pub passages: Vec<String>,
}

/// The share of right answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub asked: usize,
    pub ranked_first: usize,
    pub ranked: usize,
    pub cites: usize,
    pub quotes: usize,
    pub at_once: usize,
}

impl Tally {
    pub fn add(&mut self, outcome: &Outcome) {
        self.asked += 1;
        self.ranked_first += usize::from(outcome.rank == Some(1));
        self.ranked += usize::from(outcome.rank.is_some());
        self.cites += usize::from(outcome.cites_page);
        self.quotes += usize::from(outcome.quotes_value);
        self.at_once += usize::from(outcome.at_once);
    }
}

pub fn read(path: &Path) -> Result<Vec<Asked>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

fn embedded(passage: &Passage) -> String {
    let document = document_field(&passage.filename, passage.title.as_deref());
    embedding_text(&document, &passage.section, &passage.header, &passage.text)
}

/// Embeds what a quiz needs: the questions and the passages that words find for them.
/// To embed all passages would take a quarter of an hour on two cores, and those that
/// words do not find are right for next to no question over filings.
pub fn learn(index: &MemoryIndex, asked: &[Asked], vectors: &mut Vectors) -> Result<()> {
    let mut texts: Vec<String> = asked.iter().map(|asked| asked.question.clone()).collect();
    for asked in asked {
        for at in index.candidates(&Question::read(&asked.question)) {
            texts.push(embedded(&index.passages[at as usize]));
        }
    }
    vectors.learn(&texts)
}

/// The vector of each passage, where known.
pub fn passage_vectors<'a>(index: &MemoryIndex, vectors: &'a Vectors) -> Vec<Option<&'a [f32]>> {
    index.passages.iter().map(|passage| vectors.get(&embedded(passage))).collect()
}

/// Searches as the product does.
pub fn search(
    index: &MemoryIndex,
    question: &Question,
    similar: Option<Vec<f32>>,
    weights: &Weights,
    limit: usize,
) -> (Vec<ScoredPassage>, Duration) {
    let stats = index.stats(&question.terms);
    let mut chosen = index.candidates(question);
    let mut similarity = HashMap::new();
    for (at, found) in best((0..).zip(similar.unwrap_or_default()).collect(), 80) {
        similarity.insert(at, found);
        if !chosen.contains(&at) {
            chosen.push(at);
        }
    }
    let candidates = chosen
        .into_iter()
        .map(|at| Candidate {
            passage: index.passages[at as usize].clone(),
            similarity: similarity.get(&at).copied(),
        })
        .collect();
    let began = std::time::Instant::now();
    let ranked = rank(question, &stats, candidates, weights, limit);
    (ranked, began.elapsed())
}

/// Asks one question.
pub fn ask(
    index: &MemoryIndex,
    asked: &Asked,
    vectors: Option<(&Vectors, &[Option<&[f32]>])>,
    weights: &Weights,
    limit: usize,
) -> Outcome {
    let question = Question::read(&asked.question);
    let similar = vectors.and_then(|(known, passages)| {
        let query = known.get(&asked.question)?;
        let of = |vector: &Option<&[f32]>| vector.map_or(-1.0, |vector| cosine(query, vector));
        Some(passages.iter().map(of).collect())
    });
    let (found, ranking) = search(index, &question, similar, weights, limit);
    // Where several files hold the same filing, each is right: `one|two`.
    let files: Vec<&str> =
        asked.file.split('|').map(|file| file.rsplit('/').next().unwrap_or(file)).collect();
    let is_right = |passage: &Passage| {
        let page = asked
            .pages
            .as_ref()
            .is_none_or(|pages| passage.page.is_some_and(|page| pages.contains(&page)));
        files.contains(&passage.filename.as_str()) && page
    };
    let rank = found.iter().position(|scored| is_right(&scored.passage)).map(|place| place + 1);
    let request = ChatRequest {
        messages: Vec::new(),
        question: asked.question.clone(),
        passages: (1..).zip(&found).map(|(ordinal, scored)| grounding(ordinal, scored)).collect(),
        max_output_tokens: 1_000,
        input_tokens: 0,
    };
    let answer = OfflineModel::answer(&request);
    let cited = quotes(&answer);
    let of = |ordinal: u32| &found[ordinal as usize - 1].passage;
    let right = |ordinal: u32| is_right(of(ordinal));
    let first = cited.first().is_some_and(|quote| {
        quote.ordinals.iter().any(|ordinal| right(*ordinal)) && holds(&quote.text, &asked.value)
    });
    Outcome {
        rank,
        cites_page: cited.iter().flat_map(|quote| &quote.ordinals).any(|ordinal| right(*ordinal)),
        quotes_value: holds(&answer, &asked.value),
        at_once: first,
        passages: found
            .iter()
            .map(|scored| {
                let p = &scored.passage;
                format!(
                    "{:.3} {} p{:?} [{}] {:?}",
                    scored.score,
                    p.filename,
                    p.page,
                    p.header.replace('\n', " / "),
                    p.text.chars().take(160).collect::<String>()
                )
            })
            .collect(),
        answer,
        ranking,
    }
}

fn grounding(ordinal: u32, scored: &ScoredPassage) -> GroundingPassage {
    let passage = &scored.passage;
    GroundingPassage {
        ordinal,
        filename: passage.filename.clone(),
        title: passage.title.clone(),
        page: passage.page,
        section: passage.section.clone(),
        header: passage.header.clone(),
        text: passage.text.clone(),
        is_table: passage.is_table,
        score: scored.score,
    }
}

/// Whether a text holds a value that no digit or letter prolongs; marks of thousands and
/// spaces do not count.
fn holds(text: &str, value: &str) -> bool {
    let plain = |text: &str| {
        text.replace(',', "").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
    };
    let (text, value) = (plain(text), plain(value));
    text.match_indices(&value).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + value.len()..].chars().next();
        let digit_before = before.is_some_and(|c| c.is_alphanumeric() || c == '.');
        let second = text[at + value.len()..].chars().nth(1);
        let point = after == Some('.') && second.is_some_and(|c| c.is_ascii_digit());
        !digit_before && !after.is_some_and(char::is_alphanumeric) && !point
    })
}
