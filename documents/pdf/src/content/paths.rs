//! Which ruling lines does a page draw?

use super::words::Rule;

/// How a path is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Stroke,
    Fill,
}

/// Rules thicker than this are boxes.
const MAX_THICKNESS_PT: f32 = 3.0;
/// Shorter rules are marks, not lines of a table.
const MIN_LENGTH_PT: f32 = 6.0;
/// Enough for the densest register; drawings have more and gain nothing.
const MAX_RULES: usize = 20_000;

/// Collects the straight lines of paths.
#[derive(Debug)]
pub(crate) struct Paths {
    pending: Vec<(Rule, bool)>,
    at: (f32, f32),
    curved: bool,
    rules: Vec<Rule>,
    size: (f32, f32),
}

impl Paths {
    pub(crate) fn new(width: f32, height: f32) -> Self {
        Self {
            pending: Vec::new(),
            at: (0.0, 0.0),
            curved: false,
            rules: Vec::new(),
            size: (width, height),
        }
    }

    pub(crate) fn move_to(&mut self, to: (f32, f32)) {
        self.at = to;
    }

    pub(crate) fn line_to(&mut self, to: (f32, f32)) {
        let from = self.at;
        self.at = to;
        self.add(from, to, false);
    }

    pub(crate) fn curve(&mut self) {
        self.curved = true;
    }

    pub(crate) fn rectangle(&mut self, one: (f32, f32), other: (f32, f32)) {
        self.at = one;
        self.add(one, other, true);
    }

    pub(crate) fn discard(&mut self) {
        self.pending.clear();
        self.curved = false;
    }

    pub(crate) fn paint(&mut self, paint: Paint) {
        if !self.curved {
            for index in 0..self.pending.len() {
                let (rule, is_box) = self.pending[index];
                let (width, height) = (rule.x1 - rule.x0, rule.y1 - rule.y0);
                if width <= MAX_THICKNESS_PT || height <= MAX_THICKNESS_PT {
                    if is_box || paint == Paint::Stroke {
                        self.keep(rule);
                    }
                } else if is_box && paint == Paint::Stroke {
                    self.keep(Rule { y1: rule.y0, ..rule });
                    self.keep(Rule { y0: rule.y1, ..rule });
                    self.keep(Rule { x1: rule.x0, ..rule });
                    self.keep(Rule { x0: rule.x1, ..rule });
                }
            }
        }
        self.discard();
    }

    pub(crate) fn into_rules(self) -> Vec<Rule> {
        self.rules
    }

    fn add(&mut self, one: (f32, f32), other: (f32, f32), is_box: bool) {
        if self.pending.len() < MAX_RULES {
            let rule = Rule {
                x0: one.0.min(other.0),
                y0: one.1.min(other.1),
                x1: one.0.max(other.0),
                y1: one.1.max(other.1),
            };
            self.pending.push((rule, is_box));
        }
    }

    fn keep(&mut self, rule: Rule) {
        let length = (rule.x1 - rule.x0).max(rule.y1 - rule.y0);
        let inside =
            rule.x0 < self.size.0 && rule.x1 > 0.0 && rule.y0 < self.size.1 && rule.y1 > 0.0;
        if length >= MIN_LENGTH_PT && inside && self.rules.len() < MAX_RULES {
            self.rules.push(rule);
        }
    }
}
