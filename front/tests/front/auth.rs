//! Who may call what, and what is checked first.

use axum::body::Body;
use axum::http::Request;
use quaestor_core::model::Role;
use quaestor_core::ports::limits::Quota;
use quaestor_front::{Access, routes};
use serde_json::json;

use crate::world::{World, generous, request};

const NOBODYS: &str = "018f0000-0000-7000-8000-00000000dead";

/// The documented table: who may call each operation. v viewer, m member, a admin,
/// u auditor.
const ROLES: &[(&str, &str)] = &[
    ("create_collection", "ma"),
    ("list_collections", "vma"),
    ("get_collection", "vma"),
    ("rename_collection", "ma"),
    ("delete_collection", "ma"),
    ("upload_documents", "ma"),
    ("list_documents", "vma"),
    ("get_document", "vma"),
    ("delete_document", "ma"),
    ("get_document_content", "vma"),
    ("list_document_chunks", "vma"),
    ("search", "vma"),
    ("create_conversation", "vma"),
    ("list_conversations", "vma"),
    ("get_conversation", "vma"),
    ("delete_conversation", "vma"),
    ("list_messages", "vma"),
    ("ask", "vma"),
    ("give_feedback", "vma"),
    ("create_batch", "ma"),
    ("list_batches", "vmau"),
    ("get_batch", "vmau"),
    ("list_batch_items", "vmau"),
    ("close_batch", "ma"),
    ("pause_batch", "ma"),
    ("resume_batch", "ma"),
    ("cancel_batch", "ma"),
    ("retry_failed_of_batch", "ma"),
    ("list_jobs", "vmau"),
    ("get_job", "vmau"),
    ("cancel_job", "vma"),
    ("watch_job", "vmau"),
    ("create_ws_ticket", "vmau"),
    ("open_socket", "vmau"),
    ("list_generations", "vma"),
    ("reparse", "a"),
    ("estimate_reparse", "a"),
    ("reindex", "a"),
    ("estimate_reindex", "a"),
    ("pause_reindex", "a"),
    ("resume_reindex", "a"),
    ("cancel_reindex", "a"),
    ("roll_back_reindex", "a"),
    ("drop_former_generation", "a"),
    ("create_key", "a"),
    ("list_keys", "a"),
    ("revoke_key", "a"),
    ("list_schedules", "a"),
    ("get_schedule", "a"),
    ("set_schedule", "a"),
    ("pause_schedule", "a"),
    ("resume_schedule", "a"),
    ("reset_schedule", "a"),
    ("run_schedule", "a"),
    ("list_schedule_runs", "a"),
    ("get_schedule_run", "a"),
    ("list_dead", "a"),
    ("group_dead", "a"),
    ("get_dead", "a"),
    ("replay_dead", "a"),
    ("replay_dead_many", "a"),
    ("discard_dead", "a"),
    ("discard_dead_many", "a"),
    ("find_stuck", "a"),
    ("list_providers", "a"),
    ("list_audit", "au"),
    ("verify_audit", "au"),
    ("report_usage", "au"),
    ("list_budgets", "a"),
    ("set_workspace_budget", "a"),
    ("remove_workspace_budget", "a"),
    ("set_principal_budget", "a"),
    ("remove_principal_budget", "a"),
    ("create_export", "vma"),
    ("list_exports", "vma"),
    ("get_export", "vma"),
    ("get_export_file", "vmau"),
    ("list_export_templates", "vma"),
    ("get_export_template", "a"),
    ("set_export_template", "a"),
    ("remove_export_template", "a"),
    ("get_openapi", "vmau"),
    ("get_health", "vmau"),
    ("get_ready", "vmau"),
    ("get_metrics", "au"),
];

fn path_of(route: &quaestor_front::Route) -> String {
    route.path.replace("{id}", NOBODYS).replace("{name}", "house").replace("{run}", NOBODYS)
}

#[tokio::test]
async fn each_role_may_call_what_the_table_says() {
    let world = World::new().await;
    assert_eq!(ROLES.len(), routes().len(), "the table names every operation");
    for route in routes() {
        let (_, allowed) = ROLES.iter().find(|(name, _)| *name == route.operation).unwrap();
        for (role, letter) in
            [(Role::Viewer, 'v'), (Role::Member, 'm'), (Role::Admin, 'a'), (Role::Auditor, 'u')]
        {
            let who = world.a.of(role);
            let request = request(route.verb.as_str(), &path_of(route), Some(who), None);
            let reply = world.send(request).await;
            let refused = reply.status == 403;
            assert_ne!(reply.status, 401, "{} as {role}", route.operation);
            assert_eq!(refused, !allowed.contains(letter), "{} as {role}", route.operation);
            if refused {
                assert_eq!(reply.code(), "forbidden");
            }
        }
    }
}

/// What is done by the clock is the installation's, and a report names what is in all of its
/// workspaces.
#[tokio::test]
async fn schedules_are_for_administrators_of_the_first_workspace() {
    let world = World::new().await;
    for route in routes().iter().filter(|route| route.path.starts_with("/api/admin/schedules")) {
        let body = match route.operation {
            "set_schedule" | "run_schedule" => Some(json!({})),
            _ => None,
        };
        let request = request(route.verb.as_str(), &path_of(route), Some(&world.b.admin), body);
        let reply = world.send(request).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (403, "forbidden"));
    }
    assert_eq!(world.get(&world.a.admin, "/api/admin/schedules").await.status, 200);
}

#[tokio::test]
async fn without_a_key_nothing_is_read_of_the_body() {
    let world = World::new().await;
    for route in routes().iter().filter(|route| route.access != Access::Open) {
        for token in [None, Some("Bearer wrong-wrong-wrong"), Some("Basic eDp5"), Some("Bearer ")] {
            // A body that would never end: reading it would hang the test.
            let endless = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
            let mut request = Request::builder()
                .method(route.verb.as_str())
                .uri(path_of(route))
                .header("content-type", "application/json")
                .header("content-length", "999999999999");
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let reply = world.send(request.body(Body::from_stream(endless)).unwrap()).await;
            assert_eq!(reply.status, 401, "{}", route.operation);
            assert_eq!(reply.code(), "unauthorized");
            assert!(reply.headers.contains_key("www-authenticate"));
        }
    }
}

#[tokio::test]
async fn a_key_counts_in_the_header_alone() {
    let world = World::new().await;
    let token = &world.a.admin.token;
    for request in [
        Request::get(format!("/api/collections?api_key={token}")),
        Request::get(format!("/api/collections?access_token={token}")),
        Request::get("/api/collections").header("x-api-key", token),
        Request::get("/api/collections").header("cookie", format!("key={token}")),
        Request::get(format!("/ws?ticket={token}")),
        Request::get("/ws").header("sec-websocket-protocol", format!("bearer.{token}")),
    ] {
        assert_eq!(world.send(request.body(Body::empty()).unwrap()).await.status, 401);
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_here_and_soon_elsewhere() {
    let world = World::with_manual_clock(generous()).await;
    let made = world
        .post(&world.a.admin, "/api/admin/keys", json!({"name": "n", "role": "member"}))
        .await
        .json();
    let mut who = world.a.member.clone();
    who.token = made["key"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&who, "/api/collections").await.status, 200);
    let elsewhere = world.with_lost_events();
    let get = || request("GET", "/api/collections", Some(&who), None);
    assert_eq!(crate::world::send_to(&elsewhere, get()).await.status, 200);

    let path = format!("/api/admin/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(world.delete(&world.a.admin, &path).await.status, 204);
    assert_eq!(world.get(&who, "/api/collections").await.status, 401);
    world.clock.as_ref().unwrap().advance(std::time::Duration::from_secs(5));
    assert_eq!(crate::world::send_to(&elsewhere, get()).await.status, 401);
    let keys = world.get(&world.a.admin, "/api/admin/keys").await;
    assert!(keys.text().contains("revoked_at\":\"20"), "{}", keys.text());
    assert!(!keys.text().contains(&who.token));
}

#[tokio::test]
async fn wrong_keys_are_told_to_wait_while_good_ones_go_on() {
    let mut settings = generous();
    settings.quotas.wrong_keys = Quota { burst: 10, per_minute: 10 };
    let world = World::with_manual_clock(settings).await;
    let mut wrong = world.a.member.clone();
    wrong.token = "qs_aaaaaaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let mut answers = Vec::new();
    for _ in 0..20 {
        let reply = world.get(&wrong, "/api/collections").await;
        if reply.status == 429 {
            assert!(reply.headers.contains_key("retry-after"));
        }
        answers.push(reply.status.as_u16());
    }
    assert_eq!(&answers[..10], [401; 10]);
    assert_eq!(&answers[10..], [429; 10]);
    assert_eq!(world.get(&world.a.member, "/api/collections").await.status, 200);
}

#[tokio::test]
async fn a_used_up_quota_says_when_to_come_again() {
    let mut settings = generous();
    settings.quotas.ask = Quota { burst: 1, per_minute: 1 };
    let world = World::with_manual_clock(settings).await;
    let things = world.things(&world.a.member, &world.a).await;
    let path = format!("/api/conversations/{}/messages", things.conversation);
    let reply = world.post(&world.a.member, &path, json!({"content": "again?"})).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (429, "rate_limited"));
    let wait: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
}

#[tokio::test]
async fn an_operators_own_token_works_as_a_key() {
    let world = World::new().await;
    let presented = quaestor_core::api_key::parse("an operator chose this").is_none();
    assert!(presented, "spaces are no part of a key");
    assert!(quaestor_core::api_key::parse("an-operator-chose-this").is_some());
    assert_eq!(world.get(&world.a.admin, "/api/admin/keys").await.status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_get_no_leave_to_read() {
    let mut settings = generous();
    settings.allowed_origins = vec!["https://app.example.com".to_owned()];
    let world = World::with(settings, None).await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("https://app.example.com.evil", false),
        ("null", false),
    ] {
        let mut request = request("GET", "/api/collections", Some(&world.a.member), None);
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let reply = world.send(request).await;
        let leave = reply.headers.get("access-control-allow-origin");
        assert_eq!(leave.is_some_and(|value| value == origin), allowed, "{origin}");
        assert!(!reply.headers.contains_key("access-control-allow-credentials"));
    }
}
