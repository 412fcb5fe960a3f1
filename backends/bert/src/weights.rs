//! Reads single weights out of a safetensors file, each straight into its own place.
//!
//! Reading them one by one never holds the file a second time beside the weights, and a
//! mapped file would count as memory in use as well.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::BertError;
use crate::config::Config;

/// A table of weights is some kilobytes; a larger one is no model of ours.
const MAX_TABLE_BYTES: u64 = 16 * 1024 * 1024;

/// An open safetensors file: eight bytes with the length of a table in JSON, the table,
/// then the weights (<https://huggingface.co/docs/safetensors>, "Format").
pub(crate) struct File {
    path: PathBuf,
    file: fs::File,
    table: HashMap<String, Entry>,
    /// Where the weights begin.
    begin: u64,
    /// What the names of this file have before `embeddings.`.
    prefix: &'static str,
}

/// What a weight is called.
pub(crate) enum Name {
    /// A weight of the model itself, after the file's prefix.
    Of(String),
    /// One that stands beside it, by its whole name.
    Beside(String),
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl File {
    /// Opens a file and reads its table.
    pub(crate) fn open(path: &Path) -> Result<Self, BertError> {
        let io = |source| BertError::Io { path: path.to_owned(), source };
        let unusable = |reason: String| BertError::Unusable { path: path.to_owned(), reason };
        let mut file = fs::File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut length = [0_u8; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_TABLE_BYTES || length + 8 > size {
            return Err(unusable("it does not begin like a safetensors file".to_owned()));
        }
        let mut text = vec![0_u8; usize::try_from(length).unwrap_or(0)];
        file.read_exact(&mut text).map_err(io)?;
        let values: HashMap<String, serde_json::Value> =
            serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
        let mut table = HashMap::new();
        for (name, value) in values {
            if name == "__metadata__" {
                continue;
            }
            let entry: Entry = serde_json::from_value(value)
                .map_err(|error| unusable(format!("its entry {name}: {error}")))?;
            let [from, to] = entry.data_offsets;
            if from > to || to > size - length - 8 {
                return Err(unusable(format!("it ends before its weight {name}")));
            }
            table.insert(name, entry);
        }
        let prefix =
            if table.contains_key("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
        Ok(Self { path: path.to_owned(), file, table, begin: length + 8, prefix })
    }

    /// Whether every weight that the model needs is there in its shape.
    pub(crate) fn check(&self, config: &Config) -> Result<(), BertError> {
        for (name, shape) in crate::forward::needed(config) {
            self.entry(&self.full(&Name::Of(name)), &shape)?;
        }
        Ok(())
    }

    /// Whether the head of a cross-encoder is there too, with one label.
    pub(crate) fn check_head(&self, config: &Config) -> Result<(), BertError> {
        for (name, shape) in crate::forward::needed_head(config) {
            self.entry(&self.full(&name), &shape)?;
        }
        Ok(())
    }

    /// The weight of a name of the model itself, row by row.
    pub(crate) fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, BertError> {
        self.read_named(&Name::Of(name.to_owned()), shape)
    }

    /// The weight of a name, row by row.
    pub(crate) fn read_named(
        &mut self,
        name: &Name,
        shape: &[usize],
    ) -> Result<Vec<f32>, BertError> {
        // A part that stays in the processor's cache while it is turned into numbers.
        const PART_BYTES: usize = 64 * 1024;
        let from = self.begin + self.entry(&self.full(name), shape)?.data_offsets[0];
        let io = |source| BertError::Io { path: self.path.clone(), source };
        self.file.seek(SeekFrom::Start(from)).map_err(io)?;
        let count: usize = shape.iter().product();
        let mut numbers = Vec::with_capacity(count);
        let mut part = vec![0_u8; PART_BYTES];
        while numbers.len() < count {
            let bytes = ((count - numbers.len()) * 4).min(PART_BYTES);
            self.file.read_exact(&mut part[..bytes]).map_err(io)?;
            let words = part[..bytes].as_chunks::<4>().0;
            numbers.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
        }
        Ok(numbers)
    }

    fn full(&self, name: &Name) -> String {
        match name {
            Name::Of(name) => format!("{}{name}", self.prefix),
            Name::Beside(name) => name.clone(),
        }
    }

    fn entry(&self, full: &str, shape: &[usize]) -> Result<&Entry, BertError> {
        let unusable = |reason| BertError::Unusable { path: self.path.clone(), reason };
        let entry =
            self.table.get(full).ok_or_else(|| unusable(format!("it has no weight {full}")))?;
        let bytes = shape.iter().product::<usize>() as u64 * 4;
        let [from, to] = entry.data_offsets;
        if entry.dtype != "F32" || entry.shape != shape || to - from != bytes {
            return Err(unusable(format!(
                "its weight {full} is {} {:?}; F32 {shape:?} is needed",
                entry.dtype, entry.shape
            )));
        }
        Ok(entry)
    }
}
