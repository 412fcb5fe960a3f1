//! With which keys is a bundle opened?

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use quaestor_backends::bundles::age::AgeSeal;
use secrecy::SecretString;

use crate::config::{Config, Environment};

/// An identity file has a key of 74 characters and a few comments.
const MAX_IDENTITY: u64 = 64 << 10;
/// The variable that names one.
const IDENTITY_FILE: &str = "QUAESTOR_BACKUP_IDENTITY_FILE";

/// The keys that open bundles: the identity file that a flag or the environment names, and
/// the passphrase of the configuration. The server itself needs no identity.
pub(super) fn opening(
    config: &Config,
    flag: Option<&Path>,
    unencrypted: bool,
) -> anyhow::Result<AgeSeal> {
    let mut seal = AgeSeal::new();
    let environment = Environment::of_process();
    let named = flag.map(Path::to_path_buf);
    if let Some(path) = named.or_else(|| environment.get(IDENTITY_FILE).map(PathBuf::from)) {
        seal = seal.with_identities(&read(&path)?)?;
    }
    if let Some(passphrase) = &config.backup.passphrase {
        seal = seal.with_passphrase(passphrase)?;
    }
    Ok(if unencrypted { seal.in_clear() } else { seal })
}

fn read(path: &Path) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_IDENTITY + 1).read_to_string(&mut text));
    let read = read.with_context(|| format!("reading the identity {}", path.display()))?;
    if read as u64 > MAX_IDENTITY {
        bail!("{} is too large to be an identity of age", path.display());
    }
    Ok(SecretString::from(text))
}
