//! What is promised of HTML?

use quaestor_core::parsed::{BlockKind, ParsedPage};

use super::*;

fn page(html: &str) -> ParsedPage {
    let mut paper = Paper::new(1 << 24);
    read(html).write(&mut paper);
    paper.finish(None, None).unwrap()
}

#[test]
fn inline_xbrl_is_unwrapped_and_hidden_parts_are_dropped() {
    let page = page(
        "<html><head><title>A &amp; B</title><style>p{}</style></head><body>\
         <div style='display:none'><ix:header><ix:hidden>secret</ix:hidden></ix:header></div>\
         <p>Sales were <ix:nonFraction name='x'>66,613</ix:nonFraction> million.</p>\
         <script>var a = '<p>no</p>';</script></body></html>",
    );
    assert_eq!(page.text, "Sales were 66,613 million.");
}

#[test]
fn layout_tables_dissolve_and_data_tables_become_lines() {
    let page = page(
        "<table><tr><td><table>\
         <tr><td></td><td colspan=2><b>2024</b></td><td colspan=2><b>2023</b></td></tr>\
         <tr><td>Cash</td><td>$</td><td>1,200</td><td>$</td><td>1,100</td></tr>\
         <tr><td>Debt</td><td></td><td>(300</td><td></td><td>(250</td><td>)</td></tr></table></td></tr></table>\
         <table><tr><td>•</td><td>First point</td></tr><tr><td>•</td><td>Second</td></tr></table>",
    );
    assert_eq!(
        page.text,
        "| 2024 | 2023\nCash | $1,200 | $1,100\nDebt | (300 | (250)\n\n• First point\n\n• Second"
    );
}

#[test]
fn bold_lines_and_items_are_headings() {
    let page = page(
        "<p align=center><b>PART I</b><p><b>Item 7.</b> &nbsp;<b>Discussion</b></p>\
         <div style='font-weight:700'>Overview</div><p>Text that goes on.</p>",
    );
    let levels: Vec<_> = page
        .blocks
        .iter()
        .map(|block| match block.kind {
            BlockKind::Heading { level } => level,
            _ => 0,
        })
        .collect();
    assert_eq!(levels, [1, 2, 4, 0]);
}

#[test]
fn a_row_that_spans_rows_keeps_the_columns_below_it() {
    let page = page(
        "<table><tr><th rowspan=2>Fund</th><th colspan=2>Return</th></tr>\
         <tr><th>1 year</th><th>5 years</th></tr><tr><td>A</td><td>5.0%</td><td>20.1%</td></tr></table>",
    );
    let BlockKind::Table(table) = &page.blocks[0].kind else { panic!("no table") };
    assert_eq!(table.header, ["Fund | Return 1 year | Return 5 years"]);
}

#[test]
fn deep_nesting_and_broken_tags_do_no_harm() {
    for piece in ["<div>", "<table><tr><td>", "<b>", "<p><i>", "</div>", "<td>", "<ul><li>"] {
        let html = format!("{}text", piece.repeat(100_000));
        assert!(page(&html).text.contains("text"), "{piece}");
    }
}
