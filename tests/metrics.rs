//! The table of metrics, held to what emits them and to what asks for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use quaestor_core::metrics::{ALL, Kind, markdown};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            found.push((path, text));
        }
    }
}

/// The table's entries, by the names that the program has for them.
fn entries() -> BTreeMap<String, &'static str> {
    let table = text("core/src/metrics/table.rs");
    let entry = |line: &str| {
        let (name, rest) = line.trim().split_once(": ")?;
        let (_, metric) = rest.split_once(" = \"")?;
        let metric = metric.split('"').next()?;
        let known = ALL.iter().find(|known| known.name == metric)?;
        Some((name.to_owned(), known.name))
    };
    table.lines().filter_map(entry).collect()
}

/// What is emitted is in the table, since there is no other way to emit it; what is in the
/// table is emitted.
#[test]
fn every_metric_is_emitted_and_by_the_table_alone() {
    let mut found = Vec::new();
    for folder in ["src", "core/src", "documents/src", "backends/src", "workers/src", "front/src"] {
        sources(&root().join(folder), &mut found);
    }
    let table = root().join("core/src/metrics");
    found.retain(|(path, _)| !path.starts_with(&table));
    for (path, text) in &found {
        for facade in ["metrics::counter!", "metrics::gauge!", "metrics::histogram!"] {
            assert!(
                !text.contains(facade),
                "{}: {facade} goes by the table; put the metric into core/src/metrics/table.rs",
                path.display()
            );
        }
    }
    let entries = entries();
    assert_eq!(entries.len(), ALL.len(), "the table was not read whole");
    for (entry, metric) in entries {
        let used = found.iter().any(|(_, text)| {
            text.match_indices(&entry).any(|(at, _)| {
                let after = text.as_bytes().get(at + entry.len());
                let before = at.checked_sub(1).and_then(|at| text.as_bytes().get(at));
                let of_name = |byte: Option<&u8>| {
                    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                };
                !of_name(after) && !of_name(before)
            })
        });
        assert!(used, "{metric} ({entry}) is in the table, and nothing emits it");
    }
}

#[test]
fn the_table_stands_in_the_document() {
    let document = text("METRICS.md");
    let table = markdown();
    if document.contains(table) {
        return;
    }
    let wanted = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("METRICS.md");
    let (start, end) = ("<!-- table -->\n", "<!-- end of the table -->");
    let before = document.split(start).next().unwrap_or_default();
    let after = document.split(end).nth(1).unwrap_or_default();
    let mended = format!("{before}{start}\n{table}\n{end}{after}");
    fs::write(&wanted, mended).expect("the folder for tests");
    panic!("METRICS.md does not hold the table; `cp {} METRICS.md` mends it", wanted.display());
}

/// Words of a query that may name a metric, a label or a function.
fn words(query: &str) -> impl Iterator<Item = &str> {
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    query.split(move |c| !of_word(c)).filter(|word| !word.is_empty())
}

/// A query without the texts that it compares with.
fn without_texts(query: &str) -> String {
    let parts = query.split('"').enumerate();
    parts.filter(|(at, _)| at % 2 == 0).map(|(_, part)| part).collect::<Vec<_>>().join("\"\"")
}

/// Holds a query to the table: each metric is in it, and each label is one of theirs.
fn check(query: &str, place: &str, recorded: &BTreeSet<String>) {
    let bare = without_texts(query);
    let mut labels: BTreeSet<&str> = ["le", "job", "instance"].into();
    let mut named = 0;
    for word in words(&bare) {
        if word.contains(':') && word.starts_with("quaestor") {
            assert!(recorded.contains(word), "{place}: nothing records {word}");
            labels.extend(["route", "kind", "by", "provider", "model", "status"]);
            named += 1;
        } else if word.starts_with("quaestor_") || word.starts_with("process_") {
            let metric = ALL.iter().find(|metric| match metric.kind {
                Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|ending| word.strip_suffix(ending) == Some(metric.name)),
                Kind::Counter | Kind::Gauge => metric.name == word,
            });
            let metric = metric.unwrap_or_else(|| panic!("{place}: no metric is named {word}"));
            labels.extend(metric.labels.iter().map(|label| label.name));
            named += 1;
        }
    }
    assert!(named > 0 || bare.starts_with("up{"), "{place}: {query} asks for nothing of ours");
    // Groups are named in brackets after `by` and `on`, matchers between braces.
    for (open, close) in [("by (", ')'), ("on (", ')'), ("{", '}')] {
        for group in bare.split(open).skip(1) {
            let group = group.split(close).next().unwrap_or_default();
            for label in group.split(',').map(|part| part.trim_matches([' ', '!', '=', '~', '"'])) {
                assert!(labels.contains(label), "{place}: no metric of it has a label {label}");
            }
        }
    }
}

/// The values of a key of a YAML file of ours, however they are folded.
fn values(yaml: &str, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = yaml.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let bare = line.trim_start().trim_start_matches("- ");
        let Some(value) = bare.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")) else {
            continue;
        };
        if value != ">-" {
            found.push(value.to_owned());
            continue;
        }
        let mut folded = Vec::new();
        while let Some(line) = lines.next_if(|line| line.len() - line.trim_start().len() > indent) {
            folded.push(line.trim());
        }
        found.push(folded.join(" "));
    }
    found
}

#[test]
fn rules_ask_for_metrics_of_the_table() {
    let rules = text("deploy/prometheus/rules.yml");
    let recorded: BTreeSet<String> = values(&rules, "record").into_iter().collect();
    let queries = values(&rules, "expr");
    let alerts = values(&rules, "alert");
    assert_eq!(queries.len(), recorded.len() + alerts.len());
    for query in &queries {
        check(query, "deploy/prometheus/rules.yml", &recorded);
    }
    let cases = text("deploy/prometheus/rules.test.yml");
    for alert in alerts {
        for case in ["fires", "is calm"] {
            let name = format!("name: '{alert} {case}'");
            assert!(cases.contains(&name), "{alert} has no case in which it {case}");
        }
    }
}

#[test]
fn dashboards_ask_for_metrics_of_the_table() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&text("deploy/grafana/quaestor.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut queries = 0;
    for target in targets {
        let query = target["expr"].as_str().expect("a query");
        check(query, "deploy/grafana/quaestor.json", &BTreeSet::new());
        queries += 1;
    }
    assert!(queries > 20, "{queries} queries");
}
