//! Exports: what is refused before anything starts, links, and templates.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use quaestor_core::ids::ExportId;
use quaestor_core::model::{ExportFile, LinkKey};
use quaestor_core::ports::objects::ObjectKey;
use quaestor_core::ports::store::{ClaimOutcome, ClaimRequest};
use serde_json::{Value, json};

use crate::world::{Actor, Reply, World, generous, request};

/// Writes the file of an export and ends its job, as a worker does.
async fn finish(world: &World, who: &Actor, export: &str) {
    let front = &world.front;
    let shown = world.get(who, &format!("/api/exports/{export}")).await.json();
    let (job, now) = (shown["job_id"].as_str().unwrap().parse().unwrap(), front.clock.now());
    let later = now + Duration::from_secs(3_600);
    let due = front.store.outbox_take(later, now, 1_000).await.unwrap();
    let message = due.into_iter().find(|row| row.envelope.job_id == job).unwrap().envelope;
    let wish = ClaimRequest {
        job_id: job,
        step: message.step,
        outbox_id: message.outbox_id,
        worker: front.ids.next(),
        now,
        lease_until: later,
    };
    let ClaimOutcome::Claimed(claimed) = front.store.claim(who.workspace, wish).await.unwrap()
    else {
        panic!("it cannot be claimed");
    };
    let id: ExportId = export.parse().unwrap();
    let key = ObjectKey::export(who.workspace, id, 1);
    let bytes = stream::iter([Ok(Bytes::from_static(b"# the file"))]).boxed();
    let stored = front.objects.put(&key, bytes, 1_000).await.unwrap();
    let file = ExportFile {
        object_key: key.to_string(),
        size_bytes: stored.size_bytes,
        sha256: stored.sha256,
        kept_until: now + Duration::from_secs(3_600),
        link_key: LinkKey([9; 32]),
    };
    front.store.finish_export(who.workspace, &claimed.claim, id, file, now).await.unwrap();
}

async fn fetch(world: &World, link: &str) -> Reply {
    world.send(request("GET", link, None, None)).await
}

#[tokio::test]
async fn what_cannot_be_exported_is_refused_and_the_field_is_named() {
    let world = World::new().await;
    let who = &world.a.member;
    let own = world.things(who, &world.a).await;
    let empty = world.post(who, "/api/conversations", json!({})).await.json()["id"].clone();
    let hollow = world.post(who, "/api/collections", json!({ "name": "hollow" })).await;
    let hollow = hollow.json()["id"].clone();
    let before = world.get(who, "/api/jobs").await.json()["items"].as_array().unwrap().len();
    let conversation = &own.conversation;
    for (body, field) in [
        (json!({ "conversation_id": conversation }), "format"),
        (json!({ "conversation_id": conversation, "format": "odt" }), "format"),
        (json!({ "conversation_id": conversation, "format": "csv" }), "format"),
        (json!({ "conversation_id": conversation, "format": "xlsx" }), "format"),
        (json!({ "collection_id": own.collection, "format": "pdf" }), "format"),
        (json!({ "document_ids": [own.document], "format": "docx" }), "format"),
        (json!({ "format": "pdf" }), "conversation_id"),
        (json!({ "message_ids": [], "format": "pdf" }), "message_ids"),
        (json!({ "document_ids": [], "format": "csv" }), "document_ids"),
        (json!({ "conversation_id": empty, "format": "pdf" }), "conversation_id"),
        (json!({ "collection_id": hollow, "format": "csv" }), "collection_id"),
        (json!({ "document_ids": [own.document], "format": "csv" }), "document_ids"),
        (
            json!({ "conversation_id": conversation, "document_ids": [own.document],
                "format": "json" }),
            "document_ids",
        ),
        (
            json!({ "conversation_id": conversation, "format": "pdf", "template": "none" }),
            "template",
        ),
        (
            json!({ "conversation_id": conversation, "format": "md", "template": "house" }),
            "template",
        ),
    ] {
        let reply = world.post(who, "/api/exports", body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.field()), (422, field.to_owned()), "{body}");
    }
    let after = world.get(who, "/api/jobs").await.json()["items"].as_array().unwrap().len();
    assert_eq!(before, after, "nothing was started");
}

#[tokio::test]
async fn an_export_asked_for_twice_under_a_key_is_one() {
    let world = World::new().await;
    let who = &world.a.member;
    let own = world.things(who, &world.a).await;
    let ask = |format: &str| {
        let body: Value = json!({ "message_ids": [own.answer], "format": format });
        let mut request = request("POST", "/api/exports", Some(who), Some(body));
        request.headers_mut().insert("idempotency-key", "e1".parse().unwrap());
        world.send(request)
    };
    let (first, again) = (ask("pdf").await, ask("pdf").await);
    assert_eq!((first.status.as_u16(), first.json()), (202, again.json()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(ask("md").await.code(), "idempotency_key_reused");
    let id = first.json()["export_id"].as_str().unwrap().to_owned();
    let shown = world.get(who, &format!("/api/exports/{id}")).await.json();
    assert_eq!((&shown["state"], &shown["format"]), (&json!("queued"), &json!("pdf")));
    assert_eq!(shown["selection"], json!({ "message_ids": [own.answer] }));
    assert_eq!((&shown["url"], &shown["size_bytes"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_link_fetches_one_file_without_a_key_until_it_expires() {
    let world = World::with_manual_clock(generous()).await;
    let who = &world.a.member;
    let own = world.things_and_dead(who, &world.a).await;
    let other = world.things_and_dead(&world.b.member, &world.b).await;
    finish(&world, who, &own.export).await;
    finish(&world, &world.b.member, &other.export).await;
    let path = format!("/api/exports/{}", own.export);
    let shown = world.get(who, &path).await.json();
    assert_eq!((&shown["state"], &shown["size_bytes"]), (&json!("done"), &json!(10)));
    let link = shown["url"].as_str().unwrap().to_owned();
    let file = fetch(&world, &link).await;
    assert_eq!((file.status.as_u16(), &*file.text()), (200, "# the file"));
    let disposition = file.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"answers-"), "{disposition}");
    assert_eq!(file.headers["x-content-type-options"], "nosniff");
    assert_eq!(file.headers["content-security-policy"], "sandbox; default-src 'none'");

    let workspace = who.workspace.to_string();
    let signature = link.rsplit_once('=').unwrap().1;
    for bad in [
        link.replace(&own.export, &other.export),
        link.replace(&workspace, &world.b.member.workspace.to_string()),
        link.replace("expires=", "expires=9"),
        link.replace(signature, &"0".repeat(64)),
        link.replace(signature, ""),
        link.split('?').next().unwrap().to_owned(),
    ] {
        let reply = fetch(&world, &bad).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (404, "not_found".into()), "{bad}");
    }
    let post = world.send(request("DELETE", &link, None, None)).await;
    assert_eq!(post.status, 405);

    world.clock.as_ref().unwrap().advance(Duration::from_secs(301));
    let late = fetch(&world, &link).await;
    assert_eq!((late.status.as_u16(), late.code()), (403, "link_expired".into()));
    let link = world.get(who, &path).await.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(fetch(&world, &link).await.status, 200, "asked again, there is a new one");

    // Its time over, the file is gone and the export says so.
    world.clock.as_ref().unwrap().advance(Duration::from_secs(3_600));
    let over = world.front.store.expire_exports(world.front.clock.now(), 10).await.unwrap();
    assert_eq!(over.len(), 2);
    let shown = world.get(who, &path).await.json();
    assert_eq!((&shown["state"], &shown["url"]), (&json!("expired"), &Value::Null));
    assert_eq!(fetch(&world, &link).await.status, 404);
}

#[tokio::test]
async fn templates_have_versions_and_belong_to_a_workspace() {
    let world = World::new().await;
    let admin = &world.a.admin;
    let put = |name: &str, source: &str| {
        let path = format!("/api/export-templates/{name}");
        world.send(request("PUT", &path, Some(admin), Some(json!({ "source": source }))))
    };
    assert_eq!(put("house", "one").await.json()["version"], 1);
    assert_eq!(put("house", "two").await.json()["version"], 2);
    assert_eq!(put("House", "x").await.field(), "name");
    let path = "/api/export-templates/house";
    let shown = world.get(admin, path).await.json();
    assert_eq!((&shown["version"], &shown["source"]), (&json!(2), &json!("two")));
    let listed = world.get(&world.a.viewer, "/api/export-templates").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get(&world.b.admin, path).await.status, 404);
    assert_eq!(world.delete(&world.b.admin, path).await.status, 404);

    let own = world.things(&world.a.member, &world.a).await;
    let body = json!({ "conversation_id": own.conversation, "format": "pdf", "template": "house" });
    let accepted = world.post(&world.a.member, "/api/exports", body.clone()).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    let id = accepted.json()["export_id"].as_str().unwrap().to_owned();
    put("house", "three").await;
    let shown = world.get(&world.a.member, &format!("/api/exports/{id}")).await.json();
    assert_eq!(shown["template"], json!({ "name": "house", "version": 2 }), "as it was asked for");

    assert_eq!(world.delete(admin, path).await.status, 204);
    assert_eq!(world.get(admin, path).await.status, 404);
    let refused = world.post(&world.a.member, "/api/exports", body).await;
    assert_eq!((refused.status.as_u16(), refused.field()), (422, "template".into()));
}

#[tokio::test]
async fn a_workspace_with_too_many_unfinished_exports_is_told_to_wait() {
    let settings = quaestor_front::FrontSettings { exports_per_workspace: 3, ..generous() };
    let world = World::with(settings, None).await;
    let who = &world.a.member;
    let own = world.things(who, &world.a).await;
    let body = json!({ "conversation_id": own.conversation, "format": "md" });
    let mut refused = None;
    for _ in 0..4 {
        let reply = world.post(who, "/api/exports", body.clone()).await;
        if reply.status == 429 {
            refused = Some(reply);
        }
    }
    let refused = refused.expect("the gate never shut");
    assert_eq!(refused.code(), "workspace_busy");
    assert!(refused.headers.contains_key("retry-after"));
}
