//! Fonts: letters that those in the program lack come from files that are named.

use std::path::{Path, PathBuf};

use quaestor_core::model::ExportFormat;
use quaestor_exports::part::About;
use quaestor_exports::{FONTS_MAX_BYTES, Fonts};

use crate::support::{cover, dense, read_back, turn, write_in};

/// Two ideographs, each a square.
fn squares() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fonts/squares.ttf")
}

fn written(fonts: Fonts) -> Vec<u8> {
    let parts = vec![cover(About::Answers, "Net sales"), turn("Sales in 中国 rose")];
    write_in(ExportFormat::Pdf, None, parts, fonts).unwrap()
}

#[test]
fn a_letter_that_the_program_lacks_comes_from_a_file() {
    let bytes = written(Fonts::with_files(&[squares()]).unwrap());
    assert!(bytes.windows(12).any(|part| part == b"QuaestorTest"), "the font is not embedded");
    assert!(dense(&read_back("x.pdf", bytes)).contains("Salesin中国rose"));
    let without = written(Fonts::default());
    assert!(!without.windows(12).any(|part| part == b"QuaestorTest"));
}

#[test]
fn a_file_that_is_no_font_is_named() {
    let folder = std::env::temp_dir().join(format!("quaestor-fonts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let text = folder.join("readme.ttf");
    std::fs::write(&text, "no font").unwrap();
    let large = folder.join("large.ttf");
    std::fs::File::create(&large).unwrap().set_len(FONTS_MAX_BYTES + 1).unwrap();
    for (path, told) in [
        (folder.join("missing.ttf"), "cannot be read"),
        (text, "is no font"),
        (large, "more than 128 MiB"),
    ] {
        let error = Fonts::with_files(&[squares(), path.clone()]).unwrap_err().to_string();
        let name = path.to_string_lossy();
        assert!(error.contains(told) && error.contains(name.as_ref()), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
