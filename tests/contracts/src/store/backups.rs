//! Whose turn it is to make a backup, and what is remembered of those that were made.

#![expect(missing_docs, reason = "the name of a case is what it promises")]

use std::time::Duration;

use quaestor_core::clock::Time;
use quaestor_core::ports::store::{BackupClaim, BackupEnd, BackupState};
use uuid::Uuid;

use super::fixture::Fixture;

const TRIES: u32 = 3;

fn claim(f: &Fixture, slot: Option<Time>) -> BackupClaim {
    let lease_until = f.now() + Duration::from_secs(60);
    BackupClaim { id: f.id(), slot, place: "/srv/backups".to_owned(), lease_until, tries: TRIES }
}

async fn take(f: &Fixture, slot: Option<Time>) -> Option<Uuid> {
    let claim = claim(f, slot);
    let id = claim.id;
    f.store.claim_backup(claim, f.now()).await.unwrap().then_some(id)
}

fn done() -> BackupEnd {
    let name = "quaestor-1".to_owned();
    BackupEnd::Done { name, size_bytes: 5_000_000_000, records: 7, files: 3, damaged: 1 }
}

pub async fn of_many_who_want_a_slot_one_is_given_it(f: Fixture) {
    let slot = Some(f.now());
    let taken = futures::future::join_all((0..8).map(|_| take(&f, slot))).await;
    let taken: Vec<Uuid> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    f.pass(Duration::from_secs(10));
    assert!(f.store.end_backup(taken[0], done(), f.now()).await.unwrap());
    f.pass(Duration::from_secs(3_600));
    assert_eq!(take(&f, slot).await, None, "what is done is not done again");
    let runs = f.store.last_backups(10).await.unwrap();
    assert_eq!(runs.len(), 1);
    let run = &runs[0];
    assert_eq!((run.id, run.slot, run.state), (taken[0], slot, BackupState::Done));
    assert_eq!((run.size_bytes, run.records, run.files, run.damaged), (5_000_000_000, 7, 3, 1));
    assert_eq!(run.name.as_deref(), Some("quaestor-1"));
    let took = run.ended_at.unwrap() - run.began_at;
    assert_eq!(took.num_seconds(), 10);
}

pub async fn a_backup_whose_maker_died_is_taken_over(f: Fixture) {
    let slot = Some(f.now());
    let first = take(&f, slot).await.unwrap();
    f.pass(Duration::from_secs(50));
    let until = f.now() + Duration::from_secs(60);
    assert!(f.store.renew_backup(first, until).await.unwrap());
    f.pass(Duration::from_secs(50));
    assert_eq!(take(&f, slot).await, None, "it was renewed");
    f.pass(Duration::from_secs(11));
    let second = take(&f, slot).await.unwrap();
    assert!(!f.store.renew_backup(first, until).await.unwrap());
    assert!(!f.store.end_backup(first, done(), f.now()).await.unwrap());
    assert!(f.store.end_backup(second, done(), f.now()).await.unwrap());
    let runs = f.store.last_backups(10).await.unwrap();
    assert_eq!((runs.len(), runs[0].tries), (1, 2));
}

pub async fn a_backup_that_failed_is_tried_again_a_few_times(f: Fixture) {
    let slot = Some(f.now());
    for number in 1..=TRIES {
        let id = take(&f, slot).await.unwrap();
        let retry_at = f.now() + Duration::from_secs(600);
        let end = BackupEnd::Failed { error: "the disk is full".to_owned(), retry_at };
        assert!(f.store.end_backup(id, end, f.now()).await.unwrap());
        let runs = f.store.last_backups(1).await.unwrap();
        assert_eq!((runs[0].state, runs[0].tries), (BackupState::Failed, number));
        assert_eq!(runs[0].error.as_deref(), Some("the disk is full"));
        f.pass(Duration::from_secs(599));
        assert_eq!(take(&f, slot).await, None, "not before its time");
        f.pass(Duration::from_secs(1));
    }
    assert_eq!(take(&f, slot).await, None, "not for ever");
    assert!(take(&f, Some(f.now())).await.is_some(), "the next slot is another matter");
}

pub async fn backups_by_hand_do_not_stand_in_each_others_way(f: Fixture) {
    let (first, second) = (take(&f, None).await.unwrap(), take(&f, None).await.unwrap());
    f.pass(Duration::from_secs(1));
    let third = take(&f, Some(f.now())).await.unwrap();
    for id in [first, second, third] {
        assert!(f.store.end_backup(id, done(), f.now()).await.unwrap());
    }
    let runs = f.store.last_backups(2).await.unwrap();
    assert_eq!((runs.len(), runs[0].id), (2, third), "newest first");
    assert_eq!(f.store.last_backups(10).await.unwrap().len(), 3);
}
