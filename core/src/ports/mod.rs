//! The ports: what the program needs of the world, as traits that backends keep.
//!
//! Every port has one contract suite (`tests/contracts`) that each backend runs.

pub mod bundles;
pub mod cache;
pub mod chat_model;
pub mod embedder;
pub mod event_log;
pub mod limits;
pub mod model_call;
pub mod model_error;
pub mod noticeboard;
pub mod objects;
pub mod provider_limits;
pub mod queue;
pub mod reranker;
pub mod store;
pub mod tickets;
