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
    /// The migration up to which a program has to know the history to run beside this one: its
    /// own, where what was there before is changed, and an earlier one where it only adds.
    pub(super) needs: i64,
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
    /// As [`Migration::needs`]; none where an early program has run it.
    pub(super) needs: Option<i64>,
}

impl Applied {
    /// Whether a program runs beside it that knows the history up to `last`.
    fn lets(&self, last: i64) -> bool {
        self.needs.is_some_and(|needs| needs <= last)
    }
}

/// The migrations that are still to be run, in order.
///
/// # Errors
/// A sentence, where the database was made by a newer program that this one cannot run beside,
/// or has another history.
pub(super) fn missing<'a>(
    known: &'a [Migration],
    applied: &[Applied],
) -> Result<Vec<&'a Migration>, String> {
    let mut done = 0;
    let last = known.iter().map(|migration| migration.version).max().unwrap_or(0);
    for one in applied {
        let Applied { version, name, sha256, .. } = one;
        let Some(migration) = known.iter().find(|migration| migration.version == *version) else {
            if *version > last && one.lets(last) {
                continue;
            }
            return Err(format!(
                "the database was made by a newer program: it has migration {version} ({name}), \
                 this program knows {last} at most; start the newer program"
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
