//! One-time tickets: a file per technology.

pub mod memory;
