//! A process of the program: started, stopped in every way, and started again.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::Settings;

/// Nothing takes longer to start, on a machine with other work.
const START: Duration = Duration::from_secs(60);

/// A process that runs, or has run.
#[derive(Debug)]
pub struct Process {
    /// `front`, `worker` or `serve`.
    pub role: &'static str,
    /// What it logs is in this file.
    pub log: PathBuf,
    child: Mutex<Child>,
    started_at: Instant,
    /// Where it listens: `http://127.0.0.1:…`.
    pub address: String,
}

impl Process {
    /// Starts a process and waits until it serves. A start that is killed at a fail-point says so.
    ///
    /// # Errors
    /// It ended before it served, or does not serve in a minute.
    pub async fn start(
        program: &Path,
        role: &'static str,
        settings: &Settings,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let (program, log) = (program.to_owned(), log.to_owned());
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || Self::start_now(&program, role, &settings, log))
            .await
            .context("starting a process")?
    }

    fn start_now(
        program: &Path,
        role: &'static str,
        settings: &Settings,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(&log)?;
        let begin = output.metadata()?.len();
        let mut child = Command::new(program)
            .arg(role)
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .current_dir(log.parent().unwrap_or(Path::new(".")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let until = Instant::now() + START;
        loop {
            if let Some(address) = address_in(&log, begin)? {
                let (child, started_at) = (Mutex::new(child), Instant::now());
                return Ok(Self { role, log, child, started_at, address });
            }
            if let Some(status) = child.try_wait()? {
                bail!("`quaestor {role}` ended before it served ({status}): {}", tail(&log));
            }
            if Instant::now() > until {
                let _ = (child.kill(), child.wait());
                bail!("`quaestor {role}` does not serve: {}", tail(&log));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How long it has run.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.child().try_wait().is_ok_and(|status| status.is_some())
    }

    /// Its exit code, once it has ended; none where a signal ended it.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.child().try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// Sends a signal. One that has ended gets none.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if child.try_wait().is_ok_and(|status| status.is_none()) {
            // It may end at this moment, which is what signals are mostly for.
            let _ = kill_process(Pid::from_child(&child), signal);
        }
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        while !self.has_ended() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Its resident memory in bytes; 0 once it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// How often its log says this.
    #[must_use]
    pub fn says(&self, text: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches(text).count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // A process that was held still cannot end.
        let _ = kill_process(Pid::from_child(&child), Signal::CONT);
        let _ = (child.kill(), child.wait());
    }
}

fn address_in(log: &Path, begin: u64) -> anyhow::Result<Option<String>> {
    use std::io::{Seek as _, SeekFrom};
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(begin))?;
    for line in BufReader::new(file).lines().map_while(Result::ok) {
        if let Some((_, address)) = line.split_once("serves on ") {
            return Ok(Some(address.trim().to_owned()));
        }
    }
    Ok(None)
}

/// The end of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
