//! The whole program from outside, embedded: started as a process, used over HTTP and
//! WebSocket, killed and started again.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

mod answers;
#[cfg(feature = "failpoints")]
mod kills;
mod program;
mod resume;
