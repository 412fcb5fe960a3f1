//! How long to wait before trying again.

use std::time::Duration;

use quaestor_core::entropy::Entropy;

/// The first pause, before jitter.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause, before jitter.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, each between a half and the whole of its step: processes that lost
/// the broker together do not come back together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next pause.
    pub(super) fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let step = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let mut bytes = [0; 4];
        entropy.fill(&mut bytes);
        let share = f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX);
        step.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let entropy = SeededEntropy::new(1);
        let mut backoff = Backoff::default();
        for step in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let step = Duration::from_millis(step);
            let pause = backoff.next(&entropy);
            assert!(pause >= step / 2 && pause <= step, "{pause:?} of {step:?}");
        }
        let mut other = Backoff::default();
        assert_ne!(other.next(&entropy), Backoff::default().next(&entropy));
    }
}
