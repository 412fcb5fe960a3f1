//! Every provider behind HTTP, against a server that misbehaves in known ways and against
//! one that nobody here wrote.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

mod aimock;
mod azure;
mod contracts;
mod errors;
mod limits;
mod providers;
mod requests;
mod streams;
mod vectors;
