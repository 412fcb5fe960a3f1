//! Do the pages of real filings say what a person reads there?

mod shared;

use quaestor_core::parsed::{BlockKind, PageState, ParsedPage, Table};
use quaestor_pdf::{Limits, PdfDocument, open};
use shared::folder;

fn document(name: &str) -> Option<PdfDocument> {
    let path = folder("filings/pdf")?.join(name);
    let bytes = std::fs::read(&path).expect("read the filing");
    Some(open(bytes, &Limits::default()).expect("open the filing"))
}

fn page(name: &str, number: usize) -> Option<ParsedPage> {
    document(name).map(|mut document| document.page(number - 1))
}

/// The table of a page and the line of its row that begins with a label.
fn row<'p>(page: &'p ParsedPage, label: &str) -> Option<(&'p Table, &'p str)> {
    page.blocks.iter().find_map(|block| {
        let BlockKind::Table(table) = &block.kind else { return None };
        table.rows.iter().find_map(|row| {
            let line = &page.text[row.span.start as usize..row.span.end as usize];
            line.starts_with(label).then_some((table, line))
        })
    })
}

/// A row's cells, and beside each the part of the header that names its column.
fn cells(page: &ParsedPage, label: &str) -> Vec<(String, String)> {
    let (table, line) =
        row(page, label).unwrap_or_else(|| panic!("a row {label:?} in\n{}", page.text));
    let header = table.header.first().cloned().unwrap_or_default();
    let names: Vec<&str> = header.split(" | ").collect();
    line.split(" | ")
        .enumerate()
        .map(|(at, cell)| (cell.to_owned(), names.get(at).copied().unwrap_or_default().to_owned()))
        .collect()
}

#[test]
fn apples_statement_of_operations_keeps_rows_and_periods() {
    let Some(page) = page("AAPL_10Q_2022Q3.pdf", 4) else { return };
    let sales = cells(&page, "Total net sales");
    assert_eq!(sales[1], ("82,959".to_owned(), "Three Months Ended June 25, 2022".to_owned()));
    assert_eq!(sales[4], ("282,457".to_owned(), "Nine Months Ended June 26, 2021".to_owned()));
    let diluted = cells(&page, "Diluted | $");
    assert_eq!(diluted[3], ("$4.82".to_owned(), "Nine Months Ended June 25, 2022".to_owned()));
    let (table, _) = row(&page, "Total net sales").expect("the row");
    assert!(
        table
            .caption
            .as_deref()
            .is_some_and(|caption| caption.contains("STATEMENTS OF OPERATIONS"))
    );
}

#[test]
fn nvidias_markets_keep_rows_and_periods() {
    let Some(page) = page("NVDA_10Q_2023Q3.pdf", 24) else { return };
    let data_center = cells(&page, "Data Center");
    assert_eq!(
        data_center[1],
        ("$14,514".to_owned(), "Three Months Ended October 29, 2023".to_owned())
    );
    assert_eq!(
        data_center[4],
        ("$11,389".to_owned(), "Nine Months Ended October 30, 2022".to_owned())
    );
}

#[test]
fn intels_charges_keep_their_signs() {
    let Some(page) = page("INTC_10Q_2023Q1.pdf", 6) else { return };
    let charges = cells(&page, "Restructuring and other charges");
    assert_eq!(charges[1], ("64".to_owned(), "Three Months Ended Apr 1, 2023".to_owned()));
    assert_eq!(charges[2].0, "(1,211)");
}

#[test]
fn microsofts_revenue_is_under_its_year() {
    let Some(page) = page("MSFT_10Q_2023Q3.pdf", 3) else { return };
    let revenue = cells(&page, "Total revenue");
    assert_eq!(revenue[1], ("56,517".to_owned(), "2023".to_owned()));
    let (table, _) = row(&page, "Total revenue").expect("the row");
    assert!(table.header[0].contains("Three Months Ended September 30,"));
}

#[test]
fn a_register_over_many_pages_keeps_its_header_on_each() {
    let Some(mut document) = document("CA_WARN_report_table.pdf") else { return };
    let pages: Vec<ParsedPage> =
        (0..document.page_count()).map(|index| document.page(index)).collect();
    let page = &pages[4];
    let line = page
        .text
        .lines()
        .find(|line| line.contains("AT&T") && line.contains("San Ramon"))
        .expect("the row of AT&T");
    assert_eq!(
        line,
        "09/11/2015 | 09/29/2015 | 09/14/2015 | AT&T | San Ramon | 219 | Layoff Permanent"
    );
    let (table, _) = row(page, "09/11/2015").expect("the table");
    assert!(table.header.first().is_some_and(|header| header.contains("Company")));
}

#[test]
fn every_page_of_the_filings_has_text_and_boxes() {
    let Some(folder) = folder("filings/pdf") else { return };
    for entry in std::fs::read_dir(folder).expect("list the filings") {
        let path = entry.expect("an entry").path();
        let mut document =
            open(std::fs::read(&path).expect("read"), &Limits::default()).expect("open");
        for index in 0..document.page_count() {
            let page = document.page(index);
            assert!(
                !matches!(page.state, PageState::Unreadable { .. }),
                "{} {index}",
                path.display()
            );
            let (width, height) = page.size_pt.expect("a size");
            let chars = page.text.chars().count();
            for word in &page.boxes {
                assert!(word.char_end as usize <= chars && word.char_start < word.char_end);
                assert!(
                    word.x1 > -5.0
                        && word.y1 > -5.0
                        && word.x0 < width + 5.0
                        && word.y0 < height + 5.0
                );
            }
        }
    }
}
