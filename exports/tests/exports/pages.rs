//! Long reports: they are laid out in parts, and read as one.

use quaestor_core::model::ExportFormat;
use quaestor_exports::part::About;

use crate::support::{cover, dense, pages_of, turn, write};

fn long_report(turns: usize) -> Vec<u8> {
    let words = "Total net sales rose 8 percent. ".repeat(60);
    let turns = (0..turns).map(|number| turn(&format!("<{number}> {words}")));
    let parts = std::iter::once(cover(About::Answers, "Net sales")).chain(turns).collect();
    write(ExportFormat::Pdf, parts)
}

#[test]
fn a_long_report_is_numbered_throughout_and_misses_nothing() {
    // About 8 kB each, and a part has 256.
    let turns = 80;
    let bytes = long_report(turns);
    assert_eq!(bytes, long_report(turns), "not the same bytes twice");
    let pages = pages_of("x.pdf", bytes);
    let count = pages.len();
    assert!(count > turns / 2, "{count} pages");
    for (number, page) in (1..).zip(&pages) {
        let footer = format!("{number}/{count}");
        assert_eq!(dense(page).ends_with(&footer), number > 1, "page {number}: {page}");
    }
    let text = dense(&pages.join("\n"));
    assert_eq!(text.matches("Figureschecked").count(), 1, "one title page");
    let mut from = 0;
    for number in 0..turns {
        let mark = format!("<{number}>");
        let at = text[from..].find(&mark);
        assert!(at.is_some(), "turn {number} is missing, or before the one before it");
        from += at.unwrap();
    }
}

#[test]
fn a_report_without_a_turn_is_its_title_page() {
    let bytes = write(ExportFormat::Pdf, vec![cover(About::Answers, "Net sales")]);
    let pages = pages_of("x.pdf", bytes);
    assert!(dense(&pages[0]).contains("Figureschecked"), "{pages:?}");
}
