//! Budgets and usage over HTTP and WebSocket.

use quaestor_core::model::Usage;
use quaestor_core::ports::model_call::{CallOutcome, ModelCall, Operation};
use quaestor_core::ports::store::CallsOf;
use serde_json::{Value, json};

use crate::sockets::Client;
use crate::world::{Actor, World, generous, request};

async fn spend(world: &World, who: &Actor, cost_micros: u64) {
    let now = world.front.clock.now();
    let call = ModelCall {
        id: world.front.ids.next(),
        model: "openai:m".to_owned(),
        operation: Operation::Chat,
        request_id: None,
        usage: Usage { input_tokens: 5, output_tokens: 7, cost_micros, ..Usage::default() },
        estimated: false,
        outcome: CallOutcome::Done,
        started_at: now,
        ended_at: now,
    };
    let of = CallsOf { principal_id: who.principal, job: None };
    world.front.store.save_calls(who.workspace, of, &[call]).await.unwrap();
}

async fn put(world: &World, path: &str, body: Value) {
    let reply = world.send(request("PUT", path, Some(&world.a.admin), Some(body))).await;
    assert_eq!(reply.status, 204, "{}", reply.text());
}

#[tokio::test]
async fn a_budget_that_is_used_up_refuses_questions_until_it_begins_anew() {
    let world = World::with_manual_clock(generous()).await;
    let who = &world.a.member;
    let own = world.things(who, &world.a).await;
    let path = format!("/api/conversations/{}/messages", own.conversation);
    let ask = async || world.post(who, &path, json!({ "content": "What was it?" })).await;
    let budget = format!("/api/admin/budgets/principals/{}", who.principal);
    put(&world, &budget, json!({ "day_hard_micros": 10 })).await;
    spend(&world, who, 9).await;
    assert_eq!(ask().await.status, 202, "something is left");
    spend(&world, who, 1).await;
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (402, "over_budget"));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("principal") && detail.contains("0.00001"), "{detail}");
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();

    // The same over a socket, and nobody else is held up.
    let server = world.serve().await;
    let mut client = Client::open(&server, who).await;
    let asked = json!({
        "type": "ask", "request_id": "r", "conversation_id": own.conversation, "content": "?"
    });
    let told = client.call(asked).await;
    assert_eq!((&told["type"], &told["problem"]["status"]), (&json!("error"), &json!(402)));
    let colleague = world.things(&world.a.viewer, &world.a).await;
    assert!(!colleague.job.is_empty());

    // What was accepted before is told again.
    let keyed = async |key: &str| {
        let mut sent = request("POST", &path, Some(who), Some(json!({ "content": "Once?" })));
        sent.headers_mut().insert("idempotency-key", key.parse().unwrap());
        world.send(sent).await.status.as_u16()
    };
    assert_eq!(keyed("a").await, 402);
    put(&world, &budget, json!({})).await;
    assert_eq!(keyed("a").await, 202, "no limit is a budget too");
    put(&world, &budget, json!({ "day_hard_micros": 10 })).await;
    assert_eq!((keyed("a").await, keyed("b").await), (202, 402));

    world.clock.as_ref().unwrap().advance(std::time::Duration::from_secs(wait));
    assert_eq!(ask().await.status, 202, "a new day");
}

#[tokio::test]
async fn a_workspaces_budget_holds_for_all_of_it_and_no_other() {
    let world = World::new().await;
    put(&world, "/api/admin/budgets/workspace", json!({ "month_hard_micros": 10 })).await;
    let (own, other) = (&world.a.viewer, &world.b.member);
    let things = world.things(own, &world.a).await;
    spend(&world, &world.a.member, 10).await;
    spend(&world, other, 1_000).await;
    let path = format!("/api/conversations/{}/messages", things.conversation);
    let refused = world.post(own, &path, json!({ "content": "What was it?" })).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (402, "over_budget"));
    world.things(other, &world.b).await;

    let listed = world.get(&world.a.admin, "/api/admin/budgets").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let set = &listed["items"][0];
    assert_eq!((&set["principal_id"], &set["month_hard_micros"]), (&Value::Null, &json!(10)));
    assert_eq!(set["spent"]["month_micros"], 10, "{listed}");
    assert_eq!(world.delete(&world.a.admin, "/api/admin/budgets/workspace").await.status, 204);
    assert_eq!(world.post(own, &path, json!({ "content": "And now?" })).await.status, 202);
    let audit = world.get(&world.a.auditor, "/api/admin/audit").await.text();
    assert!(audit.contains("budget.set") && audit.contains("budget.remove"), "{audit}");
}

#[tokio::test]
async fn searches_and_uploads_are_refused_where_embedding_costs() {
    let world = World::new().await;
    put(&world, "/api/admin/budgets/workspace", json!({ "day_hard_micros": 0 })).await;
    let who = &world.a.member;
    let search = json!({ "query": "fund" });
    let reply = world.post(who, "/api/search", search.clone()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let priced = world.router_with(|front| front.settings.embedding_costs = true);
    let sent = request("POST", "/api/search", Some(who), Some(search));
    let reply = crate::world::send_to(&priced, sent).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (402, "over_budget"));
    let body = crate::world::upload_body(None, &[("a.txt", b"a")]);
    let sent = crate::world::multipart(who, "/api/documents", body);
    assert_eq!(crate::world::send_to(&priced, sent).await.status, 402);
}

#[tokio::test]
async fn usage_is_reported_for_a_time_that_makes_sense() {
    let world = World::new().await;
    spend(&world, &world.a.member, 30).await;
    spend(&world, &world.b.member, 40).await;
    for (query, names) in [
        ("", "day"),
        ("?by=model", "model"),
        ("?by=principal&from=2020-01-01&to=2020-12-31", "nothing"),
    ] {
        let report = world.get(&world.a.auditor, &format!("/api/admin/usage{query}")).await.json();
        let items = report["items"].as_array().unwrap();
        if names == "nothing" {
            assert!(items.is_empty(), "{report}");
            continue;
        }
        assert_eq!((items.len(), &items[0]["cost_micros"]), (1, &json!(30)), "{report}");
        assert!(items[0][names].is_string(), "{report}");
    }
    for (query, field) in [
        ("from=2026-02-01&to=2026-01-01", "from"),
        ("from=2024-01-01&to=2026-01-01", "from"),
        ("to=yesterday", "to"),
        ("by=hour", "by"),
    ] {
        let reply = world.get(&world.a.admin, &format!("/api/admin/usage?{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.field().as_str()), (422, field), "{query}");
    }
}
