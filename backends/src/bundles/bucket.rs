//! Bundles in a bucket of S3.

use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Time;
use quaestor_core::ports::bundles::{BundleName, Bundles, KeptBundle};
use quaestor_core::ports::objects::{ByteStream, ObjectError, ObjectKey, Objects};

use crate::objects::s3::S3Objects;

/// So many names are listed at once.
const PAGE: u32 = 1_000;

/// A bucket, and within it everything under a prefix.
#[derive(Debug)]
pub struct BucketBundles {
    objects: S3Objects,
}

impl BucketBundles {
    /// The bundles of a bucket.
    #[must_use]
    pub fn new(objects: S3Objects) -> Self {
        Self { objects }
    }
}

fn key(name: &BundleName) -> Result<ObjectKey, ObjectError> {
    ObjectKey::parse(&name.to_string())
}

#[async_trait]
impl Bundles for BucketBundles {
    async fn put(&self, name: &BundleName, bytes: ByteStream) -> Result<u64, ObjectError> {
        Ok(self.objects.put(&key(name)?, bytes, u64::MAX).await?.size_bytes)
    }

    async fn get(&self, name: &BundleName) -> Result<ByteStream, ObjectError> {
        self.objects.get(&key(name)?, 0).await
    }

    async fn list(&self) -> Result<Vec<KeptBundle>, ObjectError> {
        let mut kept = Vec::new();
        let mut after = None;
        loop {
            let page = self.objects.list(after.as_ref(), PAGE).await?;
            for object in page.objects {
                if let Ok(name) = object.key.as_str().parse() {
                    kept.push(KeptBundle { name, size_bytes: object.size_bytes });
                }
            }
            match page.next {
                None => break,
                next => after = next,
            }
        }
        kept.sort_by(|one, other| (one.name.at, &one.name).cmp(&(other.name.at, &other.name)));
        Ok(kept)
    }

    async fn delete(&self, name: &BundleName) -> Result<(), ObjectError> {
        self.objects.delete(&key(name)?).await
    }

    async fn tidy(&self, older_than: Duration, _now: Time) -> Result<u64, ObjectError> {
        self.objects.sweep(older_than).await
    }

    fn place(&self) -> String {
        self.objects.place()
    }
}
