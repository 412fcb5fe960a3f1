//! How does an upload look while it runs?

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use quaestor_core::model::{Batch, BatchState};

use super::super::batches::{seconds, speed};

/// How far a batch is, in a line: `812 of 10000 done, 3 failed, 120/s, 1 m 17 s left`.
pub(super) fn of_batch(batch: &Batch) -> String {
    let mut parts = vec![format!("{} of {} done", batch.done, batch.total)];
    if batch.failed > 0 {
        parts.push(format!("{} failed", batch.failed));
    }
    if batch.cancelled > 0 {
        parts.push(format!("{} cancelled", batch.cancelled));
    }
    if matches!(batch.state, BatchState::Paused | BatchState::Cancelling) {
        parts.push(batch.state.to_string());
    }
    if let Some(rate) = batch.rate {
        parts.push(speed(rate));
    }
    if let Some(left) = batch.eta_s.filter(|left| *left > 0) {
        parts.push(format!("{} left", seconds(left)));
    }
    parts.join(", ")
}

/// A bar of bytes, a bar of files and a line that tells what is going on. Drawn on
/// standard error, and nowhere where that is no terminal.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    bytes: ProgressBar,
    files: ProgressBar,
    counts: ProgressBar,
    line: ProgressBar,
}

impl Bars {
    pub(super) fn new(bytes: u64, files: u64) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let bar = |length, template: &str| {
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
            all.add(ProgressBar::new(length).with_style(style))
        };
        let line = bar(0, "{spinner} {wide_msg}");
        let bytes =
            bar(bytes, "  sent   [{bar:32}] {bytes:>10} of {total_bytes:<10} {bytes_per_sec}");
        let files = bar(files, "  ready  [{bar:32}] {pos:>10} of {len} files");
        let counts = bar(0, "         {wide_msg}");
        line.enable_steady_tick(Duration::from_millis(120));
        Self { all, bytes, files, counts, line }
    }

    pub(super) fn sent(&self, bytes: i64) {
        match u64::try_from(bytes) {
            Ok(more) => self.bytes.inc(more),
            Err(_) => self.bytes.dec(bytes.unsigned_abs()),
        }
    }

    pub(super) fn file_done(&self) {
        self.files.inc(1);
    }

    pub(super) fn tell(&self, message: String) {
        self.line.set_message(message);
    }

    pub(super) fn counts(&self, message: String) {
        self.counts.set_message(message);
    }

    pub(super) fn finish(&self) {
        for bar in [&self.line, &self.bytes, &self.files, &self.counts] {
            bar.finish_and_clear();
        }
        // A terminal that is gone has nothing to clear.
        let _ = self.all.clear();
    }
}
