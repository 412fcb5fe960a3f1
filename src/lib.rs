//! The program's parts: its configuration, its command line and its demonstration.

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
