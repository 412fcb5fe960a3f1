//! What does each kind of file give, and what do files give that are made to harm?

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Cursor, Write};
use std::time::Instant;

use quaestor_core::parsed::{BlockKind, ParsedPage};
use quaestor_core::problem::Problem;
use quaestor_documents::{Limits, Sink, Source, detect, parse};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[derive(Default)]
struct Collected {
    title: Option<String>,
    pages: Vec<ParsedPage>,
    warnings: Vec<String>,
}

impl Sink for Collected {
    fn title(&mut self, title: &str) -> Result<(), Problem> {
        self.title = Some(title.to_owned());
        Ok(())
    }

    fn page(&mut self, page: ParsedPage) -> Result<(), Problem> {
        self.pages.push(page);
        Ok(())
    }

    fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
}

fn read_with(name: &str, bytes: &[u8], limits: &Limits) -> Result<Collected, Problem> {
    let kind = detect(name, bytes, limits)?;
    let mut collected = Collected::default();
    parse(Source { name, bytes: bytes.into() }, kind, limits, &mut collected)?;
    Ok(collected)
}

fn read(name: &str, bytes: &[u8]) -> Collected {
    read_with(name, bytes, &Limits::default()).unwrap()
}

fn code(name: &str, bytes: &[u8], limits: &Limits) -> String {
    match read_with(name, bytes, limits) {
        Ok(_) => "read".to_owned(),
        Err(problem) => problem.code,
    }
}

fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in parts {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx(body: &str) -> Vec<u8> {
    let document =
        format!("<?xml version=\"1.0\"?><w:document><w:body>{body}</w:body></w:document>");
    let styles =
        "<w:styles><w:style w:styleId=\"H2\"><w:name w:val=\"heading 2\"/></w:style></w:styles>";
    archive(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("word/document.xml", document.as_bytes()),
        ("word/styles.xml", styles.as_bytes()),
        ("word/footnotes.xml", b"<w:footnotes><w:footnote w:id=\"2\"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>"),
    ])
}

#[test]
fn a_word_document_keeps_headings_lists_tables_and_notes() {
    let got = read(
        "a.docx",
        &docx(
            "<w:p><w:pPr><w:pStyle w:val=\"H2\"/></w:pPr><w:r><w:t>Fees</w:t></w:r></w:p>\
             <w:p><w:r><w:t xml:space=\"preserve\">They are </w:t></w:r><w:del><w:r><w:t>old</w:t></w:r></w:del>\
             <w:r><w:t>R&amp;D &#8364; 5</w:t><w:footnoteReference w:id=\"2\"/></w:r></w:p>\
             <w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>First</w:t></w:r></w:p>\
             <w:tbl><w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>2024</w:t></w:r></w:p></w:tc></w:tr>\
             <w:tr><w:tc><w:p><w:r><w:t>Cash</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>1,200</w:t></w:r></w:p></w:tc></w:tr></w:tbl>",
        ),
    );
    assert_eq!(
        got.pages[0].text,
        "Fees\n\nThey are R&D € 5[2]\n\n• First\n\n| 2024\nCash | 1,200\n\n[2] A note."
    );
    assert!(matches!(got.pages[0].blocks[0].kind, BlockKind::Heading { level: 2 }));
}

#[test]
fn a_slide_is_a_page_with_its_title_as_label() {
    let slide = |text: &str| {
        format!(
            "<p:sld><p:sp><p:nvPr><p:ph type=\"title\"/></p:nvPr><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sp>\
             <p:sp><a:p><a:r><a:t>Body of {text}</a:t></a:r></a:p></p:sp></p:sld>"
        )
    };
    let got = read(
        "a.pptx",
        &archive(&[
            ("ppt/slides/slide10.xml", slide("Last").as_bytes()),
            ("ppt/slides/slide2.xml", slide("First").as_bytes()),
        ]),
    );
    let labels: Vec<_> =
        got.pages.iter().map(|page| (page.number, page.label.as_deref())).collect();
    assert_eq!(labels, [(Some(1), Some("First")), (Some(2), Some("Last"))]);
    assert_eq!(got.pages[0].text, "First\n\nBody of First");
}

fn sheet(rows: &str) -> Vec<u8> {
    let rows = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
    archive(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("_rels/.rels", b"<Relationships><Relationship Id=\"r\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"),
        ("xl/workbook.xml", b"<workbook xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"Fund\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"),
        ("xl/_rels/workbook.xml.rels", b"<Relationships><Relationship Id=\"r1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"),
        ("xl/worksheets/sheet1.xml", rows.as_bytes()),
    ])
}

#[test]
fn a_sheet_gives_values_not_formulas_and_addresses() {
    let got = read(
        "a.xlsx",
        &sheet(
            "<row r=\"2\"><c r=\"B2\" t=\"inlineStr\"><is><t>Item</t></is></c><c r=\"C2\"><v>2024</v></c></row>\
             <row r=\"3\"><c r=\"B3\" t=\"inlineStr\"><is><t>Sum</t></is></c><c r=\"C3\"><f>1+2</f><v>0.30000000000000004</v></c></row>",
        ),
    );
    let page = &got.pages[0];
    assert_eq!(page.label.as_deref(), Some("Fund"));
    assert_eq!(page.text, "Item | 2024\nSum | 0.3");
    let BlockKind::Table(table) = &page.blocks[0].kind else { panic!("no table") };
    assert_eq!(table.rows[1].cells.map(|cells| cells.a1()).as_deref(), Some("B3:C3"));
    assert_eq!(table.header, ["Item | 2024"]);
}

#[test]
fn two_cells_in_far_corners_do_not_allocate_the_sheet() {
    let started = Instant::now();
    let got = read(
        "a.xlsx",
        &sheet(
            "<row r=\"1\"><c r=\"A1\"><v>1</v></c></row><row r=\"1048576\"><c r=\"XFD1048576\"><v>2</v></c></row>",
        ),
    );
    assert_eq!(got.pages.len(), 1);
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn a_csv_keeps_quoted_lines_and_encodings() {
    let got =
        read("a.csv", b"Name;Note;Amount\r\n\"M\xfcller; AG\";\"two\r\nlines\";1,5\r\nX;;2\r\n");
    assert_eq!(got.pages[0].text, "Name | Note | Amount\nMüller; AG | two lines | 1,5\nX | | 2");
}

#[test]
fn markdown_keeps_headings_and_tables_with_and_without_rules() {
    let got = read(
        "a.md",
        b"# Policy\n\nText *one*.\n\n| A | 2024 |\n|---|---|\n| x | 5 |\n\n| B | 2023 |\n| y | 6 |\n\n```\na  b\n```\n- item\n",
    );
    assert_eq!(got.title.as_deref(), Some("Policy"));
    assert_eq!(
        got.pages[0].text,
        "Policy\n\nText one.\n\nA | 2024\nx | 5\n\nB | 2023\ny | 6\n\na  b\n\n• item"
    );
}

#[test]
fn a_form_feed_ends_a_page_of_text() {
    let got = read("a.txt", b"First page.\n\x0cSecond page.\n");
    let numbers: Vec<_> = got.pages.iter().map(|page| page.number).collect();
    assert_eq!(numbers, [Some(1), Some(2)]);
}

#[test]
fn a_mail_gives_its_text_and_its_attachments() {
    let mail = "From: Ann <a@example.org>\r\nTo: b@example.org\r\nSubject: Figures\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=X\r\n\r\n--X\r\nContent-Type: text/plain\r\n\r\nSee the table.\r\n\
        --X\r\nContent-Type: text/csv; name=f.csv\r\nContent-Disposition: attachment; filename=f.csv\r\n\r\n\
        Item,2024\r\nCash,5\r\n\r\n--X--\r\n";
    let got = read("a.eml", mail.as_bytes());
    assert_eq!(got.title.as_deref(), Some("Figures"));
    assert!(got.pages[0].text.contains("See the table.") && got.pages[0].text.contains("f.csv"));
    assert_eq!(got.pages[1].text, "Item | 2024\nCash | 5");
    assert_eq!(got.pages[1].label.as_deref(), Some("f.csv"));
}

#[test]
fn a_mail_in_a_mail_in_a_mail_is_not_followed_for_ever() {
    let mut mail = "From: a@b.c\r\nTo: b@b.c\r\nSubject: in\r\n\r\nInnermost.".to_owned();
    for n in 0..30 {
        mail = format!(
            "From: a@b.c\r\nTo: b@b.c\r\nSubject: {n}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=B{n}\r\n\r\n--B{n}\r\nContent-Type: message/rfc822\r\n\r\n{mail}\r\n--B{n}--\r\n"
        );
    }
    let got = read("a.eml", mail.as_bytes());
    assert!(got.pages.len() <= 3);
}

#[test]
fn archives_that_unpack_too_far_are_refused_before_they_are_unpacked() {
    let zeros = vec![b' '; 40_000_000];
    let bomb = archive(&[("word/document.xml", &zeros)]);
    assert_eq!(code("a.docx", &bomb, &Limits::default()), "limit_reached");
    let small = Limits { archive_bytes: 1_000_000, ..Limits::default() };
    assert_eq!(code("a.docx", &bomb, &small), "limit_reached");
    let names: Vec<String> = (0..10_001).map(|n| format!("word/{n}")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert_eq!(code("a.docx", &archive(&many), &Limits::default()), "limit_reached");
}

#[test]
fn declared_entities_are_not_expanded() {
    let body = "<w:p><w:r><w:t>a&lol3;b</w:t></w:r></w:p>";
    let document = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY lol \"{}\"><!ENTITY lol3 \"&lol;&lol;\">\
         <!ENTITY f SYSTEM \"file:///etc/passwd\">]><w:document>{body}</w:document>",
        "x".repeat(1000)
    );
    let got = read("a.docx", &archive(&[("word/document.xml", document.as_bytes())]));
    assert_eq!(got.pages[0].text, "ab");
}

#[test]
fn deep_nesting_in_xml_and_html_is_bounded() {
    let deep = docx(&"<w:sdt>".repeat(100_000));
    assert_eq!(code("a.docx", &deep, &Limits::default()), "limit_reached");
    let html = format!("<html><body><table>{}text", "<tr><td><table>".repeat(100_000));
    assert!(read("a.html", html.as_bytes()).pages[0].text.contains("text"));
    let attributes = format!("<html><body><p {}>text</p>", "a=1 ".repeat(1_000_000));
    assert_eq!(read("a.html", attributes.as_bytes()).pages[0].text, "text");
}

#[test]
fn nuls_and_lone_surrogates_are_no_text() {
    let got = read("a.html", b"<html><body><p>a&#xD83D;b\0c</p></body></html>");
    assert_eq!(got.pages[0].text, "a\u{fffd}bc");
    assert_eq!(
        code("a.txt", b"\0\x01\x02\x03\x04\x05\x06\x07", &Limits::default()),
        "unsupported_type"
    );
}

#[test]
fn refusals_have_their_codes() {
    let limits = Limits { file_bytes: 10, ..Limits::default() };
    assert_eq!(code("a.txt", b"more than ten bytes", &limits), "too_large");
    let limits = Limits { text_bytes: 10, ..Limits::default() };
    assert_eq!(code("a.txt", b"more than ten bytes", &limits), "limit_reached");
    let limits = Limits { cells: 3, ..Limits::default() };
    assert_eq!(code("a.csv", b"a,b\n1,2\n", &limits), "limit_reached");
    assert_eq!(code("a.docx", b"PK\x03\x04broken", &Limits::default()), "damaged");
    assert_eq!(code("a.pdf", b"  \n", &Limits::default()), "empty_file");
}
