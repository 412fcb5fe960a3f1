//! How an installation begins: on an empty store.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::collections::BTreeSet;

use futures::future::join_all;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::model::{PageRequest, Role};
use quaestor_core::ports::store::{Begun, NewAuditEntry, NewKey, NewWorkspace};
use uuid::Uuid;

use super::EmptyStore;

/// One of several first starts, each with a workspace and a key of its own.
async fn begin(empty: &EmptyStore, number: u128) -> Begun {
    let id = |kind: u128| Uuid::from_u128(kind << 64 | number);
    let created_at = chrono::DateTime::UNIX_EPOCH;
    let workspace = NewWorkspace { id: WorkspaceId(id(1)), name: "default".to_owned(), created_at };
    let key = NewKey {
        id: quaestor_core::ids::KeyId(id(2)),
        principal_id: quaestor_core::ids::PrincipalId(id(3)),
        name: "first key".to_owned(),
        role: Role::Admin,
        prefix: format!("prefix{number}"),
        secret_sha256: [7; 32],
        created_at,
    };
    let audit = NewAuditEntry {
        id: quaestor_core::ids::AuditId(id(4)),
        principal_id: key.principal_id,
        action: "key.create",
        subject: key.id.to_string(),
        at: created_at,
    };
    empty.store.begin(workspace, key, audit).await.expect("begun")
}

pub async fn of_many_first_starts_at_once_one_makes_a_workspace_and_a_key(empty: EmptyStore) {
    let begun = join_all((0..12).map(|number| begin(&empty, number))).await;
    let workspaces: BTreeSet<Uuid> = begun.iter().map(|begun| begun.workspace_id.uuid()).collect();
    assert_eq!(workspaces.len(), 1, "{begun:?}");
    assert_eq!(begun.iter().filter(|begun| begun.key_made).count(), 1, "{begun:?}");
    let workspace = begun[0].workspace_id;
    assert_eq!(empty.store.first_workspace().await.expect("read"), Some(workspace));
    let page = PageRequest::default();
    assert_eq!(empty.store.list_keys(workspace, page).await.expect("read").items.len(), 1);
    assert_eq!(empty.store.list_audit(workspace, page).await.expect("read").items.len(), 1);
}

pub async fn an_installation_with_a_key_is_not_given_another(empty: EmptyStore) {
    let first = begin(&empty, 1).await;
    assert!(first.key_made);
    let again = begin(&empty, 2).await;
    assert_eq!(again, Begun { workspace_id: first.workspace_id, key_made: false });
    assert!(empty.store.find_key("prefix2").await.expect("read").is_none());
}
