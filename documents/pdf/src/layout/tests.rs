//! Are pages of made-up words read as a person would read them?

use proptest::prelude::*;
use quaestor_core::parsed::{BlockKind, Table};

use super::{OpenTable, PageText, read};
use crate::content::words::{Direction, PageWords, Rule, Word};

/// Half the height of the text: the width of a letter in these tests.
const LETTER: f32 = 5.0;

/// Puts text on a page: words parted by one blank, from `x` on, on the baseline `y`.
fn put(page: &mut PageWords, x: f32, y: f32, text: &str) {
    put_styled(page, x, y, 10.0, false, text);
}

fn put_styled(page: &mut PageWords, x: f32, y: f32, size: f32, bold: bool, text: &str) {
    let mut at = x;
    for word in text.split(' ') {
        let width = LETTER * size / 10.0 * word.chars().count() as f32;
        let start = page.text.len();
        page.text.push_str(word);
        page.words.push(Word {
            x0: at,
            x1: at + width,
            base: y,
            size,
            ascent: 0.8 * size,
            descent: 0.2 * size,
            bold,
            direction: Direction::Right,
            space_before: at > x,
            start,
            end: page.text.len(),
        });
        at += width + 3.0;
    }
}

/// Like [`put`], but ending at `right`.
fn put_right(page: &mut PageWords, right: f32, y: f32, text: &str) {
    let width = LETTER * text.replace(' ', "").chars().count() as f32
        + 3.0 * text.matches(' ').count() as f32;
    put(page, right - width, y, text);
}

fn put_centred(page: &mut PageWords, middle: f32, y: f32, text: &str) {
    let width = LETTER * text.replace(' ', "").chars().count() as f32
        + 3.0 * text.matches(' ').count() as f32;
    put(page, middle - 0.5 * width, y, text);
}

fn tables(page: &PageText) -> Vec<&Table> {
    page.blocks
        .iter()
        .filter_map(
            |block| if let BlockKind::Table(table) = &block.kind { Some(table) } else { None },
        )
        .collect()
}

/// The lines of the only table.
fn lines(page: &PageText) -> Vec<&str> {
    tables(page)[0]
        .rows
        .iter()
        .map(|row| &page.text[row.span.start as usize..row.span.end as usize])
        .collect()
}

/// A statement with two groups of two columns; right edges at 300, 360, 430 and 490.
fn statement() -> PageWords {
    let mut page = PageWords::default();
    put_styled(&mut page, 197.0, 40.0, 10.0, true, "STATEMENTS OF OPERATIONS");
    put_centred(&mut page, 255.0, 53.0, "(In millions)");
    put_centred(&mut page, 310.0, 70.0, "Three Months Ended");
    put_centred(&mut page, 440.0, 70.0, "Nine Months Ended");
    for (right, year) in [(300.0, "2022"), (360.0, "2021"), (430.0, "2022"), (490.0, "2021")] {
        put_right(&mut page, right, 82.0, year);
    }
    put(&mut page, 20.0, 94.0, "Net sales:");
    let rows = [
        ("Products", ["63,355", "63,948", "245,241", "232,309"]),
        ("Services", ["19,604", "17,486", "58,941", "50,148"]),
        ("Other, net", ["(10)", "—", "(97)", "796"]),
    ];
    for (index, (label, values)) in rows.iter().enumerate() {
        let y = 106.0 + 12.0 * index as f32;
        put(&mut page, 25.0, y, label);
        for (right, value) in [300.0, 360.0, 430.0, 490.0].iter().zip(values) {
            if index == 0 {
                put(&mut page, right - 52.0, y, "$");
            }
            put_right(&mut page, *right, y, value);
        }
    }
    page
}

#[test]
fn a_statement_gives_rows_with_glued_signs() {
    let page = read(&statement(), None);
    assert_eq!(
        lines(&page),
        [
            " | Three Months Ended |  | Nine Months Ended",
            " | 2022 | 2021 | 2022 | 2021",
            "Net sales:",
            "Products | $63,355 | $63,948 | $245,241 | $232,309",
            "Services | 19,604 | 17,486 | 58,941 | 50,148",
            "Other, net | (10) | — | (97) | 796",
        ]
    );
}

#[test]
fn a_heading_over_several_columns_names_each_of_them() {
    let page = read(&statement(), None);
    let table = tables(&page)[0];
    assert_eq!(
        table.header,
        [
            " | Three Months Ended 2022 | Three Months Ended 2021 | Nine Months Ended 2022 | Nine Months Ended 2021"
        ]
    );
    let caption = table.caption.as_deref().unwrap_or_default();
    assert!(
        caption.contains("STATEMENTS OF OPERATIONS") && caption.contains("(In millions)"),
        "{caption}"
    );
    assert_eq!(table.rows.iter().filter(|row| row.is_header).count(), 2);
}

#[test]
fn an_empty_cell_keeps_its_column() {
    let mut page = PageWords::default();
    for (index, (label, one, two)) in
        [("Cash", "10", "20"), ("Debt", "", "30"), ("Stock", "40", "50")].iter().enumerate()
    {
        let y = 50.0 + 12.0 * index as f32;
        put(&mut page, 20.0, y, label);
        if !one.is_empty() {
            put_right(&mut page, 200.0, y, one);
        }
        put_right(&mut page, 300.0, y, two);
    }
    assert_eq!(lines(&read(&page, None)), ["Cash | 10 | 20", "Debt |  | 30", "Stock | 40 | 50"]);
}

#[test]
fn a_wrapped_label_is_one_row() {
    let mut page = PageWords::default();
    put(&mut page, 20.0, 50.0, "Net income");
    put_right(&mut page, 300.0, 50.0, "12");
    put(&mut page, 20.0, 62.0, "Net income attributable to");
    put(&mut page, 20.0, 73.0, "controlling interests");
    put_right(&mut page, 300.0, 73.0, "10");
    put(&mut page, 20.0, 85.0, "Other");
    put_right(&mut page, 300.0, 85.0, "2");
    assert_eq!(
        lines(&read(&page, None)),
        ["Net income | 12", "Net income attributable to controlling interests | 10", "Other | 2"]
    );
}

#[test]
fn columns_of_text_are_read_one_after_the_other() {
    let mut page = PageWords::default();
    for line in 0..8 {
        let y = 50.0 + 12.0 * line as f32;
        put(&mut page, 20.0, y, "left words of a line here");
        put(&mut page, 200.0, y, "right words of a line here");
    }
    let text = read(&page, None).text;
    let last_left = text.rfind("left").expect("left text");
    let first_right = text.find("right").expect("right text");
    assert!(last_left < first_right, "{text}");
}

#[test]
fn a_larger_line_is_a_heading_and_lines_join_to_paragraphs() {
    let mut page = PageWords::default();
    put_styled(&mut page, 20.0, 40.0, 18.0, true, "Results of the year");
    for line in 0..4 {
        put(&mut page, 20.0, 70.0 + 12.0 * line as f32, "some words that fill the line to its end");
    }
    put(&mut page, 20.0, 118.0, "and the rest.");
    let page = read(&page, None);
    assert_eq!(page.blocks.len(), 2, "{}", page.text);
    assert_eq!(page.blocks[0].kind, BlockKind::Heading { level: 1 });
    assert!(page.text.ends_with("end and the rest."), "{}", page.text);
}

#[test]
fn a_hyphen_goes_only_where_the_whole_word_is_known() {
    let mut page = PageWords::default();
    put(&mut page, 20.0, 50.0, "words written pursuant to the rule of long-");
    put(&mut page, 20.0, 62.0, "term debt are words that were written pursu-");
    put(&mut page, 20.0, 74.0, "ant to it.");
    let text = read(&page, None).text;
    assert!(text.contains("long-term") && text.contains("written pursuant to it."), "{text}");
}

#[test]
fn a_table_goes_on_with_the_header_of_the_page_before() {
    let first = read(&statement(), None);
    let open: OpenTable = first.last_table.expect("a table");
    let mut next = PageWords::default();
    for (index, label) in ["Cash", "Debt"].iter().enumerate() {
        let y = 50.0 + 12.0 * index as f32;
        put(&mut next, 20.0, y, label);
        for right in [300.0, 360.0, 430.0, 490.0] {
            put_right(&mut next, right, y, "1,234");
        }
    }
    let next = read(&next, Some(&open));
    assert_eq!(tables(&next)[0].header, open.header);
    assert!(tables(&next)[0].rows.iter().all(|row| !row.is_header));
}

#[test]
fn turned_text_is_read_in_its_own_direction() {
    let mut page = PageWords::default();
    put(&mut page, 20.0, 50.0, "upright words");
    let upright = page.words.len();
    put(&mut page, -300.0, 40.0, "turned words");
    for word in &mut page.words[upright..] {
        word.direction = Direction::Up;
    }
    let page = read(&page, None);
    assert_eq!(page.text, "upright words\nturned words");
    let last = page.boxes.last().expect("a box");
    assert!(last.y0 >= 0.0 && last.x1 - last.x0 < last.y1 - last.y0);
}

fn any_page() -> impl Strategy<Value = PageWords> {
    let word =
        ("[a-zé$(),.0-9%—-]{1,9}", 0.0_f32..560.0, 0_u8..60, 6.0_f32..16.0, any::<bool>(), 0_u8..8);
    let rule = (0.0_f32..500.0, 0.0_f32..700.0, 0.0_f32..300.0, any::<bool>());
    (prop::collection::vec(word, 0..120), prop::collection::vec(rule, 0..12)).prop_map(
        |(words, rules)| {
            let mut page = PageWords::default();
            for (text, x, line, size, bold, turn) in words {
                put_styled(&mut page, x, 20.0 + 12.0 * f32::from(line), size, bold, &text);
                if turn == 0
                    && let Some(last) = page.words.last_mut()
                {
                    last.direction = Direction::Down;
                }
            }
            for (x, y, length, upright) in rules {
                let (x1, y1) = if upright { (x, y + length) } else { (x + length, y) };
                page.rules.push(Rule { x0: x, y0: y, x1, y1 });
            }
            page
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn spans_and_boxes_lie_in_the_text_in_order(page in any_page()) {
        let read = read(&page, None);
        let mut end = 0;
        for block in &read.blocks {
            prop_assert!(block.span.start >= end && block.span.end > block.span.start);
            prop_assert!(read.text.get(block.span.start as usize..block.span.end as usize).is_some());
            end = block.span.end;
            if let BlockKind::Table(table) = &block.kind {
                let mut row_end = block.span.start;
                for row in &table.rows {
                    prop_assert!(row.span.start >= row_end && row.span.end <= block.span.end);
                    let line = &read.text[row.span.start as usize..row.span.end as usize];
                    prop_assert!(!line.contains('\n'));
                    row_end = row.span.end;
                }
            }
        }
        prop_assert!(end as usize <= read.text.len());

        let chars: Vec<char> = read.text.chars().collect();
        let mut known: Vec<&str> = page.words.iter().map(|word| &page.text[word.start..word.end]).collect();
        known.sort_unstable();
        let mut last = 0;
        let mut covered = 0;
        for word in &read.boxes {
            prop_assert!(word.char_start >= last && word.char_end >= word.char_start);
            last = word.char_end;
            let text: String = chars[word.char_start as usize..word.char_end as usize].iter().collect();
            covered += text.chars().count();
            let hyphen = format!("{text}-");
            let whole = known.binary_search(&text.as_str()).is_ok() || known.binary_search(&hyphen.as_str()).is_ok();
            prop_assert!(whole, "{text}");
            prop_assert!(word.x0 <= word.x1 && word.y0 <= word.y1);
        }
        // Outside the boxes stands nothing but what the composer puts between words.
        let rest = chars.iter().filter(|c| !matches!(c, ' ' | '|' | '\n')).count();
        prop_assert_eq!(covered, rest);
    }
}
