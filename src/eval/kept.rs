//! How are vectors kept, so that a second run need not make them again?
//!
//! One file for each model: records of a key and the vector's numbers. The key is the
//! SHA-256 of what was embedded, so texts that changed are embedded anew.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use async_trait::async_trait;
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::model_call::{CallScope, Readiness};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use sha2::{Digest, Sha256};

/// No more vectors are kept: their keys are held in memory.
const MOST_KEPT: u64 = 2_000_000;

type Key = [u8; 16];

/// An embedder that remembers.
#[derive(Debug)]
pub(super) struct Kept {
    model: Arc<dyn Embedder>,
    file: Mutex<Vectors>,
}

/// The file of a model.
#[derive(Debug)]
struct Vectors {
    file: File,
    /// The place of each record.
    places: HashMap<Key, u64>,
    records: u64,
    /// Whether this process may add: one at a time does.
    may_add: bool,
    dimensions: usize,
}

impl Kept {
    /// Opens the model's file in a folder, which is made where it is missing.
    pub(super) fn open(folder: &Path, model: Arc<dyn Embedder>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("making the folder of kept vectors {}", folder.display()))?;
        let path = folder.join(file_name(model.model(), model.dimensions()));
        let vectors = Vectors::open(&path, model.dimensions() as usize)
            .with_context(|| format!("opening the kept vectors {}", path.display()))?;
        Ok(Self { model, file: Mutex::new(vectors) })
    }

    fn kept(&self, keys: &[Key]) -> Vec<Option<Vec<f32>>> {
        let vectors = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|key| vectors.get(key)).collect()
    }

    fn keep(&self, made: &[(Key, &Vec<f32>)]) {
        let mut vectors = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, vector) in made {
            if let Err(error) = vectors.add(*key, vector) {
                // The run goes on; the next one embeds again.
                tracing::warn!(error = &error as &dyn std::error::Error, "a vector is not kept");
                vectors.may_add = false;
                return;
            }
        }
    }
}

/// The name of a model's file: of what its name holds, and of its hash, which tells
/// names apart that differ in what a file's name cannot hold.
fn file_name(model: &str, dimensions: u32) -> String {
    let plain: String = model
        .chars()
        .take(60)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    let digest = Sha256::digest(model.as_bytes());
    let hash: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{plain}-{dimensions}-{hash}.vectors")
}

impl Vectors {
    fn open(path: &Path, dimensions: usize) -> std::io::Result<Self> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let may_add = match file.try_lock() {
            Ok(()) => true,
            Err(std::fs::TryLockError::WouldBlock) => false,
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        };
        let record = record_bytes(dimensions);
        // A run that was killed may have left a part of a record: it is written over.
        let records = (file.metadata()?.len() / record).min(MOST_KEPT);
        let mut places = HashMap::new();
        for place in 0..records {
            let mut key = Key::default();
            file.read_exact_at(&mut key, place * record)?;
            places.insert(key, place);
        }
        Ok(Self { file, places, records, may_add, dimensions })
    }

    fn get(&self, key: &Key) -> Option<Vec<f32>> {
        let place = self.places.get(key)?;
        let mut bytes = vec![0; self.dimensions * 4];
        let from = place * record_bytes(self.dimensions) + size_of::<Key>() as u64;
        // What cannot be read is embedded again.
        self.file.read_exact_at(&mut bytes, from).ok()?;
        let numbers = bytes.as_chunks::<4>().0;
        Some(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
    }

    fn add(&mut self, key: Key, vector: &[f32]) -> std::io::Result<()> {
        let fits = vector.len() == self.dimensions && self.records < MOST_KEPT;
        if !self.may_add || !fits || self.places.contains_key(&key) {
            return Ok(());
        }
        let mut record = key.to_vec();
        vector.iter().for_each(|number| record.extend(number.to_le_bytes()));
        self.file.write_all_at(&record, self.records * record_bytes(self.dimensions))?;
        self.places.insert(key, self.records);
        self.records += 1;
        Ok(())
    }
}

fn record_bytes(dimensions: usize) -> u64 {
    (size_of::<Key>() + dimensions * 4) as u64
}

fn key(kind: EmbedKind, text: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update(match kind {
        EmbedKind::Query => b"query\0".as_slice(),
        EmbedKind::Passage => b"passage\0",
    });
    hash.update(text.as_bytes());
    let digest = hash.finalize();
    let mut key = Key::default();
    key.copy_from_slice(&digest[..size_of::<Key>()]);
    key
}

#[async_trait]
impl Embedder for Kept {
    fn model(&self) -> &str {
        self.model.model()
    }

    fn dimensions(&self) -> u32 {
        self.model.dimensions()
    }

    fn readiness(&self) -> Readiness {
        self.model.readiness()
    }

    async fn embed(
        &self,
        kind: EmbedKind,
        texts: &[String],
        scope: &CallScope,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let keys: Vec<Key> = texts.iter().map(|text| key(kind, text)).collect();
        let mut vectors = self.kept(&keys);
        let missing: Vec<usize> = (0..texts.len()).filter(|at| vectors[*at].is_none()).collect();
        if !missing.is_empty() {
            let unknown: Vec<String> = missing.iter().map(|at| texts[*at].clone()).collect();
            let made = self.model.embed(kind, &unknown, scope).await?;
            if made.len() != missing.len() {
                return Err(ModelError::new(self.model.model(), ErrorClass::Malformed)
                    .because(format!("{} texts, {} vectors", missing.len(), made.len())));
            }
            let keyed: Vec<(Key, &Vec<f32>)> =
                missing.iter().zip(&made).map(|(at, vector)| (keys[*at], vector)).collect();
            self.keep(&keyed);
            for (at, vector) in missing.into_iter().zip(made) {
                vectors[at] = Some(vector);
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use quaestor_core::ids::WorkspaceId;

    use super::*;

    /// Makes a vector of a text's length and counts what it was asked for.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    #[async_trait]
    impl Embedder for Counting {
        fn model(&self) -> &str {
            "a/model:1"
        }

        fn dimensions(&self) -> u32 {
            2
        }

        async fn embed(
            &self,
            _kind: EmbedKind,
            texts: &[String],
            _scope: &CallScope,
        ) -> Result<Vec<Vec<f32>>, ModelError> {
            self.0.fetch_add(texts.len(), Ordering::Relaxed);
            Ok(texts.iter().map(|text| vec![text.len() as f32, 1.0]).collect())
        }
    }

    fn scope() -> CallScope {
        CallScope::of(WorkspaceId(uuid::Uuid::nil()), None)
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_text_is_embedded_once_over_many_runs() {
        let folder = tempfile::tempdir().unwrap();
        let model = Arc::new(Counting::default());
        let open = || Kept::open(folder.path(), model.clone()).unwrap();
        let first = open();
        let made = first.embed(EmbedKind::Passage, &texts(&["a", "bcd"]), &scope()).await.unwrap();
        drop(first);
        let second = open();
        let wanted = texts(&["bcd", "ef", "a"]);
        let again = second.embed(EmbedKind::Passage, &wanted, &scope()).await.unwrap();
        assert_eq!(again, [made[1].clone(), vec![2.0, 1.0], made[0].clone()]);
        assert_eq!(model.0.load(Ordering::Relaxed), 3);
        // A question is not a passage: some models embed the two differently.
        second.embed(EmbedKind::Query, &texts(&["a"]), &scope()).await.unwrap();
        assert_eq!(model.0.load(Ordering::Relaxed), 4);
    }

    #[tokio::test]
    async fn what_a_killed_run_left_behind_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let model = Arc::new(Counting::default());
        let kept = Kept::open(folder.path(), model.clone()).unwrap();
        kept.embed(EmbedKind::Query, &texts(&["a", "bc"]), &scope()).await.unwrap();
        drop(kept);
        let path = folder.path().join(file_name("a/model:1", 2));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let kept = Kept::open(folder.path(), model.clone()).unwrap();
        let read = kept.embed(EmbedKind::Query, &texts(&["a", "bc"]), &scope()).await.unwrap();
        assert_eq!(read, [vec![1.0, 1.0], vec![2.0, 1.0]]);
        drop(kept);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        assert_eq!(model.0.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn two_runs_at_once_keep_what_the_first_one_adds() {
        let folder = tempfile::tempdir().unwrap();
        let model = Arc::new(Counting::default());
        let first = Kept::open(folder.path(), model.clone()).unwrap();
        let second = Kept::open(folder.path(), model).unwrap();
        first.embed(EmbedKind::Query, &texts(&["a"]), &scope()).await.unwrap();
        let read = second.embed(EmbedKind::Query, &texts(&["xyz"]), &scope()).await.unwrap();
        assert_eq!(read, [vec![3.0, 1.0]]);
        drop((first, second));
        let path = folder.path().join(file_name("a/model:1", 2));
        assert_eq!(std::fs::metadata(path).unwrap().len(), record_bytes(2));
    }
}
