//! How the ports are kept: a folder per port, a file per technology.

pub mod bundles;
pub mod cache;
pub mod entropy;
pub mod event_log;
pub mod limits;
pub mod models;
pub mod noticeboard;
pub mod objects;
pub mod queue;
pub mod redis;
pub mod store;
pub mod tickets;
mod tls;
pub mod traces;
