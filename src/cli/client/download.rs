//! How does a file travel from a link, without a key and without standing in memory?

use std::path::Path;

use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::{CONNECT_TIMEOUT, Client, ClientError, SILENCE_TIMEOUT, is_loopback};

impl Client {
    /// Fetches what a link gives into a new file. The link may be a path of the server's, or
    /// lead elsewhere; the key goes to neither. Gives the SHA-256 of what arrived, and tells
    /// how many bytes did.
    pub(crate) async fn download(
        &self,
        link: &str,
        to: &Path,
        mut told: impl FnMut(u64),
    ) -> Result<String, ClientError> {
        let what = "the export's file";
        let url = self.server.join(link).map_err(|_| self.foreign(what, "a link"))?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quaestor/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(ClientError::Setup)?;
        let response = self.send(http.get(url), what).await.map_err(|failed| failed.error)?;
        let unwritable = |source| ClientError::File { path: to.display().to_string(), source };
        let mut file = tokio::fs::File::create(to).await.map_err(unwritable)?;
        let (mut hash, mut size) = (Sha256::new(), 0);
        let mut bytes = response.bytes_stream();
        while let Some(piece) = bytes.next().await {
            // The link is as secret as the file.
            let piece = piece.map_err(|source| self.broken(what, source.without_url()))?;
            hash.update(&piece);
            size += piece.len() as u64;
            told(size);
            file.write_all(&piece).await.map_err(unwritable)?;
        }
        file.flush().await.map_err(unwritable)?;
        file.sync_all().await.map_err(unwritable)?;
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
