-- The first schema.
--
-- Ids are UUIDs as 16 bytes; times are microseconds since 1970; days are `YYYY-MM-DD`;
-- problems, citations, figures and payloads are JSON text. Every table names the
-- workspace, and every statement filters by it.
--
-- Tables whose rows are small and found by their id are WITHOUT ROWID. Those with large
-- rows are not: in such a tree a row of more than a quarter of a page spills over.
--
-- Each workspace has a full-text table of its own, `chunk_terms_<key>`, made with it:
-- what is common and what is rare is then counted within the workspace alone.

CREATE TABLE workspaces (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE principals (
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, id)
) WITHOUT ROWID;

CREATE TABLE api_keys (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    prefix TEXT NOT NULL UNIQUE,
    secret_sha256 BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    FOREIGN KEY (workspace_id, principal_id) REFERENCES principals (workspace_id, id)
) WITHOUT ROWID;
CREATE INDEX api_keys_of_workspace ON api_keys (workspace_id, id);
CREATE INDEX api_keys_of_principal ON api_keys (workspace_id, principal_id);

CREATE TABLE collections (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (workspace_id, name)
) WITHOUT ROWID;
CREATE INDEX collections_of_workspace ON collections (workspace_id, id);

CREATE TABLE generations (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    workspace_id BLOB NOT NULL,
    collection_id BLOB NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    dimensions INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX generations_of_collection ON generations (collection_id);
CREATE UNIQUE INDEX one_current_generation ON generations (collection_id)
    WHERE state = 'current';

CREATE TABLE documents (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL,
    collection_id BLOB NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    filename TEXT NOT NULL,
    newest_version INTEGER NOT NULL,
    -- The key of the version that is searched; null until one was parsed.
    current_key INTEGER,
    created_at INTEGER NOT NULL,
    UNIQUE (collection_id, filename)
) WITHOUT ROWID;
CREATE INDEX documents_of_workspace ON documents (workspace_id, id);
CREATE INDEX documents_of_collection ON documents (collection_id, id, current_key);

CREATE TABLE versions (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    document_id BLOB NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    collection_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    filename TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    object_key TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    title TEXT,
    document_date TEXT,
    -- The day that a search by date goes by: the document's own, or that of the upload.
    day TEXT NOT NULL,
    pages INTEGER NOT NULL DEFAULT 0,
    chunks INTEGER NOT NULL DEFAULT 0,
    job_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (document_id, version)
);
CREATE INDEX versions_by_bytes ON versions (collection_id, sha256);

CREATE TABLE pages (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    version_key INTEGER NOT NULL REFERENCES versions (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    number INTEGER,
    label TEXT,
    text TEXT NOT NULL,
    boxes BLOB NOT NULL,
    missing TEXT,
    UNIQUE (version_key, ordinal)
);

-- `key` is also the row of the workspace's full-text table.
CREATE TABLE chunks (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    version_key INTEGER NOT NULL REFERENCES versions (key) ON DELETE CASCADE,
    id BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    page_ordinal INTEGER NOT NULL,
    char_start INTEGER NOT NULL,
    char_end INTEGER NOT NULL,
    is_table INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cells TEXT,
    section TEXT NOT NULL,
    header TEXT NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (version_key, ordinal)
);
CREATE UNIQUE INDEX chunks_by_id ON chunks (id);

-- The exact vectors: `dimensions` little-endian 32-bit floats.
CREATE TABLE vectors (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    generation_key INTEGER NOT NULL REFERENCES generations (key) ON DELETE CASCADE,
    chunk_key INTEGER NOT NULL REFERENCES chunks (key) ON DELETE CASCADE,
    vector BLOB NOT NULL,
    UNIQUE (chunk_key, generation_key)
);
CREATE INDEX vectors_of_generation ON vectors (generation_key);

-- The same vectors as one bit per dimension, packed for a scan: entries of an 8-byte
-- key of `vectors` and the bits.
CREATE TABLE vector_blocks (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    generation_key INTEGER NOT NULL REFERENCES generations (key) ON DELETE CASCADE,
    version_key INTEGER NOT NULL REFERENCES versions (key) ON DELETE CASCADE,
    entries BLOB NOT NULL
);
CREATE INDEX vector_blocks_of_version ON vector_blocks (version_key, generation_key);
CREATE INDEX vector_blocks_of_generation ON vector_blocks (generation_key, version_key);

CREATE TABLE conversations (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    principal_id BLOB NOT NULL,
    title TEXT,
    -- A JSON list of ids; null means all collections.
    collection_ids TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX conversations_of_principal ON conversations (workspace_id, principal_id, id);

CREATE TABLE messages (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    workspace_id BLOB NOT NULL,
    conversation_id BLOB NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    content TEXT NOT NULL,
    citations TEXT NOT NULL DEFAULT '[]',
    figures TEXT NOT NULL DEFAULT '[]',
    model TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    cost_micros INTEGER,
    error TEXT,
    -- Of an answer: the question it answers.
    question_id BLOB,
    created_at INTEGER NOT NULL
);
CREATE INDEX messages_of_conversation ON messages (conversation_id, id);

-- What was retrieved for an answer; `passages` is a JSON list of chunk and score.
CREATE TABLE groundings (
    answer_id BLOB PRIMARY KEY NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    workspace_id BLOB NOT NULL,
    standalone_question TEXT NOT NULL,
    passages TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE feedback (
    message_id BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    principal_id BLOB NOT NULL,
    workspace_id BLOB NOT NULL,
    rating INTEGER NOT NULL,
    comment TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (message_id, principal_id)
) WITHOUT ROWID;

CREATE TABLE jobs (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    principal_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    step TEXT NOT NULL,
    state TEXT NOT NULL,
    payload TEXT NOT NULL,
    -- The document or the answer, and the version of the document.
    subject_id BLOB NOT NULL,
    subject_version INTEGER,
    batch_id BLOB,
    attempt INTEGER NOT NULL DEFAULT 0,
    -- How often the step that the job is at was claimed.
    step_attempt INTEGER NOT NULL DEFAULT 0,
    worker_id BLOB,
    lease_until INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    until INTEGER,
    problem TEXT,
    deadline INTEGER,
    traceparent TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER
) WITHOUT ROWID;
CREATE INDEX jobs_of_workspace ON jobs (workspace_id, id);
CREATE INDEX jobs_of_principal ON jobs (workspace_id, principal_id, id);
CREATE INDEX jobs_of_subject ON jobs (subject_id);
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_with_deadline ON jobs (deadline)
    WHERE state IN ('queued', 'waiting') AND deadline IS NOT NULL;

-- One row for each unfinished job: the message of the step it is at.
CREATE TABLE outbox (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL,
    job_id BLOB NOT NULL UNIQUE REFERENCES jobs (id) ON DELETE CASCADE,
    enqueued_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    sent_at INTEGER
) WITHOUT ROWID;
CREATE INDEX outbox_unsent ON outbox (due_at, id) WHERE sent_at IS NULL;

CREATE TABLE model_usage (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    job_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX model_usage_of_workspace ON model_usage (workspace_id, created_at);

CREATE TABLE audit_log (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    principal_id BLOB NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX audit_log_of_workspace ON audit_log (workspace_id, id);

CREATE TABLE idempotency_keys (
    workspace_id BLOB NOT NULL REFERENCES workspaces (id),
    principal_id BLOB NOT NULL,
    key TEXT NOT NULL,
    request_sha256 BLOB NOT NULL,
    response TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, principal_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
