//! What does a new installation need? A workspace and a key for whoever set it up.

use anyhow::Context as _;
use quaestor_core::api_key;
use quaestor_core::clock::Clock;
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::{IdSource, PrincipalId, WorkspaceId};
use quaestor_core::model::Role;
use quaestor_core::ports::store::{NewAuditEntry, NewKey, NewWorkspace, Store};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;

/// Makes the first workspace where there is none. The operator's own key
/// (`QUAESTOR_ADMIN_KEY`) becomes its first one; without it, one is made and returned, to
/// be shown once.
///
/// An operator's key that the installation does not know is added to the oldest
/// workspace; one that was revoked stays revoked.
pub(super) async fn first_key(
    config: &Config,
    store: &dyn Store,
    clock: &dyn Clock,
    ids: &IdSource,
    entropy: &dyn Entropy,
) -> anyhow::Result<Option<SecretString>> {
    let found = store.first_workspace().await.context("looking for a workspace")?;
    let workspace = match found {
        Some(workspace) => workspace,
        None => {
            let id: WorkspaceId = ids.next();
            let new = NewWorkspace { id, name: "default".to_owned(), created_at: clock.now() };
            store.create_workspace(new).await.context("making the first workspace")?;
            id
        }
    };
    if let Some(key) = &config.server.admin_key {
        let token = key.expose_secret();
        let known = {
            let parsed = read(token)?;
            store.find_key(&parsed.prefix).await.context("looking for the admin key")?
        };
        if known.is_none() {
            keep(store, clock, ids, workspace, "admin key of the configuration", token).await?;
        }
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
    let made = api_key::generate(entropy);
    keep(store, clock, ids, workspace, "first key", made.token.expose_secret()).await?;
    Ok(Some(made.token))
}

fn read(token: &str) -> anyhow::Result<api_key::PresentedKey> {
    api_key::parse(token).context("the admin key is too short to be one")
}

async fn keep(
    store: &dyn Store,
    clock: &dyn Clock,
    ids: &IdSource,
    workspace: WorkspaceId,
    name: &str,
    token: &str,
) -> anyhow::Result<()> {
    let parsed = read(token)?;
    let principal_id: PrincipalId = ids.next();
    let key = NewKey {
        id: ids.next(),
        principal_id,
        name: name.to_owned(),
        role: Role::Admin,
        prefix: parsed.prefix,
        secret_sha256: parsed.sha256,
        created_at: clock.now(),
    };
    let audit = NewAuditEntry {
        id: ids.next(),
        principal_id,
        action: "key.create",
        subject: key.id.to_string(),
        at: clock.now(),
    };
    store.create_key(workspace, key, audit).await.context("keeping the first key")?;
    Ok(())
}
