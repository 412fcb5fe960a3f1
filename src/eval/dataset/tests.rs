//! What a folder of labelled data must be, and what is said where it is not.

use std::fs;
use std::path::Path;

use super::*;

const CORPUS: &str = r#"{"_id": "a1", "title": "A", "text": "one", "metadata": {"doc": "A.pdf", "company": "X"}}
{"_id": "b1", "title": "", "text": "two", "metadata": {"doc": "B.pdf", "company": "X"}}

{"_id": 7, "text": "three"}
{"_id": "a2", "title": null, "text": "four", "metadata": {"doc": "A.pdf"}}
"#;
const QUERIES: &str = r#"{"_id": "q1", "text": "one?", "metadata": {"doc": "A.pdf", "company": "X"}}
{"_id": "q2", "text": "nobody judges this"}
{"_id": "q3", "text": "three?"}
"#;
const QRELS: &str = "query-id\tcorpus-id\tscore\nq3\t7\t2\nq1\ta2\t1\nq1\ta1\t1\nq1\tb1\t0\n";

fn folder(corpus: &str, queries: &str, qrels: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("corpus.jsonl"), corpus).unwrap();
    fs::write(folder.path().join("queries.jsonl"), queries).unwrap();
    fs::create_dir(folder.path().join("qrels")).unwrap();
    fs::write(folder.path().join("qrels/test.tsv"), qrels).unwrap();
    folder
}

fn refusal(corpus: &str, queries: &str, qrels: &str) -> String {
    let folder = folder(corpus, queries, qrels);
    let error = Dataset::open(folder.path()).unwrap_err().to_string();
    error.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn entries_are_gathered_into_the_documents_that_they_name() {
    let folder = folder(CORPUS, QUERIES, QRELS);
    let docs = "query-id\tdoc-id\tscore\nq1\tB.pdf\t1\n";
    fs::write(folder.path().join("qrels/docs.tsv"), docs).unwrap();
    let read = Dataset::open(folder.path()).unwrap();
    let entries: Vec<&[u32]> = read.documents.iter().map(|d| d.entries.as_slice()).collect();
    assert_eq!(entries, [&[0, 3][..], &[1], &[2]]);
    assert_eq!(read.in_collection("X"), [0, 1]);
    let queries: Vec<&str> = read.queries.iter().map(|query| query.id.as_str()).collect();
    assert_eq!(queries, ["q1", "q3"]);
    assert_eq!(read.queries[0].document, Some(0));
    let [docs, test] = read.sets.as_slice() else { panic!("two sets") };
    assert_eq!((docs.name.as_str(), docs.unit), ("docs", Unit::Documents));
    assert_eq!(docs.queries[0].right, [(1, 1)]);
    assert_eq!((test.queries[0].query, test.queries[0].right.as_slice()), (1, &[(2, 2)][..]));
    assert_eq!(test.queries[1].right, [(3, 1), (0, 1)]);
    let texts = read.texts(&read.documents[0]).unwrap();
    assert_eq!((texts[0].title.as_str(), texts[1].text.as_str()), ("A", "four"));
}

#[test]
fn what_is_missing_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let of = |path: &Path| Dataset::open(path).unwrap_err().to_string();
    assert!(of(empty.path()).contains("has no corpus.jsonl; a data set is"));
    let whole = folder(CORPUS, QUERIES, QRELS);
    fs::remove_dir_all(whole.path().join("qrels")).unwrap();
    assert!(of(whole.path()).contains("has no qrels/*.tsv"));
}

#[test]
fn what_is_wrong_is_named_with_file_line_and_cure() {
    let cases = [
        (refusal("{\"_id\": \"a\"}\n", QUERIES, QRELS), "corpus.jsonl:1: missing field `text`"),
        (refusal("\n{\"_id\"\n", QUERIES, QRELS), "corpus.jsonl:2: it is no JSON"),
        (refusal("{\"_id\": [], \"text\": \"\"}", QUERIES, QRELS), "corpus.jsonl:1: its `_id`"),
        (refusal(&CORPUS.repeat(2), QUERIES, QRELS), "corpus.jsonl:6: a line before it has the"),
        (refusal("", QUERIES, QRELS), "corpus.jsonl:1: the file holds no entry"),
        (refusal(CORPUS, &QUERIES.repeat(2), QRELS), "queries.jsonl:4: a line before it"),
        (refusal(CORPUS, QUERIES, ""), "qrels/test.tsv:1: the file is empty"),
        (refusal(CORPUS, QUERIES, "q1\t0\ta1\t1\n"), "qrels/test.tsv:1: it does not name the"),
        (refusal(CORPUS, QUERIES, "query-id\tcorpus-id\nq1 a1\n"), "test.tsv:2: it has no two"),
        (
            refusal(CORPUS, QUERIES, "query-id\tcorpus-id\tscore\nq1\ta1\tgood\n"),
            "test.tsv:2: its third column \"good\" is no whole number",
        ),
        (
            refusal(CORPUS, QUERIES, "query-id\tcorpus-id\tscore\nq1\tzz\t1\n"),
            "test.tsv:2: there is no entry \"zz\" in corpus.jsonl; add it, or remove the line",
        ),
        (
            refusal(CORPUS, QUERIES, "query-id\tdoc-id\tscore\nq1\ta1\t1\n"),
            "test.tsv:2: no entry of corpus.jsonl has the `metadata.doc` \"a1\"",
        ),
        (
            refusal(CORPUS, QUERIES, "query-id\tcorpus-id\tscore\nq9\ta1\t1\n"),
            "test.tsv:2: there is no query \"q9\" in queries.jsonl",
        ),
        (
            refusal(CORPUS, QUERIES, "query-id\tcorpus-id\tscore\nq1\ta1\t0\n"),
            "test.tsv:1: the file calls nothing right",
        ),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected), "{said}\nlacks {expected}");
    }
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let folder = folder(CORPUS, QUERIES, QRELS);
    fs::write(folder.path().join("corpus.jsonl"), b"{\"_id\": \"\xff\"}\n").unwrap();
    let said = Dataset::open(folder.path()).unwrap_err().to_string();
    assert!(said.contains("corpus.jsonl:1: the line is not UTF-8"), "{said}");
}
