//! What every part of Quaestor agrees on: its words, its jobs, its events and its ports.
//!
//! Nothing here does I/O. A backend implements a port (`ports`), a handler and the
//! front use it, and neither knows the other: that is the point of this package.

pub mod api_key;
pub mod audit;
pub mod backup;
pub mod boxes;
pub mod budgets;
pub mod bundle;
pub mod clock;
pub mod embedders;
pub mod entropy;

pub mod failpoint;
pub mod ids;

pub mod parsed;

pub mod events;
pub mod jobs;
pub mod metrics;
pub mod model;
pub mod ports;
pub mod problem;
pub mod reading_sum;
pub mod retrieval;
pub mod scaling;
pub mod schedule;
pub mod tokens;
pub mod trace;
pub mod transfer;
pub mod wake;
