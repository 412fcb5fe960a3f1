//! What may be forgotten at any time: a file per technology.

pub mod memory;
pub mod redis;
