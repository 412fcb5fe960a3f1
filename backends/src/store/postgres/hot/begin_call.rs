//! Requests to models that are about to be sent.

use std::sync::Arc;

use quaestor_core::ids::WorkspaceId;
use quaestor_core::ports::model_call::BegunCall;
use quaestor_core::ports::store::CallsOf;
use sqlx::postgres::PgConnection;

use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::{dialect, rows};
use super::{column, workspaces};

/// A request to be written down.
#[derive(Clone)]
pub(super) struct Begin {
    pub(super) workspace: WorkspaceId,
    pub(super) of: CallsOf,
    pub(super) call: Arc<BegunCall>,
}

impl Call for Begin {
    type Answer = ();

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        sqlx::query("SELECT * FROM begin_calls($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.call.id.uuid()))
            .bind(column(&calls, |call| call.of.principal_id.uuid()))
            .bind(column(&calls, |call| call.of.job.map(|(job, _)| job.uuid())))
            .bind(column(&calls, |call| call.of.job.map_or(0, |(_, attempt)| i64::from(attempt))))
            .bind(column(&calls, |call| call.call.operation.as_str()))
            .bind(column(&calls, |call| dialect::text(call.call.model.clone())))
            .bind(column(&calls, |call| rows::signed(call.call.usage.input_tokens)))
            .bind(column(&calls, |call| rows::signed(call.call.usage.cost_micros)))
            .bind(column(&calls, |call| rows::micros(call.call.started_at)))
            .bind(workspaces(&calls, |call| call.workspace))
            .fetch_all(connection)
            .await?;
        Ok(calls.iter().map(|_| Ok(())).collect())
    }
}
