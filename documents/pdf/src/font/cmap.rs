//! What does a CMap map: codes to Unicode (`ToUnicode`) or codes to character ids?

use crate::content::lexer::{Lexer, Operand};

/// More entries than this make no sense in a two-byte world and would only cost memory.
const MAX_ENTRIES: usize = 200_000;

/// A target that is a single character is kept as such; longer ones (ligatures) as an
/// index into `strings`, marked by this bit.
const STRING_MARK: u32 = 0x8000_0000;

/// Codes to text.
#[derive(Debug, Default)]
pub(crate) struct UnicodeMap {
    dense: Vec<u32>,
    sparse: std::collections::HashMap<u32, u32>,
    strings: Vec<Box<str>>,
    entries: usize,
    /// How long the codes are, where the CMap says so.
    pub(crate) spaces: Vec<CodeSpace>,
}

/// A range of codes of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeSpace {
    pub(crate) len: usize,
    pub(crate) low: u32,
    pub(crate) high: u32,
}

/// Text for a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Char(char),
    Text(&'a str),
}

impl UnicodeMap {
    pub(crate) fn parse(data: &[u8]) -> Self {
        let mut map = Self::default();
        let mut lexer = Lexer::new(data);
        while let Some(operator) = lexer.next_operator() {
            match operator {
                b"endcodespacerange" => read_spaces(&lexer, &mut map.spaces),
                b"endbfchar" => map.read_chars(&lexer),
                b"endbfrange" => map.read_ranges(&lexer),
                _ => {}
            }
        }
        map
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(crate) fn get(&self, code: u32) -> Option<Target<'_>> {
        let value = match self.dense.get(code as usize) {
            Some(&value) => value,
            None => *self.sparse.get(&code)?,
        };
        if value & STRING_MARK != 0 {
            let text = self.strings.get((value & !STRING_MARK) as usize)?;
            return Some(Target::Text(text));
        }
        if value == 0 { None } else { char::from_u32(value).map(Target::Char) }
    }

    fn insert(&mut self, code: u32, value: u32) {
        if self.entries >= MAX_ENTRIES {
            return;
        }
        self.entries += 1;
        if code < 0x1_0000 {
            let index = code as usize;
            if self.dense.len() <= index {
                self.dense.resize(index + 1, 0);
            }
            self.dense[index] = value;
        } else {
            self.sparse.insert(code, value);
        }
    }

    fn insert_text(&mut self, code: u32, utf16: &[u8], plus: u32) {
        let mut units: Vec<u16> = utf16
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |sum, &b| sum << 8 | u16::from(b)))
            .collect();
        if let Some(last) = units.last_mut() {
            *last = last.wrapping_add((plus & 0xffff) as u16);
        }
        let text: String = char::decode_utf16(units).filter_map(Result::ok).collect();
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (None, _) => {}
            (Some(only), None) => self.insert(code, only as u32),
            _ => {
                let index = self.strings.len() as u32;
                self.strings.push(text.into_boxed_str());
                self.insert(code, index | STRING_MARK);
            }
        }
    }

    fn read_chars(&mut self, lexer: &Lexer<'_>) {
        for pair in lexer.operands.chunks_exact(2) {
            if let (Operand::Str(s0, e0), Operand::Str(s1, e1)) = (pair[0], pair[1]) {
                let code = number(lexer.string(s0, e0));
                self.insert_text(code, lexer.string(s1, e1), 0);
            }
        }
    }

    fn read_ranges(&mut self, lexer: &Lexer<'_>) {
        let operands = &lexer.operands;
        let mut at = 0;
        while at + 2 < operands.len() {
            let (Operand::Str(s0, e0), Operand::Str(s1, e1)) = (operands[at], operands[at + 1])
            else {
                at += 1;
                continue;
            };
            let (low, high) = (number(lexer.string(s0, e0)), number(lexer.string(s1, e1)));
            match operands[at + 2] {
                Operand::Str(s2, e2) => {
                    for code in low..=high.min(low.saturating_add(0xffff)) {
                        if self.entries >= MAX_ENTRIES {
                            return;
                        }
                        self.insert_text(code, lexer.string(s2, e2), code - low);
                    }
                    at += 3;
                }
                Operand::ArrayOpen => {
                    at += 3;
                    let mut code = low;
                    while at < operands.len() && operands[at] != Operand::ArrayClose {
                        if let Operand::Str(s2, e2) = operands[at] {
                            self.insert_text(code, lexer.string(s2, e2), 0);
                        }
                        code = code.wrapping_add(1);
                        at += 1;
                    }
                    at += 1;
                }
                _ => at += 3,
            }
        }
    }
}

/// Codes to character ids, for composite fonts.
#[derive(Debug, Default)]
pub(crate) struct CidMap {
    pub(crate) spaces: Vec<CodeSpace>,
    /// `low`, `high`, first character id.
    ranges: Vec<(u32, u32, u32)>,
    identity: bool,
    pub(crate) vertical: bool,
}

impl CidMap {
    /// Two-byte codes that are the character ids.
    pub(crate) fn identity(vertical: bool) -> Self {
        let spaces = vec![CodeSpace { len: 2, low: 0, high: 0xffff }];
        Self { spaces, ranges: Vec::new(), identity: true, vertical }
    }

    pub(crate) fn parse(data: &[u8]) -> Self {
        let mut map = Self::default();
        let mut lexer = Lexer::new(data);
        while let Some(operator) = lexer.next_operator() {
            match operator {
                b"endcodespacerange" => read_spaces(&lexer, &mut map.spaces),
                b"endcidrange" => {
                    for part in lexer.operands.chunks_exact(3) {
                        if let (Operand::Str(s0, e0), Operand::Str(s1, e1), Operand::Num(cid)) =
                            (part[0], part[1], part[2])
                        {
                            let low = number(lexer.string(s0, e0));
                            map.push(low, number(lexer.string(s1, e1)), cid);
                        }
                    }
                }
                b"endcidchar" => {
                    for part in lexer.operands.chunks_exact(2) {
                        if let (Operand::Str(s0, e0), Operand::Num(cid)) = (part[0], part[1]) {
                            let code = number(lexer.string(s0, e0));
                            map.push(code, code, cid);
                        }
                    }
                }
                b"usecmap" => {
                    if let Some(Operand::Name(name)) = lexer.operands.last() {
                        map.identity |= name.starts_with(b"Identity");
                    }
                }
                b"def" => {
                    if let [.., Operand::Name(b"WMode"), Operand::Num(mode)] = lexer.operands[..] {
                        map.vertical = mode > 0.5;
                    }
                }
                _ => {}
            }
        }
        if map.spaces.is_empty() {
            map.spaces.push(CodeSpace { len: 2, low: 0, high: 0xffff });
        }
        map.ranges.sort_unstable();
        map
    }

    pub(crate) fn cid(&self, code: u32) -> u32 {
        let after = self.ranges.partition_point(|range| range.0 <= code);
        if let Some(&(low, high, cid)) = after.checked_sub(1).and_then(|i| self.ranges.get(i))
            && code <= high
        {
            return cid + (code - low);
        }
        if self.identity || self.ranges.is_empty() { code } else { 0 }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a character id")]
    fn push(&mut self, low: u32, high: u32, cid: f32) {
        if self.ranges.len() < MAX_ENTRIES {
            self.ranges.push((low, high, cid as u32));
        }
    }
}

/// The next code of `bytes` and its length, by the code spaces; two bytes where none fits.
pub(crate) fn next_code(spaces: &[CodeSpace], bytes: &[u8]) -> (u32, usize) {
    if let [CodeSpace { len: 2, low: 0, high: 0xffff }] = spaces {
        return match bytes {
            [high, low, ..] => (u32::from(*high) << 8 | u32::from(*low), 2),
            _ => (number(bytes), bytes.len().max(1)),
        };
    }
    let mut code = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        code = code << 8 | u32::from(byte);
        let len = index + 1;
        if spaces.iter().any(|space| space.len == len && contains(space, code)) {
            return (code, len);
        }
    }
    let shortest =
        spaces.iter().map(|space| space.len).min().unwrap_or(2).clamp(1, bytes.len().max(1));
    (number(&bytes[..shortest.min(bytes.len())]), shortest)
}

/// Every byte of the code must lie in its own range.
fn contains(space: &CodeSpace, code: u32) -> bool {
    (0..space.len).all(|index| {
        let shift = 8 * index;
        let byte = code >> shift & 0xff;
        (space.low >> shift & 0xff) <= byte && byte <= (space.high >> shift & 0xff)
    })
}

fn read_spaces(lexer: &Lexer<'_>, spaces: &mut Vec<CodeSpace>) {
    for pair in lexer.operands.chunks_exact(2) {
        if let (Operand::Str(s0, e0), Operand::Str(s1, e1)) = (pair[0], pair[1]) {
            let (low, high) = (lexer.string(s0, e0), lexer.string(s1, e1));
            if (1..=4).contains(&low.len()) && spaces.len() < 100 {
                spaces.push(CodeSpace { len: low.len(), low: number(low), high: number(high) });
            }
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chars_and_ranges_are_read() {
        let map = UnicodeMap::parse(
            b"1 begincodespacerange <0000> <FFFF> endcodespacerange
              2 beginbfchar <0003> <0020> <0010> <00660069> endbfchar
              2 beginbfrange <0024> <0026> <0041> <0030> <0031> [<0061> <0062>] endbfrange",
        );
        assert_eq!(map.get(3), Some(Target::Char(' ')));
        assert_eq!(map.get(0x10), Some(Target::Text("fi")));
        assert_eq!(map.get(0x26), Some(Target::Char('C')));
        assert_eq!(map.get(0x31), Some(Target::Char('b')));
        assert_eq!(map.get(0x99), None);
    }

    #[test]
    fn codes_of_mixed_lengths_are_told_apart() {
        let spaces = [
            CodeSpace { len: 1, low: 0, high: 0x80 },
            CodeSpace { len: 2, low: 0x8140, high: 0x9ffc },
        ];
        assert_eq!(next_code(&spaces, b"A"), (0x41, 1));
        assert_eq!(next_code(&spaces, &[0x81, 0x40, 0x41]), (0x8140, 2));
    }

    #[test]
    fn a_range_without_end_costs_no_memory() {
        let map = UnicodeMap::parse(b"<00000000> <ffffffff> <0041> endbfrange");
        assert!(map.entries <= 0x1_0000);
    }
}
