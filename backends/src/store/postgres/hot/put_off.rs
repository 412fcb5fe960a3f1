//! Steps that nobody has claimed, and that wait.

use std::sync::Arc;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::Unclaimed;
use sqlx::postgres::PgConnection;

use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, place, workspaces};

/// A step to be put off.
#[derive(Clone)]
pub(super) struct PutOff {
    pub(super) workspace: WorkspaceId,
    pub(super) step: Arc<Unclaimed>,
}

impl Call for PutOff {
    type Answer = bool;

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<bool, Fault>>, Fault> {
        let written =
            sqlx::query("SELECT * FROM put_steps_off($1, $2, $3, $4, $5, $6, $7, $8, $9)")
                .bind(column(&calls, |call| call.workspace.uuid()))
                .bind(column(&calls, |call| call.step.job_id.uuid()))
                .bind(column(&calls, |call| call.step.step.as_str()))
                .bind(column(&calls, |call| call.step.outbox_id.uuid()))
                .bind(column(&calls, |call| call.step.next_outbox_id.uuid()))
                .bind(column(&calls, |call| call.step.reason))
                .bind(column(&calls, |call| rows::micros(call.step.due_at)))
                .bind(column(&calls, |call| rows::micros(call.step.now)))
                .bind(workspaces(&calls, |call| call.workspace))
                .fetch_all(connection)
                .await?;
        let mut answers: Vec<Result<bool, Fault>> = calls.iter().map(|_| Ok(false)).collect();
        for row in &written {
            if let Some(answer) = answers.get_mut(place(row)?) {
                *answer = Ok(true);
            }
        }
        Ok(answers)
    }
}
