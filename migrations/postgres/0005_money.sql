-- What models cost: a row for each request to a provider, what was spent by days, and
-- the budgets. And steps that are put off for their workspace's sake.

ALTER TABLE model_usage
    -- A request may belong to no job: a search's question is embedded.
    ALTER COLUMN job_id DROP NOT NULL,
    -- `chat`, `embed` or `rerank`.
    ADD COLUMN operation TEXT NOT NULL DEFAULT 'chat',
    -- The provider's own name for the request.
    ADD COLUMN request_id TEXT,
    -- `done`, `cut` or `failed`.
    ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done',
    -- Whether tokens and cost were counted here, since the provider told none.
    ADD COLUMN estimated BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN duration_us BIGINT NOT NULL DEFAULT 0,
    -- Of the tokens that were sent, those that the provider had kept.
    ADD COLUMN cached_tokens BIGINT NOT NULL DEFAULT 0;

-- What a principal has spent on a day (UTC, counted from 1970): the sum of its requests.
CREATE TABLE spent (
    workspace_id UUID NOT NULL,
    day BIGINT NOT NULL,
    principal_id UUID NOT NULL,
    cost_micros BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, day, principal_id)
) WITH (fillfactor = 50);
SELECT protect_table('spent', 'workspace_id', '{}');

-- Whoever writes requests has them added up in the same transaction, programs of the
-- version before among them. What cost nothing adds nothing and locks nothing. Rows are
-- taken in their order: transactions that meet wait, and do not lock each other out.
CREATE FUNCTION add_up_spent() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO spent (workspace_id, day, principal_id, cost_micros)
    SELECT workspace_id, created_at / 86400000000, principal_id, sum(cost_micros)
    FROM added WHERE cost_micros > 0
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (workspace_id, day, principal_id)
        DO UPDATE SET cost_micros = spent.cost_micros + excluded.cost_micros;
    RETURN NULL;
END $$;
CREATE TRIGGER spend AFTER INSERT ON model_usage
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_up_spent();

-- What may be spent, where it is not what the configuration says. Null is no limit.
CREATE TABLE budgets (
    workspace_id UUID NOT NULL,
    -- The principal, or the workspace itself for all of its principals together.
    subject_id UUID NOT NULL,
    day_soft_micros BIGINT,
    day_hard_micros BIGINT,
    month_soft_micros BIGINT,
    month_hard_micros BIGINT,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, subject_id)
);
SELECT protect_table('budgets', 'workspace_id', '{SELECT}');

-- Answers, each with the end of its job and the requests that it took: `$15` and what
-- follows are requests, of which the first column names the answer's place.
CREATE FUNCTION save_answers_and_calls(
    uuid[], uuid[], bigint[], text[], uuid[], text[], text[], text[], text[], bigint[],
    bigint[], bigint[], bigint[], message uuid[],
    bigint[], text[], text[], text[], bigint[], bigint[], bigint[], boolean[], text[], bigint[],
    bigint[], bigint[], named uuid[]
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
            duration_us, cached_tokens)
        SELECT i.workspace_id, ended.principal_id, i.job_id, i.attempt, c.operation, c.model,
            c.request_id, c.input_tokens, c.output_tokens, c.cost_micros, c.estimated, c.outcome,
            c.ended_at, c.duration_us, c.cached_tokens
        FROM unnest($15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
            AS c(place, operation, model, request_id, input_tokens, output_tokens, cost_micros,
                estimated, outcome, ended_at, duration_us, cached_tokens)
        JOIN input i ON i.place = c.place JOIN ended ON ended.place = c.place
    )
    SELECT place FROM ended;
END $$;

-- Steps that nobody has claimed wait, under messages of their own.
CREATE FUNCTION put_steps_off(
    uuid[], uuid[], text[], uuid[], uuid[], text[], bigint[], bigint[], named uuid[]
) RETURNS TABLE (place bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, false);
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
        WITH ORDINALITY AS t(workspace_id, job_id, step, message_id, outbox_id, reason, due_at, now,
            place)
        ORDER BY job_id
    ), put_off AS (
        UPDATE jobs j SET state = 'waiting', reason = i.reason, until = i.due_at,
            outbox_id = i.outbox_id, updated_at = i.now
        FROM input i
        WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.step = i.step
            AND j.outbox_id = i.message_id AND j.state IN ('queued', 'waiting')
            AND NOT j.cancel_requested
        RETURNING i.place
    ), sent AS (
        UPDATE outbox o SET id = i.outbox_id, due_at = i.due_at, sent_at = NULL
        FROM input i JOIN put_off USING (place)
        WHERE o.job_id = i.job_id AND o.workspace_id = i.workspace_id
    )
    SELECT place FROM put_off;
END $$;
