//! What was retrieved, and with it the next step.

use std::sync::Arc;

use quaestor_core::ids::{MessageId, WorkspaceId};
use quaestor_core::ports::store::{Advance, Claim};

use super::super::connections::{Commit, Connections};
use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, held, workspaces};

/// What was retrieved for an answer.
#[derive(Clone)]
pub(super) struct Retrieved {
    pub(super) workspace: WorkspaceId,
    pub(super) claim: Claim,
    pub(super) answer: MessageId,
    pub(super) standalone_question: Arc<str>,
    pub(super) passages: Arc<str>,
    pub(super) payload: Arc<str>,
    pub(super) next: Arc<Advance>,
}

const ADVANCE: &str = "
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::uuid[], $6::text[],
        $7::text[], $8::text[], $9::text[], $10::uuid[], $11::bigint[])
    WITH ORDINALITY AS t(workspace_id, job_id, attempt, step, answer_id, question, passages,
        next_step, payload, outbox_id, due_at, place)
    ORDER BY job_id
), moved AS (
    UPDATE jobs j SET state = 'queued', step = i.next_step, payload = i.payload, reason = NULL,
        until = NULL, outbox_id = i.outbox_id,
        step_attempt = CASE WHEN j.step = i.next_step THEN j.step_attempt ELSE 0 END,
        lease_until = NULL, worker_id = NULL, updated_at = i.due_at
    FROM input i
    WHERE j.id = i.job_id AND j.workspace_id = i.workspace_id AND j.attempt = i.attempt
        AND j.step = i.step AND j.state = 'running' AND j.subject_id = i.answer_id
    RETURNING i.place
), found AS (
    INSERT INTO groundings (answer_id, workspace_id, standalone_question, passages)
    SELECT i.answer_id, i.workspace_id, i.question, i.passages FROM input i JOIN moved USING (place)
    ON CONFLICT (answer_id) DO UPDATE SET
        standalone_question = excluded.standalone_question, passages = excluded.passages
), sent AS (
    UPDATE outbox o SET id = i.outbox_id, enqueued_at = i.due_at, due_at = i.due_at, sent_at = NULL
    FROM input i JOIN moved USING (place)
    WHERE o.job_id = i.job_id AND o.workspace_id = i.workspace_id
)
SELECT place FROM moved";

impl Call for Retrieved {
    type Answer = ();

    async fn write(
        connections: &Connections,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        let named = workspaces(&calls, |call| call.workspace);
        let mut writer = connections.group(named, Commit::Soon);
        let mut tx = writer.begin().await?;
        let written = sqlx::query(ADVANCE)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.claim.job_id.uuid()))
            .bind(column(&calls, |call| i64::from(call.claim.attempt)))
            .bind(column(&calls, |call| call.claim.step.as_str()))
            .bind(column(&calls, |call| call.answer.uuid()))
            .bind(column(&calls, |call| &*call.standalone_question))
            .bind(column(&calls, |call| &*call.passages))
            .bind(column(&calls, |call| call.next.step.as_str()))
            .bind(column(&calls, |call| &*call.payload))
            .bind(column(&calls, |call| call.next.outbox_id.uuid()))
            .bind(column(&calls, |call| rows::micros(call.next.due_at)))
            .fetch_all(&mut *tx)
            .await?;
        let answers = held(calls.len(), &written)?;
        tx.commit().await?;
        Ok(answers)
    }
}
