//! The isolation matrix: every route and every socket message, with every id replaced by
//! another workspace's, by another principal's, and by one that is nobody's.
//!
//! It is made from the route table. A route that this file has no body for fails it.

use axum::body::Body;
use axum::http::Request;
use quaestor_front::{Access, BodyKind, IdOf, IdParam, Place, Route, routes, socket_messages};
use serde_json::{Value, json};

use crate::sockets::Client;
use crate::world::{Actor, Reply, Things, World, multipart, request, upload_body_to};

const NOBODYS: &str = "018f0000-0000-7000-8000-00000000dead";

/// What a problem says of what was asked for: all but the request's own id.
fn told(reply: &Reply) -> Value {
    let mut problem = reply.json();
    let id = problem.as_object_mut().and_then(|fields| fields.remove("request_id"));
    assert!(id.is_some(), "{}", reply.text());
    problem
}

/// A body that the route takes, with one's own ids.
pub(crate) fn body_of(route: &Route, own: &Things) -> Value {
    match route.operation {
        "create_collection" => json!({ "name": format!("n-{}", own.document) }),
        "rename_collection" => json!({ "name": "renamed" }),
        "search" => json!({
            "query": "income",
            "collection_ids": [own.collection],
            "limit": 5,
            "filters": {
                "document_ids": [own.document],
                "media_types": ["text/plain"],
                "date_from": "2020-01-01",
                "date_to": "2030-01-01",
            },
        }),
        "create_conversation" => {
            json!({ "title": "t", "assistant_id": null, "collection_ids": [own.collection] })
        }
        "ask" => json!({ "content": "What was the net income?" }),
        "give_feedback" => json!({ "rating": 1, "comment": "good" }),
        "set_workspace_budget" | "set_principal_budget" => {
            json!({ "day_soft_micros": 1_000_000, "month_hard_micros": null })
        }
        "replay_dead_many" => json!({ "ids": [own.dead], "rate_per_minute": 600 }),
        "discard_dead_many" => json!({ "ids": [own.dead] }),
        "reindex" | "estimate_reindex" | "reparse" | "estimate_reparse" => json!({}),
        "create_batch" => json!({ "name": "filings", "total": 3 }),
        "create_export" => json!({ "conversation_id": own.conversation, "format": "json" }),
        "set_export_template" => json!({ "source": "#json(\"/export.json\").cover.title" }),
        "create_key" => json!({ "name": "k", "role": "viewer" }),
        "set_schedule" => json!({ "cron": "30 2 * * *", "zone": "Europe/Zurich" }),
        "run_schedule" => json!({ "repair": false }),
        operation => panic!("the tests have no body for {operation}: add one"),
    }
}

pub(crate) fn own_id(of: IdOf, things: &Things) -> Option<&str> {
    match of {
        IdOf::Collection => Some(&things.collection),
        IdOf::Document => Some(&things.document),
        IdOf::Conversation => Some(&things.conversation),
        IdOf::Message => Some(&things.answer),
        IdOf::Batch => Some(&things.batch),
        IdOf::Job => Some(&things.job),
        IdOf::Key => Some(&things.key),
        IdOf::Principal => Some(&things.principal),
        IdOf::Export => Some(&things.export),
        IdOf::DeadLetter => Some(&things.dead),
        IdOf::Assistant => None,
    }
}

/// The route's request with one's own ids, but for one id.
pub(crate) fn request_with(
    route: &Route,
    who: &Actor,
    own: &Things,
    replaced: Option<(&IdParam, &str)>,
) -> Request<Body> {
    let of = |id: &IdParam| match replaced {
        Some((param, value)) if param == id => value.to_owned(),
        _ => own_id(id.of, own).unwrap_or(NOBODYS).to_owned(),
    };
    let mut path = route.path.replace("{name}", "house").replace("{run}", &own.job);
    let mut body =
        if matches!(route.body, BodyKind::Json(_)) { Some(body_of(route, own)) } else { None };
    let (mut collection, mut batch) = (None, None);
    for id in route.ids {
        match id.place {
            Place::Path => path = path.replace("{id}", &of(id)),
            // Only where it is tried: an upload names its collection once.
            Place::Query => {
                if replaced.is_some_and(|(param, _)| param == id) {
                    path = format!("{path}?{}={}", id.name, of(id));
                }
            }
            Place::Body | Place::BodyList => {
                if route.body == BodyKind::Multipart && id.of == IdOf::Batch {
                    batch = replaced.filter(|(param, _)| *param == id).map(|_| of(id));
                } else if route.body == BodyKind::Multipart {
                    collection = Some(of(id));
                } else if replaced.is_some_and(|(param, _)| param == id) {
                    if route.operation == "create_export" {
                        // It is of one thing: the id takes the other's place.
                        body = Some(json!({ "format": "json", id.name: null }));
                    }
                    let pointer = format!("/{}", id.name.replace('.', "/"));
                    let value =
                        if id.place == Place::Body { json!(of(id)) } else { json!([of(id)]) };
                    *body.as_mut().unwrap().pointer_mut(&pointer).unwrap() = value;
                }
            }
        }
    }
    if route.body == BodyKind::Multipart {
        let in_query = replaced
            .is_some_and(|(param, _)| param.place == Place::Query && param.of == IdOf::Collection);
        let collection = if in_query { None } else { collection };
        let files: [(&str, &[u8]); 1] = [("x.txt", b"isolated")];
        let body = upload_body_to(collection.as_deref(), batch.as_deref(), &files);
        return multipart(who, &path, body);
    }
    request(route.verb.as_str(), &path, Some(who), body)
}

fn caller(world: &World, access: Access) -> &Actor {
    if access == Access::Administer { &world.a.admin } else { &world.a.member }
}

#[tokio::test]
async fn anothers_id_answers_as_a_missing_one_on_every_route() {
    for route in routes().iter().filter(|route| !route.ids.is_empty()) {
        let world = World::new().await;
        let who = caller(&world, route.access);
        let own = world.things_and_dead(who, &world.a).await;
        let victim = world.things_and_dead(&world.b.member, &world.b).await;
        let colleague = world.things_and_dead(&world.a.viewer, &world.a).await;
        for id in route.ids {
            let missing = world.send(request_with(route, who, &own, Some((id, NOBODYS)))).await;
            assert_eq!(missing.status, 404, "{} {:?}: {}", route.operation, id, missing.text());
            assert_eq!(missing.code(), "not_found", "{}", route.operation);
            let private = matches!(
                id.of,
                IdOf::Conversation | IdOf::Message | IdOf::Job | IdOf::Batch | IdOf::Export
            );
            let others = [(true, &victim), (private, &colleague)];
            for (_, things) in others.iter().filter(|(forbidden, _)| *forbidden) {
                let Some(foreign) = own_id(id.of, things) else { continue };
                let reply = world.send(request_with(route, who, &own, Some((id, foreign)))).await;
                assert_eq!(
                    (reply.status, told(&reply)),
                    (missing.status, told(&missing)),
                    "{} {id:?}",
                    route.operation
                );
            }
            let odd = world.send(request_with(route, who, &own, Some((id, "no-id")))).await;
            if id.place == Place::Path {
                assert_eq!(told(&odd), told(&missing), "{}", route.operation);
            } else {
                assert_eq!((odd.status.as_u16(), odd.field()), (422, id.name.to_owned()));
            }
        }
        let watches = route.operation == "watch_job";
        if !watches {
            world.ready_for(route.operation, &own).await;
            let reply = world.send(request_with(route, who, &own, None)).await;
            assert!(reply.status.is_success(), "{}: {}", route.operation, reply.text());
        }
        // The victim's things stand as they were.
        for path in ["documents", "collections", "conversations", "jobs"] {
            let id = match path {
                "documents" => &victim.document,
                "collections" => &victim.collection,
                "conversations" => &victim.conversation,
                _ => &victim.job,
            };
            let reply = world.get(&world.b.member, &format!("/api/{path}/{id}")).await;
            assert_eq!(reply.status, 200, "{} touched {path}", route.operation);
        }
        let job = world.get(&world.b.member, &format!("/api/jobs/{}", victim.job)).await.json();
        assert_eq!(job["state"], "queued", "{}", route.operation);
    }
}

#[tokio::test]
async fn anothers_id_answers_as_a_missing_one_in_every_socket_message() {
    let world = World::new().await;
    let who = &world.a.member;
    let victim = world.things_and_dead(&world.b.member, &world.b).await;
    let colleague = world.things_and_dead(&world.a.viewer, &world.a).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, who).await;
    for message in socket_messages() {
        for id in message.ids {
            let frame = |value: &str| {
                let mut frame = json!({ "type": message.name, "request_id": "r" });
                if message.name == "ask" {
                    frame["content"] = json!("What was the net income?");
                }
                frame[id.name] = json!(value);
                frame
            };
            let missing = client.call(frame(NOBODYS)).await;
            assert_eq!(missing["type"], "error", "{missing}");
            assert_eq!(missing["problem"]["status"], 404, "{missing}");
            for things in [&victim, &colleague] {
                let reply = client.call(frame(own_id(id.of, things).unwrap())).await;
                assert_eq!(reply, missing, "{} {}", message.name, id.name);
            }
        }
    }
    let job = world.get(&world.b.member, &format!("/api/jobs/{}", victim.job)).await.json();
    assert_eq!(job["state"], "queued");
}

#[tokio::test]
async fn lists_and_searches_show_nothing_of_others() {
    let world = World::new().await;
    let own = world.things_and_dead(&world.a.member, &world.a).await;
    let victim = world.things_and_dead(&world.b.member, &world.b).await;
    let colleague = world.things_and_dead(&world.a.viewer, &world.a).await;
    for path in [
        "collections",
        "documents",
        "conversations",
        "jobs",
        "exports",
        "admin/keys",
        "admin/audit",
        "admin/dead",
    ] {
        let who = if path.starts_with("admin") { &world.a.admin } else { &world.a.member };
        let reply = world.get(who, &format!("/api/{path}")).await;
        assert_eq!(reply.status, 200, "{path}");
        for id in [&victim.collection, &victim.document, &victim.job, &victim.key, &victim.dead] {
            assert!(!reply.text().contains(id.as_str()), "{path} shows {id}");
        }
        if path == "exports" {
            assert!(reply.text().contains(&own.export), "{path}");
            assert!(!reply.text().contains(&victim.export), "{path}");
            assert!(!reply.text().contains(&colleague.export), "{path}");
        }
        if path == "conversations" || path == "jobs" {
            assert!(!reply.text().contains(&colleague.conversation), "{path}");
            assert!(!reply.text().contains(&colleague.job), "{path}");
        }
    }
    for body in [
        json!({ "query": "fund facts", "collection_ids": [] }),
        json!({ "query": "fund facts", "filters": { "document_ids": [] } }),
        json!({ "query": "fund facts", "collection_ids": [own.collection],
                "filters": { "media_types": [] } }),
    ] {
        let reply = world.post(&world.a.member, "/api/search", body).await;
        assert_eq!(reply.json()["passages"], json!([]), "an empty filter lets nothing through");
    }
}

#[tokio::test]
async fn a_named_foreign_id_stands_in_the_callers_audit_log() {
    let world = World::new().await;
    let victim = world.things_and_dead(&world.b.member, &world.b).await;
    world.get(&world.a.member, &format!("/api/documents/{}", victim.document)).await;
    let log = world.get(&world.a.auditor, "/api/admin/audit").await.json();
    let entry = &log["items"][0];
    assert_eq!(entry["action"], "authz_denied");
    assert_eq!(entry["subject"], victim.document.as_str());
    assert_eq!(entry["principal_id"], world.a.member.principal.to_string());
}
