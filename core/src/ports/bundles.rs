//! The ports to where backups are kept, and to what seals them.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use chrono::NaiveDateTime;

use super::objects::{ByteStream, ObjectError};
use crate::clock::Time;
use crate::ids::WorkspaceId;

/// How a moment stands in a bundle's name; names are ordered as their moments.
const MOMENT: &str = "%Y%m%dT%H%M%SZ";

/// The name of a bundle: `quaestor-<installation>-<moment>-<id>`. It says whose it is and
/// when it was begun, so that whoever tidies up needs no list beside the bundles, and
/// never takes away another installation's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BundleName {
    /// The random part of the oldest workspace's id, which stays the same wherever an
    /// installation moves or is restored.
    pub installation: String,
    /// When the backup was begun, to the second.
    pub at: Time,
    /// What tells two of one second apart.
    pub id: String,
}

impl BundleName {
    /// The name of a backup of an installation, begun at a moment.
    #[must_use]
    pub fn new(installation: WorkspaceId, at: Time, id: uuid::Uuid) -> Self {
        let at = Time::from_timestamp(at.timestamp(), 0).unwrap_or(at);
        Self { installation: tail(installation.uuid(), 12), at, id: tail(id, 8) }
    }

    /// Whether it is a bundle of this installation.
    #[must_use]
    pub fn is_of(&self, installation: WorkspaceId) -> bool {
        self.installation == tail(installation.uuid(), 12)
    }
}

/// The last digits of an id. The first are a time, and installations may be made at once.
fn tail(id: uuid::Uuid, digits: usize) -> String {
    let text = id.simple().to_string();
    text[text.len() - digits..].to_owned()
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quaestor-{}-{}-{}", self.installation, self.at.format(MOMENT), self.id)
    }
}

/// The text is no name of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no name of a bundle, such as quaestor-1c9d5a0b7e42-20260131T030000Z-5e0c11aa")]
pub struct NoBundleName;

impl FromStr for BundleName {
    type Err = NoBundleName;

    fn from_str(text: &str) -> Result<Self, NoBundleName> {
        let mut parts = text.split('-');
        let (Some("quaestor"), Some(installation), Some(at), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoBundleName);
        };
        let digits = |text: &str, wanted| {
            text.len() == wanted && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if !digits(installation, 12) || !digits(id, 8) {
            return Err(NoBundleName);
        }
        let at = NaiveDateTime::parse_from_str(at, MOMENT).map_err(|_| NoBundleName)?;
        Ok(Self { installation: installation.to_owned(), at: at.and_utc(), id: id.to_owned() })
    }
}

/// A bundle that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBundle {
    /// Its name.
    pub name: BundleName,
    /// Its size.
    pub size_bytes: u64,
}

/// Where backups are kept: a folder or a bucket, which others may use as well.
#[async_trait]
pub trait Bundles: Send + Sync + fmt::Debug {
    /// Stores a bundle, without ever holding more than a few pieces of it. Once this
    /// returns, it survives a crash of the machine; before, and on any error, nothing
    /// stands under the name. Returns its size.
    async fn put(&self, name: &BundleName, bytes: ByteStream) -> Result<u64, ObjectError>;

    /// The bytes of a bundle.
    async fn get(&self, name: &BundleName) -> Result<ByteStream, ObjectError>;

    /// Every bundle, oldest first. What is no bundle is left out.
    async fn list(&self) -> Result<Vec<KeptBundle>, ObjectError>;

    /// Removes a bundle. One that is not there is no error.
    async fn delete(&self, name: &BundleName) -> Result<(), ObjectError>;

    /// Removes what killed processes have left of bundles that were begun longer ago and
    /// never became whole. Returns how many.
    async fn tidy(&self, older_than: std::time::Duration, now: Time) -> Result<u64, ObjectError>;

    /// Where it is, for people. Holds no secret.
    fn place(&self) -> String;
}

/// Why a sealed bundle cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No key was given that opens it.
    #[error(
        "none of the keys given opens this bundle: give the identity whose recipient it was \
         encrypted to, or its passphrase (or its first bytes are damaged, then take another one)"
    )]
    WrongKey,
    /// It is encrypted and no key was given at all.
    #[error(
        "the bundle is encrypted: give its key with --identity FILE, QUAESTOR_BACKUP_IDENTITY_FILE \
         or QUAESTOR_BACKUP_PASSPHRASE_FILE"
    )]
    NoKey,
    /// It is not encrypted, and that was not expected.
    #[error(
        "the bundle is not encrypted, so anybody could have made it: say --unencrypted if that is \
         as it should be"
    )]
    NotSealed,
    /// It is no bundle, or its beginning is damaged.
    #[error("this is no bundle of Quaestor, or its beginning is damaged: take another one")]
    NoBundle,
    /// A key that was given is none.
    #[error("{0}")]
    BadKey(String),
    /// It could not be read.
    #[error("could not read the bundle")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The error in a stream that was opened: what follows is not what was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the encrypted bytes were altered or cut off")]
pub struct SealBroken;

/// What makes a bundle unreadable and unalterable for others, and opens it again.
#[async_trait]
pub trait Seal: Send + Sync + fmt::Debug {
    /// The bytes, sealed.
    fn seal(&self, plain: ByteStream) -> Result<ByteStream, SealError>;

    /// What was sealed. The stream ends in [`SealBroken`] where it is not what `seal` has
    /// given, from the first piece that is not.
    async fn open(&self, sealed: ByteStream) -> Result<ByteStream, SealError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_it_is_and_when_it_was_begun() {
        let installation = WorkspaceId(uuid::Uuid::from_u128(0x1234_5678_9abc_def0));
        let at = Time::from_timestamp_micros(1_767_225_600_123_456).unwrap();
        let name = BundleName::new(installation, at, uuid::Uuid::from_u128(0xfeed_beef));
        assert_eq!(name.to_string(), "quaestor-56789abcdef0-20260101T000000Z-feedbeef");
        assert_eq!(name.to_string().parse(), Ok(name.clone()));
        assert!(name.is_of(installation));
        assert!(!name.is_of(WorkspaceId(uuid::Uuid::from_u128(1))));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "quaestor",
            "quaestor-56789abcdef0-20260101T000000Z",
            "quaestor-56789abcdef0-20260101T000000Z-feedbeef-1",
            "quaestor-56789abcdef0-20261301T000000Z-feedbeef",
            "quaestor-../../56789ab-20260101T000000Z-feedbeef",
            "quaestor-56789abcdef0-20260101T000000Z-feedbeef.partial",
        ] {
            assert_eq!(text.parse::<BundleName>(), Err(NoBundleName), "{text}");
        }
    }
}
