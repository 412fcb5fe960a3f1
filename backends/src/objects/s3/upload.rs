//! Sending a file to the bucket, without holding more than a few pieces of it.
//!
//! A file below the size of a part goes in one request. A larger one goes in parts, some of
//! them at the same time, and stands under its key only when all parts are put together.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use quaestor_core::ports::objects::{ByteStream, ObjectError, ObjectKey, Stored};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::options::Encryption;
use super::{S3Objects, failure, io};

/// A part of an upload. S3 wants 5 MiB at least, and 10,000 parts at most.
const PART_BYTES: usize = 8 << 20;
const PARTS_MAX: u64 = 10_000;

/// Parts in memory at the same time, the one that is being filled among them.
const PARTS_IN_MEMORY: usize = 3;

/// What the buffer of a small file begins with.
const FIRST_BYTES: usize = 64 << 10;

/// How long the storage may take to put the parts together: Amazon says minutes.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

pub(super) async fn put(
    objects: &S3Objects,
    key: &ObjectKey,
    bytes: ByteStream,
    limit_bytes: u64,
) -> Result<Stored, ObjectError> {
    let mut source = Source::new(bytes, limit_bytes.min(PARTS_MAX * PART_BYTES as u64));
    let name = objects.name(key);
    let first = source.part().await?;
    match first {
        Some(first) if first.len() == PART_BYTES => {
            in_parts(objects, key, &name, first, &mut source).await?;
        }
        small => whole(objects, key, &name, small.unwrap_or_default()).await?,
    }
    Ok(source.stored())
}

/// Sends a small file. The storage checks its length and its checksum before it keeps it.
async fn whole(
    objects: &S3Objects,
    key: &ObjectKey,
    name: &str,
    bytes: Bytes,
) -> Result<(), ObjectError> {
    let (encryption, kms_key) = encryption(objects);
    let sent = objects
        .client
        .put_object()
        .bucket(&objects.options.place.bucket)
        .key(name)
        .set_server_side_encryption(encryption)
        .set_ssekms_key_id(kms_key)
        .body(bytes.into())
        .send()
        .await;
    if let Err(error) = sent {
        if failure::may_have_been_done(&error) {
            take_back(objects, key, name).await;
        }
        return Err(objects.failed("store", key, error));
    }
    Ok(())
}

/// Sends a large file. Its parts are aborted where anything fails, or where nobody waits any
/// more.
async fn in_parts(
    objects: &S3Objects,
    key: &ObjectKey,
    name: &str,
    first: Bytes,
    source: &mut Source,
) -> Result<(), ObjectError> {
    let (encryption, kms_key) = encryption(objects);
    let begun = objects
        .client
        .create_multipart_upload()
        .bucket(&objects.options.place.bucket)
        .key(name)
        .set_server_side_encryption(encryption)
        .set_ssekms_key_id(kms_key)
        .send()
        .await
        .map_err(|error| objects.failed("store", key, error))?;
    let id = begun.upload_id().unwrap_or_default();
    if id.is_empty() {
        return Err(io("store", key, "the storage gave the upload no id"));
    }
    let unfinished = Unfinished {
        client: objects.client.clone(),
        bucket: objects.options.place.bucket.clone(),
        name: name.to_owned(),
        id: id.to_owned(),
        tasks: objects.tasks.clone(),
        settled: false,
    };
    let sent = match send_parts(objects, key, &unfinished, first, source).await {
        Ok(parts) => complete(objects, key, &unfinished, parts, source.size_bytes).await,
        Err(error) => Err(error),
    };
    unfinished.settle(sent.is_ok()).await;
    sent
}

/// Sends parts while the next one is read. Gives them in order.
async fn send_parts(
    objects: &S3Objects,
    key: &ObjectKey,
    upload: &Unfinished,
    first: Bytes,
    source: &mut Source,
) -> Result<Vec<CompletedPart>, ObjectError> {
    let send = |number: i32, bytes: Bytes| async move {
        let sent = upload
            .client
            .upload_part()
            .bucket(&upload.bucket)
            .key(&upload.name)
            .upload_id(&upload.id)
            .part_number(number)
            .body(bytes.into())
            .send()
            .await
            .map_err(|error| objects.failed("store", key, error))?;
        // The checksum goes back with the list of parts, if the storage gave it.
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag().map(str::to_owned))
            .set_checksum_crc32(sent.checksum_crc32().map(str::to_owned))
            .set_checksum_crc64_nvme(sent.checksum_crc64_nvme().map(str::to_owned))
            .build())
    };
    let mut number = 1;
    let mut in_flight = FuturesUnordered::new();
    in_flight.push(send(number, first));
    let mut parts = Vec::new();
    let mut ended = false;
    loop {
        tokio::select! {
            part = source.part(), if !ended && in_flight.len() < PARTS_IN_MEMORY => match part? {
                Some(bytes) => {
                    number += 1;
                    in_flight.push(send(number, bytes));
                }
                None => ended = true,
            },
            Some(sent) = in_flight.next(), if !in_flight.is_empty() => parts.push(sent?),
            else => break,
        }
    }
    parts.sort_by_key(CompletedPart::part_number);
    Ok(parts)
}

/// Puts the parts together, and makes sure that the file is as long as what was sent.
async fn complete(
    objects: &S3Objects,
    key: &ObjectKey,
    upload: &Unfinished,
    parts: Vec<CompletedPart>,
    size_bytes: u64,
) -> Result<(), ObjectError> {
    let patient = TimeoutConfig::builder()
        .read_timeout(COMPLETE_TIMEOUT)
        .operation_attempt_timeout(COMPLETE_TIMEOUT)
        .build();
    let completed = upload
        .client
        .complete_multipart_upload()
        .bucket(&upload.bucket)
        .key(&upload.name)
        .upload_id(&upload.id)
        .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
        .customize()
        .config_override(Config::builder().timeout_config(patient))
        .send()
        .await;
    if let Err(error) = completed {
        if failure::may_have_been_done(&error) || failure::is_missing(&error) {
            // Missing: an earlier try may have ended the upload, with its answer lost.
            take_back(objects, key, &upload.name).await;
        }
        return Err(objects.failed("store", key, error));
    }
    let stands = upload.client.head_object().bucket(&upload.bucket).key(&upload.name).send().await;
    let refused = match stands {
        Ok(stands) if stands.content_length() == i64::try_from(size_bytes).ok() => return Ok(()),
        Ok(_) => io("store", key, "the storage kept another number of bytes than was sent"),
        Err(error) => objects.failed("store", key, error),
    };
    take_back(objects, key, &upload.name).await;
    Err(refused)
}

/// Removes what may stand under the key although the upload failed.
async fn take_back(objects: &S3Objects, key: &ObjectKey, name: &str) {
    let bucket = &objects.options.place.bucket;
    if objects.client.delete_object().bucket(bucket).key(name).send().await.is_err() {
        tracing::warn!(object.key = %key, "a failed upload may stand in the bucket as {name}");
    }
}

/// Ends an upload and frees its parts. One that is gone is no error.
pub(super) async fn abort(
    client: &Client,
    bucket: &str,
    name: &str,
    id: &str,
) -> Result<(), SdkError<AbortMultipartUploadError>> {
    match client.abort_multipart_upload().bucket(bucket).key(name).upload_id(id).send().await {
        Err(error) if !failure::is_missing(&error) => Err(error),
        _ => Ok(()),
    }
}

fn encryption(objects: &S3Objects) -> (Option<ServerSideEncryption>, Option<String>) {
    match &objects.options.encryption {
        None => (None, None),
        Some(Encryption::Aes256) => (Some(ServerSideEncryption::Aes256), None),
        Some(Encryption::Kms { key_id }) => {
            (Some(ServerSideEncryption::AwsKms), Some(key_id.clone()))
        }
    }
}

/// An upload that has begun; aborted unless it was settled.
struct Unfinished {
    client: Client,
    bucket: String,
    name: String,
    id: String,
    tasks: TaskTracker,
    settled: bool,
}

impl Unfinished {
    async fn settle(mut self, done: bool) {
        self.settled = true;
        if !done {
            abort_or_tell(&self.client, &self.bucket, &self.name, &self.id).await;
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Whoever uploaded has gone. Without a runtime the sweep finds it.
        let Ok(runtime) = Handle::try_current() else { return };
        let (client, bucket) = (self.client.clone(), self.bucket.clone());
        let (name, id) = (self.name.clone(), self.id.clone());
        self.tasks
            .spawn_on(async move { abort_or_tell(&client, &bucket, &name, &id).await }, &runtime);
    }
}

async fn abort_or_tell(client: &Client, bucket: &str, name: &str, id: &str) {
    if abort(client, bucket, name, id).await.is_err() {
        tracing::warn!("could not abort the upload of {name}; the sweep will");
    }
}

/// What is sent, cut into parts, counted and hashed on the way.
struct Source {
    bytes: ByteStream,
    limit_bytes: u64,
    size_bytes: u64,
    hash: Sha256,
    /// The part that is being filled, and what did not fit into the last one.
    buffer: BytesMut,
    rest: Bytes,
}

impl Source {
    fn new(bytes: ByteStream, limit_bytes: u64) -> Self {
        let buffer = BytesMut::with_capacity(FIRST_BYTES);
        Self { bytes, limit_bytes, size_bytes: 0, hash: Sha256::new(), buffer, rest: Bytes::new() }
    }

    /// The next part: a full one, or the last. What was read stays here when the future is
    /// dropped.
    async fn part(&mut self) -> Result<Option<Bytes>, ObjectError> {
        loop {
            let room = PART_BYTES - self.buffer.len();
            let fits = self.rest.split_to(room.min(self.rest.len()));
            self.buffer.extend_from_slice(&fits);
            if self.buffer.len() == PART_BYTES {
                let next = BytesMut::with_capacity(PART_BYTES);
                return Ok(Some(std::mem::replace(&mut self.buffer, next).freeze()));
            }
            let Some(piece) = self.bytes.next().await else {
                let last = std::mem::take(&mut self.buffer).freeze();
                return Ok((!last.is_empty()).then_some(last));
            };
            let piece = piece.map_err(ObjectError::Source)?;
            self.size_bytes += piece.len() as u64;
            if self.size_bytes > self.limit_bytes {
                return Err(ObjectError::TooLarge { limit_bytes: self.limit_bytes });
            }
            self.hash.update(&piece);
            self.rest = piece;
        }
    }

    fn stored(self) -> Stored {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Stored { size_bytes: self.size_bytes, sha256 }
    }
}
