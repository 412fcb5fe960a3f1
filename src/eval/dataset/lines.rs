//! How is a file read line by line, in bounded memory, so that what is wrong can be named?

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::DatasetError;

/// No line of a data set is longer, in bytes.
pub(super) const LONGEST_LINE: u64 = 16 << 20;

/// A line with its place.
#[derive(Debug)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// Bytes of the file before it.
    pub(super) offset: u64,
    /// Its text, without the line break.
    pub(super) text: String,
}

/// The lines of a file, in order; blank ones are passed over.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
    offset: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, DatasetError> {
        let file = File::open(path)
            .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), number: 0, offset: 0 })
    }

    /// The next line; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line>, DatasetError> {
        loop {
            let (number, offset) = (self.number + 1, self.offset);
            let mut bytes = Vec::new();
            let read = (&mut self.reader)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut bytes)
                .map_err(|source| DatasetError::Read { path: self.path.clone(), source })?;
            if read == 0 {
                return Ok(None);
            }
            (self.number, self.offset) = (number, offset + read as u64);
            if read as u64 == LONGEST_LINE {
                let wrong = format!("the line is longer than {} MB", LONGEST_LINE >> 20);
                return Err(self.wrong(number, wrong, "cut the text into passages"));
            }
            let Ok(text) = String::from_utf8(bytes) else {
                let wrong = "the line is not UTF-8".to_owned();
                return Err(self.wrong(number, wrong, "convert the file with iconv"));
            };
            let text = text.trim_end_matches(['\n', '\r']);
            let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text };
            if !text.trim().is_empty() {
                return Ok(Some(Line { number, offset, text: text.to_owned() }));
            }
        }
    }

    /// The line that begins at an offset that [`Lines::next`] has given.
    pub(super) fn at(&mut self, offset: u64) -> Result<Option<Line>, DatasetError> {
        self.reader
            .seek(SeekFrom::Start(offset))
            .map_err(|source| DatasetError::Read { path: self.path.clone(), source })?;
        self.offset = offset;
        self.next()
    }

    /// An error that names the line.
    pub(super) fn wrong(&self, number: u64, wrong: String, mend: &'static str) -> DatasetError {
        DatasetError::Line { path: self.path.clone(), number, wrong, mend }
    }
}
