//! Stored files: a file per technology.

pub mod local;
