//! What do a page's content streams draw that can be read?

pub(crate) mod lexer;
mod paths;
pub(crate) mod words;

use std::collections::HashMap;
use std::rc::Rc;

use hayro_syntax::object::{Array, Dict, Name, Object, Stream};
use hayro_syntax::page::Page;

use crate::font::{Font, GlyphText};
use lexer::{Lexer, Operand};
use paths::Paths;
use words::{Direction, PageWords, RunStyle};

/// A matrix as PDF writes it: `[a b c d e f]`.
pub(crate) type Matrix = [f32; 6];

const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

/// `first`, then `then`.
fn concat(first: &Matrix, then: &Matrix) -> Matrix {
    [
        first[0] * then[0] + first[1] * then[2],
        first[0] * then[1] + first[1] * then[3],
        first[2] * then[0] + first[3] * then[2],
        first[2] * then[1] + first[3] * then[3],
        first[4] * then[0] + first[5] * then[2] + then[4],
        first[4] * then[1] + first[5] * then[3] + then[5],
    ]
}

fn apply(matrix: &Matrix, x: f32, y: f32) -> (f32, f32) {
    (matrix[0] * x + matrix[2] * y + matrix[4], matrix[1] * x + matrix[3] * y + matrix[5])
}

/// Forms within forms, at most; deeper ones are loops or attacks.
const MAX_FORM_DEPTH: u32 = 12;
/// Saved graphics states, at most.
const MAX_STATES: usize = 512;
/// Fonts kept over the pages of a document, at most.
const MAX_FONTS: usize = 512;

/// How much work one page may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Operators left.
    pub(crate) operators: u64,
    /// Bytes of text left.
    pub(crate) text_bytes: usize,
}

/// The fonts of a document, loaded once.
#[derive(Default)]
pub(crate) struct FontCache {
    fonts: HashMap<(u32, i32), Rc<Font>>,
}

impl FontCache {
    fn get(&mut self, fonts: &Dict<'_>, name: &[u8]) -> Rc<Font> {
        let key = fonts.get_ref(name).map(|id| (id.obj_number, id.gen_number));
        if let Some(font) = key.and_then(|key| self.fonts.get(&key)) {
            return Rc::clone(font);
        }
        let font = Rc::new(
            fonts.get::<Dict<'_>>(name).map_or_else(Font::fallback, |dict| Font::load(&dict)),
        );
        if let Some(key) = key {
            if self.fonts.len() >= MAX_FONTS {
                self.fonts.clear();
            }
            self.fonts.insert(key, Rc::clone(&font));
        }
        font
    }
}

#[derive(Clone)]
struct State {
    ctm: Matrix,
    font: Option<Rc<Font>>,
    size: f32,
    char_space: f32,
    word_space: f32,
    stretch: f32,
    leading: f32,
    rise: f32,
    render_mode: u8,
}

/// Reads everything that a page draws: its content, the forms in it and the filled-in
/// fields over it.
pub(crate) fn read_page(page: &Page<'_>, fonts: &mut FontCache, budget: Budget) -> PageWords {
    let (width, height) = page.render_dimensions();
    #[expect(clippy::cast_possible_truncation, reason = "page coordinates")]
    let to_page = page.initial_transform(true).as_coeffs().map(|value| value as f32);
    let mut reader = Reader {
        out: PageWords::default(),
        fonts,
        budget,
        depth: 0,
        text_matrix: IDENTITY,
        line_matrix: IDENTITY,
        paths: Paths::new(width, height),
        replacement: None,
        mark_depth: 0,
    };
    if let Some(content) = page.page_stream() {
        let resources = page.resources();
        reader.run(
            content,
            &Scope {
                fonts: &resources.fonts,
                forms: &resources.x_objects,
                properties: &resources.properties,
            },
            State::new(to_page),
        );
    }
    reader.read_annotations(page, to_page);
    let mut out = reader.out;
    out.rules = reader.paths.into_rules();
    out
}

impl State {
    fn new(ctm: Matrix) -> Self {
        Self {
            ctm,
            font: None,
            size: 0.0,
            char_space: 0.0,
            word_space: 0.0,
            stretch: 1.0,
            leading: 0.0,
            rise: 0.0,
            render_mode: 0,
        }
    }
}

/// The resources names are looked up in.
struct Scope<'s, 'a> {
    fonts: &'s Dict<'a>,
    forms: &'s Dict<'a>,
    properties: &'s Dict<'a>,
}

struct Reader<'c> {
    out: PageWords,
    fonts: &'c mut FontCache,
    budget: Budget,
    depth: u32,
    text_matrix: Matrix,
    line_matrix: Matrix,
    paths: Paths,
    /// The text that stands for the glyphs of the marked content being drawn; taken by
    /// its first glyph.
    replacement: Option<(u32, Option<String>)>,
    mark_depth: u32,
}

impl Reader<'_> {
    fn run(&mut self, content: &[u8], scope: &Scope<'_, '_>, initial: State) {
        let mut state = initial;
        let mut saved: Vec<State> = Vec::new();
        let mut lexer = Lexer::new(content);
        while let Some(operator) = lexer.next_operator() {
            if self.budget.operators == 0 || self.out.text.len() > self.budget.text_bytes {
                self.out.cut_short = true;
                return;
            }
            self.budget.operators -= 1;
            let num = |index: usize| number(&lexer.operands, index);
            match operator {
                b"q" if saved.len() < MAX_STATES => saved.push(state.clone()),
                b"Q" => {
                    if let Some(previous) = saved.pop() {
                        state = previous;
                    }
                }
                b"cm" => {
                    if let Some(matrix) = matrix(&lexer.operands) {
                        state.ctm = concat(&matrix, &state.ctm);
                    }
                }
                b"BT" => {
                    self.text_matrix = IDENTITY;
                    self.line_matrix = IDENTITY;
                }
                b"Tf" => {
                    if let [.., Operand::Name(name), Operand::Num(size)] = lexer.operands[..] {
                        state.font = Some(self.fonts.get(scope.fonts, &unescape(name)));
                        state.size = size;
                    }
                }
                b"Td" => self.next_line(num(0), num(1)),
                b"TD" => {
                    state.leading = -num(1);
                    self.next_line(num(0), num(1));
                }
                b"Tm" => {
                    if let Some(matrix) = matrix(&lexer.operands) {
                        self.text_matrix = matrix;
                        self.line_matrix = matrix;
                    }
                }
                b"T*" => self.next_line(0.0, -state.leading),
                b"Tc" => state.char_space = num(0),
                b"Tw" => state.word_space = num(0),
                b"Tz" => state.stretch = num(0) * 0.01,
                b"TL" => state.leading = num(0),
                b"Ts" => state.rise = num(0),
                b"Tr" => state.render_mode = if (num(0) - 2.0).abs() < 0.1 { 2 } else { 0 },
                b"Tj" => self.show_operands(&state, &lexer),
                b"'" => {
                    self.next_line(0.0, -state.leading);
                    self.show_operands(&state, &lexer);
                }
                b"\"" => {
                    state.word_space = num(0);
                    state.char_space = num(1);
                    self.next_line(0.0, -state.leading);
                    self.show_operands(&state, &lexer);
                }
                b"TJ" => self.show_operands(&state, &lexer),
                b"Do" => {
                    if let Some(Operand::Name(name)) = lexer.operands.last() {
                        self.draw_object(&unescape(name), scope, &state);
                    }
                }
                b"ID" => {
                    self.out.has_image = true;
                    lexer.skip_inline_image();
                }
                b"BMC" => self.mark_depth += 1,
                b"BDC" => {
                    self.mark_depth += 1;
                    if self.replacement.is_none() {
                        self.replacement =
                            actual_text(&lexer, scope).map(|text| (self.mark_depth, Some(text)));
                    }
                }
                b"EMC" => {
                    if self.replacement.as_ref().is_some_and(|(depth, _)| *depth >= self.mark_depth)
                    {
                        self.replacement = None;
                    }
                    self.mark_depth = self.mark_depth.saturating_sub(1);
                }
                b"m" => self.paths.move_to(apply(&state.ctm, num(0), num(1))),
                b"l" => self.paths.line_to(apply(&state.ctm, num(0), num(1))),
                b"re" => {
                    let (x, y) = (num(0), num(1));
                    self.paths.rectangle(
                        apply(&state.ctm, x, y),
                        apply(&state.ctm, x + num(2), y + num(3)),
                    );
                }
                b"c" | b"v" | b"y" => self.paths.curve(),
                b"S" | b"s" | b"B" | b"B*" | b"b" | b"b*" => self.paths.paint(paths::Paint::Stroke),
                b"f" | b"F" | b"f*" => self.paths.paint(paths::Paint::Fill),
                b"n" => self.paths.discard(),
                b"sh" => {}
                _ => {}
            }
        }
    }

    fn next_line(&mut self, x: f32, y: f32) {
        self.line_matrix = concat(&[1.0, 0.0, 0.0, 1.0, x, y], &self.line_matrix);
        self.text_matrix = self.line_matrix;
    }

    /// Draws the strings among the operands and moves by the numbers between them.
    fn show_operands(&mut self, state: &State, lexer: &Lexer<'_>) {
        let Some(font) = &state.font else { return };
        let in_array = lexer.operands.first() == Some(&Operand::ArrayOpen);
        for operand in &lexer.operands {
            match *operand {
                Operand::Str(start, end) => self.show(state, font, lexer.string(start, end)),
                Operand::Num(adjust) if in_array => {
                    let shift = -adjust * 0.001 * state.size;
                    if font.vertical {
                        self.move_text(0.0, shift);
                    } else {
                        self.move_text(shift * state.stretch, 0.0);
                    }
                }
                _ => {}
            }
        }
    }

    fn move_text(&mut self, x: f32, y: f32) {
        let m = &mut self.text_matrix;
        m[4] += x * m[0] + y * m[2];
        m[5] += x * m[1] + y * m[3];
    }

    fn show(&mut self, state: &State, font: &Font, bytes: &[u8]) {
        let scaled = [state.size * state.stretch, 0.0, 0.0, state.size, 0.0, state.rise];
        let glyph_space = concat(&concat(&scaled, &self.text_matrix), &state.ctm);
        let along = if font.vertical {
            (-glyph_space[2], -glyph_space[3])
        } else {
            (glyph_space[0], glyph_space[1])
        };
        let direction = Direction::of(along.0, along.1);
        let em = if font.vertical {
            glyph_space[0].hypot(glyph_space[1])
        } else {
            glyph_space[2].hypot(glyph_space[3])
        };
        let readable = em.is_finite() && em > 0.05 && em < 20_000.0;
        // A font used at size 0 with a scaled matrix never is meant to be seen.
        let style = RunStyle {
            direction,
            size: em,
            ascent: font.ascent * em,
            descent: font.descent * em,
            bold: font.bold || state.render_mode == 2,
        };
        let per_unit = concat(&self.text_matrix, &state.ctm);
        let (mut x, mut y) = (glyph_space[4], glyph_space[5]);
        let (start_x, start_y) = (x, y);
        let mut moved = 0.0_f32;
        let mut buffer = [0_u8; 4];
        let mut rest = bytes;
        while !rest.is_empty() {
            let glyph = font.glyph(rest);
            rest = rest.get(glyph.len.max(1)..).unwrap_or(&[]);
            let word_space =
                if glyph.len == 1 && glyph.code == 32 { state.word_space } else { 0.0 };
            let ink = glyph.advance * state.size;
            let step = if font.vertical {
                -(state.size + state.char_space + word_space)
            } else {
                (ink + state.char_space + word_space) * state.stretch
            };
            // Letters spaced apart by a little are one word; by a lot, they are cells.
            let reach = if state.char_space > 0.0 && state.char_space < 0.35 * state.size {
                ink + state.char_space
            } else {
                ink
            } * state.stretch;
            moved += step;
            let (next_x, next_y, end_x, end_y) = if font.vertical {
                let (dx, dy) = (per_unit[2] * moved, per_unit[3] * moved);
                (start_x + dx, start_y + dy, start_x + dx, start_y + dy)
            } else {
                let (dx, dy) = (per_unit[0] * moved, per_unit[1] * moved);
                let (rx, ry) = (per_unit[0] * reach, per_unit[1] * reach);
                (start_x + dx, start_y + dy, x + rx, y + ry)
            };
            if readable {
                let text = match glyph.text {
                    GlyphText::Nothing => "",
                    GlyphText::Text(text) => text,
                    GlyphText::Char(character) => character.encode_utf8(&mut buffer),
                };
                let (u0, base) = direction.to_frame(x, y);
                let (u1, _) = direction.to_frame(end_x, end_y);
                match &mut self.replacement {
                    None if text.is_empty() => {}
                    None => self.out.glyph(u0, u1, base, &style, text),
                    Some((_, text)) => {
                        if let Some(text) = text.take() {
                            self.out.phrase(u0, u1, base, &style, &text);
                        } else {
                            self.out.widen(u1);
                        }
                    }
                }
            }
            (x, y) = (next_x, next_y);
        }
        if font.vertical {
            self.move_text(0.0, moved);
        } else {
            self.move_text(moved, 0.0);
        }
    }

    fn draw_object(&mut self, name: &[u8], scope: &Scope<'_, '_>, state: &State) {
        let Some(stream) = scope.forms.get::<Stream<'_>>(name) else { return };
        let kind = stream.dict().get::<Name<'_>>("Subtype");
        if kind.as_ref().is_some_and(|kind| kind.as_ref() == b"Image") {
            self.out.has_image = true;
        } else {
            self.draw_form(&stream, scope, state.clone());
        }
    }

    fn draw_form(&mut self, form: &Stream<'_>, outer: &Scope<'_, '_>, mut state: State) {
        if self.depth >= MAX_FORM_DEPTH {
            return;
        }
        let Ok(content) = form.decoded_data() else { return };
        if let Some(matrix) = form_matrix(form.dict()) {
            state.ctm = concat(&matrix, &state.ctm);
        }
        let resources = form.dict().get::<Dict<'_>>("Resources");
        self.depth += 1;
        let matrices = (self.text_matrix, self.line_matrix);
        if let Some(resources) = resources {
            let fonts = resources.get::<Dict<'_>>("Font").unwrap_or_default();
            let forms = resources.get::<Dict<'_>>("XObject").unwrap_or_default();
            let properties = resources.get::<Dict<'_>>("Properties").unwrap_or_default();
            self.run(
                &content,
                &Scope { fonts: &fonts, forms: &forms, properties: &properties },
                state,
            );
        } else {
            self.run(&content, outer, state);
        }
        (self.text_matrix, self.line_matrix) = matrices;
        self.depth -= 1;
    }

    /// Form fields and free text stand on the page as annotations with an appearance.
    fn read_annotations(&mut self, page: &Page<'_>, to_page: Matrix) {
        const MAX_ANNOTATIONS: usize = 5_000;
        const HIDDEN_OR_NO_VIEW: i32 = 2 | 32;
        let Some(annotations) = page.raw().get::<Array<'_>>("Annots") else { return };
        let empty = Dict::empty();
        let nowhere = Scope { fonts: &empty, forms: &empty, properties: &empty };
        for annotation in annotations.iter::<Dict<'_>>().take(MAX_ANNOTATIONS) {
            let kind = annotation.get::<Name<'_>>("Subtype");
            let shown = kind
                .is_some_and(|kind| matches!(kind.as_ref(), b"Widget" | b"FreeText" | b"Stamp"));
            if !shown || annotation.get::<i32>("F").unwrap_or(0) & HIDDEN_OR_NO_VIEW != 0 {
                continue;
            }
            let Some(form) = appearance(&annotation) else { continue };
            let (Some(rect), Some(bounds)) =
                (numbers::<4>(&annotation, "Rect"), numbers::<4>(form.dict(), "BBox"))
            else {
                continue;
            };
            let matrix = form_matrix(form.dict()).unwrap_or(IDENTITY);
            let fitted = concat(&fit(&bounds, &matrix, &rect), &to_page);
            self.draw_form(&form, &nowhere, State::new(fitted));
        }
    }
}

/// Moves and scales the appearance's box onto the annotation's rectangle
/// (ISO 32000-1, 12.5.5, algorithm 8.1).
fn fit(bounds: &[f32; 4], matrix: &Matrix, rect: &[f32; 4]) -> Matrix {
    let corners =
        [(0, 1), (2, 1), (0, 3), (2, 3)].map(|(x, y)| apply(matrix, bounds[x], bounds[y]));
    let low = |pick: fn(&(f32, f32)) -> f32| corners.iter().map(pick).fold(f32::INFINITY, f32::min);
    let high =
        |pick: fn(&(f32, f32)) -> f32| corners.iter().map(pick).fold(f32::NEG_INFINITY, f32::max);
    let (x0, x1, y0, y1) = (low(|c| c.0), high(|c| c.0), low(|c| c.1), high(|c| c.1));
    let scale = |to: f32, from: f32| if from.abs() > 1.0e-3 { (to / from).abs() } else { 1.0 };
    let (sx, sy) = (scale(rect[2] - rect[0], x1 - x0), scale(rect[3] - rect[1], y1 - y0));
    let (left, bottom) = (rect[0].min(rect[2]), rect[1].min(rect[3]));
    [sx, 0.0, 0.0, sy, left - x0 * sx, bottom - y0 * sy]
}

fn appearance<'a>(annotation: &Dict<'a>) -> Option<Stream<'a>> {
    let appearances = annotation.get::<Dict<'_>>("AP")?;
    match appearances.get::<Object<'a>>("N")? {
        Object::Stream(form) => Some(form),
        Object::Dict(states) => {
            states.get::<Stream<'a>>(annotation.get::<Name<'_>>("AS")?.as_ref())
        }
        _ => None,
    }
}

fn form_matrix(dict: &Dict<'_>) -> Option<Matrix> {
    numbers::<6>(dict, "Matrix")
}

fn numbers<const N: usize>(dict: &Dict<'_>, key: &str) -> Option<[f32; N]> {
    let array = dict.get::<Array<'_>>(key)?;
    let mut items = array.flex_iter();
    let mut out = [0.0; N];
    for slot in &mut out {
        *slot = items.next::<f32>()?;
    }
    out.iter().all(|value| value.is_finite()).then_some(out)
}

fn number(operands: &[Operand<'_>], index: usize) -> f32 {
    match operands.get(index) {
        Some(Operand::Num(number)) => *number,
        _ => 0.0,
    }
}

fn matrix(operands: &[Operand<'_>]) -> Option<Matrix> {
    let start = operands.len().checked_sub(6)?;
    let mut out = IDENTITY;
    for (slot, operand) in out.iter_mut().zip(&operands[start..]) {
        let Operand::Num(number) = operand else { return None };
        *slot = *number;
    }
    Some(out)
}

/// A name with its `#41` escapes resolved.
fn unescape(name: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if name.contains(&b'#')
        && let Some(name) = Name::new(name)
    {
        return std::borrow::Cow::Owned(name.as_ref().to_vec());
    }
    std::borrow::Cow::Borrowed(name)
}

/// The `ActualText` of a `BDC`, which replaces what its content draws.
fn actual_text(lexer: &Lexer<'_>, scope: &Scope<'_, '_>) -> Option<String> {
    let operands = &lexer.operands;
    if let Some(at) = operands.iter().position(|operand| *operand == Operand::Name(b"ActualText")) {
        let Some(Operand::Str(start, end)) = operands.get(at + 1) else { return None };
        return Some(text_string(lexer.string(*start, *end)));
    }
    let [Operand::Name(_), Operand::Name(name)] = operands[..] else { return None };
    let text = scope
        .properties
        .get::<Dict<'_>>(name)?
        .get::<hayro_syntax::object::String<'_>>("ActualText")?;
    Some(text_string(text.as_bytes()))
}

/// A text string of a document: UTF-16 with its mark, UTF-8 with its mark, else the
/// PDF encoding, which is near enough to Windows'.
pub(crate) fn text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xfe, 0xff, rest @ ..] => {
            let units = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).filter_map(Result::ok).collect()
        }
        [0xff, 0xfe, rest @ ..] => {
            let units = rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).filter_map(Result::ok).collect()
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => bytes.iter().filter_map(|&byte| crate::font::windows_character(byte)).collect(),
    }
}
