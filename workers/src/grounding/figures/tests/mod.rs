//! The check of figures as a whole: by example, on labelled answers, and on any text.

mod examples;
mod labelled;
mod robust;

use std::collections::HashMap;

use quaestor_core::ids::{ChunkId, CollectionId, DocumentId};
use quaestor_core::model::{Figure, FigureReason, FigureStatus, Passage};
use uuid::Uuid;

use super::{Grounds, check_figures};
use crate::grounding::{Located, Span};

/// A passage of a document by its number.
fn passage(n: u128, header: &str, text: &str) -> Passage {
    Passage {
        chunk_id: ChunkId(Uuid::from_u128(n)),
        document_id: DocumentId(Uuid::from_u128(n)),
        version: 1,
        collection_id: CollectionId(Uuid::from_u128(1)),
        filename: "report.pdf".into(),
        title: None,
        media_type: "application/pdf".into(),
        document_date: None,
        ordinal: 0,
        page_ordinal: 0,
        page: Some(1),
        char_start: 100,
        char_end: 100,
        section: String::new(),
        header: header.into(),
        text: text.into(),
        is_table: text.contains(" | "),
        cells: None,
        tokens: 1,
    }
}

/// Passages, cited in their order from 1.
fn cited(passages: Vec<Passage>) -> Vec<Located> {
    (1..)
        .zip(passages)
        .map(|(ordinal, passage)| Located {
            ordinal,
            quote: Span { start: 0, end: passage.text.len() },
            passage,
        })
        .collect()
}

fn check(answer: &str, located: &[Located]) -> Vec<Figure> {
    check_figures(answer, &Grounds { question: "", located, around: &HashMap::new() })
}

/// Whether a figure is supported, and if not, why.
fn verdict(figures: &[Figure], text: &str) -> Result<u32, FigureReason> {
    let figure = figures.iter().rfind(|figure| figure.text == text);
    let figure = figure.unwrap_or_else(|| panic!("{text} was not read: {figures:?}"));
    match figure.status {
        FigureStatus::Supported => Ok(figure.ordinal.expect("a citation")),
        FigureStatus::Unsupported => Err(figure.reason.expect("a reason")),
    }
}
