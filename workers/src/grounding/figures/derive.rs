//! Is a figure computed from cited ones? Differences, growth, ratios, sums and averages
//! of figures that the statement speaks of, and of no others: every number is some
//! quotient of two numbers of a long table.

use quaestor_core::model::DerivationKind;

use super::agree::{Claimed, says};
use super::belong::{Belonging, fit_any};
use super::context::Context;
use super::facts::{Evidence, Place};
use super::number::Sign;
use super::operands::{Operands, gather};
use super::period::Fit;
use super::units::Unit;

/// A figure and what it is computed from, by the places of the facts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Derived {
    /// How.
    pub(super) kind: DerivationKind,
    /// From what, in the order of the computation.
    pub(super) operands: Vec<usize>,
}

/// Looks for a derivation that gives the figure. `stated` are the facts that support
/// other figures of the statement, in their order.
pub(super) fn derive(
    evidence: &Evidence<'_>,
    context: &Context,
    belonging: &mut Belonging<'_, '_>,
    claimed: &Claimed,
    stated: &[usize],
    sources: &[usize],
) -> Option<Derived> {
    let operands = gather(evidence, context, belonging, stated, sources, claimed.number.unit);
    let test = Test { evidence, context, claimed };
    let hints = context.hints;
    if hints.average {
        return test.average(&operands);
    }
    if hints.ratio && !hints.change {
        return test.ratio(&operands, true);
    }
    if hints.change
        && let Some(found) = test.change(&operands)
    {
        return Some(found);
    }
    if !hints.change
        && (hints.share || claimed.number.unit == Unit::Times)
        && let Some(found) = test.ratio(&operands, false)
    {
        return Some(found);
    }
    if hints.sum && !hints.change {
        return test.sum(&operands);
    }
    None
}

/// Tries operands on one figure.
struct Test<'a, 'p> {
    evidence: &'a Evidence<'p>,
    context: &'a Context,
    claimed: &'a Claimed,
}

/// Which sign the result must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Negative,
    Positive,
}

impl Test<'_, '_> {
    fn value(&self, fact: usize) -> f64 {
        self.evidence.facts[fact].held.absolute()
    }

    /// The powers of ten that the figure may be on, for amounts computed of these facts.
    fn scales(&self, facts: &[usize]) -> Vec<i32> {
        if let Some(scale) = self.claimed.number.scale {
            return vec![scale];
        }
        let mut scales = vec![0];
        // As a cell is copied without its scale, so is a difference of two.
        if let Some(scale) = self.evidence.facts[facts[0]].held.scale
            && scale != 0
        {
            scales.push(scale);
        }
        scales
    }

    fn says_amount(&self, value: f64, facts: &[usize], wanted: Wanted) -> bool {
        if !sign_fits(value, wanted) || !self.units_fit(facts) {
            return false;
        }
        // Where no scale is known, one that is named cannot be checked.
        if self.claimed.number.scale.is_some()
            && facts.iter().any(|fact| self.evidence.facts[*fact].held.scale.is_none())
        {
            return false;
        }
        self.scales(facts)
            .into_iter()
            .any(|scale| says(&self.claimed.number, 10_f64.powi(scale), value.abs()))
    }

    fn says_plain(&self, value: f64, unit: f64, wanted: Wanted) -> bool {
        value.is_finite()
            && sign_fits(value, wanted)
            && says(&self.claimed.number, unit, value.abs())
    }

    fn units_fit(&self, facts: &[usize]) -> bool {
        let unit = self.claimed.number.unit;
        facts.iter().all(|fact| {
            let held = &self.evidence.facts[*fact].held;
            match unit {
                Unit::Money(currency) => match held.unit {
                    Unit::Money(known) => currency.may_be(known),
                    Unit::None => {
                        !held.counts_shares
                            && held.currency.is_none_or(|known| currency.may_be(known))
                    }
                    _ => false,
                },
                Unit::Percent => {
                    held.unit == Unit::Percent || (held.unit == Unit::None && held.is_rate)
                }
                Unit::Points | Unit::BasisPoints => {
                    held.unit.is_share() || (held.unit == Unit::None && held.is_rate)
                }
                Unit::Shares => !held.unit.is_money() && !held.unit.is_share(),
                Unit::None => !(held.unit.is_share() && self.claimed.number.scale.is_some()),
                Unit::Times => false,
            }
        })
    }

    fn wanted(&self) -> Wanted {
        let hints = self.context.hints;
        match self.claimed.number.sign {
            Sign::Minus => Wanted::Negative,
            Sign::Bracketed if self.claimed.negative == Some(true) => Wanted::Negative,
            Sign::Bracketed => Wanted::Any,
            _ if hints.unsigned => Wanted::Any,
            _ if hints.down && !hints.up => Wanted::Negative,
            _ if hints.loss && !hints.change => Wanted::Any,
            _ => Wanted::Positive,
        }
    }

    /// The sign that a sum or an average must have: all negative ones may be told without.
    fn wanted_of(&self, group: &[usize]) -> Wanted {
        let all_negative = group.iter().all(|fact| self.value(*fact) < 0.0);
        match self.wanted() {
            Wanted::Positive if all_negative => Wanted::Any,
            wanted => wanted,
        }
    }

    fn alike(&self, group: &[usize]) -> bool {
        group.iter().all(|fact| self.units_alike(group[0], *fact))
    }

    /// `new - old`, or that over `old`.
    fn change(&self, operands: &Operands) -> Option<Derived> {
        let wanted = self.wanted();
        let unit = self.claimed.number.unit;
        for (new, old) in &operands.changes {
            let (later, earlier) = (self.value(*new), self.value(*old));
            let pair = vec![*new, *old];
            let found = match unit {
                Unit::Percent => {
                    if earlier != 0.0
                        && self.units_alike(*new, *old)
                        && self.says_plain((later - earlier) / earlier.abs(), 0.01, wanted)
                    {
                        Some(DerivationKind::Growth)
                    } else if self.says_amount(later - earlier, &pair, wanted) {
                        Some(DerivationKind::Difference)
                    } else {
                        None
                    }
                }
                Unit::Points | Unit::BasisPoints => {
                    let step = if unit == Unit::BasisPoints { 0.01 } else { 1.0 };
                    (self.units_fit(&pair) && self.says_plain(later - earlier, step, wanted))
                        .then_some(DerivationKind::Difference)
                }
                Unit::Times => None,
                _ => self
                    .says_amount(later - earlier, &pair, wanted)
                    .then_some(DerivationKind::Difference),
            };
            if let Some(kind) = found {
                return Some(Derived { kind, operands: pair });
            }
        }
        None
    }

    /// One over the other. `named` asks for the order in which the statement names them.
    fn ratio(&self, operands: &Operands, named: bool) -> Option<Derived> {
        let unit = self.claimed.number.unit;
        let step = match unit {
            Unit::Percent => 0.01,
            Unit::None | Unit::Times => 1.0,
            _ => return None,
        };
        let pairs = if named { &operands.ratios } else { &operands.shares };
        for (over, under) in pairs {
            let (over_value, under_value) = (self.value(*over), self.value(*under));
            if under_value == 0.0 || !self.units_alike(*over, *under) {
                continue;
            }
            let wanted =
                if self.claimed.negative == Some(true) { Wanted::Negative } else { Wanted::Any };
            if self.says_plain(over_value / under_value, step, wanted) {
                let kind = DerivationKind::Ratio;
                return Some(Derived { kind, operands: vec![*over, *under] });
            }
        }
        None
    }

    fn sum(&self, operands: &Operands) -> Option<Derived> {
        operands.groups.iter().find_map(|group| {
            let sum: f64 = group.iter().map(|fact| self.value(*fact)).sum();
            (self.alike(group) && self.says_amount(sum, group, self.wanted_of(group)))
                .then(|| Derived { kind: DerivationKind::Sum, operands: group.clone() })
        })
    }

    fn average(&self, operands: &Operands) -> Option<Derived> {
        operands.groups.iter().find_map(|group| {
            let sum: f64 = group.iter().map(|fact| self.value(*fact)).sum();
            (self.alike(group)
                && self.says_amount(sum / group.len() as f64, group, self.wanted_of(group)))
            .then(|| Derived { kind: DerivationKind::Average, operands: group.clone() })
        })
    }

    /// Whether two facts are of one sort, on scales that can be compared.
    fn units_alike(&self, left: usize, right: usize) -> bool {
        let (left, right) = (&self.evidence.facts[left].held, &self.evidence.facts[right].held);
        let same_scale = left.scale.is_some() == right.scale.is_some();
        let alike = match (left.unit, right.unit) {
            (Unit::Money(a), Unit::Money(b)) => a.may_be(b),
            // `$23.52` among counts is a price.
            (Unit::Money(_), Unit::None) | (Unit::None, Unit::Money(_)) => {
                !(left.counts_shares || right.counts_shares)
            }
            (a, b) if a.is_share() || b.is_share() => {
                a.is_share() == b.is_share() || left.is_rate || right.is_rate
            }
            _ => true,
        };
        same_scale && alike
    }
}

fn sign_fits(value: f64, wanted: Wanted) -> bool {
    match wanted {
        Wanted::Any => true,
        Wanted::Negative => value <= 0.0,
        Wanted::Positive => value >= 0.0,
    }
}

/// Whether two facts stand in one table.
pub(super) fn share_table(evidence: &Evidence<'_>, left: usize, right: usize) -> bool {
    let (left, right) = (&evidence.facts[left], &evidence.facts[right]);
    left.source == right.source
        && matches!(
            (left.place, right.place),
            (Place::Cell { table: a, .. }, Place::Cell { table: b, .. }) if a == b
        )
}

/// Whether a fact is of a time that the statement names.
pub(super) fn is_named(evidence: &Evidence<'_>, context: &Context, fact: usize) -> bool {
    fit_any(&context.named, &evidence.facts[fact].periods) == Fit::Fits
}
