//! Does row-level security hold beneath the statements, in every table there is?

use quaestor_contracts::store::Fixture;
use quaestor_core::ids::{ChunkId, CollectionId, ConversationId, WorkspaceId};
use quaestor_core::jobs::{ExportPayload, JobKind, Step};
use quaestor_core::model::{Budget, ExportFormat, ExportSelection, JobState, Role, Usage};
use quaestor_core::ports::model_call::{BegunCall, CallOutcome, ModelCall, Operation};
use quaestor_core::ports::store::{
    AcceptExport, Answer, CallsOf, Checkpoint, EmbeddedChunk, ExportAcceptance, IdempotencyKey,
    NewFeedback, NewKey, NewTemplate, TextHash,
};
use quaestor_core::problem::Problem;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::databases::{Database, open, run};

/// A table of the schema and its column that names the workspace.
struct Table {
    name: String,
    column: &'static str,
}

/// Every table but those of no workspace, as the catalogue has them.
async fn tables(database: &mut PgConnection) -> Vec<Table> {
    let found = sqlx::query(
        "SELECT relname FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND NOT relispartition AND relname NOT IN ('schema_migrations', 'standing', 'backups', 'schedules', 'schedule_runs')
         ORDER BY relname",
    )
    .fetch_all(database)
    .await
    .unwrap();
    let tables: Vec<Table> = found
        .iter()
        .map(|row| {
            let name: String = row.get(0);
            let column = if name == "workspaces" { "id" } else { "workspace_id" };
            Table { name, column }
        })
        .collect();
    assert!(tables.len() >= 19, "the catalogue was not read: {} tables", tables.len());
    tables
}

async fn count(database: &mut PgConnection, sql: String) -> i64 {
    sqlx::query(AssertSqlSafe(sql)).fetch_one(database).await.unwrap().get(0)
}

/// Fills every table with rows of a workspace.
/// A document whose former version has left its vectors.
async fn replaced_document(f: &Fixture, workspace: WorkspaceId, filings: CollectionId) {
    let generation = f.generation(workspace, filings).await;
    let upload = f.upload_in(workspace, filings, "kept.txt", "kept").await;
    let next = f.advance(Step::DocumentsEmbed, serde_json::json!({}));
    f.finish_upload(workspace, &upload, &["kept"], Some(next)).await;
    let item = &upload.items[0];
    let claim = f.claim_in(workspace, item.job_id).await.claim;
    let vectors = vec![EmbeddedChunk {
        chunk_id: ChunkId::derive(item.document_id, 1, 0),
        text: Some(TextHash::of("kept")),
        vector: vec![1.0; 8],
    }];
    f.store.save_vectors(workspace, &claim, generation, vectors, 1, &[]).await.unwrap();
    f.ingest_in(workspace, filings, "kept.txt", &["anew"]).await;
}

/// An export, and a template.
async fn export(f: &Fixture, workspace: WorkspaceId, conversation: ConversationId) {
    let template = NewTemplate {
        id: f.id(),
        name: "house".to_owned(),
        source: "x".to_owned(),
        created_at: f.now(),
    };
    let audit = f.audit("export_template.set");
    f.store.create_export_template(workspace, template, 9, 9, audit).await.unwrap();
    f.ask(conversation, "first?").await;
    let id = f.id();
    let mut job = f.job(JobKind::Exports, Step::ExportsWrite);
    job.payload = serde_json::to_value(ExportPayload { export_id: id }).unwrap();
    let wanted = AcceptExport {
        id,
        principal_id: f.principal,
        format: ExportFormat::Pdf,
        selection: ExportSelection::ConversationId(conversation),
        template: None,
        filename: "answers.pdf".to_owned(),
        job,
        idempotency: None,
        audit: f.audit("export.create"),
    };
    let accepted = f.store.accept_export(workspace, wanted).await.unwrap();
    assert!(matches!(accepted, ExportAcceptance::Accepted(_)), "{accepted:?}");
}

async fn fill(f: &Fixture, workspace: WorkspaceId) {
    let key = NewKey {
        id: f.id(),
        principal_id: f.principal,
        name: "key".to_owned(),
        role: Role::Member,
        prefix: workspace.to_string(),
        secret_sha256: [1; 32],
        created_at: f.now(),
    };
    f.store.create_key(workspace, key, f.audit("key.create")).await.unwrap();
    let filings = f.collection("filings").await;
    f.embed(filings, "a.txt", &[[1.0; 8], [0.5; 8]]).await;
    let upload = f.upload_in(workspace, filings, "long.txt", "long").await;
    let (claim, subject) = f.begin(workspace, &upload).await;
    let reached = Checkpoint { parser: "1".to_owned(), pages: 1, chunks: 0, state: vec![1] };
    let pages = vec![f.page("long")];
    f.store.save_checkpoint(workspace, &claim, &subject, pages, vec![], reached).await.unwrap();
    replaced_document(f, workspace, filings).await;
    let conversation = f.conversation().await;
    export(f, workspace, conversation).await;
    let mut question = f.question(conversation, "why?");
    question.idempotency = Some(IdempotencyKey {
        principal_id: f.principal,
        key: "once".to_owned(),
        request_sha256: [2; 32],
        created_at: f.now(),
    });
    let asked = f.store.accept_question(workspace, question).await.unwrap().unwrap();
    let claim = f.claim(asked.job_id).await.claim;
    let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    f.store.save_retrieved(workspace, &claim, asked.answer_id, "why?", &[], next).await.unwrap();
    let claim = f.claim(asked.job_id).await.claim;
    let call = ModelCall {
        id: f.id(),
        model: "openai:x".to_owned(),
        operation: Operation::Chat,
        request_id: None,
        usage: Usage { cost_micros: 1, ..Usage::default() },
        estimated: false,
        outcome: CallOutcome::Done,
        started_at: f.now(),
        ended_at: f.now(),
    };
    let answer = Answer {
        content: "so".to_owned(),
        citations: vec![],
        figures: vec![],
        model: "offline:x".to_owned(),
        usage: Usage::default(),
        calls: vec![call],
    };
    f.store.save_answer(workspace, &claim, asked.answer_id, answer, f.now()).await.unwrap();
    let feedback = NewFeedback {
        message_id: asked.answer_id,
        principal_id: f.principal,
        rating: 1,
        comment: None,
        created_at: f.now(),
    };
    assert!(f.store.save_feedback(workspace, feedback).await.unwrap());
    let budget = Budget { day_hard_micros: Some(1), ..Budget::default() };
    let set = f.store.create_budget(workspace, None, budget, f.audit("budget.set")).await;
    assert!(set.unwrap());
    let asked = f.ask(conversation, "and?").await;
    let claim = f.claim(asked.job_id).await.claim;
    let open = BegunCall {
        id: f.id(),
        model: "openai:x".to_owned(),
        operation: Operation::Chat,
        usage: Usage::default(),
        started_at: f.now(),
    };
    let of = CallsOf { principal_id: f.principal, job: Some((asked.job_id, claim.attempt)) };
    f.store.begin_call(workspace, of, open).await.unwrap();
    let problem = Problem::new("crashed", "Crashed", "It crashed too often.");
    f.store.fail(workspace, &claim, JobState::Dead, problem, &[], f.now()).await.unwrap();
    f.ask(conversation, "and then?").await;
    f.pass(std::time::Duration::from_secs(1));
    assert!(f.store.seal_audit(workspace, f.now(), 9).await.unwrap() > 0);
}

/// Two workspaces with rows in every table.
async fn two_workspaces(database: &Database) -> (WorkspaceId, WorkspaceId) {
    let mut f = Fixture::over(quaestor_contracts::store::EmptyStore {
        store: std::sync::Arc::new(open(database).await),
        keep: Box::new(()),
        leftovers: None,
        harm: None,
    })
    .await;
    let first = f.workspace;
    fill(&f, first).await;
    f.workspace = f.new_workspace().await;
    fill(&f, f.workspace).await;
    (first, f.workspace)
}

async fn as_program(database: &Database) -> PgConnection {
    let mut connection = database.connect().await;
    run(&mut connection, "SET ROLE quaestor_app".to_owned()).await;
    connection
}

#[tokio::test]
async fn every_table_is_under_forced_row_level_security() {
    let database = Database::with_schema().await;
    let mut owner = database.connect().await;
    for Table { name, .. } in tables(&mut owner).await {
        let row = sqlx::query(
            "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class
             WHERE oid = $1::text::regclass",
        )
        .bind(name.clone())
        .fetch_one(&mut owner)
        .await
        .unwrap();
        assert!(row.get::<bool, _>(0), "{name} is not under forced row-level security");
    }
    let parts = sqlx::query(
        "SELECT relname FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relispartition AND relkind = 'r'
           AND has_table_privilege('quaestor_app', oid, 'SELECT, INSERT, UPDATE, DELETE')",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let parts: Vec<String> = parts.iter().map(|row| row.get(0)).collect();
    assert!(parts.is_empty(), "the program may pass the parted table by: {parts:?}");
}

#[tokio::test]
async fn the_program_acts_without_rights_of_its_own() {
    let database = Database::with_schema().await;
    let mut program = as_program(&database).await;
    let role = sqlx::query(
        "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolcanlogin
         FROM pg_roles WHERE rolname = current_user",
    )
    .fetch_one(&mut program)
    .await
    .unwrap();
    assert!(!role.get::<bool, _>(0));
    for sql in ["CREATE TABLE mine (x int)", "DROP TABLE jobs", "TRUNCATE jobs"] {
        let refused = sqlx::raw_sql(sql).execute(&mut program).await;
        assert!(refused.is_err(), "{sql}");
    }
    let refused = sqlx::raw_sql("SELECT protect_table('jobs', 'id', '{}')").execute(&mut program);
    assert!(refused.await.is_err());
}

#[tokio::test]
async fn without_a_workspace_nothing_is_seen_or_changed() {
    let database = Database::with_schema().await;
    two_workspaces(&database).await;
    let mut owner = database.connect().await;
    let mut program = as_program(&database).await;
    for Table { name, column } in tables(&mut owner).await {
        let there = count(&mut owner, format!("SELECT count(*) FROM {name}")).await;
        assert!(there > 0, "{name} is empty: let `fill` put rows there");
        let seen = count(&mut program, format!("SELECT count(*) FROM {name}")).await;
        assert_eq!(seen, 0, "{name}");
        for sql in [format!("UPDATE {name} SET {column} = {column}"), format!("DELETE FROM {name}")]
        {
            let changed = sqlx::query(AssertSqlSafe(sql)).execute(&mut program).await.unwrap();
            assert_eq!(changed.rows_affected(), 0, "{name}");
        }
    }
}

#[tokio::test]
async fn one_workspace_cannot_read_write_or_delete_anothers_rows() {
    let database = Database::with_schema().await;
    let (own, other) = two_workspaces(&database).await;
    let mut owner = database.connect().await;
    let mut program = as_program(&database).await;
    for Table { name, column } in tables(&mut owner).await {
        let of = |workspace| format!("SELECT count(*) FROM {name} WHERE {column} = '{workspace}'");
        let (owned, others) =
            (count(&mut owner, of(own)).await, count(&mut owner, of(other)).await);
        assert!(owned > 0 && others > 0, "{name} is empty: let `fill` put rows there");

        let mut tx = program.begin().await.unwrap();
        run(&mut tx, format!("SET LOCAL quaestor.workspaces = '{{{own}}}'")).await;
        let seen = count(&mut tx, format!("SELECT count(*) FROM {name}")).await;
        assert_eq!(seen, owned, "{name}");
        for sql in [
            format!("UPDATE {name} SET {column} = {column} WHERE {column} = '{other}'"),
            format!("DELETE FROM {name} WHERE {column} = '{other}'"),
        ] {
            let changed = sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
            assert_eq!(changed.rows_affected(), 0, "{name}");
        }
        // A row of its own cannot be made another's either.
        let sql = format!("UPDATE {name} SET {column} = '{other}'");
        let error = sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap_err();
        let code = error.as_database_error().and_then(|cause| cause.code().map(Into::into));
        assert_eq!(code, Some("42501".to_owned()), "{name}: {error}");
        tx.rollback().await.unwrap();
        assert_eq!(count(&mut owner, of(other)).await, others, "{name}");
    }
}

#[tokio::test]
async fn sweeps_see_the_tables_that_they_need_and_no_others() {
    let database = Database::with_schema().await;
    two_workspaces(&database).await;
    let mut owner = database.connect().await;
    let mut program = as_program(&database).await;
    let mut seen = Vec::new();
    for Table { name, .. } in tables(&mut owner).await {
        let mut tx = program.begin().await.unwrap();
        run(&mut tx, "SET LOCAL quaestor.installation = 'on'".to_owned()).await;
        if count(&mut tx, format!("SELECT count(*) FROM {name}")).await > 0 {
            seen.push(name);
        }
        tx.rollback().await.unwrap();
    }
    let needed = [
        "api_keys",
        "batches",
        "budgets",
        "dead_letters",
        "exports",
        "generations",
        "idempotency_keys",
        "jobs",
        "open_calls",
        "outbox",
        "workspaces",
    ];
    assert_eq!(seen, needed);
}
