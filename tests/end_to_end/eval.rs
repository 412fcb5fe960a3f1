//! `quaestor eval` measures search and answers on labelled data, and says what is wrong with
//! data that is none.

#[path = "../../backends/bert/tests/cross_encoder/model.rs"]
mod small_model;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const CORPUS: &str = r#"{"_id": "a1", "title": "Rules", "text": "A passive breach must be corrected within 20 business days.", "metadata": {"doc": "rules"}}
{"_id": "a2", "title": "Rules", "text": "The committee meets every month and keeps minutes.", "metadata": {"doc": "rules"}}
{"_id": "b1", "title": "Fund", "text": "|  | 2025 | 2024 |\n| NAV per share of Class I | 127.45 | 119.80 |\n| NAV per share of Class R | 113.20 | 107.10 |", "metadata": {"doc": "fund"}}
{"_id": "b2", "title": "Fund", "text": "The fund invests in bonds of issuers in Europe.", "metadata": {"doc": "fund"}}
"#;
const QUERIES: &str = r#"{"_id": "q1", "text": "Within how many business days must a passive breach be corrected?", "metadata": {"doc": "rules"}}
{"_id": "q2", "text": "What was the NAV per share of Class I in 2025?", "metadata": {"doc": "fund"}}
"#;
const QRELS: &str = "query-id\tcorpus-id\tscore\nq1\ta1\t1\nq2\tb1\t1\n";

fn data_set(folder: &Path, qrels: &str) {
    fs::create_dir_all(folder.join("qrels")).unwrap();
    fs::create_dir_all(folder.join("scratch")).unwrap();
    fs::write(folder.join("corpus.jsonl"), CORPUS).unwrap();
    fs::write(folder.join("queries.jsonl"), QUERIES).unwrap();
    fs::write(folder.join("qrels/test.tsv"), qrels).unwrap();
}

fn eval(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quaestor"))
        .args(["eval", ".", "--set", "models.embed=none"])
        .args(arguments)
        .env_clear()
        .env("HOME", folder)
        .env("TMPDIR", folder.join("scratch"))
        .current_dir(folder)
        .output()
        .unwrap()
}

fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn search_and_answers_are_measured_by_set_scope_and_way() {
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path(), QRELS);
    let output = eval(folder.path(), &["--answers", "2", "--json"]);
    let report = report(&output);
    assert_eq!((&report["entries"], &report["documents"]), (&4.into(), &2.into()));
    let set = &report["sets"][0];
    assert_eq!((&set["set"], &set["unit"]), (&"test".into(), &"passages".into()));
    let rows: Vec<(&str, &str)> = set["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["scope"].as_str().unwrap(), row["way"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [("global", "words"), ("document", "words")]);
    for measure in ["ndcg_10", "ndcg_5", "recall_10", "recall_5", "hit_5", "mrr_10", "mrr_5"] {
        assert_eq!(set["rows"][0][measure], 1.0, "{measure}: {set}");
    }
    let answers = &set["answers"];
    assert_eq!((&answers["asked"], &answers["answered"]), (&2.into(), &2.into()), "{answers}");
    assert_eq!(answers["citation_recall"], 1.0, "{answers}");
    assert_eq!(answers["figures"], answers["figures_supported"], "{answers}");
    assert_eq!(answers["model"], "offline:quote", "{answers}");
    // Nothing stays behind.
    assert_eq!(fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0);

    let told = eval(folder.path(), &[]);
    let table = String::from_utf8(told.stdout).unwrap();
    assert!(table.contains("nDCG@10") && table.contains("no vectors"), "{table}");
}

#[test]
fn a_reranker_is_measured_beside_the_search_that_it_orders() {
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path(), QRELS);
    let model = small_model::folder(&small_model::weights(1));
    let rerank = format!("models.rerank=cross-encoder:{}", model.path().display());
    let report = report(&eval(folder.path(), &["--json", "--set", &rerank]));
    assert!(report["reranker"].as_str().unwrap().starts_with("cross-encoder:"), "{report}");
    let row = &report["sets"][0]["rows"][1];
    assert_eq!((&row["way"], &row["not_reranked"]), (&"reranked".into(), &0.into()), "{report}");
}

#[test]
fn data_that_is_wrong_is_named_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path(), "query-id\tcorpus-id\tscore\nq1\ta9\t1\n");
    let output = eval(folder.path(), &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("qrels/test.tsv:2: there is no entry \"a9\" in corpus.jsonl"), "{said}");
    let missing = eval(&folder.path().join("qrels"), &[]);
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(said.contains("has no corpus.jsonl"), "{said}");
}
