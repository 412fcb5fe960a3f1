//! An answer that is given again: only to the same question about the same documents, and
//! never without saying so.

use quaestor_model_server::{ModelServer, Operation, Reply};
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, on_both};
use crate::program::{Program, long_report};

on_both!(an_answer_is_given_again_until_the_documents_change);

const QUESTION: &str = "What was the market value of bond 2?";

async fn ask(program: &Program, conversation: &str, question: &str) -> Value {
    let path = format!("/api/conversations/{conversation}/messages");
    let asked = program.post(&path, json!({ "content": question })).await;
    let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "done", "{job}");
    program.answer(conversation, asked["answer_id"].as_str().unwrap()).await
}

async fn upload(program: &Program, collection: &str, name: &str) {
    let upload = program.upload(collection, name, format!("{} {name}", long_report(4))).await;
    program.wait_for_job(upload.unwrap()["items"][0]["job_id"].as_str().unwrap()).await;
}

async fn an_answer_is_given_again_until_the_documents_change(backends: Backends) {
    let server = ModelServer::start().await;
    let url = server.openai_url();
    let installation = Installation::new(backends).await;
    let mut environment = vec![
        ("QUAESTOR_CHAT", "openai:scripted,offline"),
        ("OPENAI_BASE_URL", url.as_str()),
        ("OPENAI_API_KEY", "sk-none"),
    ];
    let answers = || server.calls_of(Operation::Chat).len();
    server.respond(|request| match request.operation {
        Operation::Chat => Reply::text("The market value of bond 2 stands there [1]."),
        _ => Reply::sensible(request),
    });
    {
        let program = installation.start(&environment);
        let collection = program.make_collection("reports").await;
        upload(&program, &collection, "halden.md").await;
        for asked in 1..=2 {
            let conversation = program.make_conversation().await;
            let answer = ask(&program, &conversation, QUESTION).await;
            assert_eq!((answer["model"].as_str(), answers()), (Some("openai:scripted"), asked));
        }
    }
    environment.push(("QUAESTOR_ANSWERS__KEPT_MINUTES", "10"));
    let program = installation.start(&environment);
    // What stood in for the model in an outage is not given again after it.
    server.push(Reply::error(400, "invalid_request_error"));
    let conversation = program.make_conversation().await;
    let substitute = ask(&program, &conversation, QUESTION).await;
    assert_eq!((substitute["model"].as_str(), answers()), (Some("offline:quote"), 3));
    let first = program.make_conversation().await;
    let written = ask(&program, &first, QUESTION).await;
    assert_eq!((written["model"].as_str(), answers()), (Some("openai:scripted"), 4));
    let conversation = program.make_conversation().await;
    let again = ask(&program, &conversation, "what was  the market value of bond 2 ").await;
    assert_eq!((again["model"].as_str(), answers()), (Some("cache:openai:scripted"), 4));
    assert_eq!(
        (&again["content"], &again["citations"]),
        (&written["content"], &written["citations"])
    );
    assert_eq!(again["usage"]["cost_micros"], 0);
    // A follow-up leans on what was said before, and another question is another one.
    ask(&program, &first, QUESTION).await;
    assert_eq!(answers(), 5);
    let conversation = program.make_conversation().await;
    ask(&program, &conversation, "What was the market value of bond 3?").await;
    assert_eq!(answers(), 6);
    let collection = program.make_collection("more").await;
    upload(&program, &collection, "other.md").await;
    let conversation = program.make_conversation().await;
    let anew = ask(&program, &conversation, QUESTION).await;
    assert_eq!((anew["model"].as_str(), answers()), (Some("openai:scripted"), 7));
}
