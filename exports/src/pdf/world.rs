//! All that a template can see: itself, the data, the fonts, and the time of the export.

use std::fmt;

use quaestor_core::problem::Problem;
use typst::diag::{FileError, FileResult, PackageError};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt, World};

use crate::fonts::Fonts;
use crate::render::out_of_order;

/// A template with its data.
pub(super) struct Data {
    library: LazyHash<Library>,
    book: LazyHash<FontBook>,
    template: Source,
    json: (FileId, Bytes),
    fonts: Fonts,
    today: Option<Datetime>,
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").finish_non_exhaustive()
    }
}

impl Data {
    pub(super) fn new(
        source: &str,
        json: Vec<u8>,
        today: Option<Datetime>,
        fonts: Fonts,
    ) -> Result<Self, Problem> {
        Ok(Self {
            library: LazyHash::new(Library::default()),
            book: LazyHash::new(FontBook::from_fonts(fonts.iter())),
            template: Source::new(file("/template.typ")?, source.to_owned()),
            json: (file("/export.json")?, Bytes::new(json)),
            fonts,
            today,
        })
    }

    /// The line of a byte of the template, from 1.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.template.lines().byte_to_line(byte).map_or(1, |line| line + 1)
    }

    fn refused(id: FileId) -> FileError {
        match id.root() {
            VirtualRoot::Package(package) => {
                FileError::Package(PackageError::NotFound(package.clone()))
            }
            VirtualRoot::Project => FileError::AccessDenied,
        }
    }
}

fn file(path: &str) -> Result<FileId, Problem> {
    let path = VirtualPath::new(path).map_err(|error| out_of_order(&error.to_string()))?;
    Ok(FileId::new(RootedPath::new(VirtualRoot::Project, path)))
}

impl World for Data {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    fn main(&self) -> FileId {
        self.template.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.template.id() { Ok(self.template.clone()) } else { Err(Self::refused(id)) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        if id == self.json.0 { Ok(self.json.1.clone()) } else { Err(Self::refused(id)) }
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.get(index)
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        self.today
    }
}
