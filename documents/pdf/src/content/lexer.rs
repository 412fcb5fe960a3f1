//! Which tokens does a content stream (or a CMap, which is written the same way) hold?

/// What stands before an operator. Arrays and dictionaries stay flat: their ends are
/// tokens of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operand<'a> {
    Num(f32),
    Name(&'a [u8]),
    /// A string, as a range of [`Lexer::strings`].
    Str(u32, u32),
    ArrayOpen,
    ArrayClose,
    DictOpen,
    DictClose,
}

/// More operands than this before one operator are dropped: the largest honest arrays
/// (glyph runs, CMap ranges) stay far below.
const MAX_OPERANDS: usize = 200_000;

/// Reads operators with their operands, one after the other, and never fails: what makes
/// no sense is passed over.
pub(crate) struct Lexer<'a> {
    data: &'a [u8],
    pos: usize,
    /// The operands before the operator last read.
    pub(crate) operands: Vec<Operand<'a>>,
    /// The bytes of the operands' strings.
    pub(crate) strings: Vec<u8>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, pos: 0, operands: Vec::with_capacity(64), strings: Vec::with_capacity(256) }
    }

    /// The next operator; its operands stand in `operands` until the next call.
    pub(crate) fn next_operator(&mut self) -> Option<&'a [u8]> {
        self.operands.clear();
        self.strings.clear();
        loop {
            self.skip_space();
            let byte = *self.data.get(self.pos)?;
            match byte {
                b'0'..=b'9' | b'+' | b'-' | b'.' => {
                    let number = self.number();
                    self.push(Operand::Num(number));
                }
                b'/' => {
                    self.pos += 1;
                    let name = self.regular();
                    self.push(Operand::Name(name));
                }
                b'(' => self.literal_string(),
                b'<' if self.data.get(self.pos + 1) == Some(&b'<') => {
                    self.pos += 2;
                    self.push(Operand::DictOpen);
                }
                b'<' => self.hex_string(),
                b'>' => {
                    let double = self.data.get(self.pos + 1) == Some(&b'>');
                    self.pos += if double { 2 } else { 1 };
                    if double {
                        self.push(Operand::DictClose);
                    }
                }
                b'[' => {
                    self.pos += 1;
                    self.push(Operand::ArrayOpen);
                }
                b']' => {
                    self.pos += 1;
                    self.push(Operand::ArrayClose);
                }
                b')' | b'{' | b'}' => self.pos += 1,
                _ => {
                    let word = self.regular();
                    if word.is_empty() {
                        self.pos += 1;
                    } else {
                        return Some(word);
                    }
                }
            }
        }
    }

    /// The bytes of a string operand.
    pub(crate) fn string(&self, start: u32, end: u32) -> &[u8] {
        self.strings.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// Passes over the data of an inline image; to be called after `ID`.
    pub(crate) fn skip_inline_image(&mut self) {
        let start = (self.pos + 1).min(self.data.len());
        let mut at = start;
        while let Some(found) = self.data[at..].windows(2).position(|pair| pair == b"EI") {
            let place = at + found;
            let before = place == start || is_space(self.data[place - 1]);
            let tail = &self.data[place + 2..];
            let after = tail.first().is_none_or(|&byte| is_space(byte));
            // Image data may hold the two letters; what follows the real ones is text.
            let plausible =
                tail.iter().take(12).all(|&byte| is_space(byte) || (0x20..0x7f).contains(&byte));
            if before && after && plausible {
                self.pos = place + 2;
                return;
            }
            at = place + 2;
        }
        self.pos = self.data.len();
    }

    fn push(&mut self, operand: Operand<'a>) {
        if self.operands.len() < MAX_OPERANDS {
            self.operands.push(operand);
        }
    }

    fn skip_space(&mut self) {
        while let Some(&byte) = self.data.get(self.pos) {
            if is_space(byte) {
                self.pos += 1;
            } else if byte == b'%' {
                while self.data.get(self.pos).is_some_and(|&b| b != b'\n' && b != b'\r') {
                    self.pos += 1;
                }
            } else {
                return;
            }
        }
    }

    fn regular(&mut self) -> &'a [u8] {
        let start = self.pos;
        while self.data.get(self.pos).is_some_and(|&byte| is_regular(byte)) {
            self.pos += 1;
        }
        &self.data[start..self.pos]
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the digits past what a float holds do not matter"
    )]
    fn number(&mut self) -> f32 {
        let mut negative = false;
        let mut whole: i64 = 0;
        let mut fraction: i64 = 0;
        let mut scale: i64 = 1;
        let mut seen_point = false;
        let start = self.pos;
        while let Some(&byte) = self.data.get(self.pos) {
            match byte {
                b'0'..=b'9' if !seen_point => {
                    whole = whole.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
                }
                b'0'..=b'9' => {
                    if scale < 1_000_000_000 {
                        fraction = fraction * 10 + i64::from(byte - b'0');
                        scale *= 10;
                    }
                }
                b'.' if !seen_point => seen_point = true,
                b'-' if self.pos == start || !seen_point && whole == 0 => negative = true,
                b'+' if self.pos == start => {}
                // `12-34` is written by broken producers; the rest does not count.
                b'-' | b'.' => {
                    self.regular();
                    break;
                }
                _ => break,
            }
            self.pos += 1;
        }
        let value = whole as f32 + fraction as f32 / scale as f32;
        if negative { -value } else { value }
    }

    fn literal_string(&mut self) {
        let start = self.strings.len();
        self.pos += 1;
        let mut depth = 1_u32;
        while let Some(&byte) = self.data.get(self.pos) {
            self.pos += 1;
            match byte {
                b'(' => {
                    depth += 1;
                    self.strings.push(byte);
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                    self.strings.push(byte);
                }
                b'\\' => self.escape(),
                _ => self.strings.push(byte),
            }
        }
        self.push_string(start);
    }

    fn escape(&mut self) {
        let Some(&byte) = self.data.get(self.pos) else { return };
        self.pos += 1;
        match byte {
            b'n' => self.strings.push(b'\n'),
            b'r' => self.strings.push(b'\r'),
            b't' => self.strings.push(b'\t'),
            b'b' => self.strings.push(8),
            b'f' => self.strings.push(12),
            b'\r' => {
                if self.data.get(self.pos) == Some(&b'\n') {
                    self.pos += 1;
                }
            }
            b'\n' => {}
            b'0'..=b'7' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    match self.data.get(self.pos) {
                        Some(&digit @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(digit - b'0');
                            self.pos += 1;
                        }
                        _ => break,
                    }
                }
                self.strings.push((value & 0xff) as u8);
            }
            other => self.strings.push(other),
        }
    }

    fn hex_string(&mut self) {
        let start = self.strings.len();
        self.pos += 1;
        let mut high: Option<u8> = None;
        while let Some(&byte) = self.data.get(self.pos) {
            self.pos += 1;
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                b'>' => break,
                _ => continue,
            };
            match high.take() {
                Some(first) => self.strings.push(first << 4 | digit),
                None => high = Some(digit),
            }
        }
        if let Some(first) = high {
            self.strings.push(first << 4);
        }
        self.push_string(start);
    }

    fn push_string(&mut self, start: usize) {
        let range = (u32::try_from(start), u32::try_from(self.strings.len()));
        if let (Ok(start), Ok(end)) = range {
            self.push(Operand::Str(start, end));
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | 12 | 0)
}

fn is_regular(byte: u8) -> bool {
    !is_space(byte)
        && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_come_with_their_operands() {
        let mut lexer = Lexer::new(b"/F1 12 Tf [(a\\051b) -250.5 <4142>] TJ % end\n-.5 0 Td");
        assert_eq!(lexer.next_operator(), Some(&b"Tf"[..]));
        assert_eq!(lexer.operands, [Operand::Name(b"F1"), Operand::Num(12.0)]);
        assert_eq!(lexer.next_operator(), Some(&b"TJ"[..]));
        let Operand::Str(start, end) = lexer.operands[1] else { panic!("a string") };
        assert_eq!(lexer.string(start, end), b"a)b");
        assert_eq!(lexer.operands[2], Operand::Num(-250.5));
        assert_eq!(lexer.next_operator(), Some(&b"Td"[..]));
        assert_eq!(lexer.operands[0], Operand::Num(-0.5));
        assert_eq!(lexer.next_operator(), None);
    }

    #[test]
    fn the_data_of_an_inline_image_is_passed_over() {
        let mut lexer = Lexer::new(b"BI /W 2 ID \x00\xffEI \xfe\x01\x02 EI Q (x) Tj");
        assert_eq!(lexer.next_operator(), Some(&b"BI"[..]));
        assert_eq!(lexer.next_operator(), Some(&b"ID"[..]));
        lexer.skip_inline_image();
        assert_eq!(lexer.next_operator(), Some(&b"Q"[..]));
        assert_eq!(lexer.next_operator(), Some(&b"Tj"[..]));
    }

    #[test]
    fn garbage_ends_without_an_operator_or_with_a_harmless_one() {
        for garbage in [&b"((((("[..], b"<<<<[[[", b"\\\\)))>>>", b"1 2 3 4", b"ID \xff\xff"] {
            let mut lexer = Lexer::new(garbage);
            while lexer.next_operator().is_some() {
                lexer.skip_inline_image();
            }
        }
    }
}
