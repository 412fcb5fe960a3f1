//! Identifiers: UUIDv7 behind a type per thing, and the source that makes them.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::Clock;
use crate::entropy::Entropy;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The identifier as the UUID that stands in rows, paths and messages.
            #[must_use]
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    };
}

id!(/// A tenant. Every row, object, queue message and event belongs to one.
    WorkspaceId);
id!(/// Who acts: a user or an API key.
    PrincipalId);
id!(/// An API key's row; the secret itself is never an identifier.
    KeyId);
id!(/// A named set of documents that share an index and an access list.
    CollectionId);
id!(/// One uploaded or synced file, over all its versions.
    DocumentId);
id!(/// A passage of one version of a document.
    ChunkId);
id!(/// All vectors of a collection made by one embedding model.
    GenerationId);
id!(/// A chat.
    ConversationId);
id!(/// A question or an answer.
    MessageId);
id!(/// One accepted unit of work.
    JobId);
id!(/// One row of the outbox; the `message_id` of the message it becomes.
    OutboxId);
id!(/// The files of one upload.
    BatchId);
id!(/// One process that claims jobs, for as long as it lives.
    WorkerId);
id!(/// One request to a provider of models; it is sent with it.
    CallId);
id!(/// One export: what was chosen, written as one file.
    ExportId);
id!(/// One version of a template of exports.
    TemplateId);
id!(/// One entry of the audit log.
    AuditId);

impl ChunkId {
    /// The chunk's id follows from where it stands, so that a parse that is run
    /// again writes the same rows instead of second ones.
    #[must_use]
    pub fn derive(document: DocumentId, version: u32, ordinal: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"quaestor.chunk.v1");
        hash.update(document.0.as_bytes());
        hash.update(version.to_be_bytes());
        hash.update(ordinal.to_be_bytes());
        let digest = hash.finalize();
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        // Version 8 is the one RFC 9562 leaves to the application.
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// Makes UUIDv7 from the application's clock and entropy. Ids of one source never
/// fall behind one another, even within a millisecond or when the clock steps back.
#[derive(Clone)]
pub struct IdSource {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    last: Arc<Mutex<(u64, u16)>>,
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdSource").finish_non_exhaustive()
    }
}

impl IdSource {
    /// A source over the given clock and entropy.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, last: Arc::new(Mutex::new((0, 0))) }
    }

    /// The next identifier, of whatever kind the place asks for.
    pub fn next<T: From<Uuid>>(&self) -> T {
        let now_ms = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or(0);
        let (millis, counter) = {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = if now_ms > last.0 {
                (now_ms, 0)
            } else if last.1 < 0x0fff {
                (last.0, last.1 + 1)
            } else {
                // 4096 ids in one millisecond: borrow the next one.
                (last.0 + 1, 0)
            };
            *last
        };
        let mut bytes = [0_u8; 16];
        self.entropy.fill(&mut bytes);
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        let [high, low] = counter.to_be_bytes();
        bytes[6] = 0x70 | (high & 0x0f);
        bytes[7] = low;
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        T::from(Uuid::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::entropy::SeededEntropy;

    #[test]
    fn ids_of_one_source_are_ordered_and_of_version_7() {
        let clock = ManualClock::at_millis(1_700_000_000_000);
        let ids = IdSource::new(Arc::new(clock.clone()), Arc::new(SeededEntropy::new(7)));
        let mut previous: JobId = ids.next();
        for step in 0..10_000 {
            if step == 5_000 {
                clock.set_millis(1_600_000_000_000);
            }
            let next: JobId = ids.next();
            assert!(next > previous, "{next} after {previous}");
            assert_eq!(next.0.get_version_num(), 7);
            previous = next;
        }
    }

    #[test]
    fn a_chunk_has_the_same_id_each_time_and_another_in_another_version() {
        let document = DocumentId(Uuid::from_u128(1));
        assert_eq!(ChunkId::derive(document, 1, 2), ChunkId::derive(document, 1, 2));
        assert_ne!(ChunkId::derive(document, 1, 2), ChunkId::derive(document, 2, 2));
    }
}
