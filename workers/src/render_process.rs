//! Runs the renderer of one export as a child process of the same program: what a template
//! does is done there, within limits, and what is put together in memory is.
//!
//! The child limits its own memory and CPU time before it looks at the template; the wall
//! clock is watched from here. A child that is killed is one failed export with a reason.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::{Clock, Time};
use quaestor_core::model::ExportFormat;
use quaestor_core::problem::Problem;
use quaestor_exports::child::{ChildLimits, ChildTask};
use quaestor_exports::wire::{Frame, FrameDecoder};
use quaestor_exports::{Part, Template};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

/// How much is read from the child at a time.
const READ_BYTES: usize = 64 * 1024;

/// What the system says of a process that has used its time up.
const SIGXCPU: i32 = 24;

/// How to start the child.
#[derive(Clone, Debug)]
pub struct RenderProcess {
    /// The program: this one.
    pub program: PathBuf,
    /// Its arguments; the task goes to its standard input.
    pub arguments: Vec<String>,
    /// Files with fonts for PDF, beside those in the program.
    pub fonts: Vec<PathBuf>,
    /// What it may use.
    pub limits: ChildLimits,
    /// How long it may take.
    pub wall_clock: Duration,
}

/// Why there is no file.
#[derive(Debug)]
pub(crate) enum RenderFailure {
    /// The export is the reason: it fails with this.
    Export(Problem),
    /// The process could not be started or read: tried again later.
    Process(std::io::Error),
}

impl From<std::io::Error> for RenderFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Process(error)
    }
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Rendering {
    child: Child,
    /// None once it takes no more.
    stdin: Option<ChildStdin>,
    decoder: FrameDecoder,
    pending: VecDeque<Frame>,
    buffer: Vec<u8>,
    clock: Arc<dyn Clock>,
    give_up_at: Time,
    process: RenderProcess,
    /// The template, for whoever reads why it was stopped.
    template: Option<String>,
}

impl RenderProcess {
    /// Starts a child.
    pub(crate) async fn start(
        &self,
        format: ExportFormat,
        template: Option<Template>,
        clock: Arc<dyn Clock>,
    ) -> Result<Rendering, RenderFailure> {
        let named = template.as_ref().map(|it| format!("{} version {}", it.name, it.version));
        let task = ChildTask { format, template, fonts: self.fonts.clone(), limits: self.limits };
        let mut task = serde_json::to_vec(&task).map_err(std::io::Error::other)?;
        task.push(b'\n');
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            // Nothing of this process's settings or secrets is the child's business.
            .env_clear()
            // One heap for all its threads: what one has given back, the next one takes, and
            // the peak is a quarter lower. Elsewhere than with glibc it says nothing.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let delta = chrono::TimeDelta::from_std(self.wall_clock);
        let mut rendering = Rendering {
            child,
            stdin,
            decoder: FrameDecoder::default(),
            pending: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            give_up_at: clock.now() + delta.unwrap_or(chrono::TimeDelta::hours(1)),
            clock,
            process: self.clone(),
            template: named,
        };
        rendering.write(&task).await?;
        Ok(rendering)
    }
}

impl Rendering {
    /// Hands the child a part. One that has ended takes no more: its last frame tells why.
    pub(crate) async fn part(&mut self, part: &Part) -> Result<(), RenderFailure> {
        let mut line = serde_json::to_vec(part).map_err(std::io::Error::other)?;
        line.push(b'\n');
        self.write(&line).await
    }

    /// There are no more parts.
    pub(crate) async fn end(&mut self) -> Result<(), RenderFailure> {
        self.write(b"\n").await?;
        self.stdin = None;
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), RenderFailure> {
        let Some(stdin) = self.stdin.as_mut() else { return Ok(()) };
        let written = async {
            stdin.write_all(bytes).await?;
            stdin.flush().await
        };
        let written = tokio::select! {
            written = written => written,
            () = self.clock.sleep_until(self.give_up_at) => return Err(self.too_slow().await?),
        };
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                self.stdin = None;
                Ok(())
            }
            written => Ok(written?),
        }
    }

    /// The next bytes of the file; none after the last ones.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, RenderFailure> {
        loop {
            match self.pending.pop_front() {
                Some(Frame::Piece(bytes)) => return Ok(Some(bytes)),
                Some(Frame::End) => return Ok(None),
                Some(Frame::Failed(problem)) => return Err(RenderFailure::Export(problem)),
                None => {}
            }
            let Some(stdout) = self.child.stdout.as_mut() else {
                return Err(std::io::Error::other("the renderer has no output").into());
            };
            let read = tokio::select! {
                read = stdout.read(&mut self.buffer) => read?,
                () = self.clock.sleep_until(self.give_up_at) => {
                    return Err(self.too_slow().await?);
                }
            };
            if read == 0 {
                let status = self.child.wait().await?;
                return Err(RenderFailure::Export(self.explain(status.signal())));
            }
            self.pending.extend(self.decoder.push(&self.buffer[..read])?);
        }
    }

    async fn too_slow(&mut self) -> std::io::Result<RenderFailure> {
        self.child.kill().await?;
        let seconds = self.process.wall_clock.as_secs();
        Ok(RenderFailure::Export(
            self.limit_reached(&format!("it took longer than {seconds} seconds"), "exports.wall_s"),
        ))
    }

    /// What a child's end without a last frame means.
    fn explain(&self, signal: Option<i32>) -> Problem {
        let limits = self.process.limits;
        match signal {
            Some(SIGXCPU) => self.limit_reached(
                &format!("it used more than {} seconds of a processor", limits.cpu_seconds),
                "exports.cpu_s",
            ),
            // Memory that is refused aborts the process, or has the system end it.
            _ => self.limit_reached(
                &format!("it needed more than {} MiB of memory", limits.memory_bytes >> 20),
                "exports.memory_mb",
            ),
        }
    }

    fn limit_reached(&self, what: &str, setting: &str) -> Problem {
        let who = match &self.template {
            Some(template) => format!("template {template}"),
            None => "the export".to_owned(),
        };
        Problem::new(
            "export_limit_reached",
            "The export takes too much to lay out",
            format!(
                "{who} was stopped: {what}; mend the template, export less at a time, or raise \
                 {setting} in the configuration"
            ),
        )
    }
}
