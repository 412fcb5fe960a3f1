//! Questions with what came before them.

use quaestor_core::ids::{CollectionId, MessageId, WorkspaceId};
use quaestor_core::ports::store::QuestionContext;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::super::fault::Fault;
use super::super::groups::Call;
use super::super::rows;
use super::{column, none_yet, place, workspaces};

/// A question to be read.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) workspace: WorkspaceId,
    pub(super) question: MessageId,
    pub(super) answer: MessageId,
    pub(super) earlier: u32,
}

impl Call for Asked {
    type Answer = Option<QuestionContext>;

    async fn write(
        connection: &mut PgConnection,
        calls: Vec<Self>,
    ) -> Result<Vec<Result<Self::Answer, Fault>>, Fault> {
        let found = sqlx::query("SELECT * FROM question_contexts($1, $2, $3, $4, $5)")
            .bind(column(&calls, |call| call.workspace.uuid()))
            .bind(column(&calls, |call| call.question.uuid()))
            .bind(column(&calls, |call| call.answer.uuid()))
            .bind(column(&calls, |call| i64::from(call.earlier)))
            .bind(workspaces(&calls, |call| call.workspace))
            .fetch_all(connection)
            .await?;
        let mut answers = none_yet(calls.len());
        for row in &found {
            let Some(answer) = answers.get_mut(place(row)?) else { continue };
            // A row that cannot be read is its own question's fault alone.
            match (row.try_get::<i32, _>("part")?, &mut *answer) {
                (0, _) => *answer = asked(row).map(Some),
                (_, Ok(Some(context))) => match rows::message(row) {
                    Ok(message) => context.earlier.push(message),
                    Err(fault) => *answer = Err(fault),
                },
                (_, Ok(None) | Err(_)) => {}
            }
        }
        Ok(answers)
    }
}

fn asked(row: &PgRow) -> Result<QuestionContext, Fault> {
    let known: Vec<Uuid> = row.try_get("known")?;
    let mut collection_ids: Vec<CollectionId> = known.into_iter().map(CollectionId).collect();
    if let Some(asks) = rows::optional_json::<Vec<CollectionId>>(row, "collection_ids")? {
        collection_ids.retain(|collection| asks.contains(collection));
    }
    Ok(QuestionContext {
        question: rows::message(row)?,
        answer_state: rows::message_state(row, "answer_state")?,
        earlier: Vec::new(),
        collection_ids,
    })
}
