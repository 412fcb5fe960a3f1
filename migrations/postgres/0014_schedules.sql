-- What is done by the clock, and how each run went. Both are of the installation and belong to
-- no workspace, so no row-level security.

CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    -- What is done, and how; a JSON object.
    task TEXT NOT NULL,
    options TEXT NOT NULL,
    -- When, as the configuration has it.
    cron TEXT NOT NULL,
    zone TEXT NOT NULL,
    missed TEXT NOT NULL,
    -- What an operator has set instead.
    set_cron TEXT,
    set_zone TEXT,
    set_missed TEXT,
    -- Whether it is wanted, 0 or 1, and when a process last said so.
    enabled BIGINT NOT NULL,
    offered_at BIGINT NOT NULL,
    paused_at BIGINT,
    -- The next moment; null until somebody works it out.
    next_at BIGINT
);

CREATE TABLE schedule_runs (
    id UUID PRIMARY KEY,
    schedule TEXT NOT NULL,
    task TEXT NOT NULL,
    options TEXT NOT NULL,
    -- The moment it is for; null where somebody asked for it.
    due_at BIGINT,
    -- `queued`, `running`, `done`, `failed`, `missed` or `skipped`.
    state TEXT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    -- The number of the claim: each rises by one.
    attempt BIGINT NOT NULL DEFAULT 0,
    queued_at BIGINT NOT NULL,
    began_at BIGINT,
    ended_at BIGINT,
    -- Until when a worker has it; of a queued one, from when on it may be taken.
    lease_until BIGINT NOT NULL,
    error TEXT,
    report TEXT,
    -- How far it is.
    checkpoint TEXT,
    UNIQUE (schedule, due_at)
);
CREATE UNIQUE INDEX one_unfinished_run ON schedule_runs (schedule)
    WHERE state IN ('queued', 'running');
CREATE INDEX schedule_runs_of_schedule ON schedule_runs (schedule, id);
CREATE INDEX schedule_runs_by_age ON schedule_runs (queued_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON schedules, schedule_runs TO quaestor_app;
