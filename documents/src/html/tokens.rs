//! Where do a page's tags and its text begin and end?
//!
//! A full HTML5 tree costs several times the memory of the file and, for hostile input,
//! quadratic time in attributes. All that is wanted here is text with a little structure,
//! so tags are cut by hand, each byte being looked at a bounded number of times.

use std::borrow::Cow;

use html5ever::data::NAMED_ENTITIES;

/// A piece of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Text with its entities still in it.
    Text(&'a str),
    /// A start tag: its name as written, its attributes as written, and whether it closes
    /// itself.
    Start(&'a str, &'a str, bool),
    /// An end tag's name as written.
    End(&'a str),
}

/// Cuts a file into tokens. Comments, declarations and processing instructions are
/// passed over, as is what stands in `script` and `style`.
pub(super) struct Tokens<'a> {
    rest: &'a str,
    /// Set once a quote was found to have no partner: looking again would be quadratic.
    odd_quotes: [bool; 2],
    /// Set once `-->` or the like was looked for in vain.
    open_comment: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(html: &'a str) -> Self {
        Self { rest: html, odd_quotes: [false; 2], open_comment: false }
    }

    fn skip_past(&mut self, mark: &str) {
        if !self.open_comment
            && let Some(at) = self.rest.find(mark)
        {
            self.rest = &self.rest[at + mark.len()..];
        } else {
            // A comment that is never closed hides nothing but itself.
            self.open_comment = true;
            let at = self.rest.find('>').map_or(self.rest.len(), |at| at + 1);
            self.rest = &self.rest[at..];
        }
    }

    /// The length of a tag's inside up to its `>`, quotes respected.
    fn tag_end(&mut self, inside: &str) -> usize {
        let bytes = inside.as_bytes();
        let mut at = 0;
        // A quote counts only where a value begins, so that an apostrophe does no harm.
        let mut after_equals = false;
        while at < bytes.len() {
            match bytes[at] {
                b'>' => return at,
                quote @ (b'"' | b'\'') if after_equals => {
                    let which = usize::from(quote == b'"');
                    let close = if self.odd_quotes[which] {
                        None
                    } else {
                        inside[at + 1..].find(char::from(quote))
                    };
                    match close {
                        Some(n) => at += n + 1,
                        None => self.odd_quotes[which] = true,
                    }
                    after_equals = false;
                }
                b'=' => after_equals = true,
                b if b.is_ascii_whitespace() => {}
                _ => after_equals = false,
            }
            at += 1;
        }
        bytes.len()
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let Some(after) = self.rest.strip_prefix('<') else {
                let end = self.rest.find('<').unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                return Some(Token::Text(text));
            };
            match after.bytes().next() {
                Some(b'!') if after.starts_with("!--") => {
                    self.rest = &after[3..];
                    self.skip_past("-->");
                }
                Some(b'!') if after.starts_with("![CDATA[") => {
                    self.rest = &after[8..];
                    self.skip_past("]]>");
                }
                Some(b'!' | b'?') => self.skip_past(">"),
                Some(b'/') if after[1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    let end = after.find('>').unwrap_or(after.len());
                    let name = name_of(&after[1..end]);
                    self.rest = after.get(end + 1..).unwrap_or("");
                    return Some(Token::End(name));
                }
                Some(b) if b.is_ascii_alphabetic() => {
                    let name = name_of(after);
                    let inside = &after[name.len()..];
                    let end = self.tag_end(inside);
                    let attributes = &inside[..end];
                    self.rest = inside.get(end + 1..).unwrap_or("");
                    if name.eq_ignore_ascii_case("script") || name.eq_ignore_ascii_case("style") {
                        self.skip_raw(name);
                        continue;
                    }
                    let closed = attributes.ends_with('/');
                    return Some(Token::Start(name, attributes.trim_end_matches('/'), closed));
                }
                _ => {
                    // A lone `<` is text.
                    let end = after.find('<').map_or(self.rest.len(), |at| at + 1);
                    let (text, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    return Some(Token::Text(text));
                }
            }
        }
    }
}

impl Tokens<'_> {
    /// Passes over everything up to the end tag of a raw element.
    fn skip_raw(&mut self, name: &str) {
        let mut from = 0;
        while let Some(at) = self.rest[from..].find("</") {
            let tag = &self.rest[from + at + 2..];
            if tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
                self.rest = tag;
                let end = self.rest.find('>').map_or(self.rest.len(), |at| at + 1);
                self.rest = &self.rest[end..];
                return;
            }
            from += at + 2;
        }
        self.rest = "";
    }
}

fn name_of(tag: &str) -> &str {
    let end =
        tag.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/').unwrap_or(tag.len());
    &tag[..end]
}

/// The attributes of a tag as name and value, entities not decoded.
pub(super) fn attributes(mut rest: &str) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/' || c == '=');
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
            rest = after;
            return Some((name, ""));
        };
        let quote = value.chars().next().filter(|&c| c == '"' || c == '\'');
        let (value, after) = match quote {
            Some(quote) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            None => {
                value.split_at(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len()))
            }
        };
        rest = after;
        Some((name, value))
    })
}

/// The longest name of an entity that is looked up.
const MAX_ENTITY_BYTES: usize = 33;

/// Text with its entities decoded. What is no entity stays as it is.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find('&') else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    out.push_str(&text[..first]);
    let mut rest = &text[first..];
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let used = entity(rest, &mut out);
        if used == 0 {
            out.push('&');
            rest = &rest[1..];
        } else {
            rest = &rest[used..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Decodes the entity at the start of `text` into `out`; the bytes it took, or 0.
fn entity(text: &str, out: &mut String) -> usize {
    if let Some(number) = text.strip_prefix("&#") {
        let (digits, radix, lead) = match number.strip_prefix(['x', 'X']) {
            Some(hex) => (hex, 16, 3),
            None => (number, 10, 2),
        };
        let n = digits.bytes().take(8).take_while(|&b| char::from(b).is_digit(radix)).count();
        let Ok(value) = u32::from_str_radix(&digits[..n], radix) else { return 0 };
        out.push(code_point(value));
        return lead + n + usize::from(digits[n..].starts_with(';'));
    }
    let name = &text[1..];
    let n = name.bytes().take(MAX_ENTITY_BYTES).take_while(u8::is_ascii_alphanumeric).count();
    let with_mark = n + usize::from(name[n..].starts_with(';'));
    // Old entities work without `;`, the longest first: `&nbspText`, `&ampx`.
    for end in [with_mark].into_iter().chain((2..=n.min(6)).rev()) {
        if let Some(&(a, b)) = NAMED_ENTITIES.get(&name[..end])
            && a != 0
        {
            out.extend([a, b].into_iter().filter(|&c| c != 0).filter_map(char::from_u32));
            return 1 + end;
        }
    }
    0
}

/// Numbers from 128 to 159 mean windows-1252 on every page that has them.
fn code_point(value: u32) -> char {
    if let Ok(byte @ 0x80..=0x9f) = u8::try_from(value) {
        let bytes = [byte];
        let text = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&bytes).0;
        return text.chars().next().unwrap_or('\u{fffd}');
    }
    char::from_u32(value).filter(|&c| c != '\0').unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_decoded_and_what_is_none_stays() {
        assert_eq!(decode("AT&amp;T &#8212; &#x2014; &nbsp;&#146;"), "AT&T — — \u{a0}’");
        assert_eq!(decode("R&D &copy2024 &unknown; &"), "R&D ©2024 &unknown; &");
        assert_eq!(decode("&#xD800;&#0;"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn tags_end_where_they_end() {
        let tokens: Vec<_> = Tokens::new("<p class=\"a>b\">x</p><br/><!-- <b> -->1 < 2").collect();
        assert_eq!(
            tokens,
            [
                Token::Start("p", " class=\"a>b\"", false),
                Token::Text("x"),
                Token::End("p"),
                Token::Start("br", "", true),
                Token::Text("1 "),
                Token::Text("< 2"),
            ]
        );
    }

    #[test]
    fn a_million_attributes_and_open_quotes_take_linear_time() {
        let many = format!("<p {}>x", "a=1 ".repeat(1_000_000));
        assert_eq!(Tokens::new(&many).count(), 2);
        let open = "<a b=\"".repeat(200_000);
        assert!(Tokens::new(&open).count() <= 200_000);
        let comments = "<!--".repeat(200_000);
        assert_eq!(Tokens::new(&comments).count(), 0);
    }
}
