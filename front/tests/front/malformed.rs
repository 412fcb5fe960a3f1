//! Malformed requests: each gets a problem document that names the field, whatever the
//! route. The fields come from the OpenAPI document, so that a new one is tried too.

use axum::body::Body;
use axum::http::{Request, header};
use quaestor_front::{Access, BodyKind, QueryKind, Route, Verb, openapi, routes};
use serde_json::{Value, json};

use crate::isolation::{body_of, request_with};
use crate::world::{Actor, Things, World, request, send_to};

fn caller<'a>(world: &'a World, route: &Route) -> &'a Actor {
    match route.access {
        Access::Administer | Access::Audit | Access::Local => &world.a.admin,
        _ => &world.a.member,
    }
}

fn path_of(route: &Route, own: &Things) -> String {
    let id = route.ids.iter().find(|id| id.place == quaestor_front::Place::Path);
    let id = id.and_then(|id| crate::isolation::own_id(id.of, own)).unwrap_or_default();
    route.path.replace("{id}", id).replace("{name}", "house")
}

/// Values of every other type than the schema's.
fn wrong_values(schema: &Value) -> Vec<Value> {
    let mut kinds: Vec<String> = Vec::new();
    collect_types(schema, &mut kinds);
    let mut wrong = Vec::new();
    for (kind, value) in [
        ("string", json!("\u{1}wrong")),
        ("integer", json!(1234567)),
        ("number", json!(1.5)),
        ("boolean", json!(true)),
        ("array", json!([[17]])),
        ("object", json!({ "$or": [{}] })),
    ] {
        if !kinds.iter().any(|known| known == kind) {
            wrong.push(value);
        }
    }
    if kinds.iter().any(|kind| kind == "array") {
        wrong.push(json!([17]));
    }
    wrong
}

fn collect_types(schema: &Value, kinds: &mut Vec<String>) {
    match &schema["type"] {
        Value::String(kind) => kinds.push(kind.clone()),
        Value::Array(types) => {
            kinds.extend(types.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        _ => {}
    }
    if schema.get("$ref").is_some() {
        kinds.push("object".to_owned());
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        for inner in schema[key].as_array().into_iter().flatten() {
            collect_types(inner, kinds);
        }
    }
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let world = World::new().await;
    let own = world.things_and_dead(&world.a.member, &world.a).await;
    let document = serde_json::to_value(openapi("test")).unwrap();
    let mut tried = 0;
    for route in routes() {
        let BodyKind::Json(schema) = route.body else { continue };
        let who = caller(&world, route);
        let path = path_of(route, &own);
        let schema = &document["components"]["schemas"][schema];
        let mut fields: Vec<(String, Value)> = Vec::new();
        for (name, schema) in schema["properties"].as_object().unwrap() {
            fields.push((name.clone(), schema.clone()));
        }
        if route.operation == "search" {
            let filters = &document["components"]["schemas"]["SearchFilters"]["properties"];
            for (name, schema) in filters.as_object().unwrap() {
                fields.push((format!("filters.{name}"), schema.clone()));
            }
        }
        for (name, schema) in fields {
            for wrong in wrong_values(&schema) {
                let mut body = body_of(route, &own);
                set(&mut body, &name, wrong.clone());
                let reply = send(&world, route, who, &path, body.to_string()).await;
                assert_eq!(reply.0, 422, "{} {name} {wrong}: {}", route.operation, reply.1);
                assert_eq!(reply.1["field"], name.as_str(), "{} {wrong}", route.operation);
                tried += 1;
            }
        }
        for secret in ["workspace_id", "owner_id", "role_", "created_at", "id"] {
            let mut body = body_of(route, &own);
            body[secret] = json!("x");
            let reply = send(&world, route, who, &path, body.to_string()).await;
            assert_eq!((reply.0, &reply.1["code"]), (422, &json!("unknown_field")));
            assert_eq!(reply.1["field"], secret, "{}", route.operation);
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            let mut body = body_of(route, &own);
            body.as_object_mut().unwrap().remove(required.as_str().unwrap());
            let reply = send(&world, route, who, &path, body.to_string()).await;
            assert_eq!((reply.0, &reply.1["field"]), (422, required), "{}", route.operation);
        }
    }
    assert!(tried > 50, "{tried} wrong values were tried");
}

fn set(body: &mut Value, name: &str, value: Value) {
    match name.split_once('.') {
        Some((outer, inner)) => body[outer][inner] = value,
        None => body[name] = value,
    }
}

async fn send(world: &World, route: &Route, who: &Actor, path: &str, body: String) -> (u16, Value) {
    let request = Request::builder()
        .method(route.verb.as_str())
        .uri(path)
        .header("authorization", format!("Bearer {}", who.token))
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    let reply = world.send(request).await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "application/problem+json", "{path}");
    let problem = reply.json();
    assert_eq!(problem["request_id"], reply.headers["x-request-id"].to_str().unwrap(), "{path}");
    (reply.status.as_u16(), problem)
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_a_problem() {
    let world = World::new().await;
    let own = world.things_and_dead(&world.a.member, &world.a).await;
    let deep = "[".repeat(100_000);
    let many = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(10_000));
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(300_000));
    for route in routes().iter().filter(|route| matches!(route.body, BodyKind::Json(_))) {
        let (who, path) = (caller(&world, route), path_of(route, &own));
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("nonsense", 400),
            (r#"{"a":1e999}"#, 400),
            (r#"{"a":"\ud800"}"#, 400),
            (r#"{"name":"a","name":"b"}"#, 400),
            (deep.as_str(), 400),
            (many.as_str(), 400),
            ("[]", 422),
            ("null", 422),
            ("17", 422),
            (huge.as_str(), 413),
        ] {
            let reply = send(&world, route, who, &path, body.to_owned()).await;
            let shown: String = body.chars().take(30).collect();
            assert_eq!(reply.0, status, "{} {shown}", route.operation);
        }
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-type", "multipart/form-data"),
            ("content-encoding", "gzip"),
        ] {
            let body = body_of(route, &own);
            let mut request = request(route.verb.as_str(), &path, Some(who), Some(body));
            request
                .headers_mut()
                .insert(header::HeaderName::from_static(name), value.parse().unwrap());
            assert_eq!(world.send(request).await.status, 415, "{} {value}", route.operation);
        }
    }
}

#[tokio::test]
async fn a_bad_parameter_is_named_on_every_route() {
    let world = World::new().await;
    let own = world.things_and_dead(&world.a.member, &world.a).await;
    for route in routes() {
        if matches!(route.access, Access::Open | Access::Local) || route.verb != Verb::Get {
            continue;
        }
        let who = caller(&world, route);
        for param in route.query {
            let bad = match param.kind {
                QueryKind::Text if param.name == "ticket" => continue,
                QueryKind::Text | QueryKind::Id | QueryKind::Number | QueryKind::OneOf(_) => "%00x",
            };
            let path = format!("{}?{}={bad}", path_of(route, &own), param.name);
            let reply = world.get(who, &path).await;
            assert_eq!(reply.status, 422, "{path}: {}", reply.text());
            assert_eq!(reply.field(), param.name, "{path}");
        }
        if !route.query.is_empty() {
            let reply = world.get(who, &format!("{}?sort=name", path_of(route, &own))).await;
            assert_eq!((reply.status.as_u16(), reply.field().as_str()), (422, "sort"));
        }
    }
}

#[tokio::test]
async fn what_is_no_route_says_so_in_a_problem() {
    let world = World::new().await;
    let things = world.things(&world.a.member, &world.a).await;
    for (method, path) in [
        ("GET", "/".to_owned()),
        ("GET", "/api".to_owned()),
        ("POST", format!("/api/collections/{}/documents", things.collection)),
        ("POST", "/api/exports/all/of".to_owned()),
        ("POST", "/v1/chat/completions".to_owned()),
        ("GET", "/v1/models".to_owned()),
        ("POST", "/mcp".to_owned()),
        ("GET", "/api/admin/queues".to_owned()),
        ("GET", "/api/collections/".to_owned()),
        ("GET", "/api/../health".to_owned()),
    ] {
        let reply = world.send(request(method, &path, Some(&world.a.admin), None)).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code().as_str()),
            (404, "unknown_route"),
            "{path}"
        );
    }
    for (method, path) in [("PUT", "/api/collections"), ("DELETE", "/health"), ("TRACE", "/ready")]
    {
        let reply = world.send(request(method, path, Some(&world.a.admin), None)).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (405, "method_not_allowed"));
        assert!(reply.headers.contains_key("allow"), "{path}");
    }
    let reply = world.get(&world.a.member, "/ws").await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (426, "upgrade_required"));
}

#[tokio::test]
async fn every_answer_is_safe_to_show_in_a_browser() {
    let world = World::new().await;
    let own = world.things_and_dead(&world.a.member, &world.a).await;
    for route in routes() {
        if route.operation == "watch_job" {
            continue;
        }
        let reply = match route.operation {
            "open_socket" => world.get(&world.a.member, "/ws").await,
            _ => world.send(request_with(route, caller(&world, route), &own, None)).await,
        };
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{}", route.operation);
        assert_eq!(reply.headers["referrer-policy"], "no-referrer");
        let policy = reply.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{}", route.operation);
        assert!(reply.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn a_problem_names_the_callers_trace() {
    let world = World::new().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut get = request("GET", "/api/nothing-here", Some(&world.a.member), None);
    let told = format!("00-{trace}-00f067aa0ba902b7-01").parse().unwrap();
    get.headers_mut().insert("traceparent", told);
    let reply = world.send(get).await;
    assert_eq!(reply.json()["trace_id"], trace);
    let reply = world.get(&world.a.member, "/api/nothing-here").await;
    assert!(reply.json().get("trace_id").is_none());
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_server_lives() {
    let world = World::new().await;
    let router = world.router_with(|front| {
        front.metrics = std::sync::Arc::new(|| panic!("a secret of the handler"));
    });
    for _ in 0..2 {
        let get = request("GET", "/metrics", Some(&world.a.admin), None);
        let reply = send_to(&router, get).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (500, "internal"));
        assert!(!reply.text().contains("secret"));
    }
}
