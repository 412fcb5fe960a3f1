-- Exports: what was chosen to be written as a file, and the file while it is kept.
-- How it stands says its job. Templates lay exports out; each change is a new version.

CREATE TABLE export_templates (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (workspace_id, name, version)
) WITHOUT ROWID;

CREATE TABLE exports (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    job_id BLOB NOT NULL,
    format TEXT NOT NULL,
    -- What is exported: in JSON, the field of the request with its ids.
    selection TEXT NOT NULL,
    -- The version of a template; it may have been removed since.
    template_id BLOB,
    filename TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- The file, once it is written and until its time is over. It does not travel.
    object_key TEXT,
    size_bytes INTEGER,
    sha256 TEXT,
    kept_until INTEGER,
    -- What links to the file are signed with.
    link_key BLOB
) WITHOUT ROWID;
CREATE INDEX exports_of_principal ON exports (workspace_id, principal_id, id);
CREATE INDEX exports_by_object ON exports (workspace_id, object_key) WHERE object_key IS NOT NULL;
CREATE INDEX exports_kept ON exports (kept_until) WHERE object_key IS NOT NULL;
