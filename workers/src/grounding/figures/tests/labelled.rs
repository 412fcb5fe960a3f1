//! A few of the labelled answers that `benches/grounding` scores: a change of the rules
//! that loses altered figures or flags right ones fails here.
//!
//! The documents are from TAT-QA (Zhu et al., ACL 2021; CC BY 4.0), reformatted, with
//! answers made by `benches/grounding/make.py --sample`.

use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;
use quaestor_documents::chunk::Chunker;
use quaestor_documents::{Limits, Sink, Source, detect, parse};
use serde::Deserialize;

use super::*;
use crate::grounding::Surroundings;

const SAMPLE: &str = include_str!("../sample.jsonl");

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Answer { answer_of: String, kind: String, answer: String, figure: String, start: u32 },
    Document { document: String, html: String },
}

#[derive(Default)]
struct Pages(Vec<ParsedPage>);

impl Sink for Pages {
    fn title(&mut self, _title: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn page(&mut self, page: ParsedPage) -> Result<(), Problem> {
        self.0.push(page);
        Ok(())
    }

    fn warn(&mut self, _warning: String) {}
}

type Document = (Vec<Located>, HashMap<ChunkId, Surroundings>);

fn read(html: &str) -> Document {
    let limits = Limits::default();
    let kind = detect("report.html", html.as_bytes(), &limits).unwrap();
    let source = Source { name: "report.html", bytes: html.as_bytes().into() };
    let mut pages = Pages::default();
    parse(source, kind, &limits, &mut pages).unwrap();
    let mut chunker = Chunker::new();
    let mut passages = Vec::new();
    let mut around = HashMap::new();
    for page in &pages.0 {
        for chunk in chunker.page(page) {
            let mut passage = passage(1, &chunk.header, &chunk.text);
            passage.chunk_id = ChunkId(Uuid::from_u128(u128::from(chunk.ordinal) + 10));
            let above = page.text.chars().take(chunk.char_start as usize).collect();
            let below = page.text.chars().skip(chunk.char_end as usize).collect();
            around.insert(passage.chunk_id, Surroundings { above, below });
            passages.push(passage);
        }
    }
    passages.retain(|passage| passage.text.contains(" | "));
    (cited(passages), around)
}

#[test]
fn altered_figures_are_found_and_right_ones_are_not_flagged() {
    let mut documents: HashMap<String, Document> = HashMap::new();
    let (mut altered, mut found, mut right, mut flagged) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for line in SAMPLE.lines() {
        match serde_json::from_str(line).unwrap() {
            Line::Document { document, html } => {
                documents.insert(document, read(&html));
            }
            Line::Answer { answer_of, kind, answer, figure, start } => {
                let (located, around) = &documents[&answer_of];
                let figures = check_figures(&answer, &Grounds { question: "", located, around });
                let judged = figures.iter().find(|judged| {
                    judged.char_start.is_some_and(|at| at >= start)
                        && judged.text.contains(figure.trim_matches(['(', ')']))
                });
                let is_flagged =
                    judged.is_none_or(|judged| judged.status == FigureStatus::Unsupported);
                if kind == "right" {
                    right += 1;
                    flagged += usize::from(is_flagged);
                } else {
                    altered += 1;
                    found += usize::from(is_flagged);
                }
                if is_flagged == (kind == "right") {
                    wrong.push(format!("{kind}: {answer}"));
                }
            }
        }
    }
    assert!(altered >= 150 && right >= 40, "the sample was not read: {altered}, {right}");
    assert!(found * 100 >= altered * 98, "{found} of {altered} found: {wrong:#?}");
    assert!(flagged * 100 <= right * 3, "{flagged} of {right} flagged: {wrong:#?}");
}
