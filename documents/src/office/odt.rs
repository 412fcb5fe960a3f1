//! How does an OpenDocument text become a page?

use quaestor_core::problem::Problem;

use super::story::{Paragraph, Story};
use super::title;
use super::xml::{Ended, Node, attribute, visit};
use crate::archive::Archive;
use crate::inline::push_clean;
use crate::limits::Limits;
use crate::paper::Paper;
use crate::refusal;
use crate::sink::Sink;

/// A cell may say that it comes again many times, to fill a row; more are not believed.
const MAX_REPEATED: u32 = 1_000;

/// Reads a text: headings, paragraphs, lists, tables and notes where they stand.
pub(crate) fn parse(bytes: &[u8], limits: &Limits, sink: &mut dyn Sink) -> Result<(), Problem> {
    let mut archive = Archive::open(bytes, limits)?;
    if let Some(manifest) = archive.part("META-INF/manifest.xml")?
        && is_encrypted(&manifest)?
    {
        return Err(refusal::encrypted());
    }
    if let Some(title) = title(&mut archive, "meta.xml")? {
        sink.title(&title)?;
    }
    let body = archive
        .part("content.xml")?
        .ok_or_else(|| refusal::damaged("the document's main part is missing"))?;
    let mut paper = Paper::new(limits.text_bytes);
    let ended = read(&body, &mut paper)?;
    if matches!(ended, Ended::Broken) {
        if paper.is_blank() {
            return Err(refusal::damaged("the document's main part cannot be read"));
        }
        sink.warn("the document breaks off: what comes after is missing".to_owned());
    }
    sink.page(paper.finish(None, None)?)
}

/// Whether an OpenDocument's manifest names encrypted parts.
pub(crate) fn is_encrypted(manifest: &[u8]) -> Result<bool, Problem> {
    let mut found = false;
    visit(manifest, |node| {
        found |= matches!(node, Node::Start("encryption-data", _));
        Ok(())
    })?;
    Ok(found)
}

fn read(bytes: &[u8], paper: &mut Paper) -> Result<Ended, Problem> {
    let mut story = Story::new(paper);
    // A note stands inside of the paragraph that it belongs to.
    let mut open: Vec<Paragraph> = Vec::new();
    let mut in_lists = 0_usize;
    let mut skipped = 0_usize;
    let ended = visit(bytes, |node| {
        match node {
            Node::Start("tracked-changes" | "annotation" | "forms" | "font-face-decls", _) => {
                skipped += 1;
            }
            Node::End("tracked-changes" | "annotation" | "forms" | "font-face-decls") => {
                skipped = skipped.saturating_sub(1);
            }
            _ if skipped > 0 => {}
            Node::Start("h", start) => {
                let level = attribute(start, "outline-level").and_then(|n| n.parse().ok());
                let heading = level.unwrap_or(1_u8).clamp(1, 6);
                open.push(Paragraph { heading, ..Paragraph::default() });
            }
            Node::Start("p", start) => {
                let style = attribute(start, "style-name").unwrap_or_default();
                open.push(Paragraph {
                    heading: u8::from(style == "Title"),
                    is_list_item: in_lists > 0,
                    ..Paragraph::default()
                });
            }
            Node::End("h" | "p") => {
                if let Some(done) = open.pop() {
                    story.paragraph(done);
                }
            }
            Node::Start("list-item", _) => in_lists += 1,
            Node::End("list-item") => in_lists = in_lists.saturating_sub(1),
            Node::Start("table", _) => story.begin_table(),
            Node::End("table") => story.end_table(),
            Node::Start("table-row", _) => story.begin_row(false),
            Node::Start("table-cell", start) => {
                story.begin_cell();
                let span = attribute(start, "number-columns-spanned").and_then(|n| n.parse().ok());
                story.cell_width(span.unwrap_or(1));
                if let Some(n) = attribute(start, "number-columns-repeated") {
                    story.cell_width(n.parse().unwrap_or(1).min(MAX_REPEATED));
                }
            }
            Node::End("table-cell") => story.end_cell(),
            Node::Start("tab" | "s", _) => {
                if let Some(paragraph) = open.last_mut() {
                    push_clean(&mut paragraph.text, " ");
                }
            }
            Node::Start("line-break", _) => {
                if let Some(paragraph) = open.last_mut()
                    && !paragraph.text.is_empty()
                {
                    paragraph.text.push('\n');
                }
            }
            Node::Text(text) => {
                if let Some(paragraph) = open.last_mut() {
                    push_clean(&mut paragraph.text, text);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    for paragraph in open {
        story.paragraph(paragraph);
    }
    story.finish();
    Ok(ended)
}
