//! What the rendering child does, from its start to its exit code.
//!
//! It reads the fonts that it is told of, and limits itself before it looks at anything else of
//! the task. Whatever a template does, it ends here, and the parent sees a last frame or a
//! signal.

use std::io::{BufRead, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use quaestor_core::model::ExportFormat;
use quaestor_core::problem::Problem;
use quaestor_limited::{Limits, STACK_BYTES, limit_this_process};
use serde::{Deserialize, Serialize};

use crate::fonts::{FontError, Fonts};
use crate::part::Part;
use crate::render::{Template, renderer};
use crate::wire::{write_last, write_pieces};

/// The longest task: a template has 256 KiB at the most, which JSON may make six times longer.
const TASK_MAX: u64 = 2 << 20;

/// What the child is told, as the first line on its standard input. The parts follow, a line
/// of JSON each, and then an empty line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChildTask {
    /// What is written.
    pub format: ExportFormat,
    /// What lays it out.
    pub template: Option<Template>,
    /// Files with fonts beside those in the program.
    #[serde(default)]
    pub fonts: Vec<PathBuf>,
    /// What it may cost.
    pub limits: ChildLimits,
}

/// What the child may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildLimits {
    /// Address space in bytes, beyond what the process maps at its start.
    pub memory_bytes: u64,
    /// Seconds of its processors, all together.
    pub cpu_seconds: u64,
}

/// Reads the task from `input`, limits this process, and writes the file to `output` as
/// frames. Gives the exit code: 0 where a last frame was written, 1 where it could not be, 2
/// where the task makes no sense.
///
/// The limits hold for the whole process and cannot be taken back: only a process that does
/// nothing else may call this.
pub fn run_child(mut input: impl BufRead + Send, mut output: impl Write + Send) -> i32 {
    let mut line = String::new();
    let read = input.by_ref().take(TASK_MAX).read_line(&mut line);
    let Some(task) = read.ok().and_then(|_| serde_json::from_str::<ChildTask>(&line).ok()) else {
        return 2;
    };
    let fonts = match fonts(&task) {
        Ok(fonts) => fonts,
        Err(error) => {
            return i32::from(write_last(&mut output, &Err(fault(&error.to_string()))).is_err());
        }
    };
    let limits =
        Limits { memory_bytes: task.limits.memory_bytes, cpu_seconds: task.limits.cpu_seconds };
    if limit_this_process(&limits).is_err() {
        return 1;
    }
    run_task(task, fonts, input, output)
}

/// Only PDF brings its own fonts.
fn fonts(task: &ChildTask) -> Result<Fonts, FontError> {
    let files = if task.format == ExportFormat::Pdf { task.fonts.as_slice() } else { &[] };
    Fonts::with_files(files)
}

/// [`run_child`] without limits on the process, for tests and measurements.
pub fn run_task(
    task: ChildTask,
    fonts: Fonts,
    input: impl BufRead + Send,
    mut output: impl Write + Send,
) -> i32 {
    let failed = || fault("laying it out made the renderer fail");
    let end = std::thread::scope(|scope| {
        let work = || {
            catch_unwind(AssertUnwindSafe(|| render(task, fonts, input, &mut output)))
                .unwrap_or_else(|_| Err(failed()))
        };
        match std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err(failed())),
            Err(_) => Err(fault("there is too little memory to lay it out")),
        }
    });
    i32::from(write_last(&mut output, &end).is_err())
}

fn render(
    task: ChildTask,
    fonts: Fonts,
    input: impl BufRead,
    output: &mut impl Write,
) -> Result<(), Problem> {
    let mut renderer = renderer(task.format, task.template, fonts);
    let mut bytes = Vec::new();
    let mut send = |bytes: &mut Vec<u8>| {
        let sent = write_pieces(output, bytes);
        bytes.clear();
        sent.map_err(|_| fault("nobody takes what is written"))
    };
    for line in input.split(b'\n') {
        let line = line.map_err(|_| fault("the data broke off"))?;
        if line.is_empty() {
            renderer.end(&mut bytes)?;
            return send(&mut bytes);
        }
        let part: Part = serde_json::from_slice(&line)
            .map_err(|error| fault(&format!("a part of the data cannot be read: {error}")))?;
        renderer.part(part, &mut bytes)?;
        send(&mut bytes)?;
    }
    Err(fault("the data broke off"))
}

fn fault(what: &str) -> Problem {
    Problem::new("export_failed", "The export could not be written", what)
}
