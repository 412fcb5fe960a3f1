//! Do two figures say the same? Digits as far as they are written, scale, sign, unit.

use super::number::{Claim, Number, Sign};
use super::units::{Currency, Unit};

/// How a figure of an answer and one of a document compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Agreement {
    /// Other digits.
    Different,
    /// The same digits on another scale.
    Scale,
    /// The same digits, of something else.
    Unit,
    /// The same digits with another sign.
    Sign,
    /// The same digits; the answer names a scale that the document states nowhere.
    ScaleUnstated,
    /// They say the same.
    Same,
}

/// A figure of a document, with what its place says about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// As it is written.
    pub(super) number: Number,
    /// Whether it is negative; none where it may be either.
    pub(super) negative: Option<bool>,
    /// The power of ten it is multiplied by, where known.
    pub(super) scale: Option<i32>,
    /// Its unit, its own or its label's.
    pub(super) unit: Unit,
    /// The currency of its table, where it has no unit of its own.
    pub(super) currency: Option<Currency>,
    /// Whether its label speaks of a share, a rate or a margin.
    pub(super) is_rate: bool,
    /// Whether its label counts shares.
    pub(super) counts_shares: bool,
}

impl Held {
    /// The number with its sign, before its scale.
    pub(super) fn signed(&self) -> f64 {
        if self.negative == Some(true) { -self.number.value } else { self.number.value }
    }

    /// The number in whole units, where its scale is known.
    pub(super) fn absolute(&self) -> f64 {
        self.signed() * 10_f64.powi(self.scale.unwrap_or(0))
    }
}

/// How a figure of an answer is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed {
    /// As it is written.
    pub(super) number: Number,
    /// Whether it is negative; none where words leave it open ("a decrease of 5").
    pub(super) negative: Option<bool>,
}

/// Whether a number written with its digits says a value: the value rounds to it. With
/// "about" it may also be cut off, and round hundreds may be round; "over" and "under"
/// must be that.
pub(super) fn says(written: &Number, unit: f64, value: f64) -> bool {
    let shown = written.value * unit;
    let step = written.step * unit;
    // What floating point loses, relative to the value.
    let slack = 1e-9 * value.abs().max(shown.abs()).max(1e-9);
    let off = value - shown;
    let one_sided = matches!(written.claim, Claim::Over | Claim::Under);
    if !one_sided && off.abs() <= step / 2.0 + slack {
        return true;
    }
    let coarse = coarse_step(written) * unit;
    match written.claim {
        Claim::Exact => false,
        Claim::About => off.abs() <= step.max((coarse / 2.0).min(shown.abs() * 0.05)) + slack,
        Claim::Over => off >= -slack && off <= step.max(coarse.min(shown.abs() * 0.1)) + slack,
        Claim::Under => off <= slack && -off <= step.max(coarse.min(shown.abs() * 0.1)) + slack,
    }
}

/// The weight of the last digit that is no zero: 10 for `80`.
fn coarse_step(written: &Number) -> f64 {
    let mut step = written.step;
    if written.decimals > 0 || written.value <= 0.0 {
        return step;
    }
    for _ in 0..15 {
        let next = step * 10.0;
        if (written.value / next).fract().abs() > 1e-9 {
            break;
        }
        step = next;
    }
    step
}

/// Compares a figure of an answer with one of a document.
pub(super) fn compare(claimed: &Claimed, held: &Held) -> Agreement {
    let written = &claimed.number;
    let value = held.number.value;
    if value == 0.0 && written.value == 0.0 {
        return Agreement::Same;
    }
    // Digits must agree first, on some scale; everything else is told apart after.
    let on_scale = match (scale_of(written), held.scale) {
        (Some(given), Some(known)) => says(written, 1.0, value * 10_f64.powi(known - given)),
        (None, Some(known)) => {
            copies(written, &held.number) || says(written, 1.0, value * 10_f64.powi(known))
        }
        (None, None) => copies(written, &held.number),
        // A table without a scale may hold whole units.
        (Some(given), None) => says(written, 1.0, value * 10_f64.powi(-given)),
    };
    let unit = unit_agrees(written, held);
    if !on_scale {
        let points = points_agree(written, held);
        if let Some(agrees) = points {
            return if agrees { sign(claimed, held) } else { Agreement::Different };
        }
        let same_digits = (-12..=12).step_by(3).any(|power| {
            says(written, 1.0, value * 10_f64.powi(power)) && precise(written, &held.number)
        });
        if !same_digits {
            return Agreement::Different;
        }
        if !unit {
            return Agreement::Unit;
        }
        return if held.scale.is_none()
            && scale_of(written).is_some()
            && copies(written, &held.number)
        {
            match sign(claimed, held) {
                Agreement::Same => Agreement::ScaleUnstated,
                other => other,
            }
        } else {
            Agreement::Scale
        };
    }
    if !unit { Agreement::Unit } else { sign(claimed, held) }
}

/// The scale of a figure that names one; a share of hundred needs none.
fn scale_of(written: &Number) -> Option<i32> {
    written.scale.or(if written.unit.is_share() || written.unit == Unit::Times {
        Some(0)
    } else {
        None
    })
}

/// Whether the digits are those of the document, or they rounded.
fn copies(written: &Number, held: &Number) -> bool {
    says(written, 1.0, held.value)
}

/// Whether enough digits are written that other scales can be told from other figures.
fn precise(written: &Number, held: &Number) -> bool {
    let digits = |number: &Number| (number.value / number.step).abs().max(1.0).log10();
    digits(written) + 1e-9 >= digits(held).min(2.0)
}

fn sign(claimed: &Claimed, held: &Held) -> Agreement {
    match (claimed.negative, held.negative) {
        (Some(given), Some(known)) if given != known => Agreement::Sign,
        _ => Agreement::Same,
    }
}

/// Percentage points and basis points count the same on two scales.
fn points_agree(written: &Number, held: &Held) -> Option<bool> {
    let factor = match (written.unit, held.unit) {
        (Unit::BasisPoints, Unit::Points) => 100.0,
        (Unit::Points, Unit::BasisPoints) => 0.01,
        _ => return None,
    };
    Some(says(written, 1.0, held.number.value * factor))
}

fn unit_agrees(written: &Number, held: &Held) -> bool {
    let of_table = held.unit == Unit::None;
    match written.unit {
        // A scale word never goes with a share.
        Unit::None => !(held.unit.is_share() && written.scale.is_some()),
        Unit::Percent => held.unit == Unit::Percent || (of_table && held.is_rate),
        Unit::Points | Unit::BasisPoints => {
            matches!(held.unit, Unit::Points | Unit::BasisPoints) || (of_table && held.is_rate)
        }
        Unit::Times => held.unit == Unit::Times || (of_table && !held.number.unit.is_money()),
        Unit::Shares => {
            held.unit == Unit::Shares
                || (of_table && (held.counts_shares || held.currency.is_none()) && !held.is_rate)
        }
        Unit::Money(currency) => match held.unit {
            Unit::Money(known) => currency.may_be(known),
            Unit::None => {
                !held.counts_shares && held.currency.is_none_or(|known| currency.may_be(known))
            }
            _ => false,
        },
    }
}

/// Whether the sign of a figure in a document is told by its brackets or minus.
pub(super) fn sign_in_document(number: &Number, in_table: bool) -> Option<bool> {
    match number.sign {
        Sign::Minus => Some(true),
        Sign::Plain | Sign::Plus => Some(false),
        Sign::Bracketed => in_table.then_some(true),
    }
}
