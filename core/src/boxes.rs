//! Where words stand on a page, kept compactly, and which boxes a quote covers.

use serde::{Deserialize, Serialize};

/// Tenths of a point: fine enough to mark a word, small enough for two bytes.
const UNITS_PER_POINT: f32 = 10.0;

/// A word of a page's text and its box.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordBox {
    /// Characters of the page's text before the word.
    pub char_start: u32,
    /// Characters of the page's text up to its end.
    pub char_end: u32,
    /// Points from the page's left edge.
    pub x0: f32,
    /// Points from the page's top edge.
    pub y0: f32,
    /// Points from the page's left edge.
    pub x1: f32,
    /// Points from the page's top edge.
    pub y1: f32,
}

/// A box on a page that marks (part of) a quote, in points from the page's top left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkBox {
    /// The page's number, from 1.
    pub page: u32,
    /// Left.
    #[serde(serialize_with = "tenths")]
    pub x0: f32,
    /// Top.
    #[serde(serialize_with = "tenths")]
    pub y0: f32,
    /// Right.
    #[serde(serialize_with = "tenths")]
    pub x1: f32,
    /// Bottom.
    #[serde(serialize_with = "tenths")]
    pub y1: f32,
}

/// A coordinate as it is kept, in tenths: 18.2 and not 18.200000762939453.
fn tenths<S: serde::Serializer>(points: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    let units = f64::from(UNITS_PER_POINT);
    serializer.serialize_f64((f64::from(*points) * units).round() / units)
}

/// Packs the boxes of a page, in the order of the text. Eight to ten bytes a word:
/// every number is the zigzag varint of its difference from the word before.
#[must_use]
pub fn encode(words: &[WordBox]) -> Vec<u8> {
    let mut out = Vec::with_capacity(words.len() * 9);
    let mut previous = [0_i64; 5];
    for word in words {
        let [x0, y0, x1, y1] = [word.x0, word.y0, word.x1, word.y1].map(to_units);
        let fields = [
            i64::from(word.char_start) - previous[0],
            i64::from(word.char_end) - i64::from(word.char_start),
            x0 - previous[1],
            y0 - previous[2],
            x1 - x0,
            y1 - y0,
        ];
        for field in fields {
            put_varint(&mut out, field);
        }
        previous = [i64::from(word.char_end), x1, y0, 0, 0];
    }
    out
}

/// Unpacks what [`encode`] packed. Bytes that make no sense end the list early: a box
/// is a help for the eye, never a reason to refuse a citation.
#[must_use]
pub fn decode(mut bytes: &[u8]) -> Vec<WordBox> {
    let mut words = Vec::with_capacity(bytes.len() / 8);
    let mut previous = [0_i64; 3];
    while !bytes.is_empty() {
        let mut fields = [0_i64; 6];
        for field in &mut fields {
            match take_varint(&mut bytes) {
                Some(value) => *field = value,
                None => return words,
            }
        }
        let start = previous[0].saturating_add(fields[0]);
        let end = start.saturating_add(fields[1]);
        let x0 = previous[1].saturating_add(fields[2]);
        let y0 = previous[2].saturating_add(fields[3]);
        let x1 = x0.saturating_add(fields[4]);
        let y1 = y0.saturating_add(fields[5]);
        let (Ok(char_start), Ok(char_end)) = (u32::try_from(start), u32::try_from(end)) else {
            return words;
        };
        words.push(WordBox {
            char_start,
            char_end,
            x0: to_points(x0),
            y0: to_points(y0),
            x1: to_points(x1),
            y1: to_points(y1),
        });
        previous = [end, x1, y0];
    }
    words
}

/// The boxes that mark the characters `start..end` of a page: one per line, so that a
/// quote over three lines gives three boxes.
#[must_use]
pub fn mark(page: u32, words: &[WordBox], start: u32, end: u32) -> Vec<MarkBox> {
    let mut marks: Vec<MarkBox> = Vec::new();
    for word in words.iter().filter(|word| word.char_start < end && word.char_end > start) {
        match marks.last_mut() {
            Some(line) if same_line(line, word) => {
                line.x0 = line.x0.min(word.x0);
                line.y0 = line.y0.min(word.y0);
                line.x1 = line.x1.max(word.x1);
                line.y1 = line.y1.max(word.y1);
            }
            _ => marks.push(MarkBox { page, x0: word.x0, y0: word.y0, x1: word.x1, y1: word.y1 }),
        }
    }
    marks
}

fn same_line(line: &MarkBox, word: &WordBox) -> bool {
    let overlap = line.y1.min(word.y1) - line.y0.max(word.y0);
    let height = (line.y1 - line.y0).min(word.y1 - word.y0);
    word.x0 >= line.x0 && overlap > height * 0.5
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the range before")]
fn to_units(points: f32) -> i64 {
    (points * UNITS_PER_POINT).round().clamp(-1.0e6, 1.0e6) as i64
}

#[expect(clippy::cast_precision_loss, reason = "units are small")]
fn to_points(units: i64) -> f32 {
    units as f32 / UNITS_PER_POINT
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn take_varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(start: u32, end: u32, x0: f32, y0: f32) -> WordBox {
        WordBox { char_start: start, char_end: end, x0, y0, x1: x0 + 20.0, y1: y0 + 10.0 }
    }

    #[test]
    fn boxes_come_back_as_they_were_packed() {
        let words = [word(0, 5, 72.0, 90.5), word(6, 9, 95.3, 90.5), word(10, 20, 72.0, 104.1)];
        let packed = encode(&words);
        let unpacked = decode(&packed);
        assert_eq!(unpacked.len(), words.len());
        for (got, put) in unpacked.iter().zip(&words) {
            assert_eq!((got.char_start, got.char_end), (put.char_start, put.char_end));
            assert!((got.x0 - put.x0).abs() < 0.06 && (got.x1 - put.x1).abs() < 0.06);
            assert!((got.y0 - put.y0).abs() < 0.06 && (got.y1 - put.y1).abs() < 0.06);
        }
        assert!(packed.len() <= words.len() * 10);
    }

    #[test]
    fn damaged_bytes_end_the_list_and_do_no_harm() {
        let packed = encode(&[word(0, 5, 72.0, 90.5), word(6, 9, 95.3, 90.5)]);
        assert_eq!(decode(&packed[..packed.len() - 1]).len(), 1);
        assert!(decode(&[0xff; 40]).is_empty());
    }

    #[test]
    fn a_quote_over_two_lines_is_marked_by_two_boxes() {
        let words = [word(0, 5, 72.0, 90.0), word(6, 9, 95.0, 90.0), word(10, 20, 72.0, 104.0)];
        let marks = mark(3, &words, 6, 12);
        assert_eq!(marks.len(), 2);
        assert!((marks[0].x0 - 95.0).abs() < 0.01);
        let odd = MarkBox { x0: 18.2, ..marks[0] };
        assert_eq!(serde_json::to_value(odd).unwrap()["x0"].to_string(), "18.2");
    }
}
