//! Frames: tokens that come close together are told together. An event costs a round
//! trip to the event log and a message to every watcher, whatever its length.

use std::time::Duration;

use futures::future::BoxFuture;
use quaestor_core::clock::Clock;

/// How long text is gathered: two frames of a screen that shows 60 a second, so that
/// nobody sees the difference.
const GATHERED_FOR: Duration = Duration::from_millis(30);
/// So much text is told at once.
const FULL_BYTES: usize = 512;

/// Text that was written and not told yet. The first text of an answer never waits.
pub(crate) struct Frame<'a> {
    clock: &'a dyn Clock,
    text: String,
    due: Option<BoxFuture<'a, ()>>,
    begun: bool,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, text: String::new(), due: None, begun: false }
    }

    /// Adds text. Returns what is to be told now, if anything is.
    pub(crate) fn push(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        self.text.push_str(text);
        if !self.begun || self.text.len() >= FULL_BYTES {
            self.begun = true;
            return Some(self.take());
        }
        if self.due.is_none() {
            self.due = Some(self.clock.sleep(GATHERED_FOR));
        }
        None
    }

    /// Waits until the text is due, for as long as there is none. Safe to drop: the text
    /// stays.
    pub(crate) async fn due(&mut self) {
        match &mut self.due {
            Some(due) => due.await,
            None => std::future::pending().await,
        }
    }

    /// All that was not told.
    pub(crate) fn take(&mut self) -> String {
        self.due = None;
        std::mem::take(&mut self.text)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use quaestor_core::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn the_first_text_goes_at_once_and_the_rest_in_frames() {
        let clock = ManualClock::at_millis(0);
        let mut frame = Frame::new(&clock);
        assert_eq!(frame.push(""), None);
        assert_eq!(frame.push("The "), Some("The ".to_owned()));
        assert!(frame.due().now_or_never().is_none(), "nothing waits");
        assert_eq!(frame.push("fee "), None);
        assert!(frame.due().now_or_never().is_none(), "not due yet");
        assert_eq!(frame.push("is "), None);
        clock.advance(GATHERED_FOR);
        frame.due().await;
        assert_eq!(frame.take(), "fee is ");
        assert!(frame.due().now_or_never().is_none());
        let long = "x".repeat(FULL_BYTES);
        assert_eq!(frame.push(&long), Some(long));
    }
}
