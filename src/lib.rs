//! The program's parts: its configuration, its command line, its demonstration and its
//! evaluation.

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
mod eval;
mod scratch;
