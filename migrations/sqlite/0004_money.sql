-- What models cost: a row for each request to a provider, what was spent by days, and
-- the budgets.

-- A request may belong to no job (a search's question is embedded), so the table is made
-- anew: SQLite cannot take a NOT NULL away.
CREATE TABLE model_calls (
    key INTEGER PRIMARY KEY,
    workspace_id BLOB NOT NULL,
    principal_id BLOB NOT NULL,
    job_id BLOB,
    -- Of the job, when the request was sent; 0 where there is no job.
    attempt INTEGER NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    -- When the request ended.
    created_at INTEGER NOT NULL,
    -- `chat`, `embed` or `rerank`.
    operation TEXT NOT NULL DEFAULT 'chat',
    -- The provider's own name for the request.
    request_id TEXT,
    -- `done`, `cut` or `failed`.
    outcome TEXT NOT NULL DEFAULT 'done',
    -- Whether tokens and cost were counted here, since the provider told none.
    estimated INTEGER NOT NULL DEFAULT 0,
    duration_us INTEGER NOT NULL DEFAULT 0,
    -- Of the tokens that were sent, those that the provider had kept.
    cached_tokens INTEGER NOT NULL DEFAULT 0
);
INSERT INTO model_calls (key, workspace_id, principal_id, job_id, attempt, model, input_tokens,
    output_tokens, cost_micros, created_at)
SELECT key, workspace_id, principal_id, job_id, attempt, model, input_tokens, output_tokens,
    cost_micros, created_at
FROM model_usage;
DROP TABLE model_usage;
ALTER TABLE model_calls RENAME TO model_usage;
CREATE INDEX model_usage_of_workspace ON model_usage (workspace_id, created_at);

-- What a principal has spent on a day (UTC, counted from 1970): the sum of its requests.
CREATE TABLE spent (
    workspace_id BLOB NOT NULL,
    day INTEGER NOT NULL,
    principal_id BLOB NOT NULL,
    cost_micros INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, day, principal_id)
) WITHOUT ROWID;

-- Whoever writes a request has it added up in the same transaction. What cost nothing
-- adds nothing.
CREATE TRIGGER spend AFTER INSERT ON model_usage WHEN new.cost_micros > 0
BEGIN
    INSERT INTO spent (workspace_id, day, principal_id, cost_micros)
    VALUES (new.workspace_id, new.created_at / 86400000000, new.principal_id, new.cost_micros)
    ON CONFLICT (workspace_id, day, principal_id)
        DO UPDATE SET cost_micros = cost_micros + excluded.cost_micros;
END;

-- What may be spent, where it is not what the configuration says. Null is no limit.
CREATE TABLE budgets (
    workspace_id BLOB NOT NULL,
    -- The principal, or the workspace itself for all of its principals together.
    subject_id BLOB NOT NULL,
    day_soft_micros INTEGER,
    day_hard_micros INTEGER,
    month_soft_micros INTEGER,
    month_hard_micros INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, subject_id)
) WITHOUT ROWID;
