//! What pieces does a page's text fall into, in reading order?

use super::style::Look;
use crate::inline::{clean, clean_line, push_clean};
use crate::table::LaidTable;

/// A piece of a page.
#[derive(Debug)]
pub(super) enum Item {
    /// A paragraph, a list item or a line of a heading.
    Text(Text),
    /// Text whose line breaks and columns of spaces matter.
    Pre(String),
    /// A table that was laid out.
    Tables(Vec<LaidTable>),
}

/// A paragraph and how it looks.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) text: String,
    /// Whether all of it is bold, or underlined capitals.
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) centred: bool,
    /// The level of its heading element; 0 without one.
    pub(super) heading: u8,
}

/// Gathers the text of one paragraph.
#[derive(Debug, Default)]
pub(super) struct Paragraph {
    text: String,
    plain: bool,
    upright: bool,
    centred: bool,
    heading: u8,
    pre: bool,
}

impl Paragraph {
    /// Adds decoded text.
    pub(super) fn push(&mut self, text: &str, look: &Look) {
        if look.pre {
            self.pre = true;
            self.text.push_str(text);
            return;
        }
        let has_words = text.chars().any(char::is_alphanumeric);
        let was_empty = self.text.is_empty();
        push_clean(&mut self.text, text);
        if has_words {
            self.plain |= !(look.bold || look.underlined);
            self.upright |= !look.italic;
            self.heading = self.heading.max(look.heading);
        }
        if was_empty {
            self.centred = look.centred;
        }
    }

    /// Adds a line break.
    pub(super) fn line_break(&mut self) {
        if self.pre {
            self.text.push('\n');
        } else if !self.text.is_empty() {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.push('\n');
        }
    }

    /// Whether nothing but space was added.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// The paragraph, if it has any text; and an empty one in its place.
    pub(super) fn take(&mut self) -> Option<Item> {
        let done = std::mem::take(self);
        if done.is_blank() {
            return None;
        }
        if done.pre {
            let lines: Vec<String> = done.text.split('\n').map(clean_line).collect();
            return Some(Item::Pre(lines.join("\n")));
        }
        Some(Item::Text(Text {
            bold: !done.plain,
            italic: !done.upright,
            centred: done.centred,
            heading: done.heading,
            text: done.text.trim().to_owned(),
        }))
    }
}

/// The text of pieces in one line, for a table's cell.
pub(super) fn one_line(items: &[Item]) -> String {
    let mut line = String::new();
    for item in items {
        let text = match item {
            Item::Text(text) => clean(&text.text),
            Item::Pre(text) => clean(text),
            Item::Tables(tables) => {
                let rows = tables.iter().flat_map(|table| &table.rows);
                rows.map(|row| row.line.as_str()).collect::<Vec<_>>().join(" ")
            }
        };
        if !line.is_empty() && !text.is_empty() {
            line.push(' ');
        }
        line.push_str(&text);
    }
    line
}
