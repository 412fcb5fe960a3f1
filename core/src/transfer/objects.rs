//! Copies and checks the files that rows name.

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::{At, MOST, Tell, Told, TransferError, Workspaces};
use crate::failpoint;
use crate::ports::objects::{ObjectError, ObjectKey, Objects};
use crate::ports::store::{Portable, Record, Store, Table};

/// So many files are on their way at once: a small one is mostly waiting.
const AT_ONCE: usize = 4;

/// Files and their sizes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Nothing is stored under its key.
    Missing,
    /// Its size or its SHA-256 is not what its row says.
    Changed,
    /// It could not be read, and why.
    Unreadable(String),
}

/// A file that is not what its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// What is wrong.
    pub damage: Damage,
    /// The document and the version.
    pub document: String,
    /// The name it was uploaded under.
    pub filename: String,
    /// Whether the row says that the file could not be used, so that nobody misses it.
    pub failed: bool,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file of document {} ({}) ", self.document, self.filename)?;
        match &self.damage {
            Damage::Missing => f.write_str("is not there"),
            Damage::Changed => f.write_str("has another size or SHA-256 than its row says"),
            Damage::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}

/// A file as its row has it.
struct Wanted {
    key: Result<ObjectKey, ObjectError>,
    size_bytes: u64,
    sha256: String,
    damaged: Damaged,
}

impl Wanted {
    fn of(record: &Record) -> Self {
        let version = record.integer("version").unwrap_or_default();
        let document = record.id("document_id").unwrap_or_default();
        Self {
            key: ObjectKey::parse(record.text("object_key").unwrap_or_default()),
            size_bytes: record.integer("size_bytes").unwrap_or_default().unsigned_abs(),
            sha256: record.text("sha256").unwrap_or_default().to_owned(),
            damaged: Damaged {
                damage: Damage::Missing,
                document: format!("{document} version {version}"),
                filename: record.text("filename").unwrap_or_default().to_owned(),
                failed: record.text("status") == Some("failed"),
            },
        }
    }

    fn is(self, damage: Damage) -> Damaged {
        Damaged { damage, ..self.damaged }
    }

    fn unreadable(self, error: &ObjectError) -> Damaged {
        match error {
            ObjectError::Missing(_) => self.is(Damage::Missing),
            _ => {
                let mut why = error.to_string();
                let mut cause = std::error::Error::source(error);
                while let Some(error) = cause {
                    why.push_str(&format!(": {error}"));
                    cause = error.source();
                }
                self.is(Damage::Unreadable(why))
            }
        }
    }
}

/// What was found of one file.
type Found = Result<u64, Damaged>;

/// Copies every file that a row names. Each is hashed on its way, and what arrives is held
/// to what the row says. Returns what was copied and what is damaged at the source.
///
/// # Errors
/// Where the target cannot take a file, or a store cannot be read.
pub async fn copy_objects(
    rows: &dyn Store,
    source: &dyn Objects,
    target: &dyn Objects,
    tell: Tell<'_>,
) -> Result<(Files, Vec<Damaged>), TransferError> {
    each(rows, tell, |wanted| copy(source, target, wanted)).await
}

/// Reads every file that a row names and holds it to what the row says. Returns what is
/// as it should be and what is not.
///
/// # Errors
/// Where a store cannot be read.
pub async fn check_objects(
    rows: &dyn Store,
    objects: &dyn Objects,
    tell: Tell<'_>,
) -> Result<(Files, Vec<Damaged>), TransferError> {
    each(rows, tell, |wanted| async move { Ok(check(objects, wanted).await) }).await
}

/// Removes every file that a row names. One that is not there is none the less.
///
/// # Errors
/// Where a file cannot be removed, or the store cannot be read.
pub async fn remove_objects(rows: &dyn Store, objects: &dyn Objects) -> Result<(), TransferError> {
    let remove = |wanted: Wanted| async move {
        let Ok(key) = &wanted.key else { return Ok(Ok(0)) };
        objects.delete(key).await.map_err(TransferError::Remove)?;
        Ok(Ok(0))
    };
    each(rows, &|_| {}, remove).await.map(|_| ())
}

async fn each<F>(
    rows: &dyn Store,
    tell: Tell<'_>,
    work: impl Fn(Wanted) -> F,
) -> Result<(Files, Vec<Damaged>), TransferError>
where
    F: Future<Output = Result<Found, TransferError>>,
{
    let (mut done, mut damaged) = (Files::default(), Vec::new());
    let mut workspaces = Workspaces::of(rows, At::Source);
    while let Some(workspace) = workspaces.next().await? {
        let mut after = None;
        loop {
            let page = Portable::read_records(rows, workspace, Table::Versions, after, MOST).await;
            let page = page.map_err(At::Source.failed("versions"))?;
            // Readings of one version share its file.
            let own = page.records.iter().filter(|one| one.integer("reading_of").is_none());
            let wanted: Vec<Wanted> = own.map(Wanted::of).collect();
            let mut found = futures::stream::iter(wanted).map(&work).buffer_unordered(AT_ONCE);
            while let Some(one) = found.try_next().await? {
                match one {
                    Ok(bytes) => {
                        done.files += 1;
                        done.bytes += bytes;
                    }
                    Err(one) => damaged.push(one),
                }
                tell(Told::Files(done));
            }
            match page.next {
                None => break,
                next => after = next,
            }
        }
    }
    Ok((done, damaged))
}

async fn copy(
    source: &dyn Objects,
    target: &dyn Objects,
    wanted: Wanted,
) -> Result<Found, TransferError> {
    let key = match &wanted.key {
        Ok(key) => key,
        Err(_) => return Ok(Err(wanted.is(Damage::Missing))),
    };
    let bytes = match source.get(key, 0).await {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(wanted.unreadable(&error))),
    };
    let stored = match target.put(key, bytes, wanted.size_bytes).await {
        Ok(stored) => stored,
        Err(ObjectError::TooLarge { .. }) => return Ok(Err(wanted.is(Damage::Changed))),
        Err(error @ ObjectError::Source(_)) => return Ok(Err(wanted.unreadable(&error))),
        Err(error) => return Err(TransferError::Store(error)),
    };
    failpoint::hit("move.after_object");
    if (stored.size_bytes, &stored.sha256) == (wanted.size_bytes, &wanted.sha256) {
        return Ok(Ok(wanted.size_bytes));
    }
    // What is wrong must not stand where the right one should.
    target.delete(key).await.map_err(TransferError::Remove)?;
    Ok(Err(wanted.is(Damage::Changed)))
}

async fn check(objects: &dyn Objects, wanted: Wanted) -> Found {
    let read = async {
        let key = match &wanted.key {
            Ok(key) => key,
            Err(_) => return Ok(None),
        };
        let mut bytes = objects.get(key, 0).await?;
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        while let Some(piece) = bytes.try_next().await.map_err(ObjectError::Source)? {
            size += piece.len() as u64;
            hash.update(&piece);
        }
        let sha256: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok::<_, ObjectError>(Some((size, sha256)))
    };
    match read.await {
        Ok(None) => Err(wanted.is(Damage::Missing)),
        Ok(Some((size, sha256))) if size == wanted.size_bytes && sha256 == wanted.sha256 => {
            Ok(size)
        }
        Ok(Some(_)) => Err(wanted.is(Damage::Changed)),
        Err(error) => Err(wanted.unreadable(&error)),
    }
}
