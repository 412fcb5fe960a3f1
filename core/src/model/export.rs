//! Exports: what is asked for, how it stands, and templates that lay it out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::JobState;
use crate::clock::Time;
use crate::ids::{
    CollectionId, ConversationId, DocumentId, ExportId, JobId, MessageId, TemplateId,
};
use crate::problem::Problem;

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// Markdown (CommonMark, with tables).
    Md,
    /// One page without scripts, with its style in it.
    Html,
    /// PDF, laid out by a template.
    Pdf,
    /// A document of Word.
    Docx,
    /// Rows of tables, parted by commas (RFC 4180).
    Csv,
    /// A workbook.
    Xlsx,
    /// For programs.
    Json,
}

impl ExportFormat {
    /// Every format there is.
    pub const ALL: [Self; 7] =
        [Self::Md, Self::Html, Self::Pdf, Self::Docx, Self::Csv, Self::Xlsx, Self::Json];

    /// The name in rows, JSON and file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md => "md",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
            Self::Json => "json",
        }
    }

    /// The media type of its files.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Md => "text/markdown; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Json => "application/json",
        }
    }

    /// Whether what is chosen can be written like this: answers are no tables, and tables
    /// of a collection are no pages to be read.
    #[must_use]
    pub fn fits(self, selection: &ExportSelection) -> bool {
        match self {
            Self::Md | Self::Html | Self::Json => true,
            Self::Pdf | Self::Docx => !selection.is_of_tables(),
            Self::Csv | Self::Xlsx => selection.is_of_tables(),
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ExportFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| format!("no format of exports is named {name:?}"))
    }
}

/// What is exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportSelection {
    /// A conversation, with its questions and answers.
    ConversationId(ConversationId),
    /// Some answers with their questions, in this order.
    MessageIds(Vec<MessageId>),
    /// The tables of a collection.
    CollectionId(CollectionId),
    /// The tables of some documents, in this order.
    DocumentIds(Vec<DocumentId>),
}

impl ExportSelection {
    /// Whether tables are exported, and not answers.
    #[must_use]
    pub fn is_of_tables(&self) -> bool {
        matches!(self, Self::CollectionId(_) | Self::DocumentIds(_))
    }

    /// The field of a request that names it.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::ConversationId(_) => "conversation_id",
            Self::MessageIds(_) => "message_ids",
            Self::CollectionId(_) => "collection_id",
            Self::DocumentIds(_) => "document_ids",
        }
    }
}

/// The file of an export that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportFile {
    /// Where it stands in the object store.
    pub object_key: String,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// When it is removed.
    pub kept_until: Time,
    /// What links to it are signed with, where the program serves them itself.
    pub link_key: LinkKey,
}

/// A key that signs links to one export.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkKey(pub [u8; 32]);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(hidden)")
    }
}

/// A template as an export names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateName {
    /// Its name in the workspace.
    pub name: String,
    /// Its version, from 1.
    pub version: u32,
}

/// An export as the store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Its id.
    pub id: ExportId,
    /// The job that writes it.
    pub job_id: JobId,
    /// Where that job stands.
    pub state: JobState,
    /// What it is written as.
    pub format: ExportFormat,
    /// What is exported.
    pub selection: ExportSelection,
    /// What lays it out; none where the built-in layout does, or where it was removed.
    pub template: Option<TemplateName>,
    /// What its file is called.
    pub filename: String,
    /// The file, once it is done and as long as it is kept.
    pub file: Option<ExportFile>,
    /// Why there is none.
    pub problem: Option<Problem>,
    /// When it was accepted. What came later is not in it.
    pub created_at: Time,
}

/// A version of a template, without its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateVersion {
    /// Its name in the workspace.
    pub name: String,
    /// From 1; each change is a new one.
    pub version: u32,
    /// When this version was made.
    pub created_at: Time,
}

/// A version of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportTemplate {
    /// This version's id.
    #[serde(skip)]
    pub id: TemplateId,
    /// Which it is.
    #[serde(flatten)]
    pub version: TemplateVersion,
    /// The layout, in Typst.
    pub source: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_selections_keep_their_names() {
        for format in ExportFormat::ALL {
            assert_eq!(format.as_str().parse::<ExportFormat>().unwrap(), format);
            assert_eq!(serde_json::to_value(format).unwrap(), format.as_str());
        }
        let id = uuid::Uuid::from_u128(7);
        let stored = format!(r#"{{"conversation_id":"{id}"}}"#);
        let selection: ExportSelection = serde_json::from_str(&stored).unwrap();
        assert_eq!(selection, ExportSelection::ConversationId(id.into()));
        assert_eq!(serde_json::to_string(&selection).unwrap(), stored);
    }

    #[test]
    fn answers_are_no_tables_and_tables_no_pages() {
        let answers = ExportSelection::MessageIds(Vec::new());
        let tables = ExportSelection::DocumentIds(Vec::new());
        assert!(!ExportFormat::Csv.fits(&answers) && !ExportFormat::Xlsx.fits(&answers));
        assert!(ExportFormat::Pdf.fits(&answers) && !ExportFormat::Pdf.fits(&tables));
        assert!(ExportFormat::Csv.fits(&tables) && ExportFormat::Json.fits(&tables));
    }

    #[test]
    fn a_key_of_links_is_not_shown() {
        assert_eq!(format!("{:?}", LinkKey([7; 32])), "LinkKey(hidden)");
    }
}
