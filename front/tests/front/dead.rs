//! Dead letters, replays as those who watch see them, and why a queued job does not run.

use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::events::Event;
use quaestor_core::ids::{JobId, WorkerId};
use quaestor_core::model::WORKERS_TOPIC;
use quaestor_core::ports::store::{DeadWhich, Replay};
use serde_json::{Value, json};

use crate::sockets::Client;
use crate::watching::{parse, watch};
use crate::world::{Things, World, generous, request};

const NOBODYS: &str = "018f0000-0000-7000-8000-00000000dead";

/// Appends events as the worker of a later attempt does.
async fn append(world: &World, job: &str, attempt: u32, events: Vec<Event>) {
    let job: JobId = job.parse().unwrap();
    world.front.events.append(world.a.member.workspace, job, attempt, events).await.unwrap();
}

fn answered(attempt: u32) -> Vec<Event> {
    vec![
        Event::Started { attempt, traceparent: None },
        Event::Token { text: "so".to_owned() },
        Event::Done { usage: None },
    ]
}

async fn kinds(world: &World, things: &Things, last: Option<&str>) -> Vec<String> {
    let told = world.send(watch(&world.a.member, &things.dead, last)).await;
    parse(&told.text()).into_iter().map(|event| event.1).collect()
}

#[tokio::test]
async fn a_dead_job_is_shown_with_what_went_wrong_and_to_its_owner_without_the_causes() {
    let world = World::new().await;
    let things = world.things_and_dead(&world.a.member, &world.a).await;
    let admin = &world.a.admin;
    let list = world.get(admin, "/api/admin/dead?code=model_malformed&kind=chat").await.json();
    assert_eq!(list["items"][0]["id"], things.dead.as_str(), "{list}");
    let letter = world.get(admin, &format!("/api/admin/dead/{}", things.dead)).await.json();
    assert_eq!(letter["causes"], json!(["of 10.0.0.1"]));
    assert_eq!(letter["detail"], "the model sent nonsense");
    assert_eq!(letter["payload"]["conversation_id"], things.conversation.as_str());
    let groups = world.get(admin, "/api/admin/dead/groups").await.json();
    assert_eq!((&groups["items"][0]["count"], &groups["next"]), (&json!(1), &Value::Null));
    for empty in ["code=other", "kind=message", "since=2999-01-01T00:00:00Z"] {
        let list = world.get(admin, &format!("/api/admin/dead?{empty}")).await.json();
        assert_eq!(list["items"], json!([]), "{empty}");
    }
    let job = world.get(&world.a.member, &format!("/api/jobs/{}", things.dead)).await;
    assert_eq!(job.json()["problem"]["code"], "too_many_attempts");
    assert!(!job.text().contains("10.0.0.1"), "{}", job.text());
}

#[tokio::test]
async fn who_watches_a_replayed_job_sees_its_new_life_alone() {
    let world = World::new().await;
    let things = world.things_and_dead(&world.a.member, &world.a).await;
    assert_eq!(kinds(&world, &things, None).await, ["queued", "failed"]);
    let path = format!("/api/admin/dead/{}/replay", things.dead);
    let reply = world.post(&world.a.admin, &path, json!({})).await;
    let told = reply.json();
    assert_eq!((reply.status.as_u16(), &told["outcome"]), (202, &json!("replayed")), "{told}");
    assert_eq!(told["attempt"], 2);
    append(&world, &things.dead, 3, answered(3)).await;
    let whole = ["queued", "restarted", "started", "token", "done"];
    assert_eq!(kinds(&world, &things, None).await, whole);
    // Whoever has the end of the life before goes on with the next one.
    assert_eq!(kinds(&world, &things, Some("1-1")).await, whole[1..]);
    assert_eq!(kinds(&world, &things, Some("2-1")).await, whole[2..]);
    assert!(kinds(&world, &things, Some("3-3")).await.is_empty());
    // Once more: it is not dead.
    let again = world.post(&world.a.admin, &path, json!({})).await.json();
    assert_eq!((&again["outcome"], &again["state"]), (&json!("not_dead"), &json!("queued")));
    let log = world.get(&world.a.auditor, "/api/admin/audit").await.json();
    let replays = log["items"].as_array().unwrap().iter();
    let replays: Vec<_> = replays.filter(|entry| entry["action"] == "dead.replay").collect();
    assert_eq!((replays.len(), &replays[0]["subject"]), (1, &json!(things.dead)));
}

#[tokio::test]
async fn a_replay_that_could_not_be_told_does_not_end_a_watch() {
    let settings =
        quaestor_front::FrontSettings { watch_poll: Duration::from_millis(20), ..generous() };
    let world = World::with(settings, None).await;
    let things = world.things_and_dead(&world.a.member, &world.a).await;
    // Replayed in the store, and the front died before it could say so.
    let (front, now) = (&world.front, world.front.clock.now());
    let replay = Replay {
        ids: front.ids.clone(),
        now,
        begin_at: now,
        every: TimeDelta::zero(),
        chat_time: TimeDelta::minutes(1),
        documents_time: TimeDelta::minutes(1),
        audit: quaestor_core::ports::store::NewAuditEntry {
            id: front.ids.next(),
            principal_id: world.a.admin.principal,
            action: "dead.replay",
            subject: String::new(),
            at: now,
        },
        idempotency: None,
    };
    let which = DeadWhich::Named(vec![things.dead.parse().unwrap()]);
    front.store.accept_replay(world.a.admin.workspace, which, replay).await.unwrap().unwrap();
    for last in [None, Some("1-1")] {
        let later = async {
            SystemClock.sleep(Duration::from_millis(300)).await;
            if last.is_none() {
                append(&world, &things.dead, 3, answered(3)).await;
            }
        };
        let (seen, ()) = tokio::join!(kinds(&world, &things, last), later);
        let ends = seen.iter().filter(|kind| ["done", "failed"].contains(&kind.as_str()));
        assert_eq!(ends.collect::<Vec<_>>(), ["done"], "{seen:?}");
        assert!(seen.contains(&"started".to_owned()), "{seen:?}");
    }
}

#[tokio::test]
async fn a_socket_that_was_told_the_end_goes_on_with_the_replay() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things_and_dead(who, &world.a).await;
    let server = world.serve().await;
    let mut client = Client::open(&server, who).await;
    let mut follower = Client::open(&server, who).await;
    let follow = json!({"type": "follow", "conversation_id": things.conversation});
    follower.say(follow).await;
    while follower.hear().await["type"] != "following" {}
    let subscribe = json!({"type": "subscribe", "job_id": things.dead});
    for one in [&mut client, &mut follower] {
        one.say(subscribe.clone()).await;
        let mut frame = one.hear().await;
        while frame["job_id"] != things.dead.as_str() || frame["event"]["kind"] != "failed" {
            frame = one.hear().await;
        }
        // Asked for again, the same end is not told twice.
        one.say(subscribe.clone()).await;
        let pong = one.call(json!({"type": "ping"})).await;
        assert_eq!(pong["type"], "pong", "{pong}");
    }
    let path = format!("/api/admin/dead/{}/replay", things.dead);
    world.post(&world.a.admin, &path, json!({})).await;
    append(&world, &things.dead, 3, answered(3)).await;
    // One asks for it, the other hears it by the conversation that it follows.
    client.say(subscribe).await;
    for one in [&mut client, &mut follower] {
        let mut seen = Vec::new();
        while seen.last() != Some(&json!("done")) {
            let frame = one.hear().await;
            assert_eq!(frame["type"], "event", "{frame}");
            seen.push(frame["event"]["kind"].clone());
        }
        assert_eq!(seen, ["restarted", "started", "token", "done"]);
    }
}

#[tokio::test]
async fn many_are_replayed_at_a_rate_and_discarded() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things_and_dead(who, &world.a).await;
    let mut dead = vec![things.dead.clone()];
    for _ in 0..3 {
        let asked = world.ask(who, &things.conversation).await;
        dead.push(asked["job_id"].as_str().unwrap().to_owned());
        world.bury(who, dead.last().unwrap()).await;
    }
    let admin = &world.a.admin;
    let body = json!({"code": "model_malformed", "rate_per_minute": 30, "limit": 2});
    let keyed = |body: &Value| {
        let mut sent = request("POST", "/api/admin/dead/replay", Some(admin), Some(body.clone()));
        sent.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        sent
    };
    let first = world.send(keyed(&body)).await;
    let report = first.json();
    assert_eq!((&report["replayed"], &report["remaining"]), (&json!(2), &json!(2)), "{report}");
    let again = world.send(keyed(&body)).await;
    assert_eq!(again.json(), report);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let waiting = world.get(who, "/api/jobs?state=waiting").await.json();
    let [waiting] = waiting["items"].as_array().unwrap().as_slice() else { panic!("{waiting}") };
    assert_eq!(waiting["reason"], "replay_paced");
    assert!(waiting["until"].is_string(), "{waiting}");
    // The log says until when it waits.
    let events = world.front.events.watch(who.workspace, dead[1].parse().unwrap(), None).await;
    let events: Vec<_> =
        futures::StreamExt::collect(futures::StreamExt::take(events.unwrap(), 3)).await;
    assert!(format!("{:?}", events[2]).contains("replay_paced"), "{events:?}");

    let named = json!({"ids": [dead[2], NOBODYS]});
    for path in ["/api/admin/dead/replay", "/api/admin/dead/discard"] {
        let reply = world.post(admin, path, named.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "not_found"), "{path}");
        let both = json!({"ids": [dead[2]], "code": "x"});
        let reply = world.post(admin, path, both).await;
        assert_eq!((reply.status.as_u16(), reply.field().as_str()), (422, "ids"), "{path}");
    }
    let path = format!("/api/admin/dead/{}/discard", dead[2]);
    let gone = world.post(admin, &path, json!({})).await.json();
    assert_eq!(gone["outcome"], "discarded", "{gone}");
    let job = world.get(who, &format!("/api/jobs/{}", dead[2])).await.json();
    assert_eq!(
        (&job["state"], &job["problem"]["code"]),
        (&json!("failed"), &json!("too_many_attempts"))
    );
    let rest = world.post(admin, "/api/admin/dead/discard", json!({})).await.json();
    assert_eq!((&rest["discarded"], &rest["remaining"]), (&json!(1), &json!(0)), "{rest}");
    let reply = world.post(who, "/api/admin/dead/discard", json!({})).await;
    assert_eq!(reply.status, 403);
}

/// A world where time passes by hand, and a notice of a worker.
async fn world_with_worker(told: Value) -> World {
    let world = World::with_manual_clock(generous()).await;
    let process: WorkerId = world.front.ids.next();
    let keep = Duration::from_secs(86_400);
    world.front.noticeboard.post(WORKERS_TOPIC, process, told, keep).await;
    world
}

#[tokio::test]
async fn a_queued_job_says_why_it_does_not_run() {
    let until = "2027-01-15T09:00:00Z";
    for (told, sent, reason, position) in [
        (json!([]), true, "no_worker", Some(2)),
        (json!("another version's"), true, "no_worker", Some(2)),
        (json!([{"step": "chat.retrieve", "slots": 4}]), true, "queue", Some(2)),
        (
            json!([{"step": "chat.retrieve", "slots": 4, "paused_until": until}]),
            true,
            "model_breaker_open",
            Some(2),
        ),
        (json!([{"step": "chat.retrieve", "slots": 4}]), false, "unpublished", Some(2)),
    ] {
        let world = world_with_worker(told.clone()).await;
        let clock = world.clock.clone().unwrap();
        let other = world.things(&world.b.member, &world.b).await;
        let own = world.things(&world.a.member, &world.a).await;
        clock.advance(Duration::from_secs(60));
        if sent {
            let now = clock.now();
            let due = world.front.store.outbox_take(now, now, 100).await.unwrap();
            let ids: Vec<_> = due.iter().map(|row| row.envelope.outbox_id).collect();
            world.front.store.outbox_sent(&ids, now).await.unwrap();
        }
        let job = world.get(&world.a.member, &format!("/api/jobs/{}", own.job)).await.json();
        assert_eq!(job["reason"], reason, "{told}: {job}");
        assert_eq!((&job["position"], &job["ahead"]), (&json!(position), &json!(0)), "{job}");
        assert_eq!(job["until"].as_str(), (reason == "model_breaker_open").then_some(until));
        let listed = world.get(&world.b.member, "/api/jobs?kind=chat").await.json();
        assert_eq!(listed["items"][0]["id"], other.job.as_str());
        assert_eq!(listed["items"][0]["position"], 1, "{listed}");
    }
}

#[tokio::test]
async fn what_stands_still_is_told_with_its_mend() {
    let world = world_with_worker(json!([])).await;
    let things = world.things_and_dead(&world.a.member, &world.a).await;
    let stuck = async |query: &str| {
        let reply = world.get(&world.a.admin, &format!("/api/admin/stuck{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["items"].as_array().unwrap().clone()
    };
    let codes = |items: &[Value]| {
        items.iter().map(|item| item["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&stuck("").await), ["dead_letters"], "nothing for long");
    world.clock.as_ref().unwrap().advance(Duration::from_secs(120));
    let items = stuck("").await;
    assert_eq!(
        codes(&items),
        ["no_worker", "no_worker", "no_worker", "unpublished", "dead_letters"],
        "{items:?}"
    );
    let chat = items.iter().find(|item| item["name"] == "chat.retrieve").unwrap();
    assert_eq!(chat["count"], 1, "{chat}");
    assert!(chat["mend"].as_str().unwrap().contains("quaestor worker --queues chat.retrieve"));
    let dead = items.last().unwrap();
    assert!(dead["mend"].as_str().unwrap().contains("--code model_malformed"), "{dead}");
    assert_eq!(codes(&stuck("?older_than_s=3600").await), ["dead_letters"]);
    // Another workspace's dead letters are its own.
    let items = world.get(&world.b.admin, "/api/admin/stuck").await;
    assert!(!items.text().contains("dead_letters"), "{}", items.text());
    assert!(!items.text().contains(&things.dead), "{}", items.text());
}
