//! What text and what width do the codes of a font stand for?

pub(crate) mod cmap;
mod embedded;
mod encoding;
mod standard;

use hayro_syntax::object::{Array, Dict, Name, Object, Stream};

use cmap::{CidMap, Target, UnicodeMap, next_code};
use encoding::{BaseEncoding, character, glyph_text, out_of_private_area};

/// A glyph as the interpreter needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glyph<'a> {
    /// The code, to know the space that word spacing applies to.
    pub(crate) code: u32,
    /// Bytes the code took.
    pub(crate) len: usize,
    /// How far the pen moves, in ems.
    pub(crate) advance: f32,
    pub(crate) text: GlyphText<'a>,
}

/// The text of a glyph.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GlyphText<'a> {
    Nothing,
    Char(char),
    Text(&'a str),
}

/// A font, reduced to what reading text needs.
#[derive(Debug)]
pub(crate) struct Font {
    kind: Kind,
    pub(crate) bold: bool,
    pub(crate) vertical: bool,
    /// Ems above the baseline.
    pub(crate) ascent: f32,
    /// Ems below the baseline, positive.
    pub(crate) descent: f32,
}

#[derive(Debug)]
enum Kind {
    Simple(Box<Simple>),
    Composite(Box<Composite>),
}

#[derive(Debug)]
struct Simple {
    advance: [f32; 256],
    text: Vec<Option<Box<str>>>,
    chars: [char; 256],
}

#[derive(Debug)]
struct Composite {
    codes: CidMap,
    unicode: UnicodeMap,
    /// From the embedded font, where there is no other way to the text.
    glyph_chars: Vec<char>,
    widths: Vec<f32>,
    default_width: f32,
}

/// No character of a font's text: what U+0000 means in `Simple::chars`.
const NONE: char = '\0';

impl Font {
    /// A stand-in for a font that is missing: Helvetica with the Windows encoding.
    pub(crate) fn fallback() -> Self {
        Self::load(&Dict::empty())
    }

    /// Reads a font dictionary. Whatever is missing or damaged is replaced by a guess.
    pub(crate) fn load(dict: &Dict<'_>) -> Self {
        let subtype = dict.get::<Name<'_>>("Subtype");
        if subtype.as_ref().is_some_and(|name| name.as_ref() == b"Type0") {
            return load_composite(dict);
        }
        load_simple(dict, subtype.is_some_and(|name| name.as_ref() == b"Type3"))
    }

    /// The first glyph of `bytes`, which must not be empty.
    pub(crate) fn glyph<'a>(&'a self, bytes: &[u8]) -> Glyph<'a> {
        match &self.kind {
            Kind::Simple(simple) => {
                let code = bytes[0];
                let index = usize::from(code);
                let text = match simple.chars[index] {
                    NONE => simple
                        .text
                        .get(index)
                        .and_then(Option::as_deref)
                        .map_or(GlyphText::Nothing, GlyphText::Text),
                    character => GlyphText::Char(character),
                };
                Glyph { code: u32::from(code), len: 1, advance: simple.advance[index], text }
            }
            Kind::Composite(font) => {
                let (code, len) = next_code(&font.codes.spaces, bytes);
                let cid = font.codes.cid(code);
                let advance = font
                    .widths
                    .get(cid as usize)
                    .copied()
                    .filter(|w| !w.is_nan())
                    .unwrap_or(font.default_width);
                let text = match font.unicode.get(code) {
                    Some(Target::Char(character)) => {
                        GlyphText::Char(out_of_private_area(character))
                    }
                    Some(Target::Text(text)) => GlyphText::Text(text),
                    None => match font.glyph_chars.get(cid as usize) {
                        Some(&character) if character != NONE => GlyphText::Char(character),
                        _ => GlyphText::Nothing,
                    },
                };
                Glyph { code, len, advance, text }
            }
        }
    }
}

/// A character of the Windows encoding.
pub(crate) fn windows_character(code: u8) -> Option<char> {
    character(BaseEncoding::WinAnsi, code)
}

fn to_unicode(dict: &Dict<'_>) -> UnicodeMap {
    dict.get::<Stream<'_>>("ToUnicode")
        .and_then(|stream| stream.decoded_data().ok().map(|data| UnicodeMap::parse(&data)))
        .unwrap_or_default()
}

fn name_text(name: Option<Name<'_>>) -> String {
    name.map(|name| String::from_utf8_lossy(name.as_ref()).into_owned()).unwrap_or_default()
}

fn load_simple(dict: &Dict<'_>, type3: bool) -> Font {
    let base_font = name_text(dict.get::<Name<'_>>("BaseFont"));
    let descriptor = dict.get::<Dict<'_>>("FontDescriptor").unwrap_or_default();
    let style = Style::of(&base_font, &descriptor);
    let unicode = to_unicode(dict);
    let names = code_names(dict, &base_font, &descriptor);

    let mut chars = [NONE; 256];
    let mut text: Vec<Option<Box<str>>> = Vec::new();
    for code in 0..=255_u8 {
        let index = usize::from(code);
        let found = match unicode.get(u32::from(code)) {
            Some(Target::Char(character)) if character != '\u{fffd}' => Some(character.to_string()),
            Some(Target::Text(text)) => Some(text.to_owned()),
            _ => names[index].clone(),
        };
        let Some(found) = found else { continue };
        let mut all = found.chars();
        match (all.next(), all.next()) {
            (Some(only), None) => chars[index] = out_of_private_area(only),
            (None, _) => {}
            _ => {
                text.resize(256, None);
                text[index] = Some(found.into_boxed_str());
            }
        }
    }

    let scale = if type3 { type3_scale(dict) } else { 0.001 };
    let mut advance = [0.0; 256];
    let first = dict.get::<i32>("FirstChar").unwrap_or(0);
    let widths: Vec<f32> = dict
        .get::<Array<'_>>("Widths")
        .map(|array| {
            let mut items = array.flex_iter();
            let mut widths = Vec::new();
            while widths.len() < 256 {
                match items.next::<Object<'_>>() {
                    Some(object) => widths.push(object.into_f32().unwrap_or(0.0)),
                    None => break,
                }
            }
            widths
        })
        .unwrap_or_default();
    let missing = descriptor.get::<f32>("MissingWidth");
    for (code, slot) in advance.iter_mut().enumerate() {
        let listed = i32::try_from(code)
            .ok()
            .and_then(|code| usize::try_from(code - first).ok())
            .and_then(|index| widths.get(index).copied());
        let width = match listed {
            Some(width) => width,
            None if !widths.is_empty() => missing.unwrap_or(0.0),
            None => missing
                .filter(|&width| width > 0.0)
                .unwrap_or_else(|| standard::width(&base_font, style.bold, chars[code])),
        };
        *slot = width * scale;
    }
    Font {
        kind: Kind::Simple(Box::new(Simple { advance, text, chars })),
        bold: style.bold,
        vertical: false,
        ascent: style.ascent,
        descent: style.descent,
    }
}

fn type3_scale(dict: &Dict<'_>) -> f32 {
    dict.get::<Array<'_>>("FontMatrix")
        .and_then(|array| array.flex_iter().next::<f32>())
        .map(f32::abs)
        .filter(|scale| *scale > 0.0 && scale.is_finite())
        .unwrap_or(0.001)
}

/// The text of every code by the font's encoding alone.
fn code_names(dict: &Dict<'_>, base_font: &str, descriptor: &Dict<'_>) -> Vec<Option<String>> {
    let encoding = dict.get::<Object<'_>>("Encoding");
    let (base_name, differences) = match encoding {
        Some(Object::Name(name)) => (Some(name.as_ref().to_vec()), None),
        Some(Object::Dict(encoding)) => (
            encoding.get::<Name<'_>>("BaseEncoding").map(|name| name.as_ref().to_vec()),
            encoding.get::<Array<'_>>("Differences"),
        ),
        _ => (None, None),
    };
    let lower = base_font.to_ascii_lowercase();
    let named = match base_name.as_deref() {
        Some(b"WinAnsiEncoding") => Some(BaseEncoding::WinAnsi),
        Some(b"MacRomanEncoding" | b"MacExpertEncoding") => Some(BaseEncoding::MacRoman),
        Some(b"StandardEncoding") => Some(BaseEncoding::Standard),
        _ => None,
    };
    let base = if lower.contains("zapfdingbats") {
        BaseEncoding::ZapfDingbats
    } else if lower.ends_with("symbol") || lower.contains("+symbol") && !lower.contains("segoe") {
        BaseEncoding::Symbol
    } else {
        let true_type =
            dict.get::<Name<'_>>("Subtype").is_some_and(|name| name.as_ref() == b"TrueType");
        named.unwrap_or(if true_type || lower.is_empty() {
            BaseEncoding::WinAnsi
        } else {
            BaseEncoding::Standard
        })
    };
    let mut names: Vec<Option<String>> =
        (0..=255_u8).map(|code| character(base, code).map(String::from)).collect();
    // Without a named encoding the font program's own holds.
    if named.is_none() {
        for (code, name) in embedded::encoding(descriptor) {
            if let Some(text) = glyph_text(&name) {
                names[usize::from(code)] = Some(text);
            }
        }
    }
    if let Some(differences) = differences {
        let mut code = 0_usize;
        for item in differences.iter::<Object<'_>>() {
            match item {
                Object::Number(number) => code = usize::try_from(number.as_i64()).unwrap_or(0),
                Object::Name(name) => {
                    if let Some(slot) = names.get_mut(code) {
                        let name = String::from_utf8_lossy(name.as_ref());
                        match glyph_text(&name) {
                            Some(text) => *slot = Some(text),
                            None if name == ".notdef" => *slot = None,
                            None => {}
                        }
                    }
                    code = code.saturating_add(1);
                }
                _ => {}
            }
        }
    }
    names
}

fn load_composite(dict: &Dict<'_>) -> Font {
    let descendant = dict
        .get::<Array<'_>>("DescendantFonts")
        .and_then(|fonts| fonts.iter::<Dict<'_>>().next())
        .or_else(|| dict.get::<Dict<'_>>("DescendantFonts"))
        .unwrap_or_default();
    let descriptor = descendant.get::<Dict<'_>>("FontDescriptor").unwrap_or_default();
    let base_font = name_text(dict.get::<Name<'_>>("BaseFont"));
    let style = Style::of(&base_font, &descriptor);
    let codes = match dict.get::<Object<'_>>("Encoding") {
        Some(Object::Stream(stream)) => stream
            .decoded_data()
            .map_or_else(|_| CidMap::identity(false), |data| CidMap::parse(&data)),
        Some(Object::Name(name)) => CidMap::identity(name.as_ref().ends_with(b"-V")),
        _ => CidMap::identity(false),
    };
    let unicode = to_unicode(dict);
    let glyph_chars = if unicode.is_empty() {
        embedded::glyph_chars(&descendant, &descriptor)
    } else {
        Vec::new()
    };
    let default_width = descendant.get::<f32>("DW").unwrap_or(1000.0) * 0.001;
    let widths =
        descendant.get::<Array<'_>>("W").map(|array| cid_widths(&array)).unwrap_or_default();
    let vertical = codes.vertical;
    Font {
        kind: Kind::Composite(Box::new(Composite {
            codes,
            unicode,
            glyph_chars,
            widths,
            default_width,
        })),
        bold: style.bold,
        vertical,
        ascent: style.ascent,
        descent: style.descent,
    }
}

/// The `W` array: `c [w1 w2 …]` or `first last w`. Ids without an entry are NaN.
fn cid_widths(array: &Array<'_>) -> Vec<f32> {
    const MAX_CID: usize = 0x1_0000;
    let mut widths: Vec<f32> = Vec::new();
    let mut set = |cid: usize, width: f32| {
        if cid < MAX_CID {
            if widths.len() <= cid {
                widths.resize(cid + 1, f32::NAN);
            }
            widths[cid] = width * 0.001;
        }
    };
    let mut pending: Vec<f32> = Vec::new();
    for item in array.iter::<Object<'_>>() {
        match item {
            Object::Number(number) => {
                pending.push(number.as_f32());
                if let [first, last, width] = pending[..] {
                    for cid in index(first)..=index(last).min(MAX_CID) {
                        set(cid, width);
                    }
                    pending.clear();
                }
            }
            Object::Array(list) => {
                let first = pending.last().copied().map_or(0, index);
                for (offset, width) in list.iter::<Object<'_>>().take(MAX_CID).enumerate() {
                    set(first + offset, width.into_f32().unwrap_or(0.0));
                }
                pending.clear();
            }
            _ => {}
        }
    }
    widths
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range before"
)]
fn index(number: f32) -> usize {
    number.clamp(0.0, 1.0e6) as usize
}

struct Style {
    bold: bool,
    ascent: f32,
    descent: f32,
}

impl Style {
    fn of(base_font: &str, descriptor: &Dict<'_>) -> Self {
        const FORCE_BOLD: i32 = 1 << 18;
        let lower = base_font.to_ascii_lowercase();
        let family = lower.split_once('+').map_or(lower.as_str(), |(_, family)| family);
        let named =
            ["bold", "black", "heavy", "-bd", "demi"].iter().any(|part| family.contains(part));
        let flags = descriptor.get::<i32>("Flags").unwrap_or(0);
        let weight = descriptor.get::<f32>("FontWeight").unwrap_or(400.0);
        let ascent = descriptor.get::<f32>("Ascent").unwrap_or(0.0) * 0.001;
        let descent = -descriptor.get::<f32>("Descent").unwrap_or(0.0).abs() * 0.001;
        Self {
            bold: named || flags & FORCE_BOLD != 0 || weight >= 600.0,
            ascent: if (0.5..=1.1).contains(&ascent) { ascent.min(0.95) } else { 0.8 },
            descent: if (-0.4..=-0.1).contains(&descent) { -descent } else { 0.2 },
        }
    }
}
