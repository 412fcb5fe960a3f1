//! May this archive be unpacked, and what is in it?

use std::io::{Cursor, Read};

use quaestor_core::problem::Problem;
use zip::ZipArchive;

use crate::limits::Limits;
use crate::refusal;

/// An archive that unpacks to less than this is not held to the ratio: small office files
/// hold parts of one repeated byte that pack a thousandfold.
const SMALL_BYTES: u64 = 16_000_000;

/// The end record of an archive is at most this far from its end.
const END_REACH: usize = 65_557;

/// An archive whose directory was checked against the limits.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    limit: u64,
}

impl<'a> Archive<'a> {
    /// Opens an archive after its directory was checked: entries, sizes, ratio, overlap.
    ///
    /// # Errors
    /// `limit_reached`, `encrypted`, or `damaged`.
    pub(crate) fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, Problem> {
        let too_many = || {
            refusal::limit_reached(&format!(
                "the archive has more than {} entries",
                limits.archive_entries
            ))
        };
        // Before the directory is read: a million empty entries cost memory by themselves.
        if declared_entries(bytes).is_some_and(|n| n > limits.archive_entries) {
            return Err(too_many());
        }
        let mut zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|_| refusal::damaged("the archive inside the file cannot be read"))?;
        if zip.len() > limits.archive_entries as usize {
            return Err(too_many());
        }
        let (mut packed, mut unpacked) = (0_u64, 0_u64);
        let mut encrypted = false;
        for index in 0..zip.len() {
            let entry = zip
                .by_index_raw(index)
                .map_err(|_| refusal::damaged("an entry of the archive cannot be found"))?;
            packed = packed.saturating_add(entry.compressed_size());
            unpacked = unpacked.saturating_add(entry.size());
            encrypted |= entry.encrypted();
        }
        let ratio = u64::from(limits.archive_ratio);
        if unpacked > limits.archive_bytes {
            return Err(refusal::limit_reached(&format!(
                "the file unpacks to more than {} MB",
                limits.archive_bytes / 1_000_000
            )));
        }
        if unpacked > SMALL_BYTES && unpacked / ratio > bytes.len() as u64 {
            return Err(refusal::limit_reached(&format!(
                "the file unpacks to more than {ratio} times its size"
            )));
        }
        if packed > bytes.len() as u64 {
            return Err(refusal::damaged("entries of the archive overlap"));
        }
        if encrypted {
            return Err(refusal::encrypted());
        }
        Ok(Self { zip, limit: limits.archive_bytes })
    }

    /// The names of the entries.
    pub(crate) fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(Result::ok).map(|name| name.into_owned()).collect()
    }

    /// Inflates every entry once and throws it away, so that a directory that lies about
    /// sizes is found before a reader that trusts it allocates.
    ///
    /// # Errors
    /// `limit_reached`.
    pub(crate) fn check_sizes(&mut self) -> Result<(), Problem> {
        let mut total = 0_u64;
        for index in 0..self.zip.len() {
            let left = self.limit.saturating_sub(total);
            let Ok(entry) = self.zip.by_index(index) else { continue };
            // A broken entry is the reader's to report; only the size matters here.
            total += std::io::copy(&mut entry.take(left + 1), &mut std::io::sink()).unwrap_or(0);
            if total > self.limit {
                return Err(self.too_big());
            }
        }
        Ok(())
    }

    fn too_big(&self) -> Problem {
        refusal::limit_reached(&format!(
            "the file unpacks to more than {} MB",
            self.limit / 1_000_000
        ))
    }

    /// An entry's bytes, or none where there is no such entry. Names differ only in case
    /// or in the slash's direction in some writers' files.
    ///
    /// # Errors
    /// `limit_reached`, or `damaged` where nothing of it could be unpacked.
    pub(crate) fn part(&mut self, name: &str) -> Result<Option<Vec<u8>>, Problem> {
        let index = self.zip.index_for_name(name).or_else(|| {
            let same = |other: &str| other.replace('\\', "/").eq_ignore_ascii_case(name);
            self.names().into_iter().find(|n| same(n)).and_then(|n| self.zip.index_for_name(&n))
        });
        let Some(index) = index else { return Ok(None) };
        let damaged = || refusal::damaged("a part of the file cannot be unpacked");
        let entry = self.zip.by_index(index).map_err(|_| damaged())?;
        let mut bytes = Vec::new();
        let read = entry.take(self.limit + 1).read_to_end(&mut bytes);
        if bytes.len() as u64 > self.limit {
            return Err(self.too_big());
        }
        match read {
            Err(_) if bytes.is_empty() => Err(damaged()),
            // What was unpacked before the damage is still worth reading.
            _ => Ok(Some(bytes)),
        }
    }
}

/// How many entries the end record declares.
fn declared_entries(bytes: &[u8]) -> Option<u32> {
    let tail = &bytes[bytes.len().saturating_sub(END_REACH)..];
    let at = tail.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let count = tail.get(at + 10..at + 12)?;
    Some(u32::from(u16::from_le_bytes([count[0], count[1]])))
}
