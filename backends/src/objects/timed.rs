//! Any storage, with how long its operations take told as a metric.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use quaestor_core::clock::Clock;
use quaestor_core::metrics;
use quaestor_core::ports::objects::{
    ByteStream, LocalCopy, ObjectError, ObjectKey, ObjectPage, Objects, Stored,
};

/// A storage that is timed.
#[derive(Debug)]
pub struct TimedObjects {
    inner: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
}

impl TimedObjects {
    /// The storage, timed.
    #[must_use]
    pub fn new(inner: Arc<dyn Objects>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock }
    }

    async fn timed<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, ObjectError>>,
    ) -> Result<T, ObjectError> {
        let began = self.clock.now();
        let result = work.await;
        // What somebody asked for in vain, or sent too much of, is no failure of the storage.
        let failed = matches!(result, Err(ObjectError::Io { .. }));
        let outcome = if failed { "failed" } else { "ok" };
        let took = metrics::seconds(began, self.clock.now());
        metrics::OBJECTS_SECONDS.of([operation.into(), outcome.into()]).record(took);
        result
    }
}

#[async_trait]
impl Objects for TimedObjects {
    async fn put(
        &self,
        key: &ObjectKey,
        bytes: ByteStream,
        limit_bytes: u64,
    ) -> Result<Stored, ObjectError> {
        self.timed("put", self.inner.put(key, bytes, limit_bytes)).await
    }

    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream, ObjectError> {
        self.timed("get", self.inner.get(key, offset)).await
    }

    async fn local_copy(&self, key: &ObjectKey) -> Result<LocalCopy, ObjectError> {
        self.timed("local_copy", self.inner.local_copy(key)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.timed("delete", self.inner.delete(key)).await
    }

    async fn link(
        &self,
        key: &ObjectKey,
        lives: Duration,
        disposition: &str,
        media_type: &str,
    ) -> Result<Option<String>, ObjectError> {
        self.timed("link", self.inner.link(key, lives, disposition, media_type)).await
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, ObjectError> {
        self.timed("size", self.inner.size(key)).await
    }

    async fn list(&self, after: Option<&ObjectKey>, limit: u32) -> Result<ObjectPage, ObjectError> {
        self.timed("list", self.inner.list(after, limit)).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64, ObjectError> {
        self.timed("sweep", self.inner.sweep(older_than)).await
    }

    /// Not timed here: it has a metric of its own, and a limit that the storage has not.
    async fn ping(&self) -> Result<(), ObjectError> {
        self.inner.ping().await
    }
}
