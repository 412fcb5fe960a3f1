//! What became of the files, in a few lines?

use quaestor_core::ids::BatchId;
use quaestor_core::model::{BatchSummary, Document, DocumentStatus};

use super::super::batches::summed_up;
use super::super::{Style, Terminal, plain};

/// What became of each file.
#[derive(Clone, Debug, Default)]
pub struct Ingested {
    /// Names of those that are searchable.
    pub ready: Vec<String>,
    /// Pages of those.
    pub pages: u64,
    /// Passages of those.
    pub passages: u64,
    /// Those that were there already, byte for byte.
    pub duplicates: Vec<String>,
    /// Those that failed, each with its reason.
    pub failed: Vec<(String, String)>,
    /// Those that are usable with something missing, each with what is missing.
    pub remarks: Vec<(String, String)>,
    /// How many were accepted and not waited for.
    pub accepted: usize,
    /// The batch that they were.
    pub batch: Option<BatchId>,
    /// What the server says of the whole batch, once its last file has ended.
    pub sum: Option<BatchSummary>,
}

impl Ingested {
    /// Counts a document that has come to its end.
    pub(super) fn count(&mut self, name: String, document: &Document) {
        let told = document.error.as_ref().map(ToString::to_string);
        if document.status == DocumentStatus::Failed {
            let reason = told.unwrap_or_else(|| "the server gave no reason".to_owned());
            self.failed.push((name, reason));
            return;
        }
        self.pages += u64::from(document.pages);
        self.passages += u64::from(document.chunks);
        if let Some(remark) = told {
            self.remarks.push((name.clone(), remark));
        }
        self.ready.push(name);
    }

    /// Prints the counts, then every file that needs a look, with the reason.
    pub fn print(&self, terminal: &Terminal) -> std::io::Result<()> {
        let row = |style, label: &str, count: usize, more: &str| {
            if count == 0 {
                return Ok(());
            }
            let label = terminal.paint(style, &format!("{label:<11}"));
            terminal.line(format!("{label} {count:>6}  {more}").trim_end())
        };
        let contents = format!("{} pages, {} passages", self.pages, self.passages);
        row(Style::Green, "ready", self.ready.len(), &contents)?;
        let later = self.batch.map(|id| format!("not waited for; `quaestor batches show {id}`"));
        row(Style::Dim, "accepted", self.accepted, &later.unwrap_or_default())?;
        row(
            Style::Yellow,
            "duplicates",
            self.duplicates.len(),
            "the same bytes were there already",
        )?;
        row(Style::Red, "failed", self.failed.len(), "")?;
        if let Some(sum) = &self.sum {
            summed_up(sum, terminal)?;
        }
        for (style, list) in [(Style::Yellow, &self.remarks), (Style::Red, &self.failed)] {
            if !list.is_empty() {
                terminal.line("")?;
            }
            for (name, reason) in list {
                terminal.line(&terminal.paint(style, &plain(name)))?;
                terminal.paragraph("    ", &plain(reason))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::Page;

    #[test]
    fn a_failed_file_is_told_with_its_reason() {
        let (terminal, page) = Page::terminal();
        let ingested = Ingested {
            ready: vec!["a.pdf".to_owned()],
            pages: 3,
            passages: 9,
            failed: vec![("b.pdf".to_owned(), "Encrypted: it needs a password".to_owned())],
            ..Ingested::default()
        };
        ingested.print(&terminal).unwrap();
        assert_eq!(
            page.text(),
            "ready            1  3 pages, 9 passages\nfailed           1\n\nb.pdf\n    Encrypted: it \
             needs a password\n"
        );
    }
}
