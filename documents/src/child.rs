//! What does the parsing child do, from its start to its exit code?
//!
//! The child limits itself before it touches the file. Whatever a file makes a parser do,
//! it ends here, and the parent sees a last frame or a signal.

use std::io::{BufRead, BufWriter, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use quaestor_core::model::Chunking;
use quaestor_core::parsed::{PageState, ParsedPage};
use quaestor_core::problem::Problem;
use quaestor_limited::{STACK_BYTES, limit_this_process};
use serde::{Deserialize, Serialize};

use crate::chunk::Chunker;
use crate::limits::Limits;
use crate::media::detect;
use crate::parse::{Source, parse_from};
use crate::progress::{Entry, Progress, parser_of};
use crate::refusal;
use crate::sink::Sink;
use crate::wire::{Frame, write_frame};

/// Warnings past this are dropped.
const MAX_WARNINGS: usize = 20;

/// What the child is told, as one line of JSON on its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChildTask {
    /// The file to read. Never made from the uploaded name.
    pub path: PathBuf,
    /// The name it was uploaded with.
    pub name: String,
    /// What it may cost.
    #[serde(default)]
    pub limits: Limits,
    /// What a [`Frame::Checkpoint`] of an earlier parse of the file said, as hexadecimal digits:
    /// pages and passages are sent from there on. All of them, where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// How its passages are cut.
    #[serde(default)]
    pub chunking: Chunking,
}

/// Bytes as [`ChildTask::from`] has them.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let digit = |at: usize| digits.get(at).and_then(|digit| (*digit as char).to_digit(16));
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok())
        .collect()
}

impl ChildTask {
    /// The task as the line that [`run_child`] reads.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|line| line + "\n")
    }
}

/// Reads the task from `input`, limits this process, parses, and writes frames to
/// `output`. Gives the exit code: 0 where a last frame was written, 1 where it could not
/// be, 2 where the task makes no sense.
///
/// The limits hold for the whole process and cannot be taken back: only a process that
/// does nothing else may call this.
pub fn run_child(input: impl BufRead, output: impl Write + Send) -> i32 {
    let mut line = String::new();
    let read = input.take(1 << 20).read_line(&mut line);
    let Ok(task) =
        read.map_err(drop).and_then(|_| serde_json::from_str::<ChildTask>(&line).map_err(drop))
    else {
        return 2;
    };
    let Limits { memory_bytes, cpu_seconds, .. } = task.limits;
    if limit_this_process(&quaestor_limited::Limits { memory_bytes, cpu_seconds }).is_err() {
        return 1;
    }
    run_task(&task, output)
}

/// [`run_child`] without limits on the process, for tests and for looking at a file.
pub fn run_task(task: &ChildTask, output: impl Write + Send) -> i32 {
    let mut stream = Stream {
        out: BufWriter::with_capacity(1 << 16, output),
        chunker: Chunker::with(task.chunking),
        media_type: "",
        parser: String::new(),
        title: None,
        begun: false,
        pages: 0,
        chunks: 0,
        pages_unreadable: 0,
        warnings: Vec::new(),
        broken: false,
    };
    let result = std::thread::scope(|scope| {
        let work = || {
            catch_unwind(AssertUnwindSafe(|| read_and_parse(task, &mut stream)))
                .unwrap_or_else(|_| Err(refusal::damaged("the file made its reader fail")))
        };
        match std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work) {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(refusal::damaged("the file made its reader fail"))),
            Err(_) => Err(refusal::limit_reached("there is too little memory to read the file")),
        }
    });
    let last = match result {
        Ok(()) => {
            if stream.begin().is_err() {
                return 1;
            }
            Frame::End {
                pages: stream.pages,
                chunks: stream.chunks,
                pages_unreadable: stream.pages_unreadable,
                warnings: std::mem::take(&mut stream.warnings),
            }
        }
        Err(problem) => Frame::Failed(problem),
    };
    let sent = !stream.broken && write_frame(&mut stream.out, &last).is_ok();
    i32::from(!(sent && stream.out.flush().is_ok()))
}

fn read_and_parse<W: Write>(task: &ChildTask, stream: &mut Stream<W>) -> Result<(), Problem> {
    let unreadable = |_| refusal::damaged("the stored file cannot be opened");
    let file = std::fs::File::open(&task.path).map_err(unreadable)?;
    let size_bytes = file.metadata().map_err(unreadable)?.len();
    if size_bytes > task.limits.file_bytes {
        return Err(refusal::too_large(size_bytes, task.limits.file_bytes));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
    file.take(task.limits.file_bytes).read_to_end(&mut bytes).map_err(unreadable)?;
    let kind = detect(&task.name, &bytes, &task.limits)?;
    stream.media_type = kind.media_type();
    stream.parser = parser_of(kind);
    let known = task.from.as_deref().and_then(from_hexadecimal);
    let progress = known.and_then(|bytes| Progress::from_bytes(&bytes));
    let entry = match &progress {
        Some(progress) => {
            stream.take_up(progress);
            Entry::At(progress)
        }
        None => Entry::Start,
    };
    let source = Source { name: &task.name, bytes: bytes.into() };
    parse_from(source, kind, &task.limits, entry, stream)
}

/// Writes pages and their passages as frames.
struct Stream<W: Write> {
    out: BufWriter<W>,
    chunker: Chunker,
    media_type: &'static str,
    parser: String,
    title: Option<String>,
    begun: bool,
    pages: u32,
    chunks: u32,
    pages_unreadable: u32,
    warnings: Vec<String>,
    /// Set once the parent no longer listens.
    broken: bool,
}

impl<W: Write> Stream<W> {
    /// Goes on where another stream of the same file has stopped.
    fn take_up(&mut self, progress: &Progress) {
        self.chunker = progress.chunker.clone();
        self.pages = progress.seen.next;
        self.chunks = progress.chunks;
        self.pages_unreadable = progress.seen.unreadable;
        self.warnings.clone_from(&progress.warnings);
    }

    fn begin(&mut self) -> Result<(), Problem> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let frame = Frame::Begin {
            media_type: self.media_type.to_owned(),
            title: self.title.take(),
            parser: std::mem::take(&mut self.parser),
        };
        self.send(&frame)
    }

    fn send(&mut self, frame: &Frame) -> Result<(), Problem> {
        write_frame(&mut self.out, frame).map_err(|_| {
            self.broken = true;
            refusal::limit_reached("the file's pages could not be handed on")
        })
    }
}

impl<W: Write> Sink for Stream<W> {
    fn title(&mut self, title: &str) -> Result<(), Problem> {
        self.title = Some(title.chars().take(500).collect());
        Ok(())
    }

    fn page(&mut self, page: ParsedPage) -> Result<(), Problem> {
        self.begin()?;
        self.pages += 1;
        self.pages_unreadable += u32::from(matches!(page.state, PageState::Unreadable { .. }));
        let chunks = self.chunker.page(&page);
        self.send(&Frame::Page(page.into()))?;
        for chunk in chunks {
            self.chunks += 1;
            self.send(&Frame::Chunk(chunk))?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, progress: Progress) -> Result<(), Problem> {
        let progress = Progress {
            chunker: self.chunker.clone(),
            chunks: self.chunks,
            warnings: self.warnings.clone(),
            ..progress
        };
        match progress.to_bytes() {
            Some(bytes) => self.send(&Frame::Checkpoint(bytes)),
            None => Ok(()),
        }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning);
        }
    }
}
