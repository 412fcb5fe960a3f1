//! How does one file look once it is parsed?
//!
//! Without arguments this is the parsing child itself: a task on standard input, frames
//! on standard output. With `--show FILE` it prints pages and passages for people.

use std::io::{stdin, stdout};
use std::path::Path;

use quaestor_documents::Limits;
use quaestor_documents::child::{ChildTask, run_child, run_task};
use quaestor_documents::wire::{Frame, read_frame};

#[expect(clippy::print_stdout, reason = "the example prints for people")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [flag, path] = arguments.as_slice() else {
        std::process::exit(run_child(stdin().lock(), stdout()));
    };
    let path = Path::new(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let task = ChildTask {
        path: path.to_owned(),
        name: name.unwrap_or_default(),
        limits: Limits::default(),
        from: None,
        chunking: quaestor_core::model::Chunking::default(),
    };
    let mut frames = Vec::new();
    let code = run_task(&task, &mut frames);
    let mut from = frames.as_slice();
    while let Ok(Some(frame)) = read_frame(&mut from) {
        match frame {
            Frame::Page(page) if flag == "--text" => println!("{}", page.text),
            Frame::Page(page) => println!(
                "=== page {} {:?} {:?} {:?} {} bytes",
                page.ordinal,
                page.number,
                page.label,
                page.state,
                page.text.len()
            ),
            Frame::Chunk(chunk) if flag == "--show" => println!(
                "--- {} [{}] table={} cells={:?}\n<<{}>>\n{}",
                chunk.ordinal, chunk.section, chunk.is_table, chunk.cells, chunk.header, chunk.text
            ),
            Frame::Chunk(_) | Frame::Checkpoint(_) => {}
            other => println!("{other:?}"),
        }
    }
    std::process::exit(code);
}
