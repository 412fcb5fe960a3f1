//! Any number of `quaestor migrate`s on an empty database at once make one installation.

use std::process::{Output, Stdio};

use sqlx::{Connection, PgConnection, Row};

use crate::installation::Installation;

/// As many as a careless deployment may start.
const AT_ONCE: usize = 6;

#[tokio::test]
async fn migrations_at_once_make_one_workspace_and_show_one_key() {
    let installation = Installation::bare().await;
    let started: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let mut command = installation.command(&["migrate"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let ended: Vec<Output> =
        started.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in &ended {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let keys: Vec<_> = ended.iter().filter(|output| !output.stdout.is_empty()).collect();
    assert_eq!(keys.len(), 1, "one of them shows the key");
    let mut database =
        PgConnection::connect(installation.setting("QUAESTOR_DATABASE_URL")).await.unwrap();
    for table in ["workspaces", "api_keys", "principals", "audit_log"] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query(sql).fetch_one(&mut database).await.unwrap().get(0);
        assert_eq!(rows, 1, "{table}");
    }
    database.close().await.unwrap();
}
