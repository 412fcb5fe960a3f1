//! A workbook: a sheet for each document, its tables one below the other. Text is written as
//! text and numbers as numbers; nothing is ever written as a formula.

use std::collections::HashSet;

use quaestor_core::ids::DocumentId;
use quaestor_core::problem::Problem;
use rust_xlsxwriter::{
    DocProperties, ExcelDateTime, Format, Workbook as Book, Worksheet, XlsxError,
};

use crate::cell::{Number, number};
use crate::part::{Cover, Part, TableHead};
use crate::render::{Render, out_of_order};
use crate::text::{clean, line};
use crate::view;

/// A sheet of a workbook has no more rows.
const ROWS_MAX: u32 = 1_048_576;
/// Nor more columns.
const COLUMNS_MAX: usize = 16_384;
/// A cell holds no more UTF-16 units.
const CELL_MAX: usize = 32_767;
/// A sheet's name has no more characters.
const NAME_MAX: usize = 31;
/// More cells than this are read by programs, not by people: a workbook is held in memory.
const CELLS_MAX: u64 = 2_000_000;
/// More sheets than this nobody finds his way in.
const SHEETS_MAX: usize = 2_000;

/// Writes a workbook.
pub(crate) struct Workbook {
    book: Book,
    names: HashSet<String>,
    document: Option<DocumentId>,
    row: u32,
    cells: u64,
    formats: Formats,
}

#[derive(Debug)]
struct Formats {
    title: Format,
    heading: Format,
    quiet: Format,
    header: Format,
}

impl Default for Workbook {
    fn default() -> Self {
        Self {
            book: Book::new(),
            names: HashSet::new(),
            document: None,
            row: 0,
            cells: 0,
            formats: Formats {
                title: Format::new().set_bold().set_font_size(16),
                heading: Format::new().set_bold(),
                quiet: Format::new().set_font_color(0x5b_68_75),
                header: Format::new().set_bold().set_background_color(0xee_f2_f6),
            },
        }
    }
}

impl Render for Workbook {
    fn part(&mut self, part: Part, _out: &mut Vec<u8>) -> Result<(), Problem> {
        match part {
            Part::Cover(cover) => self.cover(&cover).map_err(failed),
            Part::Turn(_) => Err(out_of_order("answers are no tables")),
            Part::Table(table) => self.table(&table),
            Part::Rows(rows) => rows.iter().try_for_each(|row| self.row(row, false)),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        *out = self.book.save_to_buffer().map_err(failed)?;
        Ok(())
    }
}

impl Workbook {
    fn cover(&mut self, cover: &Cover) -> Result<(), XlsxError> {
        let view = view::cover(cover);
        let made = ExcelDateTime::from_timestamp(cover.created_at.timestamp())?;
        self.book.set_properties(
            &DocProperties::new()
                .set_title(&view.title)
                .set_author(&view.asker)
                .set_creation_datetime(&made),
        );
        self.names.insert("about".to_owned());
        let sheet = self.book.add_worksheet().set_name("About")?;
        sheet.set_column_width(0, 22)?;
        sheet.set_column_width(1, 90)?;
        sheet.write_string_with_format(0, 0, fitting(&view.title), &self.formats.title)?;
        sheet.write_string_with_format(1, 0, view.about, &self.formats.quiet)?;
        let mut row = 3;
        for fact in &view.facts {
            sheet.write_string_with_format(row, 0, fact.name, &self.formats.quiet)?;
            for line in &fact.lines {
                sheet.write_string(row, 1, fitting(line))?;
                row += 1;
            }
        }
        sheet.write_string_with_format(row + 1, 0, view.remark, &self.formats.quiet)?;
        Ok(())
    }

    fn table(&mut self, table: &TableHead) -> Result<(), Problem> {
        if self.document != Some(table.document_id) {
            if self.names.len() > SHEETS_MAX {
                return Err(too_large(&format!(
                    "it has tables of more than {SHEETS_MAX} documents"
                )));
            }
            let name = sheet_name(&table.filename, &mut self.names);
            let sheet = self.book.add_worksheet().set_name(name).map_err(failed)?;
            sheet.set_column_width(0, 40).map_err(failed)?;
            (self.document, self.row) = (Some(table.document_id), 0);
        } else {
            self.row += 1;
        }
        let title = view::table_title(table);
        let title = if title.is_empty() { format!("Table {}", table.number) } else { title };
        self.line(&title, |formats| &formats.heading)?;
        self.line(&view::table_place(table), |formats| &formats.quiet)?;
        table.header.iter().try_for_each(|row| self.row(row, true))
    }

    fn line(&mut self, text: &str, format: fn(&Formats) -> &Format) -> Result<(), Problem> {
        self.room(1)?;
        let Self { book, row, formats, .. } = self;
        let sheet = last(book)?;
        sheet.write_string_with_format(*row, 0, fitting(text), format(formats)).map_err(failed)?;
        *row += 1;
        Ok(())
    }

    fn row(&mut self, cells: &[String], is_header: bool) -> Result<(), Problem> {
        self.room(cells.len())?;
        let Self { book, row, formats, .. } = self;
        let sheet = last(book)?;
        for (column, cell) in (0_u16..).zip(cells) {
            let written = match number(cell) {
                _ if cell.is_empty() => continue,
                Some(read) if !is_header => sheet.write_number_with_format(
                    *row,
                    column,
                    read.value,
                    &Format::new().set_num_format(number_format(&read)),
                ),
                _ if is_header => sheet.write_string_with_format(
                    *row,
                    column,
                    fitting(&clean(cell)),
                    &formats.header,
                ),
                _ => sheet.write_string(*row, column, fitting(&clean(cell))),
            };
            written.map_err(failed)?;
        }
        *row += 1;
        Ok(())
    }

    fn room(&mut self, cells: usize) -> Result<(), Problem> {
        self.cells += cells as u64;
        if self.cells > CELLS_MAX {
            return Err(too_large(&format!("it has more than {CELLS_MAX} cells")));
        }
        if self.row >= ROWS_MAX || cells > COLUMNS_MAX {
            return Err(too_large("a sheet of a workbook does not hold one of its documents"));
        }
        Ok(())
    }
}

fn last(book: &mut Book) -> Result<&mut Worksheet, Problem> {
    let newest = book.worksheets().len().checked_sub(1);
    newest
        .and_then(|place| book.worksheet_from_index(place).ok())
        .ok_or_else(|| out_of_order("rows came before their table"))
}

/// How a number is shown as the document writes it.
fn number_format(number: &Number) -> String {
    let mut format = if number.grouped { "#,##0".to_owned() } else { "0".to_owned() };
    if number.decimals > 0 {
        format.push('.');
        format.push_str(&"0".repeat(number.decimals));
    }
    if number.percent {
        format.push('%');
    }
    if number.dollar {
        format.insert_str(0, "\"$\"");
    }
    if number.bracketed { format!("{format};({format})") } else { format }
}

/// A name that a sheet may have and no other has.
fn sheet_name(filename: &str, taken: &mut HashSet<String>) -> String {
    let plain: String = line(filename)
        .chars()
        .map(|c| if matches!(c, '[' | ']' | ':' | '*' | '?' | '/' | '\\') { '_' } else { c })
        .collect();
    let plain = plain.trim_matches(['\'', ' ']);
    let plain = if plain.is_empty() { "Document" } else { plain };
    for copy in 1_u64.. {
        let end = if copy == 1 { String::new() } else { format!(" ({copy})") };
        // The limit counts UTF-16 units.
        let mut name = String::new();
        let mut room = NAME_MAX.saturating_sub(end.len());
        for c in plain.chars() {
            room = match room.checked_sub(c.len_utf16()) {
                Some(room) => room,
                None => break,
            };
            name.push(c);
        }
        let name = format!("{}{end}", name.trim_end_matches(['\'', ' ']));
        // Excel keeps this name for itself.
        let reserved = name.eq_ignore_ascii_case("history");
        if !reserved && taken.insert(name.to_lowercase()) {
            return name;
        }
    }
    plain.to_owned()
}

/// Text that a cell can hold; what is cut off is told.
fn fitting(text: &str) -> String {
    const CUT: &str = " […]";
    if text.encode_utf16().count() <= CELL_MAX {
        return text.to_owned();
    }
    let mut room = CELL_MAX - CUT.encode_utf16().count();
    let mut kept = String::new();
    for c in text.chars() {
        room = match room.checked_sub(c.len_utf16()) {
            Some(room) => room,
            None => break,
        };
        kept.push(c);
    }
    kept + CUT
}

fn too_large(what: &str) -> Problem {
    Problem::new(
        "export_too_large",
        "The export is too large for its format",
        format!("{what}; export it as csv or json, or fewer documents at a time"),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err")]
fn failed(error: XlsxError) -> Problem {
    out_of_order(&format!("the workbook cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_have_names_that_excel_takes() {
        let mut taken = HashSet::new();
        assert_eq!(sheet_name("a/b:c.xlsx", &mut taken), "a_b_c.xlsx");
        assert_eq!(sheet_name("A/B:C.XLSX", &mut taken), "A_B_C.XLSX (2)");
        assert_eq!(sheet_name("'x'", &mut taken), "x");
        assert_eq!(sheet_name("  ", &mut taken), "Document");
        assert_eq!(sheet_name("History", &mut taken), "History (2)");
        assert_eq!(sheet_name(&"y".repeat(40), &mut taken).len(), 31);
        assert!(sheet_name(&"y".repeat(40), &mut taken).ends_with(" (2)"));
    }

    #[test]
    fn a_number_looks_as_the_document_writes_it() {
        let shown = |text| number_format(&number(text).unwrap());
        assert_eq!(shown("1,234.50"), "#,##0.00");
        assert_eq!(shown("2025"), "0");
        assert_eq!(shown("8.5%"), "0.0%");
        assert_eq!(shown("(1,234)"), "#,##0;(#,##0)");
        assert_eq!(shown("$ 94,036"), "\"$\"#,##0");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let cut = fitting(&"x".repeat(40_000));
        assert!(cut.ends_with(" […]") && cut.encode_utf16().count() == CELL_MAX);
    }
}
