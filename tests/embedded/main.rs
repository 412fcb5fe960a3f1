//! The whole program from outside, embedded: started as a process, used over HTTP and
//! WebSocket, killed and started again.

mod answers;
#[cfg(feature = "failpoints")]
mod kills;
mod program;
mod resume;
