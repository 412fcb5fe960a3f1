//! HTML: one page with its style in it, no script, nothing fetched, contents escaped.

use quaestor_core::problem::Problem;

use crate::part::Part;
use crate::render::Render;
use crate::text::{clean, line};
use crate::view::{self, AnswerView, CoverView, Mark, Span, TurnView};

const STYLE: &str = include_str!("html.css");

/// Writes HTML.
#[derive(Debug, Default)]
pub(crate) struct Html {
    in_table: bool,
}

impl Render for Html {
    fn part(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut text = String::new();
        match part {
            Part::Cover(cover) => title_page(&view::cover(&cover), &mut text),
            Part::Turn(turn) => write_turn(&view::turn(&turn), &mut text),
            Part::Table(table) => {
                self.end_table(&mut text);
                self.in_table = true;
                text.push_str("<section>\n");
                let title = view::table_title(&table);
                if !title.is_empty() {
                    text.push_str(&format!("<h2>{}</h2>\n", inline(&title)));
                }
                let place = inline(&view::table_place(&table));
                text.push_str(&format!("<p class=\"quiet\">{place}</p>\n<table class=\"data\">\n"));
                for row in &table.header {
                    write_row(row, "th", &mut text);
                }
            }
            Part::Rows(rows) => {
                for row in &rows {
                    write_row(row, "td", &mut text);
                }
            }
        }
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        let mut text = String::new();
        self.end_table(&mut text);
        text.push_str("</main>\n</body>\n</html>\n");
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Html {
    fn end_table(&mut self, text: &mut String) {
        if std::mem::take(&mut self.in_table) {
            text.push_str("</table>\n</section>\n");
        }
    }
}

fn write_row(row: &[String], tag: &str, text: &mut String) {
    text.push_str("<tr>");
    for cell in row {
        let class = if crate::cell::number(cell).is_some() { " class=\"number\"" } else { "" };
        text.push_str(&format!("<{tag}{class}>{}</{tag}>", inline(cell)));
    }
    text.push_str("</tr>\n");
}

fn title_page(cover: &CoverView, text: &mut String) {
    let title = inline(&cover.title);
    text.push_str(&format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n\
         <p class=\"about\">{}</p>\n<h1>{title}</h1>\n<dl>\n",
        cover.about
    ));
    for fact in &cover.facts {
        let lines: Vec<String> = fact.lines.iter().map(|line| inline(line)).collect();
        text.push_str(&format!("<dt>{}</dt><dd>{}</dd>\n", fact.name, lines.join("<br>")));
    }
    text.push_str("</dl>\n");
    if cover.figures.checked > 0 {
        let figures = cover.figures;
        text.push_str(&format!(
            "<p class=\"counts\"><b>{}</b> figures checked, <b class=\"good\">{}</b> supported, \
             <b class=\"bad\">{}</b> unsupported</p>\n",
            figures.checked, figures.supported, figures.unsupported
        ));
    }
    text.push_str(&format!("<p class=\"quiet\">{}</p>\n</header>\n", inline(cover.remark)));
}

fn write_turn(turn: &TurnView, text: &mut String) {
    text.push_str("<article>\n");
    if let Some(question) = &turn.question {
        text.push_str(&format!(
            "<p class=\"quiet\">Question {}, {}</p>\n<h2>{}</h2>\n",
            turn.number,
            inline(&turn.asked_at),
            block(question)
        ));
    }
    if let Some(answer) = &turn.answer {
        write_answer(answer, text);
    }
    text.push_str("</article>\n");
}

fn write_answer(answer: &AnswerView, text: &mut String) {
    if !answer.state_note.is_empty() {
        text.push_str(&format!("<p class=\"bad\">{}</p>\n", inline(&answer.state_note)));
    }
    for paragraph in &answer.paragraphs {
        let spans: String = paragraph.iter().map(span).collect();
        text.push_str(&format!("<p>{spans}</p>\n"));
    }
    if !answer.notes.is_empty() {
        text.push_str("<ul class=\"notes\">\n");
        for note in &answer.notes {
            let told = [&note.document, &note.place, &note.section];
            let told: Vec<String> =
                told.iter().filter(|part| !part.is_empty()).map(|part| inline(part)).collect();
            text.push_str(&format!(
                "<li><span class=\"note\">[{}]</span> {}<br><q>{}</q></li>\n",
                note.number,
                told.join(" · "),
                block(&note.quote)
            ));
        }
        text.push_str("</ul>\n");
    }
    if !answer.figures.is_empty() {
        text.push_str(
            "<table>\n<tr><th>Figure</th><th>Mark</th><th>Where it comes from</th></tr>\n",
        );
        for figure in &answer.figures {
            text.push_str(&format!(
                "<tr><td>{}</td><td class=\"{}\">{}</td><td>{}</td></tr>\n",
                inline(&figure.text),
                if figure.supported { "good" } else { "bad" },
                figure.mark,
                inline(&figure.origin)
            ));
        }
        text.push_str("</table>\n");
    }
    text.push_str(&format!("<p class=\"quiet\">{}</p>\n", inline(&answer.by)));
}

fn span(span: &Span) -> String {
    let text = block(&span.text);
    match span.mark {
        Mark::Plain => text,
        Mark::Note => format!("<span class=\"note\">{text}</span>"),
        Mark::Supported => format!("<span class=\"supported\" title=\"supported\">{text}</span>"),
        Mark::Unsupported => {
            format!("<span class=\"unsupported\" title=\"unsupported\">{text}</span>")
        }
    }
}

fn inline(text: &str) -> String {
    escaped(&line(text))
}

fn block(text: &str) -> String {
    escaped(&clean(text)).replace('\n', "<br>")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
