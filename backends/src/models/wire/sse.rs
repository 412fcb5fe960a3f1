//! Reads a stream of events, as the WHATWG's standard of server-sent events says, however
//! its bytes are split, and with a limit on what it holds.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>

use std::borrow::Cow;
use std::collections::VecDeque;

/// A line, and all data of one event, may be this long.
pub(in crate::models) const MAX_LINE_BYTES: usize = 1024 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event. Its id and the time to reconnect mean nothing here: nothing reconnects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::models) struct Event {
    /// The type; empty where it is the ordinary `message`.
    pub(in crate::models) kind: String,
    /// The data, its lines joined by line feeds.
    pub(in crate::models) data: String,
}

/// A line, or the data of an event, is longer than anything sensible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {MAX_LINE_BYTES} bytes")]
pub(in crate::models) struct TooLong;

/// Takes bytes in and gives events out. An event that the end of the bytes leaves without
/// its blank line is none, as the standard says.
#[derive(Debug, Default)]
pub(in crate::models) struct Parser {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The last byte was a carriage return, so that a line feed belongs to it.
    after_cr: bool,
    /// The first line was read: a byte order mark after it is text.
    begun: bool,
    event: Event,
    /// A `data` field came, though it may have been empty.
    has_data: bool,
}

impl Parser {
    /// Reads what came and adds the events that it completes.
    pub(in crate::models) fn read(
        &mut self,
        mut bytes: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), TooLong> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (part, rest) = bytes.split_at(at);
            if self.line.is_empty() {
                self.line(part, events)?;
            } else {
                self.keep(part)?;
                let line = std::mem::take(&mut self.line);
                self.line(&line, events)?;
                self.line = line;
                self.line.clear();
            }
            bytes = &rest[1..];
            if rest[0] == b'\r' {
                match bytes.first() {
                    Some(b'\n') => bytes = &bytes[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        self.keep(bytes)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + part.len() > MAX_LINE_BYTES {
            return Err(TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn line(&mut self, mut line: &[u8], events: &mut VecDeque<Event>) -> Result<(), TooLong> {
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(TooLong);
        }
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push_back(event);
            }
            return Ok(());
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(0) => return Ok(()),
            Some(at) => {
                let value = &line[at + 1..];
                (&line[..at], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                let value = text(value);
                if self.event.data.len() + value.len() > MAX_LINE_BYTES {
                    return Err(TooLong);
                }
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(&value);
            }
            b"event" => self.event.kind = text(value).into_owned(),
            _ => {}
        }
        Ok(())
    }
}

/// Bytes that are no UTF-8 become U+FFFD. A line may be decoded by itself: no character
/// reaches over its end.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How often each stream of the property is split anew.
    const SPLITTINGS: usize = 50;

    /// The standard's text, a sentence at a time, over the whole stream at once.
    fn reference(bytes: &[u8]) -> Vec<Event> {
        let stream = String::from_utf8_lossy(bytes);
        let stream = stream.strip_prefix('\u{feff}').unwrap_or(&stream);
        let stream = stream.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines: Vec<&str> = stream.split('\n').collect();
        // What the last line feed is not after is no line yet.
        lines.pop();
        let (mut data, mut kind, mut events) = (String::new(), String::new(), Vec::new());
        for line in lines {
            if line.is_empty() {
                if !data.is_empty() {
                    let data = data.strip_suffix('\n').unwrap().to_owned();
                    events.push(Event { kind: kind.clone(), data });
                }
                data.clear();
                kind.clear();
            } else if !line.starts_with(':') {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "data" => {
                        data.push_str(value);
                        data.push('\n');
                    }
                    "event" => kind = value.to_owned(),
                    _ => {}
                }
            }
        }
        events
    }

    fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        for piece in pieces {
            parser.read(piece, &mut events).unwrap();
        }
        events.into()
    }

    /// Everything that has a meaning in a stream, and what looks as if it had.
    fn fragment() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(b"data: ".to_vec()),
            Just(b"data:".to_vec()),
            Just(b"data".to_vec()),
            Just(b"event: error".to_vec()),
            Just(b"id: 7\nretry: 3\n".to_vec()),
            Just(b": a comment".to_vec()),
            Just(b" data: not a field".to_vec()),
            Just(b"data: {\"choices\":[]}\n\n".to_vec()),
            Just(b"data: [DONE]\r\n\r\n".to_vec()),
            Just(BOM.to_vec()),
            Just("ümläut \u{1f642} \u{2028}".as_bytes().to_vec()),
            Just(b"\xf0\x9f\x99".to_vec()),
            Just(b"\xff\xc3".to_vec()),
            Just(b"\0".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ]
    }

    proptest! {
        // With the splittings of each stream these are a hundred thousand.
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn events_are_those_of_the_standard_however_the_bytes_are_split(
            fragments in proptest::collection::vec(fragment(), 0..24),
            splits in proptest::collection::vec(
                proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
                SPLITTINGS,
            ),
        ) {
            let stream = fragments.concat();
            let wanted = reference(&stream);
            for split in splits {
                let mut places: Vec<usize> =
                    split.iter().map(|place| place.index(stream.len() + 1)).collect();
                places.extend([0, stream.len()]);
                places.sort_unstable();
                let pieces = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]);
                prop_assert_eq!(&parse(pieces), &wanted);
            }
            prop_assert_eq!(&parse(stream.chunks(1)), &wanted);
        }
    }

    #[test]
    fn the_examples_of_the_standard_are_read_as_it_says() {
        let event = |kind: &str, data: &str| Event { kind: kind.to_owned(), data: data.to_owned() };
        for (stream, wanted) in [
            ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![event("", "YHOO\n+2\n10")]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec![
                    event("", "first event"),
                    event("", "second event"),
                    event("", " third event"),
                ],
            ),
            ("data\n\ndata\ndata\n\ndata:", vec![event("", ""), event("", "\n")]),
            ("data:test\n\ndata: test\n\n", vec![event("", "test"), event("", "test")]),
            ("event: add\ndata: 73857293\n\n", vec![event("add", "73857293")]),
        ] {
            assert_eq!(parse([stream.as_bytes()]), wanted, "{stream:?}");
        }
    }

    #[test]
    fn what_has_no_end_is_refused_before_it_is_held() {
        let piece = vec![b'x'; 300 * 1024];
        let mut parser = Parser::default();
        let read: Vec<bool> =
            (0..4).map(|_| parser.read(&piece, &mut VecDeque::new()).is_ok()).collect();
        assert_eq!(read, [true, true, true, false]);
        // Nor may many lines make one event that is longer.
        let mut parser = Parser::default();
        let line = [b"data: ", &piece[..], b"\n"].concat();
        let read: Vec<bool> =
            (0..4).map(|_| parser.read(&line, &mut VecDeque::new()).is_ok()).collect();
        assert_eq!(read, [true, true, true, false]);
    }
}
