//! How does a file travel to the server without standing in memory?

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use quaestor_core::ids::CollectionId;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method};
use tokio_util::io::ReaderStream;

use super::{AcceptedFile, AcceptedUpload, Client, ClientError};

/// How much of a file is read at once.
const READ_BYTES: usize = 64 << 10;

/// Is told how many bytes of a file have left. Negative where an attempt is begun again.
pub(crate) type Progress = Arc<dyn Fn(i64) + Send + Sync>;

impl Client {
    /// Uploads one file under its own idempotency key: repeated after a broken connection,
    /// it does not make a second document. The bytes are read from disk as they leave.
    pub(crate) async fn upload(
        &self,
        collection: CollectionId,
        path: &Path,
        filename: &str,
        progress: &Progress,
    ) -> Result<AcceptedFile, ClientError> {
        let key = self.idempotency_key();
        let what = format!("uploading {}", path.display());
        let unreadable = |source| ClientError::File { path: path.display().to_string(), source };
        // The same key gives the same boundary: a repetition is the same request, byte for byte.
        let boundary = format!("quaestor-{key}");
        let accepted: AcceptedUpload = self
            .repeat(async || {
                let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
                let size = file.metadata().await.map_err(unreadable)?.len();
                let (head, tail) = frame(&boundary, collection, filename);
                let length = head.len() as u64 + size + tail.len() as u64;
                let sent = Arc::new(std::sync::atomic::AtomicI64::new(0));
                let (counter, told) = (Arc::clone(&sent), Arc::clone(progress));
                // Exactly the announced length, should the file grow meanwhile.
                let limited = tokio::io::AsyncReadExt::take(file, size);
                let content =
                    ReaderStream::with_capacity(limited, READ_BYTES).inspect_ok(move |bytes| {
                        let count = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                        counter.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
                        told(count);
                    });
                let body = stream::once(async { Ok(head) })
                    .chain(content)
                    .chain(stream::once(async { Ok::<_, std::io::Error>(tail) }));
                let request = self
                    .request(Method::POST, "/api/documents")?
                    .header("idempotency-key", &key)
                    .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
                    .header(CONTENT_LENGTH, length)
                    .body(Body::wrap_stream(body));
                let answer = async {
                    let response = self.send(request, &what).await?;
                    self.json(response, &what).await
                }
                .await;
                if answer.is_err() {
                    progress(-sent.load(std::sync::atomic::Ordering::Relaxed));
                }
                answer
            })
            .await?;
        let file = accepted.items.into_iter().next();
        file.ok_or_else(|| self.foreign(&what, "an accepted upload of no file"))
    }
}

/// What stands before and after the file in the multipart body.
fn frame(boundary: &str, collection: CollectionId, filename: &str) -> (Bytes, Bytes) {
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
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"collection_id\"\r\n\r\n\
         {collection}\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; \
         filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    (Bytes::from(head), Bytes::from(format!("\r\n--{boundary}--\r\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filename_cannot_leave_its_header() {
        let collection = CollectionId(uuid::Uuid::nil());
        let (head, tail) = frame("b", collection, "a\"\r\nX: y.pdf");
        let head = std::str::from_utf8(&head).unwrap();
        assert!(head.contains("filename=\"a%22%0D%0AX: y.pdf\""), "{head}");
        assert!(head.ends_with("\r\n\r\n"));
        assert_eq!(&tail[..], b"\r\n--b--\r\n");
    }
}
