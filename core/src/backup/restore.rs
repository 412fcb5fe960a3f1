//! Reads a bundle, into an empty installation or only to see that it is whole.

use bytes::Bytes;
use futures::future::join;
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::save::{damaged, hex};
use super::{AT_ONCE, BackupError, IN_FLIGHT, NAMED, SMALL};
use crate::bundle::{
    BundleError, Columns, FORMAT, FileEnd, FileHead, FilesPart, Frame, FrameReader, Header, Kind,
    TableHead, TablePart, Trailer, unpack,
};
use crate::clock::Clock;
use crate::failpoint;
use crate::ids::{DocumentId, IdSource, PrincipalId, WorkspaceId};
use crate::ports::objects::{ByteStream, ObjectError, ObjectKey, Objects, Stored};
use crate::ports::store::{NewAuditEntry, Store, Table};
use crate::transfer::{Damaged, Files, Tally, Tell, Told, TransferError, tally_rows};

/// Where an installation is restored; empty, and used by nobody else.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its rows.
    pub store: &'a dyn Store,
    /// Its files.
    pub objects: &'a dyn Objects,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Ids.
    pub ids: &'a IdSource,
}

/// What a bundle held.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What it comes to.
    pub trailer: Trailer,
    /// Files that the source had lost already; not more than some are named.
    pub damaged: Vec<Damaged>,
}

/// A bundle whose header was read.
#[derive(Debug)]
pub struct Opened {
    reader: FrameReader,
    header: Header,
}

impl Opened {
    /// Reads the beginning of a bundle.
    ///
    /// # Errors
    /// Where it is none, or of a format that this program does not know.
    pub async fn begin(plain: ByteStream) -> Result<Self, BackupError> {
        let mut reader = FrameReader::begin(plain).await?;
        let frame = reader.next().await?;
        if frame.kind != Kind::Header {
            return Err(reader.damaged("it does not begin with its header").into());
        }
        // The number alone first: what else a later header holds may be of another shape.
        let value: serde_json::Value = reader.json(&frame)?;
        let format = value["format"].as_u64().and_then(|format| u32::try_from(format).ok());
        match format {
            Some(format) if format > FORMAT => {
                let product = value["product"].as_str().unwrap_or("of a later version").to_owned();
                return Err(BundleError::Newer { format, product }.into());
            }
            Some(_) => {}
            None => return Err(reader.damaged("its header has no format").into()),
        }
        let header = reader.json(&frame)?;
        Ok(Self { reader, header })
    }

    /// What the bundle is of.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads all of it and holds every part to its sum.
    ///
    /// # Errors
    /// Where it is not whole.
    pub async fn verify(self, tell: Tell<'_>) -> Result<Restored, BackupError> {
        Reading::new(self.reader, None, tell).all().await
    }

    /// Writes all of it to the target, and compares what stands there in the end with what
    /// the bundle has.
    ///
    /// # Errors
    /// Where the bundle is not whole, or the target does not take it. What was written
    /// until then stays.
    pub async fn restore(
        self,
        target: &Target<'_>,
        tell: Tell<'_>,
    ) -> Result<Restored, BackupError> {
        Reading::new(self.reader, Some(target), tell).all().await
    }
}

/// A table of the bundle.
struct Part {
    columns: Columns,
    /// Its rows as they stand in the bundle.
    read: Tally,
    /// And as they were written: with the columns that are new since.
    written: Tally,
}

struct Reading<'a> {
    reader: FrameReader,
    target: Option<&'a Target<'a>>,
    tell: Tell<'a>,
    tables: Vec<Part>,
    at_files: bool,
    files: FilesPart,
    sum: Sha256,
    damaged: Vec<Damaged>,
    deleted: Vec<(WorkspaceId, DocumentId)>,
    /// Small files that are to be stored together.
    small: Vec<(FileHead, Bytes)>,
}

impl<'a> Reading<'a> {
    fn new(reader: FrameReader, target: Option<&'a Target<'a>>, tell: Tell<'a>) -> Self {
        Self {
            reader,
            target,
            tell,
            tables: Vec::new(),
            at_files: false,
            files: FilesPart::default(),
            sum: Sha256::new(),
            damaged: Vec::new(),
            deleted: Vec::new(),
            small: Vec::new(),
        }
    }

    async fn all(mut self) -> Result<Restored, BackupError> {
        let mut frame = self.reader.next().await?;
        let trailer: Trailer = loop {
            match frame.kind {
                Kind::Table => {
                    self.table_ends();
                    let head: TableHead = self.reader.json(&frame)?;
                    let columns = Columns::of(&head).map_err(|what| self.reader.damaged(&what))?;
                    let (read, written) = (Tally::default(), Tally::default());
                    self.tables.push(Part { columns, read, written });
                }
                Kind::Rows => {
                    frame = self.rows(&frame).await?;
                    continue;
                }
                Kind::File => {
                    let head = self.reader.postcard(&frame)?;
                    if !std::mem::replace(&mut self.at_files, true) {
                        self.table_ends();
                    }
                    self.file(head).await?;
                }
                Kind::Trailer => break self.reader.json(&frame)?,
                Kind::Header | Kind::Bytes | Kind::FileEnd => {
                    return Err(self.reader.damaged("a part stands where it cannot").into());
                }
            }
            frame = self.reader.next().await?;
        };
        self.reader.end().await?;
        if !self.at_files {
            self.table_ends();
        }
        self.store_small().await?;
        self.files.sha256 = hex(&self.sum.finalize_reset());
        let tables = self.tables.iter().map(|one| part(one.columns.table, &one.read));
        if trailer != (Trailer { tables: tables.collect(), files: self.files.clone() }) {
            return Err(self.reader.damaged("its sums are not those of its parts").into());
        }
        if let Some(target) = self.target {
            compare(&self.tables, target, self.tell).await?;
            self.delete(target).await?;
        }
        Ok(Restored { trailer, damaged: self.damaged })
    }

    fn table_ends(&self) {
        if let Some(last) = self.tables.last() {
            (self.tell)(Told::Copied(last.columns.table, last.read.records));
        }
    }

    /// Writes a page while the next frame is read, which it returns.
    async fn rows(&mut self, frame: &Frame) -> Result<Frame, BackupError> {
        let Some(part) = self.tables.last_mut() else {
            return Err(self.reader.damaged("rows of no table").into());
        };
        let (workspace, records) = unpack(&self.reader, frame, &part.columns, &mut part.read)?;
        if part.columns.are_those_of_now() {
            part.written = part.read;
        } else {
            for record in &records {
                part.written.add(record);
            }
        }
        let (table, count) = (part.columns.table, part.read.records);
        let write = async {
            match self.target {
                None => Ok(()),
                Some(target) => target.store.write_records(workspace, table, records).await,
            }
        };
        let (written, next) = join(write, self.reader.next()).await;
        // Where the bundle is at fault, its own error says so.
        let next = next?;
        written.map_err(BackupError::target(table.name()))?;
        (self.tell)(Told::Copying(table, count));
        failpoint::hit("restore.after_page");
        Ok(next)
    }

    async fn file(&mut self, head: FileHead) -> Result<(), BackupError> {
        let end = match self.target {
            Some(target) if head.size_bytes > SMALL => self.large(target, &head).await?,
            _ => self.whole(&head).await?,
        };
        match end {
            FileEnd::Whole => {
                self.files.files += 1;
                self.files.bytes += head.size_bytes;
                self.sum.update(&head.key);
                self.sum.update(&head.sha256);
            }
            FileEnd::Deleted => {
                self.files.deleted += 1;
                self.deleted.push((head.workspace, head.document));
            }
            FileEnd::Missing | FileEnd::Changed => {
                self.files.damaged += u64::from(!head.failed);
                if self.damaged.len() < NAMED {
                    self.damaged.push(damaged(&head, end));
                }
            }
        }
        let (files, bytes) = (self.files.files, self.files.bytes);
        (self.tell)(Told::Files(Files { files, bytes }));
        failpoint::hit("restore.after_file");
        Ok(())
    }

    /// Reads a file to its end; a small one is kept to be stored with others.
    async fn whole(&mut self, head: &FileHead) -> Result<FileEnd, BackupError> {
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        let mut gathered = Vec::new();
        let end: FileEnd = loop {
            let frame = self.reader.next().await?;
            match frame.kind {
                Kind::Bytes => {
                    size += frame.payload.len() as u64;
                    hash.update(&frame.payload);
                    if self.target.is_some() && size <= SMALL {
                        gathered.extend_from_slice(&frame.payload);
                    }
                }
                Kind::FileEnd => break self.reader.postcard(&frame)?,
                _ => return Err(self.reader.damaged("a file has no end").into()),
            }
        };
        if end == FileEnd::Whole {
            if size != head.size_bytes || hex(&hash.finalize()) != head.sha256 {
                return Err(self.changed(head));
            }
            if self.target.is_some() {
                self.small.push((head.clone(), gathered.into()));
                if self.small.len() >= AT_ONCE {
                    self.store_small().await?;
                }
            }
        }
        Ok(end)
    }

    async fn store_small(&mut self) -> Result<(), BackupError> {
        let Some(target) = self.target else { return Ok(()) };
        let small = std::mem::take(&mut self.small);
        let storing = small.iter().map(|(head, bytes)| async {
            let key = self.key(head)?;
            let bytes = stream::iter([Ok(bytes.clone())]).boxed();
            let stored = target.objects.put(&key, bytes, head.size_bytes).await;
            self.arrived(head, &stored.map_err(BackupError::Store)?)
        });
        stream::iter(storing).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Hands a large file on while it is read.
    async fn large(
        &mut self,
        target: &Target<'_>,
        head: &FileHead,
    ) -> Result<FileEnd, BackupError> {
        let key = self.key(head)?;
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let bytes = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        });
        let reader = &mut self.reader;
        let reading = async move {
            let end = async {
                loop {
                    let frame = reader.next().await?;
                    match frame.kind {
                        Kind::Bytes => {
                            let piece = Ok(Bytes::from(frame.payload));
                            sender.send(piece).await.map_err(|_| BackupError::Stopped)?;
                        }
                        Kind::FileEnd => return Ok(reader.postcard::<FileEnd>(&frame)?),
                        _ => return Err(reader.damaged("a file has no end").into()),
                    }
                }
            };
            let end: Result<FileEnd, BackupError> = end.await;
            if !matches!(end, Ok(FileEnd::Whole)) {
                // The store hears that the file is not whole, and keeps nothing.
                let broken: Box<dyn std::error::Error + Send + Sync> = "it is not whole".into();
                let _ = sender.send(Err(broken)).await;
            }
            end
        };
        let put = target.objects.put(&key, bytes.boxed(), head.size_bytes);
        match join(reading, put).await {
            (Ok(FileEnd::Whole), Ok(stored)) => {
                self.arrived(head, &stored)?;
                Ok(FileEnd::Whole)
            }
            (Ok(FileEnd::Whole) | Err(BackupError::Stopped), Err(ObjectError::TooLarge { .. })) => {
                Err(self.changed(head))
            }
            (Ok(FileEnd::Whole) | Err(BackupError::Stopped), Err(error)) => {
                Err(BackupError::Store(error))
            }
            (end, _) => end,
        }
    }

    fn key(&self, head: &FileHead) -> Result<ObjectKey, BackupError> {
        let key = ObjectKey::parse(&head.key);
        key.map_err(|_| self.reader.damaged("a file has no key").into())
    }

    fn arrived(&self, head: &FileHead, stored: &Stored) -> Result<(), BackupError> {
        let same = stored.size_bytes == head.size_bytes && stored.sha256 == head.sha256;
        if same { Ok(()) } else { Err(self.changed(head)) }
    }

    fn changed(&self, head: &FileHead) -> BackupError {
        let what = format!("the file of document {} is not what it should be", head.document);
        self.reader.damaged(&what).into()
    }

    /// Documents that were deleted while the backup was made: their rows were read before,
    /// and their files were gone afterwards.
    async fn delete(&self, target: &Target<'_>) -> Result<(), BackupError> {
        for (workspace, document) in &self.deleted {
            let now = target.clock.now();
            let audit = NewAuditEntry {
                id: target.ids.next(),
                principal_id: PrincipalId(Uuid::nil()),
                action: "document.delete",
                subject: document.to_string(),
                at: now,
            };
            let deleted = target.store.delete_document(*workspace, *document, now, audit).await;
            let keys = deleted.map_err(BackupError::target("documents"))?.unwrap_or_default();
            for key in keys {
                let Ok(key) = ObjectKey::parse(&key) else { continue };
                target.objects.delete(&key).await.map_err(BackupError::Store)?;
            }
        }
        Ok(())
    }
}

fn part(table: Table, tally: &Tally) -> TablePart {
    TablePart {
        table: table.name().to_owned(),
        records: tally.records,
        sha256_sum: tally.digest.to_string(),
    }
}

/// Reads back what was written.
async fn compare(parts: &[Part], target: &Target<'_>, tell: Tell<'_>) -> Result<(), BackupError> {
    for table in Table::ALL {
        let tally = tally_rows(target.store, table, tell).await.map_err(|error| match error {
            TransferError::Read { what, source } | TransferError::Write { what, source } => {
                BackupError::Target { what, source }
            }
            TransferError::Store(error) | TransferError::Remove(error) => BackupError::Store(error),
        })?;
        let part = parts.iter().find(|part| part.columns.table == table);
        // A table that the bundle does not know has no rows.
        let wanted = part.map(|part| part.written).unwrap_or_default();
        let (name, rows, there) = (table.name(), wanted.records, tally.records);
        if rows != there {
            return Err(BackupError::Differs(format!("{name} has {there} rows of {rows}")));
        }
        if wanted != tally {
            return Err(BackupError::Differs(format!("{name} has {rows} rows that differ")));
        }
    }
    Ok(())
}
