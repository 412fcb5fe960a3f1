//! Which documents does the demonstration bring? The same bytes each time.

use std::path::Path;

use anyhow::Context;

use super::{factsheet, report, workbook};

/// The names of the documents.
pub const REPORT: &str = "annual-report-2025.pdf";
/// The holdings.
pub const HOLDINGS: &str = "holdings-2025.xlsx";
/// The factsheet.
pub const FACTSHEET: &str = "factsheet.html";
/// The policy.
pub const POLICY: &str = "investment-policy.md";

/// A document that the program wrote itself.
#[derive(Clone, Debug)]
pub struct SampleDocument {
    /// Its file's name.
    pub filename: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The four documents of one fictional fund.
pub fn sample_documents() -> anyhow::Result<Vec<SampleDocument>> {
    let workbook = workbook::holdings().context("writing the sample workbook")?;
    let files = [
        (REPORT, report::annual_report()),
        (HOLDINGS, workbook),
        (FACTSHEET, factsheet::factsheet().into_bytes()),
        (POLICY, include_bytes!("policy.md").to_vec()),
    ];
    Ok(files.map(|(filename, bytes)| SampleDocument { filename, bytes }).to_vec())
}

/// Writes the documents into a folder that is there.
pub(super) fn write_into(folder: &Path) -> anyhow::Result<()> {
    for document in sample_documents()? {
        let path = folder.join(document.filename);
        std::fs::write(&path, document.bytes)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_are_the_same_each_time() {
        let (first, second) = (sample_documents().unwrap(), sample_documents().unwrap());
        for (a, b) in first.iter().zip(&second) {
            assert!(a.bytes == b.bytes, "{} differs", a.filename);
        }
    }

    #[test]
    fn each_document_is_of_its_kind_and_holds_its_answer() {
        let documents = sample_documents().unwrap();
        let of = |name| &documents.iter().find(|d| d.filename == name).unwrap().bytes;
        assert!(of(REPORT).starts_with(b"%PDF-1.7"));
        let text = String::from_utf8_lossy(of(REPORT));
        assert!(text.contains("(127.45)") && text.contains("(31 December 2024)"));
        assert!(of(HOLDINGS).starts_with(b"PK\x03\x04"));
        assert!(String::from_utf8_lossy(of(FACTSHEET)).contains("<td>41.9%</td>"));
        assert!(String::from_utf8_lossy(of(POLICY)).contains("within 20 business days"));
    }
}
