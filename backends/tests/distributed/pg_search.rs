//! Search on PostgreSQL, where it differs from SQLite behind the port: does it find the
//! same, by its indexes, under row-level security, and leave nothing behind?

use std::sync::Arc;

use quaestor_backends::store::postgres::PgStore;
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_contracts::store::{EmptyStore, Fixture};
use quaestor_core::ids::{ChunkId, CollectionId, DocumentId, GenerationId};
use quaestor_core::jobs::Step;
use quaestor_core::ports::store::{ScopeFilter, Search, SearchScope, TextHit};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::postgres::databases::{Database, open};

async fn fixture(database: &Database) -> (Fixture, Arc<PgStore>) {
    let store = Arc::new(open(database).await);
    let empty =
        EmptyStore { store: store.clone(), keep: Box::new(()), leftovers: None, harm: None };
    (Fixture::over(empty).await, store)
}

/// xorshift64*: quick, and the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    /// A vector of unit length.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn direction(&mut self) -> Vec<f32> {
        let vector: Vec<f32> = (0..8).map(|_| self.below(2_001) as f32 - 1_000.0).collect();
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.into_iter().map(|value| value / length).collect()
    }

    /// Words of which the first are many times commoner than the last.
    fn words(&mut self, count: u64) -> Vec<String> {
        (0..count)
            .map(|_| {
                let bound = 1 + self.below(300);
                format!("w{}", self.below(bound))
            })
            .collect()
    }
}

/// Without deletions: SQLite's full text goes on counting deleted chunks among all.
/// Both fixtures make the same ids in the same order, so the chunks have the same ones.
async fn ingest_some(f: &Fixture, random: &mut Random) -> Vec<CollectionId> {
    let mut collections = Vec::new();
    for name in ["filings", "letters"] {
        let collection = f.collection(name).await;
        for document in 0..8 {
            let texts: Vec<String> = (0..30)
                .map(|_| {
                    let count = 3 + random.below(60);
                    random.words(count).join(" ")
                })
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            f.ingest(collection, &format!("{document}.txt"), &texts).await;
        }
        collections.push(collection);
    }
    collections
}

#[tokio::test]
async fn it_scores_as_sqlite_does() {
    let database = Database::with_schema().await;
    let (here, _) = fixture(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quaestor.db");
    let sqlite = SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await;
    let sqlite = Arc::new(sqlite.unwrap());
    let empty =
        EmptyStore { store: sqlite.clone(), keep: Box::new(folder), leftovers: None, harm: None };
    let there = Fixture::over(empty).await;
    let collections = ingest_some(&here, &mut Random(7)).await;
    assert_eq!(ingest_some(&there, &mut Random(7)).await, collections);

    let mut random = Random(8);
    for _ in 0..60 {
        let count = 1 + random.below(8);
        let terms = random.words(count);
        let limit = u32::try_from(1 + random.below(200)).unwrap();
        for scope in [here.scope(&collections), here.scope(&collections[1..])] {
            let found = async |f: &Fixture| -> Vec<TextHit> {
                f.store.search_text(f.workspace, &scope, &terms, limit).await.unwrap()
            };
            assert_eq!(found(&here).await, found(&there).await, "{terms:?}");
        }
        let counted = async |f: &Fixture| f.store.term_stats(f.workspace, &terms).await.unwrap();
        assert_eq!(counted(&here).await, counted(&there).await, "{terms:?}");
    }
}

#[tokio::test]
async fn another_process_counts_what_this_one_has_made_searchable() {
    let database = Database::with_schema().await;
    let (f, _) = fixture(&database).await;
    let other = open(&database).await;
    let filings = f.collection("filings").await;
    let terms = vec!["alpha".to_owned()];
    let counted = async || other.term_stats(f.workspace, &terms).await.unwrap();
    f.ingest(filings, "a.txt", &["alpha", "beta"]).await;
    assert_eq!((counted().await.chunks, counted().await.chunks_with), (2, vec![1]));
    let second = f.ingest(filings, "b.txt", &["alpha"]).await;
    assert_eq!((counted().await.chunks, counted().await.chunks_with), (3, vec![2]));
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, second, f.now(), audit).await.unwrap();
    assert_eq!((counted().await.chunks, counted().await.chunks_with), (2, vec![1]));
}

async fn rows_of(connection: &mut PgConnection, sql: String) -> i64 {
    sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap().get(0)
}

/// The partition of a generation.
async fn partition(connection: &mut PgConnection, generation: GenerationId) -> String {
    let row = sqlx::query("SELECT key FROM generations WHERE id = $1")
        .bind(generation.uuid())
        .fetch_one(connection)
        .await
        .unwrap();
    format!("vectors_{}", row.get::<i64, _>(0))
}

#[tokio::test]
async fn no_row_of_search_is_seen_without_its_workspace() {
    let database = Database::with_schema().await;
    let (f, _) = fixture(&database).await;
    let filings = f.collection("filings").await;
    let (_, generation) = f.embed(filings, "a.txt", &[[1.0; 8]]).await;
    let mut direct = database.connect().await;
    let partition = partition(&mut direct, generation).await;
    let tables = ["chunk_terms", "search_stamps", "vectors", partition.as_str()];
    for table in tables {
        let all = rows_of(&mut direct, format!("SELECT count(*) FROM {table}")).await;
        assert!(all > 0, "{table}");
    }
    sqlx::raw_sql("SET ROLE quaestor_app").execute(&mut direct).await.unwrap();
    let workspaces = ["".to_owned(), format!("{{{}}}", f.id::<DocumentId>())];
    for workspace in workspaces {
        sqlx::query("SELECT set_config('quaestor.workspaces', $1, false)")
            .bind(workspace)
            .execute(&mut direct)
            .await
            .unwrap();
        for table in tables {
            let seen = rows_of(&mut direct, format!("SELECT count(*) FROM {table}")).await;
            assert_eq!(seen, 0, "{table}");
        }
    }
}

/// Uploads a document with so many vectors of all directions, and makes it searchable.
async fn embed_many(f: &Fixture, collection: CollectionId, name: &str, count: u32) -> DocumentId {
    let generation = f.generation(f.workspace, collection).await;
    let upload = f.upload(collection, name, name).await;
    let texts: Vec<String> = (0..count).map(|place| format!("chunk {place}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(f.workspace, &upload, &texts, Some(next)).await;
    let document = upload.items[0].document_id;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let mut random = Random(u64::from(count));
    let vectors: Vec<_> = (0..count)
        .map(|ordinal| (ChunkId::derive(document, 1, ordinal), random.direction()))
        .collect();
    for batch in vectors.chunks(2_000) {
        let stored = f
            .store
            .save_vectors(
                f.workspace,
                &claim,
                generation,
                batch.iter().cloned().map(Into::into).collect(),
                1,
                &[],
            )
            .await;
        stored.unwrap();
    }
    f.store.finish_embed(f.workspace, &claim, document, 1, f.now()).await.unwrap();
    document
}

#[tokio::test]
async fn a_generation_that_has_grown_is_searched_by_its_index() {
    let database = Database::with_schema().await;
    let (f, store) = fixture(&database).await;
    let filings = f.collection("filings").await;
    let large = embed_many(&f, filings, "large", 20_400).await;
    let small = embed_many(&f, filings, "small", 300).await;
    let letters = f.collection("letters").await;
    let (_, other) = f.embed(letters, "b", &[[1.0; 8]]).await;
    let generation = f.generation(f.workspace, filings).await;
    let scope = |documents: Option<Vec<DocumentId>>| SearchScope {
        collections: vec![filings, letters],
        filter: ScopeFilter { document_ids: documents, ..ScopeFilter::default() },
    };
    let scopes = [scope(None), scope(Some(vec![large])), scope(Some(vec![small]))];
    let search = async |scope: &SearchScope| {
        let asked = Random(3).direction();
        let generations = [generation, other];
        store.search_vectors(f.workspace, scope, &generations, &asked, 40).await.unwrap()
    };
    let mut before = Vec::new();
    for scope in &scopes {
        before.push(search(scope).await);
    }
    assert_eq!(store.tend_vectors().await.unwrap(), 1, "one generation has grown");
    assert_eq!(store.tend_vectors().await.unwrap(), 0, "and has its index");
    for (scope, before) in scopes.iter().zip(&before) {
        let after = search(scope).await;
        assert_eq!(after.len(), 40);
        let kept = after.iter().filter(|hit| before.contains(hit)).count();
        assert!(kept >= 36, "{kept} of the 40 nearest were found by the index");
        assert_eq!(after[0], before[0]);
    }

    let mut direct = database.connect().await;
    let partition = partition(&mut direct, generation).await;
    let plan = sqlx::query(AssertSqlSafe(format!(
        "EXPLAIN SELECT chunk_id FROM {partition} WHERE workspace_id = $1
         ORDER BY embedding::halfvec(8) <=> '[1,0,0,0,0,0,0,0]'::halfvec(8) LIMIT 9"
    )));
    sqlx::query("SET ROLE quaestor_app").execute(&mut direct).await.unwrap();
    let plan = plan.bind(f.workspace.uuid()).fetch_all(&mut direct).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
    assert!(plan.join("\n").contains(&format!("{partition}_near")), "{plan:#?}");
}

#[tokio::test]
async fn words_are_read_from_the_index_alone() {
    let database = Database::with_schema().await;
    let (f, _) = fixture(&database).await;
    ingest_some(&f, &mut Random(7)).await;
    let mut direct = database.connect().await;
    sqlx::raw_sql("VACUUM ANALYZE chunk_terms").execute(&mut direct).await.unwrap();
    sqlx::raw_sql("SET ROLE quaestor_app; SET enable_seqscan = off")
        .execute(&mut direct)
        .await
        .unwrap();
    let plan = sqlx::query(
        "EXPLAIN SELECT term, sum(chunks), string_agg(postings, ''::bytea) FROM chunk_terms
         WHERE workspace_id = $1 AND term = ANY('{w1,w200}') GROUP BY term",
    )
    .bind(f.workspace.uuid())
    .fetch_all(&mut direct)
    .await
    .unwrap();
    let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Only Scan using chunk_terms_by_term"), "{plan}");
    assert!(plan.contains("AND (term = ANY"), "both are conditions of the index: {plan}");
}

#[tokio::test]
async fn the_partition_of_a_removed_collection_is_dropped() {
    let database = Database::with_schema().await;
    let (f, store) = fixture(&database).await;
    let filings = f.collection("filings").await;
    let (_, generation) = f.embed(filings, "a.txt", &[[1.0; 8]]).await;
    let mut direct = database.connect().await;
    let partition = partition(&mut direct, generation).await;
    let audit = f.audit("collection.delete");
    f.store.delete_collection(f.workspace, filings, f.now(), audit).await.unwrap();
    let left = rows_of(&mut direct, format!("SELECT count(*) FROM {partition}")).await;
    assert_eq!(left, 0, "no vector is left at once");
    store.tend_vectors().await.unwrap();
    let there = format!("SELECT count(*) FROM pg_class WHERE relname = '{partition}'");
    assert_eq!(rows_of(&mut direct, there).await, 0);
    let letters = f.collection("letters").await;
    f.embed(letters, "b.txt", &[[1.0; 8]]).await;
}
