//! How is a secret shown? Not at all: only whether there is one.

use secrecy::SecretString;
use serde::Serializer;

/// What stands in the place of a secret wherever configuration is printed.
pub const HIDDEN: &str = "(hidden)";

/// Serializes a secret as [`HIDDEN`], so that no printed configuration can hold it.
pub(super) fn hidden<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some(HIDDEN),
        None => serializer.serialize_none(),
    }
}
