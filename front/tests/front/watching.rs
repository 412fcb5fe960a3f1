//! Server-sent events: each event once and in order, and never left hanging.

use axum::body::Body;
use axum::http::Request;
use quaestor_core::events::Event;
use quaestor_core::problem::Problem;
use serde_json::{Value, json};

use crate::world::{Actor, World, request, send_to};

/// One server-sent event: its id, its name, its data.
pub(crate) type Sse = (Option<String>, String, Value);

pub(crate) fn watch(who: &Actor, job: &str, last: Option<&str>) -> Request<Body> {
    let mut request = request("GET", &format!("/api/jobs/{job}/events"), Some(who), None);
    if let Some(last) = last {
        request.headers_mut().insert("last-event-id", last.parse().unwrap());
    }
    request
}

pub(crate) fn parse(text: &str) -> Vec<Sse> {
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let field = |name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim().to_owned())
        };
        if let Some(data) = field("data:") {
            let data = serde_json::from_str(&data).unwrap();
            events.push((field("id:"), field("event:").unwrap(), data));
        }
    }
    events
}

pub(crate) fn answer_events() -> Vec<Event> {
    let mut events =
        vec![Event::Started { attempt: 1, traceparent: None }, Event::Retrieved { passages: 3 }];
    for number in 0..10 {
        events.push(Event::Token { text: format!("t{number} ") });
    }
    events.push(Event::Done { usage: None });
    events
}

#[tokio::test]
async fn a_watcher_that_comes_back_anywhere_gets_each_event_once() {
    let world = World::new().await;
    let who = &world.a.member;
    let job = world.things(who, &world.a).await.job;
    world.append(who, &job, answer_events()).await;
    let all = parse(&world.send(watch(who, &job, None)).await.text());
    assert_eq!(all.len(), 14);
    assert_eq!(all[0], (Some("0-1".into()), "queued".into(), json!({"kind": "queued"})));
    assert_eq!(all[3].2, json!({"kind": "token", "text": "t0 "}));
    for seen in 0..all.len() {
        let last = all[seen].0.clone().unwrap();
        let rest = parse(&world.send(watch(who, &job, Some(&last))).await.text());
        assert_eq!(rest, all[seen + 1..], "after {last}");
        let by_query = format!("/api/jobs/{job}/events?after={last}");
        assert_eq!(parse(&world.get(who, &by_query).await.text()), rest);
    }
}

#[tokio::test]
async fn a_bad_last_event_id_is_named() {
    let world = World::new().await;
    let who = &world.a.member;
    let job = world.things(who, &world.a).await.job;
    let reply = world.send(watch(who, &job, Some("latest"))).await;
    assert_eq!((reply.status.as_u16(), reply.field().as_str()), (422, "Last-Event-ID"));
}

#[tokio::test]
async fn a_job_that_ended_without_a_log_ends_with_a_gap_and_its_stored_end() {
    let world = World::new().await;
    let who = &world.a.member;
    let job = world.things(who, &world.a).await.job;
    let cancelled = world.post(who, &format!("/api/jobs/{job}/cancel"), json!({})).await;
    assert_eq!(cancelled.json()["state"], "cancelled", "{}", cancelled.text());

    let known = parse(&world.send(watch(who, &job, None)).await.text());
    let kinds: Vec<_> = known.iter().map(|event| event.1.as_str()).collect();
    assert_eq!(kinds, ["queued", "cancelled"]);

    let lost = world.with_lost_events();
    for last in [None, Some("0-1"), Some("1-7")] {
        let events = parse(&send_to(&lost, watch(who, &job, last)).await.text());
        let kinds: Vec<_> = events.iter().map(|event| event.1.as_str()).collect();
        assert_eq!(kinds, ["gap", "cancelled"], "after {last:?}");
    }
}

#[tokio::test]
async fn an_end_that_only_the_store_knows_reaches_a_silent_watcher() {
    let mut settings = crate::world::generous();
    settings.watch_poll = std::time::Duration::from_millis(20);
    let world = World::with(settings, None).await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let lost = world.with_lost_events();
    let watching = send_to(&lost, watch(who, &things.job, None));
    let path = format!("/api/conversations/{}", things.conversation);
    let ending = world.delete(who, &path);
    let (events, ended) = tokio::join!(watching, ending);
    assert_eq!(ended.status, 204);
    let events = parse(&events.text());
    let kinds: Vec<_> = events.iter().map(|event| event.1.as_str()).collect();
    assert_eq!(kinds, ["gap", "cancelled"]);
}

#[tokio::test]
async fn a_failed_job_tells_its_problem() {
    let world = World::new().await;
    let who = &world.a.member;
    let job = world.things(who, &world.a).await.job;
    let problem = Problem::new("model_refused", "The model refused", "try another model");
    world.append(who, &job, vec![Event::Failed { problem }]).await;
    let events = parse(&world.send(watch(who, &job, None)).await.text());
    assert_eq!(events.last().unwrap().2["problem"]["code"], "model_refused");
}
