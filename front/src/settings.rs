//! What an operator may set of the front, with the defaults that serve one machine.

use std::time::Duration;

use quaestor_core::ports::limits::Quota;

/// Limits and allow-lists of the front.
#[derive(Clone, Debug)]
pub struct FrontSettings {
    /// The largest file that is taken. Default 1 GiB.
    pub max_upload_bytes: u64,
    /// The largest JSON body. Default 256 KiB.
    pub max_json_bytes: usize,
    /// How many files one upload may hold. Default 200.
    pub max_files_per_upload: usize,
    /// How long an upload may send nothing. Default 30 s.
    pub upload_idle: Duration,
    /// How long a JSON body may take to arrive. Default 10 s.
    pub body_timeout: Duration,
    /// The longest question and search query, in characters. Default 8,000.
    pub question_max_chars: usize,
    /// How long a question may wait for its answer. Default 10 min.
    pub chat_deadline: Duration,
    /// The parsers that read files now: documents that another has read may be read again.
    /// Default none.
    pub parsers: Vec<String>,
    /// How long an upload may wait until it is searchable. Default 24 h.
    pub ingest_deadline: Duration,
    /// Origins, such as `https://app.example.com`, whose pages may call the API and open
    /// sockets besides those of this server's own address. Default none.
    pub allowed_origins: Vec<String>,
    /// How much a principal may ask for, per class of route.
    pub quotas: Quotas,
    /// WebSockets.
    pub sockets: SocketSettings,
    /// How long a key counts as good without asking the store again. A revoked key acts
    /// for at most this long on a request. Default 2 s; above 5 s breaks the promise.
    pub key_cache: Duration,
    /// Checks that `/ready` needs. Default database, queue, events and objects.
    pub ready_needs: Vec<Check>,
    /// How long one check may take. Default 1 s.
    pub check_timeout: Duration,
    /// How long the checks of `/health` are kept. Default 1 s.
    pub health_cache: Duration,
    /// How often a silent stream asks the store whether its job has ended. Default 2 s.
    pub watch_poll: Duration,
    /// How often a silent event stream sends a comment. Default 15 s.
    pub sse_ping: Duration,
    /// Whether making vectors costs anything: then a used-up budget refuses uploads and
    /// searches too. Default no.
    pub embedding_costs: bool,
    /// The models that `/health` names, such as `chat offline`.
    pub models: Vec<String>,
    /// The version that `/health` and the OpenAPI document name.
    pub version: String,
    /// Connections at once; further ones wait to be taken. Default 10,000.
    pub max_connections: usize,
    /// While this many messages wait in the outbox, new work is refused.
    pub outbox_cap: u32,
    /// Unfinished questions that a workspace may have. Default 5,000.
    pub questions_per_workspace: u32,
    /// Unfinished files that a workspace may have. Default 50,000.
    pub files_per_workspace: u32,
    /// Unfinished exports that a workspace may have. Default 5,000.
    pub exports_per_workspace: u32,
    /// How long an export may wait until it is written. Default 24 h.
    pub export_deadline: Duration,
    /// How long a link to an export's file works. Default 5 min.
    pub export_link_lives: Duration,
    /// How long a question may wait until it is begun: while the oldest has waited longer,
    /// new ones are refused. Default 60 s.
    pub question_wait: Duration,
    /// How long a client may take to send the headers of a request. Default 15 s.
    pub header_timeout: Duration,
}

impl Default for FrontSettings {
    fn default() -> Self {
        Self {
            max_upload_bytes: 1 << 30,
            max_json_bytes: 256 << 10,
            max_files_per_upload: 200,
            upload_idle: Duration::from_secs(30),
            body_timeout: Duration::from_secs(10),
            question_max_chars: 8_000,
            chat_deadline: Duration::from_mins(10),
            parsers: Vec::new(),
            ingest_deadline: Duration::from_hours(24),
            allowed_origins: Vec::new(),
            quotas: Quotas::default(),
            sockets: SocketSettings::default(),
            key_cache: Duration::from_secs(2),
            ready_needs: vec![Check::Database, Check::Queue, Check::Events, Check::Objects],
            check_timeout: Duration::from_secs(1),
            health_cache: Duration::from_secs(1),
            watch_poll: Duration::from_secs(2),
            sse_ping: Duration::from_secs(15),
            embedding_costs: false,
            models: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_connections: 16_384,
            outbox_cap: 100_000,
            questions_per_workspace: 5_000,
            files_per_workspace: 50_000,
            exports_per_workspace: 5_000,
            export_deadline: Duration::from_hours(24),
            export_link_lives: Duration::from_mins(5),
            question_wait: Duration::from_secs(60),
            header_timeout: Duration::from_secs(15),
        }
    }
}

/// How much a principal may ask for, per class of route.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Lists and single things. Default 1,200 a minute.
    pub read: Quota,
    /// Changes. Default 300 a minute.
    pub write: Quota,
    /// Questions. Default 60 a minute.
    pub ask: Quota,
    /// Searches. Default 300 a minute.
    pub search: Quota,
    /// Upload requests, each of many files. Default 600 a minute.
    pub upload: Quota,
    /// Keys, budgets, usage and the audit log. Default 120 a minute.
    pub admin: Quota,
    /// Tickets and new sockets. Default 120 a minute.
    pub socket: Quota,
    /// Wrong keys from one address before it is told to wait. Default 10 a minute.
    pub wrong_keys: Quota,
    /// Audit entries for ids that are not there for the caller. Default 30 a minute; what
    /// is beyond is counted in the metrics only.
    pub denied_audit: Quota,
}

impl Default for Quotas {
    fn default() -> Self {
        let quota = |burst, per_minute| Quota { burst, per_minute };
        Self {
            read: quota(400, 1_200),
            write: quota(100, 300),
            ask: quota(30, 60),
            search: quota(100, 300),
            upload: quota(200, 600),
            admin: quota(60, 120),
            socket: quota(60, 120),
            wrong_keys: quota(10, 10),
            denied_audit: quota(30, 30),
        }
    }
}

/// Limits of a WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct SocketSettings {
    /// The largest message that is read. The contract says 64 KiB.
    pub max_message_bytes: usize,
    /// What a socket reads into; the library's own default costs 128 KiB each. Default 4 KiB.
    pub read_buffer_bytes: usize,
    /// What a socket may hold of unsent bytes. Default 256 KiB.
    pub max_write_buffer_bytes: usize,
    /// Jobs that one socket may watch at once. Default 64.
    pub max_subscriptions: usize,
    /// How often the peer is pinged. Default 20 s.
    pub ping_every: Duration,
    /// How long the peer may send nothing, not even a pong. Default 45 s.
    pub idle_close: Duration,
    /// How long one frame may take to leave before the peer counts as too slow. Default 5 s.
    pub send_timeout: Duration,
    /// How often the socket's key is looked at. With `key_cache` at most 5 s. Default 2 s.
    pub key_check: Duration,
    /// How long a ticket lives. Default 30 s.
    pub ticket_ttl: Duration,
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 << 10,
            read_buffer_bytes: 4 << 10,
            max_write_buffer_bytes: 256 << 10,
            max_subscriptions: 64,
            ping_every: Duration::from_secs(20),
            idle_close: Duration::from_secs(45),
            send_timeout: Duration::from_secs(5),
            key_check: Duration::from_secs(2),
            ticket_ttl: Duration::from_secs(30),
        }
    }
}

/// What `/health` and `/ready` look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// The store.
    Database,
    /// The queue.
    Queue,
    /// The event log.
    Events,
    /// The object store.
    Objects,
    /// That models are configured.
    Models,
}
