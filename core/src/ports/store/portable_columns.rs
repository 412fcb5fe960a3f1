//! What a record of each table holds.
//!
//! A test reads the catalogues of both databases and holds this list to them: a column
//! that a migration adds must be here, or be named as one that does not travel.

use super::portable::{Column, Kind, Table};

const fn id(name: &'static str) -> Column {
    Column { name, kind: Kind::Id, optional: false }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, optional: false }
}

const fn number(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer, optional: false }
}

const fn truth(name: &'static str) -> Column {
    Column { name, kind: Kind::Boolean, optional: false }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes, optional: false }
}

const fn day(name: &'static str) -> Column {
    Column { name, kind: Kind::Day, optional: false }
}

const fn maybe(column: Column) -> Column {
    Column { optional: true, ..column }
}

pub(super) fn columns(table: Table) -> &'static [Column] {
    match table {
        Table::Workspaces => const { &[id("id"), text("name"), number("created_at")] },
        Table::Principals => const { &[id("id"), number("created_at")] },
        Table::ApiKeys => {
            const {
                &[
                    id("id"),
                    id("principal_id"),
                    text("name"),
                    text("role"),
                    text("prefix"),
                    bytes("secret_sha256"),
                    number("created_at"),
                    maybe(number("revoked_at")),
                ]
            }
        }
        Table::Collections => const { &[id("id"), text("name"), number("created_at")] },
        Table::Generations => {
            const {
                &[
                    id("id"),
                    id("collection_id"),
                    text("model"),
                    number("dimensions"),
                    text("state"),
                    number("created_at"),
                    maybe(id("job_id")),
                    maybe(number("filled_at")),
                    maybe(number("switched_at")),
                    maybe(number("paused_at")),
                    maybe(number("passages_per_minute")),
                    number("skipped"),
                    number("embedded"),
                    number("embed_us"),
                    number("cut"),
                    maybe(number("target_chars")),
                    maybe(number("max_chars")),
                ]
            }
        }
        Table::Documents => {
            const {
                &[
                    id("id"),
                    id("collection_id"),
                    text("filename"),
                    number("newest_version"),
                    number("created_at"),
                ]
            }
        }
        // Whether a version is its document's current one, or the one of the odd cut, stands
        // here, where a database has it in the document: it can only be named once it is there.
        Table::Versions => {
            const {
                &[
                    id("document_id"),
                    id("collection_id"),
                    number("version"),
                    text("filename"),
                    text("media_type"),
                    number("size_bytes"),
                    text("sha256"),
                    text("object_key"),
                    text("status"),
                    maybe(text("error")),
                    maybe(text("title")),
                    maybe(day("document_date")),
                    day("day"),
                    number("pages"),
                    number("chunks"),
                    id("job_id"),
                    number("created_at"),
                    maybe(number("reading_of")),
                    maybe(text("parser")),
                    number("cut"),
                    truth("staged"),
                    maybe(text("reread_error")),
                    truth("current"),
                    truth("other"),
                ]
            }
        }
        Table::Pages => {
            const {
                &[
                    id("document_id"),
                    number("version"),
                    number("ordinal"),
                    maybe(number("number")),
                    maybe(text("label")),
                    text("text"),
                    bytes("boxes"),
                    maybe(text("missing")),
                ]
            }
        }
        Table::Chunks => {
            const {
                &[
                    id("document_id"),
                    number("version"),
                    id("id"),
                    number("ordinal"),
                    number("page_ordinal"),
                    number("char_start"),
                    number("char_end"),
                    truth("is_table"),
                    number("tokens"),
                    maybe(text("cells")),
                    text("section"),
                    text("header"),
                    text("text"),
                ]
            }
        }
        Table::Vectors => {
            const {
                &[
                    id("generation_id"),
                    id("chunk_id"),
                    maybe(bytes("text_hash")),
                    Column { name: "vector", kind: Kind::Floats, optional: false },
                ]
            }
        }
        Table::Conversations => {
            const {
                &[
                    id("id"),
                    id("principal_id"),
                    maybe(text("title")),
                    maybe(text("collection_ids")),
                    number("created_at"),
                    number("updated_at"),
                ]
            }
        }
        Table::Messages => {
            const {
                &[
                    id("id"),
                    id("conversation_id"),
                    text("role"),
                    text("state"),
                    text("content"),
                    text("citations"),
                    text("figures"),
                    maybe(text("model")),
                    maybe(number("input_tokens")),
                    maybe(number("output_tokens")),
                    maybe(number("cost_micros")),
                    maybe(text("error")),
                    maybe(id("question_id")),
                    number("created_at"),
                ]
            }
        }
        Table::Groundings => {
            const { &[id("answer_id"), text("standalone_question"), text("passages")] }
        }
        Table::Feedback => {
            const {
                &[
                    id("message_id"),
                    id("principal_id"),
                    number("rating"),
                    maybe(text("comment")),
                    number("created_at"),
                ]
            }
        }
        Table::Batches => {
            const {
                &[
                    id("id"),
                    id("principal_id"),
                    maybe(text("name")),
                    text("state"),
                    maybe(number("expected")),
                    number("files"),
                    number("duplicates"),
                    number("size_bytes"),
                    number("created_at"),
                    maybe(number("closed_at")),
                ]
            }
        }
        Table::ExportTemplates => {
            const { &[id("id"), text("name"), number("version"), text("source"), number("created_at")] }
        }
        // Their files stay behind: they can be made again.
        Table::Exports => {
            const {
                &[
                    id("id"),
                    id("principal_id"),
                    id("job_id"),
                    text("format"),
                    text("selection"),
                    maybe(id("template_id")),
                    text("filename"),
                    number("created_at"),
                ]
            }
        }
        Table::Jobs => {
            const {
                &[
                    id("id"),
                    id("principal_id"),
                    text("kind"),
                    text("step"),
                    text("state"),
                    text("payload"),
                    id("subject_id"),
                    maybe(number("subject_version")),
                    maybe(id("batch_id")),
                    number("attempt"),
                    number("step_attempt"),
                    truth("cancel_requested"),
                    maybe(text("reason")),
                    maybe(number("until")),
                    maybe(text("problem")),
                    maybe(number("deadline")),
                    maybe(text("traceparent")),
                    number("created_at"),
                    number("updated_at"),
                    maybe(number("finished_at")),
                    maybe(text("last_error")),
                    maybe(number("first_failed_at")),
                ]
            }
        }
        Table::Outbox => {
            const { &[id("id"), id("job_id"), number("enqueued_at"), number("due_at")] }
        }
        Table::DeadLetters => {
            const {
                &[
                    id("id"),
                    text("kind"),
                    maybe(text("step")),
                    text("code"),
                    text("detail"),
                    text("causes"),
                    number("attempts"),
                    maybe(id("worker_id")),
                    number("first_failed_at"),
                    number("died_at"),
                    maybe(text("traceparent")),
                    maybe(text("payload")),
                    maybe(text("message")),
                ]
            }
        }
        Table::ModelUsage => {
            const {
                &[
                    id("principal_id"),
                    maybe(id("job_id")),
                    number("attempt"),
                    text("model"),
                    number("input_tokens"),
                    number("output_tokens"),
                    number("cost_micros"),
                    number("created_at"),
                    text("operation"),
                    maybe(text("request_id")),
                    text("outcome"),
                    truth("estimated"),
                    number("duration_us"),
                    number("cached_tokens"),
                    maybe(id("call_id")),
                ]
            }
        }
        Table::OpenCalls => {
            const {
                &[
                    id("id"),
                    id("principal_id"),
                    maybe(id("job_id")),
                    number("attempt"),
                    text("operation"),
                    text("model"),
                    number("input_tokens"),
                    number("cost_micros"),
                    number("started_at"),
                ]
            }
        }
        Table::Budgets => {
            const {
                &[
                    id("subject_id"),
                    maybe(number("day_soft_micros")),
                    maybe(number("day_hard_micros")),
                    maybe(number("month_soft_micros")),
                    maybe(number("month_hard_micros")),
                    number("updated_at"),
                ]
            }
        }
        Table::AuditLog => {
            const { &[id("id"), id("principal_id"), text("action"), text("subject"), number("at")] }
        }
        Table::AuditSeals | Table::AuditHeads => {
            const { &[number("number"), id("entry_id"), bytes("hash")] }
        }
        Table::IdempotencyKeys => {
            const {
                &[
                    id("principal_id"),
                    text("key"),
                    bytes("request_sha256"),
                    text("response"),
                    number("created_at"),
                ]
            }
        }
    }
}
