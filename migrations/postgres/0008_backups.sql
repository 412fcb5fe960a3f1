-- What was backed up and when. A slot of the schedule has one row, which says whose turn it
-- is; a backup that somebody asked for has no slot. It is of the installation and belongs to
-- no workspace, so no row-level security.
CREATE TABLE backups (
    id UUID PRIMARY KEY,
    slot BIGINT UNIQUE,
    -- `running`, `done` or `failed`.
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- Until when it counts as being made; of a failed one, from when it may be tried again.
    lease_until BIGINT NOT NULL,
    -- Where the bundle is kept, for people.
    place TEXT NOT NULL,
    name TEXT,
    size_bytes BIGINT NOT NULL DEFAULT 0,
    records BIGINT NOT NULL DEFAULT 0,
    files BIGINT NOT NULL DEFAULT 0,
    damaged BIGINT NOT NULL DEFAULT 0,
    error TEXT
);
CREATE INDEX backups_by_time ON backups (began_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON backups TO quaestor_app;

-- Which of the stored files a row names, for the sweep of those that none does.
CREATE INDEX versions_by_object ON versions (workspace_id, object_key);

-- A sweep removes messages of jobs that have ended.
CREATE POLICY for_installation_delete ON outbox FOR DELETE USING ((SELECT for_installation()));
