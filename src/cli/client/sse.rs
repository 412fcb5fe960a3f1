//! How does a stream of server-sent events come apart into events?

use bytes::{Buf, BytesMut};

/// An event larger than this is not one of ours.
const MAX_EVENT_BYTES: usize = 4 << 20;

/// One event as the wire has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// The `id` field, to resume after.
    pub id: Option<String>,
    /// The `event` field.
    pub name: Option<String>,
    /// The `data` lines, joined by line breaks.
    pub data: String,
}

/// An event that grew beyond what is taken.
#[derive(Debug, thiserror::Error)]
#[error("an event of the stream is larger than {MAX_EVENT_BYTES} bytes")]
pub(crate) struct TooLarge;

/// Takes bytes as they come and gives whole events.
#[derive(Debug, Default)]
pub(crate) struct SseReader {
    buffer: BytesMut,
    event: SseEvent,
    has_data: bool,
}

impl SseReader {
    /// Takes the next bytes; the events that are whole now are added to `events`.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<SseEvent>,
    ) -> Result<(), TooLarge> {
        self.buffer.extend_from_slice(bytes);
        while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            let line = String::from_utf8_lossy(&line);
            if let Some(event) = self.line(line.trim_end_matches('\r')) {
                events.push(event);
            }
        }
        if self.buffer.len() + self.event.data.len() > MAX_EVENT_BYTES {
            return Err(TooLarge);
        }
        Ok(())
    }

    /// An empty line ends an event; one that begins with a colon is a sign of life.
    fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.event.id = Some(value.to_owned()),
            "event" => {
                self.event.name = Some(value.to_owned());
                self.has_data = true;
            }
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let stream = ": ping\n\nid: 1-1\nevent: token\ndata: {\"a\":\"é\"}\n\nid:1-2\r\ndata: x\r\ndata: y\r\n\r\n\
                      event: gap\n\nretry: 5\n\n";
        let mut whole = Vec::new();
        SseReader::default().take(stream.as_bytes(), &mut whole).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0].id.as_deref(), Some("1-1"));
        assert_eq!(whole[0].data, "{\"a\":\"é\"}");
        assert_eq!(whole[1].data, "x\ny");
        assert_eq!(whole[2].name.as_deref(), Some("gap"));
        for size in 1..9 {
            let (mut reader, mut pieces) = (SseReader::default(), Vec::new());
            for part in stream.as_bytes().chunks(size) {
                reader.take(part, &mut pieces).unwrap();
            }
            assert_eq!(pieces, whole, "cut every {size} bytes");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = SseReader::default();
        let line = [b'a'; 1 << 16];
        let refused = (0..200).any(|_| reader.take(&line, &mut Vec::new()).is_err());
        assert!(refused);
    }
}
