//! Where are backups kept, and who may read them?

use std::path::PathBuf;

use quaestor_backends::bundles::age::AgeSeal;
use quaestor_backends::objects::s3::S3Place;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::data::path_of;
use super::{Config, ServiceUrl};

/// The `[backup]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Where bundles are kept (`QUAESTOR_BACKUP_URL`): a folder or a bucket. Without it none
    /// are made but by hand.
    pub target_url: Option<ServiceUrl>,
    /// Who may read them (`QUAESTOR_BACKUP_RECIPIENTS`): public keys of age.
    pub recipients: Vec<String>,
    /// Or the passphrase they are encrypted by (`QUAESTOR_BACKUP_PASSPHRASE`).
    #[serde(serialize_with = "super::secret::hidden")]
    pub passphrase: Option<SecretString>,
    /// Whether they are encrypted.
    pub encryption: BackupEncryption,
    /// How many days they are kept.
    pub keep_days: u32,
    /// How long one may take.
    pub at_most_minutes: u64,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            target_url: None,
            recipients: Vec::new(),
            passphrase: None,
            encryption: BackupEncryption::Age,
            keep_days: 30,
            at_most_minutes: 240,
        }
    }
}

/// Whether bundles are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupEncryption {
    /// By age.
    Age,
    /// Not at all.
    None,
}

/// The place that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupChoice {
    /// This folder.
    Folder(PathBuf),
    /// A bucket of S3 or of what speaks its protocol.
    Bucket(S3Place),
}

impl BackupChoice {
    /// Reads a place, or says in a sentence what one is.
    pub fn parse(url: &ServiceUrl) -> Result<Self, String> {
        if url.scheme_is(&["s3"]) {
            return S3Place::parse(url.expose()).map(Self::Bucket);
        }
        path_of(url.expose(), "file").map(Self::Folder).ok_or_else(|| {
            "a place for backups is `file:<folder>`, such as `file:/srv/backups`, or \
             `s3://<bucket>` with an optional `/<prefix>`"
                .to_owned()
        })
    }
}

impl Backup {
    /// The place, where one is named.
    pub fn place(&self) -> Result<Option<BackupChoice>, String> {
        self.target_url.as_ref().map(BackupChoice::parse).transpose()
    }

    /// What bundles are sealed with, or the key and a sentence about what is wrong with it.
    pub fn seal(&self) -> Result<AgeSeal, (&'static str, String)> {
        let mut seal = AgeSeal::new();
        if self.encryption == BackupEncryption::None {
            seal = seal.in_clear();
        }
        for recipient in &self.recipients {
            seal = seal.to(recipient).map_err(|e| ("backup.recipients", e.to_string()))?;
        }
        if let Some(passphrase) = &self.passphrase {
            let with = seal.with_passphrase(passphrase);
            seal = with.map_err(|error| ("backup.passphrase", error.to_string()))?;
        }
        Ok(seal)
    }
}

/// Refuses what cannot work, by the key, and warns of what may hurt.
pub(super) fn check(
    config: &Config,
    warnings: &mut Vec<String>,
) -> Result<(), (&'static str, String)> {
    let backup = &config.backup;
    backup.seal()?;
    if !backup.recipients.is_empty() && backup.passphrase.is_some() {
        let sentence = "backups are encrypted to public keys or by a passphrase, not both: leave \
                        one of them out";
        return Err(("backup.passphrase", sentence.to_owned()));
    }
    let place = backup.place().map_err(|sentence| ("backup.target_url", sentence))?;
    let Some(place) = place else { return Ok(()) };
    let is_open = backup.recipients.is_empty() && backup.passphrase.is_none();
    match (backup.encryption, is_open) {
        (BackupEncryption::Age, true) => {
            let sentence = "a backup has every document in it, so it is encrypted: name who may \
                            read it (age1…, as `age-keygen` prints it), or set \
                            QUAESTOR_BACKUP_PASSPHRASE_FILE; `backup.encryption` = `none` leaves \
                            it open";
            return Err(("backup.recipients", sentence.to_owned()));
        }
        (BackupEncryption::None, _) => warnings.push(
            "`backup.encryption` is `none`: whoever reads a backup reads every document".to_owned(),
        ),
        (BackupEncryption::Age, false) => {}
    }
    match place {
        BackupChoice::Bucket(_) if config.s3.access_key_id.is_none() => Err((
            "s3.access_key_id",
            "`backup.target_url` names a bucket, which needs a key: set AWS_ACCESS_KEY_ID"
                .to_owned(),
        )),
        BackupChoice::Bucket(_) if config.s3.secret_access_key.is_none() => Err((
            "s3.secret_access_key",
            "`backup.target_url` names a bucket, which needs a key: set AWS_SECRET_ACCESS_KEY or \
             AWS_SECRET_ACCESS_KEY_FILE"
                .to_owned(),
        )),
        BackupChoice::Folder(folder) if folder.starts_with(&config.data.dir) => {
            warnings.push(format!(
                "`backup.target_url` is in the data folder {}: a backup beside what it backs up \
                 is lost with it",
                config.data.dir.display()
            ));
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        let parse = |text: &str| BackupChoice::parse(&ServiceUrl::from(text));
        assert_eq!(parse("file:/srv/b"), Ok(BackupChoice::Folder("/srv/b".into())));
        assert!(matches!(parse("s3://backups/quaestor"), Ok(BackupChoice::Bucket(_))));
        assert!(parse("ftp://host").unwrap_err().contains("s3://<bucket>"));
    }
}
