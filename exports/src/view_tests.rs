use quaestor_core::ids::{ConversationId, DocumentId, MessageId};
use quaestor_core::model::{Derivation, FigureReason, MessageRole};
use uuid::Uuid;

use super::*;

fn message(content: &str) -> Message {
    Message {
        id: MessageId(Uuid::from_u128(1)),
        conversation_id: ConversationId(Uuid::from_u128(2)),
        role: MessageRole::Assistant,
        state: MessageState::Done,
        content: content.to_owned(),
        citations: vec![Citation {
            ordinal: 1,
            document_id: DocumentId(Uuid::from_u128(3)),
            filename: "q3.pdf".to_owned(),
            version: 2,
            page: Some(17),
            cell: None,
            section: Some("Net sales".to_owned()),
            quote: "Total net sales $ 94,036".to_owned(),
            char_start: 0,
            char_end: 0,
            boxes: Vec::new(),
        }],
        figures: Vec::new(),
        model: Some("openai:gpt".to_owned()),
        usage: None,
        error: None,
        created_at: quaestor_core::clock::Time::UNIX_EPOCH,
    }
}

fn operand(text: &str, row: &str, cell: Option<&str>) -> FigureSource {
    FigureSource {
        ordinal: 1,
        text: text.to_owned(),
        char_start: 0,
        char_end: 0,
        cell: cell.map(str::to_owned),
        row: Some(row.to_owned()),
        column: None,
    }
}

#[test]
fn an_answer_is_cut_where_figures_and_notes_stand_and_loses_nothing() {
    let text = "Überall €94 [1] and [2].\n\n\nThen [1].";
    let mut answer = message(text);
    let mut found = Figure::new("€94", FigureStatus::Supported, Some(1));
    (found.char_start, found.char_end) = (Some(8), Some(11));
    let mut beyond = Figure::new("?", FigureStatus::Unsupported, None);
    (beyond.char_start, beyond.char_end) = (Some(30), Some(900));
    answer.figures = vec![beyond, found];
    let told: Vec<Vec<(String, Mark)>> = paragraphs(&answer)
        .into_iter()
        .map(|spans| spans.into_iter().map(|span| (span.text, span.mark)).collect())
        .collect();
    let span = |text: &str, mark| (text.to_owned(), mark);
    assert_eq!(
        told,
        [
            vec![
                span("Überall ", Mark::Plain),
                span("€94", Mark::Supported),
                span(" ", Mark::Plain),
                span("[1]", Mark::Note),
                // No note of the answer's has this number.
                span(" and [2].", Mark::Plain),
            ],
            vec![span("Then ", Mark::Plain), span("[1]", Mark::Note), span(".", Mark::Plain),],
        ]
    );
}

#[test]
fn a_figure_tells_where_it_comes_from() {
    let mut figure = Figure::new("8%", FigureStatus::Supported, Some(1));
    assert_eq!(super::figure(&figure).origin, "[1]");
    figure.support = Some(operand("94,036", "Total", Some("Q3!B7")));
    assert_eq!(super::figure(&figure).origin, "94,036 [1] (Total; Q3!B7)");
    figure.derivation = Some(Derivation {
        kind: DerivationKind::Growth,
        operands: vec![operand("94", "Now", None), operand("86", "Then", None)],
    });
    assert_eq!(super::figure(&figure).origin, "growth of 94 [1] (Now) over 86 [1] (Then)");
    let mut lost = Figure::new("12", FigureStatus::Unsupported, None);
    lost.reason = Some(FigureReason::NotFound);
    let told = super::figure(&lost);
    assert_eq!((told.mark, &*told.origin), ("unsupported", "not in what is cited"));
}

#[test]
fn a_note_names_document_version_page_or_cell() {
    let answer = message("x");
    let mut citation = answer.citations[0].clone();
    let told = note(&citation);
    assert_eq!((&*told.document, &*told.place), ("q3.pdf (version 2)", "page 17"));
    citation.cell = Some("Q3!B7".to_owned());
    assert_eq!(note(&citation).place, "cell Q3!B7");
}
