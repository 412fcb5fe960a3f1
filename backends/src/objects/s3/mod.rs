//! Files in a bucket of S3, or of anything that speaks its protocol.
//!
//! One layer repeats a failed request: the SDK's. A part of an upload is in memory there and
//! nowhere above, because what the client sends cannot be asked for again. What still fails
//! after that fails the call, and a job's own retry begins it anew.

mod failure;
mod list;
mod options;
mod read;
mod scratch;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::presigning::PresigningConfig;
use chrono::TimeDelta;
use quaestor_core::clock::Clock;
use quaestor_core::ports::objects::{
    ByteStream, LocalCopy, ObjectError, ObjectKey, ObjectPage, Objects, Stored,
};
use tokio_util::task::TaskTracker;

use self::failure::Failure;
use self::scratch::Scratch;

pub use self::options::{Credentials, Encryption, S3Options, S3Place};

/// How long a ping waits, so that a health check ends soon.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest a link may live.
const LINK_MAX: Duration = Duration::from_secs(60 * 60);

/// Uploads looked at by one sweep. What is left over comes with the next.
const SWEEP_UPLOADS: usize = 1000;

/// A bucket, and within it everything under a prefix.
#[derive(Debug)]
pub struct S3Objects {
    client: Client,
    options: S3Options,
    scratch: Scratch,
    clock: Arc<dyn Clock>,
    /// Where what must outlive a dropped upload runs: the abort of what it began.
    tasks: TaskTracker,
}

impl S3Objects {
    /// Opens a bucket and checks that it is there and may be used; else the error's source
    /// says in a sentence what is wrong and how to mend it. Takes a place in the scratch
    /// folder and removes what dead processes left there.
    pub async fn open(
        options: S3Options,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Result<Self, ObjectError> {
        let this = Self::open_unseen(options, clock, tasks).await?;
        // A listing, because it is answered with the reason; a HEAD has a status alone.
        this.client
            .list_objects_v2()
            .bucket(&this.options.place.bucket)
            .prefix(this.options.place.prefix_folder())
            .max_keys(1)
            .send()
            .await
            .map_err(|error| this.failed("open", &this.options.place, error))?;
        Ok(this)
    }

    /// Opens a bucket without a look at it: what is wrong with it is told by the first call.
    /// For a bucket without which a program can start.
    pub async fn open_unseen(
        options: S3Options,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Result<Self, ObjectError> {
        let scratch = Scratch::open(options.scratch.clone())
            .await
            .map_err(|error| io("open", options.scratch.display(), error))?;
        let client = Client::from_conf(options.client_config());
        Ok(Self { client, options, scratch, clock, tasks })
    }

    /// Ends uploads that were begun longer than `older_than` ago and never finished: what a
    /// killed process left, which costs storage and shows nowhere. Gives their number.
    pub async fn abort_stale(&self, older_than: Duration) -> Result<usize, ObjectError> {
        let place = &self.options.place;
        let older_than = TimeDelta::from_std(older_than).unwrap_or(TimeDelta::MAX);
        let Some(before) = self.clock.now().checked_sub_signed(older_than) else { return Ok(0) };
        let mut aborted = 0;
        let mut seen = 0;
        let (mut key_marker, mut upload_marker) = (None, None);
        while seen < SWEEP_UPLOADS {
            let page = self
                .client
                .list_multipart_uploads()
                .bucket(&place.bucket)
                .prefix(place.prefix_folder())
                .set_key_marker(key_marker)
                .set_upload_id_marker(upload_marker)
                .send()
                .await
                .map_err(|error| self.failed("sweep", place, error))?;
            for upload in page.uploads() {
                seen += 1;
                let begun = upload.initiated().map_or(i64::MAX, |begun| begun.secs());
                let (Some(name), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                if begun < before.timestamp() {
                    upload::abort(&self.client, &place.bucket, name, id)
                        .await
                        .map_err(|error| self.failed("sweep", place, error))?;
                    aborted += 1;
                }
            }
            if page.is_truncated() != Some(true) || page.next_key_marker().is_none() {
                break;
            }
            key_marker = page.next_key_marker().map(str::to_owned);
            upload_marker = page.next_upload_id_marker().map(str::to_owned);
        }
        Ok(aborted)
    }

    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        self.options.place.to_string()
    }

    /// The key as the bucket knows it.
    fn name(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.options.place.prefix_folder())
    }

    /// A refused request, with the sentence that tells why.
    fn failed<E>(
        &self,
        action: &'static str,
        on: impl std::fmt::Display,
        error: aws_sdk_s3::error::SdkError<E>,
    ) -> ObjectError
    where
        E: std::error::Error + aws_sdk_s3::error::ProvideErrorMetadata + Send + Sync + 'static,
    {
        io(action, on, Failure::new(&self.options, error))
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn put(
        &self,
        key: &ObjectKey,
        bytes: ByteStream,
        limit_bytes: u64,
    ) -> Result<Stored, ObjectError> {
        upload::put(self, key, bytes, limit_bytes).await
    }

    async fn get(&self, key: &ObjectKey, offset: u64) -> Result<ByteStream, ObjectError> {
        read::get(self, key, offset).await
    }

    async fn local_copy(&self, key: &ObjectKey) -> Result<LocalCopy, ObjectError> {
        let bytes = read::get(self, key, 0).await?;
        self.scratch.copy(bytes).await.map_err(|error| io("read", key, error))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        let deleted = self
            .client
            .delete_object()
            .bucket(&self.options.place.bucket)
            .key(self.name(key))
            .send()
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(error) if failure::is_missing(&error) => Ok(()),
            Err(error) => Err(self.failed("delete", key, error)),
        }
    }

    async fn link(
        &self,
        key: &ObjectKey,
        lives: Duration,
        disposition: &str,
        media_type: &str,
    ) -> Result<Option<String>, ObjectError> {
        let expiry = PresigningConfig::builder()
            .start_time(self.clock.now().into())
            .expires_in(lives.clamp(Duration::from_secs(1), LINK_MAX))
            .build()
            .map_err(|error| io("link", key, error))?;
        let request = self
            .client
            .get_object()
            .bucket(&self.options.place.bucket)
            .key(self.name(key))
            .response_content_disposition(disposition)
            .response_content_type(media_type)
            .presigned(expiry)
            .await
            .map_err(|error| self.failed("link", key, error))?;
        Ok(Some(request.uri().to_owned()))
    }

    async fn size(&self, key: &ObjectKey) -> Result<Option<u64>, ObjectError> {
        let bucket = &self.options.place.bucket;
        let answer = self.client.head_object().bucket(bucket).key(self.name(key)).send().await;
        match answer {
            Ok(answer) => match answer.content_length().and_then(|size| u64::try_from(size).ok()) {
                Some(size) => Ok(Some(size)),
                None => Err(io("read", key, "the storage did not say how long the file is")),
            },
            Err(error) if failure::is_missing(&error) => Ok(None),
            Err(error) => Err(self.failed("read", key, error)),
        }
    }

    async fn list(&self, after: Option<&ObjectKey>, limit: u32) -> Result<ObjectPage, ObjectError> {
        list::page(self, after, limit).await
    }

    async fn sweep(&self, older_than: Duration) -> Result<u64, ObjectError> {
        Ok(self.abort_stale(older_than).await? as u64)
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(PING_TIMEOUT)
            .operation_timeout(PING_TIMEOUT)
            .build();
        let at_once =
            Config::builder().timeout_config(timeouts).retry_config(RetryConfig::disabled());
        self.client
            .head_bucket()
            .bucket(&self.options.place.bucket)
            .customize()
            .config_override(at_once)
            .send()
            .await
            .map(drop)
            .map_err(|error| self.failed("ping", &self.options.place, error))
    }
}

fn io(
    action: &'static str,
    on: impl std::fmt::Display,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ObjectError {
    ObjectError::Io { action, key: on.to_string(), source: source.into() }
}
