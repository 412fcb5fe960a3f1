//! A migration keeps what stands in the database.

use std::path::Path;

use sqlx::Row;

use super::databases::{Database, run};

/// The files of the schema up to and without this number, and from it on.
fn migrations(from: &str) -> (Vec<String>, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (before, after): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.file_name().unwrap().to_str().unwrap() < from);
    let read = |files: Vec<std::path::PathBuf>| {
        files.into_iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
    };
    (read(before), read(after))
}

#[tokio::test]
async fn jobs_that_are_dead_already_get_a_letter() {
    let database = Database::bare().await;
    let mut owner = database.connect().await;
    let (before, after) = migrations("0006");
    run(&mut owner, "CREATE EXTENSION IF NOT EXISTS vector".to_owned()).await;
    for sql in before {
        run(&mut owner, format!("BEGIN; {sql}; COMMIT")).await;
    }
    let job = |number: u32, state: &str, problem: &str| {
        format!(
            "SET quaestor.workspaces = '{{00000000-0000-0000-0000-000000000001}}';
             INSERT INTO jobs (id, workspace_id, principal_id, kind, step, state, payload,
                 subject_id, attempt, problem, created_at, updated_at, finished_at)
             VALUES ('00000000-0000-0000-0001-00000000000{number}',
                 '00000000-0000-0000-0000-000000000001', gen_random_uuid(), 'chat',
                 'chat.generate', '{state}', '{{}}', gen_random_uuid(), 6, '{problem}', 1, 2, 3);
             RESET quaestor.workspaces"
        )
    };
    let said = r#"{"code":"too_many_attempts","title":"T","detail":"it was"}"#;
    let with_nul = r#"{"code":"crashed","title":"T","detail":"it \u0000 was"}"#;
    for (number, state, problem) in
        [(1, "dead", said), (2, "dead", with_nul), (3, "failed", said), (4, "queued", said)]
    {
        run(&mut owner, job(number, state, problem)).await;
    }
    for sql in after {
        run(&mut owner, format!("BEGIN; {sql}; COMMIT")).await;
    }
    run(&mut owner, "SET quaestor.installation = 'on'".to_owned()).await;
    let letters =
        sqlx::query("SELECT code, detail, attempts, died_at FROM dead_letters ORDER BY id")
            .fetch_all(&mut owner)
            .await
            .unwrap();
    let told: Vec<(String, String, i64, i64)> =
        letters.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let wanted = |code: &str, detail: &str| (code.to_owned(), detail.to_owned(), 6, 3);
    assert_eq!(told, [wanted("too_many_attempts", "it was"), wanted("crashed", "it \u{fffd} was")]);
}
