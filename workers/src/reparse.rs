//! Documents that an older parser has read are read again by themselves, where that is
//! configured: some of each collection at a time, as files of a batch that anybody may pause.
//!
//! Every process that works looks; of two that look at once one queues, and the other finds
//! that they are being read. A file that the parsers of now could not read is not tried again.

use std::time::Duration;

use quaestor_core::ids::{BatchId, PrincipalId, WorkspaceId};
use quaestor_core::jobs::{JobKind, NewJob, Step};
use quaestor_core::model::{Collection, Cursor, PageRequest};
use quaestor_core::ports::store::{NewReparse, ReadAgain, StoreError};
use quaestor_documents::parsers;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::context::Context;

/// How soon a process looks after its start, and again while documents are being read.
const SOON: Duration = Duration::from_secs(10);
/// How soon it looks again where there was nothing to read.
const LATER: Duration = Duration::from_mins(10);
/// Documents of a collection that are queued at once. No more are, as long as one of them
/// waits: whoever uploads files does not stand behind all that were ever uploaded.
const AT_ONCE: usize = 200;
/// Workspaces and collections of one page.
const PAGE: u32 = 100;

/// Queues what is to be read again, until `stop`. Does nothing where that is not configured.
pub async fn run_reparse(context: Context, stop: CancellationToken) {
    if !context.settings.reparse_after_upgrade {
        return;
    }
    let looking = async {
        let mut wait = SOON;
        loop {
            context.clock.sleep(wait).await;
            wait = match look(&context).await {
                Ok(false) => LATER,
                Ok(true) => SOON,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "documents to read again were not looked for");
                    SOON
                }
            };
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = looking => {}
    }
}

/// Whether there is more to be read.
async fn look(context: &Context) -> Result<bool, StoreError> {
    let parsers = parsers();
    let (mut after, mut busy) = (None, false);
    loop {
        let workspaces = context.store.workspaces_after(after, PAGE).await?;
        let Some(last) = workspaces.last().copied() else { return Ok(busy) };
        for workspace in workspaces {
            let mut page = PageRequest { after: None, limit: PAGE };
            loop {
                let found = context.store.list_collections(workspace, page).await?;
                for collection in &found.items {
                    busy |= queue(context, workspace, collection, &parsers).await?;
                }
                match found.next {
                    Some(Cursor(next)) => page.after = Some(Cursor(next)),
                    None => break,
                }
            }
        }
        after = Some(last);
    }
}

/// Queues some of a collection, where none of it is being read. Whether there is more to be read.
async fn queue(
    context: &Context,
    workspace: WorkspaceId,
    collection: &Collection,
    parsers: &[String],
) -> Result<bool, StoreError> {
    let (store, which) = (&context.store, ReadAgain::NotYetTried(parsers));
    let Some(found) = store.to_read_again(workspace, collection.id, which).await? else {
        return Ok(false);
    };
    if found.stale == 0 || found.being_read > 0 {
        return Ok(found.stale > 0);
    }
    let (batch_id, now): (BatchId, _) = (context.ids.next(), context.clock.now());
    let job = |_| NewJob {
        id: context.ids.next(),
        kind: JobKind::Documents,
        step: Step::DocumentsIngest,
        // Whoever has uploaded the file, wherever that is known.
        principal_id: PrincipalId(Uuid::nil()),
        payload: Value::Null,
        batch_id: Some(batch_id),
        outbox_id: context.ids.next(),
        created_at: now,
        held_until: None,
        deadline: None,
        traceparent: None,
    };
    let reparse = NewReparse {
        collection_id: collection.id,
        which,
        batch_id,
        principal_id: None,
        name: format!("read again: {}", collection.name),
        jobs: (0..AT_ONCE).map(job).collect(),
        audit: None,
    };
    if let Some(documents @ 1..) = store.begin_reparse(workspace, reparse).await? {
        info!(
            collection.id = %collection.id,
            documents,
            "{documents} documents that an older parser has read are read again"
        );
        context.wake.notify();
    }
    Ok(true)
}
