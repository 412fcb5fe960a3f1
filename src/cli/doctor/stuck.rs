//! Work that stands still, as the server tells it to administrators.

use quaestor_core::clock::Time;
use quaestor_core::model::Page;
use serde::Deserialize;

use super::{Finding, fail, ok, warn};
use crate::cli::{Client, ClientError};

/// One sort of work that stands still.
#[derive(Debug, Deserialize)]
struct Stuck {
    code: String,
    #[serde(default)]
    oldest_at: Option<Time>,
    detail: String,
    mend: String,
}

/// What stands still, each with what mends it.
pub(super) async fn look(client: &Client) -> Vec<Finding> {
    let found: Result<Page<Stuck>, ClientError> =
        client.get("/api/admin/stuck", "what stands still").await;
    let items = match found {
        Ok(page) => page.items,
        // Not every key may ask, and servers of earlier versions do not tell.
        Err(ClientError::Refused { status: 403 | 404, .. } | ClientError::NotFound { .. }) => {
            return vec![warn("work", "only an administrator's key is told what stands still")];
        }
        Err(error) => return vec![fail("work", error.to_string())],
    };
    if items.is_empty() {
        return vec![ok("work", "nothing stands still, and there are no dead letters")];
    }
    items.iter().map(finding).collect()
}

fn finding(stuck: &Stuck) -> Finding {
    let since = stuck.oldest_at.map(|at| format!(", since {}", at.format("%Y-%m-%d %H:%M:%S UTC")));
    let told = format!("{}{}: {}", stuck.detail, since.unwrap_or_default(), stuck.mend);
    let subject = match stuck.code.as_str() {
        "dead_letters" | "dead_queue" => "dead letters",
        _ => "work",
    };
    warn(subject, told)
}
