//! How good is the ranking on the labelled retrieval sets?

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use quaestor_core::model::Passage;
use quaestor_core::retrieval::{Candidate, Question, Weights, rank};
use serde::Deserialize;

use crate::filings::passage_ids;
use crate::memory_index::{MemoryIndex, best};
use crate::vectors::{Vectors, cosine, windows};

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

/// A retrieval set, read and indexed.
pub struct Set {
    index: MemoryIndex,
    ids: Vec<String>,
    windows: Vec<Vec<String>>,
    queries: Vec<Entry>,
    gold: HashMap<String, Vec<String>>,
    by_document: bool,
}

/// nDCG@10 and recall@10, means over the queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores {
    pub ndcg: f64,
    pub recall: f64,
}

fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

impl Set {
    pub fn load(folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(name);
        let corpus: Vec<Entry> = lines(&folder.join("corpus.jsonl"))?;
        let queries: Vec<Entry> = lines(&folder.join("queries.jsonl"))?;
        let docs = folder.join("qrels/docs.tsv");
        let by_document = docs.exists();
        let qrels = if by_document { docs } else { folder.join("qrels/test.tsv") };
        let mut gold: HashMap<String, Vec<String>> = HashMap::new();
        for line in std::fs::read_to_string(qrels)?.lines().skip(1) {
            let mut cells = line.split('\t');
            if let (Some(query), Some(id)) = (cells.next(), cells.next()) {
                let id = id.trim_end_matches(".pdf").replace(' ', "_");
                gold.entry(query.to_owned()).or_default().push(id);
            }
        }
        let ids: Vec<String> = corpus.iter().map(|entry| entry.id.clone()).collect();
        let windows = corpus.iter().map(|entry| windows(&entry.text)).collect();
        let passages = corpus
            .into_iter()
            .enumerate()
            .map(|(at, entry)| {
                let document = if by_document { document_of(&ids[at]) } else { ids[at].clone() };
                let (chunk_id, document_id, collection_id) = passage_ids(&document, at as u32);
                Passage {
                    chunk_id,
                    document_id,
                    version: 1,
                    collection_id,
                    filename: entry.title,
                    title: None,
                    media_type: String::new(),
                    document_date: None,
                    ordinal: at as u32,
                    page_ordinal: 0,
                    page: None,
                    char_start: 0,
                    char_end: 0,
                    section: String::new(),
                    header: String::new(),
                    is_table: entry.text.contains(" | "),
                    text: entry.text,
                    cells: None,
                    tokens: 0,
                }
            })
            .collect();
        let queries = queries.into_iter().filter(|query| gold.contains_key(&query.id)).collect();
        Ok(Self { index: MemoryIndex::new(passages), ids, windows, queries, gold, by_document })
    }

    pub fn learn(&self, vectors: &mut Vectors) -> Result<()> {
        let mut texts: Vec<String> = self.windows.iter().flatten().cloned().collect();
        texts.extend(self.queries.iter().map(|query| query.text.clone()));
        vectors.learn(&texts)
    }

    fn similarities(&self, query: &str, vectors: &Vectors) -> Vec<f32> {
        let Some(asked) = vectors.get(query) else { return Vec::new() };
        self.windows
            .iter()
            .map(|windows| {
                let known = windows.iter().filter_map(|window| vectors.get(window));
                known.map(|vector| cosine(asked, vector)).fold(-1.0, f32::max)
            })
            .collect()
    }

    fn score(&self, run: impl Fn(&Entry) -> Vec<u32>) -> Scores {
        let mut sum = Scores::default();
        for query in &self.queries {
            let mut ranked: Vec<String> = Vec::new();
            for at in run(query) {
                let id = &self.ids[at as usize];
                let id = if self.by_document { document_of(id) } else { id.clone() };
                if !ranked.contains(&id) {
                    ranked.push(id);
                }
            }
            let gold = &self.gold[&query.id];
            let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
            let hits = ranked.iter().take(10).enumerate().filter(|(_, id)| gold.contains(id));
            let found: Vec<usize> = hits.map(|(place, _)| place).collect();
            let ideal: f64 = (0..gold.len().min(10)).map(gain).sum();
            sum.ndcg += found.iter().map(|place| gain(*place)).sum::<f64>() / ideal;
            sum.recall += found.len() as f64 / gold.len() as f64;
        }
        let n = self.queries.len().max(1) as f64;
        Scores { ndcg: sum.ndcg / n, recall: sum.recall / n }
    }

    /// How many passages are ranked: all where documents are counted.
    fn depth(&self) -> usize {
        if self.by_document { 100 } else { 10 }
    }

    pub fn bm25(&self, parameters: (f32, f32)) -> Scores {
        self.score(|query| {
            let terms = Question::read(&query.text).terms;
            let hits = self.index.by_words(&terms, parameters, 500);
            hits.into_iter().map(|(at, _)| at).collect()
        })
    }

    pub fn meaning(&self, vectors: &Vectors) -> Scores {
        self.score(|query| {
            let all = self.similarities(&query.text, vectors);
            best((0..).zip(all).collect(), 500).into_iter().map(|(at, _)| at).collect()
        })
    }

    /// As the product searches: candidates by both, ranked again.
    pub fn fused(&self, vectors: Option<&Vectors>, weights: &Weights) -> Scores {
        self.score(|query| {
            let question = Question::read(&query.text);
            let stats = self.index.stats(&question.terms);
            let mut chosen = self.index.candidates(&question);
            let all = vectors.map(|known| self.similarities(&query.text, known));
            let mut similar: HashMap<u32, f32> = HashMap::new();
            if let Some(all) = all {
                for (at, similarity) in best((0..).zip(all).collect(), 80) {
                    similar.insert(at, similarity);
                    if !chosen.contains(&at) {
                        chosen.push(at);
                    }
                }
            }
            let candidates = chosen
                .into_iter()
                .map(|at| Candidate {
                    passage: self.index.passages[at as usize].clone(),
                    similarity: similar.get(&at).copied(),
                })
                .collect();
            let ranked = rank(&question, &stats, candidates, weights, self.depth());
            ranked.into_iter().map(|scored| scored.passage.ordinal).collect()
        })
    }
}

fn document_of(page: &str) -> String {
    page.rsplit_once("_p").map_or(page, |(document, _)| document).to_owned()
}
