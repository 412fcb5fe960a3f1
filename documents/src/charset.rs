//! In which encoding is a text written?

use std::borrow::Cow;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// How much of a file is looked at to guess its encoding.
const GUESS_BYTES: usize = 1 << 20;

/// Decodes a text: by its byte order mark, else as UTF-8 if it is, else as what it
/// declares, else by a guess. Bytes that make no sense become U+FFFD.
#[must_use]
pub(crate) fn decode<'a>(bytes: &'a [u8], declared: Option<&str>) -> Cow<'a, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0;
    }
    if let Some(encoding) = utf16_without_mark(bytes) {
        return encoding.decode_without_bom_handling(bytes).0;
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let declared = declared.and_then(|label| Encoding::for_label(label.trim().as_bytes()));
    // A declared UTF-8 that is none says nothing.
    let encoding = declared.filter(|&encoding| encoding != UTF_8).unwrap_or_else(|| guess(bytes));
    encoding.decode_without_bom_handling(bytes).0
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let part = &bytes[..bytes.len().min(GUESS_BYTES)];
    detector.feed(part, part.len() == bytes.len());
    // A file with a few broken bytes in much UTF-8 is UTF-8 all the same.
    let text = String::from_utf8_lossy(part);
    let wide = text.chars().filter(|c| !c.is_ascii() && *c != '\u{fffd}').count();
    let broken = text.chars().filter(|&c| c == '\u{fffd}').count();
    if wide > broken * 20 { UTF_8 } else { detector.guess(None, Utf8Detection::Allow) }
}

/// UTF-16 without a mark shows as a zero in every other byte.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    let part = &bytes[..bytes.len().min(4_096) & !1];
    if part.len() < 8 {
        return None;
    }
    let zeros = |odd: usize| part.iter().skip(odd).step_by(2).filter(|&&b| b == 0).count();
    let half = part.len() / 2;
    if zeros(1) * 10 > half * 7 && zeros(0) * 10 < half {
        Some(UTF_16LE)
    } else if zeros(0) * 10 > half * 7 && zeros(1) * 10 < half {
        Some(UTF_16BE)
    } else {
        None
    }
}

/// The encoding an HTML or XML file declares in its first bytes.
#[must_use]
pub(crate) fn declared(bytes: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4_096)]).to_ascii_lowercase();
    for mark in ["charset=", "encoding="] {
        if let Some(at) = start.find(mark) {
            let label: String = start[at + mark.len()..]
                .trim_start_matches(['"', '\'', ' '])
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.'))
                .take(40)
                .collect();
            if !label.is_empty() {
                return Some(label);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_found_by_mark_declaration_and_guess() {
        assert_eq!(decode(b"\xff\xfeA\0\xe9\0", None), "Aé");
        assert_eq!(decode(b"caf\xe9 \x80 5", Some("windows-1252")), "café € 5");
        assert_eq!(decode("naïve".as_bytes(), Some("windows-1252")), "naïve");
        assert!(decode(b"Gesch\xe4ftsbericht f\xfcr das Jahr", None).contains("für"));
        assert_eq!(decode(b"H\0e\0l\0l\0o\0!\0", None), "Hello!");
        assert_eq!(declared(b"<meta charset=\"ISO-8859-1\">").as_deref(), Some("iso-8859-1"));
    }
}
