//! What every backend of a port must do: one suite per port, run against each backend.
//!
//! A backend's test names the suite and how to make an instance; every case of the
//! suite becomes a test of its own. A bug found in one backend becomes a case here.

pub mod chat_model;
pub mod embedder;
pub mod event_log;
pub mod limits;
pub mod objects;
pub mod queue;
pub mod store;
pub mod tickets;
