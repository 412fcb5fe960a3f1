//! How long does a search on PostgreSQL take, and what does it find?
//!
//! Loads chunks into the empty database that `QUAESTOR_DATABASE_URL` names (100,000, or as
//! many as the first argument says), with a vocabulary by Zipf's law and vectors in
//! clusters, builds the index, and prints latency, recall by what the caller may see, and
//! searches per second. A database that is loaded already is measured again. A script for
//! pgbench with the same statements goes to the file of the second argument, and how to
//! run it is printed.
//!
//! `cargo run --release -p quaestor-backends --example pg_search -- 100000 near.sql`

#![expect(clippy::print_stdout, reason = "a program for people")]
#![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "of figures")]

use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgvector::{HalfVector, Vector};
use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_contracts::store::{EmptyStore, Fixture};
use quaestor_core::clock::SystemClock;
use quaestor_core::ids::{ChunkId, CollectionId, DocumentId, GenerationId, WorkspaceId};
use quaestor_core::ports::store::{ScopeFilter, Search, SearchScope};
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

const DOCUMENTS: usize = 1_000;
const DIMENSIONS: usize = 384;
const CLUSTERS: usize = 2_000;
const VOCABULARY: usize = 60_000;
/// Up to so many chunks have a text of 60 to 240 words; more chunks have three words.
const MOST_WITH_TEXT: usize = 200_000;
const QUERIES: usize = 100;
const TEXT_QUERIES: usize = 200;
const WANTED: u32 = 50;
/// Recall is counted among so many.
const NEAREST: usize = 10;
/// Of a thousand documents, the caller may see so many.
const LEVELS: [usize; 4] = [1_000, 100, 10, 1];
const CALLERS: usize = 8;
const BUSY: Duration = Duration::from_secs(20);

/// xorshift64*: quick, and the same each time.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// About normal: the sum of uniform ones.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.unit()).sum::<f32>() - 3.0
    }

    fn vector(&mut self, centre: Option<&[f32]>, spread: f32) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..DIMENSIONS)
            .map(|place| centre.map_or(0.0, |centre| centre[place]) + spread * self.normal())
            .collect();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
        vector
    }
}

/// Words by Zipf's law: the first stands in most chunks, most stand in few.
struct Words {
    cumulated: Vec<f32>,
}

impl Words {
    fn new() -> Self {
        let mut sum = 0.0;
        let weights = (0..VOCABULARY).map(|rank| {
            sum += 1.0 / (rank as f32 + 3.0);
            sum
        });
        Self { cumulated: weights.collect() }
    }

    fn pick(&self, random: &mut Random) -> usize {
        let total = self.cumulated.last().copied().expect("there are words");
        let at = random.unit() * total;
        self.cumulated.partition_point(|sum| *sum < at).min(VOCABULARY - 1)
    }

    fn text(&self, random: &mut Random, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            write!(text, "w{} ", self.pick(random)).expect("a string takes it");
        }
        text
    }
}

/// The vectors, made anew each time from the same numbers.
struct Vectors {
    random: Random,
    centres: Vec<Vec<f32>>,
}

impl Vectors {
    fn new() -> Self {
        // Clusters of clusters: topics are near one another, as those of real texts are.
        let mut random = Random(42);
        let topics: Vec<_> = (0..40).map(|_| random.vector(None, 1.0)).collect();
        let centres = (0..CLUSTERS).map(|_| {
            let topic = random.below(topics.len());
            random.vector(Some(&topics[topic]), 0.05)
        });
        let centres = centres.collect();
        Self { random, centres }
    }

    fn next(&mut self) -> Vec<f32> {
        let centre = self.random.below(CLUSTERS);
        self.random.vector(Some(&self.centres[centre]), 0.04)
    }
}

#[derive(PartialEq)]
struct Near(f32, ChunkId);

impl Eq for Near {}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0).then(self.1.cmp(&other.1))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct Loaded {
    workspace: WorkspaceId,
    collection: CollectionId,
    generation: GenerationId,
    generation_key: i64,
    documents: Vec<DocumentId>,
}

async fn loaded(connection: &mut PgConnection) -> Option<Loaded> {
    let row = sqlx::query("SELECT key, id, workspace_id, collection_id FROM generations")
        .fetch_optional(&mut *connection)
        .await
        .expect("answered")?;
    let documents = sqlx::query("SELECT id FROM documents ORDER BY id")
        .fetch_all(connection)
        .await
        .expect("answered");
    Some(Loaded {
        workspace: row.get::<uuid::Uuid, _>("workspace_id").into(),
        collection: row.get::<uuid::Uuid, _>("collection_id").into(),
        generation: row.get::<uuid::Uuid, _>("id").into(),
        generation_key: row.get("key"),
        documents: documents.iter().map(|row| row.get::<uuid::Uuid, _>(0).into()).collect(),
    })
}

async fn load(store: &Arc<PgStore>, connection: &mut PgConnection, chunks: usize) -> Loaded {
    let empty =
        EmptyStore { store: store.clone(), keep: Box::new(()), leftovers: None, harm: None };
    let f = Fixture::over(empty).await;
    let collection = f.collection("all").await;
    let dimensions = u32::try_from(DIMENSIONS).expect("small");
    let (id, now) = (f.id(), f.now());
    f.store
        .current_generation(f.workspace, collection, "model", dimensions, id, now)
        .await
        .expect("answered");
    let (words, mut random) = (Words::new(), Random(7));
    let started = Instant::now();
    for document in 0..DOCUMENTS {
        let texts: Vec<String> = (0..chunks / DOCUMENTS)
            .map(|_| {
                let count = if chunks > MOST_WITH_TEXT { 3 } else { 60 + random.below(180) };
                words.text(&mut random, count)
            })
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let name = format!("document {document}");
        let upload = f.upload(collection, &name, &name).await;
        f.finish_upload(f.workspace, &upload, &texts, None).await;
    }
    println!("stored texts and terms in {:.1} s", started.elapsed().as_secs_f32());
    let loaded = loaded(connection).await.expect("just made");
    let started = Instant::now();
    copy_vectors(connection, &loaded).await;
    println!("copied vectors in {:.1} s", started.elapsed().as_secs_f32());
    sqlx::raw_sql("VACUUM ANALYZE").execute(connection).await.expect("vacuumed");
    loaded
}

/// As `quaestor move` would bring them: without an index, by COPY.
async fn copy_vectors(connection: &mut PgConnection, loaded: &Loaded) {
    let keys = sqlx::query(
        "SELECT c.key, c.version_key, c.id FROM documents d
         JOIN chunks c ON c.version_key = d.current_key ORDER BY d.id, c.ordinal",
    )
    .fetch_all(&mut *connection)
    .await
    .expect("answered");
    let sql = format!(
        "COPY vectors_{} (workspace_id, generation_key, version_key, chunk_key, chunk_id,
             embedding, exact) FROM STDIN (FORMAT binary)",
        loaded.generation_key
    );
    let mut copy = connection.copy_in_raw(&sql).await.expect("a copy begins");
    let mut vectors = Vectors::new();
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let field = |bytes: &mut Vec<u8>, value: &[u8]| {
        bytes.extend((value.len() as i32).to_be_bytes());
        bytes.extend(value);
    };
    for row in &keys {
        let vector = vectors.next();
        bytes.extend(7_i16.to_be_bytes());
        field(&mut bytes, loaded.workspace.uuid().as_bytes());
        field(&mut bytes, &loaded.generation_key.to_be_bytes());
        field(&mut bytes, &row.get::<i64, _>("version_key").to_be_bytes());
        field(&mut bytes, &row.get::<i64, _>("key").to_be_bytes());
        field(&mut bytes, row.get::<uuid::Uuid, _>("id").as_bytes());
        let header = [(DIMENSIONS as u16).to_be_bytes(), [0; 2]].concat();
        let half = HalfVector::from_f32_slice(&vector);
        let half = half.as_slice().iter().flat_map(|value| value.to_bits().to_be_bytes());
        field(&mut bytes, &header.iter().copied().chain(half).collect::<Vec<u8>>());
        let exact = vector.iter().flat_map(|value| value.to_be_bytes());
        field(&mut bytes, &header.iter().copied().chain(exact).collect::<Vec<u8>>());
        if bytes.len() > 1 << 20 {
            copy.send(std::mem::take(&mut bytes)).await.expect("copied");
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    copy.send(bytes).await.expect("copied");
    copy.finish().await.expect("copied");
}

/// The nearest of all, for each level of sight and each question.
fn exact(loaded: &Loaded, chunks: usize, asked: &[Vec<f32>]) -> Vec<Vec<Vec<ChunkId>>> {
    let mut nearest: Vec<Vec<BinaryHeap<Near>>> =
        LEVELS.iter().map(|_| asked.iter().map(|_| BinaryHeap::new()).collect()).collect();
    let mut vectors = Vectors::new();
    for (place, document) in loaded.documents.iter().enumerate() {
        for ordinal in 0..chunks / DOCUMENTS {
            let vector = vectors.next();
            let chunk = ChunkId::derive(*document, 1, ordinal as u32);
            for (number, asked) in asked.iter().enumerate() {
                let dot: f32 = vector.iter().zip(asked).map(|(a, b)| a * b).sum();
                for (level, seen) in LEVELS.iter().zip(&mut nearest) {
                    if place >= *level {
                        continue;
                    }
                    let best = &mut seen[number];
                    if best.len() < NEAREST {
                        best.push(Near(dot, chunk));
                    } else if best.peek().is_some_and(|least| dot > least.0) {
                        best.pop();
                        best.push(Near(dot, chunk));
                    }
                }
            }
        }
    }
    nearest
        .into_iter()
        .map(|level| {
            level.into_iter().map(|best| best.into_iter().map(|near| near.1).collect()).collect()
        })
        .collect()
}

fn report(name: &str, times: &mut [Duration]) {
    times.sort();
    let at = |part: f32| times[(times.len() as f32 * part) as usize].as_secs_f32() * 1_000.0;
    println!("{name:28} p50 {:6.2} ms   p95 {:6.2} ms", at(0.5), at(0.95));
}

/// What the store sends for a search by meaning without filters, for pgbench: the vectors
/// to a table, the statements to a file.
async fn write_script(
    connection: &mut PgConnection,
    path: &str,
    loaded: &Loaded,
    asked: &[Vec<f32>],
) {
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS pgbench_asked;
         CREATE TABLE pgbench_asked (id integer PRIMARY KEY, v vector);
         GRANT SELECT ON pgbench_asked TO quaestor_app",
    )
    .execute(&mut *connection)
    .await
    .expect("a table for pgbench");
    for (id, vector) in (0_i32..).zip(asked) {
        sqlx::query("INSERT INTO pgbench_asked VALUES ($1, $2)")
            .bind(id)
            .bind(Vector::from(vector.clone()))
            .execute(&mut *connection)
            .await
            .expect("a row for pgbench");
    }
    let kept = (WANTED * 2).clamp(200, 1_000);
    let taken = WANTED + WANTED / 4 + 10;
    let asked = "(SELECT v FROM pgbench_asked WHERE id = :id)";
    let sql = format!(
        "\\set id random(0, {last})\n\
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n\
         WITH settings AS MATERIALIZED (SELECT set_config('hnsw.ef_search', '{kept}', true) AS \
         kept, CASE WHEN (SELECT string_to_array(extversion, '.')::int[] >= '{{0,8}}' FROM \
         pg_extension WHERE extname = 'vector') THEN set_config('hnsw.iterative_scan', \
         'relaxed_order', true) || set_config('hnsw.max_scan_tuples', '40000', true) END AS walk) \
         SELECT g.key, g.vector_index = 'ready' AND s.kept <> '' AS indexed FROM settings s, \
         generations g WHERE g.workspace_id = '{workspace}' AND g.id = ANY('{{{generation}}}') \
         AND g.dimensions = {DIMENSIONS} AND g.collection_id = ANY('{{{collection}}}');\n\
         SELECT x.chunk_id, 1 - (x.exact <=> {asked}) AS similarity FROM (SELECT chunk_id, exact \
         FROM vectors_{key} WHERE workspace_id = '{workspace}' ORDER BY \
         embedding::halfvec({DIMENSIONS}) <=> {asked}::halfvec({DIMENSIONS}) LIMIT {taken}) x;\n\
         ROLLBACK;\n",
        last = QUERIES - 1,
        workspace = loaded.workspace,
        generation = loaded.generation,
        collection = loaded.collection,
        key = loaded.generation_key,
    );
    tokio::fs::write(path, sql).await.expect("written");
    println!(
        "the same for pgbench: PGOPTIONS='-c role=quaestor_app -c jit=off -c \
         quaestor.workspaces={{{}}}' pgbench -n -M prepared -c {CALLERS} -j 2 -T 20 -f {path} \
         \"$QUAESTOR_DATABASE_URL\"",
        loaded.workspace
    );
}

async fn searches_per_second(
    store: &Arc<PgStore>,
    loaded: &Loaded,
    scope: &SearchScope,
    asked: &Arc<Vec<Vec<f32>>>,
) {
    let mut callers = tokio::task::JoinSet::new();
    let until = Instant::now() + BUSY;
    for caller in 0..CALLERS {
        let (store, asked, scope) = (store.clone(), asked.clone(), scope.clone());
        let (workspace, generation) = (loaded.workspace, loaded.generation);
        callers.spawn(async move {
            let mut done = 0_u64;
            let mut random = Random(1 + caller as u64);
            while Instant::now() < until {
                let vector = &asked[random.below(asked.len())];
                store
                    .search_vectors(workspace, &scope, &[generation], vector, WANTED)
                    .await
                    .expect("answered");
                done += 1;
            }
            done
        });
    }
    let done: u64 = callers.join_all().await.into_iter().sum();
    println!(
        "{CALLERS} callers: {:.0} searches by meaning a second",
        done as f32 / BUSY.as_secs_f32()
    );
}

#[tokio::main]
async fn main() {
    let chunks = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let script = std::env::args().nth(2).unwrap_or_else(|| "target/pg_search.sql".to_owned());
    let url = std::env::var("QUAESTOR_DATABASE_URL").expect("QUAESTOR_DATABASE_URL names a server");
    let url: SecretString = url.into();
    PgStore::migrate(&url, &SystemClock).await.expect("the schema is made");
    let mut options = PgOptions::new(url.clone());
    options.statement_timeout = Duration::from_secs(600);
    let store = PgStore::connect(options, Arc::new(SystemClock)).await.expect("it opens");
    let store = Arc::new(store);
    let mut connection = {
        use secrecy::ExposeSecret;
        PgConnection::connect(url.expose_secret()).await.expect("it opens")
    };
    let loaded = match loaded(&mut connection).await {
        Some(loaded) => loaded,
        None => load(&store, &mut connection, chunks).await,
    };
    let started = Instant::now();
    let built = store.tend_vectors().await.expect("built");
    println!("built {built} indexes in {:.1} s", started.elapsed().as_secs_f32());
    for table in ["chunks", "chunk_terms", &format!("vectors_{}", loaded.generation_key)] {
        let sql = format!(
            "SELECT pg_size_pretty(pg_table_size('{table}')), pg_size_pretty(pg_indexes_size('{table}'))"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("there");
        println!("{table}: {}, indexes {}", row.get::<&str, _>(0), row.get::<&str, _>(1));
    }

    // Questions are near what is stored, as real ones are.
    let mut others = Vectors::new();
    others.random = Random(4_711);
    let asked: Arc<Vec<Vec<f32>>> = Arc::new((0..QUERIES).map(|_| others.next()).collect());
    write_script(&mut connection, &script, &loaded, &asked).await;
    let truth = exact(&loaded, chunks, &asked);
    let everything = SearchScope { collections: vec![loaded.collection], ..SearchScope::default() };
    for (level, truth) in LEVELS.iter().zip(&truth) {
        let visible: Vec<DocumentId> = loaded
            .documents
            .iter()
            .enumerate()
            .filter(|(place, _)| place < level)
            .map(|(_, document)| *document)
            .collect();
        let mut scope = everything.clone();
        if *level < 1_000 {
            scope.filter = ScopeFilter { document_ids: Some(visible), ..ScopeFilter::default() };
        }
        let (mut times, mut found, mut least) = (Vec::new(), 0, WANTED as usize);
        for round in 0..2 {
            for (vector, truth) in asked.iter().zip(truth) {
                let began = Instant::now();
                let hits = store
                    .search_vectors(loaded.workspace, &scope, &[loaded.generation], vector, WANTED)
                    .await
                    .expect("answered");
                // The first round warms the cache.
                if round == 0 {
                    continue;
                }
                times.push(began.elapsed());
                least = least.min(hits.len());
                let best = &hits[..hits.len().min(NEAREST)];
                found +=
                    truth.iter().filter(|id| best.iter().any(|hit| hit.chunk_id == **id)).count();
            }
        }
        let recall = found as f32 / truth.iter().map(Vec::len).sum::<usize>() as f32;
        report(&format!("vectors, {:.1} % visible", *level as f32 / 10.0), &mut times);
        println!("    recall@{NEAREST} {recall:.3}, at least {least} of {WANTED} wanted");
    }
    searches_per_second(&store, &loaded, &everything, &asked).await;

    let (words, mut random) = (Words::new(), Random(99));
    let mut times = Vec::new();
    for _ in 0..TEXT_QUERIES {
        // Three to six words, as a text has them: some common, some rare.
        let terms: Vec<String> = (0..3 + random.below(4))
            .map(|_| {
                loop {
                    let rank = words.pick(&mut random);
                    // Words as common as "the" are stop words.
                    if rank > 10 {
                        break format!("w{rank}");
                    }
                }
            })
            .collect();
        let began = Instant::now();
        store.search_text(loaded.workspace, &everything, &terms, WANTED).await.expect("answered");
        times.push(began.elapsed());
    }
    report("words, every match scored", &mut times);
    store.close().await;
}
