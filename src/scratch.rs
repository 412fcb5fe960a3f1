//! Where does a command keep what it needs for a while, and who clears it away?

use std::path::{Path, PathBuf};

use anyhow::Context;
use quaestor_core::entropy::Entropy;

/// A folder that is removed at the end, or kept where the user named it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    is_kept: bool,
}

impl Scratch {
    /// The named folder, which must be empty or missing; else a fresh one, called after
    /// the command.
    pub(crate) fn new(
        command: &str,
        named: Option<&Path>,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<Self> {
        let Some(named) = named else {
            let path = std::env::temp_dir().join(format!("quaestor-{command}-{}", hex(entropy)));
            // Fails where something of this name is there already: nothing is shared.
            std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
            return Ok(Self { path, is_kept: false });
        };
        std::fs::create_dir_all(named).with_context(|| format!("making {}", named.display()))?;
        let mut entries =
            std::fs::read_dir(named).with_context(|| format!("reading {}", named.display()))?;
        anyhow::ensure!(
            entries.next().is_none(),
            "{} is not empty; name another folder with --keep",
            named.display()
        );
        Ok(Self { path: named.to_path_buf(), is_kept: true })
    }

    /// The folder of the documents; not made yet.
    pub(crate) fn documents(&self) -> PathBuf {
        self.path.join("documents")
    }

    /// The folder of the server's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The folder, where it stays.
    pub(crate) fn kept(&self) -> Option<&Path> {
        self.is_kept.then_some(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "the scratch folder {} stays behind", self.path.display());
        }
    }
}

/// 32 random digits.
pub(crate) fn hex(entropy: &dyn Entropy) -> String {
    let mut bytes = [0_u8; 16];
    entropy.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quaestor_backends::entropy::OsEntropy;

    #[test]
    fn a_scratch_folder_goes_and_a_named_one_stays() {
        let home = tempfile::tempdir().unwrap();
        let named = home.path().join("a/b");
        drop(Scratch::new("test", Some(&named), &OsEntropy).unwrap());
        assert!(named.is_dir());
        std::fs::write(named.join("x"), "").unwrap();
        assert!(Scratch::new("test", Some(&named), &OsEntropy).is_err());
        let fresh = Scratch::new("test", None, &OsEntropy).unwrap();
        let path = fresh.path.clone();
        assert!(path.is_dir());
        drop(fresh);
        assert!(!path.exists());
    }
}
