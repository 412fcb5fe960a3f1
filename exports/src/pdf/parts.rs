//! The built-in layout, part by part.
//!
//! A layout takes several times the memory of the pages that come of it. So a long export is
//! laid out in parts as its turns come, each from a page of its own, and only pages are kept.
//! What a part cannot know, which page of how many a footer stands on, is laid out when all
//! pages are there, and put on them.

use quaestor_core::problem::Problem;
use serde::Serialize;
use typst::diag::SourceDiagnostic;
use typst::ecow::EcoVec;
use typst::foundations::Datetime;
use typst::layout::Point;
use typst::model::{Document, DocumentInfo};
use typst_layout::{Page, PagedDocument};

use super::layout::lay_out;
use super::world::Data;
use crate::fonts::Fonts;
use crate::render::out_of_order;
use crate::view::{CoverView, TurnView};

/// The layout.
const SOURCE: &str = include_str!("report.typ");

/// Bytes of data that are laid out at once: about 40 pages. A part ends with a turn, and the
/// next one begins a page, so shorter parts would leave more white.
const PART_BYTES: usize = 256 << 10;

/// What the layout reads from `/export.json`, but for the turns.
#[derive(Serialize)]
struct Head<'a> {
    /// Whether the title page is in it.
    first: bool,
    /// How many footers there are to lay out, and nothing else; 0 in all other parts.
    footers: usize,
    cover: &'a CoverView,
}

/// What has come, and the pages of what is laid out already.
#[derive(Debug)]
pub(super) struct Parts {
    cover: CoverView,
    made: Option<Datetime>,
    fonts: Fonts,
    /// The turns that are to be laid out, in JSON and with commas between.
    turns: Vec<u8>,
    parts: u64,
    pages: EcoVec<Page>,
    info: DocumentInfo,
}

/// Why a part cannot be laid out.
#[derive(Debug)]
pub(super) enum Failed {
    /// As Typst tells it, of this world.
    Layout(Box<Data>, EcoVec<SourceDiagnostic>),
    /// Before that.
    Data(Problem),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Data(problem)
    }
}

impl Parts {
    pub(super) fn new(cover: CoverView, made: Option<Datetime>, fonts: Fonts) -> Self {
        Self {
            cover,
            made,
            fonts,
            turns: Vec::new(),
            parts: 0,
            pages: EcoVec::new(),
            info: DocumentInfo::default(),
        }
    }

    /// Takes a turn, and lays out those before it where they are enough.
    pub(super) fn turn(&mut self, turn: &TurnView) -> Result<(), Failed> {
        let turn = serde_json::to_vec(turn).map_err(|error| unwritten(&error))?;
        if !self.turns.is_empty() && self.turns.len() + turn.len() > PART_BYTES {
            self.end_part()?;
        }
        if !self.turns.is_empty() {
            self.turns.push(b',');
        }
        self.turns.extend(turn);
        Ok(())
    }

    /// Lays out the rest, puts the footers on, and gives the whole document.
    pub(super) fn end(mut self) -> Result<PagedDocument, Failed> {
        if self.parts == 0 || !self.turns.is_empty() {
            self.end_part()?;
        }
        let footers = self.laid_out(false, self.pages.len(), &[])?;
        // There is none on the title page.
        for (page, footer) in self.pages.make_mut().iter_mut().skip(1).zip(footers.pages()) {
            page.frame.push_frame(Point::zero(), footer.frame.clone());
        }
        Ok(PagedDocument::new(self.pages, self.info))
    }

    fn end_part(&mut self) -> Result<(), Failed> {
        let first = self.parts == 0;
        let turns = std::mem::take(&mut self.turns);
        let document = self.laid_out(first, 0, &turns)?;
        if first {
            self.info = document.info().clone();
        }
        self.pages.extend(document.pages().iter().cloned());
        self.parts += 1;
        Ok(())
    }

    fn laid_out(&self, first: bool, footers: usize, turns: &[u8]) -> Result<PagedDocument, Failed> {
        let head = Head { first, footers, cover: &self.cover };
        let mut json = serde_json::to_vec(&head).map_err(|error| unwritten(&error))?;
        // Into the object that the head is.
        json.pop();
        json.extend(b",\"turns\":[");
        json.extend(turns);
        json.extend(b"]}");
        let world = Data::new(SOURCE, json, self.made, self.fonts.clone())?;
        lay_out(&world, self.parts).map_err(|errors| Failed::Layout(Box::new(world), errors))
    }
}

pub(super) fn unwritten(error: &serde_json::Error) -> Problem {
    out_of_order(&format!("the data cannot be written: {error}"))
}
