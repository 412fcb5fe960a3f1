-- The first schema on PostgreSQL.
--
-- The words and columns are those of `migrations/sqlite`: ids are UUIDs; times are
-- microseconds since 1970; problems, citations, figures and payloads are JSON text (as
-- text, since JSONB refuses the NUL that a document may hold in escaped form). Every
-- table names the workspace, every statement filters by it, and beneath that row-level
-- security shows a transaction only the workspaces that it has named.
--
-- Foreign keys stand where something is removed with its owner. `jobs`, `outbox`,
-- `audit_log`, `model_usage` and `idempotency_keys` have none: their rows are written in one transaction with
-- what they name, workspaces and jobs are never removed, and a key to `workspaces` would
-- make every acceptance of a tenant lock one and the same row.

CREATE EXTENSION IF NOT EXISTS vector;

-- Whom the program acts as: no login, no right but those below. Roles belong to the
-- whole server, so another database may have made it, even at this moment.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quaestor_app') THEN
        CREATE ROLE quaestor_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END $$;
DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'quaestor_app', 'MEMBER') THEN
        EXECUTE format('GRANT quaestor_app TO %I', current_user);
    END IF;
EXCEPTION WHEN unique_violation THEN
    NULL;
END $$;

-- The workspaces that this transaction has named; none where it has named none.
CREATE FUNCTION visible_workspaces() RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(nullif(current_setting('quaestor.workspaces', true), ''), '{}')::uuid[] $$;

-- Whether this transaction works for the installation: sweeps, the relay, finding a key.
CREATE FUNCTION for_installation() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(current_setting('quaestor.installation', true), '') = 'on' $$;

-- Puts a table under row-level security and lets the program use it. The subquery makes
-- the planner ask once for a statement and not once for a row.
CREATE FUNCTION protect_table(tbl regclass, workspace_column name, installation_may text[])
RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    verb text;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', tbl);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', tbl);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO quaestor_app', tbl);
    EXECUTE format(
        'CREATE POLICY of_workspace ON %s
         USING (%I = ANY ((SELECT visible_workspaces())::uuid[]))', tbl, workspace_column);
    FOREACH verb IN ARRAY installation_may LOOP
        EXECUTE format(
            'CREATE POLICY for_installation_%s ON %s FOR %s %s ((SELECT for_installation()))',
            lower(verb), tbl, verb, CASE verb WHEN 'INSERT' THEN 'WITH CHECK' ELSE 'USING' END);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION protect_table(regclass, name, text[]) FROM PUBLIC;

CREATE TABLE workspaces (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE principals (
    workspace_id UUID NOT NULL REFERENCES workspaces (id),
    id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, id)
);

CREATE TABLE api_keys (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    prefix TEXT NOT NULL UNIQUE,
    secret_sha256 BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    FOREIGN KEY (workspace_id, principal_id) REFERENCES principals (workspace_id, id)
);
CREATE INDEX api_keys_of_workspace ON api_keys (workspace_id, id);
CREATE INDEX api_keys_of_principal ON api_keys (workspace_id, principal_id);

CREATE TABLE collections (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL REFERENCES workspaces (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (workspace_id, name)
);
CREATE INDEX collections_of_workspace ON collections (workspace_id, id);

CREATE TABLE generations (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    workspace_id UUID NOT NULL,
    collection_id UUID NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    dimensions BIGINT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX generations_of_collection ON generations (collection_id);
CREATE UNIQUE INDEX one_current_generation ON generations (collection_id)
    WHERE state = 'current';

CREATE TABLE documents (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    collection_id UUID NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    filename TEXT NOT NULL,
    newest_version BIGINT NOT NULL,
    -- The key of the version that is searched; null until one was parsed.
    current_key BIGINT,
    created_at BIGINT NOT NULL,
    UNIQUE (collection_id, filename)
);
CREATE INDEX documents_of_workspace ON documents (workspace_id, id);
CREATE INDEX documents_of_collection ON documents (collection_id, id, current_key);

CREATE TABLE versions (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id UUID NOT NULL,
    document_id UUID NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    collection_id UUID NOT NULL,
    version BIGINT NOT NULL,
    filename TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    object_key TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    title TEXT,
    document_date DATE,
    -- The day that a search by date goes by: the document's own, or that of the upload.
    day DATE NOT NULL,
    pages BIGINT NOT NULL DEFAULT 0,
    chunks BIGINT NOT NULL DEFAULT 0,
    job_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (document_id, version)
);
CREATE INDEX versions_by_bytes ON versions (collection_id, sha256);

CREATE TABLE pages (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id UUID NOT NULL,
    version_key BIGINT NOT NULL REFERENCES versions (key) ON DELETE CASCADE,
    ordinal BIGINT NOT NULL,
    number BIGINT,
    label TEXT,
    text TEXT NOT NULL,
    boxes BYTEA NOT NULL,
    missing TEXT,
    UNIQUE (version_key, ordinal)
);

-- What search needs of chunks and vectors is added by `0002_search.sql`.
CREATE TABLE chunks (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id UUID NOT NULL,
    version_key BIGINT NOT NULL REFERENCES versions (key) ON DELETE CASCADE,
    id UUID NOT NULL,
    ordinal BIGINT NOT NULL,
    page_ordinal BIGINT NOT NULL,
    char_start BIGINT NOT NULL,
    char_end BIGINT NOT NULL,
    is_table BOOLEAN NOT NULL,
    tokens BIGINT NOT NULL,
    cells TEXT,
    section TEXT NOT NULL,
    header TEXT NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (version_key, ordinal)
);
CREATE UNIQUE INDEX chunks_by_id ON chunks (id);

CREATE TABLE vectors (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id UUID NOT NULL,
    generation_key BIGINT NOT NULL REFERENCES generations (key) ON DELETE CASCADE,
    chunk_key BIGINT NOT NULL REFERENCES chunks (key) ON DELETE CASCADE,
    vector HALFVEC NOT NULL,
    UNIQUE (chunk_key, generation_key)
);
CREATE INDEX vectors_of_generation ON vectors (generation_key);

CREATE TABLE conversations (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL REFERENCES workspaces (id),
    principal_id UUID NOT NULL,
    title TEXT,
    -- A JSON list of ids; null means all collections.
    collection_ids TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX conversations_of_principal ON conversations (workspace_id, principal_id, id);

-- Parted by months. The ids are UUIDv7, which begin with the time, so a range of ids is a
-- range of time: the id stays the primary key, other tables can refer to it, and a look-up
-- by id goes to one partition alone.
CREATE TABLE messages (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    conversation_id UUID NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    content TEXT NOT NULL,
    citations TEXT NOT NULL DEFAULT '[]',
    figures TEXT NOT NULL DEFAULT '[]',
    model TEXT,
    input_tokens BIGINT,
    output_tokens BIGINT,
    cost_micros BIGINT,
    error TEXT,
    -- Of an answer: the question it answers.
    question_id UUID,
    created_at BIGINT NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX messages_of_conversation ON messages (conversation_id, id);
-- Who follows a conversation asks for its unfinished answers at every question.
CREATE INDEX messages_pending ON messages (conversation_id) WHERE state = 'pending';

-- What was retrieved for an answer; `passages` is a JSON list of chunk and score.
CREATE TABLE groundings (
    answer_id UUID PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE,
    workspace_id UUID NOT NULL,
    standalone_question TEXT NOT NULL,
    passages TEXT NOT NULL
);

CREATE TABLE feedback (
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    principal_id UUID NOT NULL,
    workspace_id UUID NOT NULL,
    rating BIGINT NOT NULL,
    comment TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (message_id, principal_id)
);

CREATE TABLE jobs (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    kind TEXT NOT NULL,
    step TEXT NOT NULL,
    state TEXT NOT NULL,
    payload TEXT NOT NULL,
    -- The document or the answer, and the version of the document.
    subject_id UUID NOT NULL,
    subject_version BIGINT,
    batch_id UUID,
    -- The message of the step that the job is at, here once more: a claim then looks at
    -- one row alone, and of two at once the later one sees what the first has made of it.
    outbox_id UUID,
    attempt BIGINT NOT NULL DEFAULT 0,
    -- How often the step that the job is at was claimed.
    step_attempt BIGINT NOT NULL DEFAULT 0,
    worker_id UUID,
    lease_until BIGINT,
    cancel_requested BOOLEAN NOT NULL DEFAULT FALSE,
    reason TEXT,
    until BIGINT,
    problem TEXT,
    deadline BIGINT,
    traceparent TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX jobs_of_workspace ON jobs (workspace_id, id);
CREATE INDEX jobs_of_principal ON jobs (workspace_id, principal_id, id);
CREATE INDEX jobs_of_subject ON jobs (subject_id);
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_with_deadline ON jobs (deadline)
    WHERE state IN ('queued', 'waiting') AND deadline IS NOT NULL;

-- One row for each unfinished job: the message of the step it is at.
CREATE TABLE outbox (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    job_id UUID NOT NULL UNIQUE,
    enqueued_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    sent_at BIGINT
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.0,
        autovacuum_vacuum_threshold = 5000);
CREATE INDEX outbox_unsent ON outbox (due_at, id) WHERE sent_at IS NULL;

CREATE SEQUENCE model_usage_keys;
CREATE TABLE model_usage (
    key BIGINT NOT NULL DEFAULT nextval('model_usage_keys'),
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    job_id UUID NOT NULL,
    attempt BIGINT NOT NULL,
    model TEXT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (created_at, key)
) PARTITION BY RANGE (created_at);
CREATE INDEX model_usage_of_workspace ON model_usage (workspace_id, created_at);
ALTER SEQUENCE model_usage_keys OWNED BY model_usage.key;
GRANT USAGE ON SEQUENCE model_usage_keys TO quaestor_app;

CREATE TABLE audit_log (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX audit_log_of_workspace ON audit_log (workspace_id, id);

CREATE TABLE idempotency_keys (
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    key TEXT NOT NULL,
    request_sha256 BYTEA NOT NULL,
    response TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, principal_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- Makes the partitions of the month of `at` (microseconds since 1970) and of the next
-- ones, where they are missing; returns how many. It runs with its owner's rights, since
-- the program may make no tables. The program has no right on a partition: it comes to
-- the rows through the parted table, whose policy then holds.
--
-- What falls outside of all months goes to the default partition, so nothing is ever
-- refused. A month of which rows stand there already keeps to it.
CREATE FUNCTION ensure_partitions(at bigint, months_ahead int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    parted text;
    part text;
    first_month timestamp := date_trunc('month', to_timestamp(at / 1000000) AT TIME ZONE 'UTC');
    starts timestamp;
    ends timestamp;
    low text;
    high text;
    stray boolean;
    made int := 0;
BEGIN
    -- Two at once would both miss the same partition.
    PERFORM pg_advisory_xact_lock(hashtext('quaestor.partitions'));
    FOREACH parted IN ARRAY ARRAY['messages', 'audit_log', 'model_usage'] LOOP
        FOR ahead IN 0..greatest(months_ahead, 0) LOOP
            starts := first_month + make_interval(months => ahead);
            ends := first_month + make_interval(months => ahead + 1);
            part := parted || to_char(starts, '"_"YYYY"_"MM');
            CONTINUE WHEN to_regclass(format('%I', part)) IS NOT NULL;
            IF parted = 'model_usage' THEN
                low := (extract(epoch FROM starts) * 1000000)::bigint::text;
                high := (extract(epoch FROM ends) * 1000000)::bigint::text;
                EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE created_at >= %s AND created_at < %s)',
                    parted || '_default', low, high) INTO stray;
            ELSE
                low := quote_literal(first_uuid_at(starts));
                high := quote_literal(first_uuid_at(ends));
                EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE id >= %s AND id < %s)',
                    parted || '_default', low, high) INTO stray;
            END IF;
            CONTINUE WHEN stray;
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)',
                part, parted, low, high);
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', part);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- The smallest UUIDv7 of a moment: its milliseconds are the first 48 bits.
CREATE FUNCTION first_uuid_at(moment timestamp) RETURNS uuid
LANGUAGE sql IMMUTABLE
AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
$$;

CREATE TABLE messages_default PARTITION OF messages DEFAULT;
CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT;
CREATE TABLE model_usage_default PARTITION OF model_usage DEFAULT;
ALTER TABLE messages_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log_default ENABLE ROW LEVEL SECURITY;
ALTER TABLE model_usage_default ENABLE ROW LEVEL SECURITY;

-- A function that runs with its owner's rights must find its own tables, whatever the
-- caller's search path says.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION ensure_partitions(bigint, int) SET search_path = %I, pg_temp',
        current_schema());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO quaestor_app', current_schema());
END $$;
REVOKE EXECUTE ON FUNCTION ensure_partitions(bigint, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions(bigint, int) TO quaestor_app;

SELECT protect_table('workspaces', 'id', '{SELECT,INSERT}');
SELECT protect_table('principals', 'workspace_id', '{}');
SELECT protect_table('api_keys', 'workspace_id', '{SELECT}');
SELECT protect_table('collections', 'workspace_id', '{}');
SELECT protect_table('generations', 'workspace_id', '{}');
SELECT protect_table('documents', 'workspace_id', '{}');
SELECT protect_table('versions', 'workspace_id', '{}');
SELECT protect_table('pages', 'workspace_id', '{}');
SELECT protect_table('chunks', 'workspace_id', '{}');
SELECT protect_table('vectors', 'workspace_id', '{}');
SELECT protect_table('conversations', 'workspace_id', '{}');
SELECT protect_table('messages', 'workspace_id', '{}');
SELECT protect_table('groundings', 'workspace_id', '{}');
SELECT protect_table('feedback', 'workspace_id', '{}');
SELECT protect_table('jobs', 'workspace_id', '{SELECT,UPDATE}');
SELECT protect_table('outbox', 'workspace_id', '{SELECT,UPDATE}');
SELECT protect_table('model_usage', 'workspace_id', '{}');
SELECT protect_table('audit_log', 'workspace_id', '{}');
SELECT protect_table('idempotency_keys', 'workspace_id', '{SELECT,DELETE}');
