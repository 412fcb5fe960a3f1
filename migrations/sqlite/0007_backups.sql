-- What was backed up and when. A slot of the schedule has one row, which says whose turn it
-- is; a backup that somebody asked for has no slot.
CREATE TABLE backups (
    id BLOB PRIMARY KEY,
    slot INTEGER UNIQUE,
    -- `running`, `done` or `failed`.
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    ended_at INTEGER,
    -- Until when it counts as being made; of a failed one, from when it may be tried again.
    lease_until INTEGER NOT NULL,
    -- Where the bundle is kept, for people.
    place TEXT NOT NULL,
    name TEXT,
    size_bytes INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0,
    files INTEGER NOT NULL DEFAULT 0,
    damaged INTEGER NOT NULL DEFAULT 0,
    error TEXT
);
CREATE INDEX backups_by_time ON backups (began_at);

-- Which of the stored files a row names, for the sweep of those that none does.
CREATE INDEX versions_by_object ON versions (workspace_id, object_key);
