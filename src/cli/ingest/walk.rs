//! Which files do the given paths name?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders deeper than this are a loop that some mount has made.
const MAX_DEPTH: usize = 64;

/// A file to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The name it is uploaded under: below a folder that was given, its path inside.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
}

/// The files behind the paths, each once, in the order of the paths and by name inside a
/// folder. Hidden files and folders are skipped unless they were named themselves; so are
/// symbolic links inside folders, which could lead anywhere.
pub fn walk(paths: &[PathBuf]) -> anyhow::Result<Vec<Found>> {
    let mut files = Vec::new();
    for path in paths {
        let facts = std::fs::metadata(path)
            .with_context(|| format!("there is no file or folder {}", path.display()))?;
        if facts.is_dir() {
            folder(path, "", 0, &mut files)?;
        } else {
            anyhow::ensure!(facts.is_file(), "{} is no file and no folder", path.display());
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
            files.push(Found { path: path.clone(), name, size_bytes: facts.len() });
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| {
        seen.insert(std::fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone()))
    });
    Ok(files)
}

fn folder(path: &Path, above: &str, depth: usize, files: &mut Vec<Found>) -> anyhow::Result<()> {
    let reading = || format!("reading the folder {}", path.display());
    anyhow::ensure!(depth < MAX_DEPTH, "{} is nested too deep", path.display());
    let mut entries = std::fs::read_dir(path)
        .with_context(reading)?
        .collect::<Result<Vec<_>, _>>()
        .with_context(reading)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let inside = if above.is_empty() { name } else { format!("{above}/{name}") };
        let kind = entry.file_type().with_context(reading)?;
        if kind.is_dir() {
            folder(&entry.path(), &inside, depth + 1, files)?;
        } else if kind.is_file() {
            let size_bytes = entry.metadata().with_context(reading)?.len();
            files.push(Found { path: entry.path(), name: inside, size_bytes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_their_visible_files_once_and_in_order() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        std::fs::create_dir(root.join(".git")).unwrap();
        for (name, text) in [
            ("z.txt", "zz"),
            ("b/y.txt", ""),
            ("b/c/x.txt", "x"),
            (".hidden", "h"),
            (".git/a", "a"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("b/loop")).unwrap();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            walk(paths).unwrap().into_iter().map(|found| found.name).collect()
        };
        assert_eq!(names(&[root.to_path_buf()]), ["b/c/x.txt", "b/y.txt", "z.txt"]);
        assert_eq!(names(&[root.join("z.txt"), root.to_path_buf()]).len(), 3);
        assert_eq!(names(&[root.join(".hidden")]), [".hidden"]);
        let sizes: Vec<u64> =
            walk(&[root.join("z.txt")]).unwrap().iter().map(|found| found.size_bytes).collect();
        assert_eq!(sizes, [2]);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = walk(&[PathBuf::from("/no/such/report.pdf")]).unwrap_err();
        assert!(error.to_string().contains("/no/such/report.pdf"));
    }
}
