//! In which words is a document refused?
//!
//! The codes are stable: a client may act on them. The details are for the person who
//! uploaded the file, and each tells what to do next.

use quaestor_core::problem::Problem;

/// The file opens only with a password.
pub const ENCRYPTED: &str = "encrypted";
/// The file shows pictures of text and holds no text.
pub const NO_TEXT_LAYER: &str = "no_text_layer";
/// The file breaks the rules of its own format.
pub const DAMAGED: &str = "damaged";
/// The file is larger than what is accepted.
pub const TOO_LARGE: &str = "too_large";
/// Reading the file would pass a limit on memory, time, pages or unpacked size.
pub const LIMIT_REACHED: &str = "limit_reached";
/// The file's type is not one that can be read.
pub const UNSUPPORTED_TYPE: &str = "unsupported_type";
/// The file holds nothing.
pub const EMPTY_FILE: &str = "empty_file";

/// What can be read, as told to people.
pub const SUPPORTED: &str =
    "PDF, DOCX, PPTX, ODT, XLSX, XLS, ODS, CSV, HTML, Markdown, text and EML";

/// The problem of a file that opens only with a password.
#[must_use]
pub fn encrypted() -> Problem {
    Problem::new(
        ENCRYPTED,
        "the file is protected by a password",
        "the file cannot be opened without its password; save a copy without password protection \
         and upload that",
    )
}

/// The problem of a file that holds only pictures of text.
#[must_use]
pub fn no_text_layer() -> Problem {
    Problem::new(
        NO_TEXT_LAYER,
        "the file has no text layer",
        "the pages are pictures without text, as from a scanner; run text recognition (OCR) on the \
         file and upload the result",
    )
}

/// The problem of a file that breaks the rules of its format. `what` says which part.
#[must_use]
pub fn damaged(what: &str) -> Problem {
    Problem::new(
        DAMAGED,
        "the file is damaged",
        format!(
            "{what}; open the file in the program it comes from, save it anew and upload the copy"
        ),
    )
}

/// The problem of a file over the size that is accepted.
#[must_use]
pub fn too_large(size_bytes: u64, limit_bytes: u64) -> Problem {
    Problem::new(
        TOO_LARGE,
        "the file is too large",
        format!(
            "the file has {} MB and the limit is {} MB; split it into smaller files, or ask the \
             operator to raise the limit",
            size_bytes.div_ceil(1_000_000),
            limit_bytes / 1_000_000
        ),
    )
}

/// The problem of a file whose reading would pass a limit. `what` names the limit.
#[must_use]
pub fn limit_reached(what: &str) -> Problem {
    Problem::new(
        LIMIT_REACHED,
        "a limit was reached while reading the file",
        format!("{what}; split the file into smaller ones, or ask the operator to raise the limit"),
    )
}

/// The problem of a type that cannot be read. `what` says what the file seems to be.
#[must_use]
pub fn unsupported(what: &str) -> Problem {
    Problem::new(
        UNSUPPORTED_TYPE,
        "the file's type is not supported",
        format!("{what}; supported are {SUPPORTED}"),
    )
}

/// The problem of a file without any content.
#[must_use]
pub fn empty_file() -> Problem {
    Problem::new(
        EMPTY_FILE,
        "the file is empty",
        "the file has no content; check that it was saved or transferred completely and upload it \
         again",
    )
}
