//! Workspaces, keys, the audit log and collections' own rows.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use quaestor_core::ids::KeyId;
use quaestor_core::model::{PageRequest, Role};
use quaestor_core::ports::store::{NewCollection, NewKey, StoreError};

use super::Fixture;

fn key(f: &Fixture, prefix: &str) -> NewKey {
    NewKey {
        id: f.id(),
        principal_id: f.principal,
        name: "for tests".to_owned(),
        role: Role::Member,
        prefix: prefix.to_owned(),
        secret_sha256: [7; 32],
        created_at: f.now(),
    }
}

pub async fn a_key_is_found_by_its_prefix_and_shown_without_its_secret(f: Fixture) {
    let new = key(&f, "abc");
    let made = f.store.create_key(f.workspace, new, f.audit("key.create")).await.expect("made");
    let found = f.store.find_key("abc").await.expect("read").expect("there");
    assert_eq!(found.key, made);
    assert_eq!(found.workspace_id, f.workspace);
    assert_eq!(found.secret_sha256, [7; 32]);
    assert!(!format!("{found:?}").contains("secret_sha256: [7"));
    assert!(f.store.find_key("abd").await.expect("read").is_none());
}

pub async fn a_taken_prefix_is_a_conflict_and_leaves_nothing(f: Fixture) {
    let first = key(&f, "abc");
    f.store.create_key(f.workspace, first, f.audit("key.create")).await.expect("made");
    let second = f.store.create_key(f.workspace, key(&f, "abc"), f.audit("key.create")).await;
    assert!(matches!(second, Err(StoreError::Conflict { .. })), "{second:?}");
    let page = PageRequest::default();
    assert_eq!(f.store.list_keys(f.workspace, page).await.expect("read").items.len(), 1);
    assert_eq!(f.store.list_audit(f.workspace, page).await.expect("read").items.len(), 1);
}

pub async fn a_revoked_key_stays_revoked_at_its_first_moment(f: Fixture) {
    let new = key(&f, "abc");
    let id = new.id;
    f.store.create_key(f.workspace, new, f.audit("key.create")).await.expect("made");
    let first = f.now();
    let audit = f.audit("key.revoke");
    let revoked = f.store.revoke_key(f.workspace, id, first, audit).await.expect("revoked");
    assert_eq!(revoked.expect("there").revoked_at, Some(first));
    f.pass(super::fixture::LEASE);
    let again = f.store.revoke_key(f.workspace, id, f.now(), f.audit("key.revoke")).await;
    assert_eq!(again.expect("answered").expect("there").revoked_at, Some(first));
    let found = f.store.find_key("abc").await.expect("read").expect("a revoked key is found");
    assert_eq!(found.key.revoked_at, Some(first));
    let missing: KeyId = f.id();
    let none = f.store.revoke_key(f.workspace, missing, f.now(), f.audit("key.revoke")).await;
    assert!(none.expect("answered").is_none());
}

pub async fn keys_are_listed_oldest_first_in_pages(f: Fixture) {
    for number in 0..5 {
        let new = key(&f, &format!("key{number}"));
        f.store.create_key(f.workspace, new, f.audit("key.create")).await.expect("made");
    }
    let mut page = PageRequest { limit: 2, after: None };
    let mut seen = Vec::new();
    loop {
        let part = f.store.list_keys(f.workspace, page).await.expect("read");
        assert!(part.items.len() <= 2);
        seen.extend(part.items.into_iter().map(|key| key.prefix));
        match part.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ["key0", "key1", "key2", "key3", "key4"]);
}

pub async fn the_oldest_workspace_is_the_first(f: Fixture) {
    f.pass(super::fixture::LEASE);
    f.new_workspace().await;
    assert_eq!(f.store.first_workspace().await.expect("read"), Some(f.workspace));
}

pub async fn audit_entries_are_listed_newest_first_in_pages(f: Fixture) {
    for action in ["a", "b", "c"] {
        f.store.record_audit(f.workspace, f.audit(action)).await.expect("recorded");
    }
    let page = PageRequest { limit: 2, after: None };
    let first = f.store.list_audit(f.workspace, page).await.expect("read");
    let actions: Vec<_> = first.items.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["c", "b"]);
    assert_eq!(first.items[0].principal_id, f.principal);
    let rest = PageRequest { limit: 2, after: first.next };
    let rest = f.store.list_audit(f.workspace, rest).await.expect("read");
    assert_eq!((rest.items.len(), rest.next), (1, None));
}

pub async fn a_collection_has_its_name_alone(f: Fixture) {
    f.collection("filings").await;
    let second = NewCollection { id: f.id(), name: "filings".to_owned(), created_at: f.now() };
    let made = f.store.create_collection(f.workspace, second, f.audit("collection.create")).await;
    assert!(matches!(made, Err(StoreError::Conflict { .. })), "{made:?}");
    let other = f.new_workspace().await;
    f.collection_in(other, "filings").await;
}

pub async fn a_collection_is_renamed_and_counted(f: Fixture) {
    let filings = f.collection("filings").await;
    let letters = f.collection("letters").await;
    f.upload(filings, "a.txt", "a").await;
    let audit = f.audit("collection.rename");
    let renamed = f.store.rename_collection(f.workspace, filings, "reports", audit).await;
    let renamed = renamed.expect("renamed").expect("there");
    assert_eq!((renamed.name.as_str(), renamed.documents), ("reports", 1));
    let audit = f.audit("collection.rename");
    let taken = f.store.rename_collection(f.workspace, letters, "reports", audit).await;
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    let audit = f.audit("collection.rename");
    let none = f.store.rename_collection(f.workspace, f.id(), "x", audit).await;
    assert!(none.expect("answered").is_none());
    let page = PageRequest { limit: 1, after: None };
    let first = f.store.list_collections(f.workspace, page).await.expect("read");
    assert_eq!((first.items[0].id, first.items.len()), (filings, 1));
    let page = PageRequest { limit: 1, after: first.next };
    let second = f.store.list_collections(f.workspace, page).await.expect("read");
    assert_eq!((second.items[0].id, second.next), (letters, None));
    assert!(second.items[0].embedding_model.is_none());
    f.generation(f.workspace, letters).await;
    let letters = f.store.collection(f.workspace, letters).await.expect("read").expect("there");
    assert_eq!(letters.embedding_model.as_deref(), Some("model"));
}

pub async fn the_store_answers_a_ping(f: Fixture) {
    f.store.ping().await.expect("it serves");
}
