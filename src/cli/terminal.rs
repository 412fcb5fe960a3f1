//! How does the program speak to people? The one place that writes to them.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

/// Lines are broken at this width even on wider terminals: longer ones are hard to read.
const MAX_WIDTH: usize = 100;
/// The width where there is no terminal to ask.
const PIPED_WIDTH: usize = 96;

/// How a piece of text looks where colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Headings and names.
    Bold,
    /// What matters less.
    Dim,
    /// It went well.
    Green,
    /// Look at this.
    Yellow,
    /// It went wrong.
    Red,
    /// Marks of citations.
    Cyan,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Cyan => "36",
        }
    }
}

/// Standard output and standard error, with what is known of who reads them.
pub struct Terminal {
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    live: bool,
    colours: bool,
    width: usize,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("live", &self.live).finish_non_exhaustive()
    }
}

impl Terminal {
    /// The process's own. Colours only on a terminal, and not where `NO_COLOR` is set.
    #[must_use]
    pub fn of_process() -> Self {
        let live = io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let size = console::Term::stdout().size_checked();
        let width = size.map_or(PIPED_WIDTH, |(_, columns)| usize::from(columns));
        Self {
            out: Mutex::new(Box::new(io::stdout())),
            err: Mutex::new(Box::new(io::stderr())),
            live,
            colours: live && !refused && !dumb,
            width: width.clamp(40, MAX_WIDTH),
        }
    }

    /// One that writes into the given places, as a pipe would be written to.
    pub fn into_pipes(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Self {
            out: Mutex::new(Box::new(out)),
            err: Mutex::new(Box::new(err)),
            live: false,
            colours: false,
            width: PIPED_WIDTH,
        }
    }

    /// Whether somebody watches standard output as it is written.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// The width to break lines at.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// A line on standard output.
    pub fn line(&self, text: &str) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "{text}")
    }

    /// A piece of a line on standard output, shown at once.
    pub fn piece(&self, text: &str) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// A line on standard error: what is not the result.
    pub fn note(&self, text: &str) -> io::Result<()> {
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(err, "{text}")
    }

    /// Text broken into lines that begin with the indent, on standard output.
    pub fn paragraph(&self, indent: &str, text: &str) -> io::Result<()> {
        for line in wrap(text, self.width.saturating_sub(indent.len())) {
            self.line(format!("{indent}{line}").trim_end())?;
        }
        Ok(())
    }

    /// The text in a style, where colours are shown.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.colours {
            format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
        } else {
            text.to_owned()
        }
    }
}

/// Text that came from a server or a file, without what would steer the terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Breaks text at spaces. Line breaks of the text stay; a word longer than the width
/// stands on its own line.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for source in text.lines() {
        let mut line = String::new();
        let mut taken = 0;
        for word in source.split_whitespace() {
            let length = word.chars().count();
            if taken > 0 && taken + 1 + length > width {
                lines.push(std::mem::take(&mut line));
                taken = 0;
            }
            if taken > 0 {
                line.push(' ');
                taken += 1;
            }
            line.push_str(word);
            taken += length;
        }
        lines.push(line);
    }
    lines
}

/// A size for people: `1.4 MB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        1_000_000..1_000_000_000 => {
            format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
        }
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 100_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_words_and_keep_the_text() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a\n\nb", 7), ["a", "", "b"]);
        assert_eq!(wrap("incomprehensibilities are", 5), ["incomprehensibilities", "are"]);
    }

    #[test]
    fn what_a_server_sends_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{7}\n"), "a[2Jb\n");
    }

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(
            [size(999), size(1_450), size(2_000_000), size(3_210_000_000)],
            ["999 B", "1.4 kB", "2.0 MB", "3.2 GB"]
        );
    }
}
