//! Writes an installation into a bundle while it runs.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::TimeDelta;
use futures::future::{BoxFuture, join};
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::spool::{Listed, Scratch, Spool};
use super::{AT_ONCE, BackupError, IN_FLIGHT, NAMED, SMALL};
use crate::bundle::{
    FORMAT, FileEnd, FileHead, FilesPart, FrameWriter, Header, Kind, TableHead, TablePart, Trailer,
    pack,
};
use crate::clock::{Clock, Time};
use crate::failpoint;
use crate::ids::WorkspaceId;
use crate::ports::bundles::{BundleName, Bundles, Seal};
use crate::ports::objects::{ByteStream, ObjectError, ObjectKey, Objects};
use crate::ports::store::{Most, Record, Snapshot, Store, Table};
use crate::transfer::{Damage, Damaged, Files, Tally, Tell, Told};

/// How much is read at once.
const MOST: Most = Most { records: 500, bytes: 4 << 20 };
/// So many workspaces are listed at once.
const WORKSPACES: u32 = 500;
/// A piece of a file in a frame.
const PIECE: usize = 256 << 10;

type Piece = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What is backed up.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its rows.
    pub store: &'a dyn Store,
    /// Its files.
    pub objects: &'a dyn Objects,
    /// Time.
    pub clock: &'a dyn Clock,
}

/// What a backup is told about itself.
#[derive(Clone, Debug)]
pub struct About {
    /// The bundle's name, which says when the backup was begun.
    pub name: BundleName,
    /// The version of this program.
    pub product: String,
    /// Of which store: `SQLite` or `PostgreSQL`.
    pub store: String,
    /// How long it may take.
    pub at_most: Duration,
}

/// A bundle that was stored.
#[derive(Clone, Debug)]
pub struct Saved {
    /// What it comes to.
    pub trailer: Trailer,
    /// Its size where it is stored.
    pub size_bytes: u64,
    /// Files that are not there or not what their rows say; not more than some are named.
    pub damaged: Vec<Damaged>,
}

/// Writes the source into a new bundle. Others may use the source meanwhile: rows are
/// those of one moment, and a document that is deleted before its file was copied is noted
/// as deleted.
///
/// # Errors
/// Whatever a store or the place says; nothing stands under the name then.
pub async fn back_up(
    source: &Source<'_>,
    place: &dyn Bundles,
    seal: &dyn Seal,
    about: &About,
    scratch: Box<dyn Scratch>,
    tell: Tell<'_>,
) -> Result<Saved, BackupError> {
    let (sender, receiver) = mpsc::channel::<Piece>(IN_FLIGHT);
    let plain = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let sealed = seal.seal(plain.boxed())?;
    let making = async {
        let mut saving = Saving::new(source, about, sender.clone(), tell);
        let made = saving.all(about, scratch).await;
        if made.is_err() {
            // The place hears that the bundle is not whole, and keeps nothing.
            let _ = sender.send(Err("the backup broke off".into())).await;
        }
        drop(sender);
        made.map(|trailer| (trailer, saving.damaged))
    };
    match join(making, place.put(&about.name, sealed)).await {
        (Ok((trailer, damaged)), Ok(size_bytes)) => Ok(Saved { trailer, size_bytes, damaged }),
        (Ok(_) | Err(BackupError::Stopped), Err(error)) => Err(BackupError::Put(error)),
        (Err(error), _) => Err(error),
    }
}

struct Saving<'a> {
    source: &'a Source<'a>,
    out: Out,
    tell: Tell<'a>,
    until: Time,
    at_most: Duration,
    damaged: Vec<Damaged>,
}

/// A file, as far as it was read beforehand.
enum Body {
    /// All of a small one.
    Whole(Bytes),
    /// A large one is read when it is its turn.
    Later,
    /// Nothing is stored under its key.
    Gone,
}

impl<'a> Saving<'a> {
    fn new(source: &'a Source<'a>, about: &About, to: mpsc::Sender<Piece>, tell: Tell<'a>) -> Self {
        let at_most = TimeDelta::from_std(about.at_most).unwrap_or(TimeDelta::MAX);
        let until = source.clock.now().checked_add_signed(at_most).unwrap_or(Time::MAX_UTC);
        let out = Out { to, writer: None };
        Self { source, out, tell, until, at_most: about.at_most, damaged: Vec::new() }
    }

    async fn all(
        &mut self,
        about: &About,
        scratch: Box<dyn Scratch>,
    ) -> Result<Trailer, BackupError> {
        let snapshot = self.source.store.snapshot().await;
        let mut snapshot = snapshot.map_err(BackupError::rows("the store"))?;
        let header = Header {
            format: FORMAT,
            product: about.product.clone(),
            name: about.name.to_string(),
            store: about.store.clone(),
            created_at: self.source.clock.now(),
        };
        let (magic, writer) = FrameWriter::begin();
        self.out.writer = Some(writer);
        self.out.send(magic).await?;
        self.out.json(Kind::Header, &header).await?;
        let mut spool = Spool::over(scratch);
        let mut tables = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            tables.push(self.table(&mut *snapshot, table, &mut spool).await?);
        }
        snapshot.end().await;
        failpoint::hit("backup.after_rows");
        let files = self.files(spool.read_back().await?).await?;
        let trailer = Trailer { tables, files };
        self.out.json(Kind::Trailer, &trailer).await?;
        failpoint::hit("backup.after_trailer");
        Ok(trailer)
    }

    fn in_time(&self) -> Result<(), BackupError> {
        match self.source.clock.now() > self.until {
            true => Err(BackupError::TooLong(self.at_most)),
            false => Ok(()),
        }
    }

    async fn table(
        &mut self,
        snapshot: &mut dyn Snapshot,
        table: Table,
        spool: &mut Spool,
    ) -> Result<TablePart, BackupError> {
        self.out.json(Kind::Table, &TableHead::of(table)).await?;
        let mut tally = Tally::default();
        let mut last = None;
        loop {
            let listed = snapshot.workspaces_after(last, WORKSPACES).await;
            let listed = listed.map_err(BackupError::rows("workspaces"))?;
            let Some(newest) = listed.last().copied() else { break };
            last = Some(newest);
            for workspace in listed {
                tally = self.rows(snapshot, workspace, table, tally, spool).await?;
            }
        }
        (self.tell)(Told::Copied(table, tally.records));
        Ok(TablePart {
            table: table.name().to_owned(),
            records: tally.records,
            sha256_sum: tally.digest.to_string(),
        })
    }

    async fn rows(
        &mut self,
        snapshot: &mut dyn Snapshot,
        workspace: WorkspaceId,
        table: Table,
        mut tally: Tally,
        spool: &mut Spool,
    ) -> Result<Tally, BackupError> {
        let reading = BackupError::rows(table.name());
        let mut page =
            snapshot.read_records(workspace, table, None, MOST).await.map_err(&reading)?;
        loop {
            self.in_time()?;
            if table == Table::Versions {
                // Readings of one version share its file.
                let own = page.records.iter().filter(|one| one.integer("reading_of").is_none());
                for record in own {
                    spool.put(&file_of(workspace, record)).await?;
                }
            }
            let records = std::mem::take(&mut page.records);
            let next = page.next.take();
            // The next page is read while this one is made into a frame.
            let framing = self.out.rows(workspace, records, tally);
            let (framed, next) = match next {
                None => (framing.await, None),
                Some(after) => {
                    let read = snapshot.read_records(workspace, table, Some(after), MOST);
                    let (framed, next) = join(framing, read).await;
                    (framed, Some(next.map_err(&reading)?))
                }
            };
            let (bytes, counted) = framed?;
            tally = counted;
            if let Some(bytes) = bytes {
                self.out.send(bytes).await?;
                (self.tell)(Told::Copying(table, tally.records));
                failpoint::hit("backup.after_page");
            }
            match next {
                None => return Ok(tally),
                Some(next) => page = next,
            }
        }
    }

    async fn files(&mut self, mut listed: Listed) -> Result<FilesPart, BackupError> {
        let source = self.source;
        let mut ahead: FuturesOrdered<BoxFuture<'_, Fetched>> = FuturesOrdered::new();
        let mut part = FilesPart::default();
        let mut sum = Sha256::new();
        loop {
            while ahead.len() < AT_ONCE {
                let Some(head) = listed.next().await? else { break };
                ahead.push_back(fetch(source, head).boxed());
            }
            let Some((head, body)) = ahead.next().await.transpose()? else { break };
            self.in_time()?;
            match self.file(&head, body).await? {
                FileEnd::Whole => {
                    part.files += 1;
                    part.bytes += head.size_bytes;
                    sum.update(&head.key);
                    sum.update(&head.sha256);
                }
                FileEnd::Deleted => part.deleted += 1,
                end @ (FileEnd::Missing | FileEnd::Changed) => {
                    part.damaged += u64::from(!head.failed);
                    if self.damaged.len() < NAMED {
                        self.damaged.push(damaged(&head, end));
                    }
                }
            }
            (self.tell)(Told::Files(Files { files: part.files, bytes: part.bytes }));
            failpoint::hit("backup.after_file");
        }
        part.sha256 = hex(&sum.finalize());
        Ok(part)
    }

    async fn file(&mut self, head: &FileHead, body: Body) -> Result<FileEnd, BackupError> {
        self.out.postcard(Kind::File, head).await?;
        let end = match body {
            Body::Gone => self.why_gone(head).await?,
            Body::Whole(bytes) => self.bytes(head, stream::iter([Ok(bytes)]).boxed()).await?,
            Body::Later => match open(self.source, head).await? {
                None => self.why_gone(head).await?,
                Some(bytes) => self.bytes(head, bytes).await?,
            },
        };
        self.out.postcard(Kind::FileEnd, &end).await?;
        Ok(end)
    }

    /// A file is removed after its document: so who still finds the document misses it.
    async fn why_gone(&self, head: &FileHead) -> Result<FileEnd, BackupError> {
        let store = self.source.store;
        let found = store.document_object(head.workspace, head.document, Some(head.version)).await;
        let found = found.map_err(BackupError::rows("documents"))?;
        Ok(if found.is_some() { FileEnd::Missing } else { FileEnd::Deleted })
    }

    async fn bytes(
        &mut self,
        head: &FileHead,
        mut bytes: ByteStream,
    ) -> Result<FileEnd, BackupError> {
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        let mut gathered = BytesMut::new();
        // What does not deflate at its beginning does not later: it is a PDF, an archive.
        let mut deflate = true;
        loop {
            let piece = match bytes.next().await {
                None => break,
                Some(Ok(piece)) => piece,
                Some(Err(source)) => {
                    return match self.why_gone(head).await? {
                        FileEnd::Deleted => Ok(FileEnd::Deleted),
                        _ => Err(unreadable(head, source)),
                    };
                }
            };
            size += piece.len() as u64;
            hash.update(&piece);
            gathered.extend_from_slice(&piece);
            while gathered.len() >= PIECE {
                let full = gathered.split_to(PIECE);
                deflate = self.out.piece(&full, deflate).await?;
                self.in_time()?;
            }
        }
        if !gathered.is_empty() {
            self.out.piece(&gathered, deflate).await?;
        }
        let same = size == head.size_bytes && hex(&hash.finalize()) == head.sha256;
        Ok(if same { FileEnd::Whole } else { FileEnd::Changed })
    }
}

/// Where the frames go.
struct Out {
    to: mpsc::Sender<Piece>,
    /// None before the beginning, and while a frame is made elsewhere.
    writer: Option<FrameWriter>,
}

impl Out {
    async fn send(&self, bytes: Bytes) -> Result<(), BackupError> {
        self.to.send(Ok(bytes)).await.map_err(|_| BackupError::Stopped)
    }

    fn writer(&mut self) -> Result<&mut FrameWriter, BackupError> {
        self.writer.as_mut().ok_or(BackupError::Stopped)
    }

    async fn json(
        &mut self,
        kind: Kind,
        value: &(impl serde::Serialize + Sync),
    ) -> Result<(), BackupError> {
        let bytes = self.writer()?.json(kind, value)?;
        self.send(bytes).await
    }

    async fn postcard(
        &mut self,
        kind: Kind,
        value: &(impl serde::Serialize + Sync),
    ) -> Result<(), BackupError> {
        let bytes = self.writer()?.postcard(kind, value)?;
        self.send(bytes).await
    }

    /// Sends a piece of a file. Returns whether the next one is worth deflating.
    async fn piece(&mut self, piece: &[u8], deflate: bool) -> Result<bool, BackupError> {
        let (bytes, deflated) = self.writer()?.frame(Kind::Bytes, piece, deflate)?;
        self.send(bytes).await?;
        Ok(deflated)
    }

    /// Makes a frame of a page, on a thread that may be busy for some time. None of a page
    /// without rows.
    async fn rows(
        &mut self,
        workspace: WorkspaceId,
        records: Vec<Record>,
        mut tally: Tally,
    ) -> Result<(Option<Bytes>, Tally), BackupError> {
        if records.is_empty() {
            return Ok((None, tally));
        }
        let mut writer = self.writer.take().ok_or(BackupError::Stopped)?;
        let made = tokio::task::spawn_blocking(move || {
            for record in &records {
                tally.add(record);
            }
            // The digits of vectors are as good as random: deflating them only costs.
            let deflate = records.first().is_some_and(|record| record.table != Table::Vectors);
            let payload = pack(workspace, &records)?;
            let (bytes, _) = writer.frame(Kind::Rows, &payload, deflate)?;
            Ok::<_, BackupError>((bytes, tally, writer))
        });
        let (bytes, tally, writer) = made.await.map_err(|_| BackupError::Stopped)??;
        self.writer = Some(writer);
        Ok((Some(bytes), tally))
    }
}

/// A file with what was read of it beforehand.
type Fetched = Result<(FileHead, Body), BackupError>;

async fn fetch(source: &Source<'_>, head: FileHead) -> Fetched {
    if head.size_bytes > SMALL {
        return Ok((head, Body::Later));
    }
    let Some(mut bytes) = open(source, &head).await? else { return Ok((head, Body::Gone)) };
    let mut whole = BytesMut::new();
    while let Some(piece) = bytes.next().await {
        // One that breaks off is read again when it is its turn, and then told.
        let Ok(piece) = piece else { return Ok((head, Body::Later)) };
        whole.extend_from_slice(&piece);
        if whole.len() as u64 > SMALL {
            // Longer than its row says: it is read again as what it is.
            return Ok((head, Body::Later));
        }
    }
    Ok((head, Body::Whole(whole.freeze())))
}

async fn open(source: &Source<'_>, head: &FileHead) -> Result<Option<ByteStream>, BackupError> {
    let Ok(key) = ObjectKey::parse(&head.key) else { return Ok(None) };
    match source.objects.get(&key, 0).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ObjectError::Missing(_)) => Ok(None),
        Err(error) => Err(unreadable(head, error.into())),
    }
}

fn unreadable(head: &FileHead, source: Box<dyn std::error::Error + Send + Sync>) -> BackupError {
    BackupError::File { document: named(head), filename: head.filename.clone(), source }
}

fn named(head: &FileHead) -> String {
    format!("{} version {}", head.document, head.version)
}

pub(super) fn damaged(head: &FileHead, end: FileEnd) -> Damaged {
    let damage = if end == FileEnd::Changed { Damage::Changed } else { Damage::Missing };
    Damaged { damage, document: named(head), filename: head.filename.clone(), failed: head.failed }
}

/// The file of a version, as its row has it.
fn file_of(workspace: WorkspaceId, record: &Record) -> FileHead {
    let number = |column| record.integer(column).unwrap_or_default();
    let text = |column| record.text(column).unwrap_or_default().to_owned();
    FileHead {
        workspace,
        document: record.id("document_id").unwrap_or_default().into(),
        version: u32::try_from(number("version")).unwrap_or_default(),
        key: text("object_key"),
        size_bytes: number("size_bytes").unsigned_abs(),
        sha256: text("sha256"),
        filename: text("filename"),
        failed: record.text("status") == Some("failed"),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
