//! Answers, each with the end of its job.

use std::sync::Arc;

use quaestor_core::clock::Time;
use quaestor_core::ids::{MessageId, WorkspaceId};
use quaestor_core::model::Usage;
use quaestor_core::ports::model_call::ModelCall;
use quaestor_core::ports::store::{Answer, Claim};
use sqlx::postgres::PgConnection;

use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::{dialect, money, rows};
use super::{column, held, workspaces};

/// An answer to be stored.
#[derive(Clone)]
pub(super) struct Save {
    workspace: WorkspaceId,
    claim: Claim,
    answer: MessageId,
    content: Arc<str>,
    citations: Arc<str>,
    figures: Arc<str>,
    model: Arc<str>,
    usage: Usage,
    calls: Arc<[ModelCall]>,
    now: Time,
}

impl Save {
    pub(super) fn new(
        workspace: WorkspaceId,
        claim: &Claim,
        answer: MessageId,
        content: Answer,
        now: Time,
    ) -> Result<Self, Fault> {
        Ok(Self {
            workspace,
            claim: claim.clone(),
            answer,
            citations: rows::to_json(&content.citations)?.into(),
            figures: rows::to_json(&content.figures)?.into(),
            content: dialect::text(content.content).into(),
            model: dialect::text(content.model).into(),
            usage: content.usage,
            calls: content.calls.into(),
            now,
        })
    }
}

const ANSWER: &str = "
SELECT * FROM save_answers_with_calls($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
    $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)";

impl Call for Save {
    type Answer = ();

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<(), Fault>>, Fault> {
        // Each request with the place of its answer, counted from 1.
        let requests: Vec<(i64, &ModelCall)> = (1..)
            .zip(&calls)
            .flat_map(|(place, call)| call.calls.iter().map(move |request| (place, request)))
            .collect();
        let written = sqlx::query(ANSWER)
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.claim.job_id.uuid()))
            .bind(column(&calls, |call| i64::from(call.claim.attempt)))
            .bind(column(&calls, |call| call.claim.step.as_str()))
            .bind(column(&calls, |call| call.answer.uuid()))
            .bind(column(&calls, |call| &*call.content))
            .bind(column(&calls, |call| &*call.citations))
            .bind(column(&calls, |call| &*call.figures))
            .bind(column(&calls, |call| &*call.model))
            .bind(column(&calls, |call| rows::signed(call.usage.input_tokens)))
            .bind(column(&calls, |call| rows::signed(call.usage.output_tokens)))
            .bind(column(&calls, |call| rows::signed(call.usage.cost_micros)))
            .bind(column(&calls, |call| rows::micros(call.now)))
            .bind(column(&calls, |call| call.claim.outbox_id.uuid()))
            .bind(column(&requests, |(place, _)| *place))
            .bind(column(&requests, |(_, request)| request.operation.as_str()))
            .bind(column(&requests, |(_, request)| dialect::text(request.model.clone())))
            .bind(column(&requests, |(_, request)| request.request_id.clone().map(dialect::text)))
            .bind(column(&requests, |(_, request)| rows::signed(request.usage.input_tokens)))
            .bind(column(&requests, |(_, request)| rows::signed(request.usage.output_tokens)))
            .bind(column(&requests, |(_, request)| rows::signed(request.usage.cost_micros)))
            .bind(column(&requests, |(_, request)| request.estimated))
            .bind(column(&requests, |(_, request)| request.outcome.as_str()))
            .bind(column(&requests, |(_, request)| rows::micros(request.started_at)))
            .bind(column(&requests, |(_, request)| money::duration(request)))
            .bind(column(&requests, |(_, request)| rows::signed(request.usage.cached_tokens)))
            .bind(column(&requests, |(_, request)| request.id.uuid()))
            .bind(workspaces(&calls, |call| call.workspace))
            .fetch_all(connection)
            .await?;
        held(calls.len(), &written)
    }
}
