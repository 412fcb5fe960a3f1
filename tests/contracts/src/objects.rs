//! The contract of the port `objects`.
