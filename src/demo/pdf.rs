//! How do headings, paragraphs and tables become pages of a PDF?

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

/// A4 in points.
const PAGE: (f32, f32) = (595.0, 842.0);
const MARGIN: f32 = 64.0;
const REGULAR: Font = Font { name: b"F1", widths: &HELVETICA };
const BOLD: Font = Font { name: b"F2", widths: &HELVETICA_BOLD };

#[derive(Clone, Copy)]
struct Font {
    name: &'static [u8],
    widths: &'static [u16; 95],
}

impl Font {
    /// The width of a line of ASCII text in points.
    fn width(self, text: &str, size: f32) -> f32 {
        let units: u32 = text
            .bytes()
            .map(|byte| {
                u32::from(*self.widths.get(usize::from(byte).wrapping_sub(32)).unwrap_or(&556))
            })
            .sum();
        // Thousandths of the size; a line has few enough to be exact.
        units as f32 * size / 1_000.0
    }
}

/// A table: groups of columns above the columns, then rows. The first column is text and
/// stands left, the others are numbers and stand right.
pub(super) struct Table<'a> {
    /// The right edges of the columns, in points from the left margin.
    pub(super) columns: &'a [f32],
    /// What stands above several columns: its text, the first and the last of them.
    pub(super) groups: &'a [(&'a str, usize, usize)],
    /// What stands above each column.
    pub(super) heads: &'a [&'a str],
    /// The rows; the last one is set apart as a total where asked for.
    pub(super) rows: &'a [Vec<String>],
    /// Whether the last row is a total.
    pub(super) has_total: bool,
}

/// A document that grows from top to bottom. ASCII only.
pub(super) struct Paper {
    title: &'static str,
    pages: Vec<Content>,
    y: f32,
}

impl Paper {
    /// A document with an empty first page.
    pub(super) fn new(title: &'static str) -> Self {
        let mut paper = Self { title, pages: Vec::new(), y: 0.0 };
        paper.page();
        paper
    }

    /// Begins the next page, with its footer.
    pub(super) fn page(&mut self) {
        self.pages.push(Content::new());
        let footer = format!("{}  -  page {}", self.title, self.pages.len());
        self.y = PAGE.1 - MARGIN;
        self.text(REGULAR, 8.0, (MARGIN, 36.0), &footer);
    }

    /// A heading of a section.
    pub(super) fn heading(&mut self, text: &str) {
        self.y -= 26.0;
        self.text(BOLD, 15.0, (MARGIN, self.y), text);
        self.y -= 8.0;
    }

    /// The title of the document.
    pub(super) fn title(&mut self, text: &str, below: &str) {
        self.y -= 30.0;
        self.text(BOLD, 22.0, (MARGIN, self.y), text);
        self.y -= 22.0;
        self.text(REGULAR, 12.0, (MARGIN, self.y), below);
        self.y -= 10.0;
    }

    /// A paragraph, broken into lines.
    pub(super) fn paragraph(&mut self, text: &str) {
        self.y -= 8.0;
        let room = PAGE.0 - 2.0 * MARGIN;
        let mut line = String::new();
        for word in text.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if REGULAR.width(&longer, 10.5) > room {
                self.line(&line);
                word.clone_into(&mut line);
            } else {
                line = longer;
            }
        }
        self.line(&line);
    }

    fn line(&mut self, text: &str) {
        self.y -= 14.5;
        self.text(REGULAR, 10.5, (MARGIN, self.y), text);
    }

    /// A table, with rules above, under its head and below.
    pub(super) fn table(&mut self, table: &Table<'_>) {
        const SIZE: f32 = 9.5;
        let right = MARGIN + table.columns.last().copied().unwrap_or(0.0);
        self.y -= 14.0;
        self.rule(MARGIN, right, 1.0);
        if !table.groups.is_empty() {
            self.y -= 14.0;
            for (text, first, last) in table.groups {
                let (from, to) = (self.column_start(table, *first), MARGIN + table.columns[*last]);
                let x = f32::midpoint(from, to) - BOLD.width(text, SIZE) / 2.0;
                self.text(BOLD, SIZE, (x, self.y), text);
                self.y -= 4.0;
                self.rule(from, to, 0.5);
                self.y += 4.0;
            }
            self.y -= 4.0;
        }
        self.y -= 13.0;
        self.row(table, BOLD, SIZE, table.heads.iter().copied());
        self.y -= 5.0;
        self.rule(MARGIN, right, 0.5);
        for (index, row) in table.rows.iter().enumerate() {
            let is_total = table.has_total && index + 1 == table.rows.len();
            if is_total {
                self.y -= 5.0;
                self.rule(MARGIN, right, 0.5);
            }
            self.y -= 14.0;
            let font = if is_total { BOLD } else { REGULAR };
            self.row(table, font, SIZE, row.iter().map(String::as_str));
        }
        self.y -= 6.0;
        self.rule(MARGIN, right, 1.0);
        self.y -= 8.0;
    }

    fn column_start(&self, table: &Table<'_>, column: usize) -> f32 {
        let before = column.checked_sub(1).map_or(0.0, |left| table.columns[left]);
        MARGIN + before + 10.0
    }

    fn row<'t>(
        &mut self,
        table: &Table<'_>,
        font: Font,
        size: f32,
        cells: impl Iterator<Item = &'t str>,
    ) {
        for (index, cell) in cells.enumerate() {
            let x = match index {
                0 => MARGIN,
                _ => MARGIN + table.columns[index] - font.width(cell, size),
            };
            self.text(font, size, (x, self.y), cell);
        }
    }

    fn text(&mut self, font: Font, size: f32, (x, y): (f32, f32), text: &str) {
        if let Some(content) = self.pages.last_mut() {
            content.begin_text();
            content.set_font(Name(font.name), size);
            content.next_line(x, y);
            content.show(Str(text.as_bytes()));
            content.end_text();
        }
    }

    fn rule(&mut self, from: f32, to: f32, thickness: f32) {
        if let Some(content) = self.pages.last_mut() {
            content.set_line_width(thickness);
            content.move_to(from, self.y);
            content.line_to(to, self.y);
            content.stroke();
        }
    }

    /// The file. The same calls give the same bytes: no date and no id stand in it.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut next = 0;
        let mut fresh = || {
            next += 1;
            Ref::new(next)
        };
        let (catalog, tree, regular, bold) = (fresh(), fresh(), fresh(), fresh());
        let ids: Vec<(Ref, Ref)> = self.pages.iter().map(|_| (fresh(), fresh())).collect();
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(tree);
        let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
        pdf.pages(tree).kids(ids.iter().map(|(page, _)| *page)).count(count);
        for ((page_id, content_id), content) in ids.into_iter().zip(self.pages) {
            let mut page = pdf.page(page_id);
            page.media_box(Rect::new(0.0, 0.0, PAGE.0, PAGE.1));
            page.parent(tree);
            page.contents(content_id);
            let mut resources = page.resources();
            let mut fonts = resources.fonts();
            fonts.pair(Name(REGULAR.name), regular);
            fonts.pair(Name(BOLD.name), bold);
            fonts.finish();
            resources.finish();
            page.finish();
            pdf.stream(content_id, &content.finish());
        }
        for (id, name) in [(regular, &b"Helvetica"[..]), (bold, b"Helvetica-Bold")] {
            pdf.type1_font(id).base_font(Name(name)).encoding_predefined(Name(b"WinAnsiEncoding"));
        }
        pdf.finish()
    }
}

/// Widths of the characters from space to tilde, in thousandths of the size (Adobe's core
/// font metrics).
#[rustfmt::skip]
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

#[rustfmt::skip]
const HELVETICA_BOLD: [u16; 95] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611,
    975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556,
    333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611,
    611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
];
