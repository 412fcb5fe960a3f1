//! One-time tickets: a file per technology.

pub mod memory;
pub mod redis;
