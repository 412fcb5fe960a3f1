//! PDF: a template of Typst is given the data and lays it out.
//!
//! The template is all the source there is, and the data the only file: it can import no
//! package and read nothing else. What people and models have written reaches it as values,
//! never as source.

mod layout;
mod parts;
mod world;

use quaestor_core::clock::Time;
use quaestor_core::problem::Problem;
use serde::Serialize;
use typst::diag::SourceDiagnostic;
use typst::foundations::{Datetime, Smart};
use typst::{World, WorldExt};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, Timestamp};

use self::parts::{Failed, Parts};
use self::world::Data;
use crate::fonts::Fonts;
use crate::part::Part;
use crate::render::{Render, Template, out_of_order};
use crate::view::{self, CoverView, TurnView};

/// Characters of an error that are shown.
const MESSAGE_MAX: usize = 500;

/// What a template of a workspace reads from `/export.json`.
#[derive(Debug, Serialize)]
struct Report {
    cover: CoverView,
    turns: Vec<TurnView>,
}

/// What has come so far.
#[derive(Debug)]
enum Laid {
    Nothing,
    /// For the built-in layout.
    InParts(Box<Parts>),
    /// For a template of a workspace, which may show everything everywhere.
    Whole {
        source: String,
        report: Box<Report>,
    },
}

/// Writes PDF.
#[derive(Debug)]
pub(crate) struct Pdf {
    template: Option<Template>,
    fonts: Fonts,
    made: Option<Datetime>,
    laid: Laid,
}

impl Pdf {
    pub(crate) fn new(template: Option<Template>, fonts: Fonts) -> Self {
        Self { template, fonts, made: None, laid: Laid::Nothing }
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

    fn part_failed(&self, failed: Failed) -> Problem {
        match failed {
            Failed::Layout(world, errors) => self.failed(&world, &errors),
            Failed::Data(problem) => problem,
        }
    }

    fn whole(&self, source: &str, report: &Report) -> Result<PagedDocument, Problem> {
        let json = serde_json::to_vec(report).map_err(|error| parts::unwritten(&error))?;
        let world = Data::new(source, json, self.made, self.fonts.clone())?;
        layout::lay_out(&world, 0).map_err(|errors| self.failed(&world, &errors))
    }
}

impl Render for Pdf {
    fn part(&mut self, part: Part, _out: &mut Vec<u8>) -> Result<(), Problem> {
        match (part, &mut self.laid) {
            (Part::Cover(cover), laid) => {
                self.made = datetime(cover.created_at);
                let cover = view::cover(&cover);
                *laid = match &self.template {
                    None => {
                        let fonts = self.fonts.clone();
                        Laid::InParts(Box::new(Parts::new(cover, self.made, fonts)))
                    }
                    Some(template) => {
                        let source = template.source.clone();
                        let report = Box::new(Report { cover, turns: Vec::new() });
                        Laid::Whole { source, report }
                    }
                };
                Ok(())
            }
            (Part::Turn(turn), Laid::Whole { report, .. }) => {
                report.turns.push(view::turn(&turn));
                Ok(())
            }
            (Part::Turn(turn), Laid::InParts(parts)) => {
                parts.turn(&view::turn(&turn)).map_err(|failed| self.part_failed(failed))
            }
            _ => Err(out_of_order("a PDF holds answers")),
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Problem> {
        let document = match std::mem::replace(&mut self.laid, Laid::Nothing) {
            Laid::Nothing => return Err(out_of_order("there was no cover")),
            Laid::InParts(parts) => parts.end().map_err(|failed| self.part_failed(failed))?,
            Laid::Whole { source, report } => self.whole(&source, &report)?,
        };
        let options = PdfOptions {
            // The same contents have the same identity.
            ident: Smart::Auto,
            creator: Smart::Custom(Some("Quaestor".to_owned())),
            timestamp: self.made.map(Timestamp::new_utc),
            ..PdfOptions::default()
        };
        *out = typst_pdf::pdf(&document, &options).map_err(|errors| {
            let told = errors.first().map_or("it failed", |error| error.message.as_str());
            let told: String = told.chars().take(MESSAGE_MAX).collect();
            let detail = format!("{}: {told}", self.name());
            Problem::new("template_failed", "The template of the export failed", detail)
        })?;
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
