//! The parts of an export, in the order in which they come: the cover first, then turns or
//! tables.

use quaestor_core::clock::Time;
use quaestor_core::ids::DocumentId;
use quaestor_core::model::Message;
use serde::{Deserialize, Serialize};

/// One part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What stands on the title page; the first part, and the only one of its kind.
    Cover(Cover),
    /// A question with its answer.
    Turn(Box<Turn>),
    /// A table begins; its rows follow.
    Table(TableHead),
    /// Rows of the table that has begun.
    Rows(Vec<Vec<String>>),
}

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Questions and answers.
    Answers,
    /// Tables of documents.
    Tables,
}

/// What stands on the title page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cover {
    /// What is exported.
    pub about: About,
    /// The conversation's title, or the collection's name.
    pub title: String,
    /// Who asked for it.
    pub asker: String,
    /// When it was asked for: what is later is not in it.
    pub created_at: Time,
    /// `provider:model` of each model that wrote one of the answers.
    pub models: Vec<String>,
    /// What the collections were searched by.
    pub generations: Vec<Generation>,
    /// What is in it.
    pub counts: Counts,
}

/// An index generation of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The collection's name.
    pub collection: String,
    /// The generation's id; none where the collection is searched by words alone.
    pub id: Option<String>,
    /// The model that made its vectors.
    pub model: Option<String>,
    /// When it was begun.
    pub created_at: Option<Time>,
}

/// What an export holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Questions, of answers.
    pub questions: u64,
    /// Figures that were found or rightly computed.
    pub figures_supported: u64,
    /// Figures that were not.
    pub figures_unsupported: u64,
    /// Documents, of tables.
    pub documents: u64,
    /// The cells of the longest row, of tables.
    pub columns: u32,
}

/// A question with its answer. One of them may be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Counts from 1.
    pub number: u64,
    /// The question.
    pub question: Option<Message>,
    /// The answer.
    pub answer: Option<Message>,
}

/// What is known of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableHead {
    /// Counts from 1 in the export.
    pub number: u64,
    /// The document.
    pub document_id: DocumentId,
    /// Its name.
    pub filename: String,
    /// Its version.
    pub version: u32,
    /// The page, from 1, where the format has pages.
    pub page: Option<u32>,
    /// Where it begins in a workbook: `Sheet!B7:D9`.
    pub cells: Option<String>,
    /// The headings above it.
    pub section: String,
    /// The lines above its columns that name it or give its unit.
    pub captions: Vec<String>,
    /// What names its columns, a line each.
    pub header: Vec<Vec<String>>,
}
