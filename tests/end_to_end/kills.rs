//! SIGKILL at named points, then a restart: each accepted job ends once, no chunk twice,
//! no answer lost.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_report, model_folder};

on_both!(
    killed_after_accept_before_anything_is_published,
    killed_right_after_a_claim,
    killed_in_the_middle_of_a_parse,
    killed_between_save_and_event,
    killed_between_save_and_ack,
    killed_in_the_middle_of_an_answer,
    killed_in_the_middle_of_embedding,
    an_outage_uses_no_tries_up,
);

const QUESTION: &str = "What was the market value of bond 17 in 2025?";

/// What one run left behind, in a form that compares over runs.
#[derive(Debug, PartialEq)]
struct Left {
    chunks: Vec<(u64, String)>,
    answer: String,
    quotes: Vec<String>,
}

/// Uploads and asks, kills at a point where one is given, restarts, and looks.
async fn run(backends: Backends, point: Option<&str>, environment: &[(&str, &str)]) -> Left {
    let installation = Installation::new(backends).await;
    let mut first_environment = environment.to_vec();
    let plan = point.map(|point| format!("{point}=kill"));
    if let Some(point) = &plan {
        first_environment.push(("QUAESTOR_FAIL_AT", point));
    }
    let mut program = installation.start(&first_environment);
    let collection = program.make_collection("reports").await;
    // The report takes several batches to parse and to embed.
    let mut upload = program.upload(&collection, "halden.md", long_report(300)).await.ok();
    let mut asked = None;
    let document_point = point.is_some_and(|point| {
        ["ingest.", "embed.", "relay.", "worker."].iter().any(|area| point.starts_with(area))
    });
    if point.is_some() && document_point {
        assert!(program.wait_for_death(), "the program did not come to {point:?}");
    } else if let Some(upload) = &upload {
        program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
        let conversation = program.make_conversation().await;
        asked = ask(&program, &conversation).await.map(|asked| (conversation, asked));
        if point.is_some() {
            assert!(program.wait_for_death(), "the program did not come to {point:?}");
        }
    }
    if point.is_some() {
        drop(program);
        program = installation.start(environment);
    }
    if upload.is_none() {
        // The answer to the upload was lost with the process: the client sends it again,
        // and is told that the file is known, or it is accepted now.
        upload = program.upload(&collection, "halden.md", long_report(300)).await.ok();
    }
    let upload = upload.unwrap();
    let job = program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{point:?}: {job}");
    let document = upload["items"][0]["document_id"].as_str().unwrap().to_owned();
    let seen = program.get(&format!("/api/documents/{document}")).await;
    assert_eq!(seen["status"], "ready", "{point:?}: {seen}");
    let (conversation, asked) = match asked {
        Some(asked) => asked,
        None => {
            let conversation = program.make_conversation().await;
            let asked = ask(&program, &conversation).await.unwrap();
            (conversation, asked)
        }
    };
    let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{point:?}: {job}");
    let answer = program.answer(&conversation, asked["answer_id"].as_str().unwrap()).await;
    let jobs = program.get("/api/jobs").await;
    for job in jobs["items"].as_array().unwrap() {
        assert_eq!(job["state"], "done", "{point:?}: {job}");
    }
    Left { chunks: all_chunks(&program, &document).await, ..left(&answer) }
}

async fn ask(program: &Program, conversation: &str) -> Option<Value> {
    let path = format!("/api/conversations/{conversation}/messages");
    let body = Some(json!({ "content": QUESTION }));
    let response = program.send(reqwest::Method::POST, &path, body).await.ok()?;
    assert_eq!(response.status(), 202);
    response.json().await.ok()
}

fn left(answer: &Value) -> Left {
    let citations = answer["citations"].as_array().unwrap();
    Left {
        chunks: Vec::new(),
        answer: answer["content"].as_str().unwrap().to_owned(),
        quotes: citations.iter().map(|c| c["quote"].as_str().unwrap().to_owned()).collect(),
    }
}

async fn all_chunks(program: &Program, document: &str) -> Vec<(u64, String)> {
    let mut chunks = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/documents/{document}/chunks?limit=200{cursor}");
        let page = program.get(&path).await;
        for chunk in page["items"].as_array().unwrap() {
            let text = chunk["text"].as_str().unwrap().to_owned();
            chunks.push((chunk["ordinal"].as_u64().unwrap(), text));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return chunks,
        }
    }
}

async fn check(backends: Backends, point: &str, environment: &[(&str, &str)]) {
    let undisturbed = run(backends, None, environment).await;
    let ordinals: BTreeSet<u64> = undisturbed.chunks.iter().map(|chunk| chunk.0).collect();
    assert_eq!(ordinals.len(), undisturbed.chunks.len());
    assert!(undisturbed.answer.contains("17221"), "{}", undisturbed.answer);
    assert_eq!(run(backends, Some(point), environment).await, undisturbed, "killed at {point}");
}

async fn killed_after_accept_before_anything_is_published(backends: Backends) {
    check(backends, "relay.after_publish", &[]).await;
}

async fn killed_right_after_a_claim(backends: Backends) {
    check(backends, "worker.after_claim", &[]).await;
}

async fn killed_in_the_middle_of_a_parse(backends: Backends) {
    check(backends, "ingest.mid_parse:2", &[]).await;
}

async fn killed_between_save_and_event(backends: Backends) {
    check(backends, "worker.after_save", &[]).await;
}

async fn killed_between_save_and_ack(backends: Backends) {
    check(backends, "worker.before_ack", &[]).await;
}

async fn killed_in_the_middle_of_an_answer(backends: Backends) {
    check(backends, "generate.mid_stream:3", &[]).await;
}

async fn killed_in_the_middle_of_embedding(backends: Backends) {
    let folder = model_folder().expect("`make model` fetches the model, as `make test` does");
    let embed = format!("minilm:{}", folder.display());
    check(backends, "embed.mid_embedding:2", &[("QUAESTOR_EMBED", &embed)]).await;
}

/// A store that is away four times in a row at the same step, for a job that has two tries.
async fn an_outage_uses_no_tries_up(backends: Backends) {
    let installation = Installation::new(backends).await;
    let away: Vec<String> = ["retrieve.before_save", "ingest.before_switch"]
        .iter()
        .flat_map(|point| (1..=4).map(move |time| format!("{point}:{time}=error")))
        .collect();
    let away = away.join(",");
    let program = installation
        .start(&[("QUAESTOR_FAIL_AT", away.as_str()), ("QUAESTOR_JOBS__MAX_ATTEMPTS", "2")]);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    let conversation = program.make_conversation().await;
    let asked = ask(&program, &conversation).await.unwrap();
    for job in [&upload["items"][0]["job_id"], &asked["job_id"]] {
        let job = program.wait_for_job(job.as_str().unwrap()).await;
        assert_eq!(job["state"], "done", "{job}");
        assert!(job["attempt"].as_u64() >= Some(5), "{job}");
    }
}
