//! What the system's figures hang on, in one round trip for a whole group of calls: the
//! functions of `migrations/postgres` (`0004_hot_paths.sql` and later), which take the calls
//! as arrays.

mod accept;
mod advance;
mod answer;
mod begin_call;
mod claim;
mod context;
mod finish;
mod put_off;

use std::sync::Arc;

use quaestor_core::clock::Time;
use quaestor_core::ids::{ChunkId, MessageId, WorkspaceId};
use quaestor_core::ports::model_call::BegunCall;
use quaestor_core::ports::store::{
    AcceptQuestion, AcceptedQuestion, Advance, Answer, CallsOf, Claim, ClaimOutcome, ClaimRequest,
    Heartbeat, OutboxRow, QuestionContext, RetrievedPassage, StoreError, Unclaimed,
};
use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::connections::{Commit, Connections};
use super::dialect::INSTALLATION;
use super::fault::Fault;
use super::groups::Group;
use super::{PgStore, claims, dialect, relay, rows};

/// The groups of the calls that are written together.
#[derive(Debug)]
pub(super) struct Groups {
    accepts: Group<accept::Accept>,
    claims: Group<claim::Take>,
    contexts: Group<context::Asked>,
    advances: Group<advance::Retrieved>,
    answers: Group<answer::Save>,
    ends: Group<finish::End>,
    put_offs: Group<put_off::PutOff>,
    begun_calls: Group<begin_call::Begin>,
}

impl Groups {
    pub(super) fn new(connections: &Arc<Connections>, tasks: &TaskTracker) -> Self {
        Self {
            accepts: Group::new(connections, tasks),
            claims: Group::new(connections, tasks),
            contexts: Group::new(connections, tasks),
            advances: Group::new(connections, tasks),
            answers: Group::new(connections, tasks),
            ends: Group::new(connections, tasks),
            put_offs: Group::new(connections, tasks),
            begun_calls: Group::new(connections, tasks),
        }
    }

    /// Gives back the connections that are kept.
    pub(super) fn let_go(&self) {
        self.accepts.let_go();
        self.claims.let_go();
        self.contexts.let_go();
        self.advances.let_go();
        self.answers.let_go();
        self.ends.let_go();
        self.put_offs.let_go();
        self.begun_calls.let_go();
    }
}

pub(super) async fn accept_question(
    store: &PgStore,
    workspace: WorkspaceId,
    question: AcceptQuestion,
) -> Result<Option<AcceptedQuestion>, Fault> {
    store.groups.accepts.write(accept::Accept::new(workspace, question)?).await
}

pub(super) async fn claim(
    store: &PgStore,
    workspace: WorkspaceId,
    request: ClaimRequest,
) -> Result<ClaimOutcome, Fault> {
    let call = claim::Take { workspace, request: Arc::new(request.clone()) };
    if let Some(claimed) = store.groups.claims.write(call).await? {
        return Ok(ClaimOutcome::Claimed(Box::new(claimed)));
    }
    // Not to be had as it stands: look why.
    let mut writer = store.connections.writer(workspace, Commit::Kept).await?;
    let mut tx = writer.begin().await?;
    let outcome = claims::claim(&mut tx, workspace, &request).await?;
    tx.commit().await?;
    Ok(outcome)
}

pub(super) async fn question_context(
    store: &PgStore,
    workspace: WorkspaceId,
    question: MessageId,
    answer: MessageId,
    earlier: u32,
) -> Result<Option<QuestionContext>, Fault> {
    store.groups.contexts.write(context::Asked { workspace, question, answer, earlier }).await
}

pub(super) async fn save_retrieved(
    store: &PgStore,
    workspace: WorkspaceId,
    claim: &Claim,
    answer: MessageId,
    standalone_question: &str,
    passages: &[RetrievedPassage],
    next: Advance,
) -> Result<Heartbeat, Fault> {
    let passages: Vec<(ChunkId, f32)> =
        passages.iter().map(|passage| (passage.chunk_id, passage.score)).collect();
    let call = advance::Retrieved {
        workspace,
        claim: claim.clone(),
        answer,
        standalone_question: dialect::text(standalone_question.to_owned()).into(),
        passages: rows::to_json(&passages)?.into(),
        payload: rows::to_json(&next.payload)?.into(),
        next: Arc::new(next),
    };
    store.groups.advances.write(call).await
}

pub(super) async fn save_answer(
    store: &PgStore,
    workspace: WorkspaceId,
    claim: &Claim,
    answer: MessageId,
    content: Answer,
    now: Time,
) -> Result<(), Fault> {
    let call = answer::Save::new(workspace, claim, answer, content, now)?;
    store.groups.answers.write(call).await
}

pub(super) async fn finish_without_subject(
    store: &PgStore,
    workspace: WorkspaceId,
    claim: &Claim,
    now: Time,
) -> Result<(), Fault> {
    store.groups.ends.write(finish::End { workspace, claim: claim.clone(), now }).await
}

pub(super) async fn put_off_unclaimed(
    store: &PgStore,
    workspace: WorkspaceId,
    step: Unclaimed,
) -> Result<bool, Fault> {
    store.groups.put_offs.write(put_off::PutOff { workspace, step: Arc::new(step) }).await
}

pub(super) async fn begin_call(
    store: &PgStore,
    workspace: WorkspaceId,
    of: CallsOf,
    call: BegunCall,
) -> Result<(), Fault> {
    let call = begin_call::Begin { workspace, of, call: Arc::new(call) };
    store.groups.begun_calls.write(call).await
}

/// Takes due messages. A look that finds none writes nothing, so it costs no more than
/// a look.
pub(super) async fn take_due(
    store: &PgStore,
    now: Time,
    hold_until: Time,
    limit: u32,
) -> Result<Vec<OutboxRow>, Fault> {
    let mut writer = store.connections.writer(INSTALLATION, Commit::Soon).await?;
    let mut tx = writer.begin().await?;
    let taken = relay::take(&mut tx, now, hold_until, limit).await?;
    if !taken.is_empty() {
        tx.commit().await?;
    }
    Ok(taken)
}

/// A column of a group: the same of each call.
fn column<'a, C, T>(calls: &'a [C], of: impl Fn(&'a C) -> T) -> Vec<T> {
    calls.iter().map(of).collect()
}

/// The workspaces of a group, each once.
fn workspaces<C>(calls: &[C], of: impl Fn(&C) -> WorkspaceId) -> Vec<Uuid> {
    let mut named: Vec<Uuid> = calls.iter().map(|call| of(call).uuid()).collect();
    named.sort_unstable();
    named.dedup();
    named
}

/// The place of a call in its group, as `WITH ORDINALITY` counts, from 1.
fn place(row: &PgRow) -> Result<usize, Fault> {
    let place: i64 = row.try_get("place")?;
    usize::try_from(place - 1).map_err(|error| super::fault::corrupt("place", error))
}

/// The answers of a group, before its rows are read: nothing for whom there is none.
fn none_yet<T>(calls: usize) -> Vec<Result<Option<T>, Fault>> {
    (0..calls).map(|_| Ok(None)).collect()
}

/// The answers of a group of which some were written: the others' claims are stale.
fn held(calls: usize, written: &[PgRow]) -> Result<Vec<Result<(), Fault>>, Fault> {
    let mut answers: Vec<Result<(), Fault>> =
        (0..calls).map(|_| Err(StoreError::Fenced.into())).collect();
    for row in written {
        if let Some(answer) = answers.get_mut(place(row)?) {
            *answer = Ok(());
        }
    }
    Ok(answers)
}
