//! backends

pub mod models;
