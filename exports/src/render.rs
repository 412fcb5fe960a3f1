//! Which renderer writes which format.

use quaestor_core::model::ExportFormat;
use quaestor_core::problem::Problem;
use serde::{Deserialize, Serialize};

use crate::fonts::Fonts;
use crate::part::Part;
use crate::{csv, docx, html, json, markdown, pdf, xlsx};

/// Writes one export. Parts come in order; what can be written is appended to `out`, and the
/// rest with the end. A renderer that has failed is of no further use.
pub trait Render: Send {
    /// Takes the next part.
    ///
    /// # Errors
    /// Why the export cannot be written.
    fn part(&mut self, part: Part, out: &mut Vec<u8>) -> Result<(), Problem>;

    /// There are no more parts.
    ///
    /// # Errors
    /// Why the export cannot be written.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem>;
}

/// A template that lays out PDF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its name in the workspace.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Its source, in Typst.
    pub source: String,
}

/// Whether a format is written by a limited child process: what runs a template, and what is
/// held in memory until its end.
#[must_use]
pub fn needs_child(format: ExportFormat) -> bool {
    matches!(format, ExportFormat::Pdf | ExportFormat::Docx | ExportFormat::Xlsx)
}

/// The renderer of a format. A template and fonts lay out PDF, and say nothing to the others.
#[must_use]
pub fn renderer(format: ExportFormat, template: Option<Template>, fonts: Fonts) -> Box<dyn Render> {
    match format {
        ExportFormat::Md => Box::new(markdown::Markdown::default()),
        ExportFormat::Html => Box::new(html::Html::default()),
        ExportFormat::Json => Box::new(json::Json::default()),
        ExportFormat::Csv => Box::new(csv::Csv::default()),
        ExportFormat::Docx => Box::new(docx::Word::default()),
        ExportFormat::Xlsx => Box::new(xlsx::Workbook::default()),
        ExportFormat::Pdf => Box::new(pdf::Pdf::new(template, fonts)),
    }
}

/// An error of this program: parts come in an order that makes no sense.
pub(crate) fn out_of_order(what: &str) -> Problem {
    Problem::new("export_failed", "The export could not be written", what)
}
