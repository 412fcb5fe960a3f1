//! What every backend of a port must do: one suite per port, run against each backend.
//!
//! A backend's test names the suite and how to make an instance; every case of the
//! suite becomes a test of its own. A bug found in one backend becomes a case here.

#![expect(clippy::unwrap_used, reason = "these are tests, though not compiled as such")]

use quaestor_core::ids::{CallId, WorkspaceId};
use quaestor_core::ports::model_call::CallScope;
use uuid::Uuid;

pub mod bundles;
pub mod cache;
pub mod chat_model;
pub mod embedder;
pub mod event_log;
pub mod limits;
pub mod noticeboard;
pub mod objects;
pub mod provider_limits;
pub mod queue;
pub mod reranker;
pub mod store;
pub mod tickets;

/// The scope of a call that nobody waits for, in a workspace of its own.
#[must_use]
pub fn call_scope() -> CallScope {
    CallScope::of(WorkspaceId(Uuid::from_u128(1)), None)
}

/// A name for a request that nobody looks for.
#[must_use]
pub fn call_id() -> CallId {
    CallId(Uuid::from_u128(2))
}

/// Makes a test of each case of a suite, in a module of the suite's name. Where what a
/// backend stands on is dear, `in_one $shared` makes that once, for one test of all cases.
#[macro_export]
macro_rules! contract_cases {
    ($suite:ident, {in_one $shared:expr, $factory:expr}, [$($case:ident),* $(,)?]) => {
        mod $suite {
            use super::*;
            #[tokio::test]
            async fn every_case() {
                let shared = $shared().await;
                $(
                    let backend = $factory(&shared).await;
                    $crate::$suite::$case(&backend).await;
                )*
            }
        }
    };
    ($suite:ident, {$factory:expr}, [$($case:ident),* $(,)?]) => {
        mod $suite {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    let backend = $factory().await;
                    $crate::$suite::$case(&backend).await;
                }
            )*
        }
    };
}
