//! Scores the check of figures on labelled answers, as `make.py` writes them.
//!
//! `quaestor-grounding-bench FILE [--show SPLIT KIND]` parses the documents as ingestion
//! does, checks every answer and prints, by kind, how many altered figures were found and
//! how many right ones were flagged, and what a check takes. With `--show` it lists what
//! was missed; only the tuning half should be looked at so.
#![expect(clippy::print_stdout, reason = "a tool whose output is its result")]

mod documents;
mod score;

use std::collections::HashMap;

use anyhow::{Context, Result};
use quaestor_workers::grounding::{Grounds, Located, check_figures};
use serde::Deserialize;

use crate::documents::Document;
use crate::score::{Scores, Times};

/// An answer with its label.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Labelled {
    /// The document it is over.
    answer_of: String,
    id: String,
    /// Which data it was made from.
    source: String,
    /// `tune`, `held`, or `other` for the second source.
    split: String,
    /// `right`, or how the figure was altered.
    kind: String,
    /// What the figure is: copied, rounded, or computed in some way.
    of: String,
    /// How the answer is written.
    form: String,
    question: String,
    answer: String,
    /// The labelled figure.
    figure: String,
    /// Characters of the answer before it.
    start: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Answer(Labelled),
    Document { document: String, html: String },
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().context("say the file that make.py wrote")?;
    let shown = arguments.iter().position(|argument| argument == "--show").map(|at| {
        let word = |n: usize| arguments.get(at + n).cloned().unwrap_or_default();
        (word(1), word(2))
    });
    let mut documents: HashMap<String, Document> = HashMap::new();
    let mut answers: Vec<Labelled> = Vec::new();
    for line in std::fs::read_to_string(file).with_context(|| file.clone())?.lines() {
        match serde_json::from_str(line)? {
            Line::Document { document, html } => {
                documents.insert(document.clone(), Document::read(&document, &html)?);
            }
            Line::Answer(answer) => answers.push(answer),
        }
    }
    let mut scores = Scores::default();
    let mut times = Times::default();
    for labelled in &answers {
        let document = documents.get(&labelled.answer_of).context("an answer over no document")?;
        let located = document.cited();
        let answer = with_markers(&labelled.answer, &located);
        let grounds =
            Grounds { question: &labelled.question, located: &located, around: &document.around };
        let began = std::time::Instant::now();
        let figures = check_figures(&answer, &grounds);
        times.add(began.elapsed());
        let start = labelled.start + moved(&labelled.answer, &answer, labelled.start);
        let missed = scores.add(labelled, &figures, start);
        if let Some((split, kind)) = &shown
            && missed
            && labelled.split == *split
            && (labelled.kind == *kind || kind.is_empty())
        {
            println!(
                "--- {} {} {} {} [{}]\n{answer}",
                labelled.id, labelled.kind, labelled.of, labelled.form, labelled.figure
            );
            for figure in &figures {
                println!(
                    "    {} {:?} {:?} {:?} {:?}",
                    figure.text,
                    figure.status,
                    figure.reason,
                    figure.support.as_ref().map(|s| (&s.text, &s.row, &s.column)),
                    figure.derivation.as_ref().map(|d| (
                        d.kind,
                        d.operands.iter().map(|o| (&o.text, &o.row, &o.column)).collect::<Vec<_>>()
                    ))
                );
            }
            for Located { passage, .. } in &located {
                println!("  ~ {}\n  ~ {}", passage.header, passage.text.replace('\n', "\n  ~ "));
            }
        }
    }
    scores.print();
    times.print();
    Ok(())
}

/// `[1]` stands for the table, which may be cut into several passages.
fn with_markers(answer: &str, located: &[Located]) -> String {
    let markers: String = located.iter().map(|located| format!("[{}]", located.ordinal)).collect();
    answer.replace("[1]", &markers)
}

/// How many characters longer the answer became before a place.
fn moved(before: &str, after: &str, start: u32) -> u32 {
    let earlier: String = before.chars().take(start as usize).collect();
    let each =
        (after.chars().count() - before.chars().count()) / before.matches("[1]").count().max(1);
    u32::try_from(earlier.matches("[1]").count() * each).unwrap_or(0)
}
