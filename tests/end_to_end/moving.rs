//! An installation grows out of one process, and comes back: nothing is lost on the way,
//! however it is interrupted, and it is never in two places.

use std::path::Path;

use serde_json::{Value, json};

use crate::installation::Installation;
use crate::program::{Program, long_report, model_folder};

const QUESTION: &str = "What was the market value of bond 17 in 2025?";

/// What a person sees of an installation, without what differs from answer to answer.
#[derive(Debug, PartialEq)]
struct Seen {
    passages: Vec<(Value, Value)>,
    quotes: Vec<String>,
    content: Vec<u8>,
}

/// Searches, reads what was answered and the file itself.
async fn look(program: &Program, conversation: &str, answer: &str, document: &str) -> Seen {
    let found = program.post("/api/search", json!({"query": QUESTION})).await;
    let passages = found["passages"].as_array().unwrap();
    let answer = program.answer(conversation, answer).await;
    assert_eq!(answer["state"], "done", "{answer}");
    let citations = answer["citations"].as_array().unwrap();
    let path = format!("/api/documents/{document}/content");
    let content = program.send(reqwest::Method::GET, &path, None).await.unwrap();
    Seen {
        passages: passages
            .iter()
            .map(|one| (one["chunk_id"].clone(), one["text"].clone()))
            .collect(),
        quotes: citations.iter().map(|one| one["quote"].as_str().unwrap().to_owned()).collect(),
        content: content.bytes().await.unwrap().to_vec(),
    }
}

async fn ask(program: &Program, conversation: &str) -> String {
    let path = format!("/api/conversations/{conversation}/messages");
    let asked = program.post(&path, json!({ "content": QUESTION })).await;
    let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");
    asked["answer_id"].as_str().unwrap().to_owned()
}

/// Search goes by meaning too, where the model is there.
fn model() -> Vec<(String, String)> {
    let Some(folder) = model_folder() else { return Vec::new() };
    vec![("QUAESTOR_EMBED".to_owned(), format!("minilm:{}", folder.display()))]
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (&**name, &**value)).collect()
}

struct Filled {
    conversation: String,
    answer: String,
    document: String,
    unfinished: String,
    key: String,
    seen: Seen,
}

/// Fills an embedded installation, and kills it while a file is being worked on.
async fn filled(installation: &Installation, environment: &[(&str, &str)]) -> Filled {
    let program = installation.start_embedded(environment);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(40)).await.unwrap();
    let document = upload["items"][0]["document_id"].as_str().unwrap().to_owned();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    let bad = program.upload(&collection, "bad.pdf", "no PDF").await.unwrap();
    program.wait_for_job(bad["items"][0]["job_id"].as_str().unwrap()).await;
    let conversation = program.make_conversation().await;
    let answer = ask(&program, &conversation).await;
    let key = program.post("/api/admin/keys", json!({"name": "desk", "role": "viewer"})).await;
    let key = key["key"].as_str().unwrap_or_else(|| panic!("{key}")).to_owned();
    let seen = look(&program, &conversation, &answer, &document).await;
    assert!(seen.passages.len() > 3 && !seen.quotes.is_empty(), "{seen:?}");
    let upload = program.upload(&collection, "later.md", long_report(100)).await.unwrap();
    let unfinished = upload["items"][0]["job_id"].as_str().unwrap().to_owned();
    Filled { conversation, answer, document, unfinished, key, seen }
}

async fn key_works(program: &Program, key: &str) {
    let patience = std::time::Duration::from_secs(60);
    let client = reqwest::Client::builder().timeout(patience).build().unwrap();
    let url = format!("{}/api/collections", program.address);
    let answer = client.get(url).bearer_auth(key).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn rows(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("quaestor.db")).map_or(0, |file| file.len())
}

#[tokio::test]
async fn an_installation_moves_to_services_and_back() {
    let installation = Installation::to_be_moved().await;
    let environment = model();
    let environment = borrowed(&environment);
    let running = installation.start_embedded(&environment);
    let told = installation.refusal(&["move", "--to", "distributed"], &[]);
    assert!(told.contains("another quaestor uses the data folder"), "{told}");
    drop(running);
    let filled = filled(&installation, &environment).await;

    let planned = installation.run(&["move", "--to", "distributed", "--dry-run"]);
    assert!(planned.contains("to move   documents") && planned.contains("dry run"), "{planned}");
    let told = installation.run(&["move", "--to", "distributed"]);
    assert!(told.contains("checked   chunks") && told.contains("next: "), "{told}");
    let told = installation.embedded_refusal();
    assert!(told.contains("was moved to PostgreSQL at") && told.contains("--undo"), "{told}");
    let told = installation.refusal(&["move", "--to", "distributed"], &[]);
    assert!(told.contains("already"), "{told}");

    installation.run(&["topology", "apply"]);
    let program = installation.start(&environment);
    let job = program.wait_for_job(&filled.unfinished).await;
    assert_eq!(job["state"], "done", "{job}");
    let documents = program.get("/api/documents").await;
    assert_eq!(documents["items"].as_array().unwrap().len(), 3, "{documents}");
    key_works(&program, &filled.key).await;
    let gone = documents["items"].as_array().unwrap();
    let later = gone.iter().find(|one| one["filename"] == "later.md").unwrap();
    let path = format!("/api/documents/{}", later["id"].as_str().unwrap());
    program.send(reqwest::Method::DELETE, &path, None).await.unwrap();
    let seen = look(&program, &filled.conversation, &filled.answer, &filled.document).await;
    assert_eq!(seen, filled.seen);
    let second = ask(&program, &filled.conversation).await;
    let there = look(&program, &filled.conversation, &second, &filled.document).await;
    assert_eq!(there.quotes, filled.seen.quotes, "the same question has the same citations");

    let told = installation.refusal(&["move", "--to", "embedded", "--replace"], &[]);
    assert!(told.contains("stop all of them first"), "{told}");
    drop(program);
    let told = installation.refusal(&["move", "--to", "embedded"], &[]);
    assert!(told.contains("--replace"), "{told}");
    let told = installation.run(&["move", "--to", "embedded", "--replace", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["files"], 2, "{told}");
    let told = installation.refusal(&["front"], &[]);
    assert!(told.contains("was moved to"), "{told}");
    let program = installation.start_embedded(&environment);
    key_works(&program, &filled.key).await;
    let seen = look(&program, &filled.conversation, &second, &filled.document).await;
    assert_eq!(seen, filled.seen);
    ask(&program, &filled.conversation).await;
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_move_that_is_killed_anywhere_is_never_in_two_places_and_ends_when_run_again() {
    let installation = Installation::to_be_moved().await;
    let filled = filled(&installation, &[]).await;
    let whole = rows(installation.folder());
    let killed = |at: &str| {
        installation.refusal(
            &["move", "--to", "distributed"],
            &[("QUAESTOR_FAIL_AT", &format!("{at}=kill"))],
        );
    };
    for point in ["move.after_page:3", "move.after_table:9", "move.after_object:2"] {
        killed(point);
        for command in ["front", "worker", "migrate"] {
            let told = installation.refusal(&[command], &[]);
            assert!(told.contains("is not whole") && told.contains("--undo"), "{point}: {told}");
        }
        let told = installation.refusal(&["move", "--to", "embedded"], &[]);
        assert!(told.contains("is not whole"), "{point}: {told}");
    }
    // Given up: the source goes on, and the target is empty.
    installation.run(&["move", "--to", "distributed", "--undo"]);
    installation.run(&["topology", "apply"]);
    let told = installation.refusal(&["front"], &[]);
    assert!(told.contains("no workspace yet"), "{told}");
    let program = installation.start_embedded(&[]);
    let seen = look(&program, &filled.conversation, &filled.answer, &filled.document).await;
    assert_eq!(seen.quotes, filled.seen.quotes);
    program.wait_for_job(&filled.unfinished).await;
    drop(program);

    killed("move.before_check");
    killed("move.between_marks");
    let told = installation.embedded_refusal();
    assert!(told.contains("was moved to PostgreSQL at"), "{told}");
    let told = installation.refusal(&["front"], &[]);
    assert!(told.contains("is not whole"), "{told}");
    installation.run(&["move", "--to", "distributed"]);
    assert!(rows(installation.folder()) >= whole, "the source is kept");
    let program = installation.start(&[]);
    let seen = look(&program, &filled.conversation, &filled.answer, &filled.document).await;
    assert_eq!(seen.quotes, filled.seen.quotes);
    drop(program);

    // A move that has ended is given up: the source starts, the target no longer does.
    installation.run(&["move", "--to", "distributed", "--undo"]);
    let told = installation.refusal(&["front"], &[]);
    assert!(told.contains("was moved to"), "{told}");
    let program = installation.start_embedded(&[]);
    look(&program, &filled.conversation, &filled.answer, &filled.document).await;
}

#[tokio::test]
async fn files_that_both_sides_have_in_one_place_stay_there() {
    let installation = Installation::to_be_moved().await;
    let filled = filled(&installation, &[]).await;
    let (quotes, content) = (&filled.seen.quotes, &filled.seen.content);
    let place = format!("file:{}", installation.folder().join("objects").display());
    let shared = [("QUAESTOR_OBJECTS_URL", place.as_str())];
    let there = ["move", "--to", "distributed"];
    let told = installation.run_with(&[&there[..], &["--dry-run"]].concat(), &shared);
    assert!(told.contains("the files stay where they are"), "{told}");
    installation.run_with(&there, &shared);
    // Given up and made again: the target is emptied, and the files are still there.
    installation.run_with(&[&there[..], &["--undo"]].concat(), &shared);
    installation.run_with(&[&there[..], &["--replace"]].concat(), &shared);
    installation.run_with(&["topology", "apply"], &shared);
    let program = installation.start(&shared);
    let seen = look(&program, &filled.conversation, &filled.answer, &filled.document).await;
    assert_eq!((seen.quotes, seen.content), (quotes.clone(), content.clone()));
    drop(program);
    installation.run_with(&["move", "--to", "embedded", "--replace"], &shared);
    let program = installation.start_embedded(&[]);
    let seen = look(&program, &filled.conversation, &filled.answer, &filled.document).await;
    assert_eq!((seen.quotes, seen.content), (quotes.clone(), content.clone()));
}

#[tokio::test]
async fn what_is_in_the_way_of_a_move_is_told_in_a_sentence() {
    let installation = Installation::to_be_moved().await;
    let told = installation.refusal(&["move", "--to", "distributed"], &[]);
    assert!(told.contains("there is no embedded installation at"), "{told}");
    drop(installation.start_embedded(&[]));
    let to_sqlite = [("QUAESTOR_DATABASE_URL", "sqlite:other.db")];
    let told = installation.refusal(&["move", "--to", "distributed"], &to_sqlite);
    assert!(told.contains("set QUAESTOR_DATABASE_URL"), "{told}");
    let told = installation.refusal(&["move", "--to", "embedded"], &[]);
    assert!(told.contains("quaestor migrate"), "{told}");
    let told = installation.refusal(&["move", "--to", "distributed", "--undo"], &[]);
    assert!(told.contains("there is no move"), "{told}");
    installation.run(&["migrate"]);
    let told = installation.refusal(&["move", "--to", "distributed"], &[]);
    assert!(told.contains("holds an installation already"), "{told}");
    let told = installation.refusal(&["move", "--to", "distributed", "--replace"], &[]);
    assert!(told.contains("holds an installation already"), "{told}");
}

#[tokio::test]
async fn a_file_that_is_missing_stops_a_move_and_is_named() {
    let installation = Installation::to_be_moved().await;
    let filled = filled(&installation, &[]).await;
    let objects = installation.folder().join("objects/objects");
    let mut folders = vec![objects];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap() == long_report(40).into_bytes() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let told = installation.refusal(&["move", "--to", "distributed"], &[]);
    assert!(told.contains(&filled.document) && told.contains("halden.md"), "{told}");
    assert!(told.contains("is not there") && told.contains("restore it"), "{told}");
    let told = installation.refusal(&["front"], &[]);
    assert!(told.contains("is not whole"), "{told}");
    drop(installation.start_embedded(&[]));
}
