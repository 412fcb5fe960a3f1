-- Requests to providers are written down before they are sent, so that one whose process
-- dies is still accounted; and each is accounted once, however often it is written.

-- Our own name for the request, which it is sent with; null where a program of the version
-- before has sent it.
ALTER TABLE model_usage ADD COLUMN call_id BLOB;
CREATE UNIQUE INDEX model_usage_once ON model_usage (created_at, call_id);

-- Requests that were sent, or are about to be, and have no row of usage yet.
CREATE TABLE open_calls (
    id BLOB PRIMARY KEY NOT NULL,
    workspace_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    -- Null for a search, whose question is embedded.
    job_id BLOB,
    attempt INTEGER NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    -- What it is taken to cost, should nobody tell.
    input_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    started_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX open_calls_by_age ON open_calls (started_at);

-- A request that has its row of usage is no longer open.
CREATE TRIGGER settle_call AFTER INSERT ON model_usage WHEN new.call_id IS NOT NULL
BEGIN
    DELETE FROM open_calls WHERE id = new.call_id AND workspace_id = new.workspace_id;
END;
