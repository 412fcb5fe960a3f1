//! How much may one document cost the parser?

use serde::{Deserialize, Serialize};

/// The `[parse]` section: limits of the child process that reads one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parse {
    /// Memory of the child, in MiB.
    pub memory_mb: u64,
    /// CPU time of the child, in seconds.
    pub cpu_s: u64,
    /// Time by the clock, in seconds.
    pub wall_s: u64,
    /// How long a message of a parse is held, in seconds: a longer one goes on with another.
    pub slice_s: u64,
    /// Whether documents that an older parser has read are read again by themselves.
    pub reparse_after_upgrade: bool,
    /// The largest file that is parsed, in MB.
    pub max_file_mb: u64,
    /// Pages, slides or sheets.
    pub max_pages: u32,
    /// Entries of an archive (office files are archives).
    pub max_archive_entries: u32,
    /// How many times larger an archive may unpack than it is packed.
    pub max_archive_ratio: u32,
    /// The unpacked size of an archive, in MB.
    pub max_inflated_mb: u64,
    /// How deep a file may stand in a file.
    pub max_nesting: u32,
    /// The text of one document, in MB.
    pub max_text_mb: u64,
    /// Cells with a value in one workbook or CSV file.
    pub max_cells: u64,
}

impl Default for Parse {
    fn default() -> Self {
        Self {
            memory_mb: 512,
            cpu_s: 60,
            wall_s: 120,
            slice_s: 600,
            reparse_after_upgrade: false,
            max_file_mb: 200,
            max_pages: 5_000,
            max_archive_entries: 10_000,
            max_archive_ratio: 100,
            max_inflated_mb: 200,
            max_nesting: 2,
            max_text_mb: 64,
            max_cells: 2_000_000,
        }
    }
}
