//! A front over real backends in a scratch folder, with two workspaces that hold the
//! same kinds of things.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use quaestor_backends::event_log::memory::{Bounds, MemoryEventLog};
use quaestor_backends::limits::memory::MemoryLimits;
use quaestor_backends::noticeboard::memory::MemoryNoticeboard;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::queue::memory::MemoryQueue;
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_backends::tickets::memory::MemoryTickets;
use quaestor_core::api_key;
use quaestor_core::budgets::{Budgets, DefaultBudgets};
use quaestor_core::clock::{Clock, ManualClock, SystemClock};
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::events::Event;
use quaestor_core::ids::{IdSource, JobId, PrincipalId, WorkspaceId};
use quaestor_core::model::{Failure, Role, Timing};
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::limits::Quota;
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::ModelError;
use quaestor_core::ports::store::{
    Claim, ClaimOutcome, ClaimRequest, NewAuditEntry, NewKey, NewWorkspace, ScheduleOffer, Store,
    Switch,
};
use quaestor_core::problem::Problem;
use quaestor_core::retrieval::Searcher;
use quaestor_core::schedule::Missed;
use quaestor_core::wake::Wake;
use quaestor_front::{Front, FrontSettings, Offer, Quotas, Stop};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// A model whose vectors are all the same.
#[derive(Debug)]
struct Eight;

#[async_trait]
impl Embedder for Eight {
    fn model(&self) -> &'static str {
        "eight"
    }

    fn dimensions(&self) -> u32 {
        8
    }

    async fn embed(
        &self,
        _: EmbedKind,
        texts: &[String],
        _: &CallScope,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(texts.iter().map(|_| vec![0.35; 8]).collect())
    }
}

/// A key and who acts with it.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) token: String,
    pub(crate) workspace: WorkspaceId,
    pub(crate) principal: PrincipalId,
}

/// One workspace with a key of each role.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) admin: Actor,
    pub(crate) member: Actor,
    pub(crate) viewer: Actor,
    pub(crate) auditor: Actor,
}

impl Tenant {
    pub(crate) fn of(&self, role: Role) -> &Actor {
        match role {
            Role::Admin => &self.admin,
            Role::Member => &self.member,
            Role::Viewer => &self.viewer,
            Role::Auditor => &self.auditor,
        }
    }
}

/// Ids of one principal's things.
#[derive(Clone, Debug)]
pub(crate) struct Things {
    pub(crate) collection: String,
    pub(crate) document: String,
    pub(crate) conversation: String,
    pub(crate) answer: String,
    pub(crate) job: String,
    /// An export, where a dead job was asked for.
    pub(crate) export: String,
    pub(crate) key: String,
    pub(crate) principal: String,
    /// A batch that is open.
    pub(crate) batch: String,
    /// A job that is dead, where one was asked for.
    pub(crate) dead: String,
}

/// The front and its backends.
pub(crate) struct World {
    pub(crate) front: Arc<Front>,
    pub(crate) router: axum::Router,
    pub(crate) objects: PathBuf,
    pub(crate) clock: Option<ManualClock>,
    pub(crate) a: Tenant,
    pub(crate) b: Tenant,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn field(&self) -> String {
        self.json()["field"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) fn generous() -> FrontSettings {
    let much = Quota { burst: 100_000, per_minute: 100_000 };
    FrontSettings {
        quotas: Quotas {
            read: much,
            write: much,
            ask: much,
            search: much,
            upload: much,
            admin: much,
            socket: much,
            wrong_keys: much,
            denied_audit: much,
        },
        models: vec!["offline".to_owned()],
        ..FrontSettings::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(generous(), None).await
    }

    pub(crate) async fn with_manual_clock(settings: FrontSettings) -> Self {
        Self::with(settings, Some(ManualClock::at_millis(1_800_000_000_000))).await
    }

    pub(crate) async fn with(settings: FrontSettings, manual: Option<ManualClock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = match &manual {
            Some(clock) => Arc::new(clock.clone()),
            None => Arc::new(SystemClock),
        };
        let entropy = Arc::new(SeededEntropy::new(7));
        let ids = IdSource::new(clock.clone(), entropy.clone());
        let database = folder.path().join("quaestor.db");
        let store: Arc<dyn Store> = Arc::new(
            SqliteStore::open(database.to_str().unwrap(), SqliteOptions::default()).await.unwrap(),
        );
        let front = Arc::new(Front {
            store: store.clone(),
            queue: Arc::new(MemoryQueue::new(1_000)),
            events: Arc::new(MemoryEventLog::new(clock.clone(), Bounds::default())),
            objects: Arc::new(LocalObjects::open(&folder.path().join("files")).await.unwrap()),
            limits: Arc::new(MemoryLimits::new(clock.clone())),
            noticeboard: Arc::new(MemoryNoticeboard::new(clock.clone())),
            tickets: Arc::new(MemoryTickets::new(clock.clone())),
            searcher: Searcher::new(store.clone(), Some(Arc::new(Eight) as Arc<dyn Embedder>)),
            budgets: Budgets::new(store.clone(), clock.clone(), DefaultBudgets::default()),
            clock,
            ids,
            entropy,
            wake: Wake::default(),
            metrics: Arc::new(|| "up 1\n".to_owned()),
            settings,
        });
        let a = tenant(&front, "a").await;
        let b = tenant(&front, "b").await;
        let router = quaestor_front::router(front.clone());
        let objects = folder.path().join("files").join("objects");
        Self { front, router, objects, clock: manual, a, b, _folder: folder }
    }

    /// The same store with an event log that knows nothing.
    pub(crate) fn with_lost_events(&self) -> axum::Router {
        let events = MemoryEventLog::new(self.front.clock.clone(), Bounds::default());
        self.router_with(|front| front.events = Arc::new(events))
    }

    /// Another front over the same backends, but for what is changed.
    pub(crate) fn router_with(&self, change: impl FnOnce(&mut Front)) -> axum::Router {
        let mut front = Front {
            store: self.front.store.clone(),
            queue: self.front.queue.clone(),
            events: self.front.events.clone(),
            objects: self.front.objects.clone(),
            limits: self.front.limits.clone(),
            noticeboard: self.front.noticeboard.clone(),
            tickets: self.front.tickets.clone(),
            searcher: self.front.searcher.clone(),
            budgets: self.front.budgets.clone(),
            clock: self.front.clock.clone(),
            ids: self.front.ids.clone(),
            entropy: self.front.entropy.clone(),
            wake: self.front.wake.clone(),
            metrics: self.front.metrics.clone(),
            settings: self.front.settings.clone(),
        };
        change(&mut front);
        quaestor_front::router(Arc::new(front))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        send_to(&self.router, request).await
    }

    pub(crate) async fn get(&self, who: &Actor, path: &str) -> Reply {
        self.send(request("GET", path, Some(who), None)).await
    }

    pub(crate) async fn delete(&self, who: &Actor, path: &str) -> Reply {
        self.send(request("DELETE", path, Some(who), None)).await
    }

    pub(crate) async fn post(&self, who: &Actor, path: &str, body: Value) -> Reply {
        self.send(request("POST", path, Some(who), Some(body))).await
    }

    /// Makes one of each thing for a principal.
    pub(crate) async fn things(&self, who: &Actor, tenant: &Tenant) -> Things {
        let name = format!("c-{}", self.front.ids.next::<uuid::Uuid>());
        let made = self.post(&tenant.member, "/api/collections", json!({ "name": name })).await;
        let collection = text(&made.json(), "id");
        let file = format!("fund facts {name}");
        let upload = upload_body(Some(&collection), &[("facts.txt", file.as_bytes())]);
        let uploaded = self.send(multipart(&tenant.member, "/api/documents", upload)).await;
        assert_eq!(uploaded.status, 202, "{}", uploaded.text());
        let document = text(&uploaded.json()["items"][0], "document_id");
        let body = json!({ "title": "t", "collection_ids": [collection] });
        let made = self.post(who, "/api/conversations", body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let conversation = text(&made.json(), "id");
        let asked = self.ask(who, &conversation).await;
        let made =
            self.post(&tenant.admin, "/api/admin/keys", json!({"name": "k", "role": "viewer"}));
        let key = text(&made.await.json(), "id");
        let (owner, named) = match who.token == tenant.viewer.token {
            // Who may not write has none: somebody else's stands for it.
            true => (&tenant.admin, json!({ "name": "files" })),
            false => (who, json!({ "name": "files" })),
        };
        let batch = text(&self.post(owner, "/api/batches", named).await.json(), "id");
        Things {
            batch,
            dead: String::new(),
            collection,
            document,
            conversation,
            answer: text(&asked, "answer_id"),
            job: text(&asked, "job_id"),
            export: String::new(),
            key,
            principal: who.principal.to_string(),
        }
    }

    /// The same with an export, a template named `house`, and a job that is dead.
    pub(crate) async fn things_and_dead(&self, who: &Actor, tenant: &Tenant) -> Things {
        let things = self.things(who, tenant).await;
        let dead = text(&self.ask(who, &things.conversation).await, "job_id");
        self.bury(who, &dead).await;
        let body = json!({ "conversation_id": things.conversation, "format": "md" });
        let exported = self.post(who, "/api/exports", body).await;
        assert_eq!(exported.status, 202, "{}", exported.text());
        let export = text(&exported.json(), "export_id");
        let (template, body) = ("/api/export-templates/house", json!({ "source": "x" }));
        let made = self.send(request("PUT", template, Some(&tenant.admin), Some(body))).await;
        assert_eq!(made.status, 200, "{}", made.text());
        Things { dead, export, ..things }
    }

    /// Has a job that is queued die, as a worker does.
    pub(crate) async fn bury(&self, who: &Actor, job: &str) {
        let now = self.front.clock.now();
        let claim = self.claim(who, job).await;
        let failure = Failure {
            code: "model_malformed".to_owned(),
            detail: "the model sent nonsense".to_owned(),
            causes: vec!["of 10.0.0.1".to_owned()],
            step: claim.step,
            attempt: claim.attempt,
            worker_id: None,
            at: now,
            since: None,
        };
        let problem = Problem::new("too_many_attempts", "The job was given up", "nonsense");
        let store = &self.front.store;
        let told = problem.clone();
        store.bury(who.workspace, &claim, problem, Some(failure), &[], now).await.unwrap();
        let failed = vec![Event::Failed { problem: told }];
        self.front.events.append(who.workspace, claim.job_id, 1, failed).await.unwrap();
    }

    /// Brings about what an operation on a collection's generations or on schedules needs to be
    /// there.
    pub(crate) async fn ready_for(&self, operation: &str, own: &Things) {
        if operation.contains("schedule") {
            self.schedule(own, operation.ends_with("schedule_run")).await;
        }
        let (admin, path) = (&self.a.admin, format!("/api/collections/{}/reindex", own.collection));
        let needs_former = ["roll_back_reindex", "drop_former_generation"].contains(&operation);
        let needs_building =
            ["pause_reindex", "resume_reindex", "cancel_reindex"].contains(&operation);
        for _ in 0..(2 * u8::from(needs_former) + u8::from(needs_building)) {
            let begun = self.post(admin, &path, json!({})).await;
            assert_eq!(begun.status, 202, "{}", begun.text());
            if needs_former {
                let generation = text(&begun.json(), "generation_id").parse().unwrap();
                let claim = self.claim(admin, &text(&begun.json(), "job_id")).await;
                let (store, now) = (&self.front.store, self.front.clock.now());
                let switched = store.switch_generation(admin.workspace, &claim, generation, 0, now);
                assert_eq!(switched.await.unwrap(), Switch::Done);
            }
        }
    }

    /// A schedule, and a run of it under the id of a job.
    async fn schedule(&self, own: &Things, with_run: bool) {
        let (store, now) = (&self.front.store, self.front.clock.now());
        let offer = ScheduleOffer {
            name: "house".to_owned(),
            task: "check".to_owned(),
            options: json!({}),
            timing: Timing {
                cron: "0 3 * * *".to_owned(),
                zone: "UTC".to_owned(),
                missed: Missed::RunOnce,
            },
            enabled: true,
        };
        store.offer_schedules(&[offer], now).await.unwrap();
        if with_run {
            let admin = &self.a.admin;
            let entry = NewAuditEntry {
                id: self.front.ids.next(),
                principal_id: admin.principal,
                action: "schedule.run",
                subject: "house".to_owned(),
                at: now,
            };
            let (id, audit) = (own.job.parse().unwrap(), (admin.workspace, entry));
            store.ask_run("house", id, json!({}), audit, now).await.unwrap();
        }
    }

    /// Claims the step that a queued job is at.
    async fn claim(&self, who: &Actor, job: &str) -> Claim {
        let (job, now): (JobId, _) = (job.parse().unwrap(), self.front.clock.now());
        let later = now + std::time::Duration::from_secs(3_600);
        let due = self.front.store.outbox_take(later, now, 1_000).await.unwrap();
        let message = due.into_iter().find(|row| row.envelope.job_id == job).unwrap().envelope;
        let wish = ClaimRequest {
            job_id: job,
            step: message.step,
            outbox_id: message.outbox_id,
            worker: self.front.ids.next(),
            now,
            lease_until: later,
        };
        let claimed = self.front.store.claim(who.workspace, wish).await.unwrap();
        let ClaimOutcome::Claimed(claimed) = claimed else { panic!("{claimed:?}") };
        claimed.claim
    }

    pub(crate) async fn ask(&self, who: &Actor, conversation: &str) -> Value {
        let path = format!("/api/conversations/{conversation}/messages");
        let asked = self.post(who, &path, json!({ "content": "What was the net income?" })).await;
        assert_eq!(asked.status, 202, "{}", asked.text());
        let asked = asked.json();
        self.tell_queued(who, &text(&asked, "job_id")).await;
        asked
    }

    /// Tells that a job is queued, as the relay does that is not here.
    pub(crate) async fn tell_queued(&self, who: &Actor, job: &str) {
        let job: JobId = job.parse().unwrap();
        let queued = vec![quaestor_core::events::Event::Queued];
        self.front.events.append(who.workspace, job, 0, queued).await.unwrap();
    }

    /// Appends events of one attempt.
    pub(crate) async fn append(
        &self,
        who: &Actor,
        job: &str,
        events: Vec<quaestor_core::events::Event>,
    ) {
        let job: JobId = job.parse().unwrap();
        self.front.events.append(who.workspace, job, 1, events).await.unwrap();
    }

    /// Serves on a loopback port.
    pub(crate) async fn serve(&self) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
        let serving = quaestor_front::serve(
            listener,
            self.front.clone(),
            Offer::Everything,
            Stop { leave: shutdown.clone(), close: shutdown.clone(), ..Stop::default() },
            tracker.clone(),
        );
        tracker.spawn(async move { serving.await.unwrap() });
        Server { address, shutdown, tracker }
    }

    /// How many files stand in the object store.
    pub(crate) fn stored_files(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
            entries
                .map(|entry| entry.unwrap().path())
                .map(|path| if path.is_dir() { count(&path) } else { 1 })
                .sum()
        }
        count(&self.objects)
    }
}

/// A front that listens.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) async fn send_to(router: &axum::Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap().to_vec();
    Reply { status: parts.status, headers: parts.headers, body }
}

pub(crate) fn request(
    method: &str,
    path: &str,
    who: Option<&Actor>,
    body: Option<Value>,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(who) = who {
        request = request.header("authorization", format!("Bearer {}", who.token));
    }
    match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap(),
        None => request.body(Body::empty()).unwrap(),
    }
}

const BOUNDARY: &str = "quaestor-test-boundary";

/// A multipart body: the collection, then the files.
pub(crate) fn upload_body(collection: Option<&str>, files: &[(&str, &[u8])]) -> Vec<u8> {
    upload_body_to(collection, None, files)
}

pub(crate) fn upload_body_to(
    collection: Option<&str>,
    batch: Option<&str>,
    files: &[(&str, &[u8])],
) -> Vec<u8> {
    let mut body = Vec::new();
    for (field, value) in [("collection_id", collection), ("batch_id", batch)] {
        let Some(value) = value else { continue };
        body.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
    }
    for (name, bytes) in files {
        body.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\n"
            )
            .bytes(),
        );
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    body
}

pub(crate) fn multipart(who: &Actor, path: &str, body: Vec<u8>) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri(path)
        .header("authorization", format!("Bearer {}", who.token))
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"))
        .body(Body::from(body))
        .unwrap()
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}")).to_owned()
}

async fn tenant(front: &Front, name: &str) -> Tenant {
    let workspace: WorkspaceId = front.ids.next();
    let created_at = front.clock.now();
    let new = NewWorkspace { id: workspace, name: name.to_owned(), created_at };
    front.store.create_workspace(new).await.unwrap();
    let mut actors = Vec::new();
    for role in [Role::Admin, Role::Member, Role::Viewer, Role::Auditor] {
        let key = api_key::generate(front.entropy.as_ref());
        let principal: PrincipalId = front.ids.next();
        let audit = NewAuditEntry {
            id: front.ids.next(),
            principal_id: principal,
            action: "key.create",
            subject: String::new(),
            at: created_at,
        };
        let new = NewKey {
            id: front.ids.next(),
            principal_id: principal,
            name: role.to_string(),
            role,
            prefix: key.prefix.clone(),
            secret_sha256: key.sha256,
            created_at,
        };
        front.store.create_key(workspace, new, audit).await.unwrap();
        let token = key.token.expose_secret().to_owned();
        actors.push(Actor { token, workspace, principal });
    }
    let mut actors = actors.into_iter();
    let mut next = || actors.next().unwrap();
    Tenant { admin: next(), member: next(), viewer: next(), auditor: next() }
}
