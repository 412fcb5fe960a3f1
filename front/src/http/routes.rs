//! The route table: every path of the front, in the order of the contract.

use axum::routing::{delete, get, patch, post, put};

use super::route::{
    Access, Answer, BodyKind, IdOf, IdParam, Place, QueryKind, QueryParam, RateClass, Route, Verb,
};
use super::{
    audit, batches, budgets, collections, content, conversations, dead, documents, exports, health,
    job_events, jobs, keys, messages, openapi, providers, reindex, reparse, schedules, search,
    stuck, tickets, upload, usage,
};
use crate::socket;

/// Every route. A path that is not here does not exist.
#[must_use]
pub fn routes() -> &'static [Route] {
    ROUTES
}

const fn path_id(of: IdOf) -> IdParam {
    IdParam { name: "id", place: Place::Path, of }
}

const LIMIT: QueryParam =
    QueryParam { name: "limit", kind: QueryKind::Number, about: "How many items, 1 to 200" };
const CURSOR: QueryParam =
    QueryParam { name: "cursor", kind: QueryKind::Text, about: "`next` of the answer before" };
const IN_COLLECTION: QueryParam = QueryParam {
    name: "collection_id",
    kind: QueryKind::Id,
    about: "Only documents of this collection",
};
const TO_COLLECTION: QueryParam = QueryParam {
    name: "collection_id",
    kind: QueryKind::Id,
    about: "The collection, for clients that cannot send the field before the files",
};
const STATUS: QueryParam = QueryParam {
    name: "status",
    kind: QueryKind::OneOf(&["queued", "processing", "ready", "failed"]),
    about: "Only documents in this status",
};
const STATE: QueryParam = QueryParam {
    name: "state",
    kind: QueryKind::OneOf(&[
        "queued",
        "running",
        "waiting",
        "done",
        "failed",
        "cancelled",
        "dead",
    ]),
    about: "Only jobs in this state",
};
const ITEM_STATE: QueryParam = QueryParam { about: "Only files in this state", ..STATE };
const KIND: QueryParam = QueryParam {
    name: "kind",
    kind: QueryKind::OneOf(&["chat", "documents", "collections", "exports"]),
    about: "Only jobs of this kind",
};
const VERSION: QueryParam = QueryParam {
    name: "version",
    kind: QueryKind::Number,
    about: "The version; the newest where none is given",
};
const AFTER: QueryParam = QueryParam {
    name: "after",
    kind: QueryKind::Text,
    about: "Only events after this id, as the header `Last-Event-ID` says it",
};
const AFTER_LINK: QueryParam = QueryParam {
    name: "after",
    kind: QueryKind::Number,
    about: "Begin after the link of this number; at the first where it is left out",
};
const LINKS: QueryParam =
    QueryParam { name: "limit", kind: QueryKind::Number, about: "How many links, 1 to 10,000" };
const TICKET: QueryParam =
    QueryParam { name: "ticket", kind: QueryKind::Text, about: "A one-time ticket, for browsers" };

const BY: QueryParam = QueryParam {
    name: "by",
    kind: QueryKind::OneOf(&["day", "model", "principal"]),
    about: "What the report is parted by; by days where it is left out",
};
const FROM: QueryParam = QueryParam {
    name: "from",
    kind: QueryKind::Text,
    about: "The first day (UTC); the first of the month where it is left out",
};
const TO: QueryParam = QueryParam {
    name: "to",
    kind: QueryKind::Text,
    about: "The last day (UTC); today where it is left out",
};

/// What most routes have.
const BASE: Route = Route {
    verb: Verb::Get,
    path: "",
    operation: "",
    summary: "",
    noun: "",
    access: Access::Read,
    body: BodyKind::None,
    names: &[],
    ids: &[],
    query: &[],
    rate: RateClass::Read,
    idempotent: false,
    answer: Answer::Empty(204),
    handler: axum::routing::MethodRouter::new,
};

const COLLECTION: Route = Route { noun: "collection", ids: &[path_id(IdOf::Collection)], ..BASE };
const REINDEX: Route = Route {
    access: Access::Administer,
    rate: RateClass::Admin,
    answer: Answer::Json(200, "Job"),
    ..COLLECTION
};
const DOCUMENT: Route = Route { noun: "document", ids: &[path_id(IdOf::Document)], ..BASE };
const CONVERSATION: Route =
    Route { noun: "conversation", ids: &[path_id(IdOf::Conversation)], ..BASE };
const BATCH: Route =
    Route { noun: "batch", ids: &[path_id(IdOf::Batch)], access: Access::Any, ..BASE };
const STEERED: Route = Route {
    verb: Verb::Post,
    access: Access::Write,
    rate: RateClass::Write,
    answer: Answer::Json(200, "Batch"),
    ..BATCH
};
const TO_BATCH: QueryParam = QueryParam {
    name: "batch_id",
    kind: QueryKind::Id,
    about: "The batch that the files come to; one of their own where it is left out",
};
const JOB: Route = Route { noun: "job", ids: &[path_id(IdOf::Job)], access: Access::Any, ..BASE };

const DEAD: Route = Route {
    noun: "dead letter",
    access: Access::Administer,
    rate: RateClass::Admin,
    ids: &[path_id(IdOf::DeadLetter)],
    ..BASE
};
const DEAD_KIND: QueryParam = QueryParam {
    name: "kind",
    kind: QueryKind::OneOf(&["chat", "documents", "collections", "exports", "message"]),
    about: "Only dead letters of this kind",
};
const CODE: QueryParam = QueryParam {
    name: "code",
    kind: QueryKind::Text,
    about: "Only dead letters of this class of error",
};
const SINCE: QueryParam = QueryParam {
    name: "since",
    kind: QueryKind::Text,
    about: "Only what died at this time (RFC 3339) or later",
};

const SCHEDULE: Route = Route {
    noun: "schedule",
    access: Access::Administer,
    // Who waits for a run looks at it again and again.
    rate: RateClass::Read,
    names: &["name"],
    answer: Answer::Json(200, "Schedule"),
    ..BASE
};
const SCHEDULE_STEERED: Route = Route { verb: Verb::Post, rate: RateClass::Admin, ..SCHEDULE };

const OLDER_THAN: QueryParam = QueryParam {
    name: "older_than_s",
    kind: QueryKind::Number,
    about: "What has stood still for longer than so many seconds; 60 where it is left out",
};

const LINK: &[QueryParam] = &[
    QueryParam { name: "export", kind: QueryKind::Id, about: "Part of the link" },
    QueryParam { name: "workspace", kind: QueryKind::Id, about: "Part of the link" },
    QueryParam { name: "expires", kind: QueryKind::Number, about: "Part of the link" },
    QueryParam { name: "signature", kind: QueryKind::Text, about: "Part of the link" },
];
const TEMPLATE: Route = Route {
    noun: "template",
    access: Access::Administer,
    rate: RateClass::Admin,
    names: &["name"],
    ..BASE
};

const BUDGET: Route = Route { access: Access::Administer, rate: RateClass::Admin, ..BASE };

static ROUTES: &[Route] = &[
    Route {
        verb: Verb::Post,
        path: "/api/collections",
        operation: "create_collection",
        summary: "Make a collection",
        access: Access::Write,
        body: BodyKind::Json("NewCollection"),
        rate: RateClass::Write,
        answer: Answer::Json(201, "Collection"),
        handler: || post(collections::create),
        ..BASE
    },
    Route {
        path: "/api/collections",
        operation: "list_collections",
        summary: "List the collections, oldest first",
        query: &[LIMIT, CURSOR],
        answer: Answer::List("Collection"),
        handler: || get(collections::list),
        ..BASE
    },
    Route {
        path: "/api/collections/{id}",
        operation: "get_collection",
        summary: "Get a collection",
        answer: Answer::Json(200, "Collection"),
        handler: || get(collections::one),
        ..COLLECTION
    },
    Route {
        verb: Verb::Patch,
        path: "/api/collections/{id}",
        operation: "rename_collection",
        summary: "Give a collection another name",
        access: Access::Write,
        body: BodyKind::Json("CollectionChange"),
        rate: RateClass::Write,
        answer: Answer::Json(200, "Collection"),
        handler: || patch(collections::rename),
        ..COLLECTION
    },
    Route {
        verb: Verb::Delete,
        path: "/api/collections/{id}",
        operation: "delete_collection",
        summary: "Remove a collection with its documents",
        access: Access::Write,
        rate: RateClass::Write,
        handler: || delete(collections::remove),
        ..COLLECTION
    },
    Route {
        path: "/api/collections/{id}/generations",
        operation: "list_generations",
        summary: "List the index generations of a collection: searched, being built, former",
        answer: Answer::List("Generation"),
        handler: || get(reindex::generations),
        ..COLLECTION
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reparse",
        operation: "reparse",
        summary: "Read documents again that an older parser has read, as files of a batch",
        body: BodyKind::Json("Reparse"),
        answer: Answer::Json(202, "AcceptedReparse"),
        handler: || post(reparse::begin),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reparse/estimate",
        operation: "estimate_reparse",
        summary: "Say how many documents an older parser has read",
        body: BodyKind::Json("Reparse"),
        answer: Answer::Json(200, "ToReadAgain"),
        handler: || post(reparse::estimate),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reindex",
        operation: "reindex",
        summary: "Build the collection's next index generation, and switch to it when it is whole",
        body: BodyKind::Json("Reindex"),
        idempotent: true,
        answer: Answer::Json(202, "AcceptedReindex"),
        handler: || post(reindex::begin),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reindex/estimate",
        operation: "estimate_reindex",
        summary: "Say what a reindexing would take: passages, tokens, money, time",
        body: BodyKind::Json("Reindex"),
        answer: Answer::Json(200, "ReindexEstimate"),
        handler: || post(reindex::estimate),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reindex/pause",
        operation: "pause_reindex",
        summary: "Pause the building of the next index generation",
        handler: || post(reindex::pause),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reindex/resume",
        operation: "resume_reindex",
        summary: "Go on with it",
        handler: || post(reindex::resume),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reindex/cancel",
        operation: "cancel_reindex",
        summary: "Cancel it, and drop what was built",
        handler: || post(reindex::cancel),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/collections/{id}/reindex/rollback",
        operation: "roll_back_reindex",
        summary: "Search the former index generation again, at once",
        answer: Answer::Json(202, "AcceptedReindex"),
        handler: || post(reindex::roll_back),
        ..REINDEX
    },
    Route {
        verb: Verb::Delete,
        path: "/api/collections/{id}/reindex/former",
        operation: "drop_former_generation",
        summary: "Drop the former index generation, which a rollback would go to",
        answer: Answer::Empty(204),
        handler: || delete(reindex::drop_former),
        ..REINDEX
    },
    Route {
        verb: Verb::Post,
        path: "/api/documents",
        operation: "upload_documents",
        summary: "Upload files; the field `collection_id` stands before the first file",
        access: Access::Write,
        body: BodyKind::Multipart,
        ids: &[
            IdParam { name: "collection_id", place: Place::Body, of: IdOf::Collection },
            IdParam { name: "collection_id", place: Place::Query, of: IdOf::Collection },
            IdParam { name: "batch_id", place: Place::Body, of: IdOf::Batch },
            IdParam { name: "batch_id", place: Place::Query, of: IdOf::Batch },
        ],
        query: &[TO_COLLECTION, TO_BATCH],
        rate: RateClass::Upload,
        idempotent: true,
        answer: Answer::Json(202, "AcceptedUpload"),
        handler: || post(upload::upload),
        ..BASE
    },
    Route {
        path: "/api/documents",
        operation: "list_documents",
        summary: "List documents, oldest first",
        ids: &[IdParam { name: "collection_id", place: Place::Query, of: IdOf::Collection }],
        query: &[IN_COLLECTION, STATUS, LIMIT, CURSOR],
        answer: Answer::List("Document"),
        handler: || get(documents::list),
        ..BASE
    },
    Route {
        path: "/api/documents/{id}",
        operation: "get_document",
        summary: "Get a document",
        answer: Answer::Json(200, "Document"),
        handler: || get(documents::one),
        ..DOCUMENT
    },
    Route {
        verb: Verb::Delete,
        path: "/api/documents/{id}",
        operation: "delete_document",
        summary: "Remove a document with all that was made of it",
        access: Access::Write,
        rate: RateClass::Write,
        handler: || delete(documents::remove),
        ..DOCUMENT
    },
    Route {
        path: "/api/documents/{id}/content",
        operation: "get_document_content",
        summary: "Get the file as it was uploaded",
        query: &[VERSION],
        answer: Answer::Other(200, "application/octet-stream"),
        handler: || get(content::content),
        ..DOCUMENT
    },
    Route {
        path: "/api/documents/{id}/chunks",
        operation: "list_document_chunks",
        summary: "List the passages of a document's current version, in its order",
        query: &[LIMIT, CURSOR],
        answer: Answer::List("Chunk"),
        handler: || get(documents::chunks),
        ..DOCUMENT
    },
    Route {
        verb: Verb::Post,
        path: "/api/batches",
        operation: "create_batch",
        summary: "Begin a batch that several uploads add files to",
        access: Access::Write,
        body: BodyKind::Json("NewBatch"),
        rate: RateClass::Write,
        idempotent: true,
        answer: Answer::Json(201, "Batch"),
        handler: || post(batches::create),
        ..BASE
    },
    Route {
        path: "/api/batches",
        operation: "list_batches",
        summary: "List batches, newest first; one's own, or all for admins and auditors",
        access: Access::Any,
        query: &[LIMIT, CURSOR],
        answer: Answer::List("Batch"),
        handler: || get(batches::list),
        ..BASE
    },
    Route {
        path: "/api/batches/{id}",
        operation: "get_batch",
        summary: "Get a batch, with its summary once its last file has ended",
        answer: Answer::Json(200, "ShownBatch"),
        handler: || get(batches::one),
        ..BATCH
    },
    Route {
        path: "/api/batches/{id}/items",
        operation: "list_batch_items",
        summary: "List the files of a batch in the order in which they were accepted",
        query: &[ITEM_STATE, LIMIT, CURSOR],
        answer: Answer::List("BatchItem"),
        handler: || get(batches::items),
        ..BATCH
    },
    Route {
        path: "/api/batches/{id}/close",
        operation: "close_batch",
        summary: "Say that no more files come to a batch",
        handler: || post(batches::close),
        ..STEERED
    },
    Route {
        path: "/api/batches/{id}/pause",
        operation: "pause_batch",
        summary: "Begin no file of a batch until it is resumed; what runs ends",
        handler: || post(batches::pause),
        ..STEERED
    },
    Route {
        path: "/api/batches/{id}/resume",
        operation: "resume_batch",
        summary: "Let a paused batch go on",
        handler: || post(batches::resume),
        ..STEERED
    },
    Route {
        path: "/api/batches/{id}/cancel",
        operation: "cancel_batch",
        summary: "End every unfinished file of a batch",
        handler: || post(batches::cancel),
        ..STEERED
    },
    Route {
        path: "/api/batches/{id}/retry-failed",
        operation: "retry_failed_of_batch",
        summary: "Queue the failed and dead files of a batch again",
        idempotent: true,
        answer: Answer::Json(202, "RetriedBatch"),
        handler: || post(batches::retry_failed),
        ..STEERED
    },
    Route {
        verb: Verb::Post,
        path: "/api/search",
        operation: "search",
        summary: "Find passages",
        body: BodyKind::Json("SearchRequest"),
        ids: &[
            IdParam { name: "collection_ids", place: Place::BodyList, of: IdOf::Collection },
            IdParam { name: "filters.document_ids", place: Place::BodyList, of: IdOf::Document },
        ],
        rate: RateClass::Search,
        answer: Answer::Json(200, "SearchAnswer"),
        handler: || post(search::search),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: "/api/conversations",
        operation: "create_conversation",
        summary: "Begin a conversation",
        body: BodyKind::Json("NewConversation"),
        ids: &[
            IdParam { name: "collection_ids", place: Place::BodyList, of: IdOf::Collection },
            IdParam { name: "assistant_id", place: Place::Body, of: IdOf::Assistant },
        ],
        rate: RateClass::Write,
        answer: Answer::Json(201, "Conversation"),
        handler: || post(conversations::create),
        ..BASE
    },
    Route {
        path: "/api/conversations",
        operation: "list_conversations",
        summary: "List one's own conversations, newest first",
        query: &[LIMIT, CURSOR],
        answer: Answer::List("Conversation"),
        handler: || get(conversations::list),
        ..BASE
    },
    Route {
        path: "/api/conversations/{id}",
        operation: "get_conversation",
        summary: "Get a conversation",
        answer: Answer::Json(200, "Conversation"),
        handler: || get(conversations::one),
        ..CONVERSATION
    },
    Route {
        verb: Verb::Delete,
        path: "/api/conversations/{id}",
        operation: "delete_conversation",
        summary: "Remove a conversation with its messages",
        rate: RateClass::Write,
        handler: || delete(conversations::remove),
        ..CONVERSATION
    },
    Route {
        path: "/api/conversations/{id}/messages",
        operation: "list_messages",
        summary: "List the messages of a conversation, oldest first",
        query: &[LIMIT, CURSOR],
        answer: Answer::List("Message"),
        handler: || get(messages::list),
        ..CONVERSATION
    },
    Route {
        verb: Verb::Post,
        path: "/api/conversations/{id}/messages",
        operation: "ask",
        summary: "Ask a question",
        body: BodyKind::Json("NewMessage"),
        rate: RateClass::Ask,
        idempotent: true,
        answer: Answer::Json(202, "AcceptedQuestion"),
        handler: || post(messages::ask),
        ..CONVERSATION
    },
    Route {
        verb: Verb::Post,
        path: "/api/messages/{id}/feedback",
        operation: "give_feedback",
        summary: "Judge an answer",
        noun: "answer",
        body: BodyKind::Json("Feedback"),
        ids: &[path_id(IdOf::Message)],
        rate: RateClass::Write,
        handler: || post(messages::feedback),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: "/api/exports",
        operation: "create_export",
        summary: "Have answers or tables written as a file; one field says which",
        body: BodyKind::Json("NewExport"),
        ids: &[
            IdParam { name: "conversation_id", place: Place::Body, of: IdOf::Conversation },
            IdParam { name: "message_ids", place: Place::BodyList, of: IdOf::Message },
            IdParam { name: "collection_id", place: Place::Body, of: IdOf::Collection },
            IdParam { name: "document_ids", place: Place::BodyList, of: IdOf::Document },
        ],
        rate: RateClass::Write,
        idempotent: true,
        answer: Answer::Json(202, "AcceptedExport"),
        handler: || post(exports::create),
        ..BASE
    },
    Route {
        path: "/api/exports",
        operation: "list_exports",
        summary: "List one's own exports, newest first",
        query: &[LIMIT, CURSOR],
        answer: Answer::List("Export"),
        handler: || get(exports::list),
        ..BASE
    },
    Route {
        path: "/api/exports/{id}",
        operation: "get_export",
        summary: "Get an export, with a new link to its file",
        noun: "export",
        ids: &[path_id(IdOf::Export)],
        answer: Answer::Json(200, "Export"),
        handler: || get(exports::one),
        ..BASE
    },
    Route {
        path: "/api/export-files",
        operation: "get_export_file",
        summary: "Get an export's file by its link, without a key",
        access: Access::Open,
        rate: RateClass::Open,
        query: LINK,
        answer: Answer::Other(200, "application/octet-stream"),
        handler: || get(exports::download),
        ..BASE
    },
    Route {
        path: "/api/export-templates",
        operation: "list_export_templates",
        summary: "List the templates that exports may name",
        answer: Answer::List("ExportTemplateVersion"),
        handler: || get(exports::list_all),
        ..BASE
    },
    Route {
        path: "/api/export-templates/{name}",
        operation: "get_export_template",
        summary: "Get the newest version of a template with its source",
        answer: Answer::Json(200, "ExportTemplate"),
        handler: || get(exports::template),
        ..TEMPLATE
    },
    Route {
        verb: Verb::Put,
        path: "/api/export-templates/{name}",
        operation: "set_export_template",
        summary: "Make a template, or a new version of one",
        body: BodyKind::Json("NewExportTemplate"),
        answer: Answer::Json(200, "ExportTemplateVersion"),
        handler: || put(exports::put),
        ..TEMPLATE
    },
    Route {
        verb: Verb::Delete,
        path: "/api/export-templates/{name}",
        operation: "remove_export_template",
        summary: "Remove a template with all its versions",
        handler: || delete(exports::remove),
        ..TEMPLATE
    },
    Route {
        path: "/api/jobs",
        operation: "list_jobs",
        summary: "List jobs, newest first: one's own, or all for admins and auditors",
        access: Access::Any,
        query: &[STATE, KIND, LIMIT, CURSOR],
        answer: Answer::List("Job"),
        handler: || get(jobs::list),
        ..BASE
    },
    Route {
        path: "/api/jobs/{id}",
        operation: "get_job",
        summary: "Get a job",
        answer: Answer::Json(200, "Job"),
        handler: || get(jobs::one),
        ..JOB
    },
    Route {
        verb: Verb::Post,
        path: "/api/jobs/{id}/cancel",
        operation: "cancel_job",
        summary: "Wish a job cancelled; answers with the job as it stands then",
        access: Access::Read,
        rate: RateClass::Write,
        answer: Answer::Json(200, "Job"),
        handler: || post(jobs::cancel),
        ..JOB
    },
    Route {
        path: "/api/jobs/{id}/events",
        operation: "watch_job",
        summary: "Watch a job: server-sent events, resumed by `Last-Event-ID`",
        query: &[AFTER],
        answer: Answer::Other(200, "text/event-stream"),
        handler: || get(job_events::events),
        ..JOB
    },
    Route {
        verb: Verb::Post,
        path: "/api/ws-tickets",
        operation: "create_ws_ticket",
        summary: "Get a one-time ticket that opens a WebSocket, for browsers",
        access: Access::Any,
        rate: RateClass::Socket,
        answer: Answer::Json(201, "Ticket"),
        handler: || post(tickets::create),
        ..BASE
    },
    Route {
        path: "/ws",
        operation: "open_socket",
        summary: "Open a WebSocket: ask, watch and cancel, all live",
        access: Access::Socket,
        query: &[TICKET],
        rate: RateClass::Socket,
        answer: Answer::Empty(101),
        handler: || get(socket::open),
        ..BASE
    },
    Route {
        verb: Verb::Post,
        path: "/api/admin/keys",
        operation: "create_key",
        summary: "Make an API key; it is shown this once",
        access: Access::Administer,
        body: BodyKind::Json("NewKey"),
        rate: RateClass::Admin,
        answer: Answer::Json(201, "CreatedKey"),
        handler: || post(keys::create),
        ..BASE
    },
    Route {
        path: "/api/admin/keys",
        operation: "list_keys",
        summary: "List the API keys, oldest first",
        access: Access::Administer,
        query: &[LIMIT, CURSOR],
        rate: RateClass::Admin,
        answer: Answer::List("Key"),
        handler: || get(keys::list),
        ..BASE
    },
    Route {
        verb: Verb::Delete,
        path: "/api/admin/keys/{id}",
        operation: "revoke_key",
        summary: "Revoke an API key",
        noun: "key",
        access: Access::Administer,
        ids: &[path_id(IdOf::Key)],
        rate: RateClass::Admin,
        handler: || delete(keys::revoke),
        ..BASE
    },
    Route {
        path: "/api/admin/audit",
        operation: "list_audit",
        summary: "List the audit log, newest first",
        access: Access::Audit,
        query: &[LIMIT, CURSOR],
        rate: RateClass::Admin,
        answer: Answer::List("AuditEntry"),
        handler: || get(audit::list),
        ..BASE
    },
    Route {
        path: "/api/admin/audit/verify",
        operation: "verify_audit",
        summary: "Check a piece of the audit log's chain; `next` begins the next piece",
        access: Access::Audit,
        query: &[AFTER_LINK, LINKS],
        rate: RateClass::Admin,
        answer: Answer::Json(200, "AuditCheck"),
        handler: || get(audit::verify),
        ..BASE
    },
    Route {
        path: "/api/admin/schedules",
        operation: "list_schedules",
        summary: "List what is done by the clock: when it is next due, and how it went",
        names: &[],
        answer: Answer::List("Schedule"),
        handler: || get(schedules::list),
        ..SCHEDULE
    },
    Route {
        path: "/api/admin/schedules/{name}",
        operation: "get_schedule",
        summary: "Get a schedule with the report of its last run",
        handler: || get(schedules::one),
        ..SCHEDULE
    },
    Route {
        verb: Verb::Patch,
        path: "/api/admin/schedules/{name}",
        operation: "set_schedule",
        summary: "Put a schedule at another time, whatever the configuration says",
        body: BodyKind::Json("ScheduleTiming"),
        handler: || patch(schedules::set),
        ..SCHEDULE
    },
    Route {
        path: "/api/admin/schedules/{name}/pause",
        operation: "pause_schedule",
        summary: "Pause a schedule: what is due meanwhile is left out",
        handler: || post(schedules::pause),
        ..SCHEDULE_STEERED
    },
    Route {
        path: "/api/admin/schedules/{name}/resume",
        operation: "resume_schedule",
        summary: "Let a paused schedule go on from its next moment",
        handler: || post(schedules::resume),
        ..SCHEDULE_STEERED
    },
    Route {
        path: "/api/admin/schedules/{name}/reset",
        operation: "reset_schedule",
        summary: "Put a schedule at the time that the configuration says",
        handler: || post(schedules::reset),
        ..SCHEDULE_STEERED
    },
    Route {
        path: "/api/admin/schedules/{name}/run",
        operation: "run_schedule",
        summary: "Run a schedule now, paused or not",
        body: BodyKind::Json("ScheduleRunNow"),
        answer: Answer::Json(202, "ScheduleRun"),
        handler: || post(schedules::run),
        ..SCHEDULE_STEERED
    },
    Route {
        path: "/api/admin/schedules/{name}/runs",
        operation: "list_schedule_runs",
        summary: "List the runs of a schedule with their reports, newest first",
        query: &[LIMIT, CURSOR],
        answer: Answer::List("ScheduleRun"),
        handler: || get(schedules::runs),
        ..SCHEDULE
    },
    Route {
        path: "/api/admin/schedules/{name}/runs/{run}",
        operation: "get_schedule_run",
        summary: "Get a run with its report",
        names: &["name", "run"],
        answer: Answer::Json(200, "ScheduleRun"),
        handler: || get(schedules::one_run),
        ..SCHEDULE
    },
    Route {
        path: "/api/admin/dead",
        operation: "list_dead",
        summary: "List dead letters: jobs that were given up, and messages that cannot be read",
        ids: &[],
        query: &[CODE, DEAD_KIND, SINCE, LIMIT, CURSOR],
        answer: Answer::List("DeadLetter"),
        handler: || get(dead::list),
        ..DEAD
    },
    Route {
        path: "/api/admin/dead/groups",
        operation: "group_dead",
        summary: "Count dead letters by class of error and kind",
        ids: &[],
        query: &[CODE, DEAD_KIND, SINCE],
        answer: Answer::List("DeadGroup"),
        handler: || get(dead::groups),
        ..DEAD
    },
    Route {
        verb: Verb::Post,
        path: "/api/admin/dead/replay",
        operation: "replay_dead_many",
        summary: "Give dead jobs another life, one after another in time",
        ids: &[IdParam { name: "ids", place: Place::BodyList, of: IdOf::DeadLetter }],
        body: BodyKind::Json("DeadReplay"),
        idempotent: true,
        answer: Answer::Json(202, "ReplayReport"),
        handler: || post(dead::replay_many),
        ..DEAD
    },
    Route {
        verb: Verb::Post,
        path: "/api/admin/dead/discard",
        operation: "discard_dead_many",
        summary: "End dead jobs for good, and remove their letters",
        ids: &[IdParam { name: "ids", place: Place::BodyList, of: IdOf::DeadLetter }],
        body: BodyKind::Json("DeadDiscard"),
        answer: Answer::Json(200, "DiscardReport"),
        handler: || post(dead::discard_many),
        ..DEAD
    },
    Route {
        path: "/api/admin/dead/{id}",
        operation: "get_dead",
        summary: "Get a dead letter with all that is kept of it",
        answer: Answer::Json(200, "DeadLetter"),
        handler: || get(dead::one),
        ..DEAD
    },
    Route {
        verb: Verb::Post,
        path: "/api/admin/dead/{id}/replay",
        operation: "replay_dead",
        summary: "Give a dead job another life; one that is not dead is left alone",
        idempotent: true,
        answer: Answer::Json(202, "ReplayedJob"),
        handler: || post(dead::replay_one),
        ..DEAD
    },
    Route {
        verb: Verb::Post,
        path: "/api/admin/dead/{id}/discard",
        operation: "discard_dead",
        summary: "End a dead job for good, and remove its letter",
        answer: Answer::Json(200, "DiscardedLetter"),
        handler: || post(dead::discard_one),
        ..DEAD
    },
    Route {
        path: "/api/admin/stuck",
        operation: "find_stuck",
        summary: "Tell what stands still, why, and what mends it",
        query: &[OLDER_THAN],
        access: Access::Administer,
        rate: RateClass::Admin,
        answer: Answer::List("StuckWork"),
        handler: || get(stuck::list),
        ..BASE
    },
    Route {
        path: "/api/admin/providers",
        operation: "list_providers",
        summary: "List the models that are called, with breaker, failures and latency",
        access: Access::Administer,
        rate: RateClass::Admin,
        answer: Answer::List("Provider"),
        handler: || get(providers::list),
        ..BASE
    },
    Route {
        path: "/api/admin/usage",
        operation: "report_usage",
        summary: "Report requests to models, tokens and money, by day, model or principal",
        access: Access::Audit,
        query: &[BY, FROM, TO],
        rate: RateClass::Admin,
        answer: Answer::List("UsagePart"),
        handler: || get(usage::report),
        ..BASE
    },
    Route {
        path: "/api/admin/budgets",
        operation: "list_budgets",
        summary: "List the budgets that were set, with what was spent",
        rate: RateClass::Admin,
        access: Access::Administer,
        answer: Answer::List("SetBudget"),
        handler: || get(budgets::list),
        ..BASE
    },
    Route {
        verb: Verb::Put,
        path: "/api/admin/budgets/workspace",
        operation: "set_workspace_budget",
        summary: "Set what all principals together may spend",
        body: BodyKind::Json("Budget"),
        handler: || put(budgets::set_of_workspace),
        ..BUDGET
    },
    Route {
        verb: Verb::Delete,
        path: "/api/admin/budgets/workspace",
        operation: "remove_workspace_budget",
        summary: "Have the configuration's budget hold for the workspace again",
        handler: || delete(budgets::remove_of_workspace),
        ..BUDGET
    },
    Route {
        verb: Verb::Put,
        path: "/api/admin/budgets/principals/{id}",
        operation: "set_principal_budget",
        summary: "Set what a principal may spend",
        noun: "principal",
        ids: &[path_id(IdOf::Principal)],
        body: BodyKind::Json("Budget"),
        handler: || put(budgets::set_of_principal),
        ..BUDGET
    },
    Route {
        verb: Verb::Delete,
        path: "/api/admin/budgets/principals/{id}",
        operation: "remove_principal_budget",
        summary: "Have the configuration's budget hold for a principal again",
        noun: "principal",
        ids: &[path_id(IdOf::Principal)],
        handler: || delete(budgets::remove_of_principal),
        ..BUDGET
    },
    Route {
        path: "/api/openapi.json",
        operation: "get_openapi",
        summary: "Get this description",
        access: Access::Open,
        rate: RateClass::Open,
        answer: Answer::Other(200, "application/json"),
        handler: || get(openapi::serve),
        ..BASE
    },
    Route {
        path: "/health",
        operation: "get_health",
        summary: "Tell how the process is; 200 while it lives",
        access: Access::Open,
        rate: RateClass::Open,
        answer: Answer::Json(200, "Health"),
        handler: || get(health::health),
        ..BASE
    },
    Route {
        path: "/ready",
        operation: "get_ready",
        summary: "Tell whether the process can serve; 503 when a needed check fails",
        access: Access::Open,
        rate: RateClass::Open,
        answer: Answer::Json(200, "Health"),
        handler: || get(health::ready),
        ..BASE
    },
    Route {
        path: "/metrics",
        operation: "get_metrics",
        summary: "Get the metrics, in the text format of Prometheus",
        access: Access::Local,
        rate: RateClass::Open,
        answer: Answer::Other(200, "text/plain"),
        handler: || get(super::metrics::metrics),
        ..BASE
    },
];
