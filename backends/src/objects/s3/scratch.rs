//! Copies on this machine's disk, for a parser that needs a path.
//!
//! The folder may be shared by several processes. Each takes a slot of it: the first whose
//! lock nobody holds. A lock ends with its process, so a slot whose lock is free has no owner,
//! and what lies in it is removed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use quaestor_core::ports::objects::{ByteStream, LocalCopy};
use tokio::io::AsyncWriteExt;

/// Processes on one machine that share a folder. Far more than run.
const SLOTS: u32 = 256;

/// A process's slot in the scratch folder.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    /// Held for as long as this lives.
    _lock: File,
    next: AtomicU64,
}

impl Scratch {
    /// Takes a slot, and empties it and every other that has no owner.
    pub(super) async fn open(folder: PathBuf) -> io::Result<Self> {
        let taken = tokio::task::spawn_blocking(move || take_slot(&folder)).await;
        let (folder, lock) = taken.map_err(io::Error::other)??;
        Ok(Self { folder, _lock: lock, next: AtomicU64::new(0) })
    }

    /// Writes the bytes to a file that lives as long as the value.
    pub(super) async fn copy(
        &self,
        mut bytes: ByteStream,
    ) -> Result<LocalCopy, Box<dyn std::error::Error + Send + Sync>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // From here on, an error removes what was written.
        let copy = LocalCopy::temporary(self.folder.join(number.to_string()));
        let mut file = tokio::fs::File::create_new(copy.path()).await?;
        while let Some(piece) = bytes.next().await {
            file.write_all(&piece?).await?;
        }
        file.flush().await?;
        Ok(copy)
    }
}

fn take_slot(folder: &Path) -> io::Result<(PathBuf, File)> {
    fs::create_dir_all(folder)?;
    let mut own = None;
    for number in 0..SLOTS {
        let lock_path = folder.join(format!("{number}.lock"));
        if own.is_some() && !lock_path.exists() {
            break;
        }
        let lock = File::create(lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let slot = folder.join(number.to_string());
        match fs::remove_dir_all(&slot) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if own.is_none() {
            fs::create_dir(&slot)?;
            own = Some((slot, lock));
        }
    }
    own.ok_or_else(|| io::Error::other("every slot of the scratch folder is taken"))
}
