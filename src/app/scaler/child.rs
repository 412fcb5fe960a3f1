//! One worker process of a scaler: how it is started, how busy it is, and how it is told to
//! leave.
//!
//! It listens on a port of this machine that nobody has chosen, and belongs to no terminal. Its
//! standard input stays open as long as the scaler lives, which is how it knows. On its standard
//! output it says every half a second how much it does (`cli::supervised`).

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use quaestor_core::clock::Time;
use quaestor_core::jobs::JobKind;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::Notify;
use tracing::{debug, warn};

/// What a supervised worker says of itself, a line of JSON each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Steps that run.
    pub(crate) running: u32,
    /// Where its health and metrics are.
    pub(crate) address: String,
}

/// A process.
#[derive(Debug)]
pub(super) struct Child {
    pid: u32,
    pub(super) started_at: Time,
    /// When it was told to leave, and when that was last complained of.
    pub(super) leaving: Option<Leaving>,
    stdin: Option<ChildStdin>,
    seen: Arc<Mutex<Seen>>,
    _reading: Vec<AbortOnDrop>,
}

/// Since when a process leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    pub(super) since: Time,
    pub(super) told_at: Time,
}

#[derive(Debug, Default)]
struct Seen {
    status: Option<Status>,
    ended: Option<Ended>,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// As the system says.
    With(ExitStatus),
    /// It cannot be found out.
    Unknown(String),
}

#[derive(Debug)]
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Child {
    /// Starts one for a kind of work. `changed` is told when it ends.
    pub(super) fn start(
        program: &Path,
        kind: JobKind,
        flags: &[String],
        now: Time,
        changed: Arc<Notify>,
    ) -> std::io::Result<Self> {
        let mut child = Command::new(program)
            .args(["worker", "--supervised", "--queues", kind.as_str()])
            .args(flags)
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A signal of the terminal is the scaler's, which passes it on.
            .process_group(0)
            .spawn()?;
        let pid = child.id().ok_or_else(|| std::io::Error::other("it has ended already"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (of_status, of_end) = (Arc::clone(&seen), Arc::clone(&seen));
        let tracker = tokio_util::task::TaskTracker::new();
        let mut reading = Vec::new();
        if let Some(stdout) = stdout {
            let mut lines = BufReader::new(stdout).lines();
            reading.push(AbortOnDrop(tracker.spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    match serde_json::from_str(&line) {
                        Ok(status) => lock(&of_status).status = Some(status),
                        Err(_) => debug!("a worker process says what it should not"),
                    }
                }
            })));
        }
        reading.push(AbortOnDrop(tracker.spawn(async move {
            let ended = match child.wait().await {
                Ok(status) => Ended::With(status),
                Err(error) => Ended::Unknown(error.to_string()),
            };
            lock(&of_end).ended = Some(ended);
            changed.notify_one();
        })));
        Ok(Self { pid, started_at: now, leaving: None, stdin, seen, _reading: reading })
    }

    /// Its number.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has said last; none until it works.
    pub(super) fn status(&self) -> Option<Status> {
        lock(&self.seen).status.clone()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&self) -> Option<Ended> {
        lock(&self.seen).ended.clone()
    }

    /// Tells it to leave: it takes nothing more, ends what it has, and ends.
    pub(super) fn leave(&mut self, now: Time) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(Leaving { since: now, told_at: now });
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.ended().is_none()) else { return };
        if let Err(error) = kill_process(pid, Signal::TERM) {
            warn!(error = &error as &dyn std::error::Error, "could not tell {} to leave", self.pid);
        }
    }

    /// Has it leave within the time of a drain.
    pub(super) fn hurry(&mut self) {
        self.stdin = None;
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
