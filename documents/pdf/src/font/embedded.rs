//! What does an embedded font program say about its glyphs' characters, for fonts that
//! bring no map to Unicode?

use hayro_syntax::object::{Dict, Object, Stream};

/// The font program's own encoding: codes and glyph names. Only the plain part of a
/// Type 1 program is read.
pub(super) fn encoding(descriptor: &Dict<'_>) -> Vec<(u8, String)> {
    let Some(data) =
        descriptor.get::<Stream<'_>>("FontFile").and_then(|stream| stream.decoded_data().ok())
    else {
        return Vec::new();
    };
    type1_encoding(&data)
}

/// `dup 65 /A put`, once for each code, before the encrypted part (`eexec`).
fn type1_encoding(data: &[u8]) -> Vec<(u8, String)> {
    let plain_end = data.windows(5).position(|part| part == b"eexec").unwrap_or(data.len());
    let plain = String::from_utf8_lossy(&data[..plain_end]);
    let Some(start) = plain.find("/Encoding") else { return Vec::new() };
    let mut pairs = Vec::new();
    let mut words = plain[start..].split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word == "def" || word == "readonly" {
            if pairs.is_empty() {
                continue;
            }
            break;
        }
        if word == "dup"
            && let (Some(code), Some(name)) = (words.next(), words.next())
            && let (Ok(code), Some(name)) = (code.parse::<u8>(), name.strip_prefix('/'))
        {
            pairs.push((code, name.to_owned()));
        }
    }
    pairs
}

/// Characters by character id, for a composite font without a map to Unicode: from the
/// `cmap` of its embedded TrueType program, from its character collection, or from the
/// order of glyphs that Windows fonts share.
pub(super) fn glyph_chars(descendant: &Dict<'_>, descriptor: &Dict<'_>) -> Vec<char> {
    let program = ["FontFile2", "FontFile3"]
        .iter()
        .find_map(|key| descriptor.get::<Stream<'_>>(*key))
        .and_then(|stream| stream.decoded_data().ok());
    let by_glyph = program.as_deref().and_then(true_type_chars).unwrap_or_default();
    if !by_glyph.is_empty() {
        return match descendant.get::<Object<'_>>("CIDToGIDMap") {
            Some(Object::Stream(map)) => match map.decoded_data() {
                Ok(map) => through_glyph_map(&map, &by_glyph),
                Err(_) => by_glyph,
            },
            _ => by_glyph,
        };
    }
    let ordering = descendant
        .get::<Dict<'_>>("CIDSystemInfo")
        .and_then(|info| info.get::<hayro_syntax::object::String<'_>>("Ordering"));
    match ordering.as_ref().map(|ordering| ordering.as_bytes()) {
        Some(b"Japan1") => collection(true),
        Some(b"GB1" | b"CNS1" | b"Korea1") => collection(false),
        _ if program.is_none() => (0..=97_u32)
            .map(|glyph| if glyph < 3 { None } else { char::from_u32(glyph + 29) }.unwrap_or('\0'))
            .collect(),
        _ => Vec::new(),
    }
}

fn through_glyph_map(map: &[u8], by_glyph: &[char]) -> Vec<char> {
    map.chunks_exact(2)
        .map(|pair| {
            let glyph = usize::from(u16::from_be_bytes([pair[0], pair[1]]));
            by_glyph.get(glyph).copied().unwrap_or('\0')
        })
        .collect()
}

/// The characters whose order in Adobe's collections follows Unicode: ASCII, and the
/// kana of Adobe-Japan1. Ideographs would need the collections' full tables.
fn collection(kana: bool) -> Vec<char> {
    let mut chars = vec!['\0'; 1011];
    let mut put = |first: usize, from: u32, to: u32| {
        for (offset, code) in (from..=to).enumerate() {
            if let (Some(slot), Some(character)) =
                (chars.get_mut(first + offset), char::from_u32(code))
            {
                *slot = character;
            }
        }
    };
    put(1, 0x20, 0x7e);
    if kana {
        put(633, 0x3000, 0x3002);
        put(842, 0x3041, 0x3093);
        put(925, 0x30a1, 0x30f6);
    }
    chars
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?)).ok()
}

/// Format 4 and 12 tables for Unicode, read backwards (glyph to character).
fn true_type_chars(data: &[u8]) -> Option<Vec<char>> {
    let tables = usize::from(u16_at(data, 4)?);
    let cmap = (0..tables).find_map(|table| {
        let record = 12 + 16 * table;
        (data.get(record..record + 4)? == b"cmap").then(|| u32_at(data, record + 8))?
    })?;
    let count = usize::from(u16_at(data, cmap + 2)?);
    let mut best = None;
    for entry in 0..count.min(32) {
        let record = cmap + 4 + 8 * entry;
        let (platform, kind) = (u16_at(data, record)?, u16_at(data, record + 2)?);
        let unicode = platform == 0 || platform == 3 && matches!(kind, 0 | 1 | 10);
        if unicode {
            let at = cmap + u32_at(data, record + 4)?;
            let format = u16_at(data, at)?;
            if matches!(format, 4 | 12) && best.is_none_or(|(_, old)| format >= old) {
                best = Some((at, format));
            }
        }
    }
    let (at, format) = best?;
    let mut chars = vec!['\0'; 0x1_0000];
    let mut set = |glyph: usize, code: u32| {
        if let Some(slot) = chars.get_mut(glyph)
            && *slot == '\0'
            && let Some(character) = char::from_u32(code)
        {
            *slot = super::out_of_private_area(character);
        }
    };
    if format == 12 {
        let groups = u32_at(data, at + 12)?.min(20_000);
        for group in 0..groups {
            let record = at + 16 + 12 * group;
            let (low, high) = (u32_at(data, record)?, u32_at(data, record + 4)?);
            let first = u32_at(data, record + 8)?;
            for code in low..=high.min(low.saturating_add(0xffff)) {
                set(first + (code - low), u32::try_from(code).ok()?);
            }
        }
    } else {
        let segments = usize::from(u16_at(data, at + 6)? / 2);
        for segment in 0..segments {
            let high = u16_at(data, at + 14 + 2 * segment)?;
            let low = u16_at(data, at + 16 + 2 * (segments + segment))?;
            let delta = u16_at(data, at + 16 + 2 * (2 * segments + segment))?;
            let offset_at = at + 16 + 2 * (3 * segments + segment);
            let offset = usize::from(u16_at(data, offset_at)?);
            for code in low..=high {
                if code == 0xffff {
                    break;
                }
                let glyph = if offset == 0 {
                    code.wrapping_add(delta)
                } else {
                    match u16_at(data, offset_at + offset + 2 * usize::from(code - low)) {
                        Some(0) | None => continue,
                        Some(glyph) => glyph.wrapping_add(delta),
                    }
                };
                set(usize::from(glyph), u32::from(code));
            }
        }
    }
    while chars.last() == Some(&'\0') {
        chars.pop();
    }
    Some(chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_part_of_a_type1_program_gives_its_encoding() {
        let program = b"%!PS /Encoding 256 array 0 1 255 {1 index exch /.notdef put} for\n\
            dup 65 /Alpha put dup 66 /f_i put readonly def currentfile eexec dup 67 /C put";
        let pairs = type1_encoding(program);
        assert_eq!(pairs, [(65, "Alpha".to_owned()), (66, "f_i".to_owned())]);
    }

    #[test]
    fn a_broken_true_type_font_gives_no_characters() {
        assert!(true_type_chars(b"").is_none());
        assert!(true_type_chars(&[0; 64]).is_none());
    }
}
