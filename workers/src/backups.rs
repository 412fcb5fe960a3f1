//! Backups by schedule. Every worker looks whether one is due; the store gives the turn to
//! one of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::backup::{About, BackupError, Saved, Source, back_up};
use quaestor_core::clock::{Clock, Time};
use quaestor_core::ids::{IdSource, PrincipalId, WorkspaceId};
use quaestor_core::ports::bundles::{BundleName, Bundles, Seal};
use quaestor_core::ports::objects::{ObjectError, Objects};
use quaestor_core::ports::store::{
    BackupClaim, BackupEnd, BackupRun, BackupState, NewAuditEntry, Store, StoreError,
};
use quaestor_core::transfer::Tell;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::context::Context;

/// How often is looked whether one is due.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long a backup counts as being made without a word from whoever makes it.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How often it says so.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// How often one slot is tried.
const TRIES: u32 = 5;
/// How long after a failure it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10 * 60);
/// An upload of a bundle that is older was left by a process that died.
const UNFINISHED_AFTER: Duration = Duration::from_secs(48 * 60 * 60);
/// How many backups are looked at for the last one that is kept.
const LOOK_BACK: u32 = 50;

/// Opens a file without a name beside a bundle.
pub type ScratchFile = dyn Fn(&str) -> std::io::Result<tokio::fs::File> + Send + Sync;

/// What backups are made by.
#[derive(Clone)]
pub struct BackupPlan {
    /// Where bundles are kept.
    pub bundles: Arc<dyn Bundles>,
    /// What seals them.
    pub seal: Arc<dyn Seal>,
    /// The files.
    pub objects: Arc<dyn Objects>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where the list of files is kept meanwhile.
    pub scratch: Arc<ScratchFile>,
    /// The time from one to the next: a day, an hour.
    pub every: Duration,
    /// How long after midnight (UTC) the first of a day is.
    pub at: Duration,
    /// How long bundles are kept.
    pub keep: Duration,
    /// How long one may take.
    pub at_most: Duration,
    /// The version of this program.
    pub product: String,
    /// The store's name.
    pub store: String,
}

impl fmt::Debug for BackupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupPlan").field("bundles", &self.bundles).finish_non_exhaustive()
    }
}

/// The last moment of a schedule that has come.
fn slot(now: Time, every: Duration, at: Duration) -> Time {
    let (every, at) = (seconds(every).max(1), seconds(at));
    let since = now.timestamp() - at;
    Time::from_timestamp(since - since.rem_euclid(every) + at, 0).unwrap_or(now)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// A bundle that was made.
#[derive(Clone, Debug)]
pub struct MadeBackup {
    /// Its name.
    pub name: BundleName,
    /// What it is.
    pub saved: Saved,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum NoBackup {
    /// There is nothing to back up.
    #[error("there is no installation to back up yet")]
    Nothing,
    /// Somebody else makes it.
    #[error("another process makes this backup")]
    Taken,
    /// It was begun and did not end.
    #[error(transparent)]
    Failed(#[from] BackupError),
    /// The store could not be read or written.
    #[error("could not write down the backup")]
    Store(#[from] StoreError),
    /// No file could be opened beside it.
    #[error("could not open a file in the scratch folder")]
    Scratch(#[source] std::io::Error),
}

/// Makes backups when they are due, until `stop`. One that is under way then is broken off
/// and taken up by another process, or at the next start.
pub async fn run_backups(context: Context, plan: BackupPlan, stop: CancellationToken) {
    let work = async {
        loop {
            let slot = slot(context.clock.now(), plan.every, plan.at);
            let kept = last_kept(&*context.store).await;
            // Without a write, mostly: nothing is due.
            if kept.is_none_or(|kept| kept.slot != Some(slot)) {
                look(&context, &plan, slot).await;
            }
            context.clock.sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn look(context: &Context, plan: &BackupPlan, slot: Time) {
    let store = &*context.store;
    match make_backup(store, &context.ids, plan, Some(slot), RETRY_AFTER, &|_| {}).await {
        Ok(made) => {
            let files = &made.saved.trailer.files;
            let (name, size) = (&made.name, made.saved.size_bytes);
            info!(backup.name = %name, size_bytes = size, "kept the backup {name}");
            for damaged in &made.saved.damaged {
                warn!("{damaged}; the backup is without it");
            }
            if files.damaged > 0 {
                error!("{} files are missing in the backup {name}", files.damaged);
            }
            last_kept(store).await;
            tidy(plan, name).await;
        }
        Err(NoBackup::Nothing | NoBackup::Taken) => {}
        Err(error) => {
            quaestor_core::metrics::BACKUP_FAILURES.of([]).increment(1);
            let error: &dyn std::error::Error = &error;
            error!(error, "no backup could be made; it is tried again");
        }
    }
}

/// Makes a backup for a slot of the schedule, or one that somebody asked for, and writes
/// down how it ended.
///
/// # Errors
/// Where there is nothing to back up, somebody else makes it, or anything fails.
pub async fn make_backup(
    store: &dyn Store,
    ids: &IdSource,
    plan: &BackupPlan,
    slot: Option<Time>,
    retry_after: Duration,
    tell: Tell<'_>,
) -> Result<MadeBackup, NoBackup> {
    let clock = &*plan.clock;
    let installation = store.first_workspace().await?.ok_or(NoBackup::Nothing)?;
    let began_at = clock.now();
    let id: Uuid = ids.next();
    let claim = BackupClaim {
        id,
        slot,
        place: plan.bundles.place(),
        lease_until: began_at + LEASE,
        tries: TRIES,
    };
    if !store.claim_backup(claim, began_at).await? {
        return Err(NoBackup::Taken);
    }
    let name = BundleName::new(installation, began_at, id);
    let made = tokio::select! {
        made = make(store, plan, &name, tell) => made,
        // Somebody has taken it over, since this process was held up for too long.
        () = renew(store, clock, id) => return Err(NoBackup::Taken),
    };
    let now = clock.now();
    match made {
        Ok(saved) => {
            let trailer = &saved.trailer;
            let end = BackupEnd::Done {
                name: name.to_string(),
                size_bytes: saved.size_bytes,
                records: trailer.tables.iter().map(|table| table.records).sum(),
                files: trailer.files.files,
                damaged: trailer.files.damaged,
            };
            store.end_backup(id, end, now).await?;
            audit(store, ids, installation, &name, now).await?;
            Ok(MadeBackup { name, saved })
        }
        Err(error) => {
            let end =
                BackupEnd::Failed { error: chain(&error), retry_at: now + delta(retry_after) };
            if let Err(error) = store.end_backup(id, end, now).await {
                warn!(error = &error as &dyn std::error::Error, "could not write down a backup");
            }
            Err(error)
        }
    }
}

async fn make(
    store: &dyn Store,
    plan: &BackupPlan,
    name: &BundleName,
    tell: Tell<'_>,
) -> Result<Saved, NoBackup> {
    let scratch = (plan.scratch)(&format!("{name}.files")).map_err(NoBackup::Scratch)?;
    let source = Source { store, objects: &*plan.objects, clock: &*plan.clock };
    let about = About {
        name: name.clone(),
        product: plan.product.clone(),
        store: plan.store.clone(),
        at_most: plan.at_most,
    };
    let saved =
        back_up(&source, &*plan.bundles, &*plan.seal, &about, Box::new(scratch), tell).await?;
    Ok(saved)
}

/// Says that the backup is being made, for as long as it is.
async fn renew(store: &dyn Store, clock: &dyn Clock, id: Uuid) {
    loop {
        clock.sleep(RENEW_EVERY).await;
        match store.renew_backup(id, clock.now() + LEASE).await {
            Ok(true) => {}
            Ok(false) => return,
            // The lease holds for some more rounds.
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not renew a backup");
            }
        }
    }
}

async fn audit(
    store: &dyn Store,
    ids: &IdSource,
    installation: WorkspaceId,
    name: &BundleName,
    at: Time,
) -> Result<(), StoreError> {
    let entry = NewAuditEntry {
        id: ids.next(),
        // Of nobody who has a key: of the schedule, or of whoever runs the program.
        principal_id: PrincipalId(Uuid::nil()),
        action: "backup.create",
        subject: name.to_string(),
        at,
    };
    store.record_audit(installation, entry).await
}

/// Removes this installation's bundles that are older than they are kept. The newest one,
/// which was just made, stays whatever the time.
async fn tidy(plan: &BackupPlan, newest: &BundleName) {
    let now = plan.clock.now();
    let before = now.checked_sub_signed(delta(plan.keep)).unwrap_or(Time::MIN_UTC);
    let warned = |error: ObjectError| {
        warn!(error = &error as &dyn std::error::Error, "could not remove old backups");
    };
    // Apart from the rest: not every storage lists what was never finished.
    if let Err(error) = plan.bundles.tidy(UNFINISHED_AFTER, now).await {
        warned(error);
    }
    let work = async {
        for bundle in plan.bundles.list().await? {
            let own = bundle.name.installation == newest.installation;
            if own && bundle.name != *newest && bundle.name.at < before {
                plan.bundles.delete(&bundle.name).await?;
                info!(backup.name = %bundle.name, "removed the backup {}", bundle.name);
            }
        }
        Ok::<_, ObjectError>(())
    };
    if let Err(error) = work.await {
        warned(error);
    }
}

/// The last backup that is kept, by schedule where there is one. Every worker tells of the
/// last of all in its metrics, whoever has made it.
async fn last_kept(store: &dyn Store) -> Option<BackupRun> {
    let runs = match store.last_backups(LOOK_BACK).await {
        Ok(runs) => runs,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "could not read the backups");
            return None;
        }
    };
    let mut kept = runs.into_iter().filter(|run| run.state == BackupState::Done);
    let last = kept.next()?;
    let ended = last.ended_at.unwrap_or(last.began_at);
    let took = (ended - last.began_at).as_seconds_f64();
    quaestor_core::metrics::BACKUP_LAST_SUCCESS.of([]).set(last.began_at.timestamp() as f64);
    quaestor_core::metrics::BACKUP_LAST_SIZE.of([]).set(last.size_bytes as f64);
    quaestor_core::metrics::BACKUP_LAST_DURATION.of([]).set(took);
    quaestor_core::metrics::BACKUP_LAST_DAMAGED.of([]).set(last.damaged as f64);
    if last.slot.is_some() {
        Some(last)
    } else {
        kept.find(|run| run.slot.is_some()).or(Some(last))
    }
}

/// An error and its causes, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_last_moment_of_the_schedule() {
        let moment = |text: &str| text.parse::<Time>().unwrap();
        let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
        for (now, every, at, wanted) in [
            ("2026-11-21T02:59:59Z", day, 3 * hour, "2026-11-20T03:00:00Z"),
            ("2026-11-21T03:00:00Z", day, 3 * hour, "2026-11-21T03:00:00Z"),
            ("2026-11-21T23:59:59.9Z", day, 3 * hour, "2026-11-21T03:00:00Z"),
            ("2026-01-01T00:00:00Z", day, Duration::ZERO, "2026-01-01T00:00:00Z"),
            ("2026-11-21T12:29:59Z", hour, hour / 2, "2026-11-21T11:30:00Z"),
            ("2026-11-21T12:30:00Z", hour, 3 * hour + hour / 2, "2026-11-21T12:30:00Z"),
            ("2026-11-21T01:10:00Z", hour, 3 * hour, "2026-11-21T01:00:00Z"),
        ] {
            assert_eq!(slot(moment(now), every, at), moment(wanted), "{now}");
        }
    }
}
