//! The contract of the port `limits`.
