//! How much may one document cost?

use serde::{Deserialize, Serialize};

/// What a parser may take. Every count is checked before the memory for it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The file's size in bytes. 200 MB: the whole file is held by the child process.
    pub file_bytes: u64,
    /// Pages, slides or sheets. 5,000: the longest prospectuses have about 2,000 pages.
    pub pages: u32,
    /// Entries of an archive. 10,000: a workbook with a thousand sheets has about 3,000.
    pub archive_entries: u32,
    /// How many times larger an archive may unpack than it is packed. 100; office files
    /// reach about 30. Archives that unpack to less than 16 MB are not held to it.
    pub archive_ratio: u32,
    /// The unpacked size of an archive in bytes. 200 MB.
    pub archive_bytes: u64,
    /// How deep a file may stand in a file: 2 is a workbook attached to a mail that is
    /// attached to a mail.
    pub nesting: u32,
    /// The text of one document in bytes. 64 MB, thirty times a large filing.
    pub text_bytes: u64,
    /// Cells with a value in one workbook or CSV file. 2,000,000.
    pub cells: u64,
    /// Address space of the child in bytes beyond what it maps at its start. 512 MB.
    pub memory_bytes: u64,
    /// CPU seconds of the child. 60.
    pub cpu_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 200_000_000,
            pages: 5_000,
            archive_entries: 10_000,
            archive_ratio: 100,
            archive_bytes: 200_000_000,
            nesting: 2,
            text_bytes: 64_000_000,
            cells: 2_000_000,
            memory_bytes: 512 << 20,
            cpu_seconds: 60,
        }
    }
}
