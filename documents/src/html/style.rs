//! What does a start tag say about how its text looks?

use super::tokens::attributes;

/// How text looks: what makes a line a heading, or hides it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) underlined: bool,
    pub(super) centred: bool,
    pub(super) hidden: bool,
    pub(super) pre: bool,
    /// The level of the heading element around the text; 0 outside of one.
    pub(super) heading: u8,
}

/// What a tag's attributes say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) colspan: u32,
    pub(super) rowspan: u32,
    /// Whether a new printed page begins after the element.
    pub(super) page_break: bool,
}

/// Takes the attributes of a tag into account.
pub(super) fn apply(source: &str, look: &mut Look, wants_spans: bool) -> Marks {
    let mut marks = Marks { colspan: 1, rowspan: 1, page_break: false };
    if source.is_empty() {
        return marks;
    }
    for (name, value) in attributes(source) {
        if name.eq_ignore_ascii_case("style") {
            apply_css(value, look, &mut marks);
        } else if name.eq_ignore_ascii_case("align") {
            look.centred = value.eq_ignore_ascii_case("center");
        } else if name.eq_ignore_ascii_case("hidden") {
            look.hidden = true;
        } else if wants_spans && name.eq_ignore_ascii_case("colspan") {
            marks.colspan = value.trim().parse().unwrap_or(1).clamp(1, 1_000);
        } else if wants_spans && name.eq_ignore_ascii_case("rowspan") {
            marks.rowspan = value.trim().parse().unwrap_or(1).clamp(1, 10_000);
        }
    }
    marks
}

fn apply_css(css: &str, look: &mut Look, marks: &mut Marks) {
    for rule in css.split(';') {
        let Some((property, value)) = rule.split_once(':') else { continue };
        let (property, value) = (property.trim(), value.trim());
        let is = |name: &str| property.eq_ignore_ascii_case(name);
        let starts = |name: &str| {
            value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        if is("font-weight") {
            look.bold = starts("bold") || value.parse::<u32>().is_ok_and(|weight| weight >= 600);
        } else if is("display") {
            look.hidden |= starts("none");
        } else if is("visibility") {
            look.hidden |= starts("hidden");
        } else if is("text-align") {
            look.centred = starts("center");
        } else if is("font-style") {
            look.italic = starts("italic") || starts("oblique");
        } else if is("text-decoration") {
            look.underlined = starts("underline");
        } else if is("white-space") {
            look.pre = starts("pre") && !starts("pre-line");
        } else if is("page-break-after") || is("page-break-before") || is("break-after") {
            marks.page_break |= starts("always") || starts("page");
        }
    }
}
