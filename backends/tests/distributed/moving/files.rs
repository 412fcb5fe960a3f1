//! Files go from one place to another, and what is damaged is named.

use std::path::Path;

use futures::StreamExt;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::objects::{ObjectKey, Objects};
use quaestor_core::ports::store::{Most, Record, Store, Table};
use quaestor_core::transfer::{Damage, check_objects, copy_objects, remove_objects};
use sqlx::{Connection, Row};

use super::{furnished, silent, sqlite};

/// A file for every version, as an upload would have left it.
pub(super) async fn files(store: &dyn Store, folder: &Path) -> LocalObjects {
    let objects = LocalObjects::open(folder).await.unwrap();
    for workspace in store.workspaces_after(None, 10).await.unwrap() {
        for version in versions(store, workspace).await {
            // The fixture's files are their texts; only the size and the sum count here.
            let size = usize::try_from(version.integer("size_bytes").unwrap()).unwrap();
            let key = ObjectKey::parse(version.text("object_key").unwrap()).unwrap();
            let stream = futures::stream::iter([Ok(vec![b'x'; size].into())]).boxed();
            objects.put(&key, stream, 1 << 20).await.unwrap();
        }
    }
    objects
}

async fn versions(store: &dyn Store, workspace: WorkspaceId) -> Vec<Record> {
    let most = Most { records: 400, bytes: 1 << 20 };
    store.read_records(workspace, Table::Versions, None, most).await.unwrap().records
}

/// Makes the rows say of each file what `files` has stored.
pub(super) async fn as_stored(file: &Path) {
    use sha2::{Digest, Sha256};
    let url = format!("sqlite:{}", file.display());
    let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let rows = sqlx::query("SELECT key, size_bytes FROM versions").fetch_all(&mut database).await;
    for row in rows.unwrap() {
        let size = usize::try_from(row.get::<i64, _>(1)).unwrap();
        let sha256: String =
            Sha256::digest(vec![b'x'; size]).iter().map(|byte| format!("{byte:02x}")).collect();
        sqlx::query("UPDATE versions SET sha256 = $2 WHERE key = $1")
            .bind(row.get::<i64, _>(0))
            .bind(sha256)
            .execute(&mut database)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn every_file_arrives_and_one_that_is_damaged_is_named() {
    let first = sqlite().await;
    furnished(first.store.clone()).await;
    as_stored(&first.file).await;
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = files(&*first.store, here.path()).await;
    let target = LocalObjects::open(there.path()).await.unwrap();
    let store: &dyn Store = &*first.store;
    let (copied, damaged) = copy_objects(store, &source, &target, &silent).await.unwrap();
    assert!(copied.files >= 16 && damaged.is_empty(), "{copied:?} {damaged:?}");
    let (checked, damaged) = check_objects(store, &target, &silent).await.unwrap();
    assert_eq!((checked, damaged.len()), (copied, 0));

    // A byte, a file and the end of a file.
    let workspace = store.workspaces_after(None, 1).await.unwrap()[0];
    let all = versions(store, workspace).await;
    let path = |folder: &Path, record: &Record| {
        folder.join("objects").join(record.text("object_key").unwrap())
    };
    let long = all.iter().find(|one| one.text("filename").unwrap().starts_with("canary")).unwrap();
    let mut bytes = std::fs::read(path(there.path(), long)).unwrap();
    bytes[17] ^= 1;
    std::fs::write(path(there.path(), long), bytes).unwrap();
    let failed = all.iter().find(|one| one.text("status") == Some("failed")).unwrap();
    std::fs::remove_file(path(there.path(), failed)).unwrap();
    let (_, damaged) = check_objects(store, &target, &silent).await.unwrap();
    let mut damages: Vec<_> = damaged.iter().map(|one| (one.damage.clone(), one.failed)).collect();
    damages.sort_by_key(|(damage, _)| format!("{damage:?}"));
    assert_eq!(damages, [(Damage::Changed, false), (Damage::Missing, true)]);
    assert!(damaged.iter().any(|one| one.to_string().contains("canary-of-the-first.txt")));

    // At the source such a file is not copied.
    let mut bytes = std::fs::read(path(here.path(), long)).unwrap();
    bytes[17] ^= 1;
    std::fs::write(path(here.path(), long), bytes).unwrap();
    std::fs::remove_file(path(there.path(), long)).unwrap();
    let (_, damaged) = copy_objects(store, &source, &target, &silent).await.unwrap();
    assert_eq!(damaged.len(), 1);
    assert!(!path(there.path(), long).exists());

    remove_objects(store, &target).await.unwrap();
    let (left, damaged) = check_objects(store, &target, &silent).await.unwrap();
    assert_eq!((left.files, damaged.len() as u64), (0, copied.files));
}
