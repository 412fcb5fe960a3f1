//! How does a Word document become a page?

use std::collections::HashMap;

use quaestor_core::problem::Problem;

use super::story::{Paragraph, Story};
use super::xml::{Ended, Node, attribute, visit};
use super::{relationships, title};
use crate::archive::Archive;
use crate::inline::push_clean;
use crate::limits::Limits;
use crate::paper::Paper;
use crate::refusal;
use crate::sink::Sink;

/// Reads a document: its body, then its footnotes and endnotes.
pub(crate) fn parse(bytes: &[u8], limits: &Limits, sink: &mut dyn Sink) -> Result<(), Problem> {
    let mut archive = Archive::open(bytes, limits)?;
    if let Some(title) = title(&mut archive, "docProps/core.xml")? {
        sink.title(&title)?;
    }
    let main = relationships(&mut archive, "/")?
        .into_iter()
        .find(|(_, kind, _)| kind.ends_with("/officeDocument"))
        .map_or_else(|| "word/document.xml".to_owned(), |(_, _, target)| target);
    let body = match archive.part(&main)? {
        Some(body) => body,
        None => archive
            .part("word/document.xml")?
            .ok_or_else(|| refusal::damaged("the document's main part is missing"))?,
    };
    let styles = match archive.part("word/styles.xml")? {
        Some(bytes) => heading_styles(&bytes)?,
        None => HashMap::new(),
    };
    let mut paper = Paper::new(limits.text_bytes);
    let ended = read(&body, &styles, &mut paper)?;
    if matches!(ended, Ended::Broken) {
        if paper.is_blank() {
            return Err(refusal::damaged("the document's main part cannot be read"));
        }
        sink.warn("the document breaks off: what comes after is missing".to_owned());
    }
    for part in ["word/footnotes.xml", "word/endnotes.xml"] {
        if let Some(bytes) = archive.part(part)? {
            read(&bytes, &styles, &mut paper)?;
        }
    }
    sink.page(paper.finish(None, None)?)
}

/// The heading level of each style that has one.
fn heading_styles(bytes: &[u8]) -> Result<HashMap<String, u8>, Problem> {
    let mut levels = HashMap::new();
    let mut id = String::new();
    visit(bytes, |node| {
        if let Node::Start(name, start) = node {
            match name {
                "style" => id = attribute(start, "styleId").unwrap_or_default(),
                "name" => {
                    if let Some(level) = attribute(start, "val").and_then(|name| level_of(&name)) {
                        levels.insert(id.clone(), level);
                    }
                }
                "outlineLvl" => {
                    if let Some(level) = outline_level(attribute(start, "val")) {
                        levels.entry(id.clone()).or_insert(level);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    Ok(levels)
}

/// `heading 2` is level 2; the title of the document is level 1.
fn level_of(style: &str) -> Option<u8> {
    let style = style.to_lowercase();
    if style == "title" {
        return Some(1);
    }
    let number = style.strip_prefix("heading")?.trim();
    number.parse::<u8>().ok().filter(|level| (1..=9).contains(level)).map(|level| level.min(6))
}

/// Outline levels count from 0; 9 is running text.
fn outline_level(value: Option<String>) -> Option<u8> {
    value?.parse::<u8>().ok().filter(|&level| level < 9).map(|level| (level + 1).min(6))
}

#[derive(Default)]
struct Run {
    bold: bool,
}

fn read(bytes: &[u8], styles: &HashMap<String, u8>, paper: &mut Paper) -> Result<Ended, Problem> {
    let mut story = Story::new(paper);
    let mut paragraph = Paragraph::default();
    let mut plain = false;
    let mut run = Run::default();
    let mut in_run_properties = false;
    let mut in_text = false;
    // The mark of a note that waits for its first paragraph with words.
    let mut note: Option<String> = None;
    // Deleted text, field codes and the fallbacks of drawings are not read.
    let mut skipped = 0_usize;
    let ended = visit(bytes, |node| {
        match node {
            Node::Start(name, _) | Node::End(name)
                if matches!(name, "del" | "moveFrom" | "Fallback" | "instrText" | "delText") =>
            {
                match node {
                    Node::Start(..) => skipped += 1,
                    _ => skipped = skipped.saturating_sub(1),
                }
            }
            _ if skipped > 0 => {}
            Node::Start(name, start) => match name {
                "p" => {
                    // A text box's paragraphs stand inside of another paragraph.
                    let outer = std::mem::take(&mut paragraph);
                    story.paragraph(Paragraph { bold: !plain, ..outer });
                    plain = false;
                }
                "pStyle" => {
                    let style = attribute(start, "val").unwrap_or_default();
                    paragraph.heading = styles
                        .get(&style)
                        .copied()
                        .or_else(|| level_of(&style.replace('_', " ")))
                        .unwrap_or(0);
                    paragraph.is_list_item |= style.to_lowercase().contains("list");
                }
                "outlineLvl" => {
                    if let Some(level) = outline_level(attribute(start, "val")) {
                        paragraph.heading = level;
                    }
                }
                "numPr" => paragraph.is_list_item = true,
                "r" => run = Run::default(),
                "rPr" => in_run_properties = true,
                "b" if in_run_properties => {
                    let off = attribute(start, "val")
                        .is_some_and(|value| matches!(value.as_str(), "0" | "false" | "off"));
                    run.bold = !off;
                }
                "t" => in_text = true,
                "tab" if !in_run_properties => push_clean(&mut paragraph.text, " "),
                "br" | "cr" if !paragraph.text.is_empty() => paragraph.text.push('\n'),
                "noBreakHyphen" => paragraph.text.push('-'),
                "footnoteReference" | "endnoteReference" => {
                    if let Some(id) = attribute(start, "id") {
                        paragraph.text.push_str(&format!("[{id}]"));
                    }
                }
                "footnote" | "endnote" => {
                    if let Some(id) = attribute(start, "id")
                        && attribute(start, "type").is_none()
                    {
                        story.paragraph(std::mem::take(&mut paragraph));
                        // The mark that the text has, so that the note is found from it.
                        note = Some(format!("[{id}] "));
                    }
                }
                "tbl" => story.begin_table(),
                "tr" => story.begin_row(false),
                "tblHeader" => story.mark_header(),
                "gridBefore" => {
                    let n = attribute(start, "val").and_then(|n| n.parse().ok()).unwrap_or(0);
                    story.skip_columns(n);
                }
                "tc" => story.begin_cell(),
                "gridSpan" => {
                    let n = attribute(start, "val").and_then(|n| n.parse().ok()).unwrap_or(1);
                    story.cell_width(n);
                }
                _ => {}
            },
            Node::End(name) => match name {
                "p" => {
                    let mut done = std::mem::take(&mut paragraph);
                    if !done.text.trim().is_empty()
                        && let Some(mark) = note.take()
                    {
                        done.text.insert_str(0, &mark);
                    }
                    story.paragraph(Paragraph { bold: !plain, ..done });
                    plain = false;
                }
                "rPr" => in_run_properties = false,
                "t" => in_text = false,
                "tc" => story.end_cell(),
                "tbl" => story.end_table(),
                _ => {}
            },
            Node::Text(text) if in_text => {
                push_clean(&mut paragraph.text, text);
                plain |= !run.bold && text.chars().any(char::is_alphanumeric);
            }
            Node::Text(_) => {}
        }
        Ok(())
    })?;
    story.paragraph(paragraph);
    story.finish();
    Ok(ended)
}
