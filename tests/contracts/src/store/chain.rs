//! The chain over the audit log: what is sealed, in which order, and what shows afterwards.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::audit::{BreakKind, Seal, check};
use quaestor_core::clock::Time;
use quaestor_core::ids::{AuditId, WorkspaceId};
use quaestor_core::ports::store::{AuditLinks, Record, Table, Value};

use super::Fixture;

/// Writes entries, each a moment after the one before.
async fn entries(f: &Fixture, workspace: WorkspaceId, count: usize) -> Vec<AuditId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let entry = f.audit("key.create");
        ids.push(entry.id);
        f.store.record_audit(workspace, entry).await.expect("written");
        f.pass(Duration::from_millis(10));
    }
    ids
}

async fn seal_all(f: &Fixture, workspace: WorkspaceId, before: Time) -> u64 {
    let mut sealed = 0;
    loop {
        match f.store.seal_audit(workspace, before, 100).await.expect("sealed") {
            0 => return sealed,
            some => sealed += some,
        }
    }
}

async fn head(f: &Fixture, workspace: WorkspaceId) -> Option<Seal> {
    f.store.audit_end(workspace, 10).await.expect("read").head
}

async fn breaks(f: &Fixture, workspace: WorkspaceId) -> Vec<BreakKind> {
    let piece = f.store.audit_links(workspace, 0, 1_000).await.expect("read");
    let head = head(f, workspace).await;
    check(workspace, 0, 1_000, &piece, head.as_ref()).into_iter().map(|one| one.kind).collect()
}

pub async fn old_entries_become_links_in_the_order_of_their_ids(f: Fixture) {
    assert_eq!(f.store.seal_audit(f.workspace, f.now(), 10).await.expect("sealed"), 0);
    assert_eq!(breaks(&f, f.workspace).await, []);
    let ids = entries(&f, f.workspace, 150).await;
    f.pass(Duration::from_secs(60));
    let before = f.now();
    let young = entries(&f, f.workspace, 3).await;
    assert_eq!(f.store.seal_audit(f.workspace, before, 100).await.expect("sealed"), 100);
    let end = f.store.audit_end(f.workspace, 1_000).await.expect("read");
    assert_eq!((end.head.expect("a head").number, end.unsealed), (100, 53));
    assert_eq!(f.store.audit_end(f.workspace, 7).await.expect("read").unsealed, 7);
    assert_eq!(f.store.seal_audit(f.workspace, before, 100).await.expect("sealed"), 50);
    assert_eq!(f.store.seal_audit(f.workspace, before, 100).await.expect("sealed"), 0);

    // In pieces, each of which begins after the one before.
    let mut sealed = Vec::new();
    loop {
        let after = sealed.len() as u64;
        let piece = f.store.audit_links(f.workspace, after, 40).await.expect("read");
        assert_eq!(piece.previous.as_ref().map(|seal| seal.number), (after > 0).then_some(after));
        let head = head(&f, f.workspace).await;
        assert_eq!(check(f.workspace, after, 40, &piece, head.as_ref()), []);
        sealed.extend(piece.links.iter().map(|link| link.seal.entry_id));
        if piece.links.len() < 40 {
            break;
        }
    }
    assert_eq!(sealed, ids, "those that are young are not sealed: {young:?}");
    f.pass(Duration::from_secs(60));
    assert_eq!(seal_all(&f, f.workspace, f.now()).await, 3);
    assert_eq!(breaks(&f, f.workspace).await, []);
}

pub async fn several_that_seal_at_once_seal_each_entry_once(f: Fixture) {
    entries(&f, f.workspace, 200).await;
    f.pass(Duration::from_secs(60));
    let seal = || f.store.seal_audit(f.workspace, f.now(), 30);
    let at_once = || futures::future::join_all([seal(), seal(), seal(), seal()]);
    let mut sealed = 0;
    while sealed < 200 {
        let some: u64 = at_once().await.into_iter().map(|one| one.expect("sealed")).sum();
        assert!(some > 0, "one of them seals");
        sealed += some;
    }
    assert_eq!(sealed, 200);
    let piece = f.store.audit_links(f.workspace, 0, 1_000).await.expect("read");
    let numbers: Vec<u64> = piece.links.iter().map(|link| link.seal.number).collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    assert_eq!(breaks(&f, f.workspace).await, []);
}

pub async fn each_workspace_has_a_chain_of_its_own(f: Fixture) {
    let other = f.new_workspace().await;
    for _ in 0..5 {
        entries(&f, f.workspace, 1).await;
        entries(&f, other, 2).await;
    }
    f.pass(Duration::from_secs(60));
    assert_eq!(seal_all(&f, f.workspace, f.now()).await, 5);
    assert_eq!(f.store.audit_links(other, 0, 10).await.expect("read"), AuditLinks::default());
    assert_eq!(seal_all(&f, other, f.now()).await, 10);
    for (workspace, links) in [(f.workspace, 5), (other, 10)] {
        assert_eq!(head(&f, workspace).await.expect("a head").number, links);
        assert_eq!(breaks(&f, workspace).await, []);
    }
}

pub async fn an_entry_that_is_added_in_the_past_shows(f: Fixture) {
    entries(&f, f.workspace, 3).await;
    let late = f.audit("document.delete");
    f.pass(Duration::from_millis(10));
    entries(&f, f.workspace, 3).await;
    f.pass(Duration::from_secs(60));
    assert_eq!(seal_all(&f, f.workspace, f.now()).await, 6);
    let values = vec![
        Value::Id(late.id.uuid()),
        Value::Id(late.principal_id.uuid()),
        Value::Text(late.action.to_owned()),
        Value::Text(late.subject.clone()),
        Value::Integer(late.at.timestamp_micros()),
    ];
    let record = Record { table: Table::AuditLog, values };
    f.store.write_records(f.workspace, Table::AuditLog, vec![record]).await.expect("written");
    assert_eq!(breaks(&f, f.workspace).await, [BreakKind::Added]);
    assert_eq!(seal_all(&f, f.workspace, f.now()).await, 0, "it never becomes a link");
}
