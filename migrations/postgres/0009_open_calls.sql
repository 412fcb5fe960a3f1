-- Requests to providers are written down before they are sent, so that one whose process
-- dies is still accounted; and each is accounted once, however often it is written.

ALTER TABLE model_usage
    -- Our own name for the request, which it is sent with; null where a program of the
    -- version before has sent it.
    ADD COLUMN call_id UUID;
CREATE UNIQUE INDEX model_usage_once ON model_usage (created_at, call_id);

-- Requests that were sent, or are about to be, and have no row of usage yet.
CREATE TABLE open_calls (
    id UUID PRIMARY KEY,
    workspace_id UUID NOT NULL,
    principal_id UUID NOT NULL,
    -- Null for a search, whose question is embedded.
    job_id UUID,
    attempt BIGINT NOT NULL,
    operation TEXT NOT NULL,
    model TEXT NOT NULL,
    -- What it is taken to cost, should nobody tell.
    input_tokens BIGINT NOT NULL,
    cost_micros BIGINT NOT NULL,
    started_at BIGINT NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX open_calls_by_age ON open_calls (started_at);
SELECT protect_table('open_calls', 'workspace_id', '{SELECT}');

CREATE FUNCTION begin_calls(
    uuid[], uuid[], uuid[], uuid[], bigint[], text[], text[], bigint[], bigint[], bigint[],
    named uuid[]
) RETURNS TABLE (place bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, false);
    INSERT INTO open_calls (workspace_id, id, principal_id, job_id, attempt, operation, model,
        input_tokens, cost_micros, started_at)
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (id) DO NOTHING;
    RETURN QUERY SELECT generate_series(1, cardinality($1))::bigint;
END $$;

-- A request that has its row of usage is no longer open.
CREATE OR REPLACE FUNCTION add_up_spent() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO spent (workspace_id, day, principal_id, cost_micros)
    SELECT workspace_id, created_at / 86400000000, principal_id, sum(cost_micros)
    FROM added WHERE cost_micros > 0
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (workspace_id, day, principal_id)
        DO UPDATE SET cost_micros = spent.cost_micros + excluded.cost_micros;
    DELETE FROM open_calls o USING added a
    WHERE o.id = a.call_id AND o.workspace_id = a.workspace_id;
    RETURN NULL;
END $$;

-- As `save_answers_and_calls`, which programs of the version before call, with our own names
-- of the requests.
CREATE FUNCTION save_answers_with_calls(
    uuid[], uuid[], bigint[], text[], uuid[], text[], text[], text[], text[], bigint[],
    bigint[], bigint[], bigint[], message uuid[],
    bigint[], text[], text[], text[], bigint[], bigint[], bigint[], boolean[], text[], bigint[],
    bigint[], bigint[], uuid[], named uuid[]
) RETURNS TABLE (place bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, true);
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6,
            $7, $8, $9, $10, $11, $12,
            $13, $14)
        WITH ORDINALITY AS t(workspace_id, job_id, attempt, step, answer_id, content, citations,
            figures, model, input_tokens, output_tokens, cost_micros, now, message_id, place)
        ORDER BY job_id
    ), ended AS (
        UPDATE jobs j SET state = 'done', problem = NULL, reason = NULL, until = NULL,
            lease_until = NULL, worker_id = NULL, updated_at = i.now, finished_at = i.now
        FROM input i
        WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.attempt = i.attempt
            AND j.step = i.step AND j.state = 'running' AND j.outbox_id = i.message_id
            AND j.subject_id = i.answer_id
        RETURNING i.place, j.principal_id
    ), removed AS (
        DELETE FROM outbox o USING input i JOIN ended USING (place)
        WHERE o.job_id = i.job_id AND o.workspace_id = i.workspace_id
    ), said AS (
        UPDATE messages m SET state = 'done', content = i.content, citations = i.citations,
            figures = i.figures, model = i.model, input_tokens = i.input_tokens,
            output_tokens = i.output_tokens, cost_micros = i.cost_micros
        FROM input i JOIN ended USING (place)
        WHERE m.id = i.answer_id AND m.workspace_id = i.workspace_id
    ), used AS (
        INSERT INTO model_usage (workspace_id, principal_id, job_id, attempt, operation, model,
            request_id, input_tokens, output_tokens, cost_micros, estimated, outcome, created_at,
            duration_us, cached_tokens, call_id)
        SELECT i.workspace_id, ended.principal_id, i.job_id, i.attempt, c.operation, c.model,
            c.request_id, c.input_tokens, c.output_tokens, c.cost_micros, c.estimated, c.outcome,
            c.started_at, c.duration_us, c.cached_tokens, c.call_id
        FROM unnest($15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)
            AS c(place, operation, model, request_id, input_tokens, output_tokens, cost_micros,
                estimated, outcome, started_at, duration_us, cached_tokens, call_id)
        JOIN input i ON i.place = c.place JOIN ended ON ended.place = c.place
        ON CONFLICT (created_at, call_id) DO NOTHING
    )
    SELECT place FROM ended;
END $$;
