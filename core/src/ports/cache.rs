//! The port to what may be forgotten at any time.

use std::time::Duration;

use async_trait::async_trait;

/// Keeps values for a while, so that work need not be done twice. It may forget any of them
/// earlier, and it never fails: a value that cannot be read is not there. Keys name the
/// workspace.
#[async_trait]
pub trait Cache: Send + Sync + std::fmt::Debug {
    /// The value, if it is still there.
    async fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Keeps a value in the place of an older one. One of more than 256 KiB is not kept.
    async fn put(&self, key: &str, value: Vec<u8>, keep: Duration);
}

/// The longest value that is kept, in bytes.
pub const LONGEST_VALUE: usize = 256 * 1024;
