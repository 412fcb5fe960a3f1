//! Models that write answers and make vectors.

pub mod offline;
