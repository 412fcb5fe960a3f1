//! What the system's figures hang on. PostgreSQL has its own words for it; here the plain
//! statements one after the other are quick enough, since none of them leaves the process.

use quaestor_core::clock::Time;
use quaestor_core::ids::{ChunkId, CollectionId, MessageId, WorkspaceId};
use quaestor_core::model::MessageState;
use quaestor_core::ports::model_call::BegunCall;
use quaestor_core::ports::store::{
    AcceptQuestion, AcceptedQuestion, Advance, Answer, CallsOf, Claim, ClaimOutcome, ClaimRequest,
    Heartbeat, OutboxRow, QuestionContext, RetrievedPassage, Unclaimed,
};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::connections::Commit;
use super::dialect::{INSTALLATION, of_message};
use super::ending::{self, Ending};
use super::fault::Fault;
use super::rows::message_columns;
use super::{
    SqliteStore, audit, chat, claims, conversations, idempotency, money, outbox, relay, rows,
    settle, uploads,
};

pub(super) async fn accept_question(
    store: &SqliteStore,
    workspace: WorkspaceId,
    question: AcceptQuestion,
) -> Result<Option<AcceptedQuestion>, Fault> {
    let mut writer = store.connections.writer(workspace, Commit::OnDisk).await?;
    let mut tx = writer.begin().await?;
    let accepted = accept(&mut tx, workspace, &question).await?;
    if accepted.is_some() {
        tx.commit().await?;
    }
    Ok(accepted)
}

async fn accept(
    tx: &mut SqliteConnection,
    workspace: WorkspaceId,
    question: &AcceptQuestion,
) -> Result<Option<AcceptedQuestion>, Fault> {
    if let Some(key) = &question.idempotency {
        idempotency::refuse_taken(tx, workspace, key).await?;
    }
    let (principal, conversation) = (question.principal_id, question.conversation_id);
    if conversations::find(tx, workspace, principal, conversation).await?.is_none() {
        return Ok(None);
    }
    let asked_at = rows::micros(question.job.created_at);
    sqlx::query(
        "UPDATE conversations SET title = coalesce(title, $3),
             updated_at = CASE WHEN updated_at < $4 THEN $4 ELSE updated_at END
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(conversation.uuid())
    .bind(chat::title_of(&question.content))
    .bind(asked_at)
    .execute(&mut *tx)
    .await?;
    for (id, role, state, content, question_id) in [
        (question.message_id, "user", "done", question.content.as_str(), None),
        (question.answer_id, "assistant", "pending", "", Some(question.message_id.uuid())),
    ] {
        sqlx::query(
            "INSERT INTO messages
                 (id, workspace_id, conversation_id, role, state, content, question_id, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(id.uuid())
        .bind(workspace.uuid())
        .bind(conversation.uuid())
        .bind(role)
        .bind(state)
        .bind(content.to_owned())
        .bind(question_id)
        .bind(asked_at)
        .execute(&mut *tx)
        .await?;
    }
    let job = &question.job;
    let of = (job, job.payload.clone(), question.answer_id.uuid(), None);
    uploads::add_jobs(tx, workspace, &[of]).await?;
    audit::record(tx, workspace, &question.audit).await?;
    let accepted = AcceptedQuestion {
        message_id: question.message_id,
        answer_id: question.answer_id,
        job_id: job.id,
    };
    if let Some(key) = &question.idempotency {
        idempotency::remember(tx, workspace, key, &accepted).await?;
    }
    Ok(Some(accepted))
}

pub(super) async fn claim(
    store: &SqliteStore,
    workspace: WorkspaceId,
    request: ClaimRequest,
) -> Result<ClaimOutcome, Fault> {
    let mut writer = store.connections.writer(workspace, Commit::Kept).await?;
    let mut tx = writer.begin().await?;
    let outcome = claims::claim(&mut tx, workspace, &request).await?;
    tx.commit().await?;
    Ok(outcome)
}

pub(super) async fn question_context(
    store: &SqliteStore,
    workspace: WorkspaceId,
    question: MessageId,
    answer: MessageId,
    earlier: u32,
) -> Result<Option<QuestionContext>, Fault> {
    let mut reader = store.connections.reader(workspace).await?;
    context(&mut reader, workspace, question, answer, earlier).await
}

async fn context(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    question: MessageId,
    answer: MessageId,
    earlier: u32,
) -> Result<Option<QuestionContext>, Fault> {
    let asked = sqlx::query(concat!(
        "SELECT ",
        message_columns!(),
        ", c.collection_ids, a.state AS answer_state
          FROM messages m JOIN conversations c ON c.id = m.conversation_id
          JOIN messages a ON a.id = $3 AND a.workspace_id = $1 AND a.question_id = m.id
          WHERE m.workspace_id = $1 AND m.id = $2 AND m.role = 'user'"
    ))
    .bind(workspace.uuid())
    .bind(question.uuid())
    .bind(answer.uuid())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(asked) = asked else { return Ok(None) };
    let answer_state: MessageState = rows::message_state(&asked, "answer_state")?;
    let question = rows::message(&asked)?;

    // A turn is a question and its finished answer.
    let turns = sqlx::query(concat!(
        "SELECT ",
        message_columns!(),
        " FROM (SELECT a.id AS answer_id, a.question_id FROM messages a
                WHERE a.workspace_id = $1 AND a.conversation_id = $2 AND a.state = 'done'
                  AND a.question_id < $3
                ORDER BY a.question_id DESC LIMIT $4) turn
          JOIN messages m ON m.id IN (turn.question_id, turn.answer_id)
          ORDER BY turn.question_id, m.id = turn.answer_id"
    ))
    .bind(workspace.uuid())
    .bind(question.conversation_id.uuid())
    .bind(question.id.uuid())
    .bind(i64::from(earlier))
    .fetch_all(&mut *connection)
    .await?;
    let earlier = turns.iter().map(rows::message).collect::<Result<Vec<_>, Fault>>()?;

    let known = sqlx::query("SELECT id FROM collections WHERE workspace_id = $1 ORDER BY id")
        .bind(workspace.uuid())
        .fetch_all(connection)
        .await?;
    let mut collection_ids =
        known.iter().map(|row| rows::id(row, "id")).collect::<Result<Vec<CollectionId>, _>>()?;
    if let Some(asks) = rows::optional_json::<Vec<CollectionId>>(&asked, "collection_ids")? {
        collection_ids.retain(|collection| asks.contains(collection));
    }
    Ok(Some(QuestionContext { question, answer_state, earlier, collection_ids }))
}

pub(super) async fn save_retrieved(
    store: &SqliteStore,
    workspace: WorkspaceId,
    claim: &Claim,
    answer: MessageId,
    standalone_question: &str,
    passages: &[RetrievedPassage],
    next: Advance,
) -> Result<Heartbeat, Fault> {
    let mut writer = store.connections.writer(workspace, Commit::Kept).await?;
    let mut tx = writer.begin().await?;
    chat::hold_answer(&mut tx, workspace, claim, answer).await?;
    let passages: Vec<(ChunkId, f32)> =
        passages.iter().map(|passage| (passage.chunk_id, passage.score)).collect();
    sqlx::query(
        "INSERT INTO groundings (answer_id, workspace_id, standalone_question, passages)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (answer_id) DO UPDATE SET
             standalone_question = excluded.standalone_question,
             passages = excluded.passages",
    )
    .bind(answer.uuid())
    .bind(workspace.uuid())
    .bind(standalone_question.to_owned())
    .bind(rows::to_json(&passages)?)
    .execute(&mut *tx)
    .await?;
    settle::advance(&mut tx, workspace, claim, &next, next.due_at).await?;
    let job = sqlx::query("SELECT cancel_requested FROM jobs WHERE workspace_id = $1 AND id = $2")
        .bind(workspace.uuid())
        .bind(claim.job_id.uuid())
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(if job.try_get("cancel_requested")? { Heartbeat::CancelRequested } else { Heartbeat::Held })
}

pub(super) async fn save_answer(
    store: &SqliteStore,
    workspace: WorkspaceId,
    claim: &Claim,
    answer: MessageId,
    content: Answer,
    now: Time,
) -> Result<(), Fault> {
    let mut writer = store.connections.writer(workspace, Commit::OnDisk).await?;
    let mut tx = writer.begin().await?;
    chat::hold_answer(&mut tx, workspace, claim, answer).await?;
    sqlx::query(
        "UPDATE messages SET state = 'done', content = $3, citations = $4, figures = $5,
             model = $6, input_tokens = $7, output_tokens = $8, cost_micros = $9
         WHERE workspace_id = $1 AND id = $2",
    )
    .bind(workspace.uuid())
    .bind(answer.uuid())
    .bind(content.content)
    .bind(rows::to_json(&content.citations)?)
    .bind(rows::to_json(&content.figures)?)
    .bind(content.model)
    .bind(rows::signed(content.usage.input_tokens))
    .bind(rows::signed(content.usage.output_tokens))
    .bind(rows::signed(content.usage.cost_micros))
    .execute(&mut *tx)
    .await?;
    money::account(&mut tx, workspace, claim, &content.calls).await?;
    ending::end(&mut tx, workspace, claim.job_id, &Ending::Done, now).await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn finish_without_subject(
    store: &SqliteStore,
    workspace: WorkspaceId,
    claim: &Claim,
    now: Time,
) -> Result<(), Fault> {
    let mut writer = store.connections.writer(workspace, Commit::OnDisk).await?;
    let mut tx = writer.begin().await?;
    claims::hold(&mut tx, workspace, claim).await?;
    ending::end(&mut tx, workspace, claim.job_id, &Ending::Done, now).await?;
    tx.commit().await?;
    Ok(())
}

/// Puts a step off that nobody has claimed.
pub(super) async fn begin_call(
    store: &SqliteStore,
    workspace: WorkspaceId,
    of: CallsOf,
    call: BegunCall,
) -> Result<(), Fault> {
    let mut writer = store.connections.writer(workspace, Commit::Kept).await?;
    let mut tx = writer.begin().await?;
    sqlx::query(
        "INSERT INTO open_calls (workspace_id, id, principal_id, job_id, attempt, operation,
             model, input_tokens, cost_micros, started_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
    )
    .bind(workspace.uuid())
    .bind(call.id.uuid())
    .bind(of.principal_id.uuid())
    .bind(of.job.map(|(job, _)| job.uuid()))
    .bind(of.job.map_or(0, |(_, attempt)| i64::from(attempt)))
    .bind(call.operation.as_str())
    .bind(call.model)
    .bind(rows::signed(call.usage.input_tokens))
    .bind(rows::signed(call.usage.cost_micros))
    .bind(rows::micros(call.started_at))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

pub(super) async fn put_off_unclaimed(
    store: &SqliteStore,
    workspace: WorkspaceId,
    step: Unclaimed,
) -> Result<bool, Fault> {
    let mut writer = store.connections.writer(workspace, Commit::Kept).await?;
    let mut tx = writer.begin().await?;
    let put_off = sqlx::query(concat!(
        "UPDATE jobs SET state = 'waiting', reason = $4, until = $5, updated_at = $6
         WHERE workspace_id = $1 AND id = $2 AND step = $3 AND state IN ('queued', 'waiting')
           AND NOT cancel_requested",
        of_message!("$7")
    ))
    .bind(workspace.uuid())
    .bind(step.job_id.uuid())
    .bind(step.step.as_str())
    .bind(step.reason)
    .bind(rows::micros(step.due_at))
    .bind(rows::micros(step.now))
    .bind(step.outbox_id.uuid())
    .execute(&mut *tx)
    .await?;
    if put_off.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE outbox SET id = $3, due_at = $4, sent_at = NULL
         WHERE workspace_id = $1 AND job_id = $2",
    )
    .bind(workspace.uuid())
    .bind(step.job_id.uuid())
    .bind(step.next_outbox_id.uuid())
    .bind(rows::micros(step.due_at))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Takes due messages.
pub(super) async fn take_due(
    store: &SqliteStore,
    now: Time,
    hold_until: Time,
    limit: u32,
) -> Result<Vec<OutboxRow>, Fault> {
    // Most looks find nothing, and a look need not wait for the turn to write.
    let mut reader = store.connections.reader(INSTALLATION).await?;
    if outbox::next_due(&mut reader).await?.is_none_or(|due| due > now) {
        return Ok(Vec::new());
    }
    drop(reader);
    let mut writer = store.connections.writer(INSTALLATION, Commit::Soon).await?;
    let mut tx = writer.begin().await?;
    let taken = relay::take(&mut tx, now, hold_until, limit).await?;
    tx.commit().await?;
    Ok(taken)
}
