//! The program with each provider of models, from its configuration to its bill.

use quaestor_model_server::{ModelServer, Operation, Reply, Wire};
use serde_json::{Value, json};

use crate::installation::{Backends, Installation};
use crate::program::{Program, long_report};

/// Stands for every key; it may be shown nowhere.
const CANARY: &str = "canary-7f3a-secret";

const TEXT: &str = "The market value stands in the report [1].";

/// Everything that names the server to the program, under each provider's usual names.
fn environment(server: &ModelServer) -> Vec<(&'static str, String)> {
    vec![
        ("OPENAI_BASE_URL", server.openai_url()),
        ("OPENAI_API_KEY", CANARY.to_owned()),
        ("AZURE_OPENAI_ENDPOINT", server.url()),
        ("AZURE_OPENAI_API_KEY", CANARY.to_owned()),
        ("ANTHROPIC_BASE_URL", server.url()),
        ("ANTHROPIC_API_KEY", CANARY.to_owned()),
        ("QUAESTOR_MODELS__SERVERS__GPU__BASE_URL", server.openai_url()),
        ("QUAESTOR_MODELS__SERVERS__GPU__API_KEY", CANARY.to_owned()),
        ("QUAESTOR_LOG__FILTER", "debug".to_owned()),
    ]
}

fn start(installation: &Installation, server: &ModelServer, chain: &str) -> Program {
    let environment = environment(server);
    let mut all: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    all.push(("QUAESTOR_CHAT", chain));
    installation.start(&all)
}

/// Asks about a document that is there, and gives the message of the answer.
async fn ask(program: &Program) -> Value {
    let conversation = program.make_conversation().await;
    let path = format!("/api/conversations/{conversation}/messages");
    let question = json!({"content": "What was the market value of bond 2?"});
    let asked = program.post(&path, question).await;
    program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    program.answer(&conversation, asked["answer_id"].as_str().unwrap()).await
}

async fn fill(program: &Program) {
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_provider_answers_and_its_bill_is_the_servers() {
    let server = ModelServer::answering(|request| match request.operation {
        Operation::Chat => Reply::text(TEXT),
        _ => Reply::sensible(request),
    })
    .await;
    let installation = Installation::new(Backends::Embedded).await;
    let program = start(&installation, &server, "offline");
    fill(&program).await;
    drop(program);
    for (chain, wire) in [
        ("openai:tiny", Wire::OpenAi),
        ("azure:desk", Wire::Azure),
        ("anthropic:claude-tiny", Wire::Anthropic),
        ("gpu:qwen3:8b", Wire::OpenAi),
    ] {
        let program = start(&installation, &server, chain);
        let answer = ask(&program).await;
        assert_eq!((&answer["state"], &answer["content"]), (&"done".into(), &TEXT.into()));
        assert_eq!(answer["model"], chain);
        assert_eq!(answer["citations"].as_array().unwrap().len(), 1, "{answer}");
        let call = server.settled().await.pop().unwrap();
        assert_eq!((call.wire, call.key.as_deref()), (wire, Some(CANARY)), "{chain}");
        assert_eq!(call.model, chain.split_once(':').unwrap().1);
        assert_eq!(answer["usage"]["input_tokens"], call.input_tokens, "{chain}");
        assert_eq!(answer["usage"]["output_tokens"], call.output_tokens, "{chain}");
        assert!(!program.log().contains("canary"), "{}", program.log());
    }
    assert_eq!(server.calls().len(), 4, "each question was one request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_stops_working_is_shown_nowhere_and_the_next_model_answers() {
    let server = ModelServer::answering(|request| {
        let repeats =
            format!("{{\"error\":{{\"message\":\"bad {CANARY}\",\"code\":\"{CANARY}\"}}}}");
        match (request.operation, request.wire) {
            (Operation::Chat, Wire::OpenAi) => Reply::text(TEXT),
            (Operation::Chat, _) => Reply::status(401, "application/json", &repeats),
            _ => Reply::sensible(request),
        }
    })
    .await;
    let installation = Installation::new(Backends::Embedded).await;
    let program = start(&installation, &server, "azure:desk,anthropic:claude,gpu:tiny");
    fill(&program).await;
    let answer = ask(&program).await;
    assert_eq!((&answer["content"], &answer["model"]), (&TEXT.into(), &"gpu:tiny".into()));
    let said = program.log();
    for part in ["azure:desk", "anthropic:claude"] {
        assert!(said.contains(part), "{part} is not told: {said}");
    }
    let shown = format!("{said} {answer} {}", program.get("/api/jobs?kind=chat").await);
    assert!(!shown.contains("canary"), "{shown}");
    drop(program);
    let program = start(&installation, &server, "anthropic:claude");
    let answer = ask(&program).await;
    assert_eq!(answer["state"], "failed", "{answer}");
    let shown = format!("{} {answer} {}", program.log(), program.get("/api/jobs?kind=chat").await);
    assert!(!shown.contains("canary") && shown.contains("model_credentials"), "{shown}");
}
