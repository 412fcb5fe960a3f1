//! How does a workbook become pages, one for each sheet?

mod cell;
mod regions;
mod salvage;

use std::collections::HashMap;
use std::io::Cursor;

use calamine::{Data, DataRef, Ods, Range, Reader, SheetVisible, Xls, Xlsb, Xlsx};
use quaestor_core::problem::Problem;

use crate::archive::Archive;
use crate::limits::Limits;
use crate::media::Workbook;
use crate::office::odt::is_encrypted;
use crate::paper::Paper;
use crate::refusal;
use crate::sink::Sink;
use regions::Cell;

/// How many times larger than its cells the rectangle around them may be: a reader that
/// keeps the rectangle is not asked to.
const MAX_SPARSENESS: u64 = 64;

/// Reads a workbook, sheet by sheet. Hidden sheets are read too: their figures feed the
/// visible ones.
pub(crate) fn parse(
    bytes: &[u8],
    kind: Workbook,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), Problem> {
    if kind != Workbook::Xls {
        let mut archive = Archive::open(bytes, limits)?;
        archive.check_sizes()?;
        if kind == Workbook::Ods
            && let Some(manifest) = archive.part("META-INF/manifest.xml")?
            && is_encrypted(&manifest)?
        {
            return Err(refusal::encrypted());
        }
        if kind == Workbook::Xlsx
            && let Some(title) = crate::office::title(&mut archive, "docProps/core.xml")?
        {
            sink.title(&title)?;
        }
    }
    let mut pages =
        Pages { limits, sink, cells: limits.cells, text: limits.text_bytes, n: 0, unreadable: 0 };
    match kind {
        Workbook::Xlsx => {
            let read = read_xlsx(bytes, &mut pages);
            let damaged = matches!(&read, Err(problem) if problem.code == refusal::DAMAGED);
            if damaged || (read.is_ok() && pages.unreadable == pages.n) {
                let mut archive = Archive::open(bytes, limits)?;
                if salvage::read(&mut archive, &mut pages)? > 0 {
                    return Ok(());
                }
            }
            read?;
        }
        Workbook::Xlsb => {
            let book =
                Xlsb::new(Cursor::new(bytes)).map_err(|error| problem(&error.to_string()))?;
            read_ranges(book, &mut pages)?;
        }
        Workbook::Xls => {
            let book = Xls::new(Cursor::new(bytes)).map_err(|error| match error {
                calamine::XlsError::Password => refusal::encrypted(),
                error => problem(&error.to_string()),
            })?;
            read_ranges(book, &mut pages)?;
        }
        Workbook::Ods => {
            let book = Ods::new(Cursor::new(bytes)).map_err(|error| match error {
                calamine::OdsError::Password => refusal::encrypted(),
                error => problem(&error.to_string()),
            })?;
            read_ranges(book, &mut pages)?;
        }
    }
    if pages.n == 0 || pages.unreadable == pages.n {
        return Err(refusal::damaged("no sheet of the workbook can be read"));
    }
    Ok(())
}

/// What a reader says about a workbook it cannot open. Its words are for programmers.
fn problem(message: &str) -> Problem {
    if message.to_lowercase().contains("password") {
        return refusal::encrypted();
    }
    refusal::damaged("the workbook cannot be read")
}

/// Where sheets go, and what is left of the limits.
struct Pages<'a> {
    limits: &'a Limits,
    sink: &'a mut dyn Sink,
    cells: u64,
    text: u64,
    n: u32,
    unreadable: u32,
}

impl Pages<'_> {
    fn count(&mut self, n: u64) -> Result<(), Problem> {
        self.cells = self.cells.checked_sub(n).ok_or_else(|| {
            refusal::limit_reached(&format!(
                "the workbook has more than {} cells with a value",
                self.limits.cells
            ))
        })?;
        Ok(())
    }

    fn sheet(
        &mut self,
        name: &str,
        cells: Vec<Cell>,
        widths: &HashMap<(u32, u32), u32>,
    ) -> Result<(), Problem> {
        self.n += 1;
        if self.n > self.limits.pages {
            return Err(refusal::limit_reached(&format!(
                "the workbook has more than {} sheets",
                self.limits.pages
            )));
        }
        let mut paper = Paper::new(self.text);
        regions::write(&mut paper, cells, widths);
        let page = paper.finish(Some(self.n), Some(name.to_owned()))?;
        self.text = self.text.saturating_sub(page.text.len() as u64);
        self.sink.page(page)
    }

    fn unreadable(&mut self, name: &str) -> Result<(), Problem> {
        self.unreadable += 1;
        self.n += 1;
        let mut page = Paper::new(0).finish(Some(self.n), Some(name.to_owned()))?;
        page.state = quaestor_core::parsed::PageState::Unreadable {
            reason: "the sheet is damaged and could not be read".to_owned(),
        };
        self.sink.page(page)
    }
}

/// The row and column of a cell's address, from 0: `B7` is row 6, column 1.
fn address(a1: &str) -> Option<(u32, u32)> {
    let letters = a1.bytes().take_while(u8::is_ascii_alphabetic).count();
    let row: u32 = a1.get(letters..)?.parse().ok()?;
    let column = a1[..letters].bytes().try_fold(0_u32, |column, letter| {
        let digit = u32::from(letter.to_ascii_uppercase() - b'A') + 1;
        column.checked_mul(26)?.checked_add(digit)
    })?;
    Some((row.checked_sub(1)?, column.checked_sub(1)?))
}

fn read_xlsx(bytes: &[u8], pages: &mut Pages<'_>) -> Result<(), Problem> {
    let mut book = Xlsx::new(Cursor::new(bytes)).map_err(|error| match error {
        calamine::XlsxError::Password => refusal::encrypted(),
        error => problem(&error.to_string()),
    })?;
    for name in book.sheet_names() {
        let mut widths = HashMap::new();
        #[expect(deprecated, reason = "the new name reads every sheet's merged cells at once")]
        if let Some(Ok(merged)) = book.worksheet_merge_cells(&name) {
            for area in merged.into_iter().take(100_000) {
                let width = area.end.1.saturating_sub(area.start.1) + 1;
                widths.insert(area.start, width.min(crate::table::MAX_COLUMNS));
            }
        }
        let mut cells = Vec::new();
        let Ok(mut reader) = book.worksheet_cells_reader(&name) else {
            // A sheet that is only a chart has no cells and is no damage.
            continue;
        };
        let mut broken = false;
        loop {
            match reader.next_cell_with_style_id() {
                Ok(Some((cell, style))) => {
                    let value = cell.get_value();
                    if matches!(value, DataRef::Empty) {
                        continue;
                    }
                    pages.count(1)?;
                    let style = reader.styles().get(style);
                    let format = style
                        .and_then(|style| style.number_format.as_ref())
                        .map(|format| format.format_code.as_str());
                    let bold = style
                        .and_then(|style| style.font.as_ref())
                        .is_some_and(|font| font.is_bold());
                    let text = cell::show(value, format);
                    let (row, column) = cell.get_position();
                    if !text.is_empty() {
                        cells.push(Cell { row, column, text, bold });
                    }
                }
                Ok(None) => break,
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        drop(reader);
        if broken && cells.is_empty() {
            pages.unreadable(&name)?;
            continue;
        }
        if broken {
            pages.sink.warn(format!("sheet {name} breaks off: what comes after is missing"));
        }
        // Rows may come in any order in a file.
        cells.sort_by_key(|cell| (cell.row, cell.column));
        pages.sheet(&name, cells, &widths)?;
    }
    Ok(())
}

/// Reads the formats whose reader keeps the whole rectangle of a sheet.
fn read_ranges<'a, R>(mut book: R, pages: &mut Pages<'_>) -> Result<(), Problem>
where
    R: Reader<Cursor<&'a [u8]>>,
{
    let sheets: Vec<(String, SheetVisible)> =
        book.sheets_metadata().iter().map(|sheet| (sheet.name.clone(), sheet.visible)).collect();
    for (name, _) in sheets {
        let Ok(range) = book.worksheet_range(&name) else {
            pages.unreadable(&name)?;
            continue;
        };
        let (height, width) = range.get_size();
        let area = height as u64 * width as u64;
        if area > pages.limits.cells.saturating_mul(MAX_SPARSENESS) {
            return Err(refusal::limit_reached("a sheet of the workbook is too large"));
        }
        let cells = cells_of(&range, pages)?;
        pages.sheet(&name, cells, &HashMap::new())?;
    }
    Ok(())
}

fn cells_of(range: &Range<Data>, pages: &mut Pages<'_>) -> Result<Vec<Cell>, Problem> {
    let mut cells = Vec::new();
    let Some((top, left)) = range.start() else { return Ok(cells) };
    for (row, column, value) in range.used_cells() {
        pages.count(1)?;
        let text = match value {
            Data::String(text) => cell::show(&DataRef::SharedString(text), None),
            Data::Int(n) => cell::show(&DataRef::Int(*n), None),
            Data::Float(n) => cell::show(&DataRef::Float(*n), None),
            Data::Bool(b) => cell::show(&DataRef::Bool(*b), None),
            Data::DateTime(date) => cell::show(&DataRef::DateTime(*date), None),
            Data::DateTimeIso(text) | Data::DurationIso(text) => text.replace('T', " "),
            Data::Error(error) => error.to_string(),
            Data::Empty => String::new(),
        };
        if !text.is_empty() {
            let at =
                |base: u32, n: usize| base.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
            cells.push(Cell { row: at(top, row), column: at(left, column), text, bold: false });
        }
    }
    Ok(cells)
}
