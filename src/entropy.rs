//! Randomness from the operating system.

use quaestor_core::entropy::Entropy;

/// The operating system's source, fit for secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // Without randomness no key and no id is safe: there is nothing to go on with.
        getrandom::fill(buffer).expect("the operating system has a source of randomness");
    }
}
