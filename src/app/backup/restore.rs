//! Bringing an installation back out of a bundle, and seeing whether one could be.

use std::path::PathBuf;

use anyhow::Context as _;
use quaestor_core::backup::{Opened, Restored, Target};
use quaestor_core::bundle::Header;
use quaestor_core::failpoint;
use quaestor_core::ids::PrincipalId;
use quaestor_core::ports::bundles::Seal;
use quaestor_core::ports::store::{NewAuditEntry, Standing};
use quaestor_core::transfer::{self, Tell};
use tokio_util::task::TaskTracker;

use super::super::World;
use super::target::Place;
use super::{FROM_BUNDLE, find, keys};
use crate::config::Settings;

/// What is wanted of a restore, or of a look at a bundle.
#[derive(Clone, Debug, Default)]
pub struct RestoreRequest {
    /// A file, a name at the place of the backups, or `latest`.
    pub bundle: String,
    /// The place, unless it is the configuration's.
    pub from: Option<String>,
    /// The file with the keys.
    pub identity: Option<PathBuf>,
    /// Whether a bundle is expected that is not encrypted.
    pub unencrypted: bool,
}

/// What a bundle says of itself, before the rest of it is read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which bundle it is.
    pub called: String,
    /// Where it goes; none where it is only looked at.
    pub to: Option<String>,
    /// Its header.
    pub header: Header,
}

/// What was restored or looked at.
#[derive(Clone, Debug)]
pub struct RestoreReport {
    /// What it comes to.
    pub restored: Restored,
    /// Its header.
    pub header: Header,
}

/// Reads a whole bundle, without writing anything.
///
/// # Errors
/// Where it is not whole, or no key opens it.
pub async fn verify(
    settings: &Settings,
    request: &RestoreRequest,
    begin: &(dyn Fn(&Found) -> anyhow::Result<()> + Send + Sync),
    tell: Tell<'_>,
) -> anyhow::Result<RestoreReport> {
    let (world, tasks) = (World::of_process(), TaskTracker::new());
    let (called, opened) = open(settings, request, &world, &tasks).await?;
    let header = opened.header().clone();
    begin(&Found { called, to: None, header: header.clone() })?;
    Ok(RestoreReport { restored: opened.verify(tell).await?, header })
}

/// Restores a bundle into the configuration's place, which is empty. Until all is there and
/// was compared, the place is marked as arriving, and nothing starts on it.
///
/// # Errors
/// Where the bundle is not whole, no key opens it, or the place is not empty.
pub async fn restore(
    settings: &Settings,
    request: &RestoreRequest,
    begin: &(dyn Fn(&Found) -> anyhow::Result<()> + Send + Sync),
    tell: Tell<'_>,
) -> anyhow::Result<RestoreReport> {
    let (world, tasks) = (World::of_process(), TaskTracker::new());
    // Before the place is touched: whether this is a bundle, and ours to open.
    let (called, opened) = open(settings, request, &world, &tasks).await?;
    let mut place = Place::open(&settings.config, &world).await?;
    let worked = arrive(&mut place, called, opened, &world, begin, tell).await;
    place.close().await;
    tasks.close();
    tasks.wait().await;
    worked
}

async fn open(
    settings: &Settings,
    request: &RestoreRequest,
    world: &World,
    tasks: &TaskTracker,
) -> anyhow::Result<(String, Opened)> {
    let config = &settings.config;
    let seal = keys::opening(config, request.identity.as_deref(), request.unencrypted)?;
    let bundle = find(config, &request.bundle, request.from.as_deref(), world, tasks).await?;
    let plain = seal.open(bundle.bytes).await?;
    Ok((bundle.called, Opened::begin(plain).await?))
}

async fn arrive(
    place: &mut Place,
    called: String,
    opened: Opened,
    world: &World,
    begin: &(dyn Fn(&Found) -> anyhow::Result<()> + Send + Sync),
    tell: Tell<'_>,
) -> anyhow::Result<RestoreReport> {
    let left = place.refuse_full().await?;
    let header = opened.header().clone();
    begin(&Found { called, to: Some(place.called.clone()), header: header.clone() })?;
    let from = format!("{FROM_BUNDLE}{}", header.name);
    let arriving = Standing::Arriving { from, since: world.clock.now() };
    place.store.set_standing(&arriving).await.context("marking the target")?;
    if left {
        transfer::remove_objects(&*place.store, &*place.objects).await?;
        place.store.clear().await.context("emptying the target")?;
    }
    let target = Target {
        store: &*place.store,
        objects: &*place.objects,
        clock: &*world.clock,
        ids: &world.ids,
    };
    let restored = opened.restore(&target, tell).await.with_context(|| {
        format!("{} stays marked as arriving, and nothing starts on it", place.called)
    })?;
    if let Err(error) = place.store.upkeep().await {
        // Search works without, only slower; and a worker builds them.
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "the indexes of vectors are not built yet");
    }
    if let Some(first) = place.store.first_workspace().await.context("looking for a workspace")? {
        let entry = NewAuditEntry {
            id: world.ids.next(),
            principal_id: PrincipalId(uuid::Uuid::nil()),
            action: "backup.restore",
            subject: header.name.clone(),
            at: world.clock.now(),
        };
        place.store.record_audit(first, entry).await.context("writing the audit log")?;
    }
    failpoint::hit("restore.before_whole");
    place.still_alone().await?;
    place.store.set_standing(&Standing::Whole).await.context("marking the target as whole")?;
    Ok(RestoreReport { restored, header })
}
