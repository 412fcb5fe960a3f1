//! What models cost is written down, and a budget that is used up is kept.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::installation::{Backends, Installation, on_both};
use crate::model::Model;
use crate::program::{Program, long_report};

on_both!(every_request_is_accounted_and_budgets_are_kept);

const PRICES: &str = r#"{ "openai:slow" = { input = 1.0, output = 1.0 } }"#;

async fn with_document(installation: &Installation, environment: &[(&str, &str)]) -> Program {
    let program = installation.start(environment);
    let collection = program.make_collection("reports").await;
    let upload = program.upload(&collection, "halden.md", long_report(4)).await.unwrap();
    program.wait_for_job(upload["items"][0]["job_id"].as_str().unwrap()).await;
    program
}

async fn ask(program: &Program, conversation: &str) -> (u16, Value) {
    let path = format!("/api/conversations/{conversation}/messages");
    let question = json!({"content": "What was the market value of bond 2?"});
    let response = program.send(Method::POST, &path, Some(question)).await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

async fn answered(program: &Program, conversation: &str) -> Value {
    let (status, asked) = ask(program, conversation).await;
    assert_eq!(status, 202, "{asked}");
    program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
    program.answer(conversation, asked["answer_id"].as_str().unwrap()).await
}

async fn set_budget(program: &Program, budget: Value) {
    let path = "/api/admin/budgets/workspace";
    let set = program.send(Method::PUT, path, Some(budget)).await.unwrap();
    assert_eq!(set.status(), 204, "{}", set.text().await.unwrap());
}

async fn every_request_is_accounted_and_budgets_are_kept(backends: Backends) {
    let model = Model::start(40, Duration::from_millis(20)).await;
    let installation = Installation::new(backends).await;
    let mut environment = model.environment().to_vec();
    environment.extend([
        ("QUAESTOR_MODELS__PRICES", PRICES),
        ("QUAESTOR_MODELS__CHAT_CHEAP", "offline"),
        ("QUAESTOR_WORKERS__CHAT_PER_WORKSPACE", "1"),
        ("QUAESTOR_MODELS__LIMITS", "{ openai = { requests_per_minute = 1000 } }"),
    ]);
    let program = with_document(&installation, &environment).await;
    let conversation = program.make_conversation().await;

    // What an answer cost is told with it, and is the sum of the rows.
    let first = answered(&program, &conversation).await;
    let cost = first["usage"]["cost_micros"].as_u64().unwrap();
    assert!(cost > 0, "{first}");
    let usage = program.get("/api/admin/usage?by=model").await;
    let part = &usage["items"][0];
    assert_eq!((&part["model"], &part["operation"]), (&json!("openai:slow"), &json!("chat")));
    assert_eq!((&part["calls"], &part["cost_micros"]), (&json!(1), &json!(cost)), "{usage}");
    let today = program.get("/api/admin/usage").await;
    assert_eq!(today["items"][0]["cost_micros"], cost, "{today}");

    // Beyond a soft limit the cheaper model answers, for nothing. A worker knows of the
    // first budget of a workspace a few seconds later.
    set_budget(&program, json!({"day_soft_micros": cost})).await;
    for tries in 0.. {
        assert!(tries < 20, "the cheaper model is not asked");
        let answer = answered(&program, &conversation).await;
        if answer["model"].as_str().unwrap().starts_with("offline") {
            assert_eq!(answer["usage"]["cost_micros"], 0, "{answer}");
            break;
        }
    }
    let listed = program.get("/api/admin/budgets").await;
    let budget = &listed["items"][0];
    assert_eq!(budget["principal_id"], Value::Null);
    let spent = budget["spent"]["day_micros"].as_u64().unwrap();
    let answers = model.answers();
    assert!(spent >= cost * answers as u64, "{listed}");

    // Of several that were accepted the one that comes first uses the budget up, and the others
    // are not asked for.
    set_budget(&program, json!({"month_hard_micros": spent + 1})).await;
    let accepted = [
        ask(&program, &conversation).await,
        ask(&program, &conversation).await,
        ask(&program, &conversation).await,
    ];
    let mut ended = Vec::new();
    for (status, asked) in &accepted {
        assert_eq!(*status, 202, "{asked}");
        let job = program.wait_for_job(asked["job_id"].as_str().unwrap()).await;
        ended.push((job["state"].clone(), job["problem"]["code"].clone()));
    }
    let over = (json!("failed"), json!("over_budget"));
    // Which of them does is not said: they run side by side.
    ended.sort_by_key(|(state, _)| state == "failed");
    assert_eq!(ended, [(json!("done"), Value::Null), over.clone(), over]);
    assert_eq!(model.answers(), answers + 1);

    // And then nobody is let in.
    let (status, problem) = ask(&program, &conversation).await;
    assert_eq!((status, &problem["code"]), (402, &json!("over_budget")), "{problem}");
    assert!(problem["retry_after_s"].as_u64().unwrap() > 0, "{problem}");
    let removed = program.send(Method::DELETE, "/api/admin/budgets/workspace", None).await.unwrap();
    assert_eq!(removed.status(), 204);
    assert_eq!(answered(&program, &conversation).await["state"], "done");
    assert_eq!(model.answers(), answers + 2);
}
