//! The schema's history: which migrations a database has, and which it lacks.

use sha2::{Digest, Sha256};

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    /// Its place, from 1.
    pub(super) version: i64,
    /// Its name, as in the file's.
    pub(super) name: &'static str,
    /// What is run.
    pub(super) sql: &'static str,
}

impl Migration {
    pub(super) fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql.as_bytes()).to_vec()
    }
}

/// A migration that a database says it has had.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) version: i64,
    pub(super) name: String,
    pub(super) sha256: Vec<u8>,
}

/// The migrations that are still to be run, in order.
///
/// # Errors
/// A sentence, where the database was made by a newer program or has another history.
pub(super) fn missing<'a>(
    known: &'a [Migration],
    applied: &[Applied],
) -> Result<Vec<&'a Migration>, String> {
    let mut done = 0;
    for Applied { version, name, sha256 } in applied {
        let Some(migration) = known.iter().find(|migration| migration.version == *version) else {
            return Err(format!(
                "the database was made by a newer program: it has migration {version} ({name}), \
                 this program knows {} at most; start the newer program",
                known.len()
            ));
        };
        if *sha256 != migration.checksum() {
            return Err(format!(
                "migration {version} ({name}) is another one in the database than in this \
                 program; use the program that made the database, or a new database"
            ));
        }
        done = done.max(*version);
    }
    Ok(known.iter().filter(|migration| migration.version > done).collect())
}
