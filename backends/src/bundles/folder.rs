//! Bundles as files in a folder: of this machine, or one that several have mounted.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt};
use quaestor_core::clock::Time;
use quaestor_core::ports::bundles::{BundleName, Bundles, KeptBundle};
use quaestor_core::ports::objects::{ByteStream, ObjectError};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

/// What a bundle is called until it is whole.
const UNFINISHED: &str = "partial";
/// The piece in which bundles are read.
const PIECE_BYTES: usize = 256 * 1024;

/// A folder.
#[derive(Debug)]
pub struct FolderBundles {
    folder: PathBuf,
}

impl FolderBundles {
    /// A folder, made when the first bundle is stored.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn path(&self, name: &BundleName) -> PathBuf {
        self.folder.join(name.to_string())
    }

    fn failed(action: &'static str, path: &Path, error: io::Error) -> ObjectError {
        ObjectError::Io { action, key: path.display().to_string(), source: error.into() }
    }
}

/// The bytes of a file, wherever it is.
///
/// # Errors
/// Where it cannot be opened.
pub async fn read_file(path: &Path) -> Result<ByteStream, ObjectError> {
    let file =
        File::open(path).await.map_err(|error| FolderBundles::failed("read", path, error))?;
    Ok(ReaderStream::with_capacity(file, PIECE_BYTES).map_err(Into::into).boxed())
}

#[async_trait]
impl Bundles for FolderBundles {
    async fn put(&self, name: &BundleName, mut bytes: ByteStream) -> Result<u64, ObjectError> {
        let path = self.path(name);
        let store = |error| Self::failed("store", &path, error);
        fs::create_dir_all(&self.folder).await.map_err(store)?;
        let mut unfinished = Unfinished { path: path.with_extension(UNFINISHED), moved: false };
        let mut options = fs::OpenOptions::new();
        // Others have no business with it, encrypted or not.
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&unfinished.path).await.map_err(store)?;
        let mut size = 0;
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(ObjectError::Source)?;
            size += piece.len() as u64;
            file.write_all(&piece).await.map_err(store)?;
        }
        file.flush().await.map_err(store)?;
        file.sync_all().await.map_err(store)?;
        fs::rename(&unfinished.path, &path).await.map_err(store)?;
        unfinished.moved = true;
        // The new name lasts only when its folder was synced as well.
        let synced = async { File::open(&self.folder).await?.sync_all().await };
        synced.await.map_err(store)?;
        Ok(size)
    }

    async fn get(&self, name: &BundleName) -> Result<ByteStream, ObjectError> {
        read_file(&self.path(name)).await
    }

    async fn list(&self) -> Result<Vec<KeptBundle>, ObjectError> {
        let list = |error| Self::failed("list", &self.folder, error);
        let mut entries = match fs::read_dir(&self.folder).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(list)?,
        };
        let mut kept = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(list)? {
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let size_bytes = match entry.metadata().await {
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(list)?.len(),
            };
            kept.push(KeptBundle { name, size_bytes });
        }
        kept.sort_by(|one, other| (one.name.at, &one.name).cmp(&(other.name.at, &other.name)));
        Ok(kept)
    }

    async fn delete(&self, name: &BundleName) -> Result<(), ObjectError> {
        let path = self.path(name);
        for path in [path.with_extension(UNFINISHED), path] {
            match fs::remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Self::failed("delete", &path, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn tidy(&self, older_than: Duration, now: Time) -> Result<u64, ObjectError> {
        let list = |error| Self::failed("list", &self.folder, error);
        let older_than = TimeDelta::from_std(older_than).unwrap_or(TimeDelta::MAX);
        let Some(before) = now.checked_sub_signed(older_than) else { return Ok(0) };
        let mut entries = fs::read_dir(&self.folder).await.map_err(list)?;
        let mut removed = 0;
        while let Some(entry) = entries.next_entry().await.map_err(list)? {
            let path = entry.path();
            let unfinished = path.extension().is_some_and(|extension| extension == UNFINISHED);
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let name = name.and_then(|name| name.parse::<BundleName>().ok());
            if unfinished && name.is_some_and(|name| name.at < before) {
                fs::remove_file(&path).await.map_err(|e| Self::failed("delete", &path, e))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn place(&self) -> String {
        let path = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        path.display().to_string()
    }
}

/// A file that is coming in; removed unless it was moved to its name.
struct Unfinished {
    path: PathBuf,
    moved: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.moved {
            // What a killed process leaves goes with its bundle's time.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
