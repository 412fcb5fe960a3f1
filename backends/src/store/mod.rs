//! Where rows, full text and vectors are kept: one folder per technology, and `sql` for
//! what is said to both in the same words.
//!
//! The files in `sql` are compiled twice, each time under a module named `dialect` that
//! says what a connection, a row and a lock are. So a statement and the reading of its
//! rows are written once, and checked against both databases by type.

#[expect(clippy::duplicate_mod, reason = "what is shared is compiled for each database")]
pub mod postgres;
#[expect(clippy::duplicate_mod, reason = "what is shared is compiled for each database")]
pub mod sqlite;
