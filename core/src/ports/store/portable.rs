//! The portable form of an installation: what moves between stores, and how it is read
//! and written.
//!
//! A record is one row in neutral values. Keys that a database counts for itself are not
//! in it: records name each other by ids, a version by its document and number, a page by
//! version and place. Nor is what follows from other records (full text, indexes, counts
//! for search), nor what belongs to the processes that run and not to the installation: a
//! lease, and whether a queue has a message. A job that runs is `queued` here, since
//! whoever reads these records takes it up.
//!
//! The same records are written to a backup's bundle and read from it.

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::StoreError;
use super::portable_columns::columns;
use crate::ids::WorkspaceId;

/// A table of the portable form, in the order in which records may be written: each names
/// only what comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "their names are the tables'")]
pub enum Table {
    Workspaces,
    Principals,
    ApiKeys,
    Collections,
    Generations,
    Documents,
    Versions,
    Pages,
    Chunks,
    Vectors,
    Conversations,
    Messages,
    Groundings,
    Feedback,
    Batches,
    ExportTemplates,
    Jobs,
    Exports,
    Outbox,
    DeadLetters,
    ModelUsage,
    OpenCalls,
    Budgets,
    AuditLog,
    AuditSeals,
    AuditHeads,
    IdempotencyKeys,
}

impl Table {
    /// Every table, in order.
    pub const ALL: [Self; 27] = [
        Self::Workspaces,
        Self::Principals,
        Self::ApiKeys,
        Self::Collections,
        Self::Generations,
        Self::Documents,
        Self::Versions,
        Self::Pages,
        Self::Chunks,
        Self::Vectors,
        Self::Conversations,
        Self::Messages,
        Self::Groundings,
        Self::Feedback,
        Self::Batches,
        Self::ExportTemplates,
        Self::Jobs,
        Self::Exports,
        Self::Outbox,
        Self::DeadLetters,
        Self::ModelUsage,
        Self::OpenCalls,
        Self::Budgets,
        Self::AuditLog,
        Self::AuditSeals,
        Self::AuditHeads,
        Self::IdempotencyKeys,
    ];

    /// Its name in both databases.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Workspaces => "workspaces",
            Self::Principals => "principals",
            Self::ApiKeys => "api_keys",
            Self::Collections => "collections",
            Self::Generations => "generations",
            Self::Documents => "documents",
            Self::Versions => "versions",
            Self::Pages => "pages",
            Self::Chunks => "chunks",
            Self::Vectors => "vectors",
            Self::Conversations => "conversations",
            Self::Messages => "messages",
            Self::Groundings => "groundings",
            Self::Feedback => "feedback",
            Self::Batches => "batches",
            Self::ExportTemplates => "export_templates",
            Self::Jobs => "jobs",
            Self::Exports => "exports",
            Self::Outbox => "outbox",
            Self::DeadLetters => "dead_letters",
            Self::ModelUsage => "model_usage",
            Self::OpenCalls => "open_calls",
            Self::Budgets => "budgets",
            Self::AuditLog => "audit_log",
            Self::AuditSeals => "audit_seals",
            Self::AuditHeads => "audit_heads",
            Self::IdempotencyKeys => "idempotency_keys",
        }
    }

    /// What a record of it holds, in this order. The workspace is not among them: records
    /// are read and written for one.
    #[must_use]
    pub fn columns(self) -> &'static [Column] {
        columns(self)
    }
}

/// What a column holds. Times are integers: microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UUID.
    Id,
    /// Text. PostgreSQL cannot hold a NUL in it: U+FFFD takes its place there.
    Text,
    /// A number, a time.
    Integer,
    /// Yes or no.
    Boolean,
    /// Bytes.
    Bytes,
    /// A day without a time.
    Day,
    /// A vector, bit for bit.
    Floats,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may hold nothing.
    pub optional: bool,
}

/// A value of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is what `Kind` says of it")]
pub enum Value {
    Null,
    Id(Uuid),
    Text(String),
    Integer(i64),
    Boolean(bool),
    Bytes(Vec<u8>),
    Day(NaiveDate),
    Floats(Vec<f32>),
}

impl Value {
    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 1,
            Self::Integer(_) | Self::Day(_) => 8,
            Self::Id(_) => 16,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Floats(floats) => floats.len() * 4,
        }
    }

    fn is_a(&self, column: &Column) -> bool {
        match (self, column.kind) {
            (Self::Null, _) => column.optional,
            (Self::Id(_), Kind::Id)
            | (Self::Text(_), Kind::Text)
            | (Self::Integer(_), Kind::Integer)
            | (Self::Boolean(_), Kind::Boolean)
            | (Self::Bytes(_), Kind::Bytes)
            | (Self::Day(_), Kind::Day)
            | (Self::Floats(_), Kind::Floats) => true,
            _ => false,
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Of which table.
    pub table: Table,
    /// Its values, one for each of the table's columns.
    pub values: Vec<Value>,
}

impl Record {
    /// The value of a column; none where the table has no such column.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&Value> {
        let place = self.table.columns().iter().position(|known| known.name == column)?;
        self.values.get(place)
    }

    /// The id in a column, where it holds one.
    #[must_use]
    pub fn id(&self, column: &str) -> Option<Uuid> {
        match self.get(column) {
            Some(Value::Id(id)) => Some(*id),
            _ => None,
        }
    }

    /// The text in a column, where it holds one.
    #[must_use]
    pub fn text(&self, column: &str) -> Option<&str> {
        match self.get(column) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The number in a column, where it holds one.
    #[must_use]
    pub fn integer(&self, column: &str) -> Option<i64> {
        match self.get(column) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.values.iter().map(Value::weight).sum()
    }

    /// Whether every column has a value of its kind: a record may come from a file.
    ///
    /// # Errors
    /// `Corrupt`, with the table and the column.
    pub fn check(&self) -> Result<(), StoreError> {
        let columns = self.table.columns();
        let corrupt = |detail: String| StoreError::Corrupt {
            what: "record",
            source: format!("{}: {detail}", self.table.name()).into(),
        };
        if columns.len() != self.values.len() {
            return Err(corrupt(format!("{} values", self.values.len())));
        }
        match columns.iter().zip(&self.values).find(|(column, value)| !value.is_a(column)) {
            None => Ok(()),
            Some((column, _)) => Err(corrupt(format!("{} has another kind", column.name))),
        }
    }
}

/// Where the reading of a table goes on, in the words of the store that gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor(pub Vec<Value>);

/// How much is read at once; one record at least, however large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Records.
    pub records: u32,
    /// The bytes of their large values together.
    pub bytes: u64,
}

/// Some records of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordPage {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page begins; none after the last one.
    pub next: Option<Cursor>,
}

/// Reading and writing the portable form. What is read in several pages is one state of
/// the table as long as nobody writes to it.
#[async_trait]
pub trait Portable: Send + Sync {
    /// Some records of a table, always in the same order.
    async fn read_records(
        &self,
        workspace: WorkspaceId,
        table: Table,
        after: Option<Cursor>,
        most: Most,
    ) -> Result<RecordPage, StoreError>;

    /// Writes records of one table in one transaction, and what follows from them: a
    /// chunk of a version that is searched can be found afterwards. `Conflict` where a
    /// row is there already, and `Corrupt` where a record names what is not there; then
    /// nothing is written.
    async fn write_records(
        &self,
        workspace: WorkspaceId,
        table: Table,
        records: Vec<Record>,
    ) -> Result<(), StoreError>;

    /// How many records a table has.
    async fn count_records(&self, workspace: WorkspaceId, table: Table) -> Result<u64, StoreError>;
}
