//! Which character does a code of a simple font stand for: the encodings that PDF names
//! (ISO 32000-1, annex D) and the names of glyphs.

use std::collections::HashMap;
use std::sync::OnceLock;

/// The encodings a font can start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BaseEncoding {
    Standard,
    WinAnsi,
    MacRoman,
    Symbol,
    ZapfDingbats,
}

const WIN_HIGH: &str = "€•‚ƒ„…†‡ˆ‰Š‹Œ•Ž••‘’“”•–—˜™š›œ•žŸ";
const MAC_HIGH: &str = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄¤‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";
/// From 0xa1; a blank stands for no character.
const STANDARD_HIGH: &str = "¡¢£⁄¥ƒ§¤'“«‹›ﬁﬂ –†‡· ¶•‚„”»…‰ ¿ `´ˆ˜¯˘˙¨ ˚¸ ˝˛ˇ—                Æ ª    ŁØŒº     æ   ı  łøœß    ";
/// From 0x20.
const SYMBOL_LOW: &str = " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼";
/// From 0xa0.
const SYMBOL_HIGH: &str = "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪ 〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭ ";

/// The character of a code, none where the encoding leaves it open.
pub(crate) fn character(encoding: BaseEncoding, code: u8) -> Option<char> {
    let nth = |table: &str, index: u8| table.chars().nth(usize::from(index)).filter(|&c| c != ' ');
    match (encoding, code) {
        (_, 0x20) => Some(' '),
        (_, 0..=0x1f) => None,
        (BaseEncoding::Symbol, 0x21..=0x7e) => nth(SYMBOL_LOW, code - 0x20),
        (BaseEncoding::Symbol, 0xa0..=0xff) => nth(SYMBOL_HIGH, code - 0xa0),
        (BaseEncoding::Symbol, _) => None,
        (BaseEncoding::ZapfDingbats, _) => dingbat(code),
        (BaseEncoding::Standard, 0x27) => Some('’'),
        (BaseEncoding::Standard, 0x60) => Some('‘'),
        (_, 0x21..=0x7e) => Some(char::from(code)),
        (BaseEncoding::WinAnsi, 0x7f) => Some('•'),
        (BaseEncoding::WinAnsi, 0x80..=0x9f) => nth(WIN_HIGH, code - 0x80),
        (BaseEncoding::WinAnsi, _) => Some(char::from(code)),
        (BaseEncoding::MacRoman, 0x80..=0xff) => nth(MAC_HIGH, code - 0x80),
        (BaseEncoding::Standard, 0xa1..=0xff) => nth(STANDARD_HIGH, code - 0xa1),
        (BaseEncoding::MacRoman | BaseEncoding::Standard, _) => None,
    }
}

fn dingbat(code: u8) -> Option<char> {
    let special = match code {
        0x25 => '☎',
        0x2a => '☛',
        0x2b => '☞',
        0x48 => '★',
        0x6c => '●',
        0x6e => '■',
        0x73 => '▲',
        0x74 => '▼',
        0x75 => '◆',
        0x77 => '◗',
        0x21..=0x7e => return char::from_u32(0x2701 + u32::from(code - 0x21)),
        0xa1..=0xa7 => return char::from_u32(0x2761 + u32::from(code - 0xa1)),
        0xa8 => '♣',
        0xa9 => '♦',
        0xaa => '♥',
        0xab => '♠',
        0xac..=0xb5 => return char::from_u32(0x2460 + u32::from(code - 0xac)),
        0xb6..=0xfe => return char::from_u32(0x2776 + u32::from(code - 0xb6)),
        _ => return None,
    };
    Some(special)
}

/// The list of glyph names, see its head for source and licence.
const GLYPHS: &str = include_str!("glyphs.txt");

fn glyph_list() -> &'static HashMap<&'static str, char> {
    static LIST: OnceLock<HashMap<&'static str, char>> = OnceLock::new();
    LIST.get_or_init(|| {
        GLYPHS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, code) = line.split_once(' ')?;
                Some((name, char::from_u32(u32::from_str_radix(code, 16).ok()?)?))
            })
            .collect()
    })
}

/// The text a glyph's name stands for, after the rules of the Adobe Glyph List
/// specification; none for names that only number the glyphs of their font.
pub(crate) fn glyph_text(name: &str) -> Option<String> {
    let base = name.split('.').next().filter(|base| !base.is_empty())?;
    let mut text = String::new();
    for part in base.split('_') {
        text.push_str(&glyph_part(part)?);
    }
    Some(text)
}

fn glyph_part(name: &str) -> Option<String> {
    if let Some(&character) = glyph_list().get(name) {
        return Some(character.to_string());
    }
    if let Some(digits) = name.strip_prefix("uni")
        && digits.len() >= 4
        && digits.is_ascii()
    {
        let units: Option<Vec<u16>> = digits
            .as_bytes()
            .chunks_exact(4)
            .map(|four| u16::from_str_radix(std::str::from_utf8(four).ok()?, 16).ok())
            .collect();
        return String::from_utf16(&units?).ok();
    }
    if let Some(digits) = name.strip_prefix('u')
        && (4..=6).contains(&digits.len())
        && let Ok(code) = u32::from_str_radix(digits, 16)
    {
        return char::from_u32(code).map(String::from);
    }
    // TeX and old Mac producers name glyphs by their place in an ASCII order.
    let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    if (1..=2).contains(&(name.len() - digits.len())) && (2..=3).contains(&digits.len()) {
        let code: u32 = digits.parse().ok()?;
        if (0x21..=0x7e).contains(&code) {
            return char::from_u32(code).map(String::from);
        }
    }
    None
}

/// A character of the private area as symbol fonts of word processors use it, in
/// the open.
pub(crate) fn out_of_private_area(character: char) -> char {
    match character as u32 {
        0xf0b7 | 0xf06c | 0xf09f => '•',
        0xf0a7 | 0xf06e => '▪',
        0xf0d8 => '➢',
        0xf0fc => '✓',
        0xf0a8 | 0xf06f | 0xf071 => '☐',
        0xf0fe | 0xf078 => '☒',
        0xf0e0 => '→',
        code @ 0xf020..=0xf07e => char::from_u32(code - 0xf000).unwrap_or(character),
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_as_long_as_their_ranges() {
        assert_eq!(WIN_HIGH.chars().count(), 0x20);
        assert_eq!(MAC_HIGH.chars().count(), 0x80);
        assert_eq!(STANDARD_HIGH.chars().count(), 0x5f);
        assert_eq!(SYMBOL_LOW.chars().count(), 0x5f);
        assert_eq!(SYMBOL_HIGH.chars().count(), 0x60);
    }

    #[test]
    fn codes_mean_what_their_encoding_says() {
        assert_eq!(character(BaseEncoding::WinAnsi, 0x97), Some('—'));
        assert_eq!(character(BaseEncoding::MacRoman, 0xd0), Some('–'));
        assert_eq!(character(BaseEncoding::Standard, 0xae), Some('ﬁ'));
        assert_eq!(character(BaseEncoding::Standard, 0xfb), Some('ß'));
        assert_eq!(character(BaseEncoding::Standard, 0xd0), Some('—'));
        assert_eq!(character(BaseEncoding::Symbol, 0x61), Some('α'));
        assert_eq!(character(BaseEncoding::Symbol, 0xb3), Some('≥'));
        assert_eq!(character(BaseEncoding::Symbol, 0xe5), Some('∑'));
    }

    #[test]
    fn glyph_names_become_text() {
        assert_eq!(glyph_text("emdash").as_deref(), Some("—"));
        assert_eq!(glyph_text("f_i").as_deref(), Some("fi"));
        assert_eq!(glyph_text("uni20AC").as_deref(), Some("€"));
        assert_eq!(glyph_text("A.sc").as_deref(), Some("A"));
        assert_eq!(glyph_text(".notdef"), None);
        assert_eq!(glyph_text("g1234"), None);
    }
}
