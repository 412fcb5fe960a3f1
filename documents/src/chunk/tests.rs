//! What is promised of passages?

use proptest::prelude::*;
use quaestor_core::parsed::BlockKind;

use super::*;
use crate::paper::Paper;
use crate::table::{LaidRow, LaidTable};

#[derive(Clone, Debug)]
enum Piece {
    Heading(u8, String),
    Text(String),
    Rows(Vec<String>),
}

fn page_of(pieces: &[Piece]) -> ParsedPage {
    let mut paper = Paper::new(1 << 24);
    for piece in pieces {
        match piece {
            Piece::Heading(level, text) => paper.heading(*level, text),
            Piece::Text(text) => paper.paragraph(text),
            Piece::Rows(rows) => paper.table(LaidTable {
                header: vec!["| 2024 | 2023".to_owned()],
                caption: None,
                rows: rows
                    .iter()
                    .map(|line| LaidRow { line: line.clone(), is_header: false, cells: None })
                    .collect(),
            }),
        }
    }
    paper.finish(None, None).unwrap()
}

fn line() -> impl Strategy<Value = String> {
    "[A-Za-z0-9é.,|$ ]{0,400}".prop_map(|text| text.trim().to_owned())
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        (1_u8..7, "[A-Z][a-z ]{0,40}").prop_map(|(level, text)| Piece::Heading(level, text)),
        "[A-Za-zé0-9., \n]{0,4000}".prop_map(Piece::Text),
        prop::collection::vec(line(), 0..40).prop_map(Piece::Rows),
        "[0-9]{0,3000}".prop_map(Piece::Text),
    ];
    prop::collection::vec(piece, 0..8)
}

fn check(page: &ParsedPage, chunks: &[ParsedChunk]) {
    let chars: Vec<char> = page.text.chars().collect();
    let mut at = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        let (start, end) = (chunk.char_start as usize, chunk.char_end as usize);
        assert_eq!(chunk.ordinal as usize, index);
        assert!(at <= start && start < end && end <= chars.len());
        assert!(chars[at..start].iter().all(|c| c.is_whitespace()), "text was left out");
        assert_eq!(chunk.text, chars[start..end].iter().collect::<String>());
        assert!(end - start <= Chunking::default().max());
        at = end;
    }
    assert!(chars[at..].iter().all(|c| c.is_whitespace()), "the end was left out");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn passages_cover_the_page_in_order_and_are_exact_slices(pieces in pieces()) {
        let page = page_of(&pieces);
        let chunks = Chunker::new().page(&page);
        check(&page, &chunks);
        prop_assert_eq!(Chunker::new().page(&page), chunks);
    }

    #[test]
    fn appended_text_changes_only_the_last_passage(pieces in pieces(), more in pieces()) {
        let before = Chunker::new().page(&page_of(&pieces));
        let all: Vec<Piece> = pieces.into_iter().chain(more).collect();
        let after = Chunker::new().page(&page_of(&all));
        let kept = before.len().saturating_sub(1);
        prop_assert_eq!(&before[..kept], &after[..kept]);
    }

    #[test]
    fn a_number_is_never_cut(numbers in prop::collection::vec("[0-9]{1,12}", 100..600)) {
        let page = page_of(&[Piece::Text(numbers.join("x"))]);
        for chunk in Chunker::new().page(&page) {
            for number in chunk.text.split('x').filter(|number| !number.is_empty()) {
                prop_assert!(numbers.iter().any(|whole| whole == number));
            }
        }
    }
}

#[test]
fn every_passage_of_a_table_carries_the_names_of_its_columns() {
    let rows: Vec<String> = (0..200).map(|n| format!("Row number {n} | {n}00 | 17")).collect();
    let page = page_of(&[Piece::Heading(1, "Assets".to_owned()), Piece::Rows(rows)]);
    let chunks = Chunker::new().page(&page);
    assert!(chunks.len() > 3);
    for chunk in &chunks {
        assert_eq!(chunk.header, "| 2024 | 2023");
        assert_eq!(chunk.section, "Assets");
        assert!(
            chunk
                .text
                .lines()
                .all(|line| line == "Assets" || line.is_empty() || line.ends_with("| 17"))
        );
    }
}

#[test]
fn sections_are_paths_and_a_higher_heading_ends_them() {
    let long = "A sentence that is long enough to stand alone in its section. ".repeat(8);
    let page = page_of(&[
        Piece::Heading(1, "Part I".to_owned()),
        Piece::Heading(2, "Item 1".to_owned()),
        Piece::Text(long.clone()),
        Piece::Heading(1, "Part II".to_owned()),
        Piece::Text(long),
    ]);
    let sections: Vec<String> =
        Chunker::new().page(&page).into_iter().map(|chunk| chunk.section).collect();
    assert_eq!(sections, ["Part I > Item 1", "Part II"]);
}

#[test]
fn text_outside_of_the_blocks_is_not_lost() {
    let mut page = page_of(&[Piece::Text("one".to_owned()), Piece::Text("two".to_owned())]);
    page.blocks.clear();
    let chunks = Chunker::new().page(&page);
    check(&page, &chunks);
    assert!(page.blocks.iter().all(|block| matches!(block.kind, BlockKind::Paragraph)));
}
