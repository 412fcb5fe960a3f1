//! Frames: pieces of a bundle, each with a seal over everything up to it.

use std::io::{Read, Write};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{BundleError, MAGIC};
use crate::ports::bundles::SealBroken;
use crate::ports::objects::ByteStream;

/// Kind, flags and two lengths.
const HEAD: usize = 10;
/// The half of a seal that is written down.
const SEAL: usize = 16;
/// The largest payload: one record at least has to fit, and the text of a document is at
/// most 64 MB by default. A length that is damaged must not ask for all memory.
const LARGEST: u32 = 256 << 20;
/// The payload is deflated.
const DEFLATED: u8 = 1;
/// What is smaller is left as it is.
const WORTH_DEFLATING: usize = 128;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table in the module's text says what each is")]
pub enum Kind {
    Header = 1,
    Table = 2,
    Rows = 3,
    File = 4,
    Bytes = 5,
    FileEnd = 6,
    Trailer = 7,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [
            Self::Header,
            Self::Table,
            Self::Rows,
            Self::File,
            Self::Bytes,
            Self::FileEnd,
            Self::Trailer,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A frame as it was read: its seal held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: Kind,
    /// The payload, inflated.
    pub payload: Vec<u8>,
}

/// The seal of all that was before.
#[derive(Clone, Debug)]
struct Chain([u8; 32]);

impl Chain {
    fn new() -> Self {
        Self(Sha256::digest(MAGIC).into())
    }

    fn add(&mut self, head: &[u8], payload: &[u8]) -> [u8; SEAL] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(head);
        hash.update(payload);
        self.0 = hash.finalize().into();
        let mut seal = [0; SEAL];
        seal.copy_from_slice(&self.0[..SEAL]);
        seal
    }
}

/// Makes frames.
#[derive(Debug)]
pub struct FrameWriter {
    chain: Chain,
}

impl FrameWriter {
    /// The beginning of a bundle, and what makes the rest.
    #[must_use]
    pub fn begin() -> (Bytes, Self) {
        (Bytes::from_static(MAGIC), Self { chain: Chain::new() })
    }

    /// A frame, deflated where `deflate` is wanted and makes it smaller. Returns its bytes
    /// and whether it was.
    ///
    /// # Errors
    /// Where the payload is larger than any frame may be.
    pub fn frame(
        &mut self,
        kind: Kind,
        payload: &[u8],
        deflate: bool,
    ) -> Result<(Bytes, bool), BundleError> {
        let plain = u32::try_from(payload.len()).ok().filter(|length| *length <= LARGEST);
        let Some(plain) = plain else {
            let source = format!("it has {} bytes, and {LARGEST} is the most", payload.len());
            return Err(BundleError::Write { what: "a record", source: source.into() });
        };
        let deflated = match deflate && payload.len() >= WORTH_DEFLATING {
            true => deflate_to_less(payload)?,
            false => None,
        };
        let is_deflated = deflated.is_some();
        let stored = deflated.as_deref().unwrap_or(payload);
        let mut bytes = BytesMut::with_capacity(HEAD + stored.len() + SEAL);
        bytes.extend_from_slice(&[kind as u8, if is_deflated { DEFLATED } else { 0 }]);
        // Less than `plain`, which is a u32.
        let length = u32::try_from(stored.len()).unwrap_or(LARGEST);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&plain.to_le_bytes());
        let seal = self.chain.add(&bytes, stored);
        bytes.extend_from_slice(stored);
        bytes.extend_from_slice(&seal);
        Ok((bytes.freeze(), is_deflated))
    }

    /// A frame of JSON.
    ///
    /// # Errors
    /// Where the value has no JSON.
    pub fn json(&mut self, kind: Kind, value: &impl Serialize) -> Result<Bytes, BundleError> {
        let payload = serde_json::to_vec(value)
            .map_err(|error| BundleError::Write { what: "a frame", source: error.into() })?;
        Ok(self.frame(kind, &payload, true)?.0)
    }

    /// A frame of postcard.
    ///
    /// # Errors
    /// Where the value cannot be written.
    pub fn postcard(&mut self, kind: Kind, value: &impl Serialize) -> Result<Bytes, BundleError> {
        let payload = postcard::to_stdvec(value)
            .map_err(|error| BundleError::Write { what: "a frame", source: error.into() })?;
        Ok(self.frame(kind, &payload, true)?.0)
    }
}

/// The payload deflated, where that is a twentieth less or more.
fn deflate_to_less(payload: &[u8]) -> Result<Option<Vec<u8>>, BundleError> {
    let mut encoder =
        DeflateEncoder::new(Vec::with_capacity(payload.len() / 2), Compression::fast());
    let deflated = encoder.write_all(payload).and_then(|()| encoder.finish());
    let deflated =
        deflated.map_err(|error| BundleError::Write { what: "a frame", source: error.into() })?;
    Ok((deflated.len() < payload.len() - payload.len() / 20).then_some(deflated))
}

/// Reads frames, and holds each to its seal.
pub struct FrameReader {
    bytes: ByteStream,
    buffer: BytesMut,
    chain: Chain,
    /// How many bytes were read and were fine.
    at: u64,
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReader").field("at", &self.at).finish_non_exhaustive()
    }
}

impl FrameReader {
    /// Reads the beginning of a bundle.
    ///
    /// # Errors
    /// Where it is none.
    pub async fn begin(bytes: ByteStream) -> Result<Self, BundleError> {
        let mut reader = Self { bytes, buffer: BytesMut::new(), chain: Chain::new(), at: 0 };
        if !reader.fill(MAGIC.len()).await? || reader.buffer[..MAGIC.len()] != *MAGIC {
            return Err(BundleError::NoBundle);
        }
        reader.take(MAGIC.len());
        Ok(reader)
    }

    /// How many bytes were read and were fine.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next frame.
    ///
    /// # Errors
    /// Where the bundle ends or is not what was written.
    pub async fn next(&mut self) -> Result<Frame, BundleError> {
        if !self.fill(HEAD).await? {
            return Err(BundleError::CutOff { at: self.at + self.buffer.len() as u64 });
        }
        let head: [u8; HEAD] = self.head();
        let stored = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let plain = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
        if stored > LARGEST || plain > LARGEST {
            return Err(self.damaged("a length cannot be"));
        }
        let whole = HEAD + stored as usize + SEAL;
        if !self.fill(whole).await? {
            return Err(BundleError::CutOff { at: self.at + self.buffer.len() as u64 });
        }
        let frame = self.take(whole);
        let payload = &frame[HEAD..HEAD + stored as usize];
        if self.chain.add(&head, payload) != frame[HEAD + stored as usize..] {
            return Err(self.damaged("what stands there is not what was written"));
        }
        let kind = Kind::of(head[0]).filter(|_| head[1] <= DEFLATED);
        let Some(kind) = kind else {
            return Err(self.damaged("a part of an unknown kind"));
        };
        let payload = match head[1] {
            DEFLATED => {
                inflate(payload, plain).ok_or_else(|| self.damaged("it does not inflate"))?
            }
            _ => payload.to_vec(),
        };
        if payload.len() != plain as usize {
            return Err(self.damaged("a part has another length than it says"));
        }
        self.at += whole as u64;
        Ok(Frame { kind, payload })
    }

    /// Makes sure that nothing follows.
    ///
    /// # Errors
    /// Where something does.
    pub async fn end(&mut self) -> Result<(), BundleError> {
        if self.fill(1).await? { Err(self.damaged("something follows its end")) } else { Ok(()) }
    }

    /// A value in a frame of JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json<T: DeserializeOwned>(&self, frame: &Frame) -> Result<T, BundleError> {
        serde_json::from_slice(&frame.payload)
            .map_err(|error| self.damaged(&format!("a part cannot be read ({error})")))
    }

    /// A value in a frame of postcard.
    ///
    /// # Errors
    /// Where it is none.
    pub fn postcard<T: DeserializeOwned>(&self, frame: &Frame) -> Result<T, BundleError> {
        postcard::from_bytes(&frame.payload)
            .map_err(|error| self.damaged(&format!("a part cannot be read ({error})")))
    }

    /// The error about what was just read.
    #[must_use]
    pub fn damaged(&self, what: &str) -> BundleError {
        BundleError::Damaged { at: self.at, what: what.to_owned() }
    }

    fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head.copy_from_slice(&self.buffer[..HEAD]);
        head
    }

    fn take(&mut self, bytes: usize) -> BytesMut {
        if bytes == MAGIC.len() && self.at == 0 {
            self.at = bytes as u64;
        }
        self.buffer.split_to(bytes)
    }

    /// Reads until so many bytes are at hand; says whether there are that many.
    async fn fill(&mut self, wanted: usize) -> Result<bool, BundleError> {
        while self.buffer.len() < wanted {
            match self.bytes.next().await {
                None => return Ok(false),
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                Some(Err(source)) if source.is::<SealBroken>() => {
                    return Err(self.damaged(&source.to_string()));
                }
                Some(Err(source)) => return Err(BundleError::Read { at: self.at, source }),
            }
        }
        Ok(true)
    }
}

fn inflate(deflated: &[u8], plain: u32) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    // One byte more than it may be, so that one that is longer shows.
    let read = DeflateDecoder::new(deflated).take(u64::from(plain) + 1).read_to_end(&mut inflated);
    read.ok().map(|_| inflated)
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn bundle() -> Vec<u8> {
        let (begin, mut writer) = FrameWriter::begin();
        let mut bytes = begin.to_vec();
        let long = "the same again and again ".repeat(400);
        for (kind, payload) in
            [(Kind::Header, "{}"), (Kind::Rows, &long), (Kind::Bytes, "%PDF"), (Kind::Trailer, "")]
        {
            bytes.extend_from_slice(&writer.frame(kind, payload.as_bytes(), true).unwrap().0);
        }
        bytes
    }

    /// Reads to the trailer and past it, in pieces of no even length.
    async fn read(bytes: &[u8]) -> Result<Vec<Frame>, BundleError> {
        let pieces: Vec<_> = bytes.chunks(7).map(|p| Ok(Bytes::copy_from_slice(p))).collect();
        let mut reader = FrameReader::begin(stream::iter(pieces).boxed()).await?;
        let mut frames = Vec::new();
        loop {
            let frame = reader.next().await?;
            let last = frame.kind == Kind::Trailer;
            frames.push(frame);
            if last {
                reader.end().await?;
                return Ok(frames);
            }
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let bytes = bundle();
        let frames = read(&bytes).await.unwrap();
        assert_eq!(frames.len(), 4);
        assert_eq!(frames[1].payload.len(), 10_000);
        assert_eq!(frames[2], Frame { kind: Kind::Bytes, payload: b"%PDF".to_vec() });
        assert!(bytes.len() < 1_000, "{}: what repeats is deflated", bytes.len());
    }

    #[tokio::test]
    async fn every_flipped_bit_is_found() {
        let good = bundle();
        for place in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[place] ^= 1 << bit;
                let error = read(&bytes).await.unwrap_err();
                let told = error.to_string();
                assert!(told.contains("take another one"), "{place}.{bit}: {told}");
            }
        }
    }

    #[tokio::test]
    async fn every_cut_is_found() {
        let good = bundle();
        for length in 0..good.len() {
            let error = read(&good[..length]).await.unwrap_err();
            assert!(
                matches!(error, BundleError::CutOff { .. } | BundleError::NoBundle),
                "{length}: {error}"
            );
        }
        let mut longer = good;
        longer.push(0);
        assert!(read(&longer).await.unwrap_err().to_string().contains("follows its end"));
    }

    #[tokio::test]
    async fn frames_in_another_order_or_of_another_bundle_are_found() {
        let frames = |salt: &str| {
            let (begin, mut writer) = FrameWriter::begin();
            let mut frames = vec![begin];
            for payload in [salt, "two", "three"] {
                frames.push(writer.frame(Kind::Bytes, payload.as_bytes(), true).unwrap().0);
            }
            frames.push(writer.frame(Kind::Trailer, b"", true).unwrap().0);
            frames
        };
        let (one, other) = (frames("one"), frames("other"));
        assert!(read(&one.concat()).await.is_ok());
        let mut swapped = one.clone();
        swapped.swap(2, 3);
        let mut without = one.clone();
        without.remove(2);
        let mut doubled = one.clone();
        doubled.insert(2, one[2].clone());
        let mut mixed = one.clone();
        mixed[3] = other[3].clone();
        for wrong in [swapped, without, doubled, mixed] {
            assert!(matches!(read(&wrong.concat()).await, Err(BundleError::Damaged { .. })));
        }
    }
}
