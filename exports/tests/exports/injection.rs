//! What people and models write comes out as text, whatever it looks like.

use proptest::prelude::*;
use quaestor_core::model::ExportFormat;
use quaestor_exports::part::About;

use crate::support::{cover, dense, read_back, turn, write};

/// What means something in one of the formats.
const SPECIALS: &[&str] = &[
    "#strong[x]",
    "#read(\"/etc/passwd\")",
    "#import \"@preview/x:1.0.0\"",
    "#panic()",
    "$x^2$",
    "*bold* _it_",
    "= heading",
    "- item",
    "1. one",
    "`code`",
    "<script>alert(1)</script>",
    "</p><img src=x onerror=alert(1)>",
    "&amp; &lt;",
    "]]> <!-- x -->",
    "<w:r><w:t>x</w:t></w:r>",
    "![x](https://evil.example/a.png)",
    "[x](javascript:alert(1))",
    "| a | b |",
    "\\ \\n \\u{41}",
    "\"quoted\" 'single'",
    "// no comment /* none */",
    "@label <label>",
    "~~~",
    "{{ x }} ${x} %s",
    "=HYPERLINK(\"http://evil\")",
];

#[test]
fn a_page_of_specials_is_text_in_every_format() {
    for special in SPECIALS {
        let parts = || vec![cover(About::Answers, special), turn(special)];
        for (format, name) in [
            (ExportFormat::Pdf, "x.pdf"),
            (ExportFormat::Docx, "x.docx"),
            (ExportFormat::Html, "x.html"),
            (ExportFormat::Md, "x.md"),
        ] {
            let text = dense(&read_back(name, write(format, parts())));
            let wanted = dense(special);
            let times = text.matches(&wanted).count();
            assert!(times >= 5, "{name}: {special:?} stands {times} times in {text}");
        }
        let json: serde_json::Value =
            serde_json::from_slice(&write(ExportFormat::Json, parts())).unwrap();
        assert_eq!(json["turns"][0]["question"]["content"], *special);
    }
}

#[test]
fn html_holds_no_element_that_contents_have_brought() {
    for special in SPECIALS {
        let parts = vec![cover(About::Answers, special), turn(special)];
        let html = String::from_utf8(write(ExportFormat::Html, parts)).unwrap();
        for forbidden in ["<script", "<img", "<!--", "onerror=alert(1)>", "<w:"] {
            let lower = html.to_lowercase();
            assert!(!lower.contains(forbidden), "{special}: {forbidden} in {html}");
        }
        assert!(html.contains("default-src 'none'"), "it has a policy of its own");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn html_and_markdown_keep_any_text(pieces in prop::collection::vec(
        prop_oneof![prop::sample::select(SPECIALS).prop_map(str::to_owned), "[ -~]{0,12}"],
        1..6,
    )) {
        let text = pieces.join(" ");
        prop_assume!(!text.trim().is_empty());
        let parts = || vec![cover(About::Answers, "t"), turn(&text)];
        for (format, name) in [(ExportFormat::Html, "x.html"), (ExportFormat::Md, "x.md")] {
            let read = dense(&read_back(name, write(format, parts())));
            prop_assert!(read.contains(&dense(&text)), "{}: {:?} in {}", name, text, read);
        }
    }

    #[test]
    fn any_text_can_be_written_in_any_format(text in "\\PC{0,40}|[\u{0}-\u{a0}]{0,20}") {
        for format in [
            ExportFormat::Html, ExportFormat::Md, ExportFormat::Json, ExportFormat::Docx,
        ] {
            let parts = vec![cover(About::Answers, &text), turn(&text)];
            prop_assert!(!write(format, parts).is_empty());
        }
    }
}

#[test]
fn the_same_export_is_the_same_bytes() {
    let parts = || vec![cover(About::Answers, "Net sales"), turn("rose by 8% to $94,036")];
    for format in [
        ExportFormat::Md,
        ExportFormat::Html,
        ExportFormat::Pdf,
        ExportFormat::Docx,
        ExportFormat::Json,
    ] {
        assert_eq!(write(format, parts()), write(format, parts()), "{format}");
    }
}

#[test]
fn notes_figures_and_the_title_page_are_in_every_format() {
    let parts = || vec![cover(About::Answers, "Net sales"), turn("rose to 94,036")];
    for (format, name) in [
        (ExportFormat::Pdf, "x.pdf"),
        (ExportFormat::Docx, "x.docx"),
        (ExportFormat::Html, "x.html"),
        (ExportFormat::Md, "x.md"),
    ] {
        let text = dense(&read_back(name, write(format, parts())));
        for wanted in [
            "A.Manager",
            "openai:gpt-5-mini",
            "Filings:minilm",
            "018f0000-0000-7000-8000-000000000009",
            "18November2026",
            "page3",
            "unsupported",
            "supported",
        ] {
            assert!(text.contains(wanted), "{name}: {wanted} in {text}");
        }
    }
}
