//! Rules of the house that the compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources_under(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "core", "documents", "backends", "workers", "front", "tests", "benches"] {
        sources_under(&root().join(folder), &mut found);
    }
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            (path, text)
        })
        .collect()
}

/// The methods of a trait file with their parameters, on one line each.
fn methods(text: &str) -> Vec<String> {
    let mut methods = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("async fn ") {
        let signature = &rest[start..];
        let end = signature.find(';').expect("a trait's methods have no body");
        methods.push(signature[..end].split_whitespace().collect::<Vec<_>>().join(" "));
        rest = &signature[end..];
    }
    methods
}

/// A point that no bench visits, or a name that is no point, would go unnoticed.
#[test]
fn every_fail_point_is_in_the_list() {
    let mut used: Vec<String> = Vec::new();
    for (path, text) in all_sources() {
        if path.ends_with("core/src/failpoint.rs") || path.ends_with("tests/tidy.rs") {
            continue;
        }
        for call in ["failpoint::hit(\"", "failpoint::error(\"", "failpoint::store(\""] {
            used.extend(
                text.split(call)
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next())
                    .map(str::to_owned),
            );
        }
    }
    used.sort();
    used.dedup();
    let mut listed = quaestor_core::failpoint::NAMES.map(str::to_owned).to_vec();
    listed.sort();
    assert_eq!(used, listed);
}

#[test]
fn every_store_method_takes_the_workspace() {
    let folder = root().join("core/src/ports/store");
    let mut checked = 0;
    for entry in fs::read_dir(folder).expect("the store's port") {
        let path = entry.expect("an entry").path();
        // What concerns the installation as a whole: it hands out ids and states only. And a
        // snapshot of all, whose records are read by workspace none the less; strays are looked
        // for in all workspaces at once.
        let of_all = ["installation.rs", "backups.rs", "schedules.rs", "snapshot.rs", "strays.rs"];
        if of_all.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        for method in methods(&text) {
            assert!(
                method.contains("&self, workspace: WorkspaceId"),
                "{}: {method} does not take the workspace first",
                path.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 30, "the port was not read: {checked} methods");
}

#[test]
fn every_file_says_what_it_is_about() {
    for (path, text) in all_sources() {
        assert!(text.starts_with("//!"), "{} does not begin with //!", path.display());
    }
}

#[test]
fn every_file_is_compiled() {
    let sources = all_sources();
    for (path, _) in &sources {
        let (Some(name), Some(parent)) = (path.file_stem(), path.parent()) else { continue };
        let (name, parent) = (name.to_string_lossy().into_owned(), parent.to_path_buf());
        if ["lib", "main"].contains(&name.as_str())
            || ["tests", "examples", "benches"].iter().any(|folder| parent.ends_with(folder))
        {
            continue;
        }
        // A file that is compiled more than once is named by its path.
        let named = format!("/{}/{name}.rs\"]", parent.file_name().expect("a folder").display());
        if sources.iter().any(|(_, text)| {
            text.lines().any(|line| line.starts_with("#[path = \"../") && line.ends_with(&named))
        }) {
            continue;
        }
        let (module, folder) = if name == "mod" {
            let module = parent.file_name().expect("a folder").to_string_lossy().into_owned();
            (module, parent.parent().expect("a parent").to_path_buf())
        } else {
            (name, parent)
        };
        let declared = sources.iter().any(|(other, text)| {
            let beside = other.parent() == Some(folder.as_path());
            beside && text.lines().any(|line| line.trim_end().ends_with(&format!("mod {module};")))
        });
        assert!(declared, "{} is in no module", path.display());
    }
}

#[test]
fn words_stay_out_that_say_nothing() {
    for (path, _) in all_sources() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "common", "helpers", "types", "misc"].contains(&name.as_str()),
            "{} is named after nothing",
            path.display()
        );
    }
}

#[test]
fn sql_stands_in_the_store_alone() {
    let store = root().join("backends/src/store");
    for (path, text) in all_sources() {
        let names_sqlx = text.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with("use sqlx") || line.contains("sqlx::query")
        });
        assert!(
            !names_sqlx
                || path.starts_with(&store)
                || path
                    .components()
                    .any(|part| ["tests", "examples"]
                        .contains(&&*part.as_os_str().to_string_lossy())),
            "{} names sqlx",
            path.display()
        );
    }
}
