//! Where do the glyphs that were drawn form words?

/// Which way a word is read on the page as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Direction {
    Right,
    Down,
    Left,
    Up,
}

impl Direction {
    /// Of an advance, in a page whose y grows downwards.
    pub(crate) fn of(dx: f32, dy: f32) -> Self {
        if dx.abs() >= dy.abs() {
            if dx >= 0.0 { Self::Right } else { Self::Left }
        } else if dy >= 0.0 {
            Self::Down
        } else {
            Self::Up
        }
    }

    /// Page coordinates as seen with the text upright: along the line, and down.
    pub(crate) fn to_frame(self, x: f32, y: f32) -> (f32, f32) {
        match self {
            Self::Right => (x, y),
            Self::Down => (y, -x),
            Self::Left => (-x, -y),
            Self::Up => (-y, x),
        }
    }

    /// The opposite of [`Direction::to_frame`].
    pub(crate) fn to_page(self, u: f32, v: f32) -> (f32, f32) {
        match self {
            Self::Right => (u, v),
            Self::Down => (-v, u),
            Self::Left => (-u, -v),
            Self::Up => (v, -u),
        }
    }
}

/// A word as drawn, in the frame of its direction (see [`Direction::to_frame`]).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// Left end.
    pub(crate) x0: f32,
    /// Right end.
    pub(crate) x1: f32,
    /// The baseline.
    pub(crate) base: f32,
    /// Height of the font, in points.
    pub(crate) size: f32,
    /// Points above the baseline.
    pub(crate) ascent: f32,
    /// Points below the baseline.
    pub(crate) descent: f32,
    pub(crate) bold: bool,
    pub(crate) direction: Direction,
    /// Whether a blank was drawn before it.
    pub(crate) space_before: bool,
    /// Bytes of [`PageWords::text`].
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Word {
    pub(crate) fn top(&self) -> f32 {
        self.base - self.ascent
    }

    pub(crate) fn bottom(&self) -> f32 {
        self.base + self.descent
    }
}

/// A ruling line of the page, horizontal or vertical, in page coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) x0: f32,
    pub(crate) y0: f32,
    pub(crate) x1: f32,
    pub(crate) y1: f32,
}

/// All that was found on a page.
#[derive(Debug, Default)]
pub(crate) struct PageWords {
    pub(crate) words: Vec<Word>,
    pub(crate) text: String,
    pub(crate) rules: Vec<Rule>,
    /// Whether pictures were drawn.
    pub(crate) has_image: bool,
    /// Whether a limit ended the reading early.
    pub(crate) cut_short: bool,
    open: bool,
    space_pending: bool,
}

/// How a run of glyphs is drawn; the same for all glyphs of one string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunStyle {
    pub(crate) direction: Direction,
    pub(crate) size: f32,
    pub(crate) ascent: f32,
    pub(crate) descent: f32,
    pub(crate) bold: bool,
}

/// A gap of more than this share of the font's height parts words. Letters kerned apart
/// stay below, the narrowest blanks of justified lines above.
const WORD_GAP_EM: f32 = 0.17;

impl PageWords {
    /// Takes a glyph from `x0` to `x1` on the baseline `base` (frame coordinates).
    pub(crate) fn glyph(&mut self, x0: f32, x1: f32, base: f32, style: &RunStyle, text: &str) {
        let blank = text.chars().all(|c| c.is_whitespace() || c.is_control() || c == '\u{feff}');
        if blank {
            self.open = false;
            self.space_pending = !text.is_empty();
            return;
        }
        if self.open
            && let Some(last) = self.words.last_mut()
            && last.direction == style.direction
            && (last.base - base).abs() < 0.12 * style.size.max(last.size)
            && last.size < style.size * 1.4
            && style.size < last.size * 1.4
        {
            let gap = x0 - last.x1;
            if gap < WORD_GAP_EM * style.size && gap > -0.5 * style.size {
                last.x1 = last.x1.max(x1);
                self.push_text(text);
                return;
            }
        }
        self.open = false;
        let start = self.text.len();
        self.push_text(text);
        let end = self.text.len();
        if end == start {
            return;
        }
        self.words.push(Word {
            x0,
            x1,
            base,
            size: style.size,
            ascent: style.ascent,
            descent: style.descent,
            bold: style.bold,
            direction: style.direction,
            space_before: self.space_pending,
            start,
            end,
        });
        self.space_pending = false;
        self.open = true;
    }

    /// Takes text that stands for several glyphs, of which the first is drawn at `x0`.
    pub(crate) fn phrase(&mut self, x0: f32, x1: f32, base: f32, style: &RunStyle, text: &str) {
        for (index, word) in text.split_whitespace().enumerate() {
            if index > 0 {
                self.open = false;
                self.space_pending = true;
            }
            self.glyph(x0, x1, base, style, word);
        }
        if text.is_empty() {
            self.open = false;
        }
    }

    /// Lets the last word reach to `x1`.
    pub(crate) fn widen(&mut self, x1: f32) {
        if self.open
            && let Some(last) = self.words.last_mut()
        {
            last.x1 = last.x1.max(x1);
        }
    }

    /// Adds to the text, and to the last word when it ends there.
    fn push_text(&mut self, text: &str) {
        let before = self.text.len();
        for character in text.chars() {
            push_canonical(&mut self.text, character);
        }
        if let Some(last) = self.words.last_mut()
            && last.end == before
            && self.open
        {
            last.end = self.text.len();
        }
    }
}

/// Ligatures as their letters, odd blanks and joins as nothing: what people type when
/// they search.
fn push_canonical(out: &mut String, character: char) {
    match character {
        'ﬀ' => out.push_str("ff"),
        'ﬁ' => out.push_str("fi"),
        'ﬂ' => out.push_str("fl"),
        'ﬃ' => out.push_str("ffi"),
        'ﬄ' => out.push_str("ffl"),
        'ﬅ' | 'ﬆ' => out.push_str("st"),
        '\u{ad}' | '\u{2010}' | '\u{2011}' => out.push('-'),
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fffd}' => {}
        character if character.is_whitespace() || character.is_control() => {}
        character => out.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: RunStyle = RunStyle {
        direction: Direction::Right,
        size: 10.0,
        ascent: 8.0,
        descent: 2.0,
        bold: false,
    };

    #[test]
    fn glyphs_join_to_words_by_their_gaps_and_blanks() {
        let mut page = PageWords::default();
        let mut x = 0.0;
        for letter in ["n", "e", "t", " ", "s", "ﬁ"] {
            page.glyph(x, x + 5.0, 100.0, &STYLE, letter);
            x += 5.0;
        }
        page.glyph(x + 3.0, x + 8.0, 100.0, &STYLE, "x");
        let words: Vec<&str> = page.words.iter().map(|w| &page.text[w.start..w.end]).collect();
        assert_eq!(words, ["net", "sfi", "x"]);
        assert!(page.words[1].space_before && !page.words[2].space_before);
    }

    #[test]
    fn frames_turn_back_to_the_page() {
        for direction in [Direction::Right, Direction::Down, Direction::Left, Direction::Up] {
            let (u, v) = direction.to_frame(3.0, 7.0);
            assert_eq!(direction.to_page(u, v), (3.0, 7.0));
        }
    }
}
