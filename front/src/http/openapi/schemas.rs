//! The forms of requests and answers, for the OpenAPI document alone.
//!
//! The types that are served live in `core`, which knows no OpenAPI. Tests hold the two
//! together: each answer's fields are compared, each request's fields are tried.

#![expect(dead_code, reason = "the fields are read by the derive, to describe them")]

use chrono::{DateTime, NaiveDate, Utc};
use utoipa::openapi::schema::{AdditionalProperties, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// Every schema by its name.
pub(super) fn all() -> Vec<(&'static str, RefOr<Schema>)> {
    let mut schemas = described();
    for (name, schema) in &mut schemas {
        if let (true, RefOr::T(Schema::Object(object))) = (REQUESTS.contains(name), schema) {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    schemas
}

/// Requests refuse fields that they do not know; answers may grow.
const REQUESTS: [&str; 17] = [
    "ScheduleTiming",
    "ScheduleRunNow",
    "Reparse",
    "NewChunking",
    "Reindex",
    "NewBatch",
    "DeadDiscard",
    "DeadReplay",
    "NewCollection",
    "CollectionChange",
    "SearchRequest",
    "SearchFilters",
    "NewConversation",
    "NewMessage",
    "Feedback",
    "NewKey",
    "Budget",
];

macro_rules! schemas {
    ($($name:ident),* $(,)?) => {
        fn described() -> Vec<(&'static str, RefOr<Schema>)> {
            vec![$((stringify!($name), <$name as PartialSchema>::schema()),)*]
        }
    };
}

schemas!(
    AcceptedFile,
    AcceptedExport,
    AcceptedQuestion,
    AcceptedReindex,
    AcceptedUpload,
    AuditBreak,
    AuditCheck,
    AuditEntry,
    AuditSeal,
    AcceptedReparse,
    Batch,
    Chunking,
    NewChunking,
    Reparse,
    ToReadAgain,
    BatchExample,
    BatchItem,
    BatchProblem,
    BatchSummary,
    Budget,
    CheckResult,
    Checks,
    Chunk,
    Citation,
    Collection,
    CollectionChange,
    Conversation,
    CreatedKey,
    DeadGroup,
    DeadLetter,
    DeadMessage,
    DeadDiscard,
    DeadReplay,
    DiscardReport,
    DiscardedLetter,
    Document,
    Export,
    ExportSelection,
    ExportTemplate,
    ExportTemplateName,
    ExportTemplateVersion,
    Feedback,
    Figure,
    FigureSource,
    Derivation,
    Found,
    Generation,
    Health,
    Job,
    JobProblem,
    LastError,
    Reason,
    ReplayReport,
    ReplayedJob,
    RetriedBatch,
    ShownBatch,
    StuckWork,
    Key,
    MarkBox,
    Message,
    NewBatch,
    NewCollection,
    NewConversation,
    NewExport,
    NewExportTemplate,
    NewKey,
    NewMessage,
    Problem,
    Provider,
    ProviderSeen,
    Reindex,
    ReindexEstimate,
    Schedule,
    ScheduleRun,
    ScheduleRunNow,
    ScheduleTiming,
    SearchAnswer,
    SearchFilters,
    SearchRequest,
    SetBudget,
    Spent,
    Ticket,
    Upload,
    Usage,
    UsagePart,
);

#[derive(ToSchema)]
struct NewCollection {
    /// Unique in the workspace.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

#[derive(ToSchema)]
struct CollectionChange {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

#[derive(ToSchema)]
struct Collection {
    id: Uuid,
    name: String,
    /// Null where it is searched by words alone.
    #[schema(required = true)]
    embedding_model: Option<String>,
    documents: u64,
    created_at: DateTime<Utc>,
}

#[derive(ToSchema)]
struct Reindex {
    /// One of the models that are configured; the first of them where left out.
    #[schema(min_length = 1, max_length = 200)]
    embedding_model: Option<String>,
    /// At most so many; as many as the model makes where left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    passages_per_minute: Option<u32>,
    /// Cuts all passages anew; they stay as they are where it is left out.
    chunking: Option<NewChunking>,
}

#[derive(ToSchema)]
struct Reparse {
    /// `stale` (those that an older parser has read) or `all`; the former where left out.
    documents: Option<String>,
    /// At most so many begin in a minute; as many as workers take where left out.
    #[schema(minimum = 1, maximum = 100_000)]
    documents_per_minute: Option<u32>,
}

#[derive(ToSchema)]
struct AcceptedReparse {
    /// Null where there is nothing to read again.
    #[schema(required = true)]
    batch_id: Option<Uuid>,
    documents: u64,
    /// More than one request queues: ask again.
    remaining: u64,
}

#[derive(ToSchema)]
struct ToReadAgain {
    /// Documents that are searched.
    documents: u64,
    /// Those among them that are to be read again, and are not being read.
    stale: u64,
    /// The size of their files.
    size_bytes: u64,
    /// Their passages as they are now.
    passages: u64,
    /// Documents that are being read again now, or wait for it.
    being_read: u64,
}

/// How passages are to be cut, in characters.
#[derive(ToSchema)]
struct NewChunking {
    /// The size that passages aim at.
    #[schema(minimum = 200, maximum = 8_000)]
    target_chars: u32,
    /// No passage is longer: at least `target_chars`, and one and a half times that where it is
    /// left out.
    #[schema(minimum = 200, maximum = 12_000)]
    max_chars: Option<u32>,
}

/// How passages are cut, in characters.
#[derive(ToSchema)]
struct Chunking {
    /// The size that passages aim at.
    target_chars: u32,
    /// No passage is longer.
    max_chars: u32,
}

#[derive(ToSchema)]
struct AcceptedReindex {
    job_id: Uuid,
    generation_id: Uuid,
}

#[derive(ToSchema)]
struct ReindexEstimate {
    embedding_model: String,
    dimensions: u32,
    documents: u64,
    /// Reckoned from the lengths of those of now, where they are to be cut anew.
    passages: u64,
    chunking: Chunking,
    tokens: u64,
    /// By `models.prices`; 0 where the model has no price.
    cost_micros: u64,
    /// Null where the model has made no vectors here yet, and no rate is given.
    #[schema(required = true)]
    seconds: Option<u64>,
}

/// All vectors of a collection made by one embedding model.
#[derive(ToSchema)]
struct Generation {
    id: Uuid,
    collection_id: Uuid,
    model: String,
    dimensions: u32,
    /// `building`, `current` (the one that is searched) or `former`.
    state: String,
    created_at: DateTime<Utc>,
    /// How many vectors it has.
    passages: u64,
    /// How many passages the collection has that are searched.
    total: u64,
    #[schema(required = true)]
    paused_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    passages_per_minute: Option<u32>,
    /// The job that builds or fills it.
    #[schema(required = true)]
    job_id: Option<Uuid>,
    #[schema(required = true)]
    switched_at: Option<DateTime<Utc>>,
    chunking: Chunking,
    /// How many documents are still to be read for it.
    documents_to_read: u64,
}

#[derive(ToSchema)]
struct Upload {
    /// Stands before the first file.
    collection_id: Uuid,
    /// The batch that the files come to; one of their own where it is left out. Stands before
    /// the first file.
    batch_id: Option<Uuid>,
    /// Any number of files.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<String>,
}

/// A batch that files are added to by several uploads.
#[derive(ToSchema)]
struct NewBatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// How many files it will have: with the last of them it is complete.
    #[schema(minimum = 0, maximum = 10_000_000)]
    total: Option<u64>,
}

#[derive(ToSchema)]
struct Batch {
    id: Uuid,
    #[schema(required = true)]
    name: Option<String>,
    /// `running`, `paused`, `open`, `cancelling`, `done` or `cancelled`.
    state: String,
    /// How many files it has; while more may come, how many are expected.
    total: u64,
    /// Files that have ended well, those among them that were there already.
    done: u64,
    /// Files that have failed.
    failed: u64,
    /// Files that were cancelled.
    cancelled: u64,
    /// Files that a worker has at this moment.
    running: u64,
    /// Files that were there already, byte for byte.
    duplicates: u64,
    size_bytes: u64,
    /// Files that end in a second, of late; null where that is not known.
    #[schema(required = true)]
    rate: Option<f64>,
    /// Seconds until the last file ends, as it goes of late; null where that is not known.
    #[schema(required = true)]
    eta_s: Option<u64>,
    /// Whether more files may be added.
    open: bool,
    created_at: DateTime<Utc>,
    #[schema(required = true)]
    finished_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
struct ShownBatch {
    id: Uuid,
    #[schema(required = true)]
    name: Option<String>,
    /// `running`, `paused`, `open`, `cancelling`, `done` or `cancelled`.
    state: String,
    /// How many files it has; while more may come, how many are expected.
    total: u64,
    /// Files that have ended well, those among them that were there already.
    done: u64,
    /// Files that have failed.
    failed: u64,
    /// Files that were cancelled.
    cancelled: u64,
    /// Files that a worker has at this moment.
    running: u64,
    /// Files that were there already, byte for byte.
    duplicates: u64,
    size_bytes: u64,
    /// Files that end in a second, of late; null where that is not known.
    #[schema(required = true)]
    rate: Option<f64>,
    /// Seconds until the last file ends, as it goes of late; null where that is not known.
    #[schema(required = true)]
    eta_s: Option<u64>,
    /// Whether more files may be added.
    open: bool,
    created_at: DateTime<Utc>,
    #[schema(required = true)]
    finished_at: Option<DateTime<Utc>>,
    /// What became of its files; null until all have ended.
    #[schema(required = true)]
    summary: Option<BatchSummary>,
}

#[derive(ToSchema)]
struct RetriedBatch {
    id: Uuid,
    #[schema(required = true)]
    name: Option<String>,
    /// `running`, `paused`, `open`, `cancelling`, `done` or `cancelled`.
    state: String,
    /// How many files it has; while more may come, how many are expected.
    total: u64,
    /// Files that have ended well, those among them that were there already.
    done: u64,
    /// Files that have failed.
    failed: u64,
    /// Files that were cancelled.
    cancelled: u64,
    /// Files that a worker has at this moment.
    running: u64,
    /// Files that were there already, byte for byte.
    duplicates: u64,
    size_bytes: u64,
    /// Files that end in a second, of late; null where that is not known.
    #[schema(required = true)]
    rate: Option<f64>,
    /// Seconds until the last file ends, as it goes of late; null where that is not known.
    #[schema(required = true)]
    eta_s: Option<u64>,
    /// Whether more files may be added.
    open: bool,
    created_at: DateTime<Utc>,
    #[schema(required = true)]
    finished_at: Option<DateTime<Utc>>,
    /// How many of its files are queued again.
    retried: u64,
    /// How many have failed and are not, because one request tries no more.
    remaining: u64,
}

#[derive(ToSchema)]
struct BatchSummary {
    ready: u64,
    duplicates: u64,
    failed: u64,
    cancelled: u64,
    /// Why files failed, the most frequent reason first.
    problems: Vec<BatchProblem>,
    size_bytes: u64,
    pages: u64,
    passages: u64,
    seconds: f64,
}

#[derive(ToSchema)]
struct BatchProblem {
    code: String,
    title: String,
    count: u64,
    example: BatchExample,
}

#[derive(ToSchema)]
struct BatchExample {
    document_id: Uuid,
    job_id: Uuid,
    /// Null where the document was deleted since.
    #[schema(required = true)]
    filename: Option<String>,
    detail: String,
}

#[derive(ToSchema)]
struct BatchItem {
    document_id: Uuid,
    job_id: Uuid,
    /// Null where the document was deleted since.
    #[schema(required = true)]
    filename: Option<String>,
    /// As a job's.
    state: String,
    #[schema(required = true)]
    reason: Option<Reason>,
    #[schema(required = true)]
    problem: Option<JobProblem>,
    #[schema(required = true)]
    finished_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
struct AcceptedUpload {
    batch_id: Uuid,
    items: Vec<AcceptedFile>,
}

#[derive(ToSchema)]
struct AcceptedFile {
    document_id: Uuid,
    job_id: Uuid,
    filename: String,
    /// `queued`, or `duplicate` of a file with the same bytes, whose ids these are.
    status: String,
}

#[derive(ToSchema)]
struct Document {
    id: Uuid,
    collection_id: Uuid,
    filename: String,
    media_type: String,
    size_bytes: u64,
    sha256: String,
    version: u32,
    /// `queued`, `processing`, `ready` or `failed`.
    status: String,
    #[schema(required = true)]
    error: Option<JobProblem>,
    pages: u32,
    chunks: u32,
    created_at: DateTime<Utc>,
}

/// Why a document, an answer or a job failed.
#[derive(ToSchema)]
struct JobProblem {
    code: String,
    title: String,
    detail: String,
}

#[derive(ToSchema)]
struct Chunk {
    chunk_id: Uuid,
    ordinal: u32,
    #[schema(required = true)]
    page: Option<u32>,
    #[schema(required = true)]
    cell: Option<String>,
    #[schema(required = true)]
    section: Option<String>,
    #[schema(required = true)]
    header: Option<String>,
    text: String,
    char_start: u32,
    char_end: u32,
    is_table: bool,
    tokens: u32,
}

#[derive(ToSchema)]
struct SearchRequest {
    #[schema(min_length = 1)]
    query: String,
    /// All of the workspace where left out; an empty list names none.
    collection_ids: Option<Vec<Uuid>>,
    #[schema(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    filters: Option<SearchFilters>,
}

#[derive(ToSchema)]
struct SearchFilters {
    document_ids: Option<Vec<Uuid>>,
    media_types: Option<Vec<String>>,
    date_from: Option<NaiveDate>,
    date_to: Option<NaiveDate>,
}

#[derive(ToSchema)]
struct SearchAnswer {
    passages: Vec<Found>,
    /// `words` or `words_and_meaning`.
    searched_by: String,
    #[schema(required = true)]
    note: Option<String>,
}

#[derive(ToSchema)]
struct Found {
    document_id: Uuid,
    filename: String,
    version: u32,
    #[schema(required = true)]
    page: Option<u32>,
    #[schema(required = true)]
    cell: Option<String>,
    #[schema(required = true)]
    section: Option<String>,
    #[schema(required = true)]
    header: Option<String>,
    text: String,
    char_start: u32,
    char_end: u32,
    score: f32,
    chunk_id: Uuid,
    collection_id: Uuid,
}

#[derive(ToSchema)]
struct NewConversation {
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    assistant_id: Option<Uuid>,
    /// All that the asker may read where left out.
    collection_ids: Option<Vec<Uuid>>,
}

#[derive(ToSchema)]
struct Conversation {
    id: Uuid,
    #[schema(required = true)]
    title: Option<String>,
    #[schema(required = true)]
    collection_ids: Option<Vec<Uuid>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Exactly one of the first four says what is exported.
#[derive(ToSchema)]
struct NewExport {
    /// A conversation of one's own, with its questions and answers.
    conversation_id: Option<Uuid>,
    /// Answers of one's own, with their questions, in this order.
    #[schema(min_items = 1, max_items = 200)]
    message_ids: Option<Vec<Uuid>>,
    /// The tables of a collection.
    collection_id: Option<Uuid>,
    /// The tables of some documents, in this order.
    #[schema(min_items = 1, max_items = 200)]
    document_ids: Option<Vec<Uuid>>,
    /// Answers: `md`, `html`, `pdf`, `docx` or `json`. Tables: `csv`, `xlsx`, `md`, `html` or
    /// `json`.
    format: String,
    /// A template of the workspace, for `pdf`; the built-in layout where it is left out.
    template: Option<String>,
}

#[derive(ToSchema)]
struct AcceptedExport {
    export_id: Uuid,
    job_id: Uuid,
}

#[derive(ToSchema)]
struct Export {
    id: Uuid,
    job_id: Uuid,
    /// The job's state, or `expired` once the file was removed.
    state: String,
    format: String,
    selection: ExportSelection,
    /// Null for the built-in layout.
    #[schema(required = true)]
    template: Option<ExportTemplateName>,
    filename: String,
    /// Null until it is done, and once it has expired.
    #[schema(required = true)]
    size_bytes: Option<u64>,
    /// Hexadecimal.
    #[schema(required = true)]
    sha256: Option<String>,
    /// Where the file is fetched, without a key: a whole address, or a path of this server.
    #[schema(required = true)]
    url: Option<String>,
    /// Until when that link works. Getting the export again gives another.
    #[schema(required = true)]
    expires_at: Option<DateTime<Utc>>,
    /// When the file is removed.
    #[schema(required = true)]
    kept_until: Option<DateTime<Utc>>,
    /// Why there is no file; of a template that fails, its name, version and line.
    #[schema(required = true)]
    problem: Option<JobProblem>,
    created_at: DateTime<Utc>,
}

/// What is exported: one of these.
#[derive(ToSchema)]
struct ExportSelection {
    conversation_id: Option<Uuid>,
    message_ids: Option<Vec<Uuid>>,
    collection_id: Option<Uuid>,
    document_ids: Option<Vec<Uuid>>,
}

#[derive(ToSchema)]
struct ExportTemplateName {
    name: String,
    version: u32,
}

#[derive(ToSchema)]
struct ExportTemplateVersion {
    name: String,
    version: u32,
    created_at: DateTime<Utc>,
}

#[derive(ToSchema)]
struct ExportTemplate {
    name: String,
    version: u32,
    created_at: DateTime<Utc>,
    /// The layout, in Typst.
    source: String,
}

#[derive(ToSchema)]
struct NewExportTemplate {
    /// The layout, in Typst; it reads the export's data from `/export.json`.
    #[schema(min_length = 1, max_length = 100_000)]
    source: String,
}

#[derive(ToSchema)]
struct NewMessage {
    /// The question.
    #[schema(min_length = 1)]
    content: String,
}

#[derive(ToSchema)]
struct AcceptedQuestion {
    message_id: Uuid,
    answer_id: Uuid,
    job_id: Uuid,
}

#[derive(ToSchema)]
struct Message {
    id: Uuid,
    conversation_id: Uuid,
    /// `user` or `assistant`.
    role: String,
    /// `pending`, `done`, `failed` or `cancelled`.
    state: String,
    content: String,
    citations: Vec<Citation>,
    figures: Vec<Figure>,
    #[schema(required = true)]
    model: Option<String>,
    #[schema(required = true)]
    usage: Option<Usage>,
    /// Why there is no answer; left out where nothing failed.
    error: Option<JobProblem>,
    created_at: DateTime<Utc>,
}

#[derive(ToSchema)]
struct Citation {
    ordinal: u32,
    document_id: Uuid,
    filename: String,
    version: u32,
    #[schema(required = true)]
    page: Option<u32>,
    #[schema(required = true)]
    cell: Option<String>,
    #[schema(required = true)]
    section: Option<String>,
    /// Stands word for word in the stored page or cell text.
    quote: String,
    char_start: u32,
    char_end: u32,
    boxes: Vec<MarkBox>,
}

/// In points from the page's top left.
#[derive(ToSchema)]
struct MarkBox {
    page: u32,
    x0: f32,
    y0: f32,
    x1: f32,
    y1: f32,
}

#[derive(ToSchema)]
struct Figure {
    text: String,
    /// `supported` or `unsupported`.
    status: String,
    /// The citation whose passage holds it, or the first figure that it is computed from.
    #[schema(required = true)]
    ordinal: Option<u32>,
    /// Characters of the answer before it; left out for answers of older versions.
    char_start: Option<u32>,
    char_end: Option<u32>,
    /// Where it stands; left out where it is computed, or stands beside the passage.
    support: Option<FigureSource>,
    /// What it is computed from; left out where it is not.
    derivation: Option<Derivation>,
    /// Why it is unsupported: `not_found`, `nothing_cited`, `other_scale`,
    /// `scale_not_stated`, `other_sign`, `other_unit`, `other_line`, `other_column`,
    /// `other_period`, `wrongly_derived` or `not_checked`.
    reason: Option<String>,
}

/// Where a figure stands in a cited document.
#[derive(ToSchema)]
struct FigureSource {
    ordinal: u32,
    /// As the document writes it.
    text: String,
    /// Characters of the page's text before it.
    char_start: u32,
    char_end: u32,
    /// `Sheet!B7` in a workbook.
    cell: Option<String>,
    /// The label of its row, in a table.
    row: Option<String>,
    /// The name of its column, in a table.
    column: Option<String>,
}

#[derive(ToSchema)]
struct Derivation {
    /// `difference`, `growth`, `ratio`, `sum` or `average`.
    kind: String,
    /// In the order of the computation.
    operands: Vec<FigureSource>,
}

#[derive(ToSchema)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    cost_micros: u64,
    /// Of `input_tokens`, those that the provider had kept; left out where there are none.
    cached_tokens: Option<u64>,
}

#[derive(ToSchema)]
struct Feedback {
    /// 1 or -1.
    #[schema(minimum = -1, maximum = 1)]
    rating: i8,
    #[schema(min_length = 1, max_length = 4000)]
    comment: Option<String>,
}

#[derive(ToSchema)]
struct Job {
    id: Uuid,
    /// `chat`, `documents` or `exports`.
    kind: String,
    step: String,
    /// `queued`, `running`, `waiting`, `done`, `failed`, `cancelled` or `dead`.
    state: String,
    /// Why it does not run; null while it does and once it has ended.
    #[schema(required = true)]
    reason: Option<Reason>,
    /// When it is tried again, where that is known.
    #[schema(required = true)]
    until: Option<DateTime<Utc>>,
    #[schema(required = true)]
    problem: Option<JobProblem>,
    attempt: u32,
    /// What the last try that failed ran into.
    #[schema(required = true)]
    last_error: Option<LastError>,
    /// Its place in its queue, from 1, where it is queued and near enough to be counted.
    #[schema(required = true)]
    position: Option<u64>,
    /// How many jobs of its own workspace stand before it.
    #[schema(required = true)]
    ahead: Option<u64>,
    #[schema(required = true)]
    batch_id: Option<Uuid>,
    subject_id: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[schema(required = true)]
    finished_at: Option<DateTime<Utc>>,
}

/// What a job's last failed try ran into.
#[derive(ToSchema)]
struct LastError {
    /// The class of the error, stable.
    code: String,
    detail: String,
    attempt: u32,
    at: DateTime<Utc>,
}

/// Why a job does not run. A later version may know further reasons.
struct Reason;

impl ToSchema for Reason {}

impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        use quaestor_core::model::Reason;
        let told: Vec<String> = Reason::ALL
            .iter()
            .map(|reason| format!("`{}`: {}", reason.as_str(), reason.sentence()))
            .collect();
        RefOr::T(Schema::from(
            ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::String))
                .description(Some(told.join(".\n\n")))
                .examples([serde_json::json!(Reason::Queue.as_str())]),
        ))
    }
}

/// A job that was given up, or a message that cannot be read.
#[derive(ToSchema)]
struct DeadLetter {
    /// The job's id, or the message's own.
    id: Uuid,
    /// `chat`, `documents`, `exports` or `message`.
    kind: String,
    #[schema(required = true)]
    step: Option<String>,
    /// The class of the error, stable.
    code: String,
    detail: String,
    /// What caused it, from the outside in.
    causes: Vec<String>,
    attempts: u32,
    #[schema(required = true)]
    worker_id: Option<Uuid>,
    first_failed_at: DateTime<Utc>,
    died_at: DateTime<Utc>,
    #[schema(required = true)]
    trace_id: Option<String>,
    /// Ids, no contents.
    #[schema(required = true, value_type = Option<Object>)]
    payload: Option<serde_json::Value>,
    #[schema(required = true)]
    message: Option<DeadMessage>,
}

/// What is kept of a message that cannot be read.
#[derive(ToSchema)]
struct DeadMessage {
    queue: String,
    /// Why its queue let it go: `rejected`, `delivery_limit`.
    reason: String,
    headers: std::collections::BTreeMap<String, String>,
    size_bytes: u64,
    sha256: String,
    /// The start of it; null in lists, and where it may be another workspace's.
    #[schema(required = true)]
    body: Option<String>,
    /// `utf8` or `base64`.
    encoding: String,
}

#[derive(ToSchema)]
struct DeadGroup {
    code: String,
    kind: String,
    count: u64,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    /// What the last of them says.
    example: String,
}

/// Which dead jobs get another life: those that are named, or those that a filter leaves.
#[derive(ToSchema)]
struct DeadReplay {
    #[schema(max_items = 200)]
    ids: Option<Vec<Uuid>>,
    #[schema(max_length = 100)]
    code: Option<String>,
    /// `chat`, `documents`, `exports` or `message`.
    kind: Option<String>,
    since: Option<DateTime<Utc>>,
    /// At most so many in this request, the first that died first.
    #[schema(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// How many begin in a minute; 60 where it is left out.
    #[schema(minimum = 1, maximum = 6000)]
    rate_per_minute: Option<u32>,
    /// When the first begins; the `next_begin_at` of the request before, to go on.
    begin_at: Option<DateTime<Utc>>,
}

/// Which letters are removed: those that are named, or those that a filter leaves.
#[derive(ToSchema)]
struct DeadDiscard {
    #[schema(max_items = 200)]
    ids: Option<Vec<Uuid>>,
    #[schema(max_length = 100)]
    code: Option<String>,
    /// `chat`, `documents`, `exports` or `message`.
    kind: Option<String>,
    since: Option<DateTime<Utc>>,
    /// At most so many in this request, the first that died first.
    #[schema(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// What became of a job that was to be replayed.
#[derive(ToSchema)]
struct ReplayedJob {
    id: Uuid,
    /// `replayed`, `not_dead`, `subject_gone` or `no_job`.
    outcome: String,
    /// Of one that was replayed: the number that its new life begins with.
    attempt: Option<u32>,
    /// Of one that was replayed: when it is due.
    due_at: Option<DateTime<Utc>>,
    /// Of one that is not dead: how it stands.
    state: Option<String>,
    conversation_id: Option<Uuid>,
}

#[derive(ToSchema)]
struct ReplayReport {
    items: Vec<ReplayedJob>,
    replayed: u64,
    skipped: u64,
    /// How many the filter leaves after this.
    remaining: u64,
    #[schema(required = true)]
    next_begin_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
struct DiscardedLetter {
    id: Uuid,
    /// `discarded` or `not_dead`.
    outcome: String,
    /// Of one that is not dead: how it stands.
    state: Option<String>,
}

#[derive(ToSchema)]
struct DiscardReport {
    items: Vec<DiscardedLetter>,
    discarded: u64,
    /// How many the filter leaves after this.
    remaining: u64,
}

/// Work of one sort that stands still.
#[derive(ToSchema)]
struct StuckWork {
    /// `no_worker`, `slow_queue`, `waiting`, `lease_expired`, `unpublished`, `dead_letters` or
    /// `dead_queue`.
    code: String,
    /// The step, the reason or the class of error.
    name: String,
    count: u64,
    #[schema(required = true)]
    oldest_at: Option<DateTime<Utc>>,
    detail: String,
    mend: String,
}

#[derive(ToSchema)]
struct Ticket {
    /// For `/ws?ticket=`, once.
    ticket: String,
    expires_at: DateTime<Utc>,
}

#[derive(ToSchema)]
struct NewKey {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `viewer`, `member`, `admin` or `auditor`.
    role: String,
}

#[derive(ToSchema)]
struct Key {
    id: Uuid,
    principal_id: Uuid,
    name: String,
    role: String,
    prefix: String,
    created_at: DateTime<Utc>,
    #[schema(required = true)]
    revoked_at: Option<DateTime<Utc>>,
}

#[derive(ToSchema)]
struct CreatedKey {
    id: Uuid,
    principal_id: Uuid,
    name: String,
    role: String,
    prefix: String,
    created_at: DateTime<Utc>,
    #[schema(required = true)]
    revoked_at: Option<DateTime<Utc>>,
    /// The key itself, shown this once.
    key: String,
}

#[derive(ToSchema)]
struct AuditEntry {
    id: Uuid,
    principal_id: Uuid,
    action: String,
    subject: String,
    at: DateTime<Utc>,
}

/// A piece of the chain over the audit log, checked.
#[derive(ToSchema)]
struct AuditCheck {
    /// Whether this piece is whole.
    whole: bool,
    /// After which link it begins.
    after: u64,
    /// How many links were checked.
    links: u64,
    #[schema(required = true)]
    last: Option<AuditSeal>,
    breaks: Vec<AuditBreak>,
    /// Where the chain ends. Kept elsewhere, it shows whether all of it was made anew.
    #[schema(required = true)]
    head: Option<AuditSeal>,
    /// Entries that are not in the chain yet, counted up to 10,000.
    unsealed: u64,
    #[schema(required = true)]
    next: Option<u64>,
}

/// A link: SHA-256 over the link before, the number and the whole entry.
#[derive(ToSchema)]
struct AuditSeal {
    number: u64,
    entry_id: Uuid,
    /// 64 hexadecimal digits.
    hash: String,
}

#[derive(ToSchema)]
struct AuditBreak {
    /// `changed`, `removed`, `added`, `seal_removed`, `reordered` or `cut`.
    kind: String,
    #[schema(required = true)]
    number: Option<u64>,
    #[schema(required = true)]
    entry_id: Option<Uuid>,
}

/// A model, as all processes that call it see it together: the worst state, the latest
/// error, and the sums of the counts since the processes started.
#[derive(ToSchema)]
struct Provider {
    /// `provider:model`.
    model: String,
    /// `chat`, `embed` or `rerank`.
    operation: String,
    /// `closed`: calls go through. `open`: none does. `half_open`: one is under way to see
    /// whether the provider is back.
    breaker: String,
    #[schema(required = true)]
    until: Option<DateTime<Utc>>,
    /// The class of the last failure, such as `overloaded`.
    #[schema(required = true)]
    last_error: Option<String>,
    #[schema(required = true)]
    last_error_at: Option<DateTime<Utc>>,
    calls: u64,
    failed: u64,
    retried: u64,
    /// Calls that were not let through.
    rejected: u64,
    /// How often another model of the chain stood in.
    failed_over: u64,
    #[schema(required = true)]
    latency_ms: Option<u64>,
    processes: Vec<ProviderSeen>,
}

/// The same as one process sees it.
#[derive(ToSchema)]
struct ProviderSeen {
    process_id: Uuid,
    model: String,
    operation: String,
    breaker: String,
    #[schema(required = true)]
    until: Option<DateTime<Utc>>,
    #[schema(required = true)]
    last_error: Option<String>,
    #[schema(required = true)]
    last_error_at: Option<DateTime<Utc>>,
    calls: u64,
    failed: u64,
    retried: u64,
    rejected: u64,
    failed_over: u64,
    #[schema(required = true)]
    latency_ms: Option<u64>,
}

/// In millionths of the currency that prices are configured in; null is no limit.
#[derive(ToSchema)]
struct Budget {
    /// Beyond it on a day (UTC), cheaper models answer.
    #[schema(minimum = 0)]
    day_soft_micros: Option<u64>,
    /// Beyond it on a day, nothing is sent to a model.
    #[schema(minimum = 0)]
    day_hard_micros: Option<u64>,
    /// Beyond it in a month (UTC), cheaper models answer.
    #[schema(minimum = 0)]
    month_soft_micros: Option<u64>,
    /// Beyond it in a month, nothing is sent to a model.
    #[schema(minimum = 0)]
    month_hard_micros: Option<u64>,
}

#[derive(ToSchema)]
struct SetBudget {
    /// Null is the whole workspace's.
    #[schema(required = true)]
    principal_id: Option<Uuid>,
    #[schema(required = true)]
    day_soft_micros: Option<u64>,
    #[schema(required = true)]
    day_hard_micros: Option<u64>,
    #[schema(required = true)]
    month_soft_micros: Option<u64>,
    #[schema(required = true)]
    month_hard_micros: Option<u64>,
    spent: Spent,
    updated_at: DateTime<Utc>,
}

/// Today and in this month, of UTC.
#[derive(ToSchema)]
struct Spent {
    day_micros: u64,
    month_micros: u64,
}

/// What was used on a day, of a model, or by a principal.
#[derive(ToSchema)]
struct UsagePart {
    #[schema(required = true)]
    day: Option<NaiveDate>,
    /// `provider:model`.
    #[schema(required = true)]
    model: Option<String>,
    /// `chat`, `embed` or `rerank`.
    #[schema(required = true)]
    operation: Option<String>,
    #[schema(required = true)]
    principal_id: Option<Uuid>,
    /// Requests that were sent to providers.
    calls: u64,
    /// Of these, those that failed or were cut.
    failed_calls: u64,
    input_tokens: u64,
    /// Of `input_tokens`, those that providers had kept.
    cached_tokens: u64,
    output_tokens: u64,
    cost_micros: u64,
}

/// What is done by the clock.
#[derive(ToSchema)]
struct Schedule {
    name: String,
    /// What is done: `backup`, `check`.
    task: String,
    /// Minute, hour, day of the month, month, day of the week.
    cron: String,
    /// A time zone of the IANA database.
    zone: String,
    /// What is done about moments that passed while no worker was there: `run_once` or `skip`.
    missed: String,
    /// The same, as the configuration has it.
    configured: ScheduleTiming,
    /// Whether the configuration wants it and a worker can do it.
    enabled: bool,
    #[schema(required = true)]
    paused_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    next_at: Option<DateTime<Utc>>,
    /// For how long it has been due, in seconds.
    late_s: f64,
    /// The run that waits or is under way.
    #[schema(required = true)]
    current: Option<ScheduleRun>,
    /// The last run that has ended; without its report in a list.
    #[schema(required = true)]
    last: Option<ScheduleRun>,
}

/// One time that it was done, or was to be.
#[derive(ToSchema)]
struct ScheduleRun {
    id: Uuid,
    schedule: String,
    task: String,
    #[schema(value_type = Object)]
    options: serde_json::Value,
    /// The moment that it is for; null where somebody asked for it.
    #[schema(required = true)]
    due_at: Option<DateTime<Utc>>,
    /// `queued`, `running`, `done`, `failed`, `missed` or `skipped`.
    state: String,
    /// How often it was begun since it last got further.
    tries: u32,
    queued_at: DateTime<Utc>,
    #[schema(required = true)]
    began_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    ended_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    took_s: Option<f64>,
    #[schema(required = true)]
    error: Option<String>,
    /// What came of it; the check's has `checked` and `findings`.
    #[schema(required = true, value_type = Option<Object>)]
    report: Option<serde_json::Value>,
}

/// What is left out stays as it is.
#[derive(ToSchema)]
struct ScheduleTiming {
    /// Five fields, such as `30 2 * * *`.
    #[schema(max_length = 200)]
    cron: Option<String>,
    /// Such as `Europe/Zurich`.
    #[schema(max_length = 200)]
    zone: Option<String>,
    /// `run_once` or `skip`.
    missed: Option<String>,
}

#[derive(ToSchema)]
struct ScheduleRunNow {
    /// Of the check: whether missing vectors are made.
    repair: Option<bool>,
}

#[derive(ToSchema)]
struct Health {
    /// `ok`, `degraded` or `unavailable`.
    status: String,
    version: String,
    uptime_s: f64,
    checks: Checks,
}

#[derive(ToSchema)]
struct Checks {
    /// `failed` once the process was told to stop.
    process: CheckResult,
    database: CheckResult,
    queue: CheckResult,
    events: CheckResult,
    objects: CheckResult,
    models: CheckResult,
    memory: CheckResult,
    cpu: CheckResult,
}

#[derive(ToSchema)]
struct CheckResult {
    /// `ok`, `failed` or `unknown`.
    status: String,
    latency_ms: f64,
    #[schema(required = true)]
    detail: Option<String>,
}

/// RFC 9457.
#[derive(ToSchema)]
struct Problem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// Stable.
    code: String,
    /// The field, parameter or header that is wrong.
    field: Option<String>,
    /// How many seconds to wait.
    retry_after_s: Option<u64>,
    /// What the log calls the request; also in `x-request-id`. Not in frames of a WebSocket.
    request_id: Option<Uuid>,
    /// The trace that the request belongs to, where there is one.
    trace_id: Option<String>,
}
