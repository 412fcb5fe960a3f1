//! The fonts that PDF is written with: those in the program, and files that whoever runs it
//! names. The program's own have Latin, Greek and Cyrillic letters; Chinese, Japanese, Korean,
//! Arabic and others would be as large as all the rest of it.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use typst::foundations::Bytes;
use typst::text::Font;

/// The most that files of fonts may have together, in bytes: each export's process holds them.
pub const FONTS_MAX_BYTES: u64 = 128 << 20;

/// The fonts in the program.
static BUILT_IN: LazyLock<Vec<Font>> = LazyLock::new(|| {
    typst_assets::fonts().flat_map(|bytes| Font::iter(Bytes::new(bytes))).collect()
});

/// A set of fonts. Where a letter is missing in one that is asked for, the first that has it
/// is taken.
#[derive(Clone)]
pub struct Fonts(Vec<Font>);

impl Default for Fonts {
    /// The fonts in the program alone.
    fn default() -> Self {
        Self(BUILT_IN.clone())
    }
}

impl fmt::Debug for Fonts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fonts").field(&self.0.len()).finish()
    }
}

/// A file of fonts that cannot be taken.
#[derive(Debug)]
pub struct FontError {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Io(std::io::Error),
    NoFont,
    TooMuch,
}

impl fmt::Display for FontError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.why {
            Why::Io(_) => write!(f, "the font {path} cannot be read"),
            Why::NoFont => {
                write!(f, "{path} is no font: TrueType and OpenType files are (.ttf, .otf, .ttc)")
            }
            Why::TooMuch => write!(
                f,
                "the fonts up to {path} have more than {} MiB together: name fewer",
                FONTS_MAX_BYTES >> 20
            ),
        }
    }
}

impl std::error::Error for FontError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Io(error) => Some(error),
            Why::NoFont | Why::TooMuch => None,
        }
    }
}

impl Fonts {
    /// The fonts in the program, and then those in the files, in their order.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read, is no font, or is too much.
    pub fn with_files(paths: &[PathBuf]) -> Result<Self, FontError> {
        let mut fonts = Self::default();
        let mut left = FONTS_MAX_BYTES;
        for path in paths {
            let failed = |why| FontError { path: path.clone(), why };
            let bytes = read(path, left).map_err(Why::Io).map_err(failed)?;
            left = left.checked_sub(bytes.len() as u64).ok_or_else(|| failed(Why::TooMuch))?;
            let before = fonts.0.len();
            fonts.0.extend(Font::iter(Bytes::new(bytes)));
            if fonts.0.len() == before {
                return Err(failed(Why::NoFont));
            }
        }
        Ok(fonts)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Font> {
        self.0.iter()
    }

    /// One of them, by its place.
    pub(crate) fn get(&self, index: usize) -> Option<Font> {
        self.0.get(index).cloned()
    }
}

/// A file, but for one byte more than `most` no further.
fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
