//! Named points at which a test may kill the process, compiled in for tests alone.
//!
//! Without the feature `failpoints` [`hit`] is empty: the product holds no trace of it.

/// The process has come to a named point. Under the feature `failpoints` it dies here
/// by SIGKILL where `QUAESTOR_KILL_AT` is `name`, or at the n-th time for `name:n`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_name: &str) {}

/// The process has come to a named point. Under the feature `failpoints` it dies here
/// by SIGKILL where `QUAESTOR_KILL_AT` is `name`, or at the n-th time for `name:n`.
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("QUAESTOR_KILL_AT").ok()?;
        let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
        Some((name.to_owned(), times.parse().unwrap_or(1)))
    });
    let Some((wanted, times)) = wanted else { return };
    if wanted == name && COUNT.fetch_add(1, Ordering::SeqCst) + 1 == *times {
        let killed =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        if killed.is_err() {
            std::process::abort();
        }
    }
}
