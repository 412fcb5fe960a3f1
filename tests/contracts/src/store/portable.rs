//! The portable form: what is read can be written, and is then the same.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::clock::Time;
use quaestor_core::ids::{ChunkId, WorkspaceId};
use quaestor_core::model::JobState;
use quaestor_core::ports::store::{Most, Record, Standing, Store, StoreError, Table, Value};

use super::fixture::Fixture;
use super::furnished::{LONG, furnish};

const MOST: Most = Most { records: 400, bytes: 1 << 20 };

/// Every record of a table, read in pages.
pub async fn records(
    store: &dyn Store,
    workspace: WorkspaceId,
    table: Table,
    most: Most,
) -> Vec<Vec<Record>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = store.read_records(workspace, table, after, most).await.unwrap();
        let next = page.next;
        pages.push(page.records);
        match next {
            None => return pages,
            next => after = next,
        }
    }
}

/// Everything there is, in order.
pub async fn everything(store: &dyn Store) -> Vec<(WorkspaceId, Vec<Record>)> {
    let mut all = Vec::new();
    for workspace in store.workspaces_after(None, 1_000).await.unwrap() {
        let mut of_workspace = Vec::new();
        for table in Table::ALL {
            of_workspace.extend(records(store, workspace, table, MOST).await.into_iter().flatten());
        }
        all.push((workspace, of_workspace));
    }
    all
}

pub async fn what_is_read_is_written_back_the_same(mut f: Fixture) {
    let furnished = furnish(&mut f).await;
    let before = everything(&*f.store).await;
    assert_eq!(before.len(), 2);
    for (workspace, records) in &before {
        for table in Table::ALL {
            let read = records.iter().filter(|record| record.table == table).count() as u64;
            let counted = f.store.count_records(*workspace, table).await.unwrap();
            assert_eq!(read, counted, "{}", table.name());
            assert!(read > 0, "{} is empty: let `furnish` put rows there", table.name());
        }
    }
    f.store.clear().await.unwrap();
    assert_eq!(f.store.first_workspace().await.unwrap(), None);
    assert_eq!(f.leftovers().await, Vec::<String>::new());
    for (workspace, records) in &before {
        for table in Table::ALL {
            let some: Vec<Record> =
                records.iter().filter(|record| record.table == table).cloned().collect();
            for page in some.chunks(300) {
                f.store.write_records(*workspace, table, page.to_vec()).await.unwrap();
            }
        }
    }
    let after = everything(&*f.store).await;
    for ((workspace, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before.len(), after.len(), "{workspace}");
        for (one, other) in before.iter().zip(after) {
            assert_eq!(one, other);
        }
    }
    let order: Vec<WorkspaceId> = after.iter().map(|(workspace, _)| *workspace).collect();
    assert_eq!(order, furnished.clone().map(|one| one.workspace));

    // What follows from the records is there again.
    for one in furnished {
        f.workspace = one.workspace;
        assert!(f.store.find_key(&one.prefix).await.unwrap().is_some());
        let collections = f.store.list_collections(one.workspace, Default::default()).await;
        let scope = f.scope(&collections.unwrap().items.iter().map(|c| c.id).collect::<Vec<_>>());
        let found = f.found(&scope, &["word77"]).await;
        assert_eq!(found, [ChunkId::derive(one.long, 1, 77)]);
        let stats = f.store.term_stats(one.workspace, &["word77".to_owned()]).await.unwrap();
        assert_eq!(stats.chunks, LONG as u64 + 3, "of current versions alone");
        let near = f
            .store
            .search_vectors(one.workspace, &scope, &[one.generation], &[1.0; 8], 1)
            .await
            .unwrap();
        assert_eq!(near[0].chunk_id, ChunkId::derive(one.embedded, 2, 1));
        return_of_jobs(&f, &one).await;
    }
}

/// What was running can be claimed, what waits is due when it was.
async fn return_of_jobs(f: &Fixture, one: &super::furnished::Furnished) {
    let claimed = f.claim(one.running).await;
    assert_eq!(claimed.claim.attempt, 2, "the count of claims goes on");
    let waiting = f.store.job(one.workspace, None, one.waiting).await.unwrap().unwrap();
    assert_eq!(waiting.state, JobState::Waiting);
    let due: Vec<_> = f.due(f.now() + Duration::from_secs(60), 1_000).await;
    assert!(due.iter().all(|row| row.envelope.job_id != one.waiting));
    assert!(f.message_of(one.waiting).await.is_some());
}

pub async fn pages_are_bounded_by_records_and_by_bytes(mut f: Fixture) {
    furnish(&mut f).await;
    for table in Table::ALL {
        let whole = records(&*f.store, f.workspace, table, MOST).await.concat();
        let few = records(&*f.store, f.workspace, table, Most { records: 7, bytes: 1 << 20 }).await;
        assert!(few.iter().all(|page| page.len() <= 7), "{}", table.name());
        assert_eq!(few.concat(), whole, "{}", table.name());
    }
    for table in [Table::Pages, Table::Chunks, Table::Messages] {
        let whole = records(&*f.store, f.workspace, table, MOST).await.concat();
        let small = Most { records: 400, bytes: 60 };
        let pages = records(&*f.store, f.workspace, table, small).await;
        assert!(pages.len() > 1, "{}", table.name());
        for page in &pages {
            let large: usize = page.iter().map(large_bytes).sum();
            assert!(large <= 60 || page.len() == 1, "{}: {large}", table.name());
        }
        assert_eq!(pages.concat(), whole, "{}", table.name());
    }
}

/// The bytes of a record's large values.
fn large_bytes(record: &Record) -> usize {
    let large = ["text", "header", "boxes", "content", "citations"];
    large.iter().filter_map(|column| record.get(column)).map(Value::weight).sum()
}

pub async fn a_record_that_is_there_is_refused_and_nothing_is_written(mut f: Fixture) {
    furnish(&mut f).await;
    let before = everything(&*f.store).await;
    for (workspace, records) in &before {
        for table in Table::ALL {
            // Usage has no id by which it could be known.
            if table == Table::ModelUsage {
                continue;
            }
            let there: Vec<Record> =
                records.iter().filter(|record| record.table == table).cloned().collect();
            let again = f.store.write_records(*workspace, table, there).await;
            assert!(
                matches!(again, Err(StoreError::Conflict { .. })),
                "{}: {again:?}",
                table.name()
            );
        }
    }
    assert_eq!(everything(&*f.store).await, before);
}

pub async fn a_record_that_names_nothing_or_is_of_another_kind_is_refused(mut f: Fixture) {
    furnish(&mut f).await;
    let other = f.new_workspace().await;
    for table in [Table::Pages, Table::Chunks, Table::Vectors, Table::Versions, Table::ApiKeys] {
        let mut some = records(&*f.store, f.workspace, table, MOST).await.concat();
        some.truncate(1);
        // The first value is what it belongs to, or what it is.
        some[0].values[0] = Value::Id(f.id());
        if table == Table::ApiKeys {
            some[0].values[1] = Value::Id(f.id());
            some[0].values[4] = Value::Text("another".to_owned());
        }
        let refused = f.store.write_records(other, table, some.clone()).await;
        assert!(
            matches!(refused, Err(StoreError::Corrupt { .. })),
            "{}: {refused:?}",
            table.name()
        );
        some[0].values[0] = Value::Boolean(true);
        let refused = f.store.write_records(other, table, some).await;
        assert!(
            matches!(refused, Err(StoreError::Corrupt { .. })),
            "{}: {refused:?}",
            table.name()
        );
    }
}

pub async fn the_standing_is_kept_until_it_changes(f: Fixture) {
    let at: Time = f.now();
    assert_eq!(f.store.standing().await.unwrap(), Standing::Whole);
    for standing in [
        Standing::Arriving { from: "there".to_owned(), since: at },
        Standing::Moved { to: "elsewhere".to_owned(), at },
    ] {
        f.store.set_standing(&standing).await.unwrap();
        assert_eq!(f.store.standing().await.unwrap(), standing);
    }
    f.store.clear().await.unwrap();
    assert!(matches!(f.store.standing().await.unwrap(), Standing::Moved { .. }));
    f.store.set_standing(&Standing::Whole).await.unwrap();
    assert_eq!(f.store.standing().await.unwrap(), Standing::Whole);
}

pub async fn workspaces_are_listed_in_the_order_they_were_made(f: Fixture) {
    let mut made = vec![f.workspace];
    for _ in 0..4 {
        made.push(f.new_workspace().await);
    }
    let mut listed = Vec::new();
    loop {
        let some = f.store.workspaces_after(listed.last().copied(), 2).await.unwrap();
        assert!(some.len() <= 2);
        if some.is_empty() {
            break;
        }
        listed.extend(some);
    }
    assert_eq!(listed, made);
}

pub async fn a_snapshot_stays_as_it_was(mut f: Fixture) {
    furnish(&mut f).await;
    let before = everything(&*f.store).await;
    let mut snapshot = f.store.snapshot().await.unwrap();
    // What is written, changed and removed afterwards.
    let filings = f.collection("later").await;
    f.upload(filings, "later.txt", "later").await;
    let documents = f.store.list_documents(f.workspace, Default::default(), Default::default());
    let first = documents.await.unwrap().items[0].id;
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, first, f.now(), audit).await.unwrap();
    f.new_workspace().await;
    let now = everything(&*f.store).await;
    assert_ne!(now.len(), before.len());

    let workspaces = snapshot.workspaces_after(None, 1_000).await.unwrap();
    assert_eq!(workspaces, before.iter().map(|(workspace, _)| *workspace).collect::<Vec<_>>());
    // The workspaces in turns, as no reader of one would.
    let mut seen: Vec<Vec<Record>> = vec![Vec::new(); workspaces.len()];
    for table in Table::ALL {
        for (place, workspace) in workspaces.iter().enumerate() {
            let mut after = None;
            loop {
                let page = snapshot.read_records(*workspace, table, after, MOST).await.unwrap();
                seen[place].extend(page.records);
                match page.next {
                    None => break,
                    next => after = next,
                }
            }
        }
    }
    snapshot.end().await;
    for ((_, before), seen) in before.iter().zip(&seen) {
        assert_eq!(before, seen);
    }
    assert_eq!(everything(&*f.store).await, now);
}
