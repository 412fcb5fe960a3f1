//! Where the servers are, as `make services` has written it.

/// A setting of the servers' environment. A test without its server fails: nothing here
/// is skipped in silence.
pub(crate) fn setting(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: this test needs the real servers; `make test` starts them, or \
             `make services` and then `set -a; . .dev/env; set +a`"
        ),
    }
}
