//! The contract of the port `tickets`.
