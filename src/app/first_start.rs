//! What does a new installation need? A workspace and a key for whoever set it up.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use quaestor_core::ids::{PrincipalId, WorkspaceId};
use quaestor_core::ports::store::{
    NewAuditEntry, NewKey, NewWorkspace, Standing, Store, StoreError,
};
use quaestor_core::{api_key, model};
use secrecy::{ExposeSecret, SecretString};

use super::{Role, World};
use crate::config::{Config, DatabaseChoice, check_exposure};

/// Sees to it that the installation has a workspace, and a key for whoever listens to
/// others. A single process makes what is missing, since it may be somebody's first
/// start; of several processes none does, or two would make two: `quaestor migrate` does
/// it for them.
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
        (Role::Front | Role::Worker(_), None) => {
            bail!("the installation has no workspace yet: run `quaestor migrate` once")
        }
        (Role::Worker(_), Some(_)) => Ok(None),
        (Role::Front, Some(workspace)) => {
            check_exposure(address, config.server.admin_key.is_some(), true)?;
            keep_admin_key(config, store, world, workspace).await?;
            Ok(None)
        }
    }
}

/// Makes the first workspace where there is none. The operator's own key
/// (`QUAESTOR_ADMIN_KEY`) becomes its first one; without it, one is made and returned, to
/// be shown once.
pub(super) async fn first_key(
    config: &Config,
    store: &dyn Store,
    world: &World,
) -> anyhow::Result<Option<SecretString>> {
    refuse_what_is_elsewhere(config, store).await?;
    let found = store.first_workspace().await.context("looking for a workspace")?;
    let workspace = match found {
        Some(workspace) => workspace,
        None => {
            let id: WorkspaceId = world.ids.next();
            let now = world.clock.now();
            let new = NewWorkspace { id, name: "default".to_owned(), created_at: now };
            store.create_workspace(new).await.context("making the first workspace")?;
            id
        }
    };
    if keep_admin_key(config, store, world, workspace).await? {
        return Ok(None);
    }
    let has_key = !store
        .list_keys(workspace, quaestor_core::model::PageRequest::default())
        .await
        .context("looking for keys")?
        .items
        .is_empty();
    if has_key {
        return Ok(None);
    }
    let made = api_key::generate(&*world.entropy);
    keep(store, world, workspace, "first key", made.token.expose_secret()).await?;
    Ok(Some(made.token))
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

/// Adds the operator's key to the oldest workspace where the installation does not know
/// it; one that was revoked stays revoked. False where the operator named none.
async fn keep_admin_key(
    config: &Config,
    store: &dyn Store,
    world: &World,
    workspace: WorkspaceId,
) -> anyhow::Result<bool> {
    let Some(key) = &config.server.admin_key else { return Ok(false) };
    let token = key.expose_secret();
    let parsed = read(token)?;
    let known = store.find_key(&parsed.prefix).await.context("looking for the admin key")?;
    if known.is_none() {
        keep(store, world, workspace, "admin key of the configuration", token).await?;
    }
    Ok(true)
}

fn read(token: &str) -> anyhow::Result<api_key::PresentedKey> {
    api_key::parse(token).context("the admin key is too short to be one")
}

async fn keep(
    store: &dyn Store,
    world: &World,
    workspace: WorkspaceId,
    name: &str,
    token: &str,
) -> anyhow::Result<()> {
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
    match store.create_key(workspace, key, audit).await {
        // Another process that started at the same moment has kept it.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error).context("keeping the first key"),
    }
}
