//! The contract of the port `event_log`.
