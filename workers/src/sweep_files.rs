//! The sweep of stored files: those of exports whose time is over are removed and those that
//! no row names, and rows whose file is gone are told of.
//!
//! A file is stored before the row that names it, and removed after it. So one without a row
//! is either young, or was left by a process that died in between.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::failpoint;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::objects::{ObjectError, ObjectKey};
use quaestor_core::ports::store::{Cursor, Most, Record, StoreError, Table};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;
use crate::sweep::told;

/// How often a piece of the files is looked at.
const EVERY: Duration = Duration::from_secs(60);
/// How many files are looked at each time.
const FILES: u32 = 1_000;
/// How many versions of documents are looked at each time: each asks the storage once.
const VERSIONS: Most = Most { records: 100, bytes: 1 << 20 };
/// How many workspaces are listed at once.
const WORKSPACES: u32 = 100;
/// After all was looked at, how long until it begins anew.
const ROUND_EVERY: TimeDelta = TimeDelta::hours(1);
/// Of each round so many missing files are named in the log; all are counted.
const NAMED: u64 = 20;

/// Why a piece could not be looked at.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error("could not read the rows")]
    Store(#[from] StoreError),
    #[error("could not read or remove a file")]
    Objects(#[from] ObjectError),
}

/// Looks through the files, a piece at a time, until `stop`.
pub async fn run_file_sweeps(context: Context, stop: CancellationToken) {
    let work = async {
        let mut unnamed = Round::default();
        let mut missing = Missing::default();
        loop {
            expire_exports(&context).await;
            if unnamed.is_due(&context) {
                let after = unnamed.at.clone();
                let swept = sweep_unnamed(&context, after.as_ref()).await;
                let next = match swept {
                    Ok((removed, next)) => {
                        let removed = told::<SweepError>(&context, "unnamed_files", Ok(removed));
                        if removed > 0 {
                            info!(removed, "removed {removed} files that no row named");
                        }
                        next
                    }
                    Err(error) => {
                        told(&context, "unnamed_files", Err(error));
                        after
                    }
                };
                unnamed.goes_on(&context, next);
            }
            if missing.round.is_due(&context) {
                missing.look(&context).await;
            }
            context.clock.sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Removes files of exports whose time is over. Their rows let go of them first: a file that
/// cannot be removed now is one that no row names.
async fn expire_exports(context: &Context) {
    let work = async {
        let over = context.store.expire_exports(context.clock.now(), FILES).await?;
        for (_, key) in &over {
            context.objects.delete(&ObjectKey::parse(key)?).await?;
        }
        Ok(over.len() as u64)
    };
    told::<SweepError>(context, "expired_exports", work.await);
}

/// How far a round is.
#[derive(Debug)]
struct Round<C> {
    at: Option<C>,
    due: Option<quaestor_core::clock::Time>,
}

impl<C> Default for Round<C> {
    fn default() -> Self {
        Self { at: None, due: None }
    }
}

impl<C> Round<C> {
    fn is_due(&self, context: &Context) -> bool {
        self.due.is_none_or(|due| context.clock.now() >= due)
    }

    /// The next piece, or the next round.
    fn goes_on(&mut self, context: &Context, next: Option<C>) {
        self.due = match &next {
            Some(_) => None,
            None => Some(context.clock.now() + ROUND_EVERY),
        };
        self.at = next;
    }
}

/// Removes files of a piece that are old and that no row names. Returns how many, and where
/// the next piece begins.
async fn sweep_unnamed(
    context: &Context,
    after: Option<&ObjectKey>,
) -> Result<(u64, Option<ObjectKey>), SweepError> {
    let page = context.objects.list(after, FILES).await?;
    let kept = TimeDelta::from_std(context.settings.unnamed_files_kept).unwrap_or(TimeDelta::MAX);
    let Some(before) = context.clock.now().checked_sub_signed(kept) else {
        return Ok((0, page.next));
    };
    // What is being uploaded has no row yet, and is younger.
    let mut old: BTreeMap<WorkspaceId, Vec<ObjectKey>> = BTreeMap::new();
    for object in page.objects.into_iter().filter(|object| object.stored_at < before) {
        if let Some(workspace) = object.key.workspace() {
            old.entry(workspace).or_default().push(object.key);
        }
    }
    let mut removed = 0;
    for (workspace, keys) in old {
        // Workspaces are never removed. One that is unknown is of another installation that
        // was given the same place, by mistake: its files are not this one's to remove.
        if context.store.count_records(workspace, Table::Workspaces).await? == 0 {
            continue;
        }
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let known = context.store.known_objects(workspace, &names).await?;
        let known: HashSet<String> = known.into_iter().collect();
        for key in keys.iter().filter(|key| !known.contains(key.as_str())) {
            context.objects.delete(key).await?;
            removed += 1;
            failpoint::hit("sweep.after_delete");
        }
    }
    Ok((removed, page.next))
}

/// Where the look for missing files is.
#[derive(Clone, Debug)]
struct Place {
    workspace: WorkspaceId,
    after: Option<Cursor>,
}

/// The look for rows whose file is gone.
#[derive(Debug, Default)]
struct Missing {
    round: Round<Place>,
    /// Found in this round so far.
    found: u64,
}

impl Missing {
    async fn look(&mut self, context: &Context) {
        let place = self.round.at.clone();
        match self.piece(context, place).await {
            Ok(next) => {
                told::<SweepError>(context, "missing_files", Ok(0));
                if next.is_none() {
                    quaestor_core::metrics::MISSING_FILES.of([]).set(self.found as f64);
                    self.found = 0;
                }
                self.round.goes_on(context, next);
            }
            Err(error) => {
                told(context, "missing_files", Err(error));
            }
        }
    }

    /// Looks at some versions of one workspace. Returns where to go on.
    async fn piece(
        &mut self,
        context: &Context,
        place: Option<Place>,
    ) -> Result<Option<Place>, SweepError> {
        let place = match place {
            Some(place) => place,
            None => match next_workspace(context, None).await? {
                Some(workspace) => Place { workspace, after: None },
                None => return Ok(None),
            },
        };
        let workspace = place.workspace;
        let page =
            context.store.read_records(workspace, Table::Versions, place.after, VERSIONS).await?;
        for record in &page.records {
            if is_missing(context, workspace, record).await? {
                self.found += 1;
                if self.found <= NAMED {
                    let document = record.id("document_id").unwrap_or_default();
                    warn!(document.id = %document, "the file of document {document} is gone");
                }
            }
        }
        if let Some(after) = page.next {
            return Ok(Some(Place { workspace, after: Some(after) }));
        }
        let next = next_workspace(context, Some(workspace)).await?;
        Ok(next.map(|workspace| Place { workspace, after: None }))
    }
}

async fn next_workspace(
    context: &Context,
    after: Option<WorkspaceId>,
) -> Result<Option<WorkspaceId>, SweepError> {
    let listed = context.store.workspaces_after(after, WORKSPACES).await?;
    Ok(listed.into_iter().next())
}

/// Whether the file of a version is gone whose document is there.
async fn is_missing(
    context: &Context,
    workspace: WorkspaceId,
    record: &Record,
) -> Result<bool, SweepError> {
    // Nobody misses the file of a document that could not be used.
    if record.text("status") == Some("failed") {
        return Ok(false);
    }
    let key = record.text("object_key").unwrap_or_default();
    let there = match ObjectKey::parse(key) {
        Ok(key) => context.objects.size(&key).await?.is_some(),
        Err(_) => false,
    };
    if there {
        return Ok(false);
    }
    // Deleted since the row was read: then its row is gone too.
    let known = context.store.known_objects(workspace, &[key.to_owned()]).await?;
    Ok(!known.is_empty())
}
