//! Which files do the given paths name?

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders deeper than this are a loop that some mount has made.
const MAX_DEPTH: usize = 64;

/// A file to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// The name it is uploaded under.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
}

/// The files behind the paths, each once, in the order of the paths and by name inside a
/// folder. Files of the same name get those of their folders before it, as many as tell
/// them apart: under one name, the server would take them for versions of one document.
/// Hidden files and folders are skipped unless they were named themselves; so are
/// symbolic links inside folders, which could lead anywhere.
pub fn walk(paths: &[PathBuf]) -> anyhow::Result<Vec<Found>> {
    let mut files = Vec::new();
    for path in paths {
        let facts = std::fs::metadata(path)
            .with_context(|| format!("there is no file or folder {}", path.display()))?;
        if facts.is_dir() {
            folder(path, 0, &mut files)?;
        } else {
            anyhow::ensure!(facts.is_file(), "{} is no file and no folder", path.display());
            files.push(found(path.clone(), facts.len()));
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|file| {
        seen.insert(std::fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone()))
    });
    tell_apart(&mut files);
    Ok(files)
}

fn found(path: PathBuf, size_bytes: u64) -> Found {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Found { path, name, size_bytes }
}

fn tell_apart(files: &mut [Found]) {
    let mut same: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        same.entry(file.name.clone()).or_default().push(index);
    }
    for group in same.into_values().filter(|group| group.len() > 1) {
        for depth in 2..=MAX_DEPTH {
            let names: Vec<String> =
                group.iter().map(|&index| last_parts(&files[index].path, depth)).collect();
            let different: BTreeSet<&String> = names.iter().collect();
            if different.len() == group.len() || depth == MAX_DEPTH {
                for (&index, name) in group.iter().zip(names) {
                    files[index].name = name;
                }
                break;
            }
        }
    }
}

/// The last parts of a path as one name: `2024 - report.pdf`.
fn last_parts(path: &Path, count: usize) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let parts: Vec<String> = full
        .components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    parts[parts.len().saturating_sub(count)..].join(" - ")
}

fn folder(path: &Path, depth: usize, files: &mut Vec<Found>) -> anyhow::Result<()> {
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
        let kind = entry.file_type().with_context(reading)?;
        if kind.is_dir() {
            folder(&entry.path(), depth + 1, files)?;
        } else if kind.is_file() {
            let size_bytes = entry.metadata().with_context(reading)?.len();
            files.push(found(entry.path(), size_bytes));
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
        assert_eq!(names(&[root.to_path_buf()]), ["x.txt", "y.txt", "z.txt"]);
        assert_eq!(names(&[root.join("z.txt"), root.to_path_buf()]).len(), 3);
        assert_eq!(names(&[root.join(".hidden")]), [".hidden"]);
        let sizes: Vec<u64> =
            walk(&[root.join("z.txt")]).unwrap().iter().map(|found| found.size_bytes).collect();
        assert_eq!(sizes, [2]);
    }

    #[test]
    fn files_of_the_same_name_are_told_apart_by_their_folders() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["a/q1", "b/q1", "b/q2"] {
            std::fs::create_dir_all(home.path().join(folder)).unwrap();
            std::fs::write(home.path().join(folder).join("report.pdf"), folder).unwrap();
        }
        std::fs::write(home.path().join("other.pdf"), "x").unwrap();
        let files = walk(&[home.path().to_path_buf()]).unwrap();
        let names: Vec<&str> = files.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(
            names,
            ["a - q1 - report.pdf", "b - q1 - report.pdf", "b - q2 - report.pdf", "other.pdf"]
        );
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = walk(&[PathBuf::from("/no/such/report.pdf")]).unwrap_err();
        assert!(error.to_string().contains("/no/such/report.pdf"));
    }
}
