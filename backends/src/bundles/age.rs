//! Bundles sealed by age (<https://age-encryption.org/v1>): encrypted in pieces of 64 KiB,
//! each of which is authenticated, as is their order and which one is the last.
//!
//! A public key says who may read a bundle. It does not say who wrote it: who knows the
//! public key and may write where bundles are kept could put another there. A passphrase
//! says both.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, Decryptor, Encryptor, Identity, Recipient, scrypt, x25519};
use async_trait::async_trait;
use bytes::Bytes;
use futures::io::AsyncReadExt;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use quaestor_core::bundle::MAGIC;
use quaestor_core::ports::bundles::{Seal, SealBroken, SealError};
use quaestor_core::ports::objects::ByteStream;

/// What an age file begins with.
const AGE: &[u8] = b"age-encryption.org/v1";
/// The cost of a passphrase, as a power of two (scrypt's N): 64 MiB and a quarter of a
/// second. A fixed one, since what age measures on a fast machine a slow one refuses.
const WORK_FACTOR: u8 = 16;
/// The highest cost that is paid to open a bundle: what the `age` program takes by default.
const WORK_FACTOR_MAX: u8 = 18;
/// A passphrase shorter than this could be guessed by who has the bundle.
const PASSPHRASE_MIN: usize = 16;
/// The piece in which what was opened is handed on.
const PIECE_BYTES: usize = 64 * 1024;

/// Who may read bundles, and with what they are opened here.
#[derive(Clone, Default)]
pub struct AgeSeal {
    recipients: Vec<x25519::Recipient>,
    identities: Vec<x25519::Identity>,
    passphrase: Option<SecretString>,
    /// Whether bundles are neither encrypted nor expected to be.
    in_clear: bool,
}

impl fmt::Debug for AgeSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeSeal")
            .field("recipients", &self.recipients.len())
            .field("identities", &self.identities.len())
            .field("passphrase", &self.passphrase.is_some())
            .field("in_clear", &self.in_clear)
            .finish()
    }
}

impl AgeSeal {
    /// A seal without any key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bundles are neither encrypted nor expected to be.
    #[must_use]
    pub fn in_clear(mut self) -> Self {
        self.in_clear = true;
        self
    }

    /// Another one who may read bundles: `age1…`.
    ///
    /// # Errors
    /// A sentence, where it is no public key.
    pub fn to(mut self, recipient: &str) -> Result<Self, SealError> {
        self.recipients.push(recipient.trim().parse().map_err(|why: &str| {
            SealError::BadKey(format!(
                "`{recipient}` is no public key of age ({why}): `age-keygen` makes one, age1…"
            ))
        })?);
        Ok(self)
    }

    /// Keys that open bundles: the text of an identity file, as `age-keygen` writes it.
    ///
    /// # Errors
    /// A sentence, where a line is none. It holds nothing of the line.
    pub fn with_identities(mut self, text: &SecretString) -> Result<Self, SealError> {
        let lines = text.expose_secret().lines().map(str::trim);
        for (number, line) in lines.enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.identities.push(line.parse().map_err(|_: &str| {
                SealError::BadKey(format!(
                    "line {} of the identity is no key of age: it begins with AGE-SECRET-KEY-1, as \
                     `age-keygen` writes it",
                    number + 1
                ))
            })?);
        }
        match self.identities.is_empty() {
            true => Err(SealError::BadKey("the identity holds no key of age".to_owned())),
            false => Ok(self),
        }
    }

    /// A passphrase that seals and opens.
    ///
    /// # Errors
    /// A sentence, where it is too short.
    pub fn with_passphrase(mut self, passphrase: &SecretString) -> Result<Self, SealError> {
        let passphrase = passphrase.expose_secret().trim_end_matches(['\r', '\n']);
        let length = passphrase.chars().count();
        if length < PASSPHRASE_MIN {
            return Err(SealError::BadKey(format!(
                "the passphrase of backups has {length} characters, and one that cannot be \
                 guessed has at least {PASSPHRASE_MIN}; `openssl rand -hex 32` makes one"
            )));
        }
        self.passphrase = Some(SecretString::from(passphrase));
        Ok(self)
    }

    fn encryptor(&self) -> Result<Encryptor, SealError> {
        let bad = |error: age::EncryptError| SealError::BadKey(error.to_string());
        if let Some(passphrase) = &self.passphrase {
            if !self.recipients.is_empty() {
                return Err(SealError::BadKey(
                    "backups are encrypted to public keys or by a passphrase, not both: leave out \
                     backup.recipients or the passphrase"
                        .to_owned(),
                ));
            }
            let mut recipient = scrypt::Recipient::new(passphrase.clone());
            recipient.set_work_factor(WORK_FACTOR);
            return Encryptor::with_recipients(std::iter::once(&recipient as &dyn Recipient))
                .map_err(bad);
        }
        let recipients = self.recipients.iter().map(|recipient| recipient as &dyn Recipient);
        Encryptor::with_recipients(recipients).map_err(bad)
    }

    fn decrypt<R>(&self, sealed: Decryptor<R>) -> Result<age::stream::StreamReader<R>, SealError>
    where
        R: futures::io::AsyncRead + Unpin,
    {
        if self.passphrase.is_none() && self.identities.is_empty() {
            return Err(SealError::NoKey);
        }
        let passphrase = self.passphrase.clone().map(|passphrase| {
            let mut identity = scrypt::Identity::new(passphrase);
            identity.set_max_work_factor(WORK_FACTOR_MAX);
            identity
        });
        let own = self.identities.iter().map(|identity| identity as &dyn Identity);
        let all = own.chain(passphrase.iter().map(|identity| identity as &dyn Identity));
        sealed.decrypt_async(all).map_err(|error| match error {
            DecryptError::Io(error) => SealError::Read(error.into()),
            _ => SealError::WrongKey,
        })
    }
}

#[async_trait]
impl Seal for AgeSeal {
    fn seal(&self, plain: ByteStream) -> Result<ByteStream, SealError> {
        if self.in_clear {
            return Ok(plain);
        }
        if self.passphrase.is_none() && self.recipients.is_empty() {
            return Err(SealError::BadKey(
                "a backup has every document in it, so it is encrypted: name who may read it with \
                 backup.recipients (age1…) or QUAESTOR_BACKUP_PASSPHRASE_FILE, or say \
                 --unencrypted"
                    .to_owned(),
            ));
        }
        let sealed = Sealed::default();
        let writer = self.encryptor()?.wrap_output(sealed.clone());
        let writer = writer.map_err(|error| SealError::BadKey(error.to_string()))?;
        let pieces = stream::try_unfold((plain, Some(writer)), move |(mut plain, writer)| {
            let sealed = sealed.clone();
            async move {
                let Some(mut writer) = writer else { return Ok(None) };
                loop {
                    match plain.next().await {
                        Some(Err(error)) => return Err(error),
                        Some(Ok(piece)) => {
                            writer.write_all(&piece)?;
                            if let Some(bytes) = sealed.take() {
                                return Ok(Some((bytes, (plain, Some(writer)))));
                            }
                        }
                        None => {
                            writer.finish()?;
                            let rest = sealed.take().unwrap_or_default();
                            return Ok(Some((rest, (plain, None))));
                        }
                    }
                }
            }
        });
        Ok(pieces.boxed())
    }

    async fn open(&self, mut sealed: ByteStream) -> Result<ByteStream, SealError> {
        let mut first = Vec::new();
        while first.len() < AGE.len() {
            match sealed.next().await {
                None => break,
                Some(piece) => first.extend_from_slice(&piece.map_err(SealError::Read)?),
            }
        }
        let is_sealed = first.starts_with(AGE);
        let is_plain = first.starts_with(MAGIC);
        let all = stream::iter([Ok(Bytes::from(first))]).chain(sealed).boxed();
        if is_plain {
            return if self.in_clear { Ok(all) } else { Err(SealError::NotSealed) };
        }
        if !is_sealed {
            return Err(SealError::NoBundle);
        }
        // Boxed before it is read: the compiler loses the lifetimes of the closure else.
        let input: BoxStream<'static, io::Result<Bytes>> =
            all.map(|piece| piece.map_err(io::Error::other)).boxed();
        let input = input.into_async_read();
        let header = Decryptor::new_async(input).await.map_err(|error| match error {
            DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                SealError::Read(error.into())
            }
            _ => SealError::NoBundle,
        })?;
        let opened = self.decrypt(header)?;
        let pieces = stream::try_unfold(opened, |mut opened| async move {
            let mut piece = vec![0; PIECE_BYTES];
            match opened.read(&mut piece).await {
                Ok(0) => Ok(None),
                Ok(read) => {
                    piece.truncate(read);
                    Ok(Some((Bytes::from(piece), opened)))
                }
                Err(error) => Err(why(error)),
            }
        });
        Ok(pieces.boxed())
    }
}

/// What could not be read any more is told from what is not what was sealed: of the first
/// kind are the errors that this file has put into the stream itself.
fn why(error: io::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Box::new(SealBroken),
        _ => Box::new(error),
    }
}

/// What age has written and nobody has taken yet: at most a piece and what was added to it.
#[derive(Clone, Debug, Default)]
struct Sealed(Arc<Mutex<Vec<u8>>>);

impl Sealed {
    fn take(&self) -> Option<Bytes> {
        let mut sealed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sealed.is_empty() { None } else { Some(std::mem::take(&mut *sealed).into()) }
    }
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const IDENTITY: &str =
        "# a key\nAGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n";

    fn stream_of(bytes: &[u8], piece: usize) -> ByteStream {
        let pieces: Vec<_> =
            bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        stream::iter(pieces).boxed()
    }

    /// Larger than a piece of age's.
    fn plain() -> Vec<u8> {
        let mut plain = MAGIC.to_vec();
        plain.extend((0..200_000_u32).map(|number| (number % 251) as u8));
        plain
    }

    fn seal() -> AgeSeal {
        let seal = AgeSeal::new().to(RECIPIENT).unwrap();
        seal.with_identities(&SecretString::from(IDENTITY)).unwrap()
    }

    async fn all(bytes: ByteStream) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(bytes.try_collect::<Vec<Bytes>>().await?.concat())
    }

    async fn opened(seal: &AgeSeal, sealed: &[u8]) -> Result<Vec<u8>, String> {
        let opened = seal.open(stream_of(sealed, 1_000)).await.map_err(|e| e.to_string())?;
        all(opened).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn what_is_sealed_is_opened_by_its_key_alone() {
        let sealed = all(seal().seal(stream_of(&plain(), 7_777)).unwrap()).await.unwrap();
        assert!(!sealed.windows(16).any(|window| window == MAGIC));
        assert_eq!(opened(&seal(), &sealed).await.unwrap(), plain());
        let passphrase = SecretString::from("a passphrase of good length\n");
        let by = AgeSeal::new().with_passphrase(&passphrase).unwrap();
        assert!(opened(&by, &sealed).await.unwrap_err().contains("none of the keys"));
        assert!(opened(&AgeSeal::new(), &sealed).await.unwrap_err().contains("--identity"));
        let sealed = all(by.seal(stream_of(&plain(), 7_777)).unwrap()).await.unwrap();
        assert_eq!(opened(&by, &sealed).await.unwrap(), plain());
        assert!(opened(&seal(), &sealed).await.unwrap_err().contains("none of the keys"));
    }

    #[tokio::test]
    async fn what_was_altered_or_cut_is_not_opened() {
        let sealed = all(seal().seal(stream_of(&plain(), 7_777)).unwrap()).await.unwrap();
        for at in (0..sealed.len()).step_by(997).chain([sealed.len() - 1]) {
            let mut wrong = sealed.clone();
            wrong[at] ^= 1;
            assert!(opened(&seal(), &wrong).await.is_err(), "{at}");
        }
        for length in (0..sealed.len()).step_by(1_999).chain([sealed.len() - 1]) {
            assert!(opened(&seal(), &sealed[..length]).await.is_err(), "{length}");
        }
    }

    #[tokio::test]
    async fn what_is_open_is_taken_only_where_that_was_said() {
        let told = opened(&seal(), &plain()).await.unwrap_err();
        assert!(told.contains("is not encrypted"), "{told}");
        let in_clear = AgeSeal::new().in_clear();
        assert_eq!(opened(&in_clear, &plain()).await.unwrap(), plain());
        assert_eq!(all(in_clear.seal(stream_of(&plain(), 9)).unwrap()).await.unwrap(), plain());
        assert!(opened(&in_clear, b"PK something else").await.unwrap_err().contains("no bundle"));
        let refused = AgeSeal::new().seal(stream_of(b"", 1)).map(drop).unwrap_err().to_string();
        assert!(refused.contains("so it is encrypted"), "{refused}");
    }

    #[test]
    fn a_key_that_is_none_is_told_without_being_shown() {
        assert!(AgeSeal::new().to("age1nobody").unwrap_err().to_string().contains("age-keygen"));
        let secret = SecretString::from("AGE-SECRET-KEY-1NOT-A-KEY");
        let told = AgeSeal::new().with_identities(&secret).unwrap_err().to_string();
        assert!(told.contains("line 1") && !told.contains("NOT-A-KEY"), "{told}");
        let told = AgeSeal::new().with_passphrase(&SecretString::from("short")).unwrap_err();
        assert!(told.to_string().contains("at least 16"), "{told}");
        let shown = format!("{:?}", seal());
        assert!(!shown.contains("AGE-SECRET"), "{shown}");
    }
}
