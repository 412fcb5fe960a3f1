//! How do pages and passages travel from the parsing child to its parent?
//!
//! Every frame is its length as four bytes, little end first, and then its postcard
//! encoding. Pages are sent as they are parsed, so that neither side holds the document.

use std::io::{self, ErrorKind, Read, Write};

use quaestor_core::boxes;
use quaestor_core::parsed::{PageState, ParsedChunk, ParsedPage};
use quaestor_core::problem::Problem;
use serde::{Deserialize, Serialize};

use crate::refusal;

/// No frame is longer. A page's text is at most 64 MB by default, and its boxes less.
pub const MAX_FRAME_BYTES: usize = 128 << 20;

/// What the child tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame of a file that can be read.
    Begin {
        /// The media type by content.
        media_type: String,
        /// The document's own title.
        title: Option<String>,
        /// Which parser reads it.
        parser: String,
    },
    /// A page; its passages follow.
    Page(PageRecord),
    /// A passage of the page before.
    Chunk(ParsedChunk),
    /// The last frame of a file that was read.
    End {
        /// Pages sent.
        pages: u32,
        /// Passages sent.
        chunks: u32,
        /// Pages among them that could not be read.
        pages_unreadable: u32,
        /// What was left out, for people.
        warnings: Vec<String>,
    },
    /// The last frame of a file that could not be read, or not to its end.
    Failed(Problem),
    /// Behind the pages and passages sent so far a later parse can begin, with these bytes.
    Checkpoint(Vec<u8>),
}

/// A page without its structure, with its boxes packed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageRecord {
    /// The place in the document, from 0.
    pub ordinal: u32,
    /// The page's number, from 1; none where the format has no pages.
    pub number: Option<u32>,
    /// The sheet's name, the slide's title or the attachment's name.
    pub label: Option<String>,
    /// Whether the page gave text.
    pub state: RecordState,
    /// The canonical text.
    pub text: String,
    /// The boxes of the words, packed by [`boxes::encode`].
    pub boxes: Vec<u8>,
    /// Width and height in points (PDF only).
    pub size_pt: Option<(f32, f32)>,
}

/// [`PageState`] in a form that postcard can read: it knows no tagged enums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordState {
    /// The page has text.
    Text,
    /// The page is blank.
    Empty,
    /// The page shows only pictures.
    ImageOnly,
    /// The page could not be read, and why.
    Unreadable(String),
}

impl From<PageState> for RecordState {
    fn from(state: PageState) -> Self {
        match state {
            PageState::Text => Self::Text,
            PageState::Empty => Self::Empty,
            PageState::ImageOnly => Self::ImageOnly,
            PageState::Unreadable { reason } => Self::Unreadable(reason),
        }
    }
}

impl From<RecordState> for PageState {
    fn from(state: RecordState) -> Self {
        match state {
            RecordState::Text => Self::Text,
            RecordState::Empty => Self::Empty,
            RecordState::ImageOnly => Self::ImageOnly,
            RecordState::Unreadable(reason) => Self::Unreadable { reason },
        }
    }
}

impl From<ParsedPage> for PageRecord {
    fn from(page: ParsedPage) -> Self {
        Self {
            ordinal: page.ordinal,
            number: page.number,
            label: page.label,
            state: page.state.into(),
            boxes: boxes::encode(&page.boxes),
            text: page.text,
            size_pt: page.size_pt,
        }
    }
}

/// Writes a frame.
///
/// # Errors
/// What the writer says, or that the frame is longer than [`MAX_FRAME_BYTES`].
pub fn write_frame(out: &mut impl Write, frame: &Frame) -> io::Result<()> {
    let body = postcard::to_stdvec(frame)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME_BYTES)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a frame is too long to be sent"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&body)
}

/// Reads a frame; none where the stream ends between two.
///
/// # Errors
/// What the reader says, a stream that ends inside of a frame, or a frame that is too
/// long or makes no sense.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut length = [0; 4];
    let mut n_read = 0;
    while n_read < length.len() {
        match from.read(&mut length[n_read..])? {
            0 if n_read == 0 => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => n_read += n,
        }
    }
    let length = u32::from_le_bytes(length);
    let mut body = Vec::new();
    check_length(length as usize)?;
    from.take(u64::from(length)).read_to_end(&mut body)?;
    if body.len() < length as usize {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    decode(&body).map(Some)
}

fn check_length(length: usize) -> io::Result<()> {
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::new(ErrorKind::InvalidData, "a frame is longer than allowed"));
    }
    Ok(())
}

fn decode(body: &[u8]) -> io::Result<Frame> {
    postcard::from_bytes(body).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// Puts frames together from pieces of a stream, however it is cut.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes and gives the frames that they complete.
    ///
    /// # Errors
    /// A frame that is too long or makes no sense; the stream is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<Frame>> {
        self.buffer.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(length) = self.buffer.get(at..at + 4) {
            let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
            check_length(length)?;
            let Some(body) = self.buffer.get(at + 4..at + 4 + length) else { break };
            frames.push(decode(body)?);
            at += 4 + length;
        }
        self.buffer.drain(..at);
        Ok(frames)
    }

    /// Whether the stream may end here: no frame was begun.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// What a child's end without a last frame means, by its exit code or its signal.
#[must_use]
pub fn explain_exit(code: Option<i32>, signal: Option<i32>) -> Problem {
    const SIGABRT: i32 = 6;
    const SIGBUS: i32 = 7;
    const SIGKILL: i32 = 9;
    const SIGSEGV: i32 = 11;
    const SIGXCPU: i32 = 24;
    match signal {
        Some(SIGKILL | SIGXCPU) => {
            refusal::limit_reached("reading the file took longer than allowed")
        }
        // A program that is refused memory aborts.
        Some(SIGABRT) => refusal::limit_reached("reading the file took more memory than allowed"),
        Some(SIGSEGV | SIGBUS) => refusal::damaged("the file made its reader fail"),
        Some(signal) => refusal::damaged(&format!("reading the file was ended by signal {signal}")),
        None => match code {
            Some(0) | None => refusal::damaged("the file's reader ended without an answer"),
            Some(code) => refusal::damaged(&format!("the file's reader ended with code {code}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Begin {
                media_type: "text/plain".to_owned(),
                title: None,
                parser: "text 1".to_owned(),
            },
            Frame::Page(PageRecord {
                ordinal: 0,
                number: Some(1),
                label: None,
                state: RecordState::Unreadable("why".to_owned()),
                text: "é".repeat(1000),
                boxes: vec![1, 2, 3],
                size_pt: Some((612.0, 792.0)),
            }),
            Frame::Failed(refusal::encrypted()),
        ]
    }

    #[test]
    fn frames_come_back_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        for frame in frames() {
            write_frame(&mut stream, &frame).unwrap();
        }
        for size in [1, 3, 7, 1000, stream.len()] {
            let mut decoder = FrameDecoder::new();
            let mut got = Vec::new();
            for piece in stream.chunks(size) {
                got.extend(decoder.push(piece).unwrap());
            }
            assert_eq!(got, frames());
            assert!(decoder.is_at_boundary());
        }
        let mut from = stream.as_slice();
        let mut got = Vec::new();
        while let Some(frame) = read_frame(&mut from).unwrap() {
            got.push(frame);
        }
        assert_eq!(got, frames());
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_is_read() {
        assert!(FrameDecoder::new().push(&[0xff; 8]).is_err());
        assert!(read_frame(&mut [0xff_u8; 8].as_slice()).is_err());
        assert!(read_frame(&mut [5_u8, 0, 0, 0, 1].as_slice()).is_err());
    }

    #[test]
    fn ends_by_signal_are_explained() {
        assert_eq!(explain_exit(None, Some(9)).code, refusal::LIMIT_REACHED);
        assert_eq!(explain_exit(None, Some(6)).code, refusal::LIMIT_REACHED);
        assert_eq!(explain_exit(None, Some(11)).code, refusal::DAMAGED);
        assert_eq!(explain_exit(Some(3), None).code, refusal::DAMAGED);
    }
}
