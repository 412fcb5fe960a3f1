//! How the pieces of a file travel from the rendering child to its parent.
//!
//! A frame is a byte that says what it is, its length as four bytes, little end first, and
//! its body.

use std::io::{self, ErrorKind, Write};

use quaestor_core::problem::Problem;

/// No frame is longer.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// A piece is no longer, so that it fits into the parent's stream.
const PIECE_BYTES: usize = 256 << 10;

/// What the child tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The next bytes of the file.
    Piece(Vec<u8>),
    /// The last frame of a file that is whole.
    End,
    /// The last frame where there is no file, and why.
    Failed(Problem),
}

/// Writes bytes of the file as frames.
///
/// # Errors
/// What the writer says.
pub fn write_pieces(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes.chunks(PIECE_BYTES).try_for_each(|piece| write(out, 0, piece))
}

/// Writes the last frame.
///
/// # Errors
/// What the writer says.
pub fn write_last(out: &mut impl Write, end: &Result<(), Problem>) -> io::Result<()> {
    match end {
        Ok(()) => write(out, 1, &[])?,
        Err(problem) => write(out, 2, &serde_json::to_vec(problem)?)?,
    }
    out.flush()
}

fn write(out: &mut impl Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME_BYTES)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "a frame is too long"))?;
    out.write_all(&[kind])?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(body)
}

/// Puts frames together from pieces of a stream, however it is cut.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
}

impl FrameDecoder {
    /// Takes bytes and gives the frames that they complete.
    ///
    /// # Errors
    /// A frame that makes no sense; the stream is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<Frame>> {
        self.buffer.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(head) = self.buffer.get(at..at + 5) {
            let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if length > MAX_FRAME_BYTES {
                return Err(io::Error::new(ErrorKind::InvalidData, "a frame is too long"));
            }
            let kind = head[0];
            let Some(body) = self.buffer.get(at + 5..at + 5 + length) else { break };
            frames.push(match kind {
                0 => Frame::Piece(body.to_vec()),
                1 => Frame::End,
                2 => Frame::Failed(serde_json::from_slice(body)?),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "no frame begins so")),
            });
            at += 5 + length;
        }
        self.buffer.drain(..at);
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_however_the_stream_is_cut() {
        let problem = Problem::new("a", "b", "c");
        let mut sent = Vec::new();
        write_pieces(&mut sent, &vec![7; PIECE_BYTES + 1]).unwrap();
        write_last(&mut sent, &Err(problem.clone())).unwrap();
        for cut in [1, 3, 100_000, sent.len()] {
            let mut decoder = FrameDecoder::default();
            let read: Vec<Frame> =
                sent.chunks(cut).flat_map(|piece| decoder.push(piece).unwrap()).collect();
            let [Frame::Piece(first), Frame::Piece(second), last] = &read[..] else {
                panic!("{} frames", read.len());
            };
            assert_eq!((first.len(), second.len()), (PIECE_BYTES, 1));
            assert_eq!(last, &Frame::Failed(problem.clone()));
        }
        assert!(FrameDecoder::default().push(&[9, 0, 0, 0, 0]).is_err());
        assert!(FrameDecoder::default().push(&[0, 255, 255, 255, 255]).is_err());
    }
}
