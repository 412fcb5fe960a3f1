//! An installation goes through a bundle, from either store into the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quaestor_backends::bundles::age::AgeSeal;
use quaestor_backends::bundles::folder::FolderBundles;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_contracts::store::portable::everything;
use quaestor_core::backup::{About, BackupError, Opened, Saved, Source, Target, back_up};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::ids::IdSource;
use quaestor_core::model::DocumentStatus;
use quaestor_core::ports::bundles::{BundleName, Bundles, Seal};
use quaestor_core::ports::objects::{ObjectKey, Objects};
use quaestor_core::ports::store::{Documents, Store, Table};
use quaestor_core::transfer::{Damage, Tell, Told, check_objects};
use secrecy::SecretString;
use tempfile::TempDir;

use super::files::{as_stored, files};
use super::{furnished, postgres, silent, sqlite, without_nuls};

/// A place for bundles and what makes them.
struct Desk {
    folder: TempDir,
    bundles: FolderBundles,
    seal: AgeSeal,
    clock: Arc<dyn Clock>,
    ids: IdSource,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let passphrase = SecretString::from("a passphrase of good length");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Self {
            bundles: FolderBundles::new(folder.path().join("bundles")),
            folder,
            seal: AgeSeal::new().with_passphrase(&passphrase).unwrap(),
            ids: IdSource::new(clock.clone(), Arc::new(SeededEntropy::new(3))),
            clock,
        }
    }

    async fn back_up(
        &self,
        store: &dyn Store,
        objects: &dyn Objects,
        at_most: Duration,
        tell: Tell<'_>,
    ) -> Result<(BundleName, Saved), BackupError> {
        let installation = store.first_workspace().await.unwrap().unwrap();
        let name = BundleName::new(installation, self.clock.now(), self.ids.next());
        let (product, kind) = ("1".to_owned(), "test".to_owned());
        let about = About { name: name.clone(), product, store: kind, at_most };
        let scratch = tokio::fs::File::from_std(tempfile::tempfile().unwrap());
        let source = Source { store, objects, clock: &*self.clock };
        let scratch = Box::new(scratch);
        let saved = back_up(&source, &self.bundles, &self.seal, &about, scratch, tell).await?;
        Ok((name, saved))
    }

    async fn restore(&self, name: &BundleName, store: &dyn Store, objects: &dyn Objects) {
        let plain = self.seal.open(self.bundles.get(name).await.unwrap()).await.unwrap();
        let target = Target { store, objects, clock: &*self.clock, ids: &self.ids };
        Opened::begin(plain).await.unwrap().restore(&target, &silent).await.unwrap();
    }

    async fn objects(&self, name: &str) -> LocalObjects {
        LocalObjects::open(&self.folder.path().join(name)).await.unwrap()
    }
}

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn through_bundles_from_sqlite_to_postgres_and_back_everything_is_the_same() {
    let (first, second, third) = (sqlite().await, postgres().await, sqlite().await);
    furnished(first.store.clone()).await;
    as_stored(&first.file).await;
    let desk = Desk::new();
    let here = files(&*first.store, &desk.folder.path().join("here")).await;
    let (there, back) = (desk.objects("there").await, desk.objects("back").await);
    let (name, saved) = desk.back_up(&*first.store, &here, LONG, &silent).await.unwrap();
    assert!(saved.trailer.files.files >= 16 && saved.damaged.is_empty(), "{saved:?}");
    let rows: u64 = saved.trailer.tables.iter().map(|table| table.records).sum();
    assert!(rows > 2_300, "{rows}");
    desk.restore(&name, &*second.store, &there).await;
    let (name, again) = desk.back_up(&*second.store, &there, LONG, &silent).await.unwrap();
    // The same rows, files and sums, whichever store they stand in.
    assert_eq!(again.trailer, saved.trailer);
    desk.restore(&name, &*third.store, &back).await;
    let moved = everything(&*second.store).await;
    assert_eq!(without_nuls(&*first.store).await, moved);
    assert_eq!(everything(&*third.store).await, moved);
    let (checked, damaged) = check_objects(&*third.store, &back, &silent).await.unwrap();
    assert_eq!((checked.files, damaged.len()), (saved.trailer.files.files, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_goes_between_rows_and_files_is_not_restored() {
    let (first, second) = (sqlite().await, sqlite().await);
    let (f, _) = furnished(first.store.clone()).await;
    as_stored(&first.file).await;
    let desk = Desk::new();
    let here = files(&*first.store, &desk.folder.path().join("here")).await;
    let documents = first.store.list_documents(f.workspace, Default::default(), Default::default());
    let gone = documents.await.unwrap().items[0].id;
    let deleted = AtomicBool::new(false);
    // Once the last table is read, and before any file is.
    let tell = |told: Told| {
        if matches!(told, Told::Copied(Table::IdempotencyKeys, _)) {
            let delete = async {
                let audit = f.audit("document.delete");
                let now = desk.clock.now();
                let keys = first.store.delete_document(f.workspace, gone, now, audit).await;
                for one in keys.unwrap().unwrap() {
                    here.delete(&key(&one)).await.unwrap();
                }
            };
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(delete));
            deleted.store(true, Ordering::SeqCst);
        }
    };
    let (name, saved) = desk.back_up(&*first.store, &here, LONG, &tell).await.unwrap();
    assert!(deleted.load(Ordering::SeqCst));
    assert!(saved.trailer.files.deleted >= 1 && saved.trailer.files.damaged == 0, "{saved:?}");
    assert!(saved.damaged.is_empty());
    let there = desk.objects("there").await;
    desk.restore(&name, &*second.store, &there).await;
    assert_eq!(second.store.document(f.workspace, gone).await.unwrap(), None);
    let (_, damaged) = check_objects(&*second.store, &there, &silent).await.unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
}

#[tokio::test]
async fn a_file_that_was_lost_before_is_named_and_the_rest_is_kept() {
    let (first, second) = (sqlite().await, sqlite().await);
    let (f, _) = furnished(first.store.clone()).await;
    as_stored(&first.file).await;
    let desk = Desk::new();
    let here = files(&*first.store, &desk.folder.path().join("here")).await;
    let documents = first.store.list_documents(f.workspace, Default::default(), Default::default());
    let documents = documents.await.unwrap().items;
    let lost = documents.iter().find(|one| one.status != DocumentStatus::Failed).unwrap().id;
    let object = first.store.document_object(f.workspace, lost, None).await.unwrap().unwrap();
    here.delete(&key(&object.key)).await.unwrap();
    let (name, saved) = desk.back_up(&*first.store, &here, LONG, &silent).await.unwrap();
    assert_eq!(saved.trailer.files.damaged, 1);
    assert_eq!(saved.damaged[0].damage, Damage::Missing);
    assert!(saved.damaged[0].to_string().contains(&lost.to_string()));
    let there = desk.objects("there").await;
    desk.restore(&name, &*second.store, &there).await;
    assert!(second.store.document(f.workspace, lost).await.unwrap().is_some());
}

#[tokio::test]
async fn a_backup_that_takes_too_long_is_given_up_and_leaves_nothing() {
    let first = sqlite().await;
    furnished(first.store.clone()).await;
    let desk = Desk::new();
    let here = desk.objects("here").await;
    let refused = desk.back_up(&*first.store, &here, Duration::ZERO, &silent).await;
    assert!(matches!(refused, Err(BackupError::TooLong(_))), "{refused:?}");
    assert!(is_empty(&desk.folder.path().join("bundles")));
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}
