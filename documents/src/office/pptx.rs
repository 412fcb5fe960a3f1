//! How does a presentation become pages, one for each slide?

use quaestor_core::parsed::ParsedPage;
use quaestor_core::problem::Problem;

use super::story::{Paragraph, Story};
use super::xml::{Node, attribute, visit};
use super::{relationships, title};
use crate::archive::Archive;
use crate::inline::{clean, push_clean};
use crate::limits::Limits;
use crate::paper::Paper;
use crate::refusal;
use crate::sink::Sink;

const PRESENTATION: &str = "ppt/presentation.xml";

/// Reads a presentation: the slides in the order they are shown, each with its notes.
pub(crate) fn parse(bytes: &[u8], limits: &Limits, sink: &mut dyn Sink) -> Result<(), Problem> {
    let mut archive = Archive::open(bytes, limits)?;
    if let Some(title) = title(&mut archive, "docProps/core.xml")? {
        sink.title(&title)?;
    }
    let slides = slides(&mut archive)?;
    if slides.is_empty() {
        return Err(refusal::damaged("the presentation has no slides"));
    }
    if slides.len() > limits.pages as usize {
        return Err(refusal::limit_reached(&format!(
            "the presentation has more than {} slides",
            limits.pages
        )));
    }
    let mut text_bytes = limits.text_bytes;
    for (number, slide) in (1_u32..).zip(slides) {
        let page = read_slide(&mut archive, &slide, number, text_bytes)?;
        text_bytes = text_bytes.saturating_sub(page.text.len() as u64);
        sink.page(page)?;
    }
    Ok(())
}

/// The slides' parts in the order of the presentation, else in the order of their names.
fn slides(archive: &mut Archive<'_>) -> Result<Vec<String>, Problem> {
    let targets = relationships(archive, PRESENTATION)?;
    let mut slides = Vec::new();
    if let Some(bytes) = archive.part(PRESENTATION)? {
        visit(&bytes, |node| {
            if let Node::Start("sldId", start) = node {
                // Two attributes are called `id`; the relationship's has a prefix.
                let id = start
                    .attributes()
                    .with_checks(false)
                    .flatten()
                    .find(|a| a.key.as_ref().ends_with(":id"))
                    .map(|a| a.value.into_owned());
                let target = targets.iter().find(|(of, _, _)| Some(of) == id.as_ref());
                slides.extend(target.map(|(_, _, target)| target.clone()));
            }
            Ok(())
        })?;
    }
    if slides.is_empty() {
        let number = |name: &str| -> Option<u32> {
            name.strip_prefix("ppt/slides/slide")?.strip_suffix(".xml")?.parse().ok()
        };
        let mut names: Vec<String> =
            archive.names().into_iter().filter(|name| number(name).is_some()).collect();
        names.sort_by_key(|name| number(name));
        slides = names;
    }
    Ok(slides)
}

fn read_slide(
    archive: &mut Archive<'_>,
    part: &str,
    number: u32,
    text_bytes: u64,
) -> Result<ParsedPage, Problem> {
    let mut paper = Paper::new(text_bytes);
    let mut label = None;
    if let Some(bytes) = archive.part(part)? {
        label = read_shapes(&bytes, &mut paper)?;
    }
    let notes = relationships(archive, part)?
        .into_iter()
        .find(|(_, kind, _)| kind.ends_with("/notesSlide"))
        .map(|(_, _, target)| target);
    if let Some(notes) = notes
        && let Some(bytes) = archive.part(&notes)?
    {
        let mut spoken = Paper::new(text_bytes);
        read_shapes(&bytes, &mut spoken)?;
        let spoken = spoken.finish(None, None)?;
        // A notes page without words still has the slide's number on it.
        if spoken.text.chars().any(char::is_alphabetic) {
            paper.heading(6, "Notes");
            paper.paragraph(&spoken.text);
        }
    }
    paper.finish(Some(number), label)
}

/// Writes the shapes of a slide; gives its title.
fn read_shapes(bytes: &[u8], paper: &mut Paper) -> Result<Option<String>, Problem> {
    let mut story = Story::new(paper);
    let mut paragraph = Paragraph::default();
    let mut title: Option<String> = None;
    let mut is_title = false;
    let mut is_furniture = false;
    let mut in_text = false;
    visit(bytes, |node| {
        match node {
            Node::Start("sp", _) => (is_title, is_furniture) = (false, false),
            Node::Start("ph", start) => {
                let kind = attribute(start, "type").unwrap_or_default();
                is_title = matches!(kind.as_str(), "title" | "ctrTitle");
                is_furniture = matches!(kind.as_str(), "sldNum" | "dt" | "ftr" | "hdr" | "sldImg");
            }
            Node::Start("p", _) => paragraph = Paragraph::default(),
            Node::Start("buChar" | "buAutoNum", _) => paragraph.is_list_item = true,
            Node::Start("t", _) => in_text = true,
            Node::End("t") => in_text = false,
            Node::Start("br", _) if !paragraph.text.is_empty() => paragraph.text.push('\n'),
            Node::Text(text) if in_text => push_clean(&mut paragraph.text, text),
            Node::End("p") => {
                let mut done = std::mem::take(&mut paragraph);
                if is_title && !done.text.trim().is_empty() {
                    done.heading = 1;
                    let text = clean(&done.text);
                    match &mut title {
                        Some(title) => {
                            title.push(' ');
                            title.push_str(&text);
                        }
                        None => title = Some(text),
                    }
                }
                if !is_furniture {
                    story.paragraph(done);
                }
            }
            Node::Start("tbl", _) => story.begin_table(),
            Node::Start("tr", _) => story.begin_row(false),
            Node::Start("tc", start) => {
                story.begin_cell();
                if let Some(width) = attribute(start, "gridSpan").and_then(|n| n.parse().ok()) {
                    story.cell_width(width);
                }
                // The rest of a merged cell has no column of its own beyond the first's.
                if attribute(start, "hMerge").is_some_and(|value| value == "1") {
                    story.cell_width(1);
                }
            }
            Node::End("tc") => story.end_cell(),
            Node::End("tbl") => story.end_table(),
            _ => {}
        }
        Ok(())
    })?;
    story.finish();
    Ok(title)
}
