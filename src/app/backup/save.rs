//! Making a backup by hand, beside whatever runs; and what a worker is told to make one by.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use quaestor_backends::bundles::age::AgeSeal;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_core::clock::Clock;
use quaestor_core::model::{BACKUP, Schedule};
use quaestor_core::ports::bundles::{Bundles, Seal};
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::store::{BackupRun, Store};
use quaestor_core::transfer::{Damaged, Files, Tell};
use quaestor_workers::{BackupPlan, make_backup};
use tokio_util::task::TaskTracker;

use super::super::backends::{self, Close};
use super::super::{World, first_start};
use super::{chosen, open_bundles, store_name};
use crate::config::{Config, DatabaseChoice, ObjectsChoice, Settings};

/// Connections to PostgreSQL: the snapshot's, and those of what is written down.
const CONNECTIONS: u32 = 4;
/// How long after a failure nobody tries again, where somebody asked for it by hand.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What is wanted of a backup by hand.
#[derive(Clone, Debug, Default)]
pub struct BackupRequest {
    /// Where to, unless it is where the configuration says.
    pub to: Option<String>,
    /// Whether it is left open.
    pub unencrypted: bool,
}

/// A backup that is kept.
#[derive(Clone, Debug)]
pub struct BackupReport {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// Its size.
    pub size_bytes: u64,
    /// How many rows it has.
    pub rows: u64,
    /// Its files.
    pub files: Files,
    /// Documents that were deleted while it was made.
    pub deleted: u64,
    /// How many files are missing or not what their rows say.
    pub damaged: u64,
    /// Some of them.
    pub named: Vec<Damaged>,
}

/// A source that is open beside whoever else uses it.
pub(super) struct Beside {
    pub(super) store: Arc<dyn Store>,
    pub(super) objects: Arc<dyn Objects>,
    close: Close,
    tasks: TaskTracker,
}

impl Beside {
    pub(super) async fn open(config: &Config, world: &World) -> anyhow::Result<Self> {
        let tasks = TaskTracker::new();
        let (store, close) = open_store(config, world).await?;
        let objects: Arc<dyn Objects> = match config.data.objects().map_err(anyhow::Error::msg)? {
            ObjectsChoice::Local(folder) => {
                let local = LocalObjects::open_beside(&folder).await;
                Arc::new(local.with_context(|| format!("opening {}", folder.display()))?)
            }
            ObjectsChoice::S3(_) => backends::open_objects(config, world, &tasks).await?,
        };
        Ok(Self { store, objects, close, tasks })
    }

    pub(super) async fn close(self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.close.run().await;
    }
}

async fn open_store(config: &Config, world: &World) -> anyhow::Result<(Arc<dyn Store>, Close)> {
    Ok(match config.data.database().map_err(anyhow::Error::msg)? {
        DatabaseChoice::Sqlite(file) => {
            if !file.is_file() {
                bail!(
                    "there is no embedded installation at {}: name its folder with \
                     QUAESTOR_DATA_DIR or --data-dir",
                    file.display()
                );
            }
            let url = format!("sqlite:{}", file.display());
            let store = SqliteStore::open_beside(&url, SqliteOptions::default()).await;
            let sqlite = Arc::new(store.context("opening the database")?);
            (sqlite.clone(), Close::Sqlite(sqlite))
        }
        DatabaseChoice::Postgres => {
            let options = PgOptions {
                max_connections: CONNECTIONS,
                ..PgOptions::new(backends::database_url(config)?)
            };
            let store = PgStore::connect(options, world.clock.clone()).await;
            let postgres = Arc::new(store.context("opening the database")?);
            (postgres.clone(), Close::Postgres(postgres))
        }
    })
}

/// Makes a backup of the configuration's installation, which may run meanwhile.
///
/// # Errors
/// Where there is none, no place or key is named, or anything on the way fails; nothing is
/// kept then.
pub async fn back_up(
    settings: &Settings,
    request: &BackupRequest,
    tell: Tell<'_>,
) -> anyhow::Result<BackupReport> {
    let (config, world) = (&settings.config, World::of_process());
    let choice = chosen(config, request.to.as_deref())?;
    let seal = config.backup.seal().map_err(|(_, sentence)| anyhow::Error::msg(sentence))?;
    let seal = if request.unencrypted { seal.in_clear() } else { seal };
    // Before anything is opened: whether there is a key at all.
    drop(seal.seal(Box::pin(futures::stream::empty()))?);
    let source = Beside::open(config, &world).await?;
    let worked = async {
        first_start::refuse_what_is_elsewhere(config, &*source.store).await?;
        let bundles = open_bundles(config, choice, &world, &source.tasks).await?;
        let plan = plan_of(config, &world, bundles, seal, Arc::clone(&source.objects))?;
        let made = make_backup(&*source.store, &world.ids, &plan, None, REMEMBERED, tell).await?;
        let trailer = &made.saved.trailer;
        Ok(BackupReport {
            name: made.name.to_string(),
            place: plan.bundles.place(),
            size_bytes: made.saved.size_bytes,
            rows: trailer.tables.iter().map(|table| table.records).sum(),
            files: Files { files: trailer.files.files, bytes: trailer.files.bytes },
            deleted: trailer.files.deleted,
            damaged: trailer.files.damaged,
            named: made.saved.damaged.clone(),
        })
    };
    let worked = worked.await;
    source.close().await;
    worked
}

/// What a worker makes backups by; none where no place is configured.
pub(in super::super) async fn plan(
    config: &Config,
    world: &World,
    objects: Arc<dyn Objects>,
    tasks: &TaskTracker,
) -> anyhow::Result<Option<BackupPlan>> {
    let Some(choice) = config.backup.place().map_err(anyhow::Error::msg)? else {
        return Ok(None);
    };
    let seal = config.backup.seal().map_err(|(_, sentence)| anyhow::Error::msg(sentence))?;
    let bundles = open_bundles(config, choice, world, tasks).await?;
    plan_of(config, world, bundles, seal, objects).map(Some)
}

fn plan_of(
    config: &Config,
    world: &World,
    bundles: Arc<dyn Bundles>,
    seal: AgeSeal,
    objects: Arc<dyn Objects>,
) -> anyhow::Result<BackupPlan> {
    let days = u64::from(config.backup.keep_days);
    Ok(BackupPlan {
        bundles,
        seal: Arc::new(seal),
        objects,
        clock: world.clock.clone(),
        scratch: Arc::new({
            let folder = config.data.dir.join("scratch");
            move |name: &str| scratch_file(&folder, name)
        }),
        keep: Duration::from_secs(days * 24 * 60 * 60),
        at_most: Duration::from_secs(config.backup.at_most_minutes.saturating_mul(60)),
        product: env!("CARGO_PKG_VERSION").to_owned(),
        store: store_name(config)?.to_owned(),
    })
}

/// A file that has no name any more when it is returned, so that nothing of it stays behind.
fn scratch_file(folder: &Path, name: &str) -> std::io::Result<tokio::fs::File> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(name);
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(tokio::fs::File::from_std(file))
}

/// The last backups that the configuration's installation remembers, and its schedule of them;
/// none where there is no installation yet.
pub(crate) async fn history(
    config: &Config,
    clock: Arc<dyn Clock>,
    limit: u32,
) -> anyhow::Result<Option<(Vec<BackupRun>, Option<Schedule>)>> {
    if let DatabaseChoice::Sqlite(file) = config.data.database().map_err(anyhow::Error::msg)?
        && !file.is_file()
    {
        return Ok(None);
    }
    let world = World { clock, ..World::of_process() };
    let (store, close) = open_store(config, &world).await?;
    let runs = store.last_backups(limit).await.context("reading the backups");
    let schedules = store.list_schedules().await.context("reading the schedules");
    close.run().await;
    let schedule = schedules?.into_iter().find(|schedule| schedule.name == BACKUP);
    Ok(Some((runs?, schedule)))
}
