//! Where is the data that the tests over real files read?

use std::path::PathBuf;

/// A folder of the shared data, none (with a sentence) where it is not there.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("QUAESTOR_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = root.join("data").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "skipped: {} is absent; set QUAESTOR_SHARED to the folder that holds data/",
        folder.display()
    );
    None
}
