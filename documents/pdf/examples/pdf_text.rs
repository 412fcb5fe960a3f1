//! What does the reader make of a file? Prints the text of its pages; with `--quiet`
//! only counts, to measure the time over many files.

use quaestor_core::parsed::{BlockKind, PageState};
use quaestor_pdf::{Limits, open};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool to look at pages")]
fn main() -> std::io::Result<()> {
    let mut quiet = false;
    let mut only: Option<usize> = None;
    let mut files = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quiet" => quiet = true,
            number if number.parse::<usize>().is_ok() => only = number.parse().ok(),
            _ => files.push(argument),
        }
    }
    let (mut pages, mut chars, mut words) = (0, 0, 0);
    for file in files {
        let mut document = match open(std::fs::read(&file)?, &Limits::default()) {
            Ok(document) => document,
            Err(error) => {
                eprintln!("{file}: {error}");
                continue;
            }
        };
        for index in 0..document.page_count() {
            let page = document.page(index);
            pages += 1;
            chars += page.text.len();
            words += page.boxes.len();
            if quiet || only.is_some_and(|only| only != index + 1) {
                continue;
            }
            println!("===== page {} of {file}", index + 1);
            if page.state != PageState::Text {
                println!("({:?})", page.state);
            }
            for block in &page.blocks {
                let text = &page.text[block.span.start as usize..block.span.end as usize];
                match &block.kind {
                    BlockKind::Heading { level } => {
                        println!("\n{} {text}", "#".repeat(usize::from(*level)));
                    }
                    BlockKind::Paragraph => println!("\n{text}"),
                    BlockKind::Table(table) => {
                        println!("\n[table] {}", table.caption.as_deref().unwrap_or(""));
                        for line in &table.header {
                            println!("[header] {line}");
                        }
                        for row in &table.rows {
                            let line = &page.text[row.span.start as usize..row.span.end as usize];
                            println!("{} {line}", if row.is_header { "H" } else { " " });
                        }
                    }
                }
            }
        }
    }
    eprintln!("{pages} pages, {chars} bytes, {words} words");
    Ok(())
}
