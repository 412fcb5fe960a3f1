//! How do blocks become a page's canonical text?

use quaestor_core::parsed::{Block, BlockKind, ByteSpan, PageState, ParsedPage, Table, TableRow};
use quaestor_core::problem::Problem;

use crate::refusal;
use crate::table::LaidTable;

/// Headings longer than this are running text set in bold.
const MAX_HEADING_CHARS: usize = 250;

/// How far above a table a line may stand to be its caption: text blocks.
const CAPTION_REACH: usize = 2;

/// Words that mark a line above a table as its unit or its name.
const CAPTION_WORDS: [&str; 10] = [
    "in millions",
    "in thousands",
    "in billions",
    "unaudited",
    "in $",
    "in us",
    "following table",
    "table below",
    "as follows",
    "were as follow",
];

/// Collects the blocks of one page.
pub(crate) struct Paper {
    text: String,
    blocks: Vec<Block>,
    limit: u64,
    full: bool,
}

impl Paper {
    /// A page that holds at most `limit` bytes of text.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            text: String::new(),
            blocks: Vec::new(),
            limit: limit.min(u64::from(u32::MAX)),
            full: false,
        }
    }

    /// Whether nothing stands on the page yet.
    pub(crate) fn is_blank(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds a heading of level 1 to 6. What is too long for one is a paragraph.
    pub(crate) fn heading(&mut self, level: u8, text: &str) {
        let text = text.replace('\n', " ");
        let kind = if text.chars().count() > MAX_HEADING_CHARS {
            BlockKind::Paragraph
        } else {
            BlockKind::Heading { level: level.clamp(1, 6) }
        };
        self.block(text.trim(), kind);
    }

    /// Adds running text. Line breaks in it are kept.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.block(text.trim_end().trim_start_matches('\n'), BlockKind::Paragraph);
    }

    fn block(&mut self, text: &str, kind: BlockKind) {
        if text.trim().is_empty() || !self.room(text.len()) {
            return;
        }
        self.part();
        let span = self.push(text);
        self.blocks.push(Block { span, kind });
    }

    /// Adds a table, or nothing where it has no row with text.
    pub(crate) fn table(&mut self, mut laid: LaidTable) {
        self.inherit_header(&mut laid);
        let caption = laid.caption.or_else(|| self.caption_above());
        let size = laid.rows.iter().map(|row| row.line.len() + 1).sum::<usize>();
        if laid.rows.iter().all(|row| row.line.trim().is_empty()) || !self.room(size) {
            return;
        }
        self.part();
        let mut rows = Vec::with_capacity(laid.rows.len());
        for row in laid.rows.iter().filter(|row| !row.line.trim().is_empty()) {
            if !rows.is_empty() {
                self.text.push('\n');
            }
            let span = self.push(&row.line);
            rows.push(TableRow { span, is_header: row.is_header, cells: row.cells });
        }
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let span = ByteSpan { start: first.span.start, end: last.span.end };
        self.blocks.push(Block {
            span,
            kind: BlockKind::Table(Table { header: laid.header, caption, rows }),
        });
    }

    /// A table without names of its own right below another with as many columns goes on
    /// under that one's names: filings part one table into several elements.
    fn inherit_header(&self, laid: &mut LaidTable) {
        let width = |line: &str| line.matches(" | ").count();
        let Some(BlockKind::Table(above)) = self.blocks.last().map(|block| &block.kind) else {
            return;
        };
        let of_above = above.header.last().map_or(0, |line| width(&format!(" {line}")));
        let own = laid.rows.iter().map(|row| width(&row.line)).max().unwrap_or(0);
        if laid.header.is_empty() && own > 0 && own == of_above {
            laid.header.clone_from(&above.header);
        }
    }

    /// The line just above that names the table or gives its unit.
    fn caption_above(&self) -> Option<String> {
        let near = self.blocks.iter().rev().take(CAPTION_REACH);
        for block in near.take_while(|block| !matches!(block.kind, BlockKind::Table(_))) {
            let text = self.text.get(block.span.start as usize..block.span.end as usize)?;
            if text.chars().count() > 300 {
                return None;
            }
            let lower = text.to_lowercase();
            let names = CAPTION_WORDS.iter().any(|word| lower.contains(word));
            let is_heading = matches!(block.kind, BlockKind::Heading { .. });
            if names || (text.ends_with(':') && !is_heading) {
                return Some(text.replace('\n', " "));
            }
        }
        None
    }

    fn room(&mut self, more: usize) -> bool {
        if self.full || (self.text.len() + more + 2) as u64 > self.limit {
            self.full = true;
        }
        !self.full
    }

    fn part(&mut self) {
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
    }

    fn push(&mut self, text: &str) -> ByteSpan {
        let start = self.text.len();
        self.text.push_str(text);
        // Cannot fail: `room` keeps the text below the limit, and that below 4 GB.
        let at = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        ByteSpan { start: at(start), end: at(self.text.len()) }
    }

    /// The page.
    ///
    /// # Errors
    /// `limit_reached` where the text was longer than the limit.
    pub(crate) fn finish(
        self,
        number: Option<u32>,
        label: Option<String>,
    ) -> Result<ParsedPage, Problem> {
        if self.full {
            return Err(refusal::limit_reached(&format!(
                "the document holds more than {} MB of text",
                self.limit / 1_000_000
            )));
        }
        let state = if self.text.is_empty() { PageState::Empty } else { PageState::Text };
        Ok(ParsedPage {
            ordinal: 0,
            number,
            label,
            state,
            text: self.text,
            blocks: self.blocks,
            boxes: Vec::new(),
            size_pt: None,
        })
    }
}
