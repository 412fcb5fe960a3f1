//! The table of metrics: a line each with its name, labels, when it is seen and what it tells.
//!
//! A new metric is a line here and a call of it where it happens; then
//! `cargo nextest run metrics` says what `METRICS.md` has to hold.

use super::{Bound, Counter, Gauge, Histogram, Kind, Label, Metric, Shown, Written};

macro_rules! labels {
    ($($label:ident = $name:literal: $bound:expr;)+) => {
        $(const $label: Label = Label { name: $name, bound: $bound };)+
    };
}

labels! {
    ROUTE = "route": Bound::Routes;
    METHOD = "method": Bound::OneOf(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"]);
    STATUS = "status": Bound::Statuses;
    STATUS_CLASS = "class": Bound::OneOf(&["1xx", "2xx", "3xx", "4xx", "5xx"]);
    REFUSED = "reason": Bound::OneOf(&["workspace_questions", "workspace_files", "workspace_exports", "queue_age", "outbox_full", "rate", "budget"]);
    CLOSE_CODE = "code": Bound::CloseCodes;
    DIRECTION = "direction": Bound::OneOf(&["received", "sent"]);
    STEP = "step": Bound::Steps;
    QUEUE = "queue": Bound::Steps;
    KIND = "kind": Bound::Kinds;
    REASON = "reason": Bound::Reasons;
    CODE = "code": Bound::Codes;
    CLASS = "class": Bound::Codes;
    PUBLISHED = "outcome": Bound::OneOf(&["confirmed", "full", "unroutable", "unconfirmed"]);
    STEP_OUTCOME = "outcome": Bound::OneOf(&["done", "advanced", "followed", "put_off", "failed", "dead", "cancelled", "fenced", "subject_gone", "unsettled"]);
    JOB_OUTCOME = "outcome": Bound::OneOf(&["done", "failed", "dead", "cancelled"]);
    MESSAGES = "state": Bound::OneOf(&["ready", "unsettled"]);
    PURPOSE = "purpose": Bound::OneOf(&["publish", "consume"]);
    LETTER = "kind": Bound::OneOf(&["job", "message"]);
    REFUSAL = "code": Bound::OneOf(&["encrypted", "no_text_layer", "damaged", "too_large", "limit_reached", "unsupported_type", "empty_file", "other"]);
    SEARCHED_BY = "by": Bound::OneOf(&["words", "words_and_meaning"]);
    PROVIDER = "provider": Bound::Providers;
    MODEL = "model": Bound::Models;
    OPERATION = "operation": Bound::OneOf(&["chat", "embed", "rerank"]);
    CALL_OUTCOME = "outcome": Bound::OneOf(&["done", "cut", "failed", "lost"]);
    POOL = "pool": Bound::OneOf(&["primary", "replica", "readers"]);
    CONNECTION = "state": Bound::OneOf(&["used", "idle"]);
    WENT = "outcome": Bound::OneOf(&["ok", "failed"]);
    FILE_OPERATION = "operation": Bound::OneOf(&["put", "get", "local_copy", "delete", "link", "size", "list", "sweep"]);
    SERVICE = "service": Bound::OneOf(&["database", "queue", "events", "objects"]);
    LOOK = "of": Bound::OneOf(&["store", "queue", "disk"]);
    SWEEP = "sweep": Bound::OneOf(&["expired_leases", "overdue_jobs", "lost_messages", "ended_messages", "idempotency_keys", "lost_calls", "unnamed_files", "missing_files", "unfinished_uploads", "expired_exports"]);
    SCHEDULE = "schedule": SCHEDULE_NAMES;
    RUN_OUTCOME = "outcome": Bound::OneOf(&["done", "failed", "missed", "skipped"]);
    FINDING = "kind": Bound::OneOf(&["file_missing", "file_size", "file_hash", "export_file", "file_unnamed", "passages", "passage_stray", "postings", "vector_missing", "vector_length", "vector_index", "vector_stray"]);
    VERSION = "version": Bound::Version;
    PROCESSES = "state": Bound::OneOf(&["starting", "working", "leaving"]);
    WAY = "direction": Bound::OneOf(&["out", "in"]);
}

/// Names of schedules; one that is not of the program itself is `other`.
pub const SCHEDULE_NAMES: Bound = Bound::OneOf(&["backup", "check", "other"]);

/// Answers of a front, and commands to servers beside it.
const QUICK: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Commands that take less than a millisecond as a rule.
const COMMAND: &[f64] =
    &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Steps and models: from a search to the longest answer.
const WORK: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0];
/// Jobs and queues: from an answer to a day's import.
const LONG: &[f64] =
    &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0];
const TRIES: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 10.0];
const PASSAGES: &[f64] = &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

macro_rules! table {
    (
        $($name:ident: $kind:ident<$labels:literal>($($given:expr),*) = $metric:literal, $shown:ident, $help:literal;)+
        @written { $($written:ident: $written_kind:ident = $written_name:literal, $written_help:literal;)+ }
    ) => {
        $(
            #[doc = $help]
            pub static $name: $kind<$labels> =
                $kind::new($metric, table!(@labels $($given),*), Shown::$shown, $help);
        )+
        $(
            #[doc = $written_help]
            pub static $written: Written =
                Written::new($written_name, Kind::$written_kind, $written_help);
        )+
        /// Every metric there is.
        pub static ALL: &[&Metric] = &[$(&$name.0,)+ $(&$written.0,)+];
    };
    (@labels $labels:expr) => { $labels };
    (@labels $buckets:expr, $labels:expr) => { ($buckets, $labels) };
}

table! {
    BUILD_INFO: Gauge<1>(&[VERSION]) = "quaestor_build_info", Always, "Always 1; which version runs.";

    HTTP_REQUESTS: Counter<3>(&[ROUTE, METHOD, STATUS]) = "quaestor_http_requests_total", AtWork, "Requests that were answered.";
    HTTP_SECONDS: Histogram<3>(QUICK, &[ROUTE, METHOD, STATUS_CLASS]) = "quaestor_http_request_seconds", AtWork, "How long requests took, to the head of the response.";
    HTTP_DENIED: Counter<0>(&[]) = "quaestor_http_denied_total", Always, "Requests by somebody whose role or workspace does not allow them.";
    HTTP_WRONG_KEYS: Counter<0>(&[]) = "quaestor_http_wrong_keys_total", Always, "Requests with a key that is not in force.";
    ADMISSIONS_REFUSED: Counter<1>(&[REFUSED]) = "quaestor_admissions_refused_total", Always, "Requests that were told to come again, by what was used up.";

    SOCKETS: Gauge<0>(&[]) = "quaestor_sockets", AtWork, "WebSockets that are open.";
    SOCKETS_OPENED: Counter<0>(&[]) = "quaestor_sockets_opened_total", Always, "WebSockets that were opened.";
    SOCKETS_CLOSED: Counter<1>(&[CLOSE_CODE]) = "quaestor_sockets_closed_total", Rarely, "WebSockets that this side closed, by code.";
    SOCKET_FRAMES: Counter<1>(&[DIRECTION]) = "quaestor_socket_frames_total", Always, "Frames of WebSockets.";

    JOBS_ACCEPTED: Counter<1>(&[KIND]) = "quaestor_jobs_accepted_total", Always, "Jobs that were accepted.";
    UPLOADED_BYTES: Counter<0>(&[]) = "quaestor_uploaded_bytes_total", Always, "Bytes of files that were accepted.";

    OUTBOX_MESSAGES: Gauge<0>(&[]) = "quaestor_outbox_messages", AtWork, "Messages of the installation that are due and not known to be sent. The same from each process: take the maximum.";
    OUTBOX_OLDEST: Gauge<0>(&[]) = "quaestor_outbox_oldest_seconds", AtWork, "For how long the oldest of them has been due: the lag of the relays. The same from each process.";
    OUTBOX_PUBLISHED: Counter<1>(&[PUBLISHED]) = "quaestor_outbox_published_total", Always, "Messages that this process handed to the queue, by what became of them.";
    OUTBOX_PUBLISH_SECONDS: Histogram<0>(QUICK, &[]) = "quaestor_outbox_publish_seconds", AtWork, "How long it took to publish messages together, to the last confirm.";

    QUEUE_MESSAGES: Gauge<2>(&[STEP, MESSAGES]) = "quaestor_queue_messages", AtWork, "Messages in each queue; what is taken and not settled only where the queue tells it. The same from each process.";
    QUEUED_JOBS: Gauge<1>(&[STEP]) = "quaestor_queued_jobs", AtWork, "Jobs that are due and that no worker has, by the store. The same from each process.";
    QUEUE_OLDEST: Gauge<1>(&[STEP]) = "quaestor_queue_oldest_seconds", AtWork, "For how long the oldest of them has been due. The same from each process.";
    QUEUE_WAIT: Histogram<1>(LONG, &[STEP]) = "quaestor_queue_wait_seconds", AtWork, "How long a message waited from the outbox to a worker.";
    QUEUE_PAUSED: Gauge<1>(&[STEP]) = "quaestor_queue_paused", AtWork, "1 where this process leaves a queue alone, because the model of its step is.";
    QUEUE_BLOCKED: Gauge<1>(&[PURPOSE]) = "quaestor_queue_blocked", Rarely, "1 while RabbitMQ takes nothing (an alarm of memory or disk), by connection.";
    WAITING_JOBS: Gauge<1>(&[REASON]) = "quaestor_waiting_jobs", Rarely, "Jobs that wait for a later try. The same from each process.";
    EXPIRED_LEASES: Gauge<0>(&[]) = "quaestor_expired_leases", AtWork, "Jobs whose worker is gone and that no sweep has queued yet. The same from each process.";

    DESIRED_WORKERS: Gauge<1>(&[QUEUE]) = "quaestor_desired_workers", AtWork, "Slots that a queue needs to be drained within its target wait, within its provider's limits. From the process that reckons it alone, NaN from one that did: take the maximum.";
    QUEUE_RUNNING: Gauge<1>(&[QUEUE]) = "quaestor_queue_running", AtWork, "Jobs that a worker has, by the store. From that process alone.";
    QUEUE_ARRIVALS: Gauge<1>(&[QUEUE]) = "quaestor_queue_arrivals_per_second", AtWork, "How many jobs arrive, as an average over half a minute. From that process alone.";
    QUEUE_SERVICE: Gauge<1>(&[QUEUE]) = "quaestor_queue_service_seconds", AtWork, "How long a job holds its slot, as an average over some twenty. From that process alone.";

    STEPS: Counter<2>(&[STEP, STEP_OUTCOME]) = "quaestor_steps_total", Always, "Steps that ended, by how.";
    STEP_SECONDS: Histogram<1>(WORK, &[STEP]) = "quaestor_step_seconds", AtWork, "How long a claimed step took.";
    STEP_TRIES: Histogram<1>(TRIES, &[STEP]) = "quaestor_step_attempts", AtWork, "At which try a step ended or went on.";
    STEPS_RUNNING: Gauge<1>(&[STEP]) = "quaestor_steps_running", AtWork, "Steps that run in this process.";
    STEP_SLOTS: Gauge<1>(&[STEP]) = "quaestor_step_slots", AtWork, "Steps that this process takes from a queue at once, at most.";
    JOB_SECONDS: Histogram<2>(LONG, &[KIND, JOB_OUTCOME]) = "quaestor_job_seconds", AtWork, "How long jobs took from acceptance to their end.";
    JOB_WAITS: Counter<2>(&[STEP, REASON]) = "quaestor_job_waits_total", Rarely, "Steps that were put off, by reason.";
    JOBS_DEAD: Counter<2>(&[STEP, CODE]) = "quaestor_jobs_dead_total", Rarely, "Jobs that were given up, by the class of what they ran into.";
    HANDLER_PANICS: Counter<0>(&[]) = "quaestor_handler_panics_total", Always, "Steps that failed by an error of the program.";
    MESSAGES_EXPIRED: Counter<1>(&[STEP]) = "quaestor_expired_messages_total", Always, "Messages that came after their job's deadline.";
    MESSAGES_LOST: Counter<1>(&[STEP]) = "quaestor_lost_messages_total", Always, "Messages that a queue had lost and that were sent again.";
    MESSAGES_UNDECODABLE: Counter<1>(&[STEP]) = "quaestor_messages_undecodable_total", Always, "Messages that could not be read.";
    DEAD_MESSAGES: Counter<1>(&[CODE]) = "quaestor_dead_messages_total", Rarely, "Messages that became dead letters, by what is wrong with them.";
    DEAD_LETTERS: Gauge<2>(&[LETTER, CODE]) = "quaestor_dead_letters", Rarely, "Dead letters that are kept, by class. The same from each process.";

    DOCUMENTS_INGESTED: Counter<0>(&[]) = "quaestor_documents_ingested_total", Always, "Documents that were read and are searchable.";
    DOCUMENTS_READ_AGAIN: Counter<0>(&[]) = "quaestor_documents_read_again_total", Always, "Documents that were read again: for passages that are cut otherwise, or by a later parser that found the same.";
    DOCUMENTS_FAILED: Counter<1>(&[REFUSAL]) = "quaestor_documents_failed_total", Always, "Documents that could not be read, by reason.";
    PAGES_INGESTED: Counter<0>(&[]) = "quaestor_pages_ingested_total", Always, "Pages of the documents that were read.";
    PASSAGES_INGESTED: Counter<0>(&[]) = "quaestor_passages_ingested_total", Always, "Passages of the documents that were read.";
    PASSAGES_REUSED: Counter<0>(&[]) = "quaestor_passages_reused_total", Always, "Passages whose text had a vector already, and got a copy of it.";
    PASSAGES_REINDEXED: Counter<0>(&[]) = "quaestor_passages_reindexed_total", Always, "Passages that got a vector in an index generation that was built, or made up for.";
    GENERATION_SWITCH_SECONDS: Histogram<0>(QUICK, &[]) = "quaestor_generation_switch_seconds", Rarely, "How long it took a search to change over to a collection's next index generation.";
    PASSAGES_EMBEDDED: Counter<0>(&[]) = "quaestor_passages_embedded_total", Always, "Passages that got a vector.";

    SEARCH_SECONDS: Histogram<1>(QUICK, &[SEARCHED_BY]) = "quaestor_search_seconds", AtWork, "How long searches took, of clients and of questions.";
    SEARCH_RESULTS: Histogram<1>(PASSAGES, &[SEARCHED_BY]) = "quaestor_search_results", AtWork, "How many passages they found.";
    SEARCHES_WITHOUT_MEANING: Counter<0>(&[]) = "quaestor_searches_without_meaning_total", Always, "Questions that were searched by words alone, although there is an embedding model.";
    SEARCHES_NOT_RERANKED: Counter<1>(&[CLASS]) = "quaestor_searches_not_reranked_total", Rarely, "Searches whose reranker did not answer, by reason.";
    ANSWERS_GIVEN_AGAIN: Counter<0>(&[]) = "quaestor_answers_given_again_total", Always, "Questions that were answered with a kept answer.";
    CHEAP_ANSWERS: Counter<0>(&[]) = "quaestor_cheap_answers_total", Always, "Answers by the cheaper model, because a soft budget is used up.";
    CITATIONS_DROPPED: Counter<0>(&[]) = "quaestor_citations_dropped_total", Always, "Citations of a model that named no passage.";

    MODEL_CALLS: Counter<4>(&[PROVIDER, MODEL, OPERATION, CALL_OUTCOME]) = "quaestor_model_calls_total", Rarely, "Requests to providers of models.";
    MODEL_CALL_SECONDS: Histogram<3>(WORK, &[PROVIDER, MODEL, OPERATION]) = "quaestor_model_call_seconds", Rarely, "How long they took, to the end of the answer.";
    MODEL_FIRST_PIECE: Histogram<3>(WORK, &[PROVIDER, MODEL, OPERATION]) = "quaestor_model_first_piece_seconds", Rarely, "How long they took to the first piece of the answer.";
    MODEL_INPUT_TOKENS: Counter<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_input_tokens_total", Rarely, "Tokens that were sent to providers.";
    MODEL_OUTPUT_TOKENS: Counter<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_output_tokens_total", Rarely, "Tokens that providers wrote.";
    MODEL_COST: Counter<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_cost_micros_total", Rarely, "What requests cost, in millionths of the currency of the configured prices.";
    MODEL_RETRIES: Counter<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_retries_total", Rarely, "Requests that were sent again.";
    MODEL_LIMIT_REACHED: Counter<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_limit_reached_total", Rarely, "Requests that were not sent, because the provider's limit is used up.";
    MODEL_FAILOVERS: Counter<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_failovers_total", Rarely, "Requests that the next model of the chain was asked instead.";
    MODEL_REJECTIONS: Counter<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_rejections_total", Rarely, "Requests that the breaker did not let through.";
    MODEL_BREAKER: Gauge<3>(&[PROVIDER, MODEL, OPERATION]) = "quaestor_model_breaker_state", Rarely, "Where the breaker of this process stands: 0 closed, 1 half open, 2 open.";

    SCALER_PROCESSES: Gauge<2>(&[KIND, PROCESSES]) = "quaestor_scaler_processes", Rarely, "Worker processes that `quaestor scaler` runs on its machine.";
    SCALER_WANTED: Gauge<1>(&[KIND]) = "quaestor_scaler_wanted", Rarely, "How many of them there are to be.";
    SCALER_CHANGES: Counter<2>(&[KIND, WAY]) = "quaestor_scaler_changes_total", Rarely, "How often it was decided that there are to be more, or fewer.";
    SCALER_CRASHES: Counter<1>(&[KIND]) = "quaestor_scaler_crashes_total", Rarely, "Worker processes that ended and were not told to.";

    DATABASE_CONNECTIONS: Gauge<2>(&[POOL, CONNECTION]) = "quaestor_database_connections", Always, "Connections of this process to the database.";
    DATABASE_CONNECTIONS_MAX: Gauge<1>(&[POOL]) = "quaestor_database_connections_max", Always, "How many of them there may be.";
    SNAPSHOT_LOG_BYTES: Gauge<0>(&[]) = "quaestor_snapshot_log_bytes", Rarely, "How large SQLite's log has grown while a backup is read from it.";
    REDIS_SECONDS: Histogram<1>(COMMAND, &[WENT]) = "quaestor_redis_command_seconds", Distributed, "How long commands to Redis took, one or several sent together.";
    OBJECTS_SECONDS: Histogram<2>(QUICK, &[FILE_OPERATION, WENT]) = "quaestor_objects_seconds", AtWork, "How long operations on stored files took, in S3 or in the folder; of `get` to the first byte.";
    SERVICE_UP: Gauge<1>(&[SERVICE]) = "quaestor_service_up", Always, "1 where what stands behind this process served at the last look.";
    SERVICE_PING_SECONDS: Gauge<1>(&[SERVICE]) = "quaestor_service_ping_seconds", Always, "How long that look took.";
    LOOKS_FAILED: Counter<1>(&[LOOK]) = "quaestor_looks_failed_total", Always, "Scrapes that could not read what waits; its gauges are NaN then.";
    DISK_FREE_BYTES: Gauge<0>(&[]) = "quaestor_disk_free_bytes", Always, "What is free on the disk of the data folder.";
    DISK_SIZE_BYTES: Gauge<0>(&[]) = "quaestor_disk_size_bytes", Always, "The size of that disk.";

    SWEEP_ROWS: Counter<1>(&[SWEEP]) = "quaestor_sweep_rows_total", Always, "Rows that sweeps have put right.";
    SWEEP_LAST_RUN: Gauge<1>(&[SWEEP]) = "quaestor_sweep_last_run_timestamp_seconds", AtWork, "When a sweep of this process last ended well.";
    SWEEP_FAILURES: Counter<1>(&[SWEEP]) = "quaestor_sweep_failures_total", Always, "Sweeps that failed.";
    MISSING_FILES: Gauge<0>(&[]) = "quaestor_missing_files", Rarely, "Documents whose file is gone, at the last sweep.";
    AUDIT_SEALED: Counter<0>(&[]) = "quaestor_audit_sealed_total", Always, "Entries of the audit log that were sealed.";
    SCHEDULE_RUNS: Counter<2>(&[SCHEDULE, RUN_OUTCOME]) = "quaestor_schedule_runs_total", Always, "Runs of schedules that ended in this process: done or failed, missed because no worker was there, skipped because the run before had not ended.";
    SCHEDULE_LATENESS: Gauge<1>(&[SCHEDULE]) = "quaestor_schedule_lateness_seconds", Rarely, "For how long a schedule has been due, or a run of it waits for a worker. The same from each process.";
    SCHEDULE_LAST_DONE: Gauge<1>(&[SCHEDULE]) = "quaestor_schedule_last_done_timestamp_seconds", Rarely, "When the last run of a schedule that was done ended. The same from each process.";
    CHECK_FINDINGS: Gauge<1>(&[FINDING]) = "quaestor_check_findings", Rarely, "What the last check of what is stored found that does not agree, by kind. The same from each process.";
    BACKUP_FAILURES: Counter<0>(&[]) = "quaestor_backup_failures_total", Always, "Backups by schedule that failed.";
    BACKUP_LAST_SUCCESS: Gauge<0>(&[]) = "quaestor_backup_last_success_timestamp_seconds", Rarely, "When the last backup by schedule was made.";
    BACKUP_LAST_SIZE: Gauge<0>(&[]) = "quaestor_backup_last_size_bytes", Rarely, "Its size.";
    BACKUP_LAST_DURATION: Gauge<0>(&[]) = "quaestor_backup_last_duration_seconds", Rarely, "How long it took.";
    BACKUP_LAST_DAMAGED: Gauge<0>(&[]) = "quaestor_backup_last_damaged_files", Rarely, "Files that it could not read.";

    @written {
        PROCESS_MEMORY: Gauge = "process_resident_memory_bytes", "Memory of this process.";
        PROCESS_CPU: Counter = "process_cpu_seconds_total", "Processor time that this process has used.";
        PROCESS_START: Gauge = "process_start_time_seconds", "When this process was started.";
        PROCESS_FDS: Gauge = "process_open_fds", "Files and sockets that this process has open.";
        PROCESS_MAX_FDS: Gauge = "process_max_fds", "How many of them it may have.";
        PROCESS_THREADS: Gauge = "process_threads", "Threads of this process.";
    }
}
