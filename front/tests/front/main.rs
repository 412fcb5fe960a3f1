//! What the front promises, tried over the backends of one process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod auth;
mod dead;
mod exports;
mod isolation;
mod malformed;
mod money;
mod replays;
mod sockets;
mod stopping;
mod uploads;
mod watching;
mod world;
