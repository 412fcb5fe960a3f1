//! What every backend of stored files must do.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use quaestor_core::ids::{DocumentId, WorkspaceId};
use quaestor_core::ports::objects::{ByteStream, ObjectError, ObjectKey, Objects};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Makes one test of each case. The factory is an async function that gives an empty
/// backend (anything that is `Objects`) and what must live as long as it.
#[macro_export]
macro_rules! objects_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            objects,
            {$($factory)+},
            [
                what_is_put_is_got_back,
                an_empty_file_is_a_file,
                a_large_file_is_got_back,
                reading_begins_at_the_offset,
                behind_the_end_there_is_nothing,
                a_local_copy_has_the_bytes,
                a_file_that_is_too_large_is_not_kept,
                an_upload_that_breaks_off_is_not_kept,
                a_large_upload_that_fails_is_not_kept,
                a_missing_file_is_missing_everywhere,
                a_delete_may_be_repeated,
                files_that_stand_together_are_deleted_at_once,
                a_second_put_replaces_the_first,
                files_are_listed_in_pages_by_their_keys,
                a_size_is_told_without_reading,
                it_serves,
            ]
        );
    };
}

const LIMIT: u64 = 1 << 20;

/// A size that goes to an object store in several parts of no even length.
const LARGE: usize = 20_000_007;

fn key(number: u32) -> ObjectKey {
    let (workspace, document) = (Uuid::from_u128(1), Uuid::from_u128(number.into()));
    ObjectKey::document(WorkspaceId(workspace), DocumentId(document), 1)
}

fn pieces(bytes: &[u8]) -> ByteStream {
    let pieces: Vec<_> =
        bytes.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

fn content() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i % 251) as u8).collect()
}

/// Bytes in large pieces, as a client's fast line gives them.
fn large() -> (Bytes, Vec<Bytes>) {
    let bytes: Bytes = (0..LARGE).map(|i| (i % 65_521) as u8).collect();
    let pieces = (0..LARGE).step_by(3_000_000);
    let pieces = pieces.map(|at| bytes.slice(at..LARGE.min(at + 3_000_000))).collect();
    (bytes, pieces)
}

async fn read(objects: &dyn Objects, key: &ObjectKey, offset: u64) -> Vec<u8> {
    let stream = objects.get(key, offset).await.unwrap();
    stream.try_collect::<Vec<Bytes>>().await.unwrap().concat()
}

async fn is_missing(objects: &dyn Objects, key: &ObjectKey) -> bool {
    matches!(objects.get(key, 0).await, Err(ObjectError::Missing(missing)) if missing == *key)
}

/// Case.
pub async fn what_is_put_is_got_back<G>((objects, _): &(impl Objects, G)) {
    let bytes = content();
    let stored = objects.put(&key(1), pieces(&bytes), LIMIT).await.unwrap();
    assert_eq!(stored.size_bytes, bytes.len() as u64);
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(stored.sha256, sha256);
    assert_eq!(read(objects, &key(1), 0).await, bytes);
}

/// Case.
pub async fn an_empty_file_is_a_file<G>((objects, _): &(impl Objects, G)) {
    let stored = objects.put(&key(1), pieces(&[]), LIMIT).await.unwrap();
    assert_eq!(stored.size_bytes, 0);
    assert!(read(objects, &key(1), 0).await.is_empty());
}

/// Case.
pub async fn a_large_file_is_got_back<G>((objects, _): &(impl Objects, G)) {
    let (bytes, pieces) = large();
    let source = stream::iter(pieces.into_iter().map(Ok)).boxed();
    let stored = objects.put(&key(1), source, LARGE as u64).await.unwrap();
    assert_eq!(stored.size_bytes, LARGE as u64);
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(stored.sha256, sha256);
    assert!(read(objects, &key(1), 0).await == bytes, "the bytes differ");
    assert!(read(objects, &key(1), 9_999_999).await == bytes[9_999_999..], "the bytes differ");
}

/// Case.
pub async fn reading_begins_at_the_offset<G>((objects, _): &(impl Objects, G)) {
    let bytes = content();
    objects.put(&key(1), pieces(&bytes), LIMIT).await.unwrap();
    assert_eq!(read(objects, &key(1), 123_456).await, &bytes[123_456..]);
}

/// Case.
pub async fn behind_the_end_there_is_nothing<G>((objects, _): &(impl Objects, G)) {
    objects.put(&key(1), pieces(b"four"), LIMIT).await.unwrap();
    assert!(read(objects, &key(1), 4).await.is_empty());
    assert!(read(objects, &key(1), 1000).await.is_empty());
}

/// Case.
pub async fn a_local_copy_has_the_bytes<G>((objects, _): &(impl Objects, G)) {
    let bytes = content();
    objects.put(&key(1), pieces(&bytes), LIMIT).await.unwrap();
    let copy = objects.local_copy(&key(1)).await.unwrap();
    assert_eq!(std::fs::read(copy.path()).unwrap(), bytes);
    drop(copy);
    assert_eq!(read(objects, &key(1), 0).await, bytes, "the stored file stays");
}

/// Case.
pub async fn a_file_that_is_too_large_is_not_kept<G>((objects, _): &(impl Objects, G)) {
    let bytes = content();
    let limit = bytes.len() as u64;
    objects.put(&key(1), pieces(&bytes), limit).await.unwrap();
    let refused = objects.put(&key(2), pieces(&bytes), limit - 1).await;
    assert!(
        matches!(refused, Err(ObjectError::TooLarge { limit_bytes }) if limit_bytes == limit - 1)
    );
    assert!(is_missing(objects, &key(2)).await);
}

/// Case.
pub async fn an_upload_that_breaks_off_is_not_kept<G>((objects, _): &(impl Objects, G)) {
    let broken = pieces(&content()).chain(stream::iter([Err("the line went dead".into())])).boxed();
    let result = objects.put(&key(1), broken, LIMIT).await;
    assert!(matches!(result, Err(ObjectError::Source(_))));
    assert!(is_missing(objects, &key(1)).await);
}

/// Case.
pub async fn a_large_upload_that_fails_is_not_kept<G>((objects, _): &(impl Objects, G)) {
    let (_, pieces) = large();
    let source = stream::iter(pieces.clone().into_iter().map(Ok)).boxed();
    let refused = objects.put(&key(1), source, LARGE as u64 - 1).await;
    assert!(matches!(refused, Err(ObjectError::TooLarge { .. })));
    assert!(is_missing(objects, &key(1)).await);
    let source = stream::iter(pieces.into_iter().map(Ok));
    let broken = source.chain(stream::iter([Err("the line went dead".into())])).boxed();
    let result = objects.put(&key(1), broken, LARGE as u64).await;
    assert!(matches!(result, Err(ObjectError::Source(_))));
    assert!(is_missing(objects, &key(1)).await);
}

/// Case.
pub async fn a_missing_file_is_missing_everywhere<G>((objects, _): &(impl Objects, G)) {
    assert!(is_missing(objects, &key(1)).await);
    assert!(matches!(objects.local_copy(&key(1)).await, Err(ObjectError::Missing(_))));
}

/// Case.
pub async fn a_delete_may_be_repeated<G>((objects, _): &(impl Objects, G)) {
    objects.put(&key(1), pieces(b"a"), LIMIT).await.unwrap();
    objects.put(&key(2), pieces(b"b"), LIMIT).await.unwrap();
    objects.delete(&key(1)).await.unwrap();
    objects.delete(&key(1)).await.unwrap();
    assert!(is_missing(objects, &key(1)).await);
    assert_eq!(read(objects, &key(2), 0).await, b"b");
    objects.put(&key(1), pieces(b"c"), LIMIT).await.unwrap();
    assert_eq!(read(objects, &key(1), 0).await, b"c");
}

/// Case.
pub async fn files_that_stand_together_are_deleted_at_once<G>((objects, _): &(impl Objects, G)) {
    let workspace = WorkspaceId(Uuid::from_u128(1));
    let keys: Vec<_> = (0..32).map(|n| ObjectKey::upload(workspace, Uuid::from_u128(n))).collect();
    for key in &keys {
        objects.put(key, pieces(b"a"), LIMIT).await.unwrap();
    }
    let deleted = stream::iter(&keys).map(|key| objects.delete(key)).buffer_unordered(8);
    deleted.try_collect::<Vec<()>>().await.unwrap();
    for key in &keys {
        assert!(is_missing(objects, key).await);
    }
}

/// Case.
pub async fn a_second_put_replaces_the_first<G>((objects, _): &(impl Objects, G)) {
    objects.put(&key(1), pieces(b"first"), LIMIT).await.unwrap();
    objects.put(&key(1), pieces(b"second"), LIMIT).await.unwrap();
    assert_eq!(read(objects, &key(1), 0).await, b"second");
}

/// Case.
pub async fn files_are_listed_in_pages_by_their_keys<G>((objects, _): &(impl Objects, G)) {
    let list = async |after: Option<&ObjectKey>, limit| objects.list(after, limit).await.unwrap();
    assert!(list(None, 10).await.objects.is_empty(), "an empty store has an empty list");
    let mut keys = Vec::new();
    for workspace in [1, 2] {
        let workspace = WorkspaceId(Uuid::from_u128(workspace));
        for number in 0..4 {
            keys.push(ObjectKey::upload(workspace, Uuid::from_u128(number)));
            let document = DocumentId(Uuid::from_u128(number));
            // The tenth version stands before the second.
            for version in [1, 2, 10] {
                keys.push(ObjectKey::document(workspace, document, version));
            }
        }
    }
    keys.push(ObjectKey::parse("a-b").unwrap());
    keys.push(ObjectKey::parse("a/b").unwrap());
    keys.push(ObjectKey::parse("a-a/b").unwrap());
    for key in &keys {
        objects.put(key, pieces(b"four"), LIMIT).await.unwrap();
    }
    keys.sort();
    for limit in [1, 2, 3, 7, 1_000] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = list(after.as_ref(), limit).await;
            assert!(page.objects.len() <= limit as usize);
            seen.extend(page.objects);
            match page.next {
                None => break,
                next => after = next,
            }
        }
        assert!(seen.iter().all(|object| object.size_bytes == 4), "{seen:?}");
        let years = seen.iter().map(|object| object.stored_at.format("%Y").to_string());
        assert!(years.into_iter().all(|year| ("2024".."2100").contains(&&*year)), "{seen:?}");
        let seen: Vec<_> = seen.into_iter().map(|object| object.key).collect();
        assert_eq!(seen, keys, "{limit}");
    }
    // From a key that is not there, as after a delete.
    objects.delete(&keys[4]).await.unwrap();
    assert_eq!(list(Some(&keys[4]), 1).await.objects[0].key, keys[5]);
}

/// Case.
pub async fn a_size_is_told_without_reading<G>((objects, _): &(impl Objects, G)) {
    assert_eq!(objects.size(&key(1)).await.unwrap(), None);
    objects.put(&key(1), pieces(b"four"), LIMIT).await.unwrap();
    assert_eq!(objects.size(&key(1)).await.unwrap(), Some(4));
}

/// Case.
pub async fn it_serves<G>((objects, _): &(impl Objects, G)) {
    objects.ping().await.unwrap();
}
