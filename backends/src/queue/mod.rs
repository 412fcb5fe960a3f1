//! What carries steps of jobs: a file per technology.

pub mod memory;
pub mod rabbitmq;
