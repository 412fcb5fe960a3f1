//! Whether a reading is what another one holds.

use quaestor_core::ids::WorkspaceId;
use quaestor_core::parsed::ParsedChunk;
use quaestor_core::ports::store::{IngestSubject, NewPage, ReadingDigest};
use quaestor_core::reading_sum::ReadingSum;
use sqlx::Row;

use super::super::dialect::{DbConnection, DbRow};
use super::super::fault::Fault;
use super::super::rows;
use super::place::replaced;

/// Pages, or passages, that are read at once to be compared.
const COMPARED_AT_ONCE: u32 = 200;

/// The digest of the reading that one beside would take the place of.
pub(super) async fn digest(
    connection: &mut DbConnection,
    workspace: WorkspaceId,
    subject: &IngestSubject,
) -> Result<Option<ReadingDigest>, Fault> {
    let Some(key) = replaced(connection, workspace, subject).await? else { return Ok(None) };
    let mut sum = ReadingSum::default();
    let mut from = 0_i64;
    loop {
        let found = sqlx::query(
            "SELECT ordinal, number, label, text, boxes, missing FROM pages
             WHERE workspace_id = $1 AND version_key = $2 AND ordinal >= $3
             ORDER BY ordinal LIMIT $4",
        )
        .bind(workspace.uuid())
        .bind(key)
        .bind(from)
        .bind(i64::from(COMPARED_AT_ONCE))
        .fetch_all(&mut *connection)
        .await?;
        for row in &found {
            sum.page(&page(row)?);
        }
        match found.last() {
            Some(last) => from = last.try_get::<i64, _>("ordinal")? + 1,
            None => break,
        }
    }
    let mut from = 0_i64;
    loop {
        let found = sqlx::query(
            "SELECT ordinal, page_ordinal, char_start, char_end, is_table, cells, section, header,
                 text
             FROM chunks WHERE workspace_id = $1 AND version_key = $2 AND ordinal >= $3
             ORDER BY ordinal LIMIT $4",
        )
        .bind(workspace.uuid())
        .bind(key)
        .bind(from)
        .bind(i64::from(COMPARED_AT_ONCE))
        .fetch_all(&mut *connection)
        .await?;
        for row in &found {
            sum.chunk(&chunk(row)?);
        }
        match found.last() {
            Some(last) => from = last.try_get::<i64, _>("ordinal")? + 1,
            None => break,
        }
    }
    let told = sqlx::query(
        "SELECT title, document_date, media_type FROM versions WHERE workspace_id = $1 AND key = $2",
    )
    .bind(workspace.uuid())
    .bind(key)
    .fetch_optional(connection)
    .await?;
    let Some(row) = told else { return Ok(None) };
    let (title, media): (Option<String>, String) =
        (row.try_get("title")?, row.try_get("media_type")?);
    Ok(Some(sum.finish(title.as_deref(), row.try_get("document_date")?, &media)))
}

fn page(row: &DbRow) -> Result<NewPage, Fault> {
    Ok(NewPage {
        ordinal: rows::number(row, "ordinal")?,
        number: rows::optional_number(row, "number")?,
        label: row.try_get("label")?,
        text: row.try_get("text")?,
        boxes: row.try_get("boxes")?,
        missing: row.try_get("missing")?,
    })
}

fn chunk(row: &DbRow) -> Result<ParsedChunk, Fault> {
    Ok(ParsedChunk {
        ordinal: rows::number(row, "ordinal")?,
        page_ordinal: rows::number(row, "page_ordinal")?,
        char_start: rows::number(row, "char_start")?,
        char_end: rows::number(row, "char_end")?,
        is_table: row.try_get("is_table")?,
        cells: row.try_get("cells")?,
        section: row.try_get("section")?,
        header: row.try_get("header")?,
        text: row.try_get("text")?,
    })
}
