//! How does a Markdown file become a page?

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use quaestor_core::problem::Problem;

use crate::html;
use crate::inline::{clean, push_clean};
use crate::limits::Limits;
use crate::paper::Paper;
use crate::sink::Sink;
use crate::table::{RawCell, RawRow, lay_out};

/// Reads a Markdown file. Tables drawn with pipes are tables even without the line of
/// dashes that the format asks for: many converters leave it out.
pub(crate) fn parse(source: &str, limits: &Limits, sink: &mut dyn Sink) -> Result<(), Problem> {
    let mut page = Page { paper: Paper::new(limits.text_bytes), ..Page::default() };
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_STRIKETHROUGH;
    for (event, range) in Parser::new_ext(source, options).into_offset_iter() {
        page.event(event, &source[range], sink)?;
    }
    page.flush_html();
    sink.page(page.paper.finish(None, None)?)
}

struct Page {
    paper: Paper,
    text: String,
    html: String,
    level: Option<u8>,
    /// How many list items are open; nothing is written while a nested one is open.
    items: usize,
    code: bool,
    rows: Vec<RawRow>,
    in_table: bool,
    has_title: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            paper: Paper::new(0),
            text: String::new(),
            html: String::new(),
            level: None,
            items: 0,
            code: false,
            rows: Vec::new(),
            in_table: false,
            has_title: false,
        }
    }
}

impl Page {
    fn event(
        &mut self,
        event: Event<'_>,
        source: &str,
        sink: &mut dyn Sink,
    ) -> Result<(), Problem> {
        if !matches!(event, Event::Html(_) | Event::End(TagEnd::HtmlBlock)) {
            self.flush_html();
        }
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                self.flush();
                self.level = Some(number(level));
            }
            Event::End(TagEnd::Heading(_)) => {
                let text = clean(&std::mem::take(&mut self.text));
                if let Some(level) = self.level.take() {
                    if level == 1 && !self.has_title && self.paper.is_blank() {
                        self.has_title = true;
                        sink.title(&text)?;
                    }
                    self.paper.heading(level, &text);
                }
            }
            Event::Start(Tag::Paragraph) if self.items == 0 => {
                self.flush();
                if let Some(rows) = pipe_rows(source) {
                    self.write_rows(rows);
                    // The words of the paragraph come again as events: they are dropped.
                    self.in_table = true;
                }
            }
            Event::End(TagEnd::Paragraph) if self.items == 0 => {
                if std::mem::take(&mut self.in_table) {
                    self.text.clear();
                }
                self.flush();
            }
            Event::Start(Tag::Item) => {
                self.flush();
                self.items += 1;
                self.text.push_str("• ");
            }
            Event::End(TagEnd::Item) => {
                self.flush();
                self.items = self.items.saturating_sub(1);
            }
            Event::Start(Tag::CodeBlock(_)) => {
                self.flush();
                self.code = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                self.code = false;
                let text = std::mem::take(&mut self.text);
                let lines: Vec<String> = text.lines().map(crate::inline::clean_line).collect();
                self.paper.paragraph(&lines.join("\n"));
            }
            Event::Start(Tag::Table(_)) => self.flush(),
            Event::Start(Tag::TableHead) => {
                self.rows.push(RawRow { is_header: true, ..RawRow::default() });
            }
            Event::Start(Tag::TableRow) => self.rows.push(RawRow::default()),
            Event::End(TagEnd::TableCell) => {
                let text = clean(&std::mem::take(&mut self.text));
                if let Some(row) = self.rows.last_mut() {
                    let column = row.cells.last().map_or(0, |cell| cell.column + 1);
                    row.cells.push(RawCell { text, column, width: 1, strong: false });
                }
            }
            Event::End(TagEnd::Table) => {
                let rows = std::mem::take(&mut self.rows);
                self.write_rows(rows);
            }
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) => {
                if self.code {
                    self.text.push_str(&text);
                } else {
                    push_clean(&mut self.text, &text);
                }
            }
            Event::SoftBreak => push_clean(&mut self.text, " "),
            Event::HardBreak => self.text.push('\n'),
            Event::FootnoteReference(name) => self.text.push_str(&format!("[{name}]")),
            Event::Start(Tag::FootnoteDefinition(name)) => {
                self.flush();
                self.text.push_str(&format!("[{name}] "));
            }
            Event::Html(html) => self.html.push_str(&html),
            Event::Rule => self.flush(),
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.trim() != "•" {
            self.paper.paragraph(text.trim());
        }
    }

    fn flush_html(&mut self) {
        if self.html.is_empty() {
            return;
        }
        self.flush();
        html::read(&std::mem::take(&mut self.html)).write(&mut self.paper);
    }

    fn write_rows(&mut self, rows: Vec<RawRow>) {
        for table in lay_out(rows) {
            self.paper.table(table);
        }
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// The rows of a paragraph that is a table drawn with pipes. A line that does not begin
/// with a pipe goes on in the cell before it.
fn pipe_rows(source: &str) -> Option<Vec<RawRow>> {
    if !source.trim_start().starts_with('|') {
        return None;
    }
    let mut lines: Vec<String> = Vec::new();
    for line in source.lines().map(str::trim) {
        match lines.last_mut() {
            Some(last) if !line.starts_with('|') || !last.ends_with('|') => {
                last.push(' ');
                last.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    let rows = lines
        .iter()
        .map(|line| {
            let inner = line.trim_start_matches('|').trim_end_matches('|');
            let cells = (0_u32..)
                .zip(inner.split('|'))
                .map(|(column, cell)| RawCell {
                    text: clean(&cell.replace("**", "").replace('\\', "")),
                    column,
                    width: 1,
                    strong: cell.trim().starts_with("**") && cell.trim().ends_with("**"),
                })
                .filter(|cell| {
                    !cell.text.is_empty() && !cell.text.chars().all(|c| matches!(c, '-' | ':'))
                })
                .collect();
            RawRow { cells, ..RawRow::default() }
        })
        .collect();
    Some(rows)
}
