//! How are texts embedded once and their vectors kept for the next run?

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use quaestor_bert::{Folder, Model};
use sha2::{Digest, Sha256};

type Key = [u8; 16];

/// Embeds texts, and keeps the vectors in a file of keys and numbers.
pub struct Vectors {
    file: PathBuf,
    known: HashMap<Key, Vec<f32>>,
    folder: Folder,
    model: Option<Model>,
}

const DIMENSIONS: usize = 384;

impl Vectors {
    pub fn open(cache: &Path, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(cache)?;
        let file = cache.join("minilm.vectors");
        let mut bytes = Vec::new();
        if file.exists() {
            std::fs::File::open(&file)?.read_to_end(&mut bytes)?;
        }
        let mut known = HashMap::new();
        for record in bytes.chunks_exact(16 + 4 * DIMENSIONS) {
            let key: Key = record[..16].try_into()?;
            let vector = record[16..]
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            known.insert(key, vector);
        }
        let folder = Folder::open(folder).context("could not open the embedding model")?;
        Ok(Self { file, known, folder, model: None })
    }

    /// Embeds what is not known yet.
    #[expect(clippy::print_stderr, reason = "embedding takes minutes and should be seen")]
    pub fn learn(&mut self, texts: &[String]) -> Result<()> {
        let mut missing: Vec<&String> =
            texts.iter().filter(|text| !self.known.contains_key(&key(text))).collect();
        missing.sort_by_key(|text| text.len());
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        if self.model.is_none() {
            self.model = Some(Model::load(&self.folder, 256)?);
        }
        let model = self.model.as_ref().context("no model")?;
        let mut out = std::fs::OpenOptions::new().create(true).append(true).open(&self.file)?;
        for (n, batch) in missing.chunks(64).enumerate() {
            for (text, vector) in batch.iter().zip(model.embed(batch)?) {
                let key = key(text);
                let mut record = key.to_vec();
                vector.iter().for_each(|x| record.extend(x.to_le_bytes()));
                out.write_all(&record)?;
                self.known.insert(key, vector);
            }
            if n % 10 == 0 {
                eprintln!("embedded {} of {}", n * 64 + batch.len(), missing.len());
            }
        }
        Ok(())
    }

    pub fn get(&self, text: &str) -> Option<&[f32]> {
        self.known.get(&key(text)).map(Vec::as_slice)
    }
}

fn key(text: &str) -> Key {
    let digest = Sha256::digest(text.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

/// The cosine of two vectors of unit length.
pub fn cosine(one: &[f32], two: &[f32]) -> f32 {
    one.iter().zip(two).map(|(a, b)| a * b).sum()
}
