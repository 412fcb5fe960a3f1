//! What the check of what is stored found: rows, passages, vectors and files that do not agree.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::WorkspaceId;

/// So many examples of each kind are named; all are counted.
pub const EXAMPLES: usize = 20;

/// A way in which what is stored does not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A version of a document has no file.
    FileMissing,
    /// Its file has another size than its row says.
    FileSize,
    /// Its file has another SHA-256 than its row says, or could not be read to its end.
    FileHash,
    /// An export has no file, or one of another size or SHA-256.
    ExportFile,
    /// A file that no row names, and that the sweep should have removed.
    FileUnnamed,
    /// A version is searched and has another number of passages than its row says.
    Passages,
    /// Passages of versions that are not there.
    PassageStray,
    /// Passages that are searched and cannot be found by words.
    Postings,
    /// Passages of documents that are `ready` without a vector in the generation that is
    /// searched.
    VectorMissing,
    /// Vectors of another length than their generation has.
    VectorLength,
    /// Vectors that the index of a version does not hold, or it holds more.
    VectorIndex,
    /// Vectors of passages that are not there.
    VectorStray,
}

impl FindingKind {
    /// Every kind there is.
    pub const ALL: [Self; 12] = [
        Self::FileMissing,
        Self::FileSize,
        Self::FileHash,
        Self::ExportFile,
        Self::FileUnnamed,
        Self::Passages,
        Self::PassageStray,
        Self::Postings,
        Self::VectorMissing,
        Self::VectorLength,
        Self::VectorIndex,
        Self::VectorStray,
    ];

    /// The name in JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FileMissing => "file_missing",
            Self::FileSize => "file_size",
            Self::FileHash => "file_hash",
            Self::ExportFile => "export_file",
            Self::FileUnnamed => "file_unnamed",
            Self::Passages => "passages",
            Self::PassageStray => "passage_stray",
            Self::Postings => "postings",
            Self::VectorMissing => "vector_missing",
            Self::VectorLength => "vector_length",
            Self::VectorIndex => "vector_index",
            Self::VectorStray => "vector_stray",
        }
    }

    /// What mends it, for people.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::FileMissing | Self::FileSize | Self::FileHash => {
                "restore the file from a backup, or upload the document again"
            }
            Self::ExportFile => "export it again",
            Self::FileUnnamed => {
                "see why the sweep of files fails, or remove what another installation has put there"
            }
            Self::Passages | Self::Postings => {
                "upload the document again, or have the collection parsed anew"
            }
            Self::VectorMissing => "`quaestor check --repair` has them made",
            Self::VectorLength | Self::VectorIndex => "reindex the collection",
            Self::PassageStray | Self::VectorStray => {
                "no search finds them; they are what a damaged database has left: restore it from a \
                 backup where there are many"
            }
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that does not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingExample {
    /// Whose; none where that cannot be told.
    pub workspace_id: Option<WorkspaceId>,
    /// What it is about: the id of a document or passage, or the key of a file.
    pub subject: String,
    /// What is, and what should be.
    pub detail: String,
}

/// All of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind.
    pub kind: FindingKind,
    /// How many: files, passages or vectors.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<FindingExample>,
    /// What mends it.
    pub remedy: String,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checked {
    /// Workspaces.
    pub workspaces: u64,
    /// Versions of documents.
    pub versions: u64,
    /// Passages.
    pub passages: u64,
    /// Vectors.
    pub vectors: u64,
    /// Exports with a file.
    pub exports: u64,
    /// Files that the storage lists.
    pub files: u64,
    /// Files that were read, and their SHA-256 compared.
    pub files_read: u64,
    /// The bytes of these.
    pub bytes_read: u64,
}

/// What a check found; while it runs, so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckReport {
    /// What was looked at.
    pub checked: Checked,
    /// What does not agree, by kinds; kinds without any are not named.
    pub findings: Vec<Finding>,
    /// Documents whose vectors are being made because the check was asked to mend.
    pub repaired_documents: u64,
    /// Seconds of work, of all that took part.
    pub work_s: f64,
    /// When the first piece was looked at.
    pub began_at: Option<Time>,
}

impl CheckReport {
    /// Notes things of one kind, and the first of them by name.
    pub fn note(&mut self, kind: FindingKind, count: u64, example: FindingExample) {
        if count == 0 {
            return;
        }
        let place = match self.findings.iter().position(|finding| finding.kind == kind) {
            Some(place) => place,
            None => {
                let remedy = kind.remedy().to_owned();
                self.findings.push(Finding { kind, count: 0, examples: Vec::new(), remedy });
                self.findings.sort_by_key(|finding| finding.kind);
                self.findings.iter().position(|finding| finding.kind == kind).unwrap_or_default()
            }
        };
        if let Some(finding) = self.findings.get_mut(place) {
            finding.count += count;
            if finding.examples.len() < EXAMPLES {
                finding.examples.push(example);
            }
        }
    }

    /// How many there are of a kind.
    #[must_use]
    pub fn count(&self, kind: FindingKind) -> u64 {
        self.findings.iter().find(|finding| finding.kind == kind).map_or(0, |finding| finding.count)
    }

    /// How many there are of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.findings.iter().map(|finding| finding.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_some_are_named() {
        let mut report = CheckReport::default();
        for number in 0..50 {
            let example = FindingExample {
                workspace_id: None,
                subject: number.to_string(),
                detail: "gone".to_owned(),
            };
            report.note(FindingKind::VectorStray, 2, example.clone());
            report.note(FindingKind::FileMissing, 1, example.clone());
            report.note(FindingKind::FileSize, 0, example);
        }
        assert_eq!(report.count(FindingKind::VectorStray), 100);
        assert_eq!(report.total(), 150);
        let kinds: Vec<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::FileMissing, FindingKind::VectorStray]);
        assert!(report.findings.iter().all(|finding| finding.examples.len() == EXAMPLES));
        for kind in FindingKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
