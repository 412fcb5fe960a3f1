//! What can be read of a workbook whose parts do not fit together?
//!
//! Some writers leave out what ties a workbook's parts to each other, and some files lost
//! it. The cells are still there: they are read part by part, without formats.

use std::collections::HashMap;

use quaestor_core::problem::Problem;

use super::regions::Cell;
use super::{Pages, address};
use crate::archive::Archive;
use crate::inline::clean;
use crate::office::xml::{Ended, Node, attribute, visit};

/// Reads every worksheet part of the archive. Gives how many held text.
pub(super) fn read(archive: &mut Archive<'_>, pages: &mut Pages<'_>) -> Result<u32, Problem> {
    let strings = match archive.part("xl/sharedStrings.xml")? {
        Some(bytes) => shared_strings(&bytes)?,
        None => Vec::new(),
    };
    let mut parts: Vec<String> = archive
        .names()
        .into_iter()
        .filter(|name| {
            let name = name.to_lowercase();
            name.starts_with("xl/worksheets/") && name.ends_with(".xml")
        })
        .collect();
    parts.sort_by_key(|name| (name.len(), name.clone()));
    let mut with_text = 0;
    for part in parts {
        let Some(bytes) = archive.part(&part)? else { continue };
        let cells = worksheet(&bytes, &strings, pages)?;
        if !cells.is_empty() {
            with_text += 1;
            let name = part.rsplit('/').next().unwrap_or(&part).trim_end_matches(".xml");
            pages.sheet(name, cells, &HashMap::new())?;
        }
    }
    if with_text > 0 {
        pages
            .sink
            .warn("the workbook is damaged: its cells were read without their formats".to_owned());
    }
    Ok(with_text)
}

/// The strings of a workbook; one that is read aloud (`rPh`) is left out.
fn shared_strings(bytes: &[u8]) -> Result<Vec<String>, Problem> {
    let mut strings = Vec::new();
    let mut text = String::new();
    let (mut in_text, mut aloud) = (false, false);
    visit(bytes, |node| {
        match node {
            Node::Start("si", _) => text.clear(),
            Node::End("si") => strings.push(clean(&text)),
            Node::Start("rPh", _) => aloud = true,
            Node::End("rPh") => aloud = false,
            Node::Start("t", _) => in_text = true,
            Node::End("t") => in_text = false,
            Node::Text(more) if in_text && !aloud => text.push_str(more),
            _ => {}
        }
        Ok(())
    })?;
    Ok(strings)
}

fn worksheet(
    bytes: &[u8],
    strings: &[String],
    pages: &mut Pages<'_>,
) -> Result<Vec<Cell>, Problem> {
    let mut cells: Vec<Cell> = Vec::new();
    let mut place = (0_u32, 0_u32);
    let mut kind = String::new();
    let mut value = String::new();
    let mut in_value = false;
    let ended = visit(bytes, |node| {
        match node {
            Node::Start("row", start) => {
                let row = attribute(start, "r").and_then(|r| r.parse::<u32>().ok());
                place = (row.map_or(place.0 + 1, |row| row.saturating_sub(1)), 0);
            }
            Node::Start("c", start) => {
                let at = attribute(start, "r").and_then(|r| address(&r));
                place = at.unwrap_or(place);
                kind = attribute(start, "t").unwrap_or_default();
                value.clear();
            }
            Node::Start("v" | "t", _) => in_value = true,
            Node::End("v" | "t") => in_value = false,
            Node::Text(text) if in_value => value.push_str(text),
            Node::End("c") => {
                let text = match kind.as_str() {
                    "s" => {
                        let string = value.trim().parse().ok().and_then(|n: usize| strings.get(n));
                        string.cloned().unwrap_or_default()
                    }
                    "" | "n" => {
                        value.trim().parse().map_or_else(|_| clean(&value), super::cell::plain)
                    }
                    _ => clean(&value),
                };
                if !text.is_empty() {
                    pages.count(1)?;
                    cells.push(Cell { row: place.0, column: place.1, text, bold: false });
                }
                place.1 = place.1.saturating_add(1);
            }
            _ => {}
        }
        Ok(())
    })?;
    if matches!(ended, Ended::Broken) && !cells.is_empty() {
        pages.sink.warn("a sheet breaks off: what comes after is missing".to_owned());
    }
    cells.sort_by_key(|cell| (cell.row, cell.column));
    Ok(cells)
}
