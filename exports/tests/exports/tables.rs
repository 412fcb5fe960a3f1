//! Tables: read back as they were, and never a formula.

use proptest::prelude::*;
use quaestor_core::model::ExportFormat;
use quaestor_exports::Part;
use quaestor_exports::part::About;

use crate::support::{cover, read_back, rows, table, write};

const ROWS: &[&[&str]] = &[
    &["Total net sales", "94,036", "(1,234)", "8.5%"],
    &["=1+1", "-5.2", "@SUM(A1)", "+2"],
    &["\tTab", "007", "12/2025"],
];

fn parts() -> Vec<Part> {
    vec![
        cover(About::Tables, "Filings"),
        table(&["Line", "2025", "2024", "Change"], &["In millions"]),
        rows(ROWS),
    ]
}

fn records(bytes: &[u8]) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(bytes).unwrap().trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|it| it.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn csv_has_records_of_one_length_and_no_formula() {
    let records = records(&write(ExportFormat::Csv, parts()));
    assert!(records.iter().all(|record| record.len() == 11), "{records:?}");
    assert_eq!(records[0][..3], ["document", "version", "page"]);
    assert_eq!(records[1][6..8], ["caption", "In millions"]);
    assert_eq!(records[2][6..], ["header", "Line", "2025", "2024", "Change"]);
    assert_eq!(records[3][6..], ["row", "Total net sales", "94,036", "(1,234)", "8.5%"]);
    assert_eq!(records[4][6..], ["row", "'=1+1", "-5.2", "'@SUM(A1)", "'+2"]);
    assert_eq!(records[5][7], "'\tTab");
}

#[test]
fn a_workbook_has_numbers_and_text_and_no_formula() {
    let bytes = write(ExportFormat::Xlsx, parts());
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes.clone())).unwrap();
    let mut sheet = String::new();
    let mut member = zip.by_name("xl/worksheets/sheet2.xml").unwrap();
    std::io::Read::read_to_string(&mut member, &mut sheet).unwrap();
    assert!(!sheet.contains("<f>") && !sheet.contains("<f "), "{sheet}");
    for number in ["<v>94036</v>", "<v>-1234</v>", "<v>0.085</v>", "<v>-5.2</v>"] {
        assert!(sheet.contains(number), "{number} in {sheet}");
    }
    let text = read_back("x.xlsx", bytes);
    for cell in ["Total net sales", "=1+1", "@SUM(A1)", "+2", "007", "12/2025", "Filings"] {
        assert!(text.contains(cell), "{cell} in {text}");
    }
}

#[test]
fn tables_are_in_the_other_formats_too() {
    for (format, name) in [(ExportFormat::Html, "x.html"), (ExportFormat::Md, "x.md")] {
        let text = read_back(name, write(format, parts()));
        assert!(text.contains("Total net sales | 94,036 | (1,234) | 8.5%"), "{name}: {text}");
        assert!(text.contains("In millions") && text.contains("Q3!A1:D9"), "{name}: {text}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&write(ExportFormat::Json, parts())).unwrap();
    assert_eq!(json["tables"][0]["rows"][1][0], "=1+1");
    assert_eq!(json["tables"][0]["table"]["page"], 2);
}

#[test]
fn the_same_tables_are_the_same_bytes() {
    for format in [ExportFormat::Csv, ExportFormat::Xlsx, ExportFormat::Json, ExportFormat::Html] {
        assert_eq!(write(format, parts()), write(format, parts()), "{format}");
    }
}

#[test]
fn a_workbook_that_is_too_large_says_what_mends_it() {
    let row: Vec<String> = vec!["x".to_owned(); 1_000];
    let mut many = parts();
    many.extend((0..30).map(|_| Part::Rows(vec![row.clone(); 100])));
    let error = crate::support::write_with(ExportFormat::Xlsx, None, many).unwrap_err();
    assert_eq!(error.code, "export_too_large");
    assert!(error.detail.contains("csv"), "{}", error.detail);
}

proptest! {
    #[test]
    fn no_cell_of_a_csv_file_is_run(cell in "[\\t\\r\\n =+@－＝-]{0,3}\\PC{0,12}") {
        let written = write(ExportFormat::Csv, vec![
            cover(About::Tables, "t"),
            table(&["a"], &[]),
            rows(&[&[&cell]]),
        ]);
        for record in records(&written) {
            for field in record {
                let shown = field.trim_start();
                let runs = field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
                    || shown.starts_with(['=', '+', '-', '@']);
                let plain = shown == "-" || quaestor_exports::cell::number(&field).is_some();
                prop_assert!(!runs || plain, "{:?}", field);
            }
        }
    }
}
