//! One file per step. Each is found by the step's name.

pub(crate) mod embed;
pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod ingest;
mod reading;
pub(crate) mod reindex;
pub(crate) mod retrieve;
mod taken_up;
