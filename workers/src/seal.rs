//! Entries of the audit log become links of their workspace's chain, behind those who write
//! them: an acceptance waits for no chain.

use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::context::Context;

/// How often it is looked for entries.
const EVERY: Duration = Duration::from_secs(5);
/// Workspaces that one look is about; the next look goes on after them.
const WORKSPACES: u32 = 200;
/// Entries that one transaction seals.
const AT_ONCE: u32 = 1_000;
/// Transactions for one workspace in one look.
const ROUNDS: u32 = 20;

/// Seals what is old enough until `stop`. Any number of processes may do so.
pub async fn run_sealing(context: Context, stop: CancellationToken) {
    let mut after = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.clock.sleep(EVERY) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            next = look(&context, after) => after = next,
        }
    }
}

/// Looks at some workspaces. Returns after which one to go on; none at the end.
async fn look(context: &Context, after: Option<WorkspaceId>) -> Option<WorkspaceId> {
    let old = TimeDelta::from_std(context.settings.seal_audit_after).unwrap_or(TimeDelta::MAX);
    let before = context.clock.now().checked_sub_signed(old)?;
    let workspaces = match context.store.workspaces_after(after, WORKSPACES).await {
        Ok(workspaces) => workspaces,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "could not list workspaces");
            return after;
        }
    };
    for workspace in &workspaces {
        seal(context, *workspace, before).await;
    }
    workspaces.last().copied().filter(|_| workspaces.len() == WORKSPACES as usize)
}

async fn seal(context: &Context, workspace: WorkspaceId, before: Time) {
    for _ in 0..ROUNDS {
        match context.store.seal_audit(workspace, before, AT_ONCE).await {
            Ok(sealed) => {
                quaestor_core::metrics::AUDIT_SEALED.of([]).increment(sealed);
                if sealed < u64::from(AT_ONCE) {
                    return;
                }
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "could not seal the audit log of workspace {workspace}; `quaestor audit \
                     verify` tells whether its chain is whole"
                );
                return;
            }
        }
    }
}
