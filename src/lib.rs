//! The program's parts: its configuration, its command line and its demonstration.

pub mod cli;
pub mod config;
pub mod demo;
