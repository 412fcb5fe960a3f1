//! Scores quoting on questions over filings; `quaestor eval` scores search on labelled sets.
//!
//! `quiz FILE…` asks questions over the filings; `show QUESTION` prints what one finds;
//! `find TEXT` prints the passages that hold a text.
//! The data is looked for in `../shared/data`, or `QUAESTOR_SHARED`.
#![expect(clippy::print_stdout, reason = "a tool whose output is its result")]
#![expect(unreachable_pub, reason = "a program: everything is private to it")]

mod filings;
mod memory_index;
mod quiz;
mod vectors;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use quaestor_core::retrieval::Weights;

use crate::memory_index::MemoryIndex;
use crate::quiz::{Asked, Tally};
use crate::vectors::Vectors;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(command) = arguments.first() else { bail!("say quiz, show or find") };
    let rest = &arguments[1..];
    match command.as_str() {
        "quiz" => quiz(rest),
        "show" => show(rest),
        "find" => find(rest),
        other => bail!("there is no command {other:?}: say quiz, show or find"),
    }
}

fn data() -> PathBuf {
    let shared = std::env::var_os("QUAESTOR_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    shared.join("data")
}

/// The vectors, unless `--words` says that there is no model.
fn vectors(arguments: &[String]) -> Result<Option<Vectors>> {
    if arguments.iter().any(|argument| argument == "--words") {
        return Ok(None);
    }
    let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
    let cache = home.join(".cache/quaestor");
    let folder = std::fs::read_dir(cache.join("models"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.join("model.safetensors").exists())
        .context("no model folder below ~/.cache/quaestor/models")?;
    Ok(Some(Vectors::open(&cache.join("bench"), &folder)?))
}

fn weights() -> Weights {
    let mut weights = Weights::default();
    let set = |name: &str, value: &mut f32| {
        if let Some(given) = std::env::var(name).ok().and_then(|text| text.parse().ok()) {
            *value = given;
        }
    };
    set("K1", &mut weights.k1);
    set("B", &mut weights.field_b[3]);
    set("B_HEADER", &mut weights.field_b[2]);
    set("W_DOCUMENT", &mut weights.fields[0]);
    set("W_SECTION", &mut weights.fields[1]);
    set("W_HEADER", &mut weights.fields[2]);
    set("TIME", &mut weights.time_terms);
    set("NEIGHBOURS", &mut weights.neighbours);
    set("COVERAGE", &mut weights.coverage);
    set("MEANING", &mut weights.meaning);
    set("MEANING_OF_FIGURES", &mut weights.meaning_of_figures);
    set("NAMED", &mut weights.named_document);
    set("PERIOD", &mut weights.period);
    set("TABLE", &mut weights.table);
    weights
}

fn quiz(arguments: &[String]) -> Result<()> {
    let mut vectors = vectors(arguments)?;
    let weights = weights();
    let verbose = arguments.iter().any(|argument| argument == "-v");
    let limit = 12;
    let index = MemoryIndex::new(filings::read_all(&data().join("filings"))?);
    println!("{} passages", index.passages.len());
    for file in arguments.iter().filter(|argument| !argument.starts_with('-')) {
        let asked: Vec<Asked> = quiz::read(&PathBuf::from(file))?;
        if let Some(vectors) = &mut vectors {
            quiz::learn(&index, &asked, vectors)?;
        }
        let known = vectors.as_ref().map(|vectors| quiz::passage_vectors(&index, vectors));
        let mut tally = Tally::default();
        let mut times = Vec::new();
        for asked in &asked {
            let vectors = vectors.as_ref().zip(known.as_deref());
            let outcome = quiz::ask(&index, asked, vectors, &weights, limit);
            tally.add(&outcome);
            times.push(outcome.ranking);
            let mark = |right: bool| if right { "ok" } else { "--" };
            println!(
                "{:6} rank {:>4}  page {}  value {}  first {}  {} => {}",
                asked.id,
                outcome.rank.map_or("-".to_owned(), |rank| rank.to_string()),
                mark(outcome.cites_page),
                mark(outcome.quotes_value),
                mark(outcome.at_once),
                asked.question,
                asked.value
            );
            if verbose && !(outcome.at_once) {
                println!("    {}", outcome.answer.replace('\n', "\n    "));
                outcome.passages.iter().take(6).for_each(|passage| println!("      {passage}"));
            }
        }
        times.sort();
        let slowest = times.get(times.len() * 95 / 100).copied().unwrap_or_default();
        println!("ranking the candidates: p95 {:.2} ms", slowest.as_secs_f64() * 1e3);
        let share = |n: usize| 100.0 * n as f64 / tally.asked.max(1) as f64;
        println!(
            "{file}: {} asked; right page ranked first {:.0} %, among {limit} {:.0} %; cites it {:.0} %; quotes the value {:.0} %; first quote does both {:.0} %",
            tally.asked,
            share(tally.ranked_first),
            share(tally.ranked),
            share(tally.cites),
            share(tally.quotes),
            share(tally.at_once)
        );
    }
    Ok(())
}

fn show(arguments: &[String]) -> Result<()> {
    let index = MemoryIndex::new(filings::read_all(&data().join("filings"))?);
    let asked = Asked {
        id: String::new(),
        question: arguments.join(" "),
        file: String::new(),
        pages: None,
        value: "-".to_owned(),
    };
    let limit = std::env::var("LIMIT").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let outcome = quiz::ask(&index, &asked, None, &weights(), limit);
    println!("{}\n", outcome.answer);
    outcome.passages.iter().for_each(|passage| println!("{passage}"));
    Ok(())
}

fn find(arguments: &[String]) -> Result<()> {
    let text = arguments.join(" ");
    for passage in filings::read_all(&data().join("filings"))? {
        if passage.text.contains(&text) {
            println!(
                "{} page {:?} table {} title {:?}\nsection {}\nheader {}\n{}\n",
                passage.filename,
                passage.page,
                passage.is_table,
                passage.title,
                passage.section,
                passage.header,
                passage.text
            );
        }
    }
    Ok(())
}
