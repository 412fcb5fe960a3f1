-- The files of one upload, or of several that belong together. How many have ended is counted
-- over the jobs when somebody asks: a counter here would be one row that all of them wait for.
CREATE TABLE batches (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    name TEXT,
    -- `active`, `paused`, `cancelling` or `cancelled`.
    state TEXT NOT NULL,
    -- How many files it will have, where its owner has told.
    expected INTEGER,
    -- Files that were accepted, those among them that were there already, and their size.
    files INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- Since when it takes no more files.
    closed_at INTEGER
) WITHOUT ROWID;
CREATE INDEX batches_of_workspace ON batches (workspace_id, id);
CREATE INDEX batches_of_principal ON batches (workspace_id, principal_id, id);
CREATE INDEX batches_cancelling ON batches (id) WHERE state = 'cancelling';

CREATE INDEX jobs_of_batch ON jobs (workspace_id, batch_id, state, finished_at)
    WHERE batch_id IS NOT NULL;

-- Uploads of before had an id and no row.
INSERT INTO batches (id, workspace_id, principal_id, state, files, duplicates, size_bytes,
    created_at, closed_at)
SELECT j.batch_id, j.workspace_id, min(j.principal_id), 'active', count(*), 0,
    coalesce(sum(v.size_bytes), 0), min(j.created_at), max(j.created_at)
FROM jobs j LEFT JOIN versions v
    ON v.document_id = j.subject_id AND v.version = j.subject_version
WHERE j.batch_id IS NOT NULL
GROUP BY j.batch_id, j.workspace_id;

-- How far the parse of a version has come, written with its pages: what takes it up goes on
-- behind them.
CREATE TABLE checkpoints (
    version_key INTEGER PRIMARY KEY REFERENCES versions (key) ON DELETE CASCADE,
    workspace_id BLOB NOT NULL,
    parser TEXT NOT NULL,
    pages INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    state BLOB NOT NULL
);
