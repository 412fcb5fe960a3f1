-- The files of one upload, or of several that belong together. How many have ended is counted
-- over the jobs when somebody asks: a counter here would be one row that all of them wait for.
CREATE TABLE batches (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    name TEXT,
    -- `active`, `paused`, `cancelling` or `cancelled`.
    state TEXT NOT NULL,
    -- How many files it will have, where its owner has told.
    expected BIGINT,
    -- Files that were accepted, those among them that were there already, and their size.
    files BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Since when it takes no more files.
    closed_at BIGINT
) WITH (fillfactor = 70);
CREATE INDEX batches_of_workspace ON batches (workspace_id, id);
CREATE INDEX batches_of_principal ON batches (workspace_id, principal_id, id);
CREATE INDEX batches_cancelling ON batches (id) WHERE state = 'cancelling';

CREATE INDEX jobs_of_batch ON jobs (workspace_id, batch_id, state, finished_at)
    WHERE batch_id IS NOT NULL;

-- Uploads of before had an id and no row.
DO $$
BEGIN
    PERFORM set_config('quaestor.installation', 'on', true);
    PERFORM set_config('quaestor.workspaces',
        (SELECT coalesce(array_agg(id), '{}')::text FROM workspaces), true);
    INSERT INTO batches (id, workspace_id, principal_id, state, files, duplicates, size_bytes,
        created_at, closed_at)
    SELECT j.batch_id, j.workspace_id, (array_agg(j.principal_id))[1], 'active', count(*), 0,
        coalesce(sum(v.size_bytes), 0)::bigint, min(j.created_at), max(j.created_at)
    FROM jobs j LEFT JOIN versions v
        ON v.document_id = j.subject_id AND v.version = j.subject_version
    WHERE j.batch_id IS NOT NULL
    GROUP BY j.batch_id, j.workspace_id;
    PERFORM set_config('quaestor.installation', '', true);
    PERFORM set_config('quaestor.workspaces', '{}', true);
END $$;

-- How far the parse of a version has come, written with its pages: what takes it up goes on
-- behind them.
CREATE TABLE checkpoints (
    version_key BIGINT PRIMARY KEY REFERENCES versions (key) ON DELETE CASCADE,
    workspace_id UUID NOT NULL,
    parser TEXT NOT NULL,
    pages BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    state BYTEA NOT NULL
) WITH (fillfactor = 50);

SELECT protect_table('batches', 'workspace_id', '{SELECT}');
SELECT protect_table('checkpoints', 'workspace_id', '{}');

-- As `claim_steps`, but a file whose batch is paused or being cancelled is not granted: the
-- plain way, which is taken then, says why.
CREATE FUNCTION claim_steps_of_batches(
    uuid[], uuid[], text[], uuid[], uuid[], bigint[], bigint[], named uuid[]
) RETURNS TABLE (place bigint, attempt bigint, step_attempt bigint, payload text, principal_id uuid,
    deadline bigint, created_at bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, false);
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6,
            $7)
        WITH ORDINALITY AS t(workspace_id, job_id, step, outbox_id, worker_id, now, lease_until, place)
        ORDER BY job_id
    )
    UPDATE jobs j SET state = 'running', attempt = j.attempt + 1, step_attempt = j.step_attempt + 1,
        lease_until = i.lease_until, worker_id = i.worker_id, reason = NULL, until = NULL,
        updated_at = i.now
    FROM input i
    WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.step = i.step
        AND j.outbox_id = i.outbox_id AND NOT j.cancel_requested
        AND (j.state IN ('queued', 'waiting')
             OR (j.state = 'running' AND coalesce(j.lease_until <= i.now, TRUE)))
        AND (j.batch_id IS NULL OR NOT EXISTS (
            SELECT FROM batches b WHERE b.id = j.batch_id AND b.state IN ('paused', 'cancelling')))
    RETURNING i.place, j.attempt, j.step_attempt, j.payload, j.principal_id, j.deadline, j.created_at;
END $$;
