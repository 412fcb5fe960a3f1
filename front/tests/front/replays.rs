//! The same request twice is one effect and the same answer.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::world::{Actor, Reply, World, multipart, request, upload_body};

fn keyed(mut request: Request<Body>, key: &str) -> Request<Body> {
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

async fn ask(world: &World, who: &Actor, conversation: &str, key: &str, content: &str) -> Reply {
    let path = format!("/api/conversations/{conversation}/messages");
    let body: Value = json!({ "content": content });
    world.send(keyed(request("POST", &path, Some(who), Some(body)), key)).await
}

#[tokio::test]
async fn a_question_sent_twice_is_asked_once() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let first = ask(&world, who, &things.conversation, "k1", "once?").await;
    let again = ask(&world, who, &things.conversation, "k1", "once?").await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!(first.json(), again.json());
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let path = format!("/api/conversations/{}/messages", things.conversation);
    let messages = world.get(who, &path).await.json();
    assert_eq!(messages["items"].as_array().unwrap().len(), 4, "two questions, two answers");

    let other = ask(&world, who, &things.conversation, "k1", "another?").await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (422, "idempotency_key_reused"));
    let own = world.things(&world.a.viewer, &world.a).await;
    let theirs = ask(&world, &world.a.viewer, &own.conversation, "k1", "mine?").await;
    assert_eq!(theirs.status, 202, "keys of different principals never meet");
}

#[tokio::test]
async fn questions_that_race_under_one_key_get_the_winners_answer() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let asks = (0..8).map(|_| ask(&world, who, &things.conversation, "race", "who wins?"));
    let replies = futures::future::join_all(asks).await;
    for reply in &replies {
        assert_eq!(reply.status, 202, "{}", reply.text());
        assert_eq!(reply.json(), replies[0].json());
    }
}

#[tokio::test]
async fn an_upload_sent_twice_is_stored_once() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let upload = |content: &'static [u8]| {
        let body = upload_body(Some(&things.collection), &[("q3.txt", content)]);
        keyed(multipart(who, "/api/documents", body), "u1")
    };
    let before = world.stored_files();
    let first = world.send(upload(b"third quarter")).await;
    let again = world.send(upload(b"third quarter")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!(first.json(), again.json());
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(world.stored_files(), before + 1);
    let other = world.send(upload(b"fourth quarter")).await;
    assert_eq!(other.code(), "idempotency_key_reused");
    assert_eq!(world.stored_files(), before + 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_kept_is_named() {
    let world = World::new().await;
    let things = world.things(&world.a.member, &world.a).await;
    let long = "k".repeat(256);
    let reply = ask(&world, &world.a.member, &things.conversation, &long, "x?").await;
    assert_eq!((reply.status.as_u16(), reply.field().as_str()), (422, "Idempotency-Key"));
}
