//! The list of files that a snapshot names, kept beside the bundle while it is made: the
//! snapshot need not be held until the last file is copied, and the list may be too long
//! for the memory.

use std::io::SeekFrom;

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt, BufReader,
    BufWriter,
};

use super::BackupError;
use crate::bundle::FileHead;

/// A file without a name, gone with its owner.
pub trait Scratch: AsyncRead + AsyncWrite + AsyncSeek + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + AsyncSeek + Send + Unpin> Scratch for T {}

pub(super) struct Spool(BufWriter<Box<dyn Scratch>>);

impl Spool {
    pub(super) fn over(file: Box<dyn Scratch>) -> Self {
        Self(BufWriter::new(file))
    }

    pub(super) async fn put(&mut self, head: &FileHead) -> Result<(), BackupError> {
        let line = serde_json::to_vec(head).map_err(|error| BackupError::Spool(error.into()))?;
        let length = u32::try_from(line.len())
            .map_err(|error| BackupError::Spool(std::io::Error::other(error)))?;
        self.0.write_u32(length).await.map_err(BackupError::Spool)?;
        self.0.write_all(&line).await.map_err(BackupError::Spool)
    }

    pub(super) async fn read_back(mut self) -> Result<Listed, BackupError> {
        self.0.flush().await.map_err(BackupError::Spool)?;
        let mut file = self.0.into_inner();
        let length = file.stream_position().await.map_err(BackupError::Spool)?;
        file.seek(SeekFrom::Start(0)).await.map_err(BackupError::Spool)?;
        Ok(Listed { file: BufReader::new(file), left: length })
    }
}

/// The list, from its beginning.
pub(super) struct Listed {
    file: BufReader<Box<dyn Scratch>>,
    left: u64,
}

impl Listed {
    pub(super) async fn next(&mut self) -> Result<Option<FileHead>, BackupError> {
        if self.left == 0 {
            return Ok(None);
        }
        let length = self.file.read_u32().await.map_err(BackupError::Spool)?;
        let mut line = vec![0; length as usize];
        self.file.read_exact(&mut line).await.map_err(BackupError::Spool)?;
        self.left = self.left.saturating_sub(4 + u64::from(length));
        let head = serde_json::from_slice(&line);
        head.map(Some).map_err(|error| BackupError::Spool(error.into()))
    }
}
