//! Stored files: a file per technology.

pub mod local;
pub mod s3;
pub mod timed;
