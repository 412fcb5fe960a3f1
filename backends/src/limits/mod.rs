//! Rate limits: a file per technology.

pub mod memory;
