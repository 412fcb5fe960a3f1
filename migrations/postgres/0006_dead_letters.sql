-- What a job ran into stands on it while it is tried again, and is kept when it is given up.

ALTER TABLE jobs
    ADD COLUMN last_error TEXT,
    ADD COLUMN first_failed_at BIGINT;

-- Jobs that were given up and messages that could not be read, until somebody replays or
-- discards them. A table of its own: a message has no job, a list by class and time needs
-- indexes that the job's row should not pay for at every claim, and a replay takes the
-- letter away while the job stays.
CREATE TABLE dead_letters (
    -- The job's id, or the message's own.
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    -- The kind of job, or `message`.
    kind TEXT NOT NULL,
    step TEXT,
    -- The class of the error, its sentence, and its causes as a list in JSON.
    code TEXT NOT NULL,
    detail TEXT NOT NULL,
    causes TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    worker_id UUID,
    first_failed_at BIGINT NOT NULL,
    died_at BIGINT NOT NULL,
    traceparent TEXT,
    payload TEXT,
    -- What is kept of a message, in JSON.
    message TEXT
);
CREATE INDEX dead_letters_of_workspace ON dead_letters (workspace_id, id);
CREATE INDEX dead_letters_by_class ON dead_letters (workspace_id, code, died_at);

-- Jobs that were dead before there were letters: what was kept of them is their problem.
-- The table is not protected yet, but the jobs are, and they are everybody's here.
DO $$
BEGIN
    PERFORM set_config('quaestor.installation', 'on', true);
    INSERT INTO dead_letters (id, workspace_id, kind, step, code, detail, causes, attempts,
        first_failed_at, died_at, traceparent, payload)
    SELECT id, workspace_id, kind, step, coalesce(told ->> 'code', 'unknown'),
        coalesce(told ->> 'detail', ''), '[]', attempt, coalesce(finished_at, updated_at),
        coalesce(finished_at, updated_at), traceparent, payload
    -- PostgreSQL cannot make text of JSON with an escaped NUL.
    FROM (SELECT *, replace(problem, '\u0000', '\ufffd')::json AS told
          FROM jobs WHERE state = 'dead') dead;
    PERFORM set_config('quaestor.installation', '', true);
END $$;

SELECT protect_table('dead_letters', 'workspace_id', '{SELECT}');
