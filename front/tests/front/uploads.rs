//! Uploads: names, limits, duplicates, and clients that leave.

use quaestor_front::FrontSettings;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, generous, multipart, text, upload_body};

#[tokio::test]
async fn names_are_shown_without_what_misleads() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    for (sent, shown) in [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\q.txt", "q.txt"),
        ("%2e%2e%2fq", "%2e%2e%2fq"),
        ("in\u{202e}fdp.exe", "infdp.exe"),
    ] {
        let body = upload_body(Some(&things.collection), &[(sent, sent.as_bytes())]);
        let reply = world.send(multipart(who, "/api/documents", body)).await;
        assert_eq!(reply.json()["items"][0]["filename"], shown, "{}", reply.text());
    }
}

#[tokio::test]
async fn the_same_bytes_twice_are_one_file_and_one_duplicate() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let before = world.stored_files();
    let files: [(&str, &[u8]); 3] =
        [("a.txt", b"same bytes"), ("b.txt", b"same bytes"), ("c.txt", b"others")];
    let body = upload_body(Some(&things.collection), &files);
    let reply = world.send(multipart(who, "/api/documents", body)).await.json();
    let statuses: Vec<_> =
        reply["items"].as_array().unwrap().iter().map(|item| text(item, "status")).collect();
    assert_eq!(statuses, ["queued", "duplicate", "queued"]);
    assert_eq!(reply["items"][0]["document_id"], reply["items"][1]["document_id"]);
    assert_eq!(world.stored_files(), before + 2);
}

#[tokio::test]
async fn a_refused_upload_leaves_nothing_behind() {
    let settings = FrontSettings { max_upload_bytes: 1_000, max_files_per_upload: 2, ..generous() };
    let world = World::with(settings, None).await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let before = world.stored_files();
    let large = vec![b'x'; 1_001];
    let collection = Some(things.collection.as_str());
    let nobodys = "018f0000-0000-7000-8000-00000000dead";
    let files = |files: &[(&str, &[u8])]| upload_body(collection, files);
    let mut broken = files(&[("a.txt", b"a")]);
    broken.truncate(broken.len() - 8);
    for (body, status, field) in [
        (files(&[("a.txt", b"a"), ("large.txt", &large)]), 413, "file"),
        (files(&[("a.txt", b"a"), ("b.txt", b"b"), ("c.txt", b"c")]), 413, "file"),
        (files(&[]), 422, "file"),
        (files(&[("", b"a")]), 422, "file"),
        (upload_body(None, &[("a.txt", b"a")]), 422, "collection_id"),
        (upload_body(Some("x"), &[("a.txt", b"a")]), 422, "collection_id"),
        (upload_body(Some(nobodys), &[("a.txt", b"a")]), 404, ""),
        (broken, 400, ""),
        (b"nonsense".to_vec(), 400, ""),
    ] {
        let reply = world.send(multipart(who, "/api/documents", body)).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.json()["field"].as_str().unwrap_or_default(), field, "{}", reply.text());
    }
    assert_eq!(world.stored_files(), before);
    let path = format!("/api/documents?collection_id={}", things.collection);
    let listed = world.get(who, &path).await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_collection_may_stand_in_the_query() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let path = format!("/api/documents?collection_id={}", things.collection);
    let reply = world.send(multipart(who, &path, upload_body(None, &[("q.txt", b"query")]))).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
}

#[tokio::test]
async fn an_unknown_part_is_named() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let body = String::from_utf8(upload_body(Some(&things.collection), &[("a.txt", b"a")]))
        .unwrap()
        .replace("name=\"file\"", "name=\"owner_id\"");
    let reply = world.send(multipart(who, "/api/documents", body.into_bytes())).await;
    assert_eq!((reply.status.as_u16(), reply.field().as_str()), (422, "owner_id"));
}

#[tokio::test]
async fn a_client_that_leaves_midway_leaves_nothing_behind() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let before = world.stored_files();
    let server = world.serve().await;
    let body = upload_body(
        Some(&things.collection),
        &[("whole.txt", b"whole"), ("half.txt", &[b'x'; 100_000])],
    );
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=quaestor-test-boundary\r\n\
         Content-Length: {}\r\n\r\n",
        who.token,
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body[..50_000]).await.unwrap();
    // The first file is whole and stored before the client goes.
    while world.stored_files() == before {
        tokio::task::yield_now().await;
    }
    drop(client);
    server.shutdown.cancel();
    server.tracker.close();
    server.tracker.wait().await;
    assert_eq!(world.stored_files(), before);
}

#[tokio::test]
async fn an_upload_of_no_known_length_is_taken_piece_by_piece() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let server = world.serve().await;
    let body = upload_body(Some(&things.collection), &[("pieces.txt", b"one byte at a time")]);
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=quaestor-test-boundary\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        who.token
    );
    client.write_all(head.as_bytes()).await.unwrap();
    for byte in body {
        client.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).await.unwrap();
    }
    client.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

#[tokio::test]
async fn a_new_upload_of_a_name_is_a_new_version() {
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let mut ids = Vec::new();
    for content in [b"first".as_slice(), b"second"] {
        let body = upload_body(Some(&things.collection), &[("report.txt", content)]);
        let reply = world.send(multipart(who, "/api/documents", body)).await.json();
        ids.push(text(&reply["items"][0], "document_id"));
    }
    assert_eq!(ids[0], ids[1]);
    let document = world.get(who, &format!("/api/documents/{}", ids[0])).await.json();
    assert_eq!(document["version"], json!(2));
    assert_eq!(world.delete(who, &format!("/api/documents/{}", ids[0])).await.status, 204);
}

#[tokio::test]
async fn a_large_upload_is_never_held_in_memory() {
    const MIB: usize = 1 << 20;
    // The most that the process ever held.
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    };
    let world = World::new().await;
    let who = &world.a.member;
    let things = world.things(who, &world.a).await;
    let whole = upload_body(Some(&things.collection), &[("large.txt", b"|")]);
    let middle = whole.iter().position(|byte| *byte == b'|').unwrap();
    let (head, tail) = (whole[..middle].to_vec(), whole[middle + 1..].to_vec());
    let piece = bytes::Bytes::from(vec![b'x'; MIB / 8]);
    let pieces = std::iter::once(bytes::Bytes::from(head))
        .chain(std::iter::repeat_n(piece, 8 * 128))
        .chain(std::iter::once(bytes::Bytes::from(tail)))
        .map(Ok::<_, std::io::Error>);
    let mut request = multipart(who, "/api/documents", Vec::new());
    *request.body_mut() = axum::body::Body::from_stream(futures::stream::iter(pieces));
    let before = peak();
    let reply = world.send(request).await;
    let grown = peak().saturating_sub(before);
    assert_eq!(reply.status, 202, "{}", reply.text());
    assert!(grown < 32 * MIB, "memory grew by {} MiB", grown / MIB);
    println!("memory grew by {} KiB for 128 MiB", grown / 1_024);
}
