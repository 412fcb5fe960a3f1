//! What the cases need again and again: a store with a workspace, ids, a clock, and
//! short ways through acceptance, claim and ingestion.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use quaestor_core::clock::{Clock, ManualClock, Time};
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::ids::{
    ChunkId, CollectionId, ConversationId, DocumentId, GenerationId, IdSource, JobId, PrincipalId,
    WorkspaceId,
};
use quaestor_core::jobs::{ChatPayload, JobKind, NewJob, Step};
use quaestor_core::parsed::ParsedChunk;
use quaestor_core::ports::store::{
    AcceptQuestion, AcceptUpload, AcceptedQuestion, AcceptedUpload, Advance, Claim, ClaimOutcome,
    ClaimRequest, Claimed, IngestSubject, NewAuditEntry, NewChunk, NewCollection, NewConversation,
    NewFile, NewPage, NewWorkspace, OutboxRow, ParsedSummary, ScopeFilter, SearchScope, Store,
    UploadTo,
};
use sha2::{Digest, Sha256};

use super::checks::Damage;

/// Counts rows that belong to documents; for a look behind the port after a deletion.
pub type Leftovers = Box<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>;

/// Does damage to a store behind its port; false where such a thing cannot happen to it.
pub type Harm = Box<dyn Fn(Damage) -> BoxFuture<'static, bool> + Send + Sync>;

/// A store without any rows, as a backend's test makes it.
pub struct EmptyStore {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What must live as long as the store: a folder, a schema.
    pub keep: Box<dyn Any + Send + Sync>,
    /// Names the tables that still hold something of a document, if the backend can tell.
    pub leftovers: Option<Leftovers>,
    /// Does damage, if the backend can do it to itself.
    pub harm: Option<Harm>,
}

impl fmt::Debug for EmptyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmptyStore").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A store with one workspace and one principal.
#[derive(Debug)]
pub struct Fixture {
    /// The store under test.
    pub store: Arc<dyn Store>,
    /// The time that the cases hand in.
    pub clock: ManualClock,
    /// Where ids come from.
    pub ids: IdSource,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who acts.
    pub principal: PrincipalId,
    empty: EmptyStore,
}

/// How long a claim of the fixture lasts.
pub const LEASE: Duration = Duration::from_secs(30);
/// The length of the fixture's vectors.
pub const DIMENSIONS: u32 = 8;

impl Fixture {
    /// A fixture over an empty store.
    pub async fn over(empty: EmptyStore) -> Self {
        let clock = ManualClock::at_millis(1_700_000_000_000);
        let ids = IdSource::new(Arc::new(clock.clone()), Arc::new(SeededEntropy::new(11)));
        let mut fixture = Self {
            store: Arc::clone(&empty.store),
            workspace: ids.next(),
            principal: ids.next(),
            clock,
            ids,
            empty,
        };
        fixture.workspace = fixture.new_workspace().await;
        fixture
    }

    /// One more workspace.
    pub async fn new_workspace(&self) -> WorkspaceId {
        let id = self.id();
        let workspace = NewWorkspace { id, name: "acme".to_owned(), created_at: self.now() };
        self.store.create_workspace(workspace).await.expect("a workspace is made");
        id
    }

    /// A new id.
    pub fn id<T: From<uuid::Uuid>>(&self) -> T {
        self.ids.next()
    }

    /// The moment it is now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Says which tables still hold something of a document.
    pub async fn leftovers(&self) -> Vec<String> {
        match &self.empty.leftovers {
            Some(look) => look().await,
            None => Vec::new(),
        }
    }

    /// Does damage to the store. False where such a thing cannot happen to it.
    pub async fn harm(&self, damage: Damage) -> bool {
        match &self.empty.harm {
            Some(harm) => harm(damage).await,
            None => false,
        }
    }

    /// An entry for the audit log.
    pub fn audit(&self, action: &'static str) -> NewAuditEntry {
        NewAuditEntry {
            id: self.id(),
            principal_id: self.principal,
            action,
            subject: "it".to_owned(),
            at: self.now(),
        }
    }

    /// A new collection.
    pub async fn collection(&self, name: &str) -> CollectionId {
        self.collection_in(self.workspace, name).await
    }

    /// A new collection of a workspace.
    pub async fn collection_in(&self, workspace: WorkspaceId, name: &str) -> CollectionId {
        let new = NewCollection { id: self.id(), name: name.to_owned(), created_at: self.now() };
        let made = self.store.create_collection(workspace, new, self.audit("collection.create"));
        made.await.expect("a collection is made").id
    }

    /// A job to be accepted.
    pub fn job(&self, kind: JobKind, step: Step) -> NewJob {
        NewJob {
            held_until: None,
            id: self.id(),
            kind,
            step,
            principal_id: self.principal,
            payload: serde_json::Value::Null,
            batch_id: None,
            outbox_id: self.id(),
            created_at: self.now(),
            deadline: None,
            traceparent: Some("00-trace".to_owned()),
        }
    }

    /// A file with these bytes.
    pub fn file(&self, filename: &str, bytes: &str) -> NewFile {
        let document_id: DocumentId = self.id();
        NewFile {
            document_id,
            filename: filename.to_owned(),
            media_type: "application/octet-stream".to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
            object_key: format!("objects/{}", self.id::<JobId>()),
            job: self.job(JobKind::Documents, Step::DocumentsIngest),
        }
    }

    /// An upload, not yet accepted.
    pub fn upload_of(&self, collection: CollectionId, files: Vec<NewFile>) -> AcceptUpload {
        AcceptUpload {
            batch_id: self.id(),
            to: UploadTo::New,
            collection_id: collection,
            files,
            idempotency: None,
            audit: self.audit("document.upload"),
        }
    }

    /// Uploads one file.
    pub async fn upload(
        &self,
        collection: CollectionId,
        filename: &str,
        bytes: &str,
    ) -> AcceptedUpload {
        self.upload_in(self.workspace, collection, filename, bytes).await
    }

    /// Uploads one file to a workspace.
    pub async fn upload_in(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        filename: &str,
        bytes: &str,
    ) -> AcceptedUpload {
        let upload = self.upload_of(collection, vec![self.file(filename, bytes)]);
        let accepted = self.store.accept_upload(workspace, upload).await;
        accepted.expect("an upload is accepted").expect("the collection is there")
    }

    /// The messages that are due, for a look: they are not held.
    pub async fn due(&self, now: Time, limit: u32) -> Vec<OutboxRow> {
        let taken = self.store.outbox_take(now, Time::UNIX_EPOCH, limit).await;
        taken.expect("the outbox is read")
    }

    /// The message of a job, as long as it is not sent.
    pub async fn message_of(&self, job: JobId) -> Option<OutboxRow> {
        let far = self.now() + chrono::TimeDelta::days(365);
        self.due(far, 1_000).await.into_iter().find(|row| row.envelope.job_id == job)
    }

    /// A wish to claim what a message brings.
    pub fn wish(&self, row: &OutboxRow) -> ClaimRequest {
        ClaimRequest {
            job_id: row.envelope.job_id,
            step: row.envelope.step,
            outbox_id: row.envelope.outbox_id,
            worker: self.id(),
            now: self.now(),
            lease_until: self.now() + LEASE,
        }
    }

    /// Claims the step that a job is at.
    pub async fn claim(&self, job: JobId) -> Claimed {
        self.claim_in(self.workspace, job).await
    }

    /// Claims the step that a workspace's job is at.
    pub async fn claim_in(&self, workspace: WorkspaceId, job: JobId) -> Claimed {
        let message = self.message_of(job).await.expect("the job has a message");
        match self.store.claim(workspace, self.wish(&message)).await.expect("a claim is answered") {
            ClaimOutcome::Claimed(claimed) => *claimed,
            other => panic!("not claimed: {other:?}"),
        }
    }

    /// The next step of a job.
    pub fn advance(&self, step: Step, payload: serde_json::Value) -> Advance {
        Advance { step, payload, outbox_id: self.id(), due_at: self.now(), kept: None }
    }

    /// A chunk of a version; its text and its terms are the same.
    pub fn chunk(&self, document: DocumentId, version: u32, ordinal: u32, text: &str) -> NewChunk {
        NewChunk {
            id: ChunkId::derive(document, version, ordinal),
            chunk: ParsedChunk {
                ordinal,
                page_ordinal: 0,
                char_start: 0,
                char_end: u32::try_from(text.chars().count()).expect("a short text"),
                section: "Section".to_owned(),
                header: String::new(),
                text: text.to_owned(),
                is_table: false,
                cells: None,
            },
            index_terms: text.to_owned(),
            tokens: 7,
        }
    }

    /// The first page of a document.
    pub fn page(&self, text: &str) -> NewPage {
        NewPage {
            ordinal: 0,
            number: Some(1),
            label: None,
            text: text.to_owned(),
            boxes: vec![1, 2, 3],
            missing: None,
        }
    }

    /// What a parser tells of a version.
    pub fn summary(&self, chunks: usize) -> ParsedSummary {
        ParsedSummary {
            media_type: "text/plain".to_owned(),
            title: Some("Title".to_owned()),
            document_date: None,
            pages: 1,
            chunks: u32::try_from(chunks).expect("few chunks"),
            warning: None,
            parser: "text 1".to_owned(),
        }
    }

    /// Claims the job of an upload's first file and reads its subject.
    pub async fn begin(
        &self,
        workspace: WorkspaceId,
        upload: &AcceptedUpload,
    ) -> (Claim, IngestSubject) {
        let item = &upload.items[0];
        let claimed = self.claim_in(workspace, item.job_id).await;
        let payload: quaestor_core::jobs::DocumentPayload =
            serde_json::from_value(claimed.payload.clone()).expect("the store wrote the payload");
        let subject = self.store.ingest_subject(workspace, item.document_id, payload.version).await;
        let subject = subject.expect("the subject is read").expect("the subject is there");
        self.store.begin_ingest(workspace, &claimed.claim, &subject).await.expect("it begins");
        (claimed.claim, subject)
    }

    /// Uploads a file whose chunks are these texts and makes it searchable by words.
    pub async fn ingest(
        &self,
        collection: CollectionId,
        filename: &str,
        texts: &[&str],
    ) -> DocumentId {
        self.ingest_in(self.workspace, collection, filename, texts).await
    }

    /// The same in a given workspace.
    pub async fn ingest_in(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
        filename: &str,
        texts: &[&str],
    ) -> DocumentId {
        let upload = self.upload_in(workspace, collection, filename, &texts.join("\n")).await;
        self.finish_upload(workspace, &upload, texts, None).await;
        upload.items[0].document_id
    }

    /// Parses an accepted upload into these texts; without a next step its job ends.
    pub async fn finish_upload(
        &self,
        workspace: WorkspaceId,
        upload: &AcceptedUpload,
        texts: &[&str],
        next: Option<Advance>,
    ) {
        let (claim, subject) = self.begin(workspace, upload).await;
        self.save(workspace, &claim, &subject, texts).await;
        self.store
            .finish_ingest(workspace, &claim, &subject, self.summary(texts.len()), next, self.now())
            .await
            .expect("the ingestion is finished");
    }

    /// Stores a page and these chunks.
    pub async fn save(
        &self,
        workspace: WorkspaceId,
        claim: &Claim,
        subject: &IngestSubject,
        texts: &[&str],
    ) {
        let chunks = (0..)
            .zip(texts)
            .map(|(ordinal, text)| self.chunk(subject.document_id, subject.version, ordinal, text));
        self.store
            .save_parsed(
                workspace,
                claim,
                subject,
                vec![self.page(&texts.join("\n"))],
                chunks.collect(),
            )
            .await
            .expect("pages and chunks are stored");
    }

    /// Uploads a file whose chunks have these vectors, and makes it searchable by both.
    pub async fn embed(
        &self,
        collection: CollectionId,
        filename: &str,
        vectors: &[[f32; DIMENSIONS as usize]],
    ) -> (DocumentId, GenerationId) {
        let generation = self.generation(self.workspace, collection).await;
        let texts: Vec<String> =
            (0..vectors.len()).map(|place| format!("{filename} chunk {place}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let upload = self.upload(collection, filename, &texts.join("\n")).await;
        let next = self.advance(Step::DocumentsEmbed, serde_json::json!({}));
        self.finish_upload(self.workspace, &upload, &texts, Some(next)).await;
        let document = upload.items[0].document_id;
        let claim = self.claim(upload.items[0].job_id).await.claim;
        let version = self.version_of(document).await;
        let vectors = (0..)
            .zip(vectors)
            .map(|(ordinal, vector)| (ChunkId::derive(document, version, ordinal), vector.to_vec()))
            .map(Into::into)
            .collect();
        self.store
            .save_vectors(self.workspace, &claim, generation, vectors, 1, &[])
            .await
            .expect("vectors are stored");
        self.store
            .finish_embed(self.workspace, &claim, document, version, self.now())
            .await
            .expect("the embedding is finished");
        (document, generation)
    }

    /// The newest version of a document.
    pub async fn version_of(&self, document: DocumentId) -> u32 {
        let found = self.store.document(self.workspace, document).await;
        found.expect("a document is read").expect("the document is there").version
    }

    /// The collection's generation.
    pub async fn generation(
        &self,
        workspace: WorkspaceId,
        collection: CollectionId,
    ) -> GenerationId {
        let made = self
            .store
            .current_generation(workspace, collection, "model", DIMENSIONS, self.id(), self.now())
            .await;
        made.expect("a generation is found").expect("it is this model's").id
    }

    /// A scope over collections, not narrowed.
    pub fn scope(&self, collections: &[CollectionId]) -> SearchScope {
        SearchScope { collections: collections.to_vec(), filter: ScopeFilter::default() }
    }

    /// The chunks that words find, best first.
    pub async fn found(&self, scope: &SearchScope, words: &[&str]) -> Vec<ChunkId> {
        let terms: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let hits = self.store.search_text(self.workspace, scope, &terms, 50).await;
        hits.expect("the search is answered").into_iter().map(|hit| hit.chunk_id).collect()
    }

    /// A new conversation of the principal.
    pub async fn conversation(&self) -> ConversationId {
        self.conversation_over(None).await
    }

    /// A new conversation of the principal over some collections.
    pub async fn conversation_over(
        &self,
        collection_ids: Option<Vec<CollectionId>>,
    ) -> ConversationId {
        let conversation = NewConversation {
            id: self.id(),
            principal_id: self.principal,
            title: None,
            collection_ids,
            created_at: self.now(),
        };
        let id = conversation.id;
        let made = self.store.create_conversation(self.workspace, conversation).await;
        made.expect("a conversation is begun").expect("its collections are there");
        id
    }

    /// A question, not yet accepted.
    pub fn question(&self, conversation: ConversationId, content: &str) -> AcceptQuestion {
        let (message_id, answer_id) = (self.id(), self.id());
        let payload =
            ChatPayload { conversation_id: conversation, message_id, answer_id, answer_key: None };
        let payload = serde_json::to_value(&payload).expect("ids are JSON");
        AcceptQuestion {
            conversation_id: conversation,
            principal_id: self.principal,
            message_id,
            answer_id,
            content: content.to_owned(),
            job: NewJob { payload, ..self.job(JobKind::Chat, Step::ChatRetrieve) },
            idempotency: None,
            audit: self.audit("question.ask"),
        }
    }

    /// Asks a question.
    pub async fn ask(&self, conversation: ConversationId, content: &str) -> AcceptedQuestion {
        let question = self.question(conversation, content);
        let accepted = self.store.accept_question(self.workspace, question).await;
        accepted.expect("a question is accepted").expect("the conversation is there")
    }
}
