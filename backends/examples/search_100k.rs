//! How long does a search over 100,000 chunks take, and what does it find?
//!
//! Makes a database in the folder given as the first argument (kept and used again, if
//! it is there), with a vocabulary by Zipf's law and vectors in clusters, and prints
//! latency and recall. `cargo run --release -p quaestor-backends --example search_100k`

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::sync::Arc;
use std::time::Instant;

use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_contracts::store::{EmptyStore, Fixture};
use quaestor_core::ids::ChunkId;
use quaestor_core::jobs::Step;
use quaestor_core::ports::store::{Advance, Search};

const DOCUMENTS: usize = 1_000;
const CHUNKS_PER_DOCUMENT: usize = 100;
const DIMENSIONS: usize = 384;
const CLUSTERS: usize = 2_000;
const VOCABULARY: usize = 60_000;
const QUERIES: usize = 200;
const WANTED: u32 = 50;

/// xorshift64*: quick, and the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// About normal: the sum of uniform ones.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.unit()).sum::<f32>() - 3.0
    }

    fn vector(&mut self, centre: Option<&[f32]>, spread: f32) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..DIMENSIONS)
            .map(|place| centre.map_or(0.0, |centre| centre[place]) + spread * self.normal())
            .collect();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
        vector
    }
}

/// Words by Zipf's law: the first stands in most chunks, most stand in few.
struct Words {
    cumulated: Vec<f32>,
}

impl Words {
    fn new() -> Self {
        let mut sum = 0.0;
        let weights = (0..VOCABULARY).map(|rank| {
            sum += 1.0 / (rank as f32 + 3.0);
            sum
        });
        Self { cumulated: weights.collect() }
    }

    fn rank(&self, random: &mut Random) -> usize {
        let total = self.cumulated.last().copied().expect("there are words");
        let at = random.unit() * total;
        self.cumulated.partition_point(|sum| *sum < at).min(VOCABULARY - 1)
    }
}

/// The best chunks by BM25 with FTS5's constants, looking at every chunk.
fn full_bm25(corpus: &[(ChunkId, Vec<u32>)], terms: &[String], wanted: usize) -> Vec<ChunkId> {
    let mut ranks: Vec<u32> =
        terms.iter().map(|term| term[1..].parse().expect("a word has a rank")).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let chunks = corpus.len() as f32;
    let mean = corpus.iter().map(|(_, chunk)| chunk.len()).sum::<usize>() as f32 / chunks;
    let mut holding = vec![0.0_f32; ranks.len()];
    let counted: Vec<(ChunkId, usize, Vec<f32>)> = corpus
        .iter()
        .filter_map(|(id, chunk)| {
            let mut counts = vec![0.0_f32; ranks.len()];
            for word in chunk {
                if let Ok(place) = ranks.binary_search(word) {
                    counts[place] += 1.0;
                }
            }
            for (held, count) in holding.iter_mut().zip(&counts) {
                *held += f32::from(u8::from(*count > 0.0));
            }
            counts.iter().any(|count| *count > 0.0).then_some((*id, chunk.len(), counts))
        })
        .collect();
    let mut scored: Vec<(f32, ChunkId)> = counted
        .into_iter()
        .map(|(id, length, counts)| {
            let score: f32 = counts
                .iter()
                .zip(&holding)
                .map(|(count, held)| {
                    let weight = ((chunks - held + 0.5) / (held + 0.5)).ln().max(1e-6);
                    let norm = 1.2 * (0.25 + 0.75 * length as f32 / mean);
                    weight * count * 2.2 / (count + norm)
                })
                .sum();
            (-score, id)
        })
        .collect();
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    scored.into_iter().take(wanted).map(|(_, id)| id).collect()
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/search_100k".to_owned());
    let path = format!("{folder}/search.db");
    let fresh = !std::path::Path::new(&path).exists();
    let store = SqliteStore::open(&path, SqliteOptions::default()).await.expect("it opens");
    let store = Arc::new(store);
    let empty =
        EmptyStore { store: store.clone(), keep: Box::new(()), leftovers: None, harm: None };

    let words = Words::new();
    let mut random = Random(42);
    // Clusters of clusters: topics are near one another, as those of real texts are.
    let topics: Vec<_> = (0..40).map(|_| random.vector(None, 1.0)).collect();
    let centres: Vec<_> = (0..CLUSTERS)
        .map(|_| {
            let topic = random.below(topics.len());
            random.vector(Some(&topics[topic]), 0.05)
        })
        .collect();
    let mut vectors: Vec<(ChunkId, Vec<f32>)> = Vec::new();
    let started = Instant::now();
    if !fresh {
        println!("delete {path} to begin anew");
        return;
    }
    let f = Fixture::over(empty).await;
    let collection = f.collection("all").await;
    let generation = f
        .store
        .current_generation(
            f.workspace,
            collection,
            "model",
            u32::try_from(DIMENSIONS).expect("small"),
            f.id(),
            f.now(),
        )
        .await
        .expect("answered")
        .expect("made")
        .id;
    let mut scratch = Vec::new();
    let mut corpus: Vec<(ChunkId, Vec<u32>)> = Vec::new();
    for document in 0..DOCUMENTS {
        let ranks: Vec<Vec<u32>> = (0..CHUNKS_PER_DOCUMENT)
            .map(|_| {
                let length = 60 + random.below(180);
                (0..length).map(|_| words.rank(&mut random) as u32).collect()
            })
            .collect();
        let texts: Vec<String> = ranks
            .iter()
            .map(|chunk| chunk.iter().map(|rank| format!("w{rank}")).collect::<Vec<_>>().join(" "))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let name = format!("document {document}");
        let upload = f.upload(collection, &name, &name).await;
        let next = Advance {
            kept: None,
            step: Step::DocumentsEmbed,
            payload: serde_json::json!({}),
            outbox_id: f.id(),
            due_at: f.now(),
        };
        f.finish_upload(f.workspace, &upload, &texts, Some(next)).await;
        let id = upload.items[0].document_id;
        corpus
            .extend((0..).zip(ranks).map(|(place, chunk)| (ChunkId::derive(id, 1, place), chunk)));
        let claim = f.claim(upload.items[0].job_id).await.claim;
        scratch.clear();
        for ordinal in 0..CHUNKS_PER_DOCUMENT {
            let centre = random.below(CLUSTERS);
            let vector = random.vector(Some(&centres[centre]), 0.04);
            let ordinal = u32::try_from(ordinal).expect("small");
            scratch.push((ChunkId::derive(id, 1, ordinal), vector));
        }
        vectors.extend(scratch.iter().cloned());
        for batch in scratch.chunks(32) {
            f.store
                .save_vectors(
                    f.workspace,
                    &claim,
                    generation,
                    batch.iter().cloned().map(Into::into).collect(),
                    1,
                    &[],
                )
                .await
                .expect("stored");
        }
        f.store.finish_embed(f.workspace, &claim, id, 1, f.now()).await.expect("finished");
    }
    println!("built {} chunks in {:.1} s", vectors.len(), started.elapsed().as_secs_f32());
    let size = std::fs::metadata(&path).map(|file| file.len()).unwrap_or(0);
    println!("file: {} MB", size / 1_000_000);

    let scope = f.scope(&[collection]);
    let (mut text, mut near, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let (mut recall, mut text_recall) = (0.0, 0.0);
    for number in 0..QUERIES {
        // Four to nine words, as a text has them: some common, some rare.
        let count = 4 + random.below(6);
        let terms: Vec<String> = (0..count)
            .map(|_| {
                loop {
                    let rank = words.rank(&mut random);
                    // Words as common as "the" are stop words.
                    if rank > 10 {
                        break format!("w{rank}");
                    }
                }
            })
            .collect();
        let centre = random.below(CLUSTERS);
        let asked = random.vector(Some(&centres[centre]), 0.04);
        let began = Instant::now();
        let hits = store.search_text(f.workspace, &scope, &terms, WANTED).await.expect("answered");
        let middle = Instant::now();
        let found = store
            .search_vectors(f.workspace, &scope, &[generation], &asked, WANTED)
            .await
            .expect("answered");
        text.push(middle - began);
        near.push(middle.elapsed());
        // As the product asks: side by side.
        let generations = [generation];
        let began = Instant::now();
        let (by_words, by_meaning) = tokio::join!(
            store.search_text(f.workspace, &scope, &terms, WANTED),
            store.search_vectors(f.workspace, &scope, &generations, &asked, WANTED),
        );
        both.push(began.elapsed());
        assert_eq!(by_words.expect("answered"), hits);
        assert_eq!(by_meaning.expect("answered"), found);
        if number < 50 {
            let mut exact: Vec<(f32, ChunkId)> = vectors
                .iter()
                .map(|(chunk, vector)| {
                    let dot: f32 = vector.iter().zip(&asked).map(|(a, b)| a * b).sum();
                    (-dot, *chunk)
                })
                .collect();
            exact.sort_by(|a, b| a.0.total_cmp(&b.0));
            let best = exact[..20].iter();
            recall += best
                .filter(|(_, id)| found[..20].iter().any(|hit| hit.chunk_id == *id))
                .count() as f32
                / 20.0
                / 50.0;
            let whole = full_bm25(&corpus, &terms, 20);
            let kept = whole.iter().filter(|one| hits.iter().any(|hit| hit.chunk_id == **one));
            text_recall += kept.count() as f32 / (whole.len().max(1)) as f32 / 50.0;
        }
    }
    for (name, times) in [("text", &mut text), ("vectors", &mut near), ("both", &mut both)] {
        times.sort();
        let at = |part: f32| times[(times.len() as f32 * part) as usize].as_secs_f32() * 1_000.0;
        println!("{name:8} p50 {:6.1} ms   p95 {:6.1} ms", at(0.5), at(0.95));
    }
    println!("recall@20 of vectors against exact: {recall:.3}");
    println!("best 20 of full BM25 that are among the {WANTED} found: {text_recall:.3}");
    store.close().await;
}
