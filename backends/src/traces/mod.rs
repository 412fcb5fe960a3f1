//! Traces, and where they are sent.

pub mod otlp;
