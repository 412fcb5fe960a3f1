//! The answers: as the OpenAPI document says, and as the contract says.

use quaestor_front::{Access, Answer, Place, openapi, routes};
use serde_json::{Value, json};

use crate::isolation::request_with;
use crate::world::{World, multipart, request, text, upload_body};

#[test]
fn the_document_names_every_route_and_no_other() {
    let document = serde_json::to_value(openapi("test")).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !operation["summary"].as_str().unwrap_or_default().is_empty() {
                described.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    let mut known: Vec<String> =
        routes().iter().map(|route| format!("{} {}", route.verb.as_str(), route.path)).collect();
    described.sort();
    known.sort();
    assert_eq!(described, known);
    let mut operations: Vec<_> = routes().iter().map(|route| route.operation).collect();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), routes().len(), "each operation has its own id");
}

#[test]
fn the_document_says_what_each_route_needs() {
    let document = serde_json::to_value(openapi("test")).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "no schema is named {name}");
    }
    for route in routes() {
        let operation = &document["paths"][route.path][route.verb.as_str().to_lowercase()];
        let open = route.access == Access::Open;
        assert_eq!(operation.get("security").is_none(), open, "{}", route.operation);
        assert!(operation["responses"].get("default").is_some(), "{}", route.operation);
        for id in route.ids.iter().filter(|id| id.place == Place::Path) {
            let named = operation["parameters"].as_array().unwrap();
            assert!(named.iter().any(|param| param["name"] == id.name && param["in"] == "path"));
        }
    }
}

/// The answer of every route that answers JSON has the fields of its schema: all that
/// are required, and none that the schema does not know.
#[tokio::test]
async fn answers_have_the_fields_that_the_document_names() {
    let document = serde_json::to_value(openapi("test")).unwrap();
    for route in routes() {
        let (name, is_list) = match route.answer {
            Answer::Json(_, name) => (name, false),
            Answer::List(name) => (name, true),
            Answer::Empty(_) | Answer::Other(..) => continue,
        };
        let world = World::new().await;
        let who = match route.access {
            Access::Administer | Access::Audit => &world.a.admin,
            _ => &world.a.member,
        };
        let own = world.things_and_dead(who, &world.a).await;
        world.ready_for(route.operation, &own).await;
        let reply = world.send(request_with(route, who, &own, None)).await;
        assert_eq!(reply.status.as_u16(), route.answer.status(), "{}", reply.text());
        let body = reply.json();
        if is_list {
            assert!(body.get("next").is_some(), "{}", route.operation);
            for item in body["items"].as_array().unwrap() {
                matches_schema(&document, name, item, route.operation);
            }
        } else {
            matches_schema(&document, name, &body, route.operation);
        }
    }
}

fn matches_schema(document: &Value, name: &str, value: &Value, operation: &str) {
    let schema = &document["components"]["schemas"][name];
    let properties = schema["properties"].as_object().unwrap();
    let members = value.as_object().unwrap_or_else(|| panic!("{operation}: {value}"));
    for member in members.keys() {
        assert!(properties.contains_key(member), "{operation}: {name} has no {member}");
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        let required = required.as_str().unwrap();
        assert!(members.contains_key(required), "{operation}: {required} is missing");
    }
}

#[tokio::test]
async fn health_tells_every_check_and_ready_falls_with_the_queue() {
    let world = World::new().await;
    let reply = world.send(request("GET", "/health", None, None)).await;
    let health = reply.json();
    assert_eq!((reply.status.as_u16(), &health["status"]), (200, &json!("ok")));
    for check in ["database", "queue", "events", "objects", "models", "memory", "cpu"] {
        let check = &health["checks"][check];
        assert_eq!(check["status"], "ok", "{health}");
        assert!(check["latency_ms"].is_number() && check.get("detail").is_some());
    }
    assert!(health["uptime_s"].is_number() && health["version"].is_string());
    let ready = world.send(request("GET", "/ready", None, None)).await;
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (200, &json!("ok")));
}

#[tokio::test]
async fn metrics_are_for_auditors_and_this_machine() {
    let world = World::new().await;
    assert_eq!(world.send(request("GET", "/metrics", None, None)).await.status, 401);
    let reply = world.get(&world.a.auditor, "/metrics").await;
    assert_eq!(reply.status.as_u16(), 200);
    let text = reply.text();
    assert!(text.starts_with("up 1\n") && text.contains("process_resident_memory_bytes"), "{text}");
}

#[tokio::test]
async fn lists_come_in_parts_that_meet() {
    let world = World::new().await;
    let who = &world.a.member;
    for number in 0..5 {
        world.post(who, "/api/collections", json!({ "name": format!("c{number}") })).await;
    }
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let path = match &cursor {
            Some(cursor) => format!("/api/collections?limit=2&cursor={cursor}"),
            None => "/api/collections?limit=2".to_owned(),
        };
        let page = world.get(who, &path).await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|item| text(item, "name")));
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(names, ["c0", "c1", "c2", "c3", "c4"]);
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_conflict() {
    let world = World::new().await;
    let who = &world.a.member;
    assert_eq!(world.post(who, "/api/collections", json!({ "name": "n" })).await.status, 201);
    let again = world.post(who, "/api/collections", json!({ "name": "n" })).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "conflict"));
    let other = world.post(&world.b.member, "/api/collections", json!({ "name": "n" })).await;
    assert_eq!(other.status, 201, "another workspace's names are its own");
}

#[tokio::test]
async fn a_file_comes_back_as_a_download_and_in_ranges() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let page = b"<script>alert(1)</script>";
    let body = upload_body(Some(&things.collection), &[("a;b\u{fc}.html", page)]);
    let uploaded = world.send(multipart(who, "/api/documents", body)).await.json();
    let id = text(&uploaded["items"][0], "document_id");
    let path = format!("/api/documents/{id}/content");
    let reply = world.get(who, &path).await;
    assert_eq!(reply.body, page);
    let disposition = reply.headers["content-disposition"].to_str().unwrap();
    assert_eq!(
        disposition,
        "attachment; filename=\"a;b_.html\"; filename*=UTF-8''a%3Bb%C3%BC.html"
    );
    assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    assert!(reply.headers["content-security-policy"].to_str().unwrap().starts_with("sandbox"));

    let mut part = request("GET", &path, Some(who), None);
    part.headers_mut().insert("range", "bytes=1-6".parse().unwrap());
    let part = world.send(part).await;
    assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &page[1..7]));
    assert_eq!(part.headers["content-range"], "bytes 1-6/25");
    assert_eq!(world.get(who, &format!("{path}?version=1")).await.status, 200);
    assert_eq!(world.get(who, &format!("{path}?version=9")).await.status, 404);
}
