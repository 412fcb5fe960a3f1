//! Is a parse that was cut off and taken up again the parse that was never disturbed?

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use quaestor_core::model::Chunking;
use quaestor_documents::Limits;
use quaestor_documents::child::{ChildTask, hexadecimal, run_task};
use quaestor_documents::wire::{Frame, read_frame};

/// A PDF whose pages hold headings, text, and a table that goes on over all of them.
fn pdf(pages: usize) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut kids = String::new();
    for page in 0..pages {
        let mut text = String::new();
        let mut line = |x: usize, y: usize, size: usize, words: &str| {
            text.push_str(&format!("BT /F1 {size} Tf {x} {y} Td ({words}) Tj ET\n"));
        };
        if page % 10 == 0 {
            line(72, 760, 20, &format!("Part {page} of the report"));
            line(72, 720, 10, "The following table shows the holdings of the fund in millions.");
            line(72, 700, 10, "Bond");
            line(250, 700, 10, "2024");
            line(350, 700, 10, "2025");
        }
        for row in 0..20 {
            let y = 680 - row * 20;
            line(72, y, 10, &format!("Bond {page} number {row}"));
            line(250, y, 10, &format!("{}", 1_000 + page * 20 + row));
            line(350, y, 10, &format!("{}", 2_000 + page * 20 + row));
        }
        let at = objects.len() + 1;
        kids.push_str(&format!("{at} 0 R "));
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            at + 1
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{text}endstream", text.len()));
    }
    objects[1] = format!("<< /Type /Pages /Count {pages} /Kids [{kids}] >>");
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).bytes());
    }
    let table = file.len();
    file.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in &offsets {
        file.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    file.extend(
        format!("trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n").bytes(),
    );
    file
}

fn frames(path: &Path, from: Option<String>) -> Vec<Frame> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let task = ChildTask {
        path: path.to_owned(),
        name,
        limits: Limits::default(),
        from,
        chunking: Chunking::default(),
    };
    let mut out = Vec::new();
    assert_eq!(run_task(&task, &mut out), 0);
    let mut stream = Cursor::new(out);
    let mut frames = Vec::new();
    while let Some(frame) = read_frame(&mut stream).unwrap() {
        frames.push(frame);
    }
    frames
}

/// Takes the parse of a file up at each of its checkpoints. Returns how many it has.
fn resume_everywhere(path: &Path) -> usize {
    let whole = frames(path, None);
    assert!(matches!(whole.last(), Some(Frame::End { .. })), "{:?}", whole.last());
    let mut checkpoints = 0;
    for (at, frame) in whole.iter().enumerate() {
        let Frame::Checkpoint(bytes) = frame else { continue };
        checkpoints += 1;
        let rest = frames(path, Some(hexadecimal(bytes)));
        assert_eq!(rest.first(), whole.first(), "the beginning is told again");
        assert_eq!(rest.len() - 1, whole.len() - at - 1, "from checkpoint {checkpoints} on");
        for (resumed, undisturbed) in rest.iter().skip(1).zip(&whole[at + 1..]) {
            assert_eq!(resumed, undisturbed, "{} from checkpoint {checkpoints} on", path.display());
        }
    }
    checkpoints
}

#[test]
fn a_pdf_that_is_entered_in_its_middle_gives_what_it_would_have_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    std::fs::write(&path, pdf(100)).unwrap();
    let pages = frames(&path, None).iter().filter(|frame| matches!(frame, Frame::Page(_))).count();
    assert_eq!(pages, 100);
    assert_eq!(resume_everywhere(&path), 3);
}

#[test]
fn filings_that_are_entered_in_their_middle_give_what_they_would_have_given() {
    let root = std::env::var_os("QUAESTOR_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(root.join("data/filings/pdf")) else { return };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "pdf"));
    paths.sort();
    // Each of them takes seconds in a build that is not optimised.
    let checkpoints: usize = paths.iter().take(2).map(|path| resume_everywhere(path)).sum();
    assert!(paths.is_empty() || checkpoints > 0);
}

#[test]
fn what_cannot_be_read_begins_at_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pdf");
    std::fs::write(&path, pdf(40)).unwrap();
    let whole = frames(&path, None);
    for from in ["", "zz", "00ff", "é"] {
        assert_eq!(frames(&path, Some(from.to_owned())), whole, "{from:?}");
    }
}

#[test]
fn a_text_cannot_be_entered_in_its_middle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.txt");
    let text: Vec<String> = (0..5_000).map(|line| format!("Line {line} of a text.\n\n")).collect();
    std::fs::write(&path, text.concat()).unwrap();
    let told = frames(&path, None);
    assert!(!told.iter().any(|frame| matches!(frame, Frame::Checkpoint(_))));
}
