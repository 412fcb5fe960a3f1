//! What is in the bucket, in the order of keys.

use quaestor_core::clock::Time;
use quaestor_core::ports::objects::{ListedObject, ObjectError, ObjectKey, ObjectPage};

use super::S3Objects;

/// S3 gives no more at once.
const MOST: u32 = 1_000;

pub(super) async fn page(
    objects: &S3Objects,
    after: Option<&ObjectKey>,
    limit: u32,
) -> Result<ObjectPage, ObjectError> {
    let place = &objects.options.place;
    let prefix = place.prefix_folder();
    let most = limit.clamp(1, MOST);
    let answer = objects
        .client
        .list_objects_v2()
        .bucket(&place.bucket)
        .prefix(&prefix)
        .max_keys(i32::try_from(most).unwrap_or(1))
        .set_start_after(after.map(|key| objects.name(key)))
        .send()
        .await
        .map_err(|error| objects.failed("list", place, error))?;
    let mut page = ObjectPage::default();
    let mut last = None;
    for object in answer.contents() {
        let Some(name) = object.key().and_then(|name| name.strip_prefix(&prefix)) else { continue };
        // What is no key was not stored by this program.
        let Ok(key) = ObjectKey::parse(name) else { continue };
        last = Some(key.clone());
        let stored_at = object.last_modified().map_or(Time::MAX_UTC, |at| {
            Time::from_timestamp(at.secs(), at.subsec_nanos()).unwrap_or(Time::MAX_UTC)
        });
        let size_bytes = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        page.objects.push(ListedObject { key, size_bytes, stored_at });
    }
    if answer.is_truncated() == Some(true) {
        page.next = last;
    }
    Ok(page)
}
