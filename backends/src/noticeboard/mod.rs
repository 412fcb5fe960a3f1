//! What processes tell of themselves: a file per technology.

pub mod memory;
pub mod redis;
