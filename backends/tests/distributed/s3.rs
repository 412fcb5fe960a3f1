//! Files in an S3 bucket: the contract on the real server, and what happens when a server
//! misbehaves, on one in this process that does.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Region};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use quaestor_backends::bundles::bucket::BucketBundles;
use quaestor_backends::objects::s3::{Credentials, Encryption, S3Objects, S3Options, S3Place};
use quaestor_contracts::{bundles_contract, objects_contract};
use quaestor_core::clock::{Clock, ManualClock, SystemClock};
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::objects::{ByteStream, ObjectError, ObjectKey, Objects};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::places::setting;

const MIB: usize = 1 << 20;
const NO_LIMIT: u64 = u64::MAX;

fn key() -> ObjectKey {
    ObjectKey::upload(WorkspaceId(Uuid::from_u128(1)), Uuid::from_u128(2))
}

/// The bucket that `make services` has made, and a prefix of this test's own in it.
fn real() -> (S3Options, TempDir) {
    let scratch = tempfile::tempdir().unwrap();
    let mut place = S3Place::parse(&setting("QUAESTOR_OBJECTS_URL")).unwrap();
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    place.prefix = format!("tests/{:016x}", u64::from_le_bytes(random));
    let options = S3Options {
        place,
        region: setting("AWS_REGION"),
        endpoint: Some(setting("AWS_ENDPOINT_URL_S3")),
        credentials: Credentials {
            access_key_id: setting("AWS_ACCESS_KEY_ID").into(),
            secret_access_key: setting("AWS_SECRET_ACCESS_KEY").into(),
            session_token: None,
        },
        encryption: None,
        scratch: scratch.path().to_owned(),
    };
    (options, scratch)
}

/// A client that owes nothing to the backend under test.
fn client(options: &S3Options) -> Client {
    let (key, secret) =
        (&options.credentials.access_key_id, &options.credentials.secret_access_key);
    let (key, secret) = (key.expose_secret(), secret.expose_secret());
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(options.region.clone()))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(key, secret, None, None, "test"))
        .force_path_style(true)
        .endpoint_url(options.endpoint.clone().unwrap());
    Client::from_conf(config.build())
}

/// Removes what a test has put under its prefix.
struct Tidied(S3Options, #[expect(dead_code, reason = "removed when dropped")] TempDir);

impl Drop for Tidied {
    fn drop(&mut self) {
        let options = self.0.clone();
        let tidied = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
                async {
                    let client = client(&options);
                    let (bucket, prefix) = (&options.place.bucket, &options.place.prefix);
                    let listed =
                        client.list_objects_v2().bucket(bucket).prefix(prefix).send().await;
                    for object in listed.unwrap().contents() {
                        let name = object.key().unwrap();
                        client.delete_object().bucket(bucket).key(name).send().await.unwrap();
                    }
                },
            );
        });
        if tidied.join().is_err() && !std::thread::panicking() {
            panic!("the test's files could not be removed");
        }
    }
}

async fn open(options: S3Options) -> Result<S3Objects, ObjectError> {
    S3Objects::open(options, Arc::new(SystemClock), TaskTracker::new()).await
}

async fn backups() -> (BucketBundles, Tidied) {
    let (objects, tidied) = bucket().await;
    (BucketBundles::new(objects), tidied)
}

async fn bucket() -> (S3Objects, Tidied) {
    let (options, scratch) = real();
    let objects = open(options.clone()).await.unwrap();
    (objects, Tidied(options, scratch))
}

mod contracts {
    use super::*;

    bundles_contract!(super::super::backups);
    objects_contract!(super::super::bucket);
}

/// A server in this process: S3 over a folder, with a hand in between.
struct Server {
    folder: TempDir,
    options: S3Options,
    /// Every request: its method, path with query, and headers.
    seen: Arc<Mutex<Vec<(Method, String, HeaderMap)>>>,
    #[expect(dead_code, reason = "ends with the test")]
    serving: JoinSet<()>,
}

impl Server {
    /// `meddle` may answer a request in the server's place.
    async fn start(
        meddle: impl Fn(&Request) -> Option<Response> + Clone + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| async move {
            let note =
                (request.method().clone(), request.uri().to_string(), request.headers().clone());
            noted.lock().unwrap().push(note);
            if let Some(answer) = meddle(&request) {
                if answer.status() == StatusCode::IM_A_TEAPOT {
                    std::future::pending::<()>().await;
                }
                return answer;
            }
            service.oneshot(request).await.unwrap().map(Body::new)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let options = S3Options {
            place: S3Place::parse("s3://bucket").unwrap(),
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint),
            credentials: Credentials {
                access_key_id: "key".into(),
                secret_access_key: "secret".into(),
                session_token: None,
            },
            encryption: None,
            scratch: folder.path().join("scratch"),
        };
        Self { folder, options, seen, serving }
    }

    fn requests(&self, method: &Method, holds: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(one, uri, _)| one == method && uri.contains(holds)).count()
    }

    /// The parts of unfinished uploads, as the server keeps them.
    fn parts(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".upload")).count()
    }
}

fn xml(status: StatusCode, body: &str) -> Response {
    (status, [("content-type", "application/xml")], body.to_owned()).into_response()
}

fn refusal(status: StatusCode, code: &str) -> Response {
    xml(status, &format!("<Error><Code>{code}</Code><Message>no</Message></Error>"))
}

/// What makes the server say nothing.
fn silence() -> Response {
    StatusCode::IM_A_TEAPOT.into_response()
}

fn mebibytes(number: usize) -> ByteStream {
    let piece = Bytes::from(vec![7; MIB]);
    stream::iter((0..number).map(move |_| Ok(piece.clone()))).boxed()
}

/// Everything that a failure would tell a person.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[track_caller]
fn check_sentence(result: Result<S3Objects, ObjectError>, holds: &[&str]) {
    let error = result.unwrap_err();
    let told = told(&error);
    for words in holds {
        assert!(told.contains(words), "`{words}` is not in: {told}");
    }
    assert!(!format!("{told} {error:?}").contains("QUAESTOR-SECRET"), "{told}");
}

#[tokio::test]
async fn a_start_that_fails_says_how_to_mend_it() {
    let server = Server::start(|_| None).await;
    let with = |change: &dyn Fn(&mut S3Options)| {
        let mut options = server.options.clone();
        change(&mut options);
        open(options)
    };
    let closed = with(&|options| options.endpoint = Some("http://127.0.0.1:9".to_owned())).await;
    check_sentence(closed, &["nothing answers at http://127.0.0.1:9", "AWS_ENDPOINT_URL_S3"]);
    let wrong = with(&|options| options.credentials.secret_access_key = "QUAESTOR-SECRET".into());
    check_sentence(wrong.await, &["refuses the access key", "AWS_SECRET_ACCESS_KEY"]);
    let unknown = with(&|options| options.credentials.access_key_id = "QUAESTOR-SECRET".into());
    check_sentence(unknown.await, &["refuses the access key", "AWS_ACCESS_KEY_ID"]);
    let nowhere = with(&|options| options.place.bucket = "elsewhere".to_owned()).await;
    check_sentence(nowhere, &["no bucket elsewhere", "aws s3 mb s3://elsewhere"]);
    let forbidden = Server::start(|_| Some(refusal(StatusCode::FORBIDDEN, "AccessDenied"))).await;
    check_sentence(
        open(forbidden.options.clone()).await,
        &["may not do this in the bucket bucket"],
    );
    let skewed = Server::start(|_| Some(refusal(StatusCode::FORBIDDEN, "RequestTimeTooSkewed")));
    check_sentence(open(skewed.await.options.clone()).await, &["clock", "NTP"]);
    let moved =
        Server::start(|_| Some(refusal(StatusCode::MOVED_PERMANENTLY, "PermanentRedirect")));
    check_sentence(open(moved.await.options.clone()).await, &["region us-east-1", "AWS_REGION"]);
}

#[test]
fn secrets_are_not_shown() {
    let (mut options, _scratch) = real();
    options.credentials.secret_access_key = "QUAESTOR-SECRET".into();
    options.credentials.access_key_id = "QUAESTOR-SECRET".into();
    options.credentials.session_token = Some("QUAESTOR-SECRET".into());
    assert!(!format!("{options:?}").contains("QUAESTOR-SECRET"));
    assert!(S3Options::check_endpoint("http://user:QUAESTOR-SECRET@host").is_err());
    assert!(S3Options::check_endpoint("http://127.0.0.1:9000").is_ok());
}

#[test]
fn a_place_is_a_bucket_and_a_clean_prefix() {
    let place = |bucket: &str, prefix: &str| {
        Ok(S3Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    };
    assert_eq!(S3Place::parse("s3://bucket"), place("bucket", ""));
    assert_eq!(S3Place::parse("s3://a.bucket-1/one/two_2/"), place("a.bucket-1", "one/two_2"));
    for wrong in [
        "",
        "bucket",
        "s3://",
        "s3:///a",
        "s3://Bucket",
        "s3://b",
        "s3://bucket/../x",
        "s3://bucket/a//b",
        "s3://bucket/a b",
        "s3://user:x@host/b",
    ] {
        assert!(S3Place::parse(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn an_upload_that_is_given_up_is_aborted() {
    let server = Server::start(|_| None).await;
    let tasks = TaskTracker::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let objects = S3Objects::open(server.options.clone(), clock, tasks.clone()).await.unwrap();
    let (read, was_read) = tokio::sync::oneshot::channel();
    let mut read = Some(read);
    let stalls = stream::once(async move {
        read.take().map(|read| read.send(()));
        stream::pending::<Result<Bytes, _>>().next().await.unwrap()
    });
    let key = key();
    tokio::select! {
        _ = objects.put(&key, mebibytes(20).chain(stalls).boxed(), NO_LIMIT) => panic!("it has no end"),
        _ = was_read => {}
    }
    tasks.close();
    tasks.wait().await;
    assert_eq!(server.requests(&Method::POST, "?uploads"), 1);
    assert_eq!(server.requests(&Method::DELETE, "uploadId="), 1);
    assert_eq!(server.parts(), 0);
}

#[tokio::test]
async fn a_failed_upload_leaves_no_parts() {
    let server = Server::start(|_| None).await;
    let objects = open(server.options.clone()).await.unwrap();
    let broken = mebibytes(20).chain(stream::iter([Err("the line went dead".into())]));
    objects.put(&key(), broken.boxed(), NO_LIMIT).await.unwrap_err();
    assert_eq!(server.requests(&Method::DELETE, "uploadId="), 1);
    assert_eq!(server.parts(), 0);
}

#[tokio::test]
async fn a_part_that_fails_once_is_sent_again() {
    let failed = Arc::new(Mutex::new(false));
    let server = Server::start(move |request| {
        let is_part = request.uri().query().is_some_and(|query| query.contains("partNumber=2"));
        let mut failed = failed.lock().unwrap();
        let fails = is_part && !*failed;
        *failed |= is_part;
        fails.then(|| refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"))
    })
    .await;
    let objects = open(server.options.clone()).await.unwrap();
    let stored = objects.put(&key(), mebibytes(20), NO_LIMIT).await.unwrap();
    assert_eq!(stored.size_bytes, 20 << 20);
    assert_eq!(server.requests(&Method::PUT, "partNumber="), 4);
    let got = objects.get(&key(), 0).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    assert!(got.concat() == vec![7; 20 * MIB], "the bytes differ");
}

#[tokio::test]
async fn an_upload_of_another_size_is_taken_back() {
    let server = Server::start(|request| {
        let asks = *request.method() == Method::HEAD && request.uri().path().contains("uploads");
        asks.then(|| ([("content-length", "5")], Body::empty()).into_response())
    })
    .await;
    let objects = open(server.options.clone()).await.unwrap();
    let error = objects.put(&key(), mebibytes(20), NO_LIMIT).await.unwrap_err();
    assert!(told(&error).contains("another number of bytes"), "{}", told(&error));
    assert!(matches!(objects.get(&key(), 0).await, Err(ObjectError::Missing(_))));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let server = Server::start(|request| {
        let reads = *request.method() == Method::GET && request.uri().path().contains("uploads");
        // Enough that the beginning is on its way before the rest fails.
        let pieces = (0..16).map(|_| Ok(Bytes::from(vec![7; MIB / 16])));
        let half = stream::iter(pieces).chain(stream::once(async {
            tokio::task::yield_now().await;
            Err("gone")
        }));
        reads.then(|| ([("content-length", "2097152")], Body::from_stream(half)).into_response())
    })
    .await;
    let objects = open(server.options.clone()).await.unwrap();
    let got = objects.get(&key(), 0).await.unwrap().try_collect::<Vec<_>>().await;
    assert!(got.is_err(), "half a file was taken for a whole one");
    objects.local_copy(&key()).await.unwrap_err();
    assert_eq!(copies(&server.options.scratch), 0, "half a copy was kept");
}

#[tokio::test]
async fn another_range_than_was_asked_for_is_an_error() {
    let server = Server::start(|request| {
        let reads = *request.method() == Method::GET && request.uri().path().contains("uploads");
        reads.then(|| "the whole file".into_response())
    })
    .await;
    let objects = open(server.options.clone()).await.unwrap();
    assert!(objects.get(&key(), 0).await.is_ok());
    let Err(error) = objects.get(&key(), 4).await else { panic!("the wrong bytes were given") };
    assert!(told(&error).contains("another range"), "{}", told(&error));
}

#[tokio::test]
async fn encryption_is_asked_for_with_every_upload() {
    let server = Server::start(|_| None).await;
    let mut options = server.options.clone();
    options.encryption = Some(Encryption::Kms { key_id: "the-key".to_owned() });
    let objects = open(options).await.unwrap();
    objects.put(&key(), mebibytes(1), NO_LIMIT).await.unwrap();
    objects.put(&key(), mebibytes(9), NO_LIMIT).await.unwrap();
    let seen = server.seen.lock().unwrap();
    let asked = seen.iter().filter(|(_, _, headers)| {
        headers.get("x-amz-server-side-encryption").is_some_and(|value| value == "aws:kms")
            && headers
                .get("x-amz-server-side-encryption-aws-kms-key-id")
                .is_some_and(|value| value == "the-key")
    });
    assert_eq!(asked.count(), 2, "one for the small file, one for the beginning of the large");
}

async fn linked(objects: &S3Objects) -> String {
    let lives = Duration::from_secs(60);
    let disposition = "attachment; filename=\"x.pdf\"";
    let link = objects.link(&key(), lives, disposition, "application/pdf").await;
    link.unwrap().expect("a bucket has links of its own")
}

#[tokio::test]
async fn a_link_reads_one_file_until_it_expires() {
    let (objects, tidied) = bucket().await;
    let text = stream::iter([Ok(Bytes::from_static(b"read me"))]).boxed();
    objects.put(&key(), text, NO_LIMIT).await.unwrap();
    let link = linked(&objects).await;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let got = client.get(&link).send().await.unwrap();
    assert_eq!(got.headers()["content-disposition"], "attachment; filename=\"x.pdf\"");
    assert_eq!(got.headers()["content-type"], "application/pdf");
    assert_eq!(got.text().await.unwrap(), "read me");
    assert_eq!(client.put(&link).body("changed").send().await.unwrap().status(), 403);
    let shown = link.replace("attachment", "inline");
    assert_eq!(client.get(shown).send().await.unwrap().status(), 403);
    let other = link.replace(&key().to_string(), "somebody-elses");
    assert_eq!(client.get(other).send().await.unwrap().status(), 403);
    let earlier = ManualClock::at_millis(SystemClock.now().timestamp_millis() - 120_000);
    let objects = S3Objects::open(tidied.0.clone(), Arc::new(earlier), TaskTracker::new());
    let expired = linked(&objects.await.unwrap()).await;
    assert_eq!(client.get(expired).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_ping_of_a_silent_server_ends_soon() {
    let server = Server::start(|request| (*request.method() == Method::HEAD).then(silence)).await;
    let objects = open(server.options.clone()).await.unwrap();
    let begun = Instant::now();
    let error = objects.ping().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(told(&error).contains("did not answer in time"), "{}", told(&error));
}

#[tokio::test]
async fn stale_uploads_are_aborted_and_young_ones_are_not() {
    let server = Server::start(|request| {
        let uri = request.uri().to_string();
        let is_listing = *request.method() == Method::GET && uri.contains("uploads");
        let upload = |id: &str, begun: &str| {
            format!(
                "<Upload><Key>p/{id}</Key><UploadId>{id}</UploadId><Initiated>{begun}</Initiated></Upload>"
            )
        };
        let page = |more: &str, uploads: &str| {
            let root = "ListMultipartUploadsResult";
            xml(StatusCode::OK, &format!("<{root}>{more}{uploads}</{root}>"))
        };
        match (is_listing, uri.contains("key-marker=p")) {
            (true, false) => Some(page(
                "<IsTruncated>true</IsTruncated><NextKeyMarker>p/b</NextKeyMarker>\
                 <NextUploadIdMarker>b</NextUploadIdMarker>",
                &(upload("a", "2026-01-01T00:00:00.000Z") + &upload("b", "2026-01-02T11:59:59.000Z")),
            )),
            (true, true) => Some(page(
                "<IsTruncated>false</IsTruncated>",
                &(upload("c", "2026-01-01T23:59:59.000Z") + &upload("d", "2026-01-02T00:00:01.000Z")),
            )),
            _ => (*request.method() == Method::DELETE).then(|| StatusCode::NO_CONTENT.into_response()),
        }
    })
    .await;
    let mut options = server.options.clone();
    options.place.prefix = "p".to_owned();
    let noon = "2026-01-03T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let clock = Arc::new(ManualClock::at_millis(noon.timestamp_millis()));
    let objects = S3Objects::open(options, clock, TaskTracker::new()).await.unwrap();
    assert_eq!(objects.abort_stale(Duration::from_secs(24 * 3600)).await.unwrap(), 2);
    for (id, aborted) in [("a", 1), ("b", 0), ("c", 1), ("d", 0)] {
        assert_eq!(server.requests(&Method::DELETE, &format!("/p/{id}?")), aborted, "{id}");
    }
}

#[tokio::test]
async fn copies_go_with_their_owners() {
    let server = Server::start(|_| None).await;
    let scratch = &server.options.scratch;
    let one = open(server.options.clone()).await.unwrap();
    one.put(&key(), mebibytes(1), NO_LIMIT).await.unwrap();
    let copy = one.local_copy(&key()).await.unwrap();
    let again = one.local_copy(&key()).await.unwrap();
    assert_eq!(std::fs::read(again.path()).unwrap(), vec![7; MIB]);
    drop(again);
    let other = open(server.options.clone()).await.unwrap();
    assert!(copy.path().exists(), "a second process swept what the first one uses");
    let others = other.local_copy(&key()).await.unwrap();
    assert_eq!(copies(scratch), 2);
    // As after a kill: the copy stays, its owner does not.
    std::mem::forget(others);
    drop(other);
    let third = open(server.options.clone()).await.unwrap();
    assert_eq!(copies(scratch), 1, "what a dead process left was not swept");
    assert!(copy.path().exists());
    drop((copy, one, third));
    assert_eq!(copies(scratch), 0);
}

/// The most memory this process has ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_large_file_passes_through_little_memory() {
    let (objects, _tidied) = bucket().await;
    // Another key: this server keeps the checksum of what stood there before.
    let other = ObjectKey::upload(WorkspaceId(Uuid::from_u128(1)), Uuid::from_u128(3));
    objects.put(&other, mebibytes(1), NO_LIMIT).await.unwrap();
    let before = peak_kib();
    let begun = Instant::now();
    let stored = objects.put(&key(), mebibytes(200), NO_LIMIT).await.unwrap();
    let put = (begun.elapsed(), peak_kib() - before);
    assert_eq!(stored.size_bytes, 200 << 20);
    let begun = Instant::now();
    let mut got = objects.get(&key(), 0).await.unwrap();
    let mut size = 0;
    while let Some(piece) = got.try_next().await.unwrap() {
        size += piece.len();
    }
    let get = begun.elapsed();
    assert_eq!(size, 200 * MIB);
    let grown_kib = peak_kib() - before;
    println!(
        "200 MiB: put in {:?} with {} KiB more, got in {get:?}, {grown_kib} KiB more in all",
        put.0, put.1
    );
    // Three parts of 8 MiB, and as much again of what the allocator keeps.
    assert!(grown_kib < 48 << 10, "{grown_kib} KiB");
}

fn copies(scratch: &Path) -> usize {
    let slots = std::fs::read_dir(scratch).unwrap().map(|entry| entry.unwrap().path());
    slots.filter(|slot| slot.is_dir()).map(|slot| std::fs::read_dir(slot).unwrap().count()).sum()
}
