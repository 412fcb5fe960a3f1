//! What does the local embedding model cost? Embeds the texts of a JSON array, 50 at a
//! time on one thread, and prints CPU milliseconds per passage and per question.
//!
//! `cargo run --release -p quaestor-backends --example embed_cpu MODEL_FOLDER TEXTS.json`

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::path::Path;

use quaestor_backends::models::minilm::MiniLm;
use quaestor_core::ports::embedder::{EmbedKind, Embedder};

const QUESTION: &str = "What was the total revenue of the company in fiscal year 2019 compared with \
                        the year before it, in thousands?";

/// CPU time of this process, all threads, in milliseconds.
fn cpu_ms() -> f64 {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.tv_sec as f64 * 1e3 + usage.tv_nsec as f64 / 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("the model folder is missing")?;
    let texts = arguments.next().ok_or("the file of texts is missing")?;
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(texts)?)?;
    let scope = quaestor_contracts::call_scope();
    let model = MiniLm::open(Path::new(&folder), 1)?;
    model.embed(EmbedKind::Passage, &texts[..32.min(texts.len())], &scope).await?;
    let mut per_passage = Vec::new();
    for group in texts.chunks(50) {
        let before = cpu_ms();
        model.embed(EmbedKind::Passage, group, &scope).await?;
        per_passage.push((cpu_ms() - before) / group.len() as f64);
    }
    let question = [QUESTION.to_owned()];
    let mut per_question = Vec::new();
    for _ in 0..50 {
        let before = cpu_ms();
        model.embed(EmbedKind::Query, &question, &scope).await?;
        per_question.push(cpu_ms() - before);
    }
    println!("passage {:.1} ms CPU, median of groups", median(per_passage));
    println!("question {:.1} ms CPU, median", median(per_question));
    Ok(())
}
