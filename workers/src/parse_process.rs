//! Runs the parser of one file as a child process of the same program, and reads what
//! it finds.
//!
//! The child limits its own memory and CPU time before it opens the file; the wall
//! clock is watched from here. A child that is killed is one failed document with a
//! reason, never more.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use quaestor_core::clock::Clock;
use quaestor_core::model::Chunking;
use quaestor_core::problem::Problem;
use quaestor_documents::Limits;
use quaestor_documents::child::{ChildTask, hexadecimal};
use quaestor_documents::wire::{self, Frame, FrameDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How much is read from the child at a time.
const READ_BYTES: usize = 64 * 1024;

/// How to start the child.
#[derive(Clone, Debug)]
pub struct ParseProcess {
    /// The program: this one.
    pub program: PathBuf,
    /// Its arguments; the task goes to its standard input.
    pub arguments: Vec<String>,
    /// What it may use.
    pub limits: Limits,
    /// How long it may take.
    pub wall_clock: Duration,
}

/// Why there are no frames.
#[derive(Debug)]
pub(crate) enum ParseFailure {
    /// The file is the reason: the document fails with this.
    Document(Problem),
    /// The process could not be started or read: tried again later.
    Process(std::io::Error),
}

impl From<std::io::Error> for ParseFailure {
    fn from(error: std::io::Error) -> Self {
        Self::Process(error)
    }
}

/// A running child and the frames it has sent.
#[derive(Debug)]
pub(crate) struct ParsedFile {
    child: Child,
    decoder: FrameDecoder,
    pending: VecDeque<Frame>,
    buffer: Vec<u8>,
    clock: Arc<dyn Clock>,
    give_up_at: quaestor_core::clock::Time,
    wall_clock: Duration,
}

impl ParseProcess {
    /// Starts a child on a file, at its beginning or from where an earlier parse has stopped
    /// on; `spent` is how long that took.
    pub(crate) async fn start(
        &self,
        file: &Path,
        filename: &str,
        from: Option<&[u8]>,
        spent: Duration,
        chunking: Chunking,
        clock: Arc<dyn Clock>,
    ) -> Result<ParsedFile, ParseFailure> {
        let task = ChildTask {
            path: file.to_path_buf(),
            name: filename.to_owned(),
            limits: self.limits.clone(),
            from: from.map(hexadecimal),
            chunking,
        };
        let task = task.to_line().map_err(std::io::Error::other)?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            // Nothing of this process's settings or secrets is the child's business.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A child that dies at once closes its end; its exit tells why.
            if let Err(error) = stdin.write_all(task.as_bytes()).await
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(error.into());
            }
        }
        let wall_clock = self.wall_clock;
        let left = wall_clock.saturating_sub(spent);
        let delta = chrono::TimeDelta::from_std(left).unwrap_or(chrono::TimeDelta::hours(1));
        Ok(ParsedFile {
            child,
            decoder: FrameDecoder::default(),
            pending: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            give_up_at: clock.now() + delta,
            clock,
            wall_clock,
        })
    }
}

impl ParsedFile {
    /// The next frame. A file's last frame is `End` or `Failed`; whoever ends without
    /// one is a failure of the document.
    pub(crate) async fn next(&mut self) -> Result<Frame, ParseFailure> {
        loop {
            if let Some(frame) = self.pending.pop_front() {
                return Ok(frame);
            }
            let Some(stdout) = self.child.stdout.as_mut() else {
                return Err(std::io::Error::other("the parser has no output").into());
            };
            let read = tokio::select! {
                read = stdout.read(&mut self.buffer) => read?,
                () = self.clock.sleep_until(self.give_up_at) => {
                    self.child.kill().await?;
                    return Err(ParseFailure::Document(too_slow(self.wall_clock)));
                }
            };
            if read == 0 {
                let status = self.child.wait().await?;
                let problem = wire::explain_exit(status.code(), status.signal());
                return Err(ParseFailure::Document(problem));
            }
            self.pending.extend(self.decoder.push(&self.buffer[..read])?);
        }
    }
}

fn too_slow(wall_clock: Duration) -> Problem {
    Problem::new(
        "limit_reached",
        "The file takes too much to read",
        format!(
            "reading took longer than {} seconds and was stopped; split the file, or raise \
             parse.wall_s in the configuration",
            wall_clock.as_secs()
        ),
    )
}
