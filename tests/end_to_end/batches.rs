//! Batches: counted, paused, resumed, cancelled and tried again while workers run, and exact
//! after kills.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_pdf};

on_both!(
    a_folder_is_one_batch_that_is_summed_up,
    a_paused_batch_stands_still_and_goes_on,
    a_cancelled_batch_ends_each_file_once,
    failed_files_are_tried_again,
    wrong_states_and_unknown_batches_are_told,
    a_parse_that_takes_long_goes_on_as_further_messages,
);

const PATIENCE: Duration = Duration::from_secs(120);

/// Uploads files to a batch, many in one request. Their jobs.
async fn add(
    program: &Program,
    batch: &str,
    collection: &str,
    files: &[(String, String)],
) -> Vec<String> {
    let files = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes().to_vec()));
    let accepted = program.upload_to(batch, collection, files.collect()).await;
    assert_eq!(accepted["batch_id"], batch);
    let items = accepted["items"].as_array().unwrap();
    items.iter().map(|item| item["job_id"].as_str().unwrap().to_owned()).collect()
}

fn files(from: usize, to: usize) -> Vec<(String, String)> {
    (from..to).map(|n| (format!("note-{n}.txt"), format!("Note {n} says {}.", n * 7))).collect()
}

async fn begin(program: &Program, total: Option<usize>) -> String {
    let made = program.post("/api/batches", json!({ "name": "notes", "total": total })).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn seen(program: &Program, batch: &str) -> Value {
    program.get(&format!("/api/batches/{batch}")).await
}

async fn wait_for(program: &Program, batch: &str, what: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = seen(program, batch).await;
        if what(&found) {
            return found;
        }
        assert!(Instant::now() < until, "the batch stands at {found}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_folder_is_one_batch_that_is_summed_up(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let folder = installation.folder().join("notes");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in files(0, 30) {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(folder.join("again.txt"), "Note 3 says 21.").unwrap();
    std::fs::write(folder.join("broken.pdf"), "%PDF-1.4 nothing").unwrap();
    let mut ingest = installation.command(&["ingest", folder.to_str().unwrap()]);
    let told = ingest.env("QUAESTOR_SERVER", &program.address).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("ready           30"), "{told}");
    assert!(told.contains("duplicates       1") && told.contains("broken.pdf"), "{told}");
    assert!(told.contains("32 files") && told.contains("damaged"), "the summary: {told}");
    let listed = program.get("/api/batches").await;
    let batches = listed["items"].as_array().unwrap();
    assert_eq!(batches.len(), 1, "one batch: {listed}");
    let found = seen(&program, batches[0]["id"].as_str().unwrap()).await;
    assert_eq!((&found["state"], &found["total"]), (&json!("done"), &json!(32)), "{found}");
    assert_eq!((&found["done"], &found["failed"]), (&json!(31), &json!(1)), "{found}");
    let sum = &found["summary"];
    assert_eq!((&sum["ready"], &sum["duplicates"]), (&json!(30), &json!(1)), "{sum}");
    assert_eq!(sum["problems"][0]["example"]["filename"], "broken.pdf", "{sum}");
    assert!(sum["passages"].as_u64().unwrap() >= 30 && sum["seconds"].as_f64().unwrap() > 0.0);
    let path = format!("/api/batches/{}/items?state=failed", found["id"].as_str().unwrap());
    let items = program.get(&path).await;
    assert_eq!(items["items"].as_array().unwrap().len(), 1, "{items}");
    assert_eq!(items["items"][0]["problem"]["code"], sum["problems"][0]["code"]);
}

async fn a_paused_batch_stands_still_and_goes_on(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("notes").await;
    let batch = begin(&program, Some(40)).await;
    program.post(&format!("/api/batches/{batch}/pause"), json!({})).await;
    let jobs = add(&program, &batch, &collection, &files(0, 40)).await;
    // Every message comes to a worker, and costs no file a try.
    let until = Instant::now() + PATIENCE;
    loop {
        let waiting = program.get("/api/jobs?state=waiting&limit=200").await;
        if waiting["items"].as_array().unwrap().len() == 40 {
            break;
        }
        assert!(Instant::now() < until, "files do not wait: {waiting}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let job = program.get(&format!("/api/jobs/{}", jobs[7])).await;
    assert_eq!((&job["reason"], &job["attempt"]), (&json!("batch_paused"), &json!(0)), "{job}");
    let found = seen(&program, &batch).await;
    assert_eq!((&found["state"], &found["done"]), (&json!("paused"), &json!(0)), "{found}");
    // Others are not held up by it.
    let other = program.upload(&collection, "other.txt", "Something else.").await.unwrap();
    program.wait_for_job(other["items"][0]["job_id"].as_str().unwrap()).await;
    for _ in 0..2 {
        let resumed = program.post(&format!("/api/batches/{batch}/resume"), json!({})).await;
        assert_ne!(resumed["state"], "paused");
    }
    let found = wait_for(&program, &batch, |found| found["state"] == "done").await;
    assert_eq!((&found["done"], &found["failed"]), (&json!(40), &json!(0)), "{found}");
    for job in &jobs {
        assert_eq!(program.get(&format!("/api/jobs/{job}")).await["attempt"], 1);
    }
    // Paused and resumed while workers take its files: each ends once.
    let batch = begin(&program, Some(60)).await;
    add(&program, &batch, &collection, &files(100, 160)).await;
    for _ in 0..5 {
        for verb in ["pause", "resume"] {
            let path = format!("/api/batches/{batch}/{verb}");
            program.send(Method::POST, &path, Some(json!({}))).await.unwrap();
        }
    }
    let found = wait_for(&program, &batch, |found| found["state"] == "done").await;
    assert_eq!((&found["done"], &found["failed"]), (&json!(60), &json!(0)), "{found}");
}

/// The terminal events of a job, as its log has them.
async fn ends(program: &Program, job: &str) -> usize {
    let path = format!("/api/jobs/{job}/events");
    let response = program.send(Method::GET, &path, None).await.unwrap();
    let text = response.text().await.unwrap();
    ["\"done\"", "\"failed\"", "\"cancelled\""]
        .iter()
        .map(|kind| text.matches(&format!("\"kind\":{kind}")).count())
        .sum()
}

async fn a_cancelled_batch_ends_each_file_once(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("notes").await;
    let batch = begin(&program, Some(300)).await;
    let mut jobs = add(&program, &batch, &collection, &files(0, 150)).await;
    jobs.extend(add(&program, &batch, &collection, &files(150, 300)).await);
    for _ in 0..2 {
        program.post(&format!("/api/batches/{batch}/cancel"), json!({})).await;
    }
    let found = wait_for(&program, &batch, |found| found["state"] == "cancelled").await;
    let count = |name: &str| found[name].as_u64().unwrap();
    assert_eq!(count("done") + count("failed") + count("cancelled"), 300, "{found}");
    assert!(count("cancelled") > 0, "{found}");
    for job in jobs.iter().step_by(10) {
        assert_eq!(
            ends(&program, job).await,
            1,
            "{}",
            program.get(&format!("/api/jobs/{job}")).await
        );
    }
}

async fn failed_files_are_tried_again(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("notes").await;
    let batch = begin(&program, None).await;
    let broken = (0..3).map(|n| (format!("broken-{n}.pdf"), format!("%PDF-1.4 nothing {n}")));
    let files: Vec<(String, String)> = broken.chain(files(0, 2)).collect();
    add(&program, &batch, &collection, &files).await;
    wait_for(&program, &batch, |found| found["failed"] == 3 && found["done"] == 2).await;
    let found = program.post(&format!("/api/batches/{batch}/close"), json!({})).await;
    assert_eq!(found["state"], "done", "{found}");
    let retried = program.post(&format!("/api/batches/{batch}/retry-failed"), json!({})).await;
    assert_eq!((&retried["retried"], &retried["remaining"]), (&json!(3), &json!(0)), "{retried}");
    let found = wait_for(&program, &batch, |found| found["state"] == "done").await;
    assert_eq!((&found["failed"], &found["done"]), (&json!(3), &json!(2)), "{found}");
    let items = program.get(&format!("/api/batches/{batch}/items?state=failed")).await;
    for item in items["items"].as_array().unwrap() {
        let job = program.get(&format!("/api/jobs/{}", item["job_id"].as_str().unwrap())).await;
        assert!(job["attempt"].as_u64() >= Some(3), "another life: {job}");
    }
}

async fn wrong_states_and_unknown_batches_are_told(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[]);
    let collection = program.make_collection("notes").await;
    let batch = begin(&program, Some(1)).await;
    add(&program, &batch, &collection, &files(0, 1)).await;
    wait_for(&program, &batch, |found| found["state"] == "done").await;
    let refused = async |method: Method, path: &str, body: Option<Value>| {
        let response = program.send(method, path, body).await.unwrap();
        let status = response.status().as_u16();
        let told: Value = response.json().await.unwrap();
        (status, told["code"].as_str().unwrap().to_owned())
    };
    let unknown = "018f0000-0000-7000-8000-00000000dead";
    for verb in ["pause", "resume", "cancel", "close", "retry-failed"] {
        let path = format!("/api/batches/{unknown}/{verb}");
        assert_eq!(refused(Method::POST, &path, None).await, (404, "not_found".to_owned()));
    }
    for verb in ["pause", "cancel"] {
        let path = format!("/api/batches/{batch}/{verb}");
        assert_eq!(refused(Method::POST, &path, None).await, (409, "batch_ended".to_owned()));
    }
    program.post(&format!("/api/batches/{batch}/close"), json!({})).await;
    for (batch, wanted) in [(batch.as_str(), "batch_closed"), (unknown, "not_found")] {
        let late = vec![("late.txt", b"late".to_vec())];
        let response = program.send_to(batch, &collection, late).await.unwrap();
        let told: Value = response.json().await.unwrap();
        assert_eq!(told["code"], wanted, "{told}");
    }
    let wrong = refused(Method::POST, "/api/batches", Some(json!({ "total": -1 }))).await;
    assert_eq!(wrong, (422, "invalid_field".to_owned()));
    let path = format!("/api/batches/{batch}/items?state=lost");
    assert_eq!(refused(Method::GET, &path, None).await, (422, "invalid_field".to_owned()));
}

/// The texts of all passages of a document's current version.
pub(crate) async fn passages(program: &Program, document: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/documents/{document}/chunks?limit=200{cursor}");
        let page = program.get(&path).await;
        texts.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|chunk| format!("{} {} {}", chunk["ordinal"], chunk["page"], chunk["text"])),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return texts,
        }
    }
}

async fn a_parse_that_takes_long_goes_on_as_further_messages(backends: Backends) {
    let installation = Installation::new(backends).await;
    let program = installation.start(&[
        // Each range of pages takes longer than a message is held.
        ("QUAESTOR_PARSE__SLICE_S", "1"),
        #[cfg(feature = "failpoints")]
        ("QUAESTOR_FAIL_AT", "ingest.mid_parse:*=sleep(1100)"),
    ]);
    let collection = program.make_collection("reports").await;
    let uploaded = program.upload(&collection, "long.pdf", long_pdf(200)).await.unwrap();
    let job = uploaded["items"][0]["job_id"].as_str().unwrap();
    let ended = program.wait_for_job(job).await;
    assert_eq!(ended["state"], "done", "{ended}");
    if cfg!(feature = "failpoints") {
        assert!(ended["attempt"].as_u64() >= Some(3), "it went on as further messages: {ended}");
    }
    let document = uploaded["items"][0]["document_id"].as_str().unwrap();
    let found = program.get(&format!("/api/documents/{document}")).await;
    assert_eq!((&found["status"], &found["pages"]), (&json!("ready"), &json!(200)), "{found}");
    let texts = passages(&program, document).await;
    let different: BTreeSet<&String> = texts.iter().collect();
    assert_eq!(different.len(), texts.len());
    assert_eq!(found["chunks"].as_u64(), Some(texts.len() as u64), "{found}");
}

#[cfg(feature = "failpoints")]
mod killed {
    use super::*;

    on_both!(
        a_killed_batch_goes_on_and_its_counts_are_exact,
        a_cancel_that_is_killed_is_ended_by_the_sweep,
        a_pause_outlives_a_kill_while_files_are_put_aside,
        a_parse_that_is_killed_between_its_messages_goes_on,
        a_long_document_goes_on_where_it_stopped,
    );

    /// Whether files were accepted, and the answer came.
    async fn try_add(
        program: &Program,
        batch: &str,
        collection: &str,
        files: &[(String, String)],
    ) -> bool {
        let files = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes().to_vec()));
        match program.send_to(batch, collection, files.collect()).await {
            Ok(response) => response.status() == 202,
            Err(_) => false,
        }
    }

    async fn a_killed_batch_goes_on_and_its_counts_are_exact(backends: Backends) {
        for point in ["worker.after_save:5", "upload.after_accept:2", "worker.before_ack:9"] {
            let installation = Installation::new(backends).await;
            let plan = format!("{point}=kill");
            let mut program = installation.start(&[("QUAESTOR_FAIL_AT", &plan)]);
            let collection = program.make_collection("notes").await;
            let batch = begin(&program, Some(60)).await;
            let mut sent = 0;
            for part in 0..3 {
                let some = files(part * 20, part * 20 + 20);
                if !try_add(&program, &batch, &collection, &some).await {
                    break;
                }
                sent += 1;
            }
            assert!(program.wait_for_death(), "the program did not come to {point}");
            drop(program);
            let program = installation.start(&[]);
            for part in sent.min(2)..3 {
                // What the server had before its answer was lost is counted as there already.
                let some = files(part * 20, part * 20 + 20);
                assert!(try_add(&program, &batch, &collection, &some).await);
            }
            program.post(&format!("/api/batches/{batch}/close"), json!({})).await;
            let found = wait_for(&program, &batch, |found| found["state"] == "done").await;
            let count = |name: &str| found[name].as_u64().unwrap();
            assert_eq!(count("done"), count("total"), "{point}: {found}");
            assert_eq!(count("done") - count("duplicates"), 60, "{point}: {found}");
            assert_eq!((count("failed"), count("cancelled"), count("running")), (0, 0, 0));
        }
    }

    async fn a_cancel_that_is_killed_is_ended_by_the_sweep(backends: Backends) {
        let installation = Installation::new(backends).await;
        // The front dies after the first part of its files was cancelled.
        let mut program = installation.start(&[("QUAESTOR_FAIL_AT", "batch.before_cancel:2=kill")]);
        let collection = program.make_collection("notes").await;
        let batch = begin(&program, None).await;
        program.post(&format!("/api/batches/{batch}/pause"), json!({})).await;
        for part in 0..3 {
            add(&program, &batch, &collection, &files(part * 150, part * 150 + 150)).await;
        }
        let path = format!("/api/batches/{batch}/cancel");
        let _ = program.send(Method::POST, &path, Some(json!({}))).await;
        assert!(program.wait_for_death(), "the front did not come to the second part");
        drop(program);
        let program = installation.start(&[]);
        let found = wait_for(&program, &batch, |found| found["state"] == "cancelled").await;
        assert_eq!((&found["cancelled"], &found["running"]), (&json!(450), &json!(0)), "{found}");
    }

    async fn a_pause_outlives_a_kill_while_files_are_put_aside(backends: Backends) {
        let installation = Installation::new(backends).await;
        let plan = [("QUAESTOR_FAIL_AT", "worker.batch_paused:7=kill")];
        let mut program = installation.start(&plan);
        let collection = program.make_collection("notes").await;
        let batch = begin(&program, Some(30)).await;
        program.post(&format!("/api/batches/{batch}/pause"), json!({})).await;
        // Workers may come to the point before the answer comes.
        let _ = try_add(&program, &batch, &collection, &files(0, 30)).await;
        assert!(program.wait_for_death(), "no worker came to a file of the paused batch");
        drop(program);
        let program = installation.start(&[]);
        assert!(try_add(&program, &batch, &collection, &files(0, 30)).await);
        let until = Instant::now() + PATIENCE;
        loop {
            let waiting = program.get("/api/jobs?state=waiting&limit=200").await;
            if waiting["items"].as_array().unwrap().len() == 30 {
                break;
            }
            assert!(Instant::now() < until, "files do not wait: {waiting}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(seen(&program, &batch).await["state"], "paused");
        program.post(&format!("/api/batches/{batch}/resume"), json!({})).await;
        program.post(&format!("/api/batches/{batch}/close"), json!({})).await;
        let found = wait_for(&program, &batch, |found| found["state"] == "done").await;
        let count = |name: &str| found[name].as_u64().unwrap();
        assert_eq!((count("done"), count("failed")), (count("total"), 0), "{found}");
        assert_eq!(count("done") - count("duplicates"), 30, "{found}");
    }

    async fn a_parse_that_is_killed_between_its_messages_goes_on(backends: Backends) {
        let undisturbed = {
            let installation = Installation::new(backends).await;
            let program = installation.start(&[]);
            parsed(&program, long_pdf(200)).await
        };
        let installation = Installation::new(backends).await;
        // Each range of pages takes longer than a message is held: the second time that the
        // parse is handed on, its process dies before it stands in the store.
        let mut program = installation.start(&[
            ("QUAESTOR_PARSE__SLICE_S", "1"),
            ("QUAESTOR_FAIL_AT", "ingest.mid_parse:*=sleep(1100),ingest.before_next:2=kill"),
        ]);
        let collection = program.make_collection("reports").await;
        let uploaded = program.upload(&collection, "long.pdf", long_pdf(200)).await.unwrap();
        assert!(program.wait_for_death(), "the parse was not handed on twice");
        drop(program);
        let program = installation.start(&[]);
        let job = uploaded["items"][0]["job_id"].as_str().unwrap();
        let ended = program.wait_for_job(job).await;
        assert_eq!(ended["state"], "done", "{ended}");
        let document = uploaded["items"][0]["document_id"].as_str().unwrap();
        assert_eq!(passages(&program, document).await, undisturbed);
    }

    async fn a_long_document_goes_on_where_it_stopped(backends: Backends) {
        let undisturbed = {
            let installation = Installation::new(backends).await;
            let program = installation.start(&[]);
            parsed(&program, long_pdf(200)).await
        };
        let installation = Installation::new(backends).await;
        // At the fifth range of pages: four are stored, and not read again.
        let mut program = installation.start(&[("QUAESTOR_FAIL_AT", "ingest.mid_parse:5=kill")]);
        let collection = program.make_collection("reports").await;
        let uploaded = program.upload(&collection, "long.pdf", long_pdf(200)).await.unwrap();
        assert!(program.wait_for_death(), "it did not come to the fifth range");
        drop(program);
        // A second range that is stored would end it again.
        let program = installation.start(&[("QUAESTOR_FAIL_AT", "ingest.mid_parse:4=kill")]);
        let job = uploaded["items"][0]["job_id"].as_str().unwrap();
        let ended = program.wait_for_job(job).await;
        assert_eq!(ended["state"], "done", "{ended}");
        let document = uploaded["items"][0]["document_id"].as_str().unwrap();
        assert_eq!(passages(&program, document).await, undisturbed);
    }

    async fn parsed(program: &Program, pdf: Vec<u8>) -> Vec<String> {
        let collection = program.make_collection("reports").await;
        let uploaded = program.upload(&collection, "long.pdf", pdf).await.unwrap();
        program.wait_for_job(uploaded["items"][0]["job_id"].as_str().unwrap()).await;
        passages(program, uploaded["items"][0]["document_id"].as_str().unwrap()).await
    }
}
