//! How do words become a page's text, with a box for every word?

use quaestor_core::boxes::WordBox;
use quaestor_core::parsed::{Block, BlockKind, ByteSpan};

use super::rows::{Row, Source};

/// Writes a page's text.
#[derive(Debug, Default)]
pub(crate) struct Composer {
    pub(crate) text: String,
    pub(crate) boxes: Vec<WordBox>,
    pub(crate) blocks: Vec<Block>,
    chars: u32,
}

impl Composer {
    /// The place the next byte will have.
    pub(crate) fn at(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn mark(&mut self, separator: &str) {
        self.text.push_str(separator);
        self.chars += count(separator);
    }

    /// Begins a new line, if the text does not stand at the begin of one.
    pub(crate) fn new_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.mark("\n");
        }
    }

    pub(crate) fn block(&mut self, start: u32, kind: BlockKind) {
        let end = self.at();
        if end > start {
            self.blocks.push(Block { span: ByteSpan { start, end }, kind });
        }
    }

    pub(crate) fn word(&mut self, source: &Source<'_>, index: usize) {
        self.part(source, index, source.word(index));
    }

    /// Words one after the other, blanks where the page has them.
    pub(crate) fn words(&mut self, source: &Source<'_>, words: &[usize]) {
        for (position, &index) in words.iter().enumerate() {
            if position > 0 && !source.glued(words[position - 1], index) {
                self.mark(" ");
            }
            self.word(source, index);
        }
    }

    /// The lines of a paragraph as one line.
    pub(crate) fn paragraph(&mut self, source: &Source<'_>, rows: &[Row]) {
        for (position, row) in rows.iter().enumerate() {
            let words: Vec<usize> = row.words().collect();
            if position > 0
                && let Some(&first) = words.first()
            {
                self.join_line(source.word(first), source.text);
            }
            self.words(source, &words);
        }
    }

    /// Joins the next line's first word on: with a blank, or with nothing after a
    /// hyphen. The hyphen itself goes only where the page has the whole word elsewhere:
    /// nothing else tells "pursu-ant" from "long-term".
    pub(crate) fn join_line(&mut self, next: &str, page: &str) {
        let hyphenated = self.text.strip_suffix('-').is_some_and(|before| {
            before.ends_with(|c: char| c.is_alphabetic())
                && next.starts_with(|c: char| c.is_lowercase())
        });
        if !hyphenated {
            if !self.text.is_empty() && !self.text.ends_with([' ', '\n', '/', '—']) {
                self.mark(" ");
            }
            return;
        }
        let before = &self.text[..self.text.len() - 1];
        let head_start = before
            .rfind(|c: char| !c.is_alphabetic())
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let tail: String = next.chars().take_while(|c| c.is_alphabetic()).collect();
        let whole = format!("{}{tail}", &before[head_start..]);
        if tail.len() >= 2 && page.contains(&whole) {
            self.text.pop();
            self.chars -= 1;
            if let Some(last) = self.boxes.last_mut() {
                last.char_end = last.char_end.min(self.chars);
            }
        }
    }

    fn part(&mut self, source: &Source<'_>, index: usize, text: &str) {
        let word = &source.words[index];
        let start = self.chars;
        self.text.push_str(text);
        self.chars += count(text);
        let (ax, ay) = word.direction.to_page(word.x0, word.top());
        let (bx, by) = word.direction.to_page(word.x1, word.bottom());
        self.boxes.push(WordBox {
            char_start: start,
            char_end: self.chars,
            x0: ax.min(bx),
            y0: ay.min(by),
            x1: ax.max(bx),
            y1: ay.max(by),
        });
    }
}

fn count(text: &str) -> u32 {
    let chars = if text.is_ascii() { text.len() } else { text.chars().count() };
    u32::try_from(chars).unwrap_or(u32::MAX)
}
