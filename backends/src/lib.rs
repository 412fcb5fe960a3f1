//! How the ports are kept: a folder per port, a file per technology.

pub mod models;
pub mod store;
