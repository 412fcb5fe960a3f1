//! What an API key looks like, and how the one that is presented is compared.
//!
//! A key of ours is `qs_<12 characters of base32>_<43 characters of base64url>`: the
//! first part finds its row, the second is 256 bits that nobody can guess. A token that
//! an operator chose gets a first part that follows from its hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::entropy::Entropy;

/// What every key of ours begins with, so that scanners for leaked secrets know it.
const MARK: &str = "qs_";
/// 12 characters of base32 are 60 bits: rows do not collide.
const PREFIX_CHARS: usize = 12;
/// 32 bytes as base64url without padding.
const SECRET_CHARS: usize = 43;
/// A chosen token below this can be guessed.
pub const MIN_TOKEN_CHARS: usize = 16;
/// Longer ones are no keys: nothing hashes megabytes for a stranger.
pub const MAX_TOKEN_CHARS: usize = 512;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A key that was just made. The token is shown once and never stored.
pub struct GeneratedKey {
    /// The whole key.
    pub token: SecretString,
    /// The public part that finds its row.
    pub prefix: String,
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedKey").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A key as a client presents it: what finds its row, and what is compared.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedKey {
    /// The public part that finds the row.
    pub prefix: String,
    /// SHA-256 of the whole token.
    pub sha256: [u8; 32],
}

impl fmt::Debug for PresentedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl PresentedKey {
    /// Whether this is the key whose hash is stored. Takes as long for a wrong key as
    /// for the right one.
    #[must_use]
    pub fn matches(&self, stored_sha256: &[u8; 32]) -> bool {
        self.sha256.ct_eq(stored_sha256).into()
    }
}

/// Makes a key.
pub fn generate(entropy: &dyn Entropy) -> GeneratedKey {
    let mut public = [0_u8; PREFIX_CHARS];
    let mut secret = [0_u8; 32];
    entropy.fill(&mut public);
    entropy.fill(&mut secret);
    let prefix = base32(&public);
    let token = format!("{MARK}{prefix}_{}", URL_SAFE_NO_PAD.encode(secret));
    let sha256 = sha256(&token);
    GeneratedKey { token: SecretString::from(token), prefix, sha256 }
}

/// What a token says about its row. None for one that can be no key: too short, too
/// long, or with characters that no header carries.
#[must_use]
pub fn parse(token: &str) -> Option<PresentedKey> {
    let plausible = (MIN_TOKEN_CHARS..=MAX_TOKEN_CHARS).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !plausible {
        return None;
    }
    let sha256 = sha256(token);
    let prefix = match own_prefix(token) {
        Some(prefix) => prefix.to_owned(),
        None => derived_prefix(&sha256),
    };
    Some(PresentedKey { prefix, sha256 })
}

/// The public part of a key of ours.
fn own_prefix(token: &str) -> Option<&str> {
    let (prefix, secret) = token.strip_prefix(MARK)?.split_once('_')?;
    let ours = prefix.len() == PREFIX_CHARS
        && prefix.bytes().all(|byte| BASE32.contains(&byte))
        && secret.len() == SECRET_CHARS
        && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    ours.then_some(prefix)
}

/// The public part of a chosen token. It comes from a second hash, so that the stored
/// row tells nothing about the token that its own hash would not tell.
fn derived_prefix(token_sha256: &[u8; 32]) -> String {
    let digest =
        Sha256::new().chain_update(b"quaestor.key.prefix.v1").chain_update(token_sha256).finalize();
    base32(&digest[..PREFIX_CHARS])
}

fn base32(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(BASE32[usize::from(byte & 31)])).collect()
}

fn sha256(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn a_generated_key_is_found_and_matched_by_its_token() {
        let key = generate(&SeededEntropy::new(1));
        let token = key.token.expose_secret();
        assert_eq!(token.len(), MARK.len() + PREFIX_CHARS + 1 + SECRET_CHARS);
        let presented = parse(token).unwrap();
        assert_eq!(presented.prefix, key.prefix);
        assert!(presented.matches(&key.sha256));
    }

    #[test]
    fn a_changed_character_does_not_match() {
        let key = generate(&SeededEntropy::new(2));
        let mut token = key.token.expose_secret().to_owned();
        let last = token.pop().unwrap();
        token.push(if last == 'A' { 'B' } else { 'A' });
        let presented = parse(&token).unwrap();
        assert_eq!(presented.prefix, key.prefix);
        assert!(!presented.matches(&key.sha256));
    }

    #[test]
    fn a_chosen_token_has_a_prefix_of_its_own_each_time_the_same() {
        let presented = parse("correct-horse-battery").unwrap();
        assert_eq!(presented.prefix.len(), PREFIX_CHARS);
        assert_eq!(presented, parse("correct-horse-battery").unwrap());
        assert_ne!(presented.prefix, parse("correct-horse-batterz").unwrap().prefix);
    }

    #[test]
    fn what_can_be_no_key_is_refused() {
        for token in ["", "short", "with a space in its middle", "nul\0nul\0nul\0nul\0"] {
            assert!(parse(token).is_none(), "{token:?}");
        }
        assert!(parse(&"x".repeat(MAX_TOKEN_CHARS + 1)).is_none());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let key = generate(&SeededEntropy::new(3));
        let token = key.token.expose_secret().to_owned();
        let secret = token.rsplit_once('_').map_or(token.as_str(), |(_, secret)| secret);
        assert!(!format!("{key:?}").contains(secret));
        assert!(!format!("{:?}", parse(&token)).contains("sha256"));
    }
}
