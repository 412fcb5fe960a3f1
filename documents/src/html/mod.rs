//! How does an HTML page, above all a filing, become text?
//!
//! Filings are one long page of nested tables with inline XBRL around every figure. Tags
//! are read in one pass; what is hidden is dropped, layout tables dissolve, data tables
//! become lines, and lines set in bold become headings.

mod flow;
mod grid;
mod heading;

mod style;
mod tokens;

use crate::inline::clean;
use crate::paper::Paper;
use crate::text::write_plain;
use flow::{Item, Paragraph};
use grid::Grid;
pub(crate) use heading::form_level;
use style::Look;
use tokens::{Token, Tokens, decode};

/// Tables nested deeper than this are read as running text: filings reach five.
const MAX_TABLE_DEPTH: usize = 32;

/// Text with this many block elements is HTML.
const MAX_STRAY_TAGS: usize = 8;

/// Open elements past this are not remembered; their text still is.
const MAX_OPEN: usize = 4_096;

/// How far down the open elements an end tag looks for its start.
const END_REACH: usize = 64;

/// What was read.
pub(crate) struct Html {
    /// The page's `title`.
    pub(crate) title: Option<String>,
    items: Vec<Item>,
}

/// Reads a page.
pub(crate) fn read(html: &str) -> Html {
    let mut reader = Reader { is_text: is_tagged_text(html), ..Reader::default() };
    reader.look.pre = reader.is_text;
    for token in Tokens::new(html) {
        match token {
            Token::Text(text) => reader.text(text),
            Token::Start(name, attributes, closed) => reader.start(name, attributes, closed),
            Token::End(name) => reader.end(name),
        }
    }
    reader.finish()
}

/// Filings from before 2001 are plain text with a few tags for pages and the columns of
/// tables: their line breaks and spaces are all the structure they have.
fn is_tagged_text(html: &str) -> bool {
    const OF_HTML: [&str; 10] =
        ["<td", "<TD", "<div", "<DIV", "<p>", "<P>", "<p ", "<P ", "<br", "<BR"];
    ["<PAGE>", "<C>", "<TEXT>", "<pre>", "<PRE>"].iter().any(|mark| html.contains(mark))
        // A wrapper around the text may have a few.
        && OF_HTML.iter().map(|tag| html.matches(tag).take(MAX_STRAY_TAGS).count()).sum::<usize>()
            < MAX_STRAY_TAGS
}

impl Html {
    /// Writes the page onto paper.
    pub(crate) fn write(self, paper: &mut Paper) {
        for item in self.items {
            match item {
                Item::Text(text) => match heading::level(&text) {
                    Some(level) => paper.heading(level, &text.text),
                    None => paper.paragraph(&text.text),
                },
                Item::Pre(text) => write_plain(paper, &text),
                Item::Tables(tables) => tables.into_iter().for_each(|table| paper.table(table)),
            }
        }
    }
}

/// An element that is open, and how text looked before it.
struct Open {
    name: Name,
    before: Look,
}

/// A table that is open.
#[derive(Default)]
struct OpenTable {
    grid: Grid,
    /// How many elements were open when it began.
    base: usize,
    /// The open cell: its pieces so far, and whether it is a header cell.
    cell: Option<(Vec<Item>, bool)>,
    /// How many elements were open when the cell began, and how text looked.
    cell_base: usize,
    /// How text looked when the table began.
    look: Look,
    /// What stands in the table outside of its cells.
    stray: Vec<Item>,
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    tables: Vec<OpenTable>,
    /// Table elements open past the depth that is read.
    too_deep: usize,
    look: Look,
    paragraph: Paragraph,
    items: Vec<Item>,
    title: Option<String>,
    in_title: bool,
    /// Whether the page is text with a few tags: see [`is_tagged_text`].
    is_text: bool,
}

/// The elements that matter, by what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Paragraph,
    Block,
    Item,
    Heading(u8),
    Pre,
    Centre,
    Bold,
    Italic,
    Underline,
    Hidden,
    Title,
    Head,
    Break,
    Rule,
    Table,
    TableHead,
    TableBody,
    Row,
    Cell,
    HeadCell,
    Void,
    Inline,
}

impl Name {
    fn of(name: &str) -> Self {
        let mut lower = [0_u8; 16];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return if name.to_ascii_lowercase().starts_with("ix:head") {
                Self::Hidden
            } else {
                Self::Inline
            };
        };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        match &*lower {
            b"p" => Self::Paragraph,
            b"div" | b"section" | b"article" | b"main" | b"header" | b"footer" | b"aside"
            | b"nav" | b"blockquote" | b"ul" | b"ol" | b"dl" | b"body" | b"html" | b"form"
            | b"fieldset" | b"figure" | b"figcaption" | b"address" | b"page" | b"document"
            | b"text" | b"caption" | b"details" | b"summary" | b"option" => Self::Block,
            b"li" | b"dt" | b"dd" => Self::Item,
            b"h1" => Self::Heading(1),
            b"h2" => Self::Heading(2),
            b"h3" => Self::Heading(3),
            b"h4" => Self::Heading(4),
            b"h5" => Self::Heading(5),
            b"h6" => Self::Heading(6),
            b"pre" | b"xmp" | b"listing" | b"plaintext" => Self::Pre,
            b"center" => Self::Centre,
            b"b" | b"strong" => Self::Bold,
            b"i" | b"em" => Self::Italic,
            b"u" => Self::Underline,
            b"ix:header" | b"ix:hidden" | b"noscript" | b"template" | b"svg" | b"object"
            | b"iframe" | b"select" | b"math" => Self::Hidden,
            b"title" => Self::Title,
            b"head" => Self::Head,
            b"br" => Self::Break,
            b"hr" => Self::Rule,
            b"table" => Self::Table,
            b"thead" => Self::TableHead,
            b"tbody" | b"tfoot" => Self::TableBody,
            b"tr" => Self::Row,
            b"td" => Self::Cell,
            b"th" => Self::HeadCell,
            b"img" | b"input" | b"meta" | b"link" | b"base" | b"col" | b"area" | b"wbr"
            | b"embed" | b"source" | b"param" | b"colgroup" => Self::Void,
            _ => Self::Inline,
        }
    }

    fn is_block(self) -> bool {
        !matches!(
            self,
            Self::Bold
                | Self::Italic
                | Self::Underline
                | Self::Inline
                | Self::Void
                | Self::Hidden
                | Self::Title
                | Self::Head
                | Self::Break
        )
    }
}

impl Reader {
    fn text(&mut self, text: &str) {
        if self.in_title {
            let title = self.title.get_or_insert_with(String::new);
            if title.len() < 1_000 {
                title.push_str(&decode(text));
            }
            return;
        }
        if !self.look.hidden {
            self.paragraph.push(&decode(text), &self.look);
        }
    }

    fn start(&mut self, name: &str, attributes: &str, closed: bool) {
        if self.is_text {
            if name.eq_ignore_ascii_case("page") {
                self.paragraph.push("\n\n", &self.look);
            }
            return;
        }
        let name = Name::of(name);
        if name.is_block() {
            self.flush();
        }
        match name {
            Name::Break => return self.paragraph.line_break(),
            Name::Void => return,
            Name::Rule => return,
            Name::Table => {
                self.close_paragraph();
                if self.tables.len() >= MAX_TABLE_DEPTH {
                    self.too_deep += 1;
                    return;
                }
            }
            Name::TableHead | Name::TableBody | Name::Row | Name::Cell | Name::HeadCell => {
                if self.too_deep > 0 || self.tables.is_empty() {
                    return;
                }
                self.close_cell();
            }
            Name::Item => self.close_same(Name::Item),
            _ if name.is_block() => self.close_paragraph(),
            _ => {}
        }
        let before = self.look;
        self.change_look(name);
        let marks =
            style::apply(attributes, &mut self.look, matches!(name, Name::Cell | Name::HeadCell));
        match name {
            Name::Table => self.tables.push(OpenTable {
                base: self.open.len(),
                look: before,
                ..OpenTable::default()
            }),
            Name::TableHead | Name::TableBody => {
                if let Some(table) = self.tables.last_mut() {
                    table.grid.end_row();
                    table.grid.head(name == Name::TableHead);
                }
                self.look = before;
                return;
            }
            Name::Row => {
                if let Some(table) = self.tables.last_mut() {
                    table.grid.begin_row();
                    // Rows carry a look for their cells; it ends with the table at the latest.
                    self.look = Look { hidden: table.look.hidden, ..table.look };
                    style::apply(attributes, &mut self.look, false);
                }
                return;
            }
            Name::Cell | Name::HeadCell => {
                if let Some(table) = self.tables.last_mut() {
                    table.grid.place(marks.colspan, marks.rowspan);
                    table.cell = Some((Vec::new(), name == Name::HeadCell));
                    table.cell_base = self.open.len();
                }
            }
            Name::Title => self.in_title = true,
            _ => {}
        }
        self.open.push(Open { name, before });
        if closed || self.open.len() > MAX_OPEN {
            self.pop_to(self.open.len() - 1);
            match name {
                Name::Cell | Name::HeadCell => self.close_cell(),
                Name::Table => self.close_table(),
                Name::Title => self.in_title = false,
                _ if name.is_block() => self.flush(),
                _ => {}
            }
        }
    }

    fn change_look(&mut self, name: Name) {
        match name {
            Name::Bold | Name::HeadCell => self.look.bold = true,
            Name::Italic => self.look.italic = true,
            Name::Underline => self.look.underlined = true,
            Name::Centre => self.look.centred = true,
            Name::Hidden | Name::Head => self.look.hidden = true,
            Name::Pre => self.look.pre = true,
            Name::Heading(level) => self.look.heading = level,
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if self.is_text {
            return;
        }
        let name = Name::of(name);
        match name {
            Name::Table => {
                self.flush();
                if self.too_deep > 0 {
                    self.too_deep -= 1;
                } else {
                    self.close_table();
                }
                return;
            }
            Name::TableHead | Name::TableBody | Name::Row | Name::Cell | Name::HeadCell => {
                self.flush();
                if self.too_deep > 0 || self.tables.is_empty() {
                    return;
                }
                if name == Name::Cell || name == Name::HeadCell {
                    self.close_cell();
                    return;
                }
                self.close_cell();
                if let Some(table) = self.tables.last_mut() {
                    table.grid.end_row();
                    if name == Name::TableHead {
                        table.grid.head(false);
                    }
                    self.look = table.look;
                }
                return;
            }
            Name::Title => self.in_title = false,
            _ => {}
        }
        if name.is_block() {
            self.flush();
        }
        let base = self.scope();
        let found =
            self.open[base..].iter().rev().take(END_REACH).position(|open| open.name == name);
        if let Some(above) = found {
            self.pop_to(self.open.len() - 1 - above);
        }
    }

    /// The first open element of the innermost cell or table.
    fn scope(&self) -> usize {
        self.tables
            .last()
            .map_or(0, |table| match table.cell {
                Some(_) => table.cell_base + 1,
                None => table.base + 1,
            })
            .min(self.open.len())
    }

    fn pop_to(&mut self, len: usize) {
        if let Some(open) = self.open.get(len) {
            self.look = open.before;
            self.open.truncate(len);
        }
    }

    /// A block ends the paragraph element it stands in.
    fn close_paragraph(&mut self) {
        self.close_same(Name::Paragraph);
    }

    fn close_same(&mut self, name: Name) {
        let base = self.scope();
        let found = self.open[base..]
            .iter()
            .rev()
            .take(END_REACH)
            .take_while(|open| open.name == name || !open.name.is_block())
            .position(|open| open.name == name);
        if let Some(above) = found {
            self.pop_to(self.open.len() - 1 - above);
        }
    }

    /// Ends the paragraph: what was gathered becomes a piece of the innermost flow.
    fn flush(&mut self) {
        if let Some(item) = self.paragraph.take() {
            match self.tables.last_mut() {
                Some(OpenTable { cell: Some((items, _)), .. }) => items.push(item),
                Some(table) => table.stray.push(item),
                None => self.items.push(item),
            }
        }
    }

    fn close_cell(&mut self) {
        self.flush();
        if let Some(table) = self.tables.last_mut()
            && let Some((items, is_header)) = table.cell.take()
        {
            table.grid.fill(items, is_header);
            let base = table.cell_base;
            self.pop_to(base);
        }
    }

    fn close_table(&mut self) {
        self.close_cell();
        let Some(table) = self.tables.pop() else { return };
        self.pop_to(table.base);
        self.look = table.look;
        let mut items = table.stray;
        items.extend(table.grid.finish());
        match self.tables.last_mut() {
            Some(OpenTable { cell: Some((outer, _)), .. }) => outer.extend(items),
            Some(outer) => outer.stray.extend(items),
            None => self.items.extend(items),
        }
    }

    fn finish(mut self) -> Html {
        self.flush();
        while !self.tables.is_empty() {
            self.close_table();
        }
        let title = self.title.map(|title| clean(&title)).filter(|title| !title.is_empty());
        Html { title, items: self.items }
    }
}

#[cfg(test)]
mod tests;
