//! Do damaged, encrypted and odd files give text or a clear refusal, never a crash?

mod shared;

use std::time::{Duration, Instant};

use quaestor_core::parsed::PageState;
use quaestor_pdf::{Limits, PdfError, open};
use shared::folder;

/// The time a hostile file may take; honest ones take milliseconds.
const MOST: Duration = Duration::from_secs(10);

/// Files that open because their *owner* password is empty. Other readers open them too.
const OWNER_PASSWORD_EMPTY: [&str; 2] =
    ["pypdf/r5-user-password.pdf", "pypdf/r6-user-password.pdf"];

#[test]
fn the_robustness_set_gives_text_or_a_clear_refusal() {
    let Some(folder) = folder("robustness") else { return };
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).expect("read the manifest");
    let (mut with_text, mut without) = (0_usize, Vec::new());
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (file, class) = (fields[0], fields[5]);
        if !file.ends_with(".pdf") {
            continue;
        }
        let bytes = std::fs::read(folder.join(file)).expect("read the file");
        let began = Instant::now();
        let outcome = open(bytes, &Limits::default()).map(|mut document| {
            (0..document.page_count())
                .map(|index| document.page(index))
                .filter(|page| page.state == PageState::Text)
                .count()
        });
        assert!(began.elapsed() < MOST, "{file} took {:?}", began.elapsed());
        match class {
            "opens-text" | "opens-damaged-text" | "encrypted-empty-password-text" => {
                match outcome {
                    Ok(pages) if pages > 0 => with_text += 1,
                    _ => without.push(file.to_owned()),
                }
            }
            "encrypted-needs-password" if !OWNER_PASSWORD_EMPTY.contains(&file) => {
                assert_eq!(outcome, Err(PdfError::PasswordRequired), "{file}");
            }
            _ => {}
        }
    }
    let share = with_text as f64 / (with_text + without.len()) as f64;
    assert!(share >= 0.98, "without text: {without:?}");
}

#[test]
fn a_file_with_one_byte_changed_or_cut_off_never_hangs() {
    let Some(folder) = folder("robustness") else { return };
    let whole = std::fs::read(folder.join("qpdf/lin1.pdf"))
        .or_else(|_| std::fs::read(folder.join("qpdf/minimal-linearized.pdf")))
        .expect("read a small file");
    let step = (whole.len() / 150).max(1);
    for place in (0..whole.len()).step_by(step) {
        let mut changed = whole.clone();
        changed[place] = changed[place].wrapping_add(1);
        let began = Instant::now();
        for bytes in [changed, whole[..place].to_vec()] {
            if let Ok(mut document) = open(bytes, &Limits::default()) {
                for index in 0..document.page_count() {
                    let _ = document.page(index);
                }
            }
        }
        assert!(began.elapsed() < MOST, "byte {place} took {:?}", began.elapsed());
    }
}

#[test]
fn too_many_pages_are_refused_with_their_number() {
    let Some(folder) = folder("filings/pdf") else { return };
    let bytes = std::fs::read(folder.join("AAPL_10Q_2022Q3.pdf")).expect("read the filing");
    let limits = Limits { max_pages: 10, ..Limits::default() };
    assert_eq!(
        open(bytes, &limits).map(|_| ()),
        Err(PdfError::TooManyPages { pages: 28, limit: 10 })
    );
}

#[test]
fn what_is_no_pdf_is_refused() {
    for bytes in [&b""[..], b"hello", b"%PDF-1.7\n%%EOF"] {
        assert_eq!(open(bytes.to_vec(), &Limits::default()).map(|_| ()), Err(PdfError::Damaged));
    }
}
