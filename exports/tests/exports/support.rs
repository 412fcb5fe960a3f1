//! Conversations and tables for the tests, and reading back what was written.

use quaestor_core::clock::Time;
use quaestor_core::ids::{ConversationId, DocumentId, MessageId};
use quaestor_core::model::{
    Citation, ExportFormat, Figure, FigureStatus, Message, MessageRole, MessageState,
};
use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;
use quaestor_documents::{Limits, Sink, Source, detect, parse};
use quaestor_exports::part::{About, Counts, Generation};
use quaestor_exports::{Cover, Fonts, Part, TableHead, Template, Turn, renderer};
use uuid::Uuid;

pub(crate) fn at() -> Time {
    Time::from_timestamp(1_795_000_000, 0).unwrap()
}

pub(crate) fn cover(about: About, title: &str) -> Part {
    Part::Cover(Cover {
        about,
        title: title.to_owned(),
        asker: "A. Manager".to_owned(),
        created_at: at(),
        models: vec!["openai:gpt-5-mini".to_owned()],
        generations: vec![Generation {
            collection: "Filings".to_owned(),
            id: Some("018f0000-0000-7000-8000-000000000009".to_owned()),
            model: Some("minilm".to_owned()),
            created_at: Some(at()),
        }],
        counts: Counts {
            questions: 1,
            figures_supported: 1,
            figures_unsupported: 1,
            documents: 1,
            columns: 4,
        },
    })
}

pub(crate) fn message(role: MessageRole, content: &str) -> Message {
    Message {
        id: MessageId(Uuid::from_u128(1)),
        conversation_id: ConversationId(Uuid::from_u128(2)),
        role,
        state: MessageState::Done,
        content: content.to_owned(),
        citations: Vec::new(),
        figures: Vec::new(),
        model: None,
        usage: None,
        error: None,
        created_at: at(),
    }
}

/// A turn in which everything that people or models write is `text`.
pub(crate) fn turn(text: &str) -> Part {
    let mut answer = message(MessageRole::Assistant, &format!("{text} [1]"));
    answer.citations.push(Citation {
        ordinal: 1,
        document_id: DocumentId(Uuid::from_u128(3)),
        filename: text.to_owned(),
        version: 1,
        page: Some(3),
        cell: None,
        section: Some(text.to_owned()),
        quote: text.to_owned(),
        char_start: 0,
        char_end: 1,
        boxes: Vec::new(),
    });
    answer.model = Some(text.to_owned());
    answer.figures.push(Figure::new(text, FigureStatus::Supported, Some(1)));
    answer.figures.push(Figure::new(text, FigureStatus::Unsupported, None));
    let question = Some(message(MessageRole::User, text));
    Part::Turn(Box::new(Turn { number: 1, question, answer: Some(answer) }))
}

pub(crate) fn table(header: &[&str], captions: &[&str]) -> Part {
    Part::Table(TableHead {
        number: 1,
        document_id: DocumentId(Uuid::from_u128(3)),
        filename: "report.xlsx".to_owned(),
        version: 1,
        page: Some(2),
        cells: Some("Q3!A1:D9".to_owned()),
        section: "Net sales".to_owned(),
        captions: captions.iter().map(|text| (*text).to_owned()).collect(),
        header: vec![header.iter().map(|cell| (*cell).to_owned()).collect()],
    })
}

pub(crate) fn rows(rows: &[&[&str]]) -> Part {
    let row = |row: &&[&str]| row.iter().map(|cell| (*cell).to_owned()).collect();
    Part::Rows(rows.iter().map(row).collect())
}

/// Writes parts, with a template where one is given.
pub(crate) fn write_with(
    format: ExportFormat,
    template: Option<&str>,
    parts: Vec<Part>,
) -> Result<Vec<u8>, Problem> {
    write_in(format, template, parts, Fonts::default())
}

/// Writes parts in such fonts.
pub(crate) fn write_in(
    format: ExportFormat,
    template: Option<&str>,
    parts: Vec<Part>,
    fonts: Fonts,
) -> Result<Vec<u8>, Problem> {
    let template = template.map(|source| Template {
        name: "house".to_owned(),
        version: 3,
        source: source.to_owned(),
    });
    let mut renderer = renderer(format, template, fonts);
    let mut bytes = Vec::new();
    for part in parts {
        renderer.part(part, &mut bytes)?;
    }
    renderer.end(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn write(format: ExportFormat, parts: Vec<Part>) -> Vec<u8> {
    write_with(format, None, parts).unwrap()
}

#[derive(Default)]
struct Text(Vec<String>);

impl Sink for Text {
    fn title(&mut self, _title: &str) -> Result<(), Problem> {
        Ok(())
    }

    fn page(&mut self, page: ParsedPage) -> Result<(), Problem> {
        self.0.push(page.text);
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        panic!("the parser warns of an export: {warning}");
    }
}

/// The text of a file, as the program's own parsers read it.
pub(crate) fn read_back(name: &str, bytes: Vec<u8>) -> String {
    pages_of(name, bytes).join("\n")
}

/// The text of each page of a file.
pub(crate) fn pages_of(name: &str, bytes: Vec<u8>) -> Vec<String> {
    let limits = Limits::default();
    let kind = detect(name, &bytes, &limits).unwrap();
    let mut text = Text::default();
    parse(Source { name, bytes: bytes.into() }, kind, &limits, &mut text).unwrap();
    text.0
}

/// Letters and signs alone: layouts break lines and part words.
pub(crate) fn dense(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}
