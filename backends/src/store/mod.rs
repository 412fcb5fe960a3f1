//! Where rows, full text and vectors are kept: one folder per technology.

pub mod sqlite;
