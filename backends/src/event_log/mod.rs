//! The events of running jobs: a file per technology.

mod job_log;
pub mod memory;
pub mod redis;
