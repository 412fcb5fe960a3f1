//! PDF: a template of Typst is given the data and lays it out.
//!
//! The template is all the source there is, and the data the only file: it can import no
//! package and read nothing else. What people and models have written reaches it as values,
//! never as source.

mod world;

use quaestor_core::clock::Time;
use quaestor_core::problem::Problem;
use serde::Serialize;
use typst::diag::SourceDiagnostic;
use typst::foundations::{Datetime, Smart};
use typst::{World, WorldExt};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, Timestamp};

use self::world::Data;
use crate::part::Part;
use crate::render::{Render, Template, out_of_order};
use crate::view::{self, CoverView, TurnView};

/// The layout where no template is named.
const BUILT_IN: &str = include_str!("report.typ");

/// Characters of an error that are shown.
const MESSAGE_MAX: usize = 500;

/// What a template reads from `/export.json`.
#[derive(Debug, Serialize)]
struct Report {
    cover: CoverView,
    turns: Vec<TurnView>,
}

/// Writes PDF.
#[derive(Debug)]
pub(crate) struct Pdf {
    template: Option<Template>,
    created_at: Time,
    report: Option<Report>,
}

impl Pdf {
    pub(crate) fn new(template: Option<Template>) -> Self {
        Self { template, created_at: Time::UNIX_EPOCH, report: None }
    }

    /// The template as errors call it.
    fn name(&self) -> String {
        match &self.template {
            None => "the built-in template".to_owned(),
            Some(template) => format!("template {} version {}", template.name, template.version),
        }
    }

    fn failed(&self, world: &Data, errors: &[SourceDiagnostic]) -> Problem {
        // The line in the template: of what is called, where the error is in a library's.
        let located = errors.iter().find_map(|error| {
            let spans = std::iter::once(error.span)
                .chain(error.trace.iter().map(|point| point.span.into()));
            let mut ranges = spans.filter(|span| span.id() == Some(world.main()));
            let range = ranges.find_map(|span| world.range(span))?;
            Some((world.line(range.start), error))
        });
        let (place, error) = match located {
            Some((line, error)) => (format!("{}, line {line}", self.name()), Some(error)),
            None => (self.name(), errors.first()),
        };
        let told = error.map_or_else(|| "it failed".to_owned(), |error| error.message.to_string());
        let mut detail: String = format!("{place}: {told}").chars().take(MESSAGE_MAX).collect();
        if let Some(hint) = error.and_then(|error| error.hints.first()) {
            let hint: String = hint.v.chars().take(MESSAGE_MAX).collect();
            detail.push_str(&format!(" ({hint})"));
        }
        Problem::new("template_failed", "The template of the export failed", detail)
    }
}

impl Render for Pdf {
    fn part(&mut self, part: Part, _out: &mut Vec<u8>) -> Result<(), Problem> {
        match (part, &mut self.report) {
            (Part::Cover(cover), report) => {
                self.created_at = cover.created_at;
                *report = Some(Report { cover: view::cover(&cover), turns: Vec::new() });
                Ok(())
            }
            (Part::Turn(turn), Some(report)) => {
                report.turns.push(view::turn(&turn));
                Ok(())
            }
            _ => Err(out_of_order("a PDF holds answers")),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        let report = self.report.take().ok_or_else(|| out_of_order("there was no cover"))?;
        let json = serde_json::to_vec(&report)
            .map_err(|error| out_of_order(&format!("the data cannot be written: {error}")))?;
        drop(report);
        let source = self.template.as_ref().map_or(BUILT_IN, |template| &template.source);
        let made = datetime(self.created_at);
        let world = Data::new(source, json, made)?;
        let compiled = typst::compile::<PagedDocument>(&world);
        let document = compiled.output.map_err(|errors| self.failed(&world, &errors))?;
        let options = PdfOptions {
            // The same contents have the same identity.
            ident: Smart::Auto,
            creator: Smart::Custom(Some("Quaestor".to_owned())),
            timestamp: made.map(Timestamp::new_utc),
            ..PdfOptions::default()
        };
        *out =
            typst_pdf::pdf(&document, &options).map_err(|errors| self.failed(&world, &errors))?;
        Ok(())
    }
}

fn datetime(time: Time) -> Option<Datetime> {
    use chrono::{Datelike, Timelike};
    let part = |number: u32| u8::try_from(number).ok();
    Datetime::from_ymd_hms(
        time.year(),
        part(time.month())?,
        part(time.day())?,
        part(time.hour())?,
        part(time.minute())?,
        part(time.second())?,
    )
}
