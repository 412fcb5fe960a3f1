//! Templates: they see the export's data and nothing else, and say where they fail.

use quaestor_core::model::ExportFormat;
use quaestor_core::problem::Problem;
use quaestor_exports::part::About;

use crate::support::{cover, dense, read_back, turn, write_with};

fn laid_out(template: &str) -> Result<String, Problem> {
    let parts = vec![cover(About::Answers, "Net sales"), turn("rose to 94,036")];
    let bytes = write_with(ExportFormat::Pdf, Some(template), parts)?;
    Ok(read_back("x.pdf", bytes))
}

#[test]
fn a_template_lays_the_data_out() {
    let text = laid_out(
        "#let data = json(\"/export.json\")\n\
         House of #data.cover.asker: #data.turns.at(0).question\n\
         #datetime.today().display()",
    );
    let text = dense(&text.unwrap());
    assert!(text.contains("HouseofA.Manager:roseto94,036"), "{text}");
    assert!(text.contains("2026-11-18"), "the clock is the export's: {text}");
}

#[test]
fn a_template_that_fails_says_name_version_line_and_why() {
    for (template, line, told) in [
        ("one\n\n#unknown", 3, "unknown variable: unknown"),
        ("#let x = 1\n#panic(\"no\")", 2, "panicked with: no"),
        ("#(1 +", 1, ""),
        ("a\nb\n#json(\"/export.json\").nothing", 3, "dictionary does not contain key"),
    ] {
        let problem = laid_out(template).unwrap_err();
        assert_eq!(problem.code, "template_failed");
        let place = format!("template house version 3, line {line}: ");
        assert!(problem.detail.starts_with(&place), "{}", problem.detail);
        assert!(problem.detail.contains(told), "{}", problem.detail);
    }
}

#[test]
fn a_template_sees_no_file_and_no_network() {
    for template in [
        "#read(\"/etc/passwd\")",
        "#read(\"../../etc/passwd\")",
        "#image(\"/logo.png\")",
        "#import \"@preview/cetz:0.3.0\"",
        "#include \"/other.typ\"",
        "#json(\"/other.json\")",
        "#plugin(\"/x.wasm\")",
    ] {
        let problem = laid_out(template).unwrap_err();
        assert_eq!(problem.code, "template_failed", "{template}");
        assert!(problem.detail.contains("line 1"), "{}", problem.detail);
    }
}
