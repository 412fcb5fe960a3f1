//! Acceptance of questions.

use std::sync::Arc;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::{AcceptQuestion, AcceptedQuestion, StoreError};
use sqlx::Row;

use super::super::chat::title_of;
use super::super::connections::{Commit, Connections};
use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::{dialect, rows};
use super::{column, place, workspaces};

/// A question to be accepted.
#[derive(Clone)]
pub(super) struct Accept {
    workspace: WorkspaceId,
    question: Arc<AcceptQuestion>,
    accepted: AcceptedQuestion,
    title: Arc<str>,
    content: Arc<str>,
    payload: Arc<str>,
    response: Arc<str>,
}

impl Accept {
    pub(super) fn new(workspace: WorkspaceId, question: AcceptQuestion) -> Result<Self, Fault> {
        let accepted = AcceptedQuestion {
            message_id: question.message_id,
            answer_id: question.answer_id,
            job_id: question.job.id,
        };
        Ok(Self {
            workspace,
            accepted,
            title: dialect::text(title_of(&question.content)).into(),
            content: dialect::text(question.content.clone()).into(),
            payload: rows::to_json(&question.job.payload)?.into(),
            response: rows::to_json(&accepted)?.into(),
            question: Arc::new(question),
        })
    }
}

/// A part of the statement is run whether it is looked at or not. `asked` are the
/// questions in conversations of their own principal, which it locks; `kept` are the keys
/// that were free; `accepted` is what is left.
const ACCEPT: &str = "
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
        $7::text[], $8::bigint[], $9::uuid[], $10::uuid[], $11::text[], $12::text[], $13::text[],
        $14::uuid[], $15::uuid[], $16::bigint[], $17::text[], $18::uuid[], $19::uuid[],
        $20::text[], $21::text[], $22::bigint[], $23::uuid[], $24::text[], $25::bytea[],
        $26::bigint[], $27::text[])
    WITH ORDINALITY AS t(workspace_id, conversation_id, principal_id, message_id, answer_id,
        content, title, asked_at, job_id, job_principal, kind, step, payload, batch_id, outbox_id,
        deadline, traceparent, audit_id, audit_principal, action, subject, audit_at,
        key_principal, key, request_sha256, key_at, response, place)
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
    SELECT outbox_id, workspace_id, job_id, asked_at, asked_at FROM accepted
), noted AS (
    INSERT INTO audit_log (id, workspace_id, principal_id, action, subject, at)
    SELECT audit_id, workspace_id, audit_principal, action, subject, audit_at FROM accepted
)
SELECT i.place, a.place IS NOT NULL AS accepted,
    asked.place IS NOT NULL OR (i.key IS NOT NULL AND EXISTS (
        SELECT FROM idempotency_keys k WHERE k.workspace_id = i.workspace_id
            AND k.principal_id = i.key_principal AND k.key = i.key)) AS known
FROM input i LEFT JOIN asked USING (place) LEFT JOIN accepted a USING (place)";

impl Call for Accept {
    type Answer = Option<AcceptedQuestion>;

    async fn write(
        connections: &Connections,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<Self::Answer, Fault>>, Fault> {
        let named = workspaces(&calls, |call| call.workspace);
        let mut writer = connections.group(named, Commit::OnDisk);
        let mut tx = writer.begin().await?;
        let key = |call: &'_ Self| call.question.idempotency.clone();
        let found = sqlx::query(ACCEPT)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.question.conversation_id.uuid()))
            .bind(column(&calls, |call| call.question.principal_id.uuid()))
            .bind(column(&calls, |call| call.question.message_id.uuid()))
            .bind(column(&calls, |call| call.question.answer_id.uuid()))
            .bind(column(&calls, |call| &*call.content))
            .bind(column(&calls, |call| &*call.title))
            .bind(column(&calls, |call| rows::micros(call.question.job.created_at)))
            .bind(column(&calls, |call| call.question.job.id.uuid()))
            .bind(column(&calls, |call| call.question.job.principal_id.uuid()))
            .bind(column(&calls, |call| call.question.job.kind.as_str()))
            .bind(column(&calls, |call| call.question.job.step.as_str()))
            .bind(column(&calls, |call| &*call.payload))
            .bind(column(&calls, |call| call.question.job.batch_id.map(|batch| batch.uuid())))
            .bind(column(&calls, |call| call.question.job.outbox_id.uuid()))
            .bind(column(&calls, |call| call.question.job.deadline.map(rows::micros)))
            .bind(column(&calls, |call| call.question.job.traceparent.as_deref()))
            .bind(column(&calls, |call| call.question.audit.id.uuid()))
            .bind(column(&calls, |call| call.question.audit.principal_id.uuid()))
            .bind(column(&calls, |call| call.question.audit.action))
            .bind(column(&calls, |call| call.question.audit.subject.as_str()))
            .bind(column(&calls, |call| rows::micros(call.question.audit.at)))
            .bind(column(&calls, |call| key(call).map(|key| key.principal_id.uuid())))
            .bind(column(&calls, |call| key(call).map(|key| dialect::text(key.key))))
            .bind(column(&calls, |call| key(call).map(|key| key.request_sha256.to_vec())))
            .bind(column(&calls, |call| key(call).map(|key| rows::micros(key.created_at))))
            .bind(column(&calls, |call| &*call.response))
            .fetch_all(&mut *tx)
            .await?;
        let mut answers: Vec<Result<Self::Answer, Fault>> =
            calls.iter().map(|_| Ok(None)).collect();
        for row in &found {
            let place = place(row)?;
            let (Some(answer), Some(call)) = (answers.get_mut(place), calls.get(place)) else {
                continue;
            };
            *answer = match (row.try_get("accepted")?, row.try_get("known")?) {
                (true, _) => Ok(Some(call.accepted)),
                (false, true) => {
                    Err(StoreError::Conflict { what: "a request with this idempotency key" }.into())
                }
                (false, false) => Ok(None),
            };
        }
        tx.commit().await?;
        Ok(answers)
    }
}
