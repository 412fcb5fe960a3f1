//! A reading takes its place: from now on it is what is searched of its document, or would be
//! under a generation of its cut.

use quaestor_core::clock::Time;
use quaestor_core::ids::{DocumentId, WorkspaceId};
use quaestor_core::ports::store::{Claim, IngestSubject, ParsedSummary};
use quaestor_core::problem::Problem;
use sqlx::{AssertSqlSafe, Row};

use super::super::dialect::{self, DbConnection, for_update};
use super::super::ending::{self, Ending};
use super::super::fault::Fault;
use super::super::{checkpoints, erase, ingest, rows, search};
use super::{keys_of, optional};

/// A reading, as far as others are weighed against it.
#[derive(Clone, Copy, Debug)]
struct Reading {
    key: i64,
    /// Its own number.
    number: i64,
    /// The version that it is a reading of.
    version: i64,
    cut: i64,
}

impl Reading {
    fn is_beside(self) -> bool {
        self.number != self.version
    }

    fn same_side(self, other: Self) -> bool {
        self.cut % 2 == other.cut % 2
    }
}

async fn reading(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    key: Option<i64>,
) -> Result<Option<Reading>, Fault> {
    let Some(key) = key else { return Ok(None) };
    let found = sqlx::query(
        "SELECT version, reading_of, cut FROM versions WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .fetch_optional(tx)
    .await?;
    let of = |row: super::super::dialect::DbRow| {
        let number: i64 = row.try_get("version")?;
        let version = optional(&row, "reading_of")?.unwrap_or(number);
        Ok(Reading { key, number, version, cut: row.try_get("cut")? })
    };
    found.map(of).transpose()
}

/// The document's readings of the even and of the odd cut. It is locked until the transaction
/// ends: of two readings that are placed at once the later one sees the other, and no vectors
/// are stored meanwhile for one that goes.
async fn of_document(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
) -> Result<[Option<Reading>; 2], Fault> {
    let found = sqlx::query(concat!(
        "SELECT current_key, other_key FROM documents WHERE workspace_id = $1 AND id = $2",
        for_update!()
    ))
    .bind(workspace.uuid())
    .bind(document.uuid())
    .fetch_one(&mut *tx)
    .await?;
    let keys = [optional(&found, "current_key")?, optional(&found, "other_key")?];
    Ok([reading(tx, workspace, keys[0]).await?, reading(tx, workspace, keys[1]).await?])
}

/// Makes a reading the one of its document and cut, and takes out of search what it replaces:
/// readings of earlier versions, and the same version's reading of before. One that a later
/// version has overtaken is not searched at all.
pub(in super::super) async fn place(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    document: DocumentId,
    key: i64,
) -> Result<(), Fault> {
    let stand = of_document(tx, workspace, document).await?;
    let Some(new) = reading(tx, workspace, Some(key)).await? else { return Ok(()) };
    if stand.iter().flatten().any(|old| old.version > new.version) {
        return search::forget_version(tx, workspace, key).await;
    }
    let mut keys = stand.map(|old| old.map(|old| old.key));
    for old in stand.into_iter().flatten().filter(|old| old.key != key) {
        if old.version < new.version {
            search::forget_version(tx, workspace, old.key).await?;
            keys[usize::from(old.cut % 2 == 1)] = None;
        } else if old.same_side(new) {
            search::take_out(tx, workspace, old.key).await?;
            if new.is_beside() && !old.is_beside() {
                change_numbers(tx, workspace, new, old).await?;
            }
        } else {
            // It stood in for this one.
            forget_vectors(tx, workspace, old.key, new.cut).await?;
        }
    }
    keys[usize::from(new.cut % 2 == 1)] = Some(key);
    sqlx::query(
        "UPDATE documents SET current_key = $3, other_key = $4 WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(document.uuid())
    .bind(keys[0])
    .bind(keys[1])
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The reading becomes its version's own row, and the one of before a reading beside: what
/// names the version finds what is searched. Its passages keep their ids.
async fn change_numbers(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    new: Reading,
    old: Reading,
) -> Result<(), Fault> {
    // No two rows of a document may have the same number, not for a moment.
    for (key, number, reading_of) in [
        (new.key, -new.number, Some(new.version)),
        (old.key, new.number, Some(old.number)),
        (new.key, old.number, None),
    ] {
        sqlx::query(
            "UPDATE versions SET version = $3, reading_of = $4 WHERE workspace_id = $1 AND key = $2",
        )
        .bind(workspace.uuid())
        .bind(key)
        .bind(number)
        .bind(reading_of)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Removes a reading's vectors from the generations of a cut's side.
async fn forget_vectors(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    version_key: i64,
    cut: i64,
) -> Result<(), Fault> {
    let generations = sqlx::query(
        "SELECT g.key FROM versions v JOIN generations g ON g.collection_id = v.collection_id
         WHERE v.workspace_id = $1 AND v.key = $2 AND g.state <> 'dropped' AND g.cut % 2 = $3",
    )
    .bind(workspace.uuid())
    .bind(version_key)
    .bind(cut % 2)
    .fetch_all(&mut *tx)
    .await?;
    for row in generations {
        search::forget_vectors(tx, workspace, version_key, row.try_get("key")?).await?;
    }
    Ok(())
}

/// Writes what is known of a version or reading once it is parsed.
pub(in super::super) async fn summarise(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    key: i64,
    summary: ParsedSummary,
    status: &str,
    staged: bool,
) -> Result<(), Fault> {
    sqlx::query(
        "UPDATE versions SET status = $3, error = $4, media_type = $5, title = $6,
             document_date = $7, day = coalesce($7, day), pages = $8, chunks = $9, parser = $10,
             staged = $11, reread_error = NULL
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .bind(status.to_owned())
    .bind(summary.warning.as_ref().map(rows::to_json).transpose()?)
    .bind(summary.media_type)
    .bind(summary.title.map(dialect::text))
    .bind(summary.document_date)
    .bind(i64::from(summary.pages))
    .bind(i64::from(summary.chunks))
    .bind(summary.parser)
    .bind(staged)
    .execute(&mut *tx)
    .await?;
    checkpoints::forget(tx, workspace, key).await
}

/// A reading for a generation is whole; the job that made it goes on.
pub(super) async fn finish(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
    summary: ParsedSummary,
) -> Result<(), Fault> {
    let key = ingest::held_version(tx, workspace, claim, subject).await?;
    summarise(tx, workspace, key, summary, "ready", false).await?;
    place(tx, workspace, subject.document_id, key).await?;
    // It got further: whatever stops it from now on has not stopped it so often.
    sqlx::query(
        "UPDATE jobs SET step_attempt = 1
         WHERE workspace_id = $1 AND id = $2 AND step_attempt > 1",
    )
    .bind(workspace.uuid())
    .bind(claim.job_id.uuid())
    .execute(tx)
    .await?;
    Ok(())
}

/// The reading that one beside would take the place of; none where that is gone, or of
/// another version by now.
pub(super) async fn replaced(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    subject: &IngestSubject,
) -> Result<Option<i64>, Fault> {
    let Some(version) = subject.reading_of else { return Ok(None) };
    let (own, _) = keys_of(i64::from(subject.cut));
    let found = sqlx::query(AssertSqlSafe(format!(
        "SELECT v.key FROM documents d JOIN versions v ON v.key = d.{own}
         WHERE d.workspace_id = $1 AND d.id = $2 AND coalesce(v.reading_of, v.version) = $3
           AND v.cut = $4"
    )))
    .bind(workspace.uuid())
    .bind(subject.document_id.uuid())
    .bind(i64::from(version))
    .bind(i64::from(subject.cut))
    .fetch_optional(connection)
    .await?;
    found.map(|row| Ok(row.try_get("key")?)).transpose()
}

/// The reading beside goes, and the one that is searched is noted as this parser's.
pub(in super::super) async fn keep_old(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
    parser: &str,
    now: Time,
) -> Result<(), Fault> {
    let key = ingest::held_version(tx, workspace, claim, subject).await?;
    if let Some(old) = replaced(tx, workspace, subject).await? {
        sqlx::query(
            "UPDATE versions SET parser = $3, reread_error = NULL
             WHERE workspace_id = $1 AND key = $2",
        )
        .bind(workspace.uuid())
        .bind(old)
        .bind(parser.to_owned())
        .execute(&mut *tx)
        .await?;
    }
    remove(tx, workspace, key).await?;
    name_version(tx, workspace, claim, subject).await?;
    ending::end(tx, workspace, claim.job_id, &Ending::Done, now).await
}

/// The job that has read a version again is one of that version: the number of the reading is
/// another's by now, or nobody's.
pub(in super::super) async fn name_version(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    claim: &Claim,
    subject: &IngestSubject,
) -> Result<(), Fault> {
    sqlx::query("UPDATE jobs SET subject_version = $3 WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(claim.job_id.uuid())
        .bind(i64::from(subject.reading_of.unwrap_or(subject.version)))
        .execute(tx)
        .await?;
    Ok(())
}

/// Removes a reading beside with all that was stored of it.
pub(super) async fn remove(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    key: i64,
) -> Result<(), Fault> {
    search::take_out(tx, workspace, key).await?;
    sqlx::query("DELETE FROM chunks WHERE workspace_id = $1 AND version_key = $2")
        .bind(workspace.uuid())
        .bind(key)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "DELETE FROM versions WHERE workspace_id = $1 AND key = $2 AND reading_of IS NOT NULL",
    )
    .bind(workspace.uuid())
    .bind(key)
    .execute(tx)
    .await?;
    Ok(())
}

/// A reading beside came to nothing: what was stored of it goes. With a problem, the reading
/// that is searched instead says why it was kept.
pub(in super::super) async fn fail(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    key: i64,
    problem: Option<&Problem>,
) -> Result<(), Fault> {
    erase::contents(tx, workspace, key).await?;
    sqlx::query(
        "UPDATE versions SET status = 'failed', error = $3, staged = FALSE
         WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .bind(problem.map(rows::to_json).transpose()?)
    .execute(&mut *tx)
    .await?;
    let Some(problem) = problem else { return Ok(()) };
    let told = Problem::new(
        "not_read_again",
        "The file could not be read again",
        format!("what an earlier reading found is still searched: {}", problem.detail),
    );
    sqlx::query(
        "UPDATE versions SET reread_error = $3 WHERE workspace_id = $1 AND key IN
             (SELECT m.key FROM versions f JOIN versions m ON m.document_id = f.document_id
                  AND m.version = f.reading_of
              WHERE f.workspace_id = $1 AND f.key = $2)",
    )
    .bind(workspace.uuid())
    .bind(key)
    .bind(rows::to_json(&told)?)
    .execute(tx)
    .await?;
    Ok(())
}
