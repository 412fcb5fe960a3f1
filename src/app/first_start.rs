//! What does a new installation need? A workspace and a key for whoever set it up.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use quaestor_core::ids::{PrincipalId, WorkspaceId};
use quaestor_core::ports::store::{
    NewAuditEntry, NewKey, NewWorkspace, Standing, Store, StoreError,
};
use quaestor_core::{api_key, model};
use secrecy::{ExposeSecret, SecretString};

use super::backup::FROM_BUNDLE;
use super::{Role, World};
use crate::config::{Config, DatabaseChoice, check_exposure};

/// What the operator's own key is called in the list of keys.
const ADMIN_KEY: &str = "admin key of the configuration";

/// Sees to it that the installation has a workspace, and a key for whoever listens to
/// others. A single process makes what is missing, since it may be somebody's first
/// start; for several processes `quaestor migrate` does it, which shows the key to whoever
/// runs it.
pub(super) async fn prepare(
    config: &Config,
    role: &Role,
    store: &dyn Store,
    world: &World,
    address: SocketAddr,
) -> anyhow::Result<Option<SecretString>> {
    let found = store.first_workspace().await.context("looking for a workspace")?;
    match (role, found) {
        (Role::Serve, _) => {
            check_exposure(address, config.server.admin_key.is_some(), found.is_some())?;
            first_key(config, store, world).await
        }
        (Role::Front | Role::Worker(_) | Role::Scaler(_), None) => {
            bail!("the installation has no workspace yet: run `quaestor migrate` once")
        }
        (Role::Worker(_) | Role::Scaler(_), Some(_)) => Ok(None),
        (Role::Front, Some(workspace)) => {
            check_exposure(address, config.server.admin_key.is_some(), true)?;
            keep_admin_key(config, store, world, workspace).await?;
            Ok(None)
        }
    }
}

/// Makes the first workspace where there is none, with the operator's own key
/// (`QUAESTOR_ADMIN_KEY`). Without that one, a key is made where the installation has none,
/// and returned, to be shown once. Any number of these at once make one workspace, and show
/// one key.
pub(super) async fn first_key(
    config: &Config,
    store: &dyn Store,
    world: &World,
) -> anyhow::Result<Option<SecretString>> {
    refuse_what_is_elsewhere(config, store).await?;
    let given = config.server.admin_key.clone();
    let token = given.clone().unwrap_or_else(|| api_key::generate(&*world.entropy).token);
    let name = if given.is_some() { ADMIN_KEY } else { "first key" };
    let (key, audit) = new_key(world, name, token.expose_secret())?;
    let workspace = NewWorkspace {
        id: world.ids.next(),
        name: "default".to_owned(),
        created_at: world.clock.now(),
    };
    let begun = match store.begin(workspace, key, audit).await {
        Ok(begun) => begun,
        // Another workspace has the operator's key.
        Err(StoreError::Conflict { .. }) => return Ok(None),
        Err(error) => return Err(error).context("making the first workspace and its key"),
    };
    if given.is_some() && !begun.key_made {
        keep_admin_key(config, store, world, begun.workspace_id).await?;
    }
    Ok((given.is_none() && begun.key_made).then_some(token))
}

/// Refuses an installation that was moved away, which would go on beside the moved one, and
/// one that has not arrived whole.
pub(super) async fn refuse_what_is_elsewhere(
    config: &Config,
    store: &dyn Store,
) -> anyhow::Result<()> {
    let distributed =
        config.data.database().map_err(anyhow::Error::msg)? == DatabaseChoice::Postgres;
    let (here, there) =
        if distributed { ("distributed", "embedded") } else { ("embedded", "distributed") };
    match store.standing().await.context("looking whether the installation may be used")? {
        Standing::Whole => Ok(()),
        Standing::Arriving { from, since } if from.starts_with(FROM_BUNDLE) => bail!(
            "this installation is not whole: the restore from {from} that began at {since} has \
             not ended; run `quaestor restore` again, with this bundle or another one",
            since = since.format("%F %R UTC")
        ),
        Standing::Arriving { from, since } => bail!(
            "this installation is not whole: the move from {from} that began at {since} has not \
             ended; run `quaestor move --to {here}` again, or give it up with `quaestor move --to \
             {here} --undo`",
            since = since.format("%F %R UTC")
        ),
        Standing::Moved { to, at } => bail!(
            "this installation was moved to {to} at {at}, and what came since is there: configure \
             that, or give the move up with `quaestor move --to {there} --undo`, which leaves \
             behind what came since",
            at = at.format("%F %R UTC")
        ),
    }
}

/// Adds the operator's key, where there is one, to the oldest workspace unless the
/// installation knows it; one that was revoked stays revoked.
async fn keep_admin_key(
    config: &Config,
    store: &dyn Store,
    world: &World,
    workspace: WorkspaceId,
) -> anyhow::Result<()> {
    let Some(key) = &config.server.admin_key else { return Ok(()) };
    let token = key.expose_secret();
    let known = store.find_key(&read(token)?.prefix).await.context("looking for the admin key")?;
    if known.is_some() {
        return Ok(());
    }
    let (key, audit) = new_key(world, ADMIN_KEY, token)?;
    match store.create_key(workspace, key, audit).await {
        // Another process that started at the same moment has kept it.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error).context("keeping the admin key"),
    }
}

fn read(token: &str) -> anyhow::Result<api_key::PresentedKey> {
    api_key::parse(token).context("the admin key is too short to be one")
}

/// A key of an administrator, and the audit log's entry for it.
fn new_key(world: &World, name: &str, token: &str) -> anyhow::Result<(NewKey, NewAuditEntry)> {
    let parsed = read(token)?;
    let principal_id: PrincipalId = world.ids.next();
    let key = NewKey {
        id: world.ids.next(),
        principal_id,
        name: name.to_owned(),
        role: model::Role::Admin,
        prefix: parsed.prefix,
        secret_sha256: parsed.sha256,
        created_at: world.clock.now(),
    };
    let audit = NewAuditEntry {
        id: world.ids.next(),
        principal_id,
        action: "key.create",
        subject: key.id.to_string(),
        at: world.clock.now(),
    };
    Ok((key, audit))
}
