//! What every place of backups must do.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::bundles::{BundleName, Bundles};
use quaestor_core::ports::objects::{ByteStream, ObjectError};
use uuid::Uuid;

/// Makes one test of each case. The factory is an async function that gives an empty place
/// (anything that is `Bundles`) and what must live as long as it.
#[macro_export]
macro_rules! bundles_contract {
    ($($factory:tt)+) => {
        $crate::contract_cases!(
            bundles,
            {$($factory)+},
            [
                a_bundle_that_is_kept_is_read_back,
                bundles_are_listed_oldest_first,
                a_bundle_that_breaks_off_is_not_kept,
                a_bundle_that_is_removed_is_gone,
            ]
        );
    };
}

fn name(hour: u32) -> BundleName {
    let at = Time::from_timestamp(1_767_225_600 + i64::from(hour) * 3_600, 0).unwrap();
    BundleName::new(WorkspaceId(Uuid::from_u128(7)), at, Uuid::from_u128(hour.into()))
}

fn bytes(pieces: usize) -> ByteStream {
    let piece = Bytes::from(vec![7_u8; 100_000]);
    stream::iter(vec![piece; pieces]).map(Ok).boxed()
}

/// Case.
pub async fn a_bundle_that_is_kept_is_read_back<G>((bundles, _): &(impl Bundles, G)) {
    assert_eq!(bundles.put(&name(1), bytes(90)).await.unwrap(), 9_000_000);
    let read = bundles.get(&name(1)).await.unwrap().try_collect::<Vec<Bytes>>().await.unwrap();
    assert!(read.concat() == vec![7_u8; 9_000_000], "the bytes differ");
    assert!(!bundles.place().is_empty());
}

/// Case.
pub async fn bundles_are_listed_oldest_first<G>((bundles, _): &(impl Bundles, G)) {
    assert!(bundles.list().await.unwrap().is_empty(), "an empty place has an empty list");
    for hour in [3, 1, 2] {
        bundles.put(&name(hour), bytes(hour as usize)).await.unwrap();
    }
    let listed = bundles.list().await.unwrap();
    let seen: Vec<_> = listed.iter().map(|one| (one.name.clone(), one.size_bytes)).collect();
    assert_eq!(seen, [(name(1), 100_000), (name(2), 200_000), (name(3), 300_000)]);
}

/// Case.
pub async fn a_bundle_that_breaks_off_is_not_kept<G>((bundles, _): &(impl Bundles, G)) {
    let broken = bytes(90).chain(stream::iter([Err("the line went dead".into())])).boxed();
    let refused = bundles.put(&name(1), broken).await;
    assert!(matches!(refused, Err(ObjectError::Source(_))));
    assert!(bundles.list().await.unwrap().is_empty());
    assert!(bundles.get(&name(1)).await.is_err());
    // The name is free.
    bundles.put(&name(1), bytes(1)).await.unwrap();
}

/// Case.
pub async fn a_bundle_that_is_removed_is_gone<G>((bundles, _): &(impl Bundles, G)) {
    bundles.put(&name(1), bytes(1)).await.unwrap();
    bundles.put(&name(2), bytes(1)).await.unwrap();
    bundles.delete(&name(1)).await.unwrap();
    bundles.delete(&name(1)).await.unwrap();
    let listed = bundles.list().await.unwrap();
    assert_eq!(listed.iter().map(|one| one.name.clone()).collect::<Vec<_>>(), [name(2)]);
}
