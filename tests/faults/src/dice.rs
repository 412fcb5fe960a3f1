//! Chance that can be repeated: everything random in a run comes from its seed.

/// A source of numbers. SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose
/// faults by.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Another source for a part of the run, so that parts do not depend on each other's pace.
    #[must_use]
    pub fn part(&self, number: u64) -> Self {
        let mut part = Self(self.0 ^ number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        part.next();
        part
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to below `high`, which is greater.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }

    /// One of these; none of none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let number = self.between(0, of.len().max(1) as u64);
        of.get(usize::try_from(number).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_run_again() {
        let (mut one, mut other) = (Dice::of(7), Dice::of(7));
        let drawn: Vec<u64> = (0..100).map(|_| one.between(0, 10)).collect();
        assert_eq!(drawn, (0..100).map(|_| other.between(0, 10)).collect::<Vec<_>>());
        assert!((0..10).all(|number| drawn.contains(&number)), "{drawn:?}");
        assert_ne!(Dice::of(7).part(1).next(), Dice::of(7).part(2).next());
    }
}
