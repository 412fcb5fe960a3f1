//! Jobs that end as done with nothing else to write.

use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::store::Claim;
use sqlx::postgres::PgConnection;

use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, held, workspaces};

/// A job to be ended.
#[derive(Clone)]
pub(super) struct End {
    pub(super) workspace: WorkspaceId,
    pub(super) claim: Claim,
    pub(super) now: Time,
}

const END: &str = "
SELECT * FROM end_jobs($1, $2, $3, $4, $5, $6, $7)";

impl Call for End {
    type Answer = ();

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        let written = sqlx::query(END)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.claim.job_id.uuid()))
            .bind(column(&calls, |call| i64::from(call.claim.attempt)))
            .bind(column(&calls, |call| call.claim.step.as_str()))
            .bind(column(&calls, |call| rows::micros(call.now)))
            .bind(column(&calls, |call| call.claim.outbox_id.uuid()))
            .bind(workspaces(&calls, |call| call.workspace))
            .fetch_all(connection)
            .await?;
        held(calls.len(), &written)
    }
}
