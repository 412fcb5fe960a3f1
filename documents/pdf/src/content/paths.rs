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

    /// The rules, those drawn piece by piece made whole.
    pub(crate) fn into_rules(self) -> Vec<Rule> {
        let (mut flat, mut upright) = (Vec::new(), Vec::new());
        for rule in self.rules {
            let (width, height) = (rule.x1 - rule.x0, rule.y1 - rule.y0);
            // A dot is the corner of cells and may be a piece of either.
            let dot = width <= MAX_THICKNESS_PT && height <= MAX_THICKNESS_PT;
            if dot || width >= height {
                flat.push(rule);
            }
            if dot || width < height {
                upright.push(turn(rule));
            }
        }
        let mut rules = join(flat);
        rules.extend(join(upright).into_iter().map(turn));
        rules.retain(|rule| (rule.x1 - rule.x0).max(rule.y1 - rule.y0) >= MIN_LENGTH_PT);
        rules
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
        let inside =
            rule.x0 < self.size.0 && rule.x1 > 0.0 && rule.y0 < self.size.1 && rule.y1 > 0.0;
        if inside && self.rules.len() < MAX_RULES {
            self.rules.push(rule);
        }
    }
}

/// Swaps the axes.
fn turn(rule: Rule) -> Rule {
    Rule { x0: rule.y0, y0: rule.x0, x1: rule.y1, y1: rule.x1 }
}

/// Joins flat rules that touch: tables are often ruled cell by cell.
fn join(mut rules: Vec<Rule>) -> Vec<Rule> {
    const SAME_HEIGHT_PT: f32 = 0.4;
    const TOUCHING_PT: f32 = 0.6;
    rules.sort_by(|a, b| a.y0.total_cmp(&b.y0).then(a.x0.total_cmp(&b.x0)));
    let mut out: Vec<Rule> = Vec::new();
    let mut at = 0;
    while at < rules.len() {
        let height = rules[at].y0;
        let end =
            at + rules[at..].iter().take_while(|rule| rule.y0 - height < SAME_HEIGHT_PT).count();
        rules[at..end].sort_by(|a, b| a.x0.total_cmp(&b.x0));
        let first = out.len();
        for rule in &rules[at..end] {
            match out[first..].last_mut() {
                Some(last) if rule.x0 - last.x1 < TOUCHING_PT => {
                    last.x1 = last.x1.max(rule.x1);
                    last.y1 = last.y1.max(rule.y1);
                }
                _ => out.push(*rule),
            }
        }
        at = end;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_drawn_in_pieces_is_one_and_gaps_stay() {
        let mut paths = Paths::new(600.0, 800.0);
        for (x0, x1) in [(20.0, 25.0), (25.0, 80.0), (80.0, 81.0), (90.0, 140.0)] {
            paths.rectangle((x0, 100.0), (x1, 101.0));
        }
        paths.paint(Paint::Fill);
        let rules = paths.into_rules();
        assert_eq!(
            rules.iter().map(|rule| (rule.x0, rule.x1)).collect::<Vec<_>>(),
            [(20.0, 81.0), (90.0, 140.0)]
        );
    }

    #[test]
    fn a_path_that_is_not_painted_leaves_nothing() {
        let mut paths = Paths::new(600.0, 800.0);
        paths.rectangle((20.0, 100.0), (200.0, 101.0));
        paths.discard();
        paths.paint(Paint::Fill);
        assert!(paths.into_rules().is_empty());
    }
}
