//! A store with something in every table and every state, in two workspaces.

use std::time::Duration;

use quaestor_core::ids::{ConversationId, DocumentId, GenerationId, JobId, WorkspaceId};
use quaestor_core::jobs::{JobKind, Step};
use quaestor_core::model::{
    Budget, Citation, ExportFormat, ExportSelection, Figure, FigureStatus, JobState, Role, Usage,
};
use quaestor_core::ports::model_call::CallOutcome;
use quaestor_core::ports::store::{
    AcceptExport, Answer, CallsOf, ExportAcceptance, IdempotencyKey, NewFeedback, NewKey,
    NewTemplate, PutOff, RetrievedPassage,
};
use quaestor_core::problem::Problem;

use super::fixture::Fixture;

/// What a workspace was furnished with.
#[derive(Clone, Debug)]
pub struct Furnished {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The prefix of its key.
    pub prefix: String,
    /// A document with vectors, whose first version was replaced.
    pub embedded: DocumentId,
    /// Its collection's vectors.
    pub generation: GenerationId,
    /// A document of more chunks than are moved at once.
    pub long: DocumentId,
    /// A job that a worker holds.
    pub running: JobId,
    /// A job that waits until it is due.
    pub waiting: JobId,
}

/// How many chunks the long document has.
pub const LONG: usize = 1_100;

/// Furnishes the fixture's workspace and one more.
pub async fn furnish(f: &mut Fixture) -> [Furnished; 2] {
    let first = workspace(f, "canary-of-the-first").await;
    f.pass(Duration::from_secs(1));
    f.workspace = f.new_workspace().await;
    let second = workspace(f, "canary-of-the-second").await;
    f.workspace = first.workspace;
    [first, second]
}

async fn workspace(f: &Fixture, canary: &str) -> Furnished {
    let prefix = format!("key-{}", f.workspace);
    let key = NewKey {
        id: f.id(),
        principal_id: f.principal,
        name: format!("{canary} \u{1f511}\u{202e}\0 key"),
        role: Role::Member,
        prefix: prefix.clone(),
        secret_sha256: [7; 32],
        created_at: f.now(),
    };
    let made = f.store.create_key(f.workspace, key, f.audit("key.create")).await.unwrap();
    f.store
        .revoke_key(f.workspace, made.id, f.now(), f.audit("key.revoke"))
        .await
        .unwrap()
        .unwrap();

    let filings = f.collection("filings").await;
    let (embedded, generation) = f.embed(filings, "a.txt", &[[0.25; 8], [0.5; 8]]).await;
    let odd = [0.1, -0.0, 1e-40, f32::MIN_POSITIVE, 0.333_333_34, -1.0, 65_000.0, 7.389_056];
    f.embed(filings, "a.txt", &[odd, [1.0; 8], [-0.5; 8]]).await;
    let texts: Vec<String> = (0..LONG).map(|n| format!("{canary} word{n} \0 naïve 漢字")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let long = f.ingest(filings, &format!("{canary}.txt"), &texts).await;
    let gone = f.ingest(filings, "gone.txt", &["gone"]).await;
    let audit = f.audit("document.delete");
    f.store.delete_document(f.workspace, gone, f.now(), audit).await.unwrap().unwrap();
    f.collection("empty \0 one").await;
    failed_document(f, filings).await;
    let running = half_parsed_document(f, filings).await;
    let waiting = jobs(f, filings).await;
    chats(f, embedded).await;
    Furnished { workspace: f.workspace, prefix, embedded, generation, long, running, waiting }
}

async fn failed_document(f: &Fixture, collection: quaestor_core::ids::CollectionId) {
    let upload = f.upload(collection, "bad.pdf", "bad").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    let problem = Problem::new("no_text", "No text", "It has no text.");
    f.store.fail_ingest(f.workspace, &claim, &subject, problem, f.now()).await.unwrap();
}

/// A worker has begun a document, stored some of it, and holds its job.
async fn half_parsed_document(f: &Fixture, collection: quaestor_core::ids::CollectionId) -> JobId {
    let upload = f.upload(collection, "half.txt", "half").await;
    let (claim, subject) = f.begin(f.workspace, &upload).await;
    f.save(f.workspace, &claim, &subject, &["one half"]).await;
    claim.job_id
}

/// Jobs in the states that documents do not give.
async fn jobs(f: &Fixture, collection: quaestor_core::ids::CollectionId) -> JobId {
    let upload = f.upload(collection, "queued.txt", "queued").await;
    let sent = f.message_of(upload.items[0].job_id).await.unwrap().envelope.outbox_id;
    f.store.outbox_sent(&[sent], f.now()).await.unwrap();
    let upload = f.upload(collection, "cancelled.txt", "cancelled").await;
    let audit = f.audit("job.cancel");
    let job = upload.items[0].job_id;
    f.store.request_cancel(f.workspace, None, job, f.now(), audit).await.unwrap().unwrap();
    let upload = f.upload(collection, "wanted.txt", "wanted").await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let audit = f.audit("job.cancel");
    f.store.request_cancel(f.workspace, None, claim.job_id, f.now(), audit).await.unwrap();
    let upload = f.upload(collection, "dead.txt", "dead").await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let problem = Problem::new("crashed", "Crashed", "It crashed too often.");
    f.store.fail(f.workspace, &claim, JobState::Dead, problem, &[], f.now()).await.unwrap();
    let upload = f.upload(collection, "waiting.txt", "waiting").await;
    let claim = f.claim(upload.items[0].job_id).await.claim;
    let mut next = f.advance(Step::DocumentsIngest, serde_json::json!({"again": [1, "\u{0}"]}));
    next.due_at = f.now() + Duration::from_secs(3_600);
    f.store
        .put_off(f.workspace, &claim, PutOff::after_try("provider_limit"), next, &[], f.now())
        .await
        .unwrap();
    claim.job_id
}

/// A template, and an export that it lays out.
async fn exports(f: &Fixture, conversation: ConversationId) {
    let template = NewTemplate {
        id: f.id(),
        name: "house".to_owned(),
        source: "= A \u{feff} report".to_owned(),
        created_at: f.now(),
    };
    let audit = f.audit("export_template.set");
    let made = f.store.create_export_template(f.workspace, template, 9, 9, audit).await;
    made.unwrap().unwrap();
    let export = AcceptExport {
        id: f.id(),
        principal_id: f.principal,
        format: ExportFormat::Pdf,
        selection: ExportSelection::ConversationId(conversation),
        template: Some("house".to_owned()),
        filename: "answers.pdf".to_owned(),
        job: f.job(JobKind::Exports, Step::ExportsWrite),
        idempotency: None,
        audit: f.audit("export.create"),
    };
    let accepted = f.store.accept_export(f.workspace, export).await.unwrap();
    assert!(matches!(accepted, ExportAcceptance::Accepted(_)));
}

/// A question with its answer, judged; one that is unfinished; one under a key.
async fn chats(f: &Fixture, document: DocumentId) {
    let conversation = f.conversation().await;
    let mut question = f.question(conversation, "why \0 so \u{feff}?");
    question.job = quaestor_core::jobs::NewJob {
        payload: question.job.payload,
        deadline: Some(f.now() + Duration::from_secs(300)),
        ..f.job(JobKind::Chat, Step::ChatRetrieve)
    };
    question.idempotency = Some(IdempotencyKey {
        principal_id: f.principal,
        key: "once".to_owned(),
        request_sha256: [2; 32],
        created_at: f.now(),
    });
    let asked = f.store.accept_question(f.workspace, question).await.unwrap().unwrap();
    let claim = f.claim(asked.job_id).await.claim;
    let chunk = quaestor_core::ids::ChunkId::derive(document, 2, 0);
    let found = [RetrievedPassage { chunk_id: chunk, score: 0.1 }];
    let next = f.advance(Step::ChatGenerate, serde_json::json!({}));
    f.store
        .save_retrieved(f.workspace, &claim, asked.answer_id, "why so?", &found, next)
        .await
        .unwrap();
    let claim = f.claim(asked.job_id).await.claim;
    let answer = Answer {
        content: "so [1], 12 %".to_owned(),
        citations: vec![Citation {
            ordinal: 1,
            document_id: document,
            filename: "a.txt".to_owned(),
            version: 2,
            page: Some(1),
            cell: None,
            section: Some("Section".to_owned()),
            quote: "a.txt chunk 0".to_owned(),
            char_start: 0,
            char_end: 13,
            boxes: vec![],
        }],
        figures: vec![Figure::new("12 %", FigureStatus::Unsupported, None)],
        model: "offline:x".to_owned(),
        usage: Usage { input_tokens: 3, output_tokens: 5, cost_micros: 7, ..Usage::default() },
        calls: vec![super::money::call(f, CallOutcome::Cut, 7)],
    };
    f.store.save_answer(f.workspace, &claim, asked.answer_id, answer, f.now()).await.unwrap();
    let feedback = NewFeedback {
        message_id: asked.answer_id,
        principal_id: f.principal,
        rating: -1,
        comment: Some("not \0 so".to_owned()),
        created_at: f.now(),
    };
    assert!(f.store.save_feedback(f.workspace, feedback).await.unwrap());
    let of = CallsOf { principal_id: f.principal, job: None };
    let calls = [super::money::call(f, CallOutcome::Failed, 0)];
    f.store.save_calls(f.workspace, of, &calls).await.unwrap();
    let open = super::money::begun(&super::money::call(f, CallOutcome::Done, 0));
    f.store.begin_call(f.workspace, of, open).await.unwrap();
    let budget = Budget { day_hard_micros: Some(9), ..Budget::default() };
    assert!(f.store.create_budget(f.workspace, None, budget, f.audit("budget.set")).await.unwrap());
    f.ask(conversation, "and now?").await;
    // The chain over what was done up to now ends before the last of it.
    f.pass(Duration::from_secs(1));
    assert!(f.store.seal_audit(f.workspace, f.now(), 5).await.unwrap() == 5);
    f.conversation_over(Some(vec![])).await;
    exports(f, conversation).await;
}
