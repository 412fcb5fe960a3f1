//! A document of Word. It is put together in memory and written at the end.

use std::io::Cursor;

use docx_rs::{
    AlignmentType, BreakType, Docx, Footer, LineSpacing, NumPages, PageMargin, PageNum, Paragraph,
    Run, RunFonts, Table, TableCell, TableRow, WidthType,
};
use quaestor_core::problem::Problem;

use crate::part::Part;
use crate::render::{Render, out_of_order};
use crate::text::clean;
use crate::view::{self, AnswerView, CoverView, Mark, Span, TurnView};

const INK: &str = "1B2733";
const QUIET: &str = "5B6875";
const ACCENT: &str = "1F4E79";
const GOOD: &str = "1A6B3C";
const BAD: &str = "A4262C";

/// Sizes are half points.
const TEXT: usize = 21;
const SMALL: usize = 17;

/// Writes a document of Word.
#[derive(Debug, Default)]
pub(crate) struct Word {
    document: Option<Docx>,
}

impl Render for Word {
    fn part(&mut self, part: Part, _out: &mut Vec<u8>) -> Result<(), Problem> {
        let document = self.document.take();
        self.document = Some(match (part, document) {
            (Part::Cover(cover), _) => begin(&view::cover(&cover)),
            (Part::Turn(turn), Some(document)) => write_turn(document, &view::turn(&turn)),
            _ => return Err(out_of_order("a document of Word holds answers")),
        });
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        let document = self.document.take().ok_or_else(|| out_of_order("there was no cover"))?;
        let mut bytes = Cursor::new(Vec::new());
        document
            .pack(&mut bytes)
            .map_err(|error| out_of_order(&format!("the document cannot be written: {error}")))?;
        *out = bytes.into_inner();
        Ok(())
    }
}

fn run(text: &str, size: usize, colour: &str) -> Run {
    let mut run = Run::new().size(size).color(colour);
    for (place, line) in clean(text).split('\n').enumerate() {
        if place > 0 {
            run = run.add_break(BreakType::TextWrapping);
        }
        run = run.add_text(line);
    }
    run
}

fn paragraph(run: Run, before: u32, after: u32) -> Paragraph {
    Paragraph::new().add_run(run).line_spacing(LineSpacing::new().before(before).after(after))
}

fn begin(cover: &CoverView) -> Docx {
    let pages = Paragraph::new()
        .align(AlignmentType::Right)
        .add_page_num(PageNum::new())
        .add_run(run(" / ", SMALL, QUIET))
        .add_num_pages(NumPages::new());
    let mut document = Docx::new()
        .created_at(&cover.created_at)
        .updated_at(&cover.created_at)
        // A4 in twentieths of a point.
        .page_size(11_906, 16_838)
        .page_margin(PageMargin::new().top(1_440).bottom(1_300).left(1_440).right(1_440))
        .default_fonts(RunFonts::new().ascii("Georgia").hi_ansi("Georgia").east_asia("Georgia"))
        .default_size(TEXT)
        .footer(Footer::new().add_paragraph(pages))
        .add_paragraph(paragraph(run(cover.about, SMALL, ACCENT).bold(), 1_400, 120))
        .add_paragraph(paragraph(run(&cover.title, 50, INK).bold(), 0, 500));
    let facts = cover.facts.iter().map(|fact| {
        let name = TableCell::new().width(2_400, WidthType::Dxa).add_paragraph(paragraph(
            run(fact.name, TEXT, QUIET),
            0,
            120,
        ));
        let mut lines = TableCell::new().width(6_600, WidthType::Dxa);
        for line in &fact.lines {
            lines = lines.add_paragraph(paragraph(run(line, TEXT, INK), 0, 120));
        }
        TableRow::new(vec![name, lines])
    });
    document = document.add_table(Table::without_borders(facts.collect()));
    if cover.figures.checked > 0 {
        let figures = cover.figures;
        let counts = Paragraph::new()
            .line_spacing(LineSpacing::new().before(500).after(120))
            .add_run(run(&format!("{} figures checked: ", figures.checked), TEXT, INK))
            .add_run(run(&format!("{} supported", figures.supported), TEXT, GOOD).bold())
            .add_run(run(", ", TEXT, INK))
            .add_run(run(&format!("{} unsupported", figures.unsupported), TEXT, BAD).bold());
        document = document.add_paragraph(counts);
    }
    document.add_paragraph(paragraph(run(cover.remark, SMALL, QUIET), 300, 0))
}

fn write_turn(mut document: Docx, turn: &TurnView) -> Docx {
    if let Some(question) = &turn.question {
        let number = format!("Question {}   {}", turn.number, turn.asked_at);
        let first = paragraph(run(&number, SMALL, ACCENT), 480, 60)
            .keep_next(true)
            .page_break_before(turn.number == 1);
        let heading =
            paragraph(run(question, 27, INK).bold(), 0, 200).keep_next(true).outline_lvl(0);
        document = document.add_paragraph(first).add_paragraph(heading);
    }
    match &turn.answer {
        Some(answer) => write_answer(document, answer),
        None => document,
    }
}

fn write_answer(mut document: Docx, answer: &AnswerView) -> Docx {
    if !answer.state_note.is_empty() {
        document =
            document.add_paragraph(paragraph(run(&answer.state_note, TEXT, BAD).italic(), 0, 160));
    }
    for spans in &answer.paragraphs {
        let mut text = Paragraph::new().line_spacing(LineSpacing::new().after(160));
        for span in spans {
            text = text.add_run(marked(span));
        }
        document = document.add_paragraph(text);
    }
    for note in &answer.notes {
        let told = [&note.document, &note.place, &note.section];
        let told: Vec<&str> =
            told.iter().filter(|part| !part.is_empty()).map(|part| part.as_str()).collect();
        let text = Paragraph::new()
            .indent(Some(360), None, None, None)
            .line_spacing(LineSpacing::new().after(80))
            .add_run(run(&format!("[{}] ", note.number), SMALL, ACCENT))
            .add_run(run(&format!("{}: ", told.join(" · ")), SMALL, QUIET))
            .add_run(run(&format!("“{}”", note.quote), SMALL, INK).italic());
        document = document.add_paragraph(text);
    }
    if !answer.figures.is_empty() {
        let cell = |text: &str, colour: &str, width| {
            TableCell::new().width(width, WidthType::Dxa).add_paragraph(paragraph(
                run(text, SMALL, colour),
                30,
                30,
            ))
        };
        let line = |texts: [&str; 3], colours: [&str; 3]| {
            let [figure, mark, origin] = texts;
            TableRow::new(vec![
                cell(figure, colours[0], 2_000),
                cell(mark, colours[1], 1_400),
                cell(origin, colours[2], 5_600),
            ])
        };
        let mut rows = vec![line(["Figure", "Mark", "Where it comes from"], [QUIET; 3])];
        rows.extend(answer.figures.iter().map(|figure| {
            let colour = if figure.supported { GOOD } else { BAD };
            line([&figure.text, figure.mark, &figure.origin], [INK, colour, INK])
        }));
        document = document.add_table(Table::new(rows));
    }
    document.add_paragraph(paragraph(run(&answer.by, SMALL, QUIET), 120, 0))
}

fn marked(span: &Span) -> Run {
    match span.mark {
        Mark::Plain => run(&span.text, TEXT, INK),
        Mark::Note => run(&span.text, SMALL, ACCENT),
        Mark::Supported => run(&span.text, TEXT, INK).underline("single"),
        Mark::Unsupported => run(&span.text, TEXT, BAD).underline("dash"),
    }
}
