//! The backends of the distributed mode keep the contracts of their ports, on real
//! servers. `make test` starts them; `make services` does so alone.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

mod moving;
mod pg_search;
mod places;
mod postgres;
mod rabbitmq;
mod redis;
mod s3;
