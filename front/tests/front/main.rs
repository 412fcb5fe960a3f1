//! What the front promises, tried over the backends of one process.

mod answers;
mod auth;
mod isolation;
mod malformed;
mod replays;
mod sockets;
mod uploads;
mod watching;
mod world;
