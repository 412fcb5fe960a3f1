//! Rate limits: a file per technology.

pub mod memory;
pub mod redis;
