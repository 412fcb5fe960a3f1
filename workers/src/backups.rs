//! Backups, as a schedule has them made and by hand, and what is told of those that were made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use quaestor_core::backup::{About, BackupError, Saved, Source, back_up};
use quaestor_core::clock::{Clock, Time};
use quaestor_core::ids::{IdSource, PrincipalId, WorkspaceId};
use quaestor_core::model::BACKUP;
use quaestor_core::ports::bundles::{BundleName, Bundles, Seal};
use quaestor_core::ports::objects::{ObjectError, Objects};
use quaestor_core::ports::store::{
    BackupClaim, BackupEnd, BackupState, NewAuditEntry, Store, StoreError,
};
use quaestor_core::transfer::Tell;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::context::Context;
use crate::schedules::{Task, TaskError, Work, chain};

/// How often is told which backup is the last.
const TELL_EVERY: Duration = Duration::from_secs(30);
/// How long a backup counts as being made without a word from whoever makes it.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How often it says so.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// How often one moment of the schedule is tried at the most.
const TRIES: u32 = 20;
/// How long after a failure it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(10 * 60);
/// When one is looked at again that somebody else makes.
const TAKEN_AFTER: Duration = Duration::from_secs(60);
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

/// Tells of the last backup in the metrics, until `stop`: every worker, whoever has made it.
pub async fn tell_backups(context: Context, stop: CancellationToken) {
    let work = async {
        loop {
            tell_last(&*context.store).await;
            context.clock.sleep(TELL_EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Makes a backup when its schedule says so.
#[derive(Clone, Debug)]
pub struct BackupTask(pub BackupPlan);

/// What is kept of a backup with the run of its schedule.
#[derive(Debug, Serialize)]
struct Made {
    name: String,
    place: String,
    size_bytes: u64,
    files: u64,
    damaged: u64,
}

#[async_trait]
impl Task for BackupTask {
    fn name(&self) -> &'static str {
        BACKUP
    }

    async fn run(&self, context: &Context, work: &Work<'_>) -> Result<Value, TaskError> {
        let Self(plan) = self;
        let slot = work.run().due_at;
        let made =
            make_backup(&*context.store, &context.ids, plan, slot, Duration::ZERO, &|_| {}).await;
        match made {
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
                tell_last(&*context.store).await;
                tidy(plan, name).await;
                let made = Made {
                    name: name.to_string(),
                    place: plan.bundles.place(),
                    size_bytes: size,
                    files: files.files,
                    damaged: files.damaged,
                };
                serde_json::to_value(made).map_err(|error| TaskError::Failed(error.to_string()))
            }
            Err(error @ NoBackup::Taken) => {
                Err(TaskError::Again { error: error.to_string(), after: TAKEN_AFTER, tried: false })
            }
            Err(error @ NoBackup::Nothing) => Err(TaskError::Failed(error.to_string())),
            Err(error) => {
                quaestor_core::metrics::BACKUP_FAILURES.of([]).increment(1);
                Err(TaskError::Again { error: chain(&error), after: RETRY_AFTER, tried: true })
            }
        }
    }
}

/// Makes a backup for a moment of the schedule, or one that somebody asked for, and writes
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

/// Tells of the last backup that is kept.
async fn tell_last(store: &dyn Store) {
    let runs = match store.last_backups(LOOK_BACK).await {
        Ok(runs) => runs,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "could not read the backups");
            return;
        }
    };
    let Some(last) = runs.into_iter().find(|run| run.state == BackupState::Done) else { return };
    let ended = last.ended_at.unwrap_or(last.began_at);
    let took = (ended - last.began_at).as_seconds_f64();
    quaestor_core::metrics::BACKUP_LAST_SUCCESS.of([]).set(last.began_at.timestamp() as f64);
    quaestor_core::metrics::BACKUP_LAST_SIZE.of([]).set(last.size_bytes as f64);
    quaestor_core::metrics::BACKUP_LAST_DURATION.of([]).set(took);
    quaestor_core::metrics::BACKUP_LAST_DAMAGED.of([]).set(last.damaged as f64);
}
