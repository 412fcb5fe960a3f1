//! Files in a folder of this machine.

mod list;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use quaestor_core::ports::objects::{
    ByteStream, LocalCopy, ObjectError, ObjectKey, ObjectPage, Objects, Stored,
};
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// The piece in which files are read: large enough that a read costs little, and small
/// enough that a thousand slow readers hold tens of megabytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A delete may take an empty folder away between its making and the move into it.
const MOVE_TRIES: u32 = 5;

/// A folder with `objects/` for what is stored and `tmp/` for what is coming in.
#[derive(Debug)]
pub struct LocalObjects {
    objects: PathBuf,
    tmp: PathBuf,
    next: AtomicU64,
}

impl LocalObjects {
    /// Opens a folder, made where it is missing. What earlier uploads left in `tmp/` is
    /// removed, so only one process may use the folder.
    pub async fn open(folder: &Path) -> Result<Self, ObjectError> {
        let this = Self {
            objects: folder.join("objects"),
            tmp: folder.join("tmp"),
            next: AtomicU64::new(0),
        };
        this.prepare().await.map_err(|error| failed("open", &folder.display(), error))?;
        Ok(this)
    }

    /// Opens a folder beside another process that may have it open: to read. What is coming
    /// in there is left alone.
    pub async fn open_beside(folder: &Path) -> Result<Self, ObjectError> {
        let objects = folder.join("objects");
        let found = fs::metadata(&objects).await;
        found.map_err(|error| failed("open", &objects.display(), error))?;
        // Not where uploads come in: nothing is stored over this one.
        Ok(Self { objects, tmp: folder.join("tmp"), next: AtomicU64::new(0) })
    }

    async fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.objects).await?;
        fs::create_dir_all(&self.tmp).await?;
        let mut leftovers = fs::read_dir(&self.tmp).await?;
        while let Some(leftover) = leftovers.next_entry().await? {
            fs::remove_file(leftover.path()).await?;
        }
        Ok(())
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.objects.join(key.as_str())
    }

    fn incoming(&self) -> Incoming {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Incoming { path: self.tmp.join(number.to_string()), moved: false }
    }

    /// Moves a file that is on disk to its place, and makes the move last.
    async fn settle(&self, incoming: &mut Incoming, key: &ObjectKey) -> io::Result<()> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.objects);
        for remaining in (0..MOVE_TRIES).rev() {
            fs::create_dir_all(folder).await?;
            match fs::rename(&incoming.path, &path).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound && remaining > 0 => {}
                done => {
                    done?;
                    break;
                }
            }
        }
        incoming.moved = true;
        // A new folder lasts only when the one above it was synced as well.
        for level in folder.ancestors() {
            if let Err(error) = sync_folder(level).await {
                // Not promised to last, so it must not stand there.
                let _ = fs::remove_file(&path).await;
                return Err(error);
            }
            if level == self.objects {
                break;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Objects for LocalObjects {
    async fn put(
        &self,
        key: &ObjectKey,
        mut bytes: ByteStream,
        limit_bytes: u64,
    ) -> Result<Stored, ObjectError> {
        let store = |error| failed("store", key, error);
        let mut incoming = self.incoming();
        let mut file = File::create_new(&incoming.path).await.map_err(store)?;
        let mut hash = Sha256::new();
        let mut size_bytes = 0;
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(ObjectError::Source)?;
            size_bytes += piece.len() as u64;
            if size_bytes > limit_bytes {
                return Err(ObjectError::TooLarge { limit_bytes });
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(store)?;
        }
        file.flush().await.map_err(store)?;
        file.sync_all().await.map_err(store)?;
        self.settle(&mut incoming, key).await.map_err(store)?;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Stored { size_bytes, sha256 })
    }

    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream, ObjectError> {
        let path = self.path(key);
        let mut file = File::open(&path).await.map_err(|error| read_failed(key, error))?;
        let metadata = file.metadata().await.map_err(|error| read_failed(key, error))?;
        if !metadata.is_file() {
            return Err(ObjectError::Missing(key.clone()));
        }
        file.seek(io::SeekFrom::Start(offset)).await.map_err(|error| read_failed(key, error))?;
        Ok(ReaderStream::with_capacity(file, PIECE_BYTES).map_err(Into::into).boxed())
    }

    async fn local_copy(&self, key: &ObjectKey) -> Result<LocalCopy, ObjectError> {
        let path = self.path(key);
        let metadata = fs::metadata(&path).await.map_err(|error| read_failed(key, error))?;
        if !metadata.is_file() {
            return Err(ObjectError::Missing(key.clone()));
        }
        Ok(LocalCopy::permanent(path))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        let path = self.path(key);
        match fs::remove_file(&path).await {
            Ok(()) => {}
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(failed("delete", key, error)),
        }
        let Some(folder) = path.parent() else { return Ok(()) };
        // Another delete may have taken the emptied folder away: then the one above it
        // tells that both are gone.
        for level in folder.ancestors() {
            match sync_folder(level).await {
                Err(error) if is_missing(&error) && level != self.objects => {}
                synced => {
                    synced.map_err(|error| failed("delete", key, error))?;
                    break;
                }
            }
        }
        if folder != self.objects {
            // Fails where other files are still in it, which is as it should be.
            let _ = fs::remove_dir(folder).await;
        }
        Ok(())
    }

    async fn link(
        &self,
        _key: &ObjectKey,
        _lives: Duration,
        _disposition: &str,
        _media_type: &str,
    ) -> Result<Option<String>, ObjectError> {
        Ok(None)
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, ObjectError> {
        match fs::metadata(self.path(key)).await {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed("read", key, error)),
        }
    }

    async fn list(&self, after: Option<&ObjectKey>, limit: u32) -> Result<ObjectPage, ObjectError> {
        let (root, after) = (self.objects.clone(), after.cloned());
        let listed = tokio::task::spawn_blocking(move || list::page(&root, after.as_ref(), limit));
        let listed = listed.await.map_err(io::Error::other).flatten();
        listed.map_err(|error| failed("list", &self.objects.display(), error))
    }

    async fn sweep(&self, _older_than: Duration) -> Result<u64, ObjectError> {
        // An unfinished file goes with its upload, or when the folder is opened again.
        Ok(0)
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        let incoming = self.incoming();
        File::create_new(&incoming.path)
            .await
            .map(drop)
            .map_err(|error| failed("ping", &self.objects.display(), error))
    }
}

/// A file that is coming in; removed unless it was moved to its place.
struct Incoming {
    path: PathBuf,
    moved: bool,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.moved {
            // What stays is swept when the folder is opened the next time.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

async fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).await?.sync_all().await
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read_failed(key: &ObjectKey, error: io::Error) -> ObjectError {
    if is_missing(&error) { ObjectError::Missing(key.clone()) } else { failed("read", key, error) }
}

fn failed(action: &'static str, key: &(impl ToString + ?Sized), error: io::Error) -> ObjectError {
    ObjectError::Io { action, key: key.to_string(), source: error.into() }
}
