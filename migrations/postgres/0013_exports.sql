-- Exports: what was chosen to be written as a file, and the file while it is kept.
-- How it stands says its job. Templates lay exports out; each change is a new version.

CREATE TABLE export_templates (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    source TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (workspace_id, name, version)
);

CREATE TABLE exports (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    job_id UUID NOT NULL,
    format TEXT NOT NULL,
    -- What is exported: in JSON, the field of the request with its ids.
    selection TEXT NOT NULL,
    -- The version of a template; it may have been removed since.
    template_id UUID,
    filename TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- The file, once it is written and until its time is over. It does not travel.
    object_key TEXT,
    size_bytes BIGINT,
    sha256 TEXT,
    kept_until BIGINT,
    -- What links to the file are signed with.
    link_key BYTEA
);
CREATE INDEX exports_of_principal ON exports (workspace_id, principal_id, id);
CREATE INDEX exports_by_object ON exports (workspace_id, object_key) WHERE object_key IS NOT NULL;
CREATE INDEX exports_kept ON exports (kept_until) WHERE object_key IS NOT NULL;

SELECT protect_table('export_templates', 'workspace_id', '{}');
SELECT protect_table('exports', 'workspace_id', '{SELECT,UPDATE}');
