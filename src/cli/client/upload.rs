//! How do files travel to the server without standing in memory?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use quaestor_core::ids::{BatchId, CollectionId};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio_util::io::ReaderStream;

use super::{AcceptedUpload, Client, ClientError};

/// How much of a file is read at once.
const READ_BYTES: usize = 64 << 10;

/// Is told how many bytes of a file have left. Negative where an attempt is begun again.
pub(crate) type Progress = Arc<dyn Fn(i64) + Send + Sync>;

/// A file to be sent: where it is, and the name it is uploaded under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToSend<'a> {
    pub(crate) path: &'a Path,
    pub(crate) filename: &'a str,
}

impl Client {
    /// Uploads files in one request under its own idempotency key: repeated after a broken
    /// connection, it does not make a second document. The bytes are read from disk as they
    /// leave. The answer has one item for each file, in their order.
    pub(crate) async fn upload(
        &self,
        collection: CollectionId,
        batch: Option<BatchId>,
        files: &[ToSend<'_>],
        progress: &Progress,
    ) -> Result<AcceptedUpload, ClientError> {
        let key = self.idempotency_key();
        let what = match files {
            [file] => format!("uploading {}", file.path.display()),
            _ => format!("uploading {} files", files.len()),
        };
        // The same key gives the same boundary: a repetition is the same request, byte for byte.
        let boundary = format!("quaestor-{key}");
        let accepted: AcceptedUpload = self
            .repeat(async || {
                let sent = Arc::new(AtomicI64::new(0));
                let (parts, length) =
                    body(&boundary, collection, batch, files, &sent, progress).await?;
                let request = self
                    .request(Method::POST, "/api/documents")?
                    .header("idempotency-key", &key)
                    .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
                    .header(CONTENT_LENGTH, length)
                    .body(Body::wrap_stream(stream::iter(parts).flatten()));
                let answer = async {
                    let response = self.send(request, &what).await?;
                    self.json(response, &what).await
                }
                .await;
                if answer.is_err() {
                    progress(-sent.load(Ordering::Relaxed));
                }
                answer
            })
            .await?;
        if accepted.items.len() == files.len() {
            Ok(accepted)
        } else {
            Err(self.foreign(&what, "an accepted upload of other files"))
        }
    }
}

type Part = BoxStream<'static, Result<Bytes, std::io::Error>>;

fn fixed(text: String) -> Part {
    stream::once(async { Ok(Bytes::from(text)) }).boxed()
}

/// The multipart body in its parts, and its length in bytes. A file is opened when the ones
/// before it have left.
async fn body(
    boundary: &str,
    collection: CollectionId,
    batch: Option<BatchId>,
    files: &[ToSend<'_>],
    sent: &Arc<AtomicI64>,
    progress: &Progress,
) -> Result<(Vec<Part>, u64), ClientError> {
    let fields = fields(boundary, collection, batch);
    let end = format!("--{boundary}--\r\n");
    let mut length = (fields.len() + end.len()) as u64;
    let mut parts = vec![fixed(fields)];
    for file in files {
        let unreadable =
            |source| ClientError::File { path: file.path.display().to_string(), source };
        let size = tokio::fs::metadata(file.path).await.map_err(unreadable)?.len();
        let head = file_head(boundary, file.filename);
        length += head.len() as u64 + size + 2;
        parts.push(fixed(head));
        let (path, counter, told) = (file.path.to_owned(), sent.clone(), progress.clone());
        let content = stream::once(async move {
            let file = tokio::fs::File::open(path).await?;
            // Exactly the announced length, should the file grow meanwhile.
            let limited = tokio::io::AsyncReadExt::take(file, size);
            Ok::<_, std::io::Error>(ReaderStream::with_capacity(limited, READ_BYTES))
        });
        let content = content.try_flatten().inspect_ok(move |bytes| {
            let count = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            counter.fetch_add(count, Ordering::Relaxed);
            told(count);
        });
        parts.push(content.boxed());
        parts.push(fixed("\r\n".to_owned()));
    }
    parts.push(fixed(end));
    Ok((parts, length))
}

/// The fields that stand before the files.
fn fields(boundary: &str, collection: CollectionId, batch: Option<BatchId>) -> String {
    let field = |name: &str, value: String| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let batch = batch.map(|batch| field("batch_id", batch.to_string()));
    field("collection_id", collection.to_string()) + &batch.unwrap_or_default()
}

/// What stands before a file.
fn file_head(boundary: &str, filename: &str) -> String {
    // As browsers escape it: a name cannot end its header.
    let filename: String = filename
        .chars()
        .map(|c| match c {
            '"' => "%22".to_owned(),
            '\r' => "%0D".to_owned(),
            '\n' => "%0A".to_owned(),
            other => other.to_string(),
        })
        .collect();
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; \
         filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filename_cannot_leave_its_header() {
        let head = file_head("b", "a\"\r\nX: y.pdf");
        assert!(head.contains("filename=\"a%22%0D%0AX: y.pdf\""), "{head}");
        assert!(head.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_batch_stands_before_the_files_where_there_is_one() {
        let collection = CollectionId(uuid::Uuid::nil());
        assert!(!fields("b", collection, None).contains("batch_id"));
        let batch = Some(BatchId(uuid::Uuid::max()));
        assert!(fields("b", collection, batch).contains("name=\"batch_id\"\r\n\r\nffffffff-"));
    }
}
