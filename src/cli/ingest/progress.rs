//! How does an upload look while it runs?

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A bar of bytes, a bar of files and a line that tells what is going on. Drawn on
/// standard error, and nowhere where that is no terminal.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    bytes: ProgressBar,
    files: ProgressBar,
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
        line.enable_steady_tick(Duration::from_millis(120));
        Self { all, bytes, files, line }
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

    pub(super) fn finish(&self) {
        for bar in [&self.line, &self.bytes, &self.files] {
            bar.finish_and_clear();
        }
        // A terminal that is gone has nothing to clear.
        let _ = self.all.clear();
    }
}
