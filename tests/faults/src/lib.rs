//! The fault bench: starts the real system (fronts, workers, servers, a scripted model), has
//! clients of several workspaces ask and upload, lets one fault happen, heals it, and checks
//! that nothing was lost, doubled, mixed up or left behind.
//!
//! `RELIABILITY.md` says which promise which fault tests, and what was measured.

pub mod bench;
pub mod beside;
pub mod check;
pub mod client;
pub mod dice;
pub mod evidence;
pub mod faults;
pub mod fleet;
pub mod ledger;
pub mod place;
pub mod process;
pub mod proxy;
pub mod report;
pub mod servers;
pub mod workload;
