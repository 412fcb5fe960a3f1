//! How is an installation backed up and brought back? By hand here; by schedule in a worker,
//! which is given the same place and the same seal.

mod files;
mod keys;
mod restore;
mod save;
mod target;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use quaestor_backends::bundles::bucket::BucketBundles;
use quaestor_backends::bundles::folder::{FolderBundles, read_file};
use quaestor_backends::objects::s3::S3Objects;
use quaestor_core::ports::bundles::{BundleName, Bundles, KeptBundle};
use quaestor_core::ports::objects::ByteStream;
use tokio_util::task::TaskTracker;

use super::World;
use super::backends::s3_options;
use crate::config::{BackupChoice, Config, DatabaseChoice, ServiceUrl};

pub(crate) use files::missing_files;
pub use restore::{Found, RestoreReport, RestoreRequest, restore, verify};
pub(crate) use save::history;
pub(super) use save::plan;
pub use save::{BackupReport, BackupRequest, back_up};

/// What a bundle is called where an installation comes from one.
pub(super) const FROM_BUNDLE: &str = "the bundle ";

/// The store's name in a bundle's header.
fn store_name(config: &Config) -> anyhow::Result<&'static str> {
    Ok(match config.data.database().map_err(anyhow::Error::msg)? {
        DatabaseChoice::Sqlite(_) => "SQLite",
        DatabaseChoice::Postgres => "PostgreSQL",
    })
}

/// Where bundles are kept.
async fn open_bundles(
    config: &Config,
    choice: BackupChoice,
    world: &World,
    tasks: &TaskTracker,
) -> anyhow::Result<Arc<dyn Bundles>> {
    Ok(match choice {
        BackupChoice::Folder(folder) => Arc::new(FolderBundles::new(folder)),
        BackupChoice::Bucket(place) => {
            // Without a look at it: a worker starts while it is away.
            let options = s3_options(config, place)?;
            let objects = S3Objects::open_unseen(options, world.clock.clone(), tasks.clone()).await;
            Arc::new(BucketBundles::new(objects.context("opening the place of the backups")?))
        }
    })
}

/// The place that a flag names, or else the configuration.
fn chosen(config: &Config, flag: Option<&str>) -> anyhow::Result<BackupChoice> {
    let choice = match flag {
        Some(url) => Some(BackupChoice::parse(&ServiceUrl::from(url))),
        None => config.backup.target_url.as_ref().map(BackupChoice::parse),
    };
    match choice {
        Some(choice) => choice.map_err(anyhow::Error::msg),
        None => bail!(
            "no place for backups is named: set `backup.target_url` (QUAESTOR_BACKUP_URL), or \
             say where with a flag, such as file:/srv/backups"
        ),
    }
}

/// The bundles at a place, oldest first, and where that is.
///
/// # Errors
/// Where no place is named, or it cannot be read.
pub async fn list(
    config: &Config,
    from: Option<&str>,
) -> anyhow::Result<(String, Vec<KeptBundle>)> {
    let (world, tasks) = (World::of_process(), TaskTracker::new());
    let bundles = open_bundles(config, chosen(config, from)?, &world, &tasks).await?;
    let listed = bundles.list().await.context("listing the backups");
    tasks.close();
    tasks.wait().await;
    Ok((bundles.place(), listed?))
}

/// A bundle that is to be read.
struct Bundle {
    /// What it is called, for people.
    called: String,
    bytes: ByteStream,
}

/// Finds a bundle: a file, a name at the place, or the latest one there.
async fn find(
    config: &Config,
    wanted: &str,
    from: Option<&str>,
    world: &World,
    tasks: &TaskTracker,
) -> anyhow::Result<Bundle> {
    let path = Path::new(wanted);
    if from.is_none() && path.is_file() {
        let bytes = read_file(path).await?;
        return Ok(Bundle { called: path.display().to_string(), bytes });
    }
    let by_name = wanted.parse::<BundleName>();
    if wanted != "latest" && by_name.is_err() {
        bail!(
            "there is no bundle {wanted}: name a file, a bundle as `quaestor backup list` shows \
             it, or `latest`"
        );
    }
    let bundles = open_bundles(config, chosen(config, from)?, world, tasks).await?;
    let name = match by_name {
        Ok(name) => name,
        Err(_) => latest(&bundles.list().await.context("listing the backups")?, &bundles.place())?,
    };
    let bytes = bundles.get(&name).await.with_context(|| format!("reading {name}"))?;
    Ok(Bundle { called: name.to_string(), bytes })
}

/// The newest bundle, where all are of one installation.
fn latest(kept: &[KeptBundle], place: &str) -> anyhow::Result<BundleName> {
    let Some(newest) = kept.last() else { bail!("there are no backups at {place}") };
    let of_one = kept.iter().all(|one| one.name.installation == newest.name.installation);
    if !of_one {
        bail!(
            "there are backups of several installations at {place}: name the bundle, as \
             `quaestor backup list` shows it"
        );
    }
    Ok(newest.name.clone())
}
