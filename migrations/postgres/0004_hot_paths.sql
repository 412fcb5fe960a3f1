-- What the system's figures hang on: a whole group of calls in one statement and one round
-- trip. Each function names the workspaces of its group, and row-level security then holds
-- for it as for any other transaction; what is not named is not seen.
--
-- Calls come as arrays, one for each column, with the row's `place` counted from 1. Each part
-- of a statement sees only the calls that the part before has let through: a foreign
-- conversation, a key that is taken and a stale claim each fail alone. What can be redone
-- does not wait for the disk.
--
-- Rows are locked in the order job, message, and the jobs of a group in the order of their
-- ids: groups that meet wait for each other, and do not lock each other out.
--
-- A later version that needs another text makes a function of another name: programs of the
-- version before run beside it for a while.

-- Names the workspaces of a group, until its transaction ends. Each statement here finds its
-- rows by ids: a plan that reads a table whole may look cheap while the table is small, and
-- is kept when it no longer is.
CREATE FUNCTION name_workspaces(named uuid[], wait_for_disk boolean) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    told text;
BEGIN
    told := set_config('quaestor.workspaces', named::text, true);
    told := set_config('enable_seqscan', 'off', true);
    told := set_config('enable_hashjoin', 'off', true);
    told := set_config('enable_mergejoin', 'off', true);
    IF NOT wait_for_disk THEN
        told := set_config('synchronous_commit', 'off', true);
    END IF;
END $$;

-- Acceptances of questions. A part of the statement is run whether it is looked at or not.
-- `asked` are the questions in conversations of their own principal, which it locks; `kept`
-- are the keys that were free; `accepted` is what is left.
CREATE FUNCTION accept_questions(
    uuid[], uuid[], uuid[], uuid[], uuid[], text[], text[], bigint[], uuid[], uuid[], text[],
    text[], text[], uuid[], uuid[], bigint[], text[], uuid[], uuid[], text[], text[], bigint[],
    uuid[], text[], bytea[], bigint[], text[], bigint[], named uuid[]
) RETURNS TABLE (place bigint, accepted boolean, known boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, true);
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6,
            $7, $8, $9, $10, $11, $12, $13,
            $14, $15, $16, $17, $18, $19,
            $20, $21, $22, $23, $24, $25,
            $26, $27, $28)
        WITH ORDINALITY AS t(workspace_id, conversation_id, principal_id, message_id, answer_id,
            content, title, asked_at, job_id, job_principal, kind, step, payload, batch_id, outbox_id,
            deadline, traceparent, audit_id, audit_principal, action, subject, audit_at,
            key_principal, key, request_sha256, key_at, response, due_at, place)
    ), asked AS MATERIALIZED (
        SELECT i.place FROM input i
        JOIN conversations c ON c.id = i.conversation_id AND c.workspace_id = i.workspace_id
            AND c.principal_id = i.principal_id
        ORDER BY c.id FOR NO KEY UPDATE OF c
    ), kept AS (
        INSERT INTO idempotency_keys
            (workspace_id, principal_id, key, request_sha256, response, created_at)
        SELECT i.workspace_id, i.key_principal, i.key, i.request_sha256, i.response, i.key_at
        FROM input i JOIN asked USING (place) WHERE i.key IS NOT NULL
        ORDER BY i.workspace_id, i.key_principal, i.key
        ON CONFLICT DO NOTHING RETURNING response
    ), accepted AS MATERIALIZED (
        SELECT i.* FROM input i JOIN asked USING (place)
        WHERE i.key IS NULL OR i.response IN (SELECT response FROM kept)
    ), touched AS (
        UPDATE conversations c SET title = coalesce(c.title, t.title),
            updated_at = greatest(c.updated_at, t.asked_at)
        FROM (SELECT conversation_id, (array_agg(title ORDER BY place))[1] AS title,
                  max(asked_at) AS asked_at
              FROM accepted GROUP BY conversation_id) t
        WHERE c.id = t.conversation_id
    ), said AS (
        INSERT INTO messages
            (id, workspace_id, conversation_id, role, state, content, question_id, created_at)
        SELECT message_id, workspace_id, conversation_id, 'user', 'done', content, NULL::uuid, asked_at
        FROM accepted
        UNION ALL
        SELECT answer_id, workspace_id, conversation_id, 'assistant', 'pending', '', message_id,
            asked_at
        FROM accepted
    ), queued AS (
        INSERT INTO jobs (id, workspace_id, principal_id, kind, step, state, payload, subject_id,
            batch_id, outbox_id, deadline, traceparent, created_at, updated_at)
        SELECT job_id, workspace_id, job_principal, kind, step, 'queued', payload, answer_id, batch_id,
            outbox_id, deadline, traceparent, asked_at, asked_at
        FROM accepted
    ), sent AS (
        INSERT INTO outbox (id, workspace_id, job_id, enqueued_at, due_at)
        SELECT outbox_id, workspace_id, job_id, asked_at, due_at FROM accepted
    ), noted AS (
        INSERT INTO audit_log (id, workspace_id, principal_id, action, subject, at)
        SELECT audit_id, workspace_id, audit_principal, action, subject, audit_at FROM accepted
    )
    SELECT i.place, a.place IS NOT NULL AS accepted,
        asked.place IS NOT NULL OR (i.key IS NOT NULL AND EXISTS (
            SELECT FROM idempotency_keys k WHERE k.workspace_id = i.workspace_id
                AND k.principal_id = i.key_principal AND k.key = i.key)) AS known
    FROM input i LEFT JOIN asked USING (place) LEFT JOIN accepted a USING (place);
END $$;

-- Claims that can be granted as they stand. The job alone is looked at: of two claims at once
-- the later one waits for the row and then finds it running. Where one job is claimed twice
-- in a group, one of them has it.
CREATE FUNCTION claim_steps(
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
    RETURNING i.place, j.attempt, j.step_attempt, j.payload, j.principal_id, j.deadline, j.created_at;
END $$;

-- What was retrieved, and with it the next step: queued, or kept by the worker that goes on.
CREATE FUNCTION keep_retrieved(
    uuid[], uuid[], bigint[], text[], uuid[], text[], text[], text[], text[], uuid[], bigint[],
    uuid[], bigint[], message uuid[], named uuid[]
) RETURNS TABLE (place bigint, cancel_requested boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, false);
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6,
            $7, $8, $9, $10, $11, $12, $13, $14)
        WITH ORDINALITY AS t(workspace_id, job_id, attempt, step, answer_id, question, passages,
            next_step, payload, outbox_id, due_at, kept_by, lease_until, message_id, place)
        ORDER BY job_id
    ), moved AS (
        UPDATE jobs j SET state = CASE WHEN i.kept_by IS NULL THEN 'queued' ELSE 'running' END,
            step = i.next_step, payload = i.payload, reason = NULL, until = NULL,
            outbox_id = i.outbox_id, attempt = j.attempt + (i.kept_by IS NOT NULL)::int,
            step_attempt = CASE WHEN j.step = i.next_step THEN j.step_attempt ELSE 0 END
                + (i.kept_by IS NOT NULL)::int,
            lease_until = i.lease_until, worker_id = i.kept_by, updated_at = i.due_at
        FROM input i
        WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.attempt = i.attempt
            AND j.step = i.step AND j.state = 'running' AND j.outbox_id = i.message_id AND j.subject_id = i.answer_id
        RETURNING i.place, j.cancel_requested
    ), found AS (
        INSERT INTO groundings (answer_id, workspace_id, standalone_question, passages)
        SELECT i.answer_id, i.workspace_id, i.question, i.passages FROM input i JOIN moved USING (place)
        ON CONFLICT (answer_id) DO UPDATE SET
            standalone_question = excluded.standalone_question, passages = excluded.passages
    ), sent AS (
        UPDATE outbox o SET id = i.outbox_id, enqueued_at = i.due_at, due_at = i.due_at,
            sent_at = CASE WHEN i.kept_by IS NOT NULL THEN i.due_at END
        FROM input i JOIN moved USING (place)
        WHERE o.job_id = i.job_id AND o.workspace_id = i.workspace_id
    )
    SELECT place, cancel_requested FROM moved;
END $$;

-- Answers, each with the end of its job.
CREATE FUNCTION save_answers(
    uuid[], uuid[], bigint[], text[], uuid[], text[], text[], text[], text[], bigint[],
    bigint[], bigint[], bigint[], message uuid[], named uuid[]
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
            AND j.step = i.step AND j.state = 'running' AND j.outbox_id = i.message_id AND j.subject_id = i.answer_id
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
        INSERT INTO model_usage (workspace_id, principal_id, job_id, attempt, model, input_tokens,
            output_tokens, cost_micros, created_at)
        SELECT i.workspace_id, ended.principal_id, i.job_id, i.attempt, i.model, i.input_tokens,
            i.output_tokens, i.cost_micros, i.now
        FROM input i JOIN ended USING (place)
    )
    SELECT place FROM ended;
END $$;

-- Jobs that end as done with nothing else to write.
CREATE FUNCTION end_jobs(
    uuid[], uuid[], bigint[], text[], bigint[], message uuid[], named uuid[]
) RETURNS TABLE (place bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, true);
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6)
        WITH ORDINALITY AS t(workspace_id, job_id, attempt, step, now, message_id, place)
        ORDER BY job_id
    ), ended AS (
        UPDATE jobs j SET state = 'done', problem = NULL, reason = NULL, until = NULL,
            lease_until = NULL, worker_id = NULL, updated_at = i.now, finished_at = i.now
        FROM input i
        WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.attempt = i.attempt
            AND j.step = i.step AND j.state = 'running' AND j.outbox_id = i.message_id
        RETURNING i.place
    ), removed AS (
        DELETE FROM outbox o USING input i JOIN ended USING (place)
        WHERE o.job_id = i.job_id AND o.workspace_id = i.workspace_id
    )
    SELECT place FROM ended;
END $$;

-- What a question's worker needs to know: the question with the state of its answer (`part`
-- 0), and the finished turns before it, oldest first (`part` 1). `known` are the collections
-- that there are. Nothing for a question or an answer that is gone.
CREATE FUNCTION question_contexts(
    uuid[], uuid[], uuid[], bigint[], named uuid[]
) RETURNS TABLE (place bigint, part integer, answer_state text, collection_ids text, known uuid[],
    id uuid, conversation_id uuid, role text, state text, content text, citations text,
    figures text, model text, input_tokens bigint, output_tokens bigint, cost_micros bigint,
    error text, created_at bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM name_workspaces(named, true);
    RETURN QUERY
    WITH input AS MATERIALIZED (
        SELECT * FROM unnest($1, $2, $3, $4)
        WITH ORDINALITY AS t(workspace_id, question_id, answer_id, earlier, place)
    ), asked AS MATERIALIZED (
        SELECT i.place, i.workspace_id, i.earlier, m.conversation_id, m.id AS question_id,
            a.state AS answer_state, c.collection_ids
        FROM input i
        JOIN messages m ON m.id = i.question_id AND m.workspace_id = i.workspace_id
            AND m.role = 'user'
        JOIN messages a ON a.id = i.answer_id AND a.workspace_id = i.workspace_id
            AND a.question_id = m.id
        JOIN conversations c ON c.id = m.conversation_id
    ), wanted AS (
        SELECT place, 0 AS part, question_id AS of_question, NULL::uuid AS of_answer,
            question_id AS message_id
        FROM asked
        UNION ALL
        SELECT q.place, 1, turn.question_id, turn.answer_id,
            unnest(ARRAY[turn.question_id, turn.answer_id])
        FROM asked q CROSS JOIN LATERAL (
            SELECT a.id AS answer_id, a.question_id FROM messages a
            WHERE a.workspace_id = q.workspace_id AND a.conversation_id = q.conversation_id
                AND a.state = 'done' AND a.question_id < q.question_id
            ORDER BY a.question_id DESC LIMIT q.earlier) turn
    )
    SELECT w.place, w.part, q.answer_state, q.collection_ids,
        CASE w.part WHEN 0 THEN ARRAY(
            SELECT k.id FROM collections k WHERE k.workspace_id = q.workspace_id ORDER BY k.id)
        END,
        m.id, m.conversation_id, m.role, m.state, m.content, m.citations, m.figures, m.model,
        m.input_tokens, m.output_tokens, m.cost_micros, m.error, m.created_at
    FROM wanted w JOIN asked q USING (place) JOIN messages m ON m.id = w.message_id
    ORDER BY w.place, w.part, w.of_question, w.of_answer, m.role DESC;
END $$;
