//! Writes records, and what follows from them.

use std::collections::HashMap;

use quaestor_core::ids::{ChunkId, JobId, OutboxId, WorkspaceId};
use quaestor_core::parsed::ParsedChunk;
use quaestor_core::ports::store::{
    Column, EmbeddedChunk, Kind, NewChunk, Record, StoreError, Table, TextHash, Value,
};
use quaestor_core::retrieval::{document_field, index_terms};
use sqlx::error::ErrorKind;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::super::dialect::{self, DbConnection};
use super::super::fault::{Fault, corrupt};
use super::super::{rows, search};
use super::values;

/// So many rows are one statement.
const ROWS_AT_ONCE: usize = 64;

pub(super) async fn records(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    table: Table,
    records: Vec<Record>,
) -> Result<(), Fault> {
    if records.iter().any(|record| record.table != table) {
        return Err(corrupt("record", "it is another table's"));
    }
    dialect::make_room(tx, table, &records).await?;
    match table {
        Table::Workspaces => workspaces(tx, records).await,
        Table::Versions => versions(tx, workspace, records).await,
        Table::Pages => pages(tx, workspace, records).await,
        Table::Chunks => chunks(tx, workspace, records).await,
        Table::Vectors => vectors(tx, workspace, records).await,
        Table::Outbox => outbox(tx, workspace, records).await,
        _ => insert(tx, workspace, table, table.columns(), values_of(records)).await,
    }
}

fn values_of(records: Vec<Record>) -> Vec<Vec<Value>> {
    records.into_iter().map(|record| record.values).collect()
}

/// Inserts rows as they are.
async fn insert(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    table: Table,
    columns: &[Column],
    mut rows: Vec<Vec<Value>>,
) -> Result<(), Fault> {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let names = names.join(", ");
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(ROWS_AT_ONCE));
        let some = std::mem::replace(&mut rows, rest);
        let lists: Vec<String> = (0..some.len())
            .map(|row| {
                let first = 2 + row * columns.len();
                let places: Vec<String> =
                    (first..first + columns.len()).map(|place| format!("${place}")).collect();
                format!("($1, {})", places.join(", "))
            })
            .collect();
        let sql = format!(
            "INSERT INTO {} (workspace_id, {names}) VALUES {}",
            table.name(),
            lists.join(", ")
        );
        // Only statements of one length are worth keeping.
        let whole = some.len() == ROWS_AT_ONCE || some.len() == 1;
        let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(whole).bind(workspace.uuid());
        for row in some {
            for (column, value) in columns.iter().zip(row) {
                query = values::bind(query, column.kind, value);
            }
        }
        query.execute(&mut *tx).await.map_err(refused)?;
    }
    Ok(())
}

/// What a refused row is told as.
fn refused(error: sqlx::Error) -> Fault {
    match error.as_database_error().map(|cause| cause.kind()) {
        Some(ErrorKind::UniqueViolation) => {
            Fault::Store(StoreError::Conflict { what: "a row with the same id or name" })
        }
        Some(ErrorKind::ForeignKeyViolation) => corrupt("record", error),
        _ => Fault::Sql(error),
    }
}

fn missing(what: &str) -> Fault {
    corrupt("record", format!("it names {what} that is not there"))
}

async fn workspaces(tx: &mut DbConnection, records: Vec<Record>) -> Result<(), Fault> {
    for record in records {
        let mut query = sqlx::query(
            "INSERT INTO workspaces (id, name, created_at) VALUES ($1, $2, $3) RETURNING key",
        );
        for (column, value) in Table::Workspaces.columns().iter().zip(record.values) {
            query = values::bind(query, column.kind, value);
        }
        let made = query.fetch_one(&mut *tx).await.map_err(refused)?;
        search::workspace_made(tx, made.try_get("key")?).await?;
    }
    Ok(())
}

async fn versions(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    records: Vec<Record>,
) -> Result<(), Fault> {
    let named = |column: &str, key: &'static str| {
        let named = records.iter().filter(|one| one.get(column) == Some(&Value::Boolean(true)));
        let of =
            |record: &Record| Some((key, record.id("document_id")?, record.integer("version")?));
        named.filter_map(of).collect::<Vec<_>>()
    };
    let mut keys = named("current", "current_key");
    keys.extend(named("other", "other_key"));
    // The last two columns are the document's here.
    let columns = &Table::Versions.columns()[..Table::Versions.columns().len() - 2];
    insert(tx, workspace, Table::Versions, columns, values_of(records)).await?;
    for (key, document, version) in keys {
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE documents SET {key} =
                 (SELECT v.key FROM versions v WHERE v.document_id = $2 AND v.version = $3)
             WHERE workspace_id = $1 AND id = $2"
        )))
        .bind(workspace.uuid())
        .bind(document)
        .bind(version)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// A version that pages or chunks belong to.
#[derive(Clone)]
struct Version {
    key: i64,
    /// What its chunks are indexed with; none where it is not searched.
    searched_as: Option<String>,
}

/// The versions that records name, each looked up once.
#[derive(Default)]
struct Versions(HashMap<(Uuid, i64), Version>);

impl Versions {
    async fn of(
        &mut self,
        tx: &mut DbConnection,
        workspace: WorkspaceId,
        record: &Record,
    ) -> Result<Version, Fault> {
        let (Some(document), Some(number)) = (record.id("document_id"), record.integer("version"))
        else {
            return Err(missing("a version"));
        };
        if let Some(known) = self.0.get(&(document, number)) {
            return Ok(known.clone());
        }
        let row = sqlx::query(
            "SELECT v.key, v.filename, v.title, coalesce(d.current_key = v.key, FALSE)
                 OR coalesce(d.other_key = v.key, FALSE) OR v.staged AS searched
             FROM versions v JOIN documents d ON d.id = v.document_id
             WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version = $3",
        )
        .bind(workspace.uuid())
        .bind(document)
        .bind(number)
        .fetch_optional(tx)
        .await?
        .ok_or_else(|| missing("a version"))?;
        let (filename, title): (String, Option<String>) =
            (row.try_get("filename")?, row.try_get("title")?);
        let searched: bool = row.try_get("searched")?;
        let version = Version {
            key: row.try_get("key")?,
            searched_as: searched.then(|| document_field(&filename, title.as_deref())),
        };
        self.0.insert((document, number), version.clone());
        Ok(version)
    }
}

async fn pages(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    records: Vec<Record>,
) -> Result<(), Fault> {
    let mut versions = Versions::default();
    let key = Column { name: "version_key", kind: Kind::Integer, optional: false };
    // Instead of document and version, which a record begins with.
    let columns: Vec<Column> =
        std::iter::once(key).chain(Table::Pages.columns()[2..].iter().copied()).collect();
    let mut rows = Vec::with_capacity(records.len());
    for mut record in records {
        let version = versions.of(tx, workspace, &record).await?;
        let mut row = vec![Value::Integer(version.key)];
        row.extend(record.values.split_off(2));
        rows.push(row);
    }
    insert(tx, workspace, Table::Pages, &columns, rows).await
}

async fn chunks(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    records: Vec<Record>,
) -> Result<(), Fault> {
    let mut versions = Versions::default();
    let mut by_version: Vec<(Version, Vec<NewChunk>)> = Vec::new();
    for record in records {
        let version = versions.of(tx, workspace, &record).await?;
        let chunk = new_chunk(&record, version.searched_as.as_deref())?;
        match by_version.last_mut().filter(|(last, _)| last.key == version.key) {
            Some((_, chunks)) => chunks.push(chunk),
            None => by_version.push((version, vec![chunk])),
        }
    }
    for (version, chunks) in by_version {
        let stored = match version.searched_as {
            Some(_) => search::save_chunks(tx, workspace, version.key, chunks).await,
            None => search::store_chunks(tx, workspace, version.key, chunks).await,
        };
        stored.map_err(|fault| match fault {
            Fault::Sql(error) => refused(error),
            other => other,
        })?;
    }
    Ok(())
}

fn new_chunk(record: &Record, searched_as: Option<&str>) -> Result<NewChunk, Fault> {
    let number = |column: &str| {
        let value = record.integer(column).unwrap_or_default();
        u32::try_from(value).map_err(|error| corrupt("record", error))
    };
    let text = |column: &str| record.text(column).unwrap_or_default().to_owned();
    let chunk = ParsedChunk {
        ordinal: number("ordinal")?,
        page_ordinal: number("page_ordinal")?,
        char_start: number("char_start")?,
        char_end: number("char_end")?,
        section: text("section"),
        header: text("header"),
        text: text("text"),
        is_table: record.get("is_table") == Some(&Value::Boolean(true)),
        cells: record.text("cells").map(str::to_owned),
    };
    let terms = searched_as
        .map(|document| index_terms(document, &chunk.section, &chunk.header, &chunk.text));
    Ok(NewChunk {
        id: ChunkId(record.id("id").ok_or_else(|| missing("a chunk"))?),
        tokens: number("tokens")?,
        index_terms: terms.unwrap_or_default(),
        chunk,
    })
}

async fn vectors(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    records: Vec<Record>,
) -> Result<(), Fault> {
    let mut by_generation: Vec<(Uuid, Vec<EmbeddedChunk>)> = Vec::new();
    for record in records {
        let (Some(generation), Some(chunk)) = (record.id("generation_id"), record.id("chunk_id"))
        else {
            return Err(missing("a chunk"));
        };
        let text = match record.get("text_hash") {
            Some(Value::Bytes(hash)) => {
                let hash = hash.as_slice().try_into();
                Some(TextHash(hash.map_err(|_| corrupt("record", "its hash is not 16 bytes"))?))
            }
            _ => None,
        };
        let Some(Value::Floats(vector)) = record.values.into_iter().next_back() else {
            return Err(corrupt("record", "it has no vector"));
        };
        let one = EmbeddedChunk { chunk_id: ChunkId(chunk), text, vector };
        match by_generation.last_mut().filter(|(last, _)| *last == generation) {
            Some((_, vectors)) => vectors.push(one),
            None => by_generation.push((generation, vec![one])),
        }
    }
    for (generation, vectors) in by_generation {
        let row = sqlx::query(
            "SELECT key, dimensions FROM generations WHERE workspace_id = $1 AND id = $2",
        )
        .bind(workspace.uuid())
        .bind(generation)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| missing("a generation"))?;
        let of = (row.try_get("key")?, rows::number(&row, "dimensions")?);
        let wanted = rows::length(&vectors);
        let stored = search::store_vectors(tx, workspace, of, vectors).await;
        let stored = stored.map_err(|fault| match fault {
            Fault::Sql(error) => refused(error),
            other => other,
        })?;
        if stored != wanted {
            return Err(missing("a chunk"));
        }
    }
    Ok(())
}

async fn outbox(
    tx: &mut DbConnection,
    workspace: WorkspaceId,
    records: Vec<Record>,
) -> Result<(), Fault> {
    let messages: Vec<(JobId, OutboxId)> = records
        .iter()
        .filter_map(|record| Some((record.id("job_id")?.into(), record.id("id")?.into())))
        .collect();
    insert(tx, workspace, Table::Outbox, Table::Outbox.columns(), values_of(records)).await?;
    for (job, message) in messages {
        dialect::message_changed(tx, workspace, job, message).await?;
    }
    Ok(())
}
