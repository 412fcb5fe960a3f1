//! How long do a backup and a restore take, and how much memory?
//!
//! Fills a store with generated documents (a file, pages, passages, words and vectors each,
//! about evenly by size; nothing is parsed or embedded), backs it up into a folder by age
//! while nothing else runs, restores it into an empty store of the other kind and of the same
//! one, and prints seconds, MB/s and the highest resident memory of each. One size is one
//! point: run it at two to see what grows how.
//!
//! `cargo run --release -p quaestor-backends --example backup_restore -- 1000`
//!
//! The number is the size in MB (10 unless given). With QUAESTOR_DATABASE_URL (as
//! `scripts/services.sh with` sets it) it goes from SQLite to PostgreSQL as well, in a database
//! of its own.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use quaestor_backends::bundles::age::AgeSeal;
use quaestor_backends::bundles::folder::FolderBundles;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_core::backup::{About, Opened, Source, Target, back_up};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::{DocumentId, IdSource, WorkspaceId};
use quaestor_core::ports::bundles::{BundleName, Bundles, Seal};
use quaestor_core::ports::objects::{ObjectKey, Objects};
use quaestor_core::ports::store::{Record, Store, Table, Value};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

/// Passages of a document, and words of a passage: those of a filing of some 60 pages.
const CHUNKS: usize = 200;
const WORDS: usize = 180;
const PAGES: usize = 60;
const DIMENSIONS: usize = 384;
/// A file's bytes, which do not deflate, as those of a PDF.
const FILE: usize = 600_000;

/// Pairs of keys of age are made for the moment.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn text(&mut self, words: usize) -> String {
        let mut text = String::new();
        for _ in 0..words {
            // Few words are frequent and many are rare, as in a language.
            let rank = self.next() % (1 + self.next() % 20_000);
            write!(text, "word{rank} ").unwrap();
        }
        text
    }
}

fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

fn number(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap())
}

/// A record of a table: the named values, and what an empty one of its kind is for the rest.
fn record(table: Table, named: Vec<(&str, Value)>) -> Record {
    use quaestor_core::ports::store::Kind;
    let mut named: HashMap<&str, Value> = named.into_iter().collect();
    let values = table.columns().iter().map(|column| {
        if let Some(value) = named.remove(column.name) {
            return value;
        }
        match column.kind {
            _ if column.optional => Value::Null,
            Kind::Id => Value::Id(Uuid::from_u128(1)),
            Kind::Text => text(""),
            Kind::Integer => Value::Integer(0),
            Kind::Boolean => Value::Boolean(false),
            Kind::Bytes => Value::Bytes(Vec::new()),
            Kind::Day => Value::Day(chrono::NaiveDate::from_ymd_opt(2026, 1, 1).unwrap()),
            Kind::Floats => Value::Floats(Vec::new()),
        }
    });
    Record { table, values: values.collect() }
}

/// Fills a store until the payload (files, texts, vectors) has the size. Returns it.
async fn fill(store: &dyn Store, objects: &dyn Objects, ids: &IdSource, bytes: u64) -> u64 {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let workspace: WorkspaceId = ids.next();
    let (collection, generation): (Uuid, Uuid) = (ids.next(), ids.next());
    let write = async |records: Vec<Record>| {
        let table = records[0].table;
        store.write_records(workspace, table, records).await.unwrap();
    };
    let named = vec![("id", Value::Id(workspace.uuid())), ("name", text("bench"))];
    write(vec![record(Table::Workspaces, named)]).await;
    let named = vec![("id", Value::Id(collection)), ("name", text("filings"))];
    write(vec![record(Table::Collections, named)]).await;
    let named = vec![
        ("id", Value::Id(generation)),
        ("collection_id", Value::Id(collection)),
        ("model", text("bench")),
        ("dimensions", number(DIMENSIONS)),
        ("state", text("current")),
    ];
    write(vec![record(Table::Generations, named)]).await;
    let mut payload = 0_u64;
    let mut count = 0;
    while payload < bytes {
        count += 1;
        let document: DocumentId = ids.next();
        let mut file = Vec::with_capacity(FILE + 8);
        while file.len() < FILE {
            file.extend_from_slice(&numbers.next().to_le_bytes());
        }
        let key = ObjectKey::document(workspace, document, 1);
        let sha256: String = Sha256::digest(&file).iter().map(|b| format!("{b:02x}")).collect();
        let size = file.len();
        payload += size as u64;
        let stream = futures::stream::iter([Ok(file.into())]).boxed();
        objects.put(&key, stream, u64::MAX).await.unwrap();
        let id = || Value::Id(document.uuid());
        write(vec![record(
            Table::Documents,
            vec![
                ("id", id()),
                ("collection_id", Value::Id(collection)),
                ("filename", text(format!("filing-{count}.pdf"))),
                ("newest_version", number(1)),
            ],
        )])
        .await;
        write(vec![record(
            Table::Versions,
            vec![
                ("document_id", id()),
                ("collection_id", Value::Id(collection)),
                ("version", number(1)),
                ("filename", text(format!("filing-{count}.pdf"))),
                ("media_type", text("application/pdf")),
                ("size_bytes", number(size)),
                ("sha256", text(sha256)),
                ("object_key", text(key.as_str())),
                ("status", text("ready")),
                ("pages", number(PAGES)),
                ("chunks", number(CHUNKS)),
                ("current", Value::Boolean(true)),
            ],
        )])
        .await;
        let of_version = |ordinal| {
            vec![("document_id", id()), ("version", number(1)), ("ordinal", number(ordinal))]
        };
        let texts: Vec<String> = (0..CHUNKS).map(|_| numbers.text(WORDS)).collect();
        payload += texts.iter().map(|text| 2 * text.len() as u64).sum::<u64>();
        let pages = (0..PAGES).map(|ordinal| {
            let (from, to) = (ordinal * CHUNKS / PAGES, (ordinal + 1) * CHUNKS / PAGES);
            let mut named = of_version(ordinal);
            named.push(("text", text(texts[from..to].concat())));
            record(Table::Pages, named)
        });
        write(pages.collect()).await;
        let chunk_ids: Vec<Uuid> = (0..CHUNKS).map(|_| ids.next()).collect();
        let chunks = texts.into_iter().enumerate().map(|(ordinal, words)| {
            let mut named = of_version(ordinal);
            named.push(("id", Value::Id(chunk_ids[ordinal])));
            named.push(("page_ordinal", number(ordinal * PAGES / CHUNKS)));
            named.push(("char_end", number(words.len())));
            named.push(("tokens", number(WORDS)));
            named.push(("text", text(words)));
            record(Table::Chunks, named)
        });
        write(chunks.collect()).await;
        let vectors = chunk_ids.iter().map(|chunk| {
            let vector: Vec<f32> =
                (0..DIMENSIONS).map(|_| (numbers.next() % 2_000) as f32 / 1_000.0 - 1.0).collect();
            let named = vec![
                ("generation_id", Value::Id(generation)),
                ("chunk_id", Value::Id(*chunk)),
                ("vector", Value::Floats(vector)),
            ];
            record(Table::Vectors, named)
        });
        write(vectors.collect()).await;
        payload += (CHUNKS * DIMENSIONS * 4) as u64;
    }
    println!("{count} documents, {} passages, {} MB", count * CHUNKS, payload / 1_000_000);
    payload
}

/// The highest resident memory since it was last forgotten, in MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1_000
}

fn forget_peak() {
    // Allowed to every process for itself; where it is not, the figure is of the whole run.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

struct Timed {
    began: Instant,
    what: String,
    payload: u64,
}

impl Timed {
    fn begin(what: impl Into<String>, payload: u64) -> Self {
        forget_peak();
        Self { began: Instant::now(), what: what.into(), payload }
    }

    fn end(self) {
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = self.payload as f64 / 1e6 / seconds;
        println!("{:<40} {seconds:>7.2} s {rate:>7.0} MB/s, peak {:>5} MB", self.what, peak());
    }
}

/// The world that stores are made of.
struct World {
    clock: Arc<dyn Clock>,
    ids: IdSource,
}

async fn restore(
    world: &World,
    bundles: &dyn Bundles,
    seal: &dyn Seal,
    name: &BundleName,
    (store, objects): (&dyn Store, &dyn Objects),
    (what, payload): (&str, u64),
) {
    let timed = Timed::begin(format!("restore into {what}: rows and files"), payload);
    let plain = seal.open(bundles.get(name).await.unwrap()).await.unwrap();
    let target = Target { store, objects, clock: &*world.clock, ids: &world.ids };
    Opened::begin(plain).await.unwrap().restore(&target, &|_| {}).await.unwrap();
    timed.end();
    let began = Instant::now();
    store.upkeep().await.unwrap();
    let (what, took) = (format!("restore into {what}: indexes"), began.elapsed().as_secs_f64());
    println!("{what:<40} {took:>7.2} s");
}

async fn postgres(clock: &Arc<dyn Clock>, url: &str, name: &str) -> PgStore {
    let mut server = sqlx::PgConnection::connect(url).await.unwrap();
    for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
        let sql = AssertSqlSafe(format!("{statement} {name}"));
        sqlx::raw_sql(sql).execute(&mut server).await.unwrap();
    }
    let (start, _) = url.rsplit_once('/').unwrap();
    let url = SecretString::from(format!("{start}/{name}"));
    PgStore::migrate(&url, &**clock).await.unwrap();
    let options = PgOptions {
        statement_timeout: Duration::from_secs(3_600),
        ..PgOptions::new(url.expose_secret())
    };
    PgStore::connect(options, clock.clone()).await.unwrap()
}

async fn sqlite(folder: &Path) -> SqliteStore {
    let url = format!("sqlite:{}", folder.join("q.db").display());
    SqliteStore::open(&url, SqliteOptions::default()).await.unwrap()
}

#[tokio::main]
async fn main() {
    let wanted = std::env::args().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(10);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let world = World { ids: IdSource::new(clock.clone(), entropy), clock };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (source, files) = (sqlite(&at("source")).await, at("source/files"));
    let files = LocalObjects::open(&files).await.unwrap();
    let payload = fill(&source, &files, &world.ids, wanted * 1_000_000).await;

    let bundles = FolderBundles::new(at("bundles"));
    let seal = AgeSeal::new().to(RECIPIENT).unwrap();
    let seal = seal.with_identities(&SecretString::from(IDENTITY)).unwrap();
    let back_up_of = async |what: &str, store: &dyn Store, objects: &dyn Objects| {
        let installation = store.first_workspace().await.unwrap().unwrap();
        let name = BundleName::new(installation, world.clock.now(), world.ids.next());
        let scratch = tokio::fs::File::from_std(tempfile::tempfile().unwrap());
        let about = About {
            name: name.clone(),
            product: "bench".to_owned(),
            store: what.to_owned(),
            at_most: Duration::from_secs(3_600 * 4),
        };
        let timed = Timed::begin(format!("backup of {what}"), payload);
        let from = Source { store, objects, clock: &*world.clock };
        let saved =
            back_up(&from, &bundles, &seal, &about, Box::new(scratch), &|_| {}).await.unwrap();
        timed.end();
        println!("the bundle has {} MB", saved.size_bytes / 1_000_000);
        name
    };
    let name = back_up_of("SQLite", &source, &files).await;
    let timed = Timed::begin("verify", payload);
    let plain = seal.open(bundles.get(&name).await.unwrap()).await.unwrap();
    Opened::begin(plain).await.unwrap().verify(&|_| {}).await.unwrap();
    timed.end();

    let (target, there) = (sqlite(&at("target")).await, at("target/files"));
    let there = LocalObjects::open(&there).await.unwrap();
    let to: (&dyn Store, &dyn Objects) = (&target, &there);
    restore(&world, &bundles, &seal, &name, to, ("SQLite", payload)).await;
    target.close().await;

    let Ok(url) = std::env::var("QUAESTOR_DATABASE_URL") else { return };
    let database = postgres(&world.clock, &url, "qs_backup_bench").await;
    let there = LocalObjects::open(&at("postgres-files")).await.unwrap();
    let to: (&dyn Store, &dyn Objects) = (&database, &there);
    restore(&world, &bundles, &seal, &name, to, ("PostgreSQL", payload)).await;
    back_up_of("PostgreSQL", &database, &there).await;
    database.close().await;
    let mut server = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("DROP DATABASE qs_backup_bench").execute(&mut server).await.unwrap();
}
