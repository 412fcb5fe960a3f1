//! Does every malformed or odd file end in text or in a clean refusal, within the limits?

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use quaestor_core::model::Chunking;
use quaestor_documents::Limits;
use quaestor_documents::child::{ChildTask, run_child};
use quaestor_documents::wire::{Frame, explain_exit, read_frame};

/// Set in the test's own child: this program then parses one file.
const CHILD: &str = "QUAESTOR_TEST_CHILD";

fn shared() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let shared = std::env::var_os("QUAESTOR_SHARED").map(PathBuf::from);
    let candidates = [shared, Some(root.join("../shared")), Some(root.join("../../shared"))];
    candidates.into_iter().flatten().find(|path| path.join("data/robustness").is_dir())
}

/// How a file ended: the characters of its text, or the code of its refusal.
#[derive(Debug)]
enum Ended {
    Text(usize),
    Refused(String),
}

/// Not a test of its own: the child that the other test starts.
#[test]
fn the_child_parses_one_file() {
    if std::env::var_os(CHILD).is_some() {
        let output = std::fs::File::options().write(true).open("/dev/fd/3");
        let code = output.map_or(1, |output| run_child(std::io::stdin().lock(), output));
        std::process::exit(code);
    }
}

fn parse(path: &Path) -> Ended {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let limits = Limits { cpu_seconds: 30, ..Limits::default() };
    let task = ChildTask {
        path: path.to_owned(),
        name,
        limits,
        from: None,
        chunking: Chunking::default(),
    };
    // The test harness prints on standard output: frames go through another pipe.
    let script =
        r#"exec 3>&1 1>/dev/null; exec "$0" --exact the_child_parses_one_file --nocapture"#;
    let mut child = Command::new("/bin/sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(task.to_line().unwrap().as_bytes()).unwrap();
    let mut from = child.stdout.take().unwrap();
    let mut chars = 0;
    let mut last = None;
    while let Ok(Some(frame)) = read_frame(&mut from) {
        match frame {
            Frame::Page(page) => chars += page.text.chars().filter(|c| !c.is_whitespace()).count(),
            Frame::End { .. } => last = Some(Ended::Text(chars)),
            Frame::Failed(problem) => last = Some(Ended::Refused(problem.code)),
            Frame::Begin { .. } | Frame::Chunk(_) | Frame::Checkpoint(_) => {}
        }
    }
    let status = child.wait().unwrap();
    last.unwrap_or_else(|| {
        Ended::Refused(format!("exit: {}", explain_exit(status.code(), status.signal()).detail))
    })
}

#[test]
fn every_odd_file_gives_text_or_a_clean_refusal() {
    let Some(shared) = shared() else {
        eprintln!("skipped: no ../shared/data/robustness, set QUAESTOR_SHARED");
        return;
    };
    let folder = shared.join("data/robustness");
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let files: Vec<(&str, &str)> = manifest
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let file = fields.next()?;
            Some((file, fields.nth(4)?))
        })
        // PDF has a test of its own beside its reader.
        .filter(|(file, _)| !file.to_ascii_lowercase().ends_with(".pdf"))
        .collect();
    let mut tally: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let (mut with_text, mut text_wanted) = (0, 0);
    let mut misses = Vec::new();
    for (file, class) in files {
        let path = folder.join(file);
        if !path.is_file() {
            continue;
        }
        let ended = parse(&path);
        let short = match &ended {
            Ended::Text(0) => "no text".to_owned(),
            Ended::Text(_) => "text".to_owned(),
            Ended::Refused(code) => code.clone(),
        };
        *tally.entry((class, short)).or_default() += 1;
        let good = match (class, &ended) {
            ("office-opens-text", ended) => {
                text_wanted += 1;
                let good = matches!(ended, Ended::Text(1..));
                with_text += usize::from(good);
                good
            }
            ("office-encrypted", Ended::Refused(code)) => code == "encrypted",
            ("office-encrypted", Ended::Text(_)) => false,
            (_, Ended::Refused(code)) => !code.starts_with("exit"),
            (_, Ended::Text(_)) => true,
        };
        if !good {
            misses.push(format!("{file} ({class}): {ended:?}"));
        }
    }
    for ((class, ended), n) in &tally {
        println!("{n:4} {class}: {ended}");
    }
    for miss in &misses {
        println!("MISS {miss}");
    }
    assert!(with_text * 100 >= text_wanted * 98, "{with_text} of {text_wanted} gave text");
}
