//! backends

pub mod store;
