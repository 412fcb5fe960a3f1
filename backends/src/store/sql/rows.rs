//! How things of the model stand in rows.

use std::fmt::Display;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate};
use quaestor_core::clock::Time;
use quaestor_core::jobs::Step;
use quaestor_core::model::{
    ApiKey, Collection, Conversation, Document, Failure, Generation, Job, JobState, Message,
    MessageRole, MessageState, Page, PageRequest, Passage, StoredObject, Usage,
};
use quaestor_core::ports::store::AuditEntry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use uuid::Uuid;

use super::dialect::DbRow;
use super::fault::{Fault, corrupt};

/// A moment as rows keep it.
pub(super) fn micros(time: Time) -> i64 {
    time.timestamp_micros()
}

pub(super) fn time(row: &DbRow, column: &str) -> Result<Time, Fault> {
    let micros: i64 = row.try_get(column)?;
    moment(micros)
}

pub(super) fn moment(micros: i64) -> Result<Time, Fault> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| corrupt("time", format!("{micros} is no time")))
}

pub(super) fn optional_time(row: &DbRow, column: &str) -> Result<Option<Time>, Fault> {
    row.try_get::<Option<i64>, _>(column)?.map(moment).transpose()
}

pub(super) fn id<T: From<Uuid>>(row: &DbRow, column: &str) -> Result<T, Fault> {
    Ok(T::from(row.try_get::<Uuid, _>(column)?))
}

/// A value that has a name: a state, a kind, a role.
pub(super) fn named<T>(row: &DbRow, column: &'static str) -> Result<T, Fault>
where
    T: FromStr,
    T::Err: Display,
{
    let name: String = row.try_get(column)?;
    name.parse().map_err(|error: T::Err| corrupt(column, error.to_string()))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| corrupt("value", error))
}

pub(super) fn from_json<T: DeserializeOwned>(
    row: &DbRow,
    column: &'static str,
) -> Result<T, Fault> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| corrupt(column, error))
}

pub(super) fn optional_json<T: DeserializeOwned>(
    row: &DbRow,
    column: &'static str,
) -> Result<Option<T>, Fault> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| corrupt(column, error))).transpose()
}

/// Sizes and counts: the integers of databases are signed.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &DbRow, column: &'static str) -> Result<u64, Fault> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|error| corrupt(column, error))
}

/// A count or a place. Databases keep them as 64 bits with a sign, since PostgreSQL has no
/// integer without one.
pub(super) fn number(row: &DbRow, column: &'static str) -> Result<u32, Fault> {
    let value: i64 = row.try_get(column)?;
    u32::try_from(value).map_err(|error| corrupt(column, error))
}

pub(super) fn optional_number(row: &DbRow, column: &'static str) -> Result<Option<u32>, Fault> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| u32::try_from(value).map_err(|error| corrupt(column, error))).transpose()
}

/// The rows to ask for: one more than wanted says whether there is a next page.
pub(super) fn surplus(page: PageRequest) -> i64 {
    i64::from(page.limit.clamp(1, quaestor_core::model::MAX_PAGE)) + 1
}

/// Where a list that is read upwards goes on; ids are never all zeros.
pub(super) fn after(page: PageRequest) -> Uuid {
    page.after.map_or(Uuid::nil(), |cursor| cursor.0)
}

/// Where a list that is read downwards goes on.
pub(super) fn before(page: PageRequest) -> Uuid {
    page.after.map_or(Uuid::max(), |cursor| cursor.0)
}

pub(super) fn paged<T>(items: Vec<T>, page: PageRequest, id: impl Fn(&T) -> Uuid) -> Page<T> {
    Page::from_surplus(items, page.limit.clamp(1, quaestor_core::model::MAX_PAGE), id)
}

pub(super) fn api_key(row: &DbRow) -> Result<ApiKey, Fault> {
    Ok(ApiKey {
        id: id(row, "id")?,
        principal_id: id(row, "principal_id")?,
        name: row.try_get("name")?,
        role: named(row, "role")?,
        prefix: row.try_get("prefix")?,
        created_at: time(row, "created_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
    })
}

pub(super) fn collection(row: &DbRow) -> Result<Collection, Fault> {
    Ok(Collection {
        id: id(row, "id")?,
        name: row.try_get("name")?,
        embedding_model: row.try_get("embedding_model")?,
        documents: unsigned(row, "documents")?,
        created_at: time(row, "created_at")?,
    })
}

/// What stands in some collections, from the keys of their current versions: those only rise.
pub(super) fn content_version(row: &DbRow) -> Result<String, Fault> {
    let mut parts = Vec::with_capacity(4);
    for column in ["documents", "keys", "newest", "generation"] {
        parts.push(row.try_get::<i64, _>(column)?.to_string());
    }
    Ok(parts.join("-"))
}

pub(super) fn generation(row: &DbRow) -> Result<Generation, Fault> {
    Ok(Generation {
        id: id(row, "id")?,
        collection_id: id(row, "collection_id")?,
        model: row.try_get("model")?,
        dimensions: number(row, "dimensions")?,
        state: named(row, "state")?,
        created_at: time(row, "created_at")?,
    })
}

pub(super) fn document(row: &DbRow) -> Result<Document, Fault> {
    Ok(Document {
        id: id(row, "id")?,
        collection_id: id(row, "collection_id")?,
        filename: row.try_get("filename")?,
        media_type: row.try_get("media_type")?,
        size_bytes: unsigned(row, "size_bytes")?,
        sha256: row.try_get("sha256")?,
        version: number(row, "version")?,
        status: named(row, "status")?,
        error: optional_json(row, "error")?,
        pages: number(row, "pages")?,
        chunks: number(row, "chunks")?,
        created_at: time(row, "created_at")?,
    })
}

pub(super) fn stored_object(row: &DbRow) -> Result<StoredObject, Fault> {
    Ok(StoredObject {
        key: row.try_get("object_key")?,
        size_bytes: unsigned(row, "size_bytes")?,
        sha256: row.try_get("sha256")?,
        media_type: row.try_get("media_type")?,
        filename: row.try_get("filename")?,
    })
}

/// The columns that [`passage`] reads, from `chunks c`, `versions v` and `pages p`.
macro_rules! passage_columns {
    () => {
        "c.id, v.document_id, coalesce(v.reading_of, v.version) AS version, v.collection_id, v.filename, v.title, v.media_type, \
         v.document_date, c.ordinal, c.page_ordinal, p.number AS page, c.char_start, c.char_end, \
         c.section, c.header, c.text, c.is_table, c.cells, c.tokens"
    };
}
pub(super) use passage_columns;

pub(super) fn passage(row: &DbRow) -> Result<Passage, Fault> {
    Ok(Passage {
        chunk_id: id(row, "id")?,
        document_id: id(row, "document_id")?,
        version: number(row, "version")?,
        collection_id: id(row, "collection_id")?,
        filename: row.try_get("filename")?,
        title: row.try_get("title")?,
        media_type: row.try_get("media_type")?,
        document_date: row.try_get::<Option<NaiveDate>, _>("document_date")?,
        ordinal: number(row, "ordinal")?,
        page_ordinal: number(row, "page_ordinal")?,
        page: optional_number(row, "page")?,
        char_start: number(row, "char_start")?,
        char_end: number(row, "char_end")?,
        section: row.try_get("section")?,
        header: row.try_get("header")?,
        text: row.try_get("text")?,
        is_table: row.try_get("is_table")?,
        cells: row.try_get("cells")?,
        tokens: number(row, "tokens")?,
    })
}

pub(super) fn conversation(row: &DbRow) -> Result<Conversation, Fault> {
    Ok(Conversation {
        id: id(row, "id")?,
        title: row.try_get("title")?,
        collection_ids: optional_json(row, "collection_ids")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// The name of a message's state in rows.
pub(super) fn message_state_name(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => "pending",
        MessageState::Done => "done",
        MessageState::Failed => "failed",
        MessageState::Cancelled => "cancelled",
    }
}

/// The state of a message, from the column of this name.
pub(super) fn message_state(row: &DbRow, column: &str) -> Result<MessageState, Fault> {
    let state: String = row.try_get(column)?;
    [MessageState::Pending, MessageState::Done, MessageState::Failed, MessageState::Cancelled]
        .into_iter()
        .find(|known| message_state_name(*known) == state)
        .ok_or_else(|| corrupt("message", state))
}

/// The columns that [`message`] reads, from `messages m`.
macro_rules! message_columns {
    () => {
        "m.id, m.conversation_id, m.role, m.state, m.content, m.citations, m.figures, m.model, \
         m.input_tokens, m.output_tokens, m.cost_micros, m.error, m.created_at"
    };
}
pub(super) use message_columns;

pub(super) fn message(row: &DbRow) -> Result<Message, Fault> {
    let role: String = row.try_get("role")?;
    let usage = match row.try_get::<Option<i64>, _>("input_tokens")? {
        None => None,
        Some(_) => Some(Usage {
            input_tokens: unsigned(row, "input_tokens")?,
            output_tokens: unsigned(row, "output_tokens")?,
            cost_micros: unsigned(row, "cost_micros")?,
            ..Usage::default()
        }),
    };
    Ok(Message {
        id: id(row, "id")?,
        conversation_id: id(row, "conversation_id")?,
        role: match role.as_str() {
            "user" => MessageRole::User,
            "assistant" => MessageRole::Assistant,
            _ => return Err(corrupt("message", role)),
        },
        state: message_state(row, "state")?,
        content: row.try_get("content")?,
        citations: from_json(row, "citations")?,
        figures: from_json(row, "figures")?,
        model: row.try_get("model")?,
        usage,
        error: optional_json(row, "error")?,
        created_at: time(row, "created_at")?,
    })
}

pub(super) fn job(row: &DbRow) -> Result<Job, Fault> {
    let (step, state): (Step, JobState) = (named(row, "step")?, named(row, "state")?);
    // What an earlier step ran into is no news once it is done.
    let last_error = optional_json::<Failure>(row, "last_error")?
        .filter(|failure| failure.step == step && state != JobState::Done);
    Ok(Job {
        id: id(row, "id")?,
        kind: named(row, "kind")?,
        step,
        state,
        last_error: last_error.map(Into::into),
        reason: row.try_get("reason")?,
        until: optional_time(row, "until")?,
        problem: optional_json(row, "problem")?,
        attempt: number(row, "attempt")?,
        batch_id: row.try_get::<Option<Uuid>, _>("batch_id")?.map(Into::into),
        subject_id: row.try_get("subject_id")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        finished_at: optional_time(row, "finished_at")?,
    })
}

pub(super) fn audit_entry(row: &DbRow) -> Result<AuditEntry, Fault> {
    Ok(AuditEntry {
        id: id(row, "id")?,
        principal_id: id(row, "principal_id")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        at: time(row, "at")?,
    })
}

/// How many there are.
pub(super) fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
