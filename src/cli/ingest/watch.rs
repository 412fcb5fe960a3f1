//! Where do uploaded documents stand, asked without flooding the server?

use std::collections::BTreeMap;
use std::time::Duration;

use quaestor_core::ids::{CollectionId, DocumentId};
use quaestor_core::model::{Document, DocumentStatus, MAX_PAGE, Page};
use uuid::Uuid;

use super::super::{Client, ClientError};

/// How many pages of the list one round reads. With the longest pause this stays well
/// under the server's quota for reads.
const PAGES_PER_ROUND: usize = 4;
/// The pause after a round: short at first, so that a small upload returns at once.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The pause once it has grown.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// What a round has learnt of one document.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// It stands as told.
    As(Box<Document>),
    /// Somebody deleted it meanwhile.
    Gone,
}

/// Reads where the pending documents stand. The list is in the order of ids, so that one
/// page from just before the first pending one shows many at once.
pub(super) async fn round(
    client: &Client,
    collection: CollectionId,
    pending: &[DocumentId],
) -> Result<BTreeMap<DocumentId, Seen>, ClientError> {
    let mut wanted: Vec<DocumentId> = pending.to_vec();
    wanted.sort_unstable();
    let mut seen = BTreeMap::new();
    let mut next = 0;
    for _ in 0..PAGES_PER_ROUND {
        let Some(first) = wanted.get(next) else { break };
        let before = Uuid::from_u128(first.uuid().as_u128().saturating_sub(1));
        let path =
            format!("/api/documents?collection_id={collection}&limit={MAX_PAGE}&cursor={before}");
        let page: Page<Document> = client.get(&path, "the list of documents").await?;
        let last = page.next.and(page.items.last().map(|document| document.id));
        let listed: BTreeMap<DocumentId, Document> =
            page.items.into_iter().map(|document| (document.id, document)).collect();
        while let Some(id) = wanted.get(next).filter(|id| last.is_none_or(|last| **id <= last)) {
            let state = listed.get(id).map_or(Seen::Gone, |d| Seen::As(Box::new(d.clone())));
            seen.insert(*id, state);
            next += 1;
        }
    }
    Ok(seen)
}

/// Whether nothing more happens to a document of this status.
pub(super) fn is_terminal(status: DocumentStatus) -> bool {
    matches!(status, DocumentStatus::Ready | DocumentStatus::Failed)
}
