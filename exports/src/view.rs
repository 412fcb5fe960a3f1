//! An export as people read it, the same in every format: facts, paragraphs, notes, figures.
//!
//! This is also what a template is given (`/export.json`).

use quaestor_core::model::{
    Citation, DerivationKind, Figure, FigureSource, FigureStatus, Message, MessageState,
};
use serde::Serialize;

use crate::part::{About, Cover, Generation, TableHead, Turn};
use crate::text::{clean, line, moment, stamp};

/// The title page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CoverView {
    /// The title.
    pub title: String,
    /// What is exported, in words.
    pub about: &'static str,
    /// Who asked for it.
    pub asker: String,
    /// When, for people.
    pub date: String,
    /// When, as RFC 3339.
    pub created_at: String,
    /// What is known of it, line by line.
    pub facts: Vec<Fact>,
    /// How its figures were found.
    pub figures: FigureCounts,
    /// What a reader should know.
    pub remark: &'static str,
}

/// A line of the title page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it says.
    pub name: &'static str,
    /// Its values.
    pub lines: Vec<String>,
}

/// How many figures were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FigureCounts {
    /// All of them.
    pub checked: u64,
    /// Those that were found or rightly computed.
    pub supported: u64,
    /// The others.
    pub unsupported: u64,
}

/// A question with its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TurnView {
    /// Counts from 1.
    pub number: u64,
    /// The question.
    pub question: Option<String>,
    /// When it was asked, for people; empty without a question.
    pub asked_at: String,
    /// The answer.
    pub answer: Option<AnswerView>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnswerView {
    /// `done`, `pending`, `failed` or `cancelled`.
    pub state: &'static str,
    /// Why it is not whole; empty where it is.
    pub state_note: String,
    /// Its text: paragraphs of spans. A span may hold ends of lines.
    pub paragraphs: Vec<Vec<Span>>,
    /// Its citations.
    pub notes: Vec<Note>,
    /// Its figures.
    pub figures: Vec<FigureLine>,
    /// Who wrote it and when.
    pub by: String,
}

/// A piece of an answer's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The text.
    pub text: String,
    /// What it is.
    pub mark: Mark,
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Nothing but text.
    Plain,
    /// The number of a note.
    Note,
    /// A figure that was found.
    Supported,
    /// A figure that was not.
    Unsupported,
}

/// A citation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What `[n]` names in the answer.
    pub number: u32,
    /// The document's name, with its version where it is not the first.
    pub document: String,
    /// The page or the cell; empty where there is neither.
    pub place: String,
    /// The headings above it; may be empty.
    pub section: String,
    /// What stands there word for word.
    pub quote: String,
}

/// A figure of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FigureLine {
    /// As the answer writes it.
    pub text: String,
    /// Whether it was found or rightly computed.
    pub supported: bool,
    /// The mark in words.
    pub mark: &'static str,
    /// Where it stands, what it is computed from, or what is wrong with it.
    pub origin: String,
}

const ANSWERS_REMARK: &str = "Each quote stands word for word in the document that its note \
    names. Each figure was looked up in the cited passages, or computed again from figures that \
    stand there; one that is marked as unsupported was not found.";
const TABLES_REMARK: &str =
    "Tables as they stand in the documents, with the page or the cells that each was read from.";

/// The title page of a cover.
#[must_use]
pub fn cover(cover: &Cover) -> CoverView {
    let counts = cover.counts;
    let mut facts = vec![
        Fact { name: "Asked by", lines: vec![line(&cover.asker)] },
        Fact { name: "Date", lines: vec![moment(cover.created_at)] },
    ];
    match cover.about {
        About::Answers => {
            let models = cover.models.iter().map(|model| line(model)).collect::<Vec<_>>();
            facts.push(Fact { name: "Model", lines: or_none(models, "no answer yet") });
        }
        About::Tables => {
            facts.push(Fact { name: "Documents", lines: vec![counts.documents.to_string()] });
        }
    }
    let generations = cover.generations.iter().map(generation).collect();
    let lines = or_none(generations, "none");
    facts.push(Fact { name: "Index generation", lines });
    if cover.about == About::Answers {
        facts.push(Fact { name: "Questions", lines: vec![counts.questions.to_string()] });
    }
    CoverView {
        title: line(&cover.title),
        about: match cover.about {
            About::Answers => "Questions and answers",
            About::Tables => "Tables",
        },
        asker: line(&cover.asker),
        date: moment(cover.created_at),
        created_at: stamp(cover.created_at),
        facts,
        figures: FigureCounts {
            checked: counts.figures_supported + counts.figures_unsupported,
            supported: counts.figures_supported,
            unsupported: counts.figures_unsupported,
        },
        remark: match cover.about {
            About::Answers => ANSWERS_REMARK,
            About::Tables => TABLES_REMARK,
        },
    }
}

fn or_none(lines: Vec<String>, none: &str) -> Vec<String> {
    if lines.is_empty() { vec![none.to_owned()] } else { lines }
}

fn generation(generation: &Generation) -> String {
    let collection = line(&generation.collection);
    match (&generation.model, &generation.id, generation.created_at) {
        (Some(model), Some(id), Some(at)) => {
            format!("{collection}: {}, of {} ({id})", line(model), at.format("%-d %B %Y"))
        }
        _ => format!("{collection}: by words alone"),
    }
}

/// A turn as it is read.
#[must_use]
pub fn turn(turn: &Turn) -> TurnView {
    TurnView {
        number: turn.number,
        question: turn.question.as_ref().map(|question| clean(question.content.trim())),
        asked_at: turn.question.as_ref().map(|it| moment(it.created_at)).unwrap_or_default(),
        answer: turn.answer.as_ref().map(answer),
    }
}

fn answer(message: &Message) -> AnswerView {
    let (state, mut state_note) = match message.state {
        MessageState::Done => ("done", String::new()),
        MessageState::Pending => ("pending", "This answer was still being written.".to_owned()),
        MessageState::Failed => ("failed", "There is no answer.".to_owned()),
        MessageState::Cancelled => ("cancelled", "This answer was stopped.".to_owned()),
    };
    if let (MessageState::Failed, Some(problem)) = (message.state, &message.error) {
        state_note = format!("There is no answer: {}", line(&problem.detail));
    }
    let by = match &message.model {
        Some(model) => format!("Answered by {}, {}", line(model), moment(message.created_at)),
        None => moment(message.created_at),
    };
    AnswerView {
        state,
        state_note,
        paragraphs: paragraphs(message),
        notes: message.citations.iter().map(note).collect(),
        figures: message.figures.iter().map(figure).collect(),
        by,
    }
}

fn note(citation: &Citation) -> Note {
    let filename = line(&citation.filename);
    let document = match citation.version {
        1 => filename,
        version => format!("{filename} (version {version})"),
    };
    let place = match (&citation.cell, citation.page) {
        (Some(cell), _) => format!("cell {}", line(cell)),
        (None, Some(page)) => format!("page {page}"),
        (None, None) => String::new(),
    };
    Note {
        number: citation.ordinal,
        document,
        place,
        section: line(citation.section.as_deref().unwrap_or_default()),
        quote: clean(&citation.quote),
    }
}

fn figure(figure: &Figure) -> FigureLine {
    let supported = figure.status == FigureStatus::Supported;
    let origin = match (&figure.derivation, &figure.support, figure.reason, figure.ordinal) {
        (Some(derivation), ..) => {
            let joint = match derivation.kind {
                DerivationKind::Difference => " less ",
                DerivationKind::Growth | DerivationKind::Ratio => " over ",
                DerivationKind::Sum | DerivationKind::Average => ", ",
            };
            let operands: Vec<String> = derivation.operands.iter().map(source).collect();
            format!("{} of {}", kind(derivation.kind), operands.join(joint))
        }
        (None, Some(support), ..) => source(support),
        (None, None, Some(reason), _) => reason.as_sentence().to_owned(),
        (None, None, None, Some(ordinal)) => format!("[{ordinal}]"),
        (None, None, None, None) => String::new(),
    };
    FigureLine {
        text: line(&figure.text),
        supported,
        mark: if supported { "supported" } else { "unsupported" },
        origin,
    }
}

fn kind(kind: DerivationKind) -> &'static str {
    match kind {
        DerivationKind::Difference => "difference",
        DerivationKind::Growth => "growth",
        DerivationKind::Ratio => "ratio",
        DerivationKind::Sum => "sum",
        DerivationKind::Average => "average",
    }
}

/// `94,036 [1] (Total net sales, June 28, 2025; Sheet!B7)`.
fn source(source: &FigureSource) -> String {
    let named = [&source.row, &source.column].into_iter().flatten().map(|name| line(name));
    let mut told = named.collect::<Vec<_>>().join(", ");
    if let Some(cell) = &source.cell {
        let joint = if told.is_empty() { "" } else { "; " };
        told = format!("{told}{joint}{}", line(cell));
    }
    let text = format!("{} [{}]", line(&source.text), source.ordinal);
    if told.is_empty() { text } else { format!("{text} ({told})") }
}

/// What a table is called: its captions, else its headings.
#[must_use]
pub fn table_title(table: &TableHead) -> String {
    let captions = table.captions.iter().map(|caption| line(caption)).collect::<Vec<_>>();
    match captions.is_empty() {
        true => line(&table.section),
        false => captions.join(" · "),
    }
}

/// Where a table stands: its document, with page or cells.
#[must_use]
pub fn table_place(table: &TableHead) -> String {
    let mut place = line(&table.filename);
    if let Some(page) = table.page {
        place.push_str(&format!(", page {page}"));
    }
    if let Some(cells) = &table.cells {
        place.push_str(&format!(", {}", line(cells)));
    }
    place
}

/// The text of an answer in paragraphs, cut where figures and numbers of notes stand.
fn paragraphs(message: &Message) -> Vec<Vec<Span>> {
    let spans = spans(message);
    let mut paragraphs = vec![Vec::new()];
    for Span { text, mark } in spans {
        for (place, piece) in text.split("\n\n").enumerate() {
            if place > 0 {
                paragraphs.push(Vec::new());
            }
            // Further ends of lines at the edges of paragraphs tell nothing.
            let piece = if place > 0 { piece.trim_start_matches('\n') } else { piece };
            if let (Some(last), false) = (paragraphs.last_mut(), piece.is_empty()) {
                last.push(Span { text: piece.to_owned(), mark });
            }
        }
    }
    paragraphs.retain(|spans| spans.iter().any(|span| !span.text.trim().is_empty()));
    paragraphs
}

fn spans(message: &Message) -> Vec<Span> {
    let chars: Vec<char> = message.content.chars().collect();
    let known = |number: u32| message.citations.iter().any(|it| it.ordinal == number);
    let mut marks: Vec<(usize, usize, Mark)> = Vec::new();
    for figure in &message.figures {
        if let (Some(start), Some(end)) = (figure.char_start, figure.char_end) {
            let mark = match figure.status {
                FigureStatus::Supported => Mark::Supported,
                FigureStatus::Unsupported => Mark::Unsupported,
            };
            marks.push((start as usize, end as usize, mark));
        }
    }
    let mut at = 0;
    while at < chars.len() {
        let digits = chars[at + 1..].iter().take_while(|c| c.is_ascii_digit()).take(6).count();
        let end = at + 1 + digits;
        if chars[at] == '[' && digits > 0 && chars.get(end) == Some(&']') {
            let number: String = chars[at + 1..end].iter().collect();
            if number.parse().is_ok_and(known) {
                marks.push((at, end + 1, Mark::Note));
            }
        }
        at += 1;
    }
    marks.sort_by_key(|(start, end, _)| (*start, *end));
    let mut spans = Vec::new();
    let mut done = 0;
    let mut push = |from: usize, to: usize, mark| {
        if from < to {
            let text: String = chars[from..to].iter().collect();
            spans.push(Span { text: clean(&text), mark });
        }
    };
    for (start, end, mark) in marks {
        // What overlaps what came before, or is beyond the text, marks nothing.
        if start < done || end > chars.len() || start >= end {
            continue;
        }
        push(done, start, Mark::Plain);
        push(start, end, mark);
        done = end;
    }
    push(done, chars.len(), Mark::Plain);
    spans
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
