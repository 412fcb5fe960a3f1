//! The contract of the port `embedder`.
