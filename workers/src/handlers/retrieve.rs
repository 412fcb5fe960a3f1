//! `chat.retrieve`: finds the passages for a question.

use async_trait::async_trait;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::ids::OutboxId;
use quaestor_core::jobs::{ChatPayload, Step};
use quaestor_core::metrics;
use quaestor_core::model::MessageState;
use quaestor_core::ports::model_call::Readiness;
use quaestor_core::ports::store::{
    Advance, Answer, Grounding, Heartbeat, RetrievedPassage, ScopeFilter, SearchScope, StoreError,
};
use quaestor_core::problem::Problem;
use quaestor_core::retrieval::{SearchQuery, standalone_question};
use quaestor_core::trace;
use tracing::{Instrument, info};

use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::following::{self, Carried, Next};
use crate::registry::{Handler, Running};

/// The handler of `chat.retrieve`.
pub(crate) struct Retrieve;

#[async_trait]
impl Handler for Retrieve {
    const STEP: Step = Step::ChatRetrieve;
    type Payload = ChatPayload;

    async fn run(
        context: &Context,
        job: &Running,
        payload: ChatPayload,
    ) -> Result<Outcome, Decision> {
        let earlier = context.settings.earlier_messages;
        let Some(subject) = context
            .store
            .question_context(job.workspace, payload.message_id, payload.answer_id, earlier)
            .await?
        else {
            return Ok(Outcome::SubjectGone);
        };
        if subject.answer_state != MessageState::Pending {
            return Ok(Outcome::SubjectGone);
        }
        if job.cancel.is_cancelled() {
            return Err(Decision::Cancelled);
        }
        let answer_key = match &context.answers {
            None => None,
            Some(answers) => {
                let embedders = context.embedders.names();
                let models = [context.chat.name(), &embedders];
                let store = &*context.store;
                let key = answers.key(store, job.workspace, &subject, &models).await?;
                if let Some(key) = &key
                    && let Some(answer) = answers.find(key).await
                {
                    return give_again(context, job, &payload, answer).await;
                }
                key
            }
        };
        let question = standalone_question(&subject.question.content, &subject.earlier);
        let query = SearchQuery {
            text: question.clone(),
            scope: SearchScope {
                collections: subject.collection_ids.clone(),
                filter: ScopeFilter::default(),
            },
            limit: context.settings.passages_per_question,
        };
        let began = context.clock.now();
        let searched = context.searcher.search(&job.scope, &query);
        let found = searched.instrument(trace::store("search")).await?;
        let by: metrics::SharedString = found.by.as_str().into();
        let took = metrics::seconds(began, context.clock.now());
        metrics::SEARCH_SECONDS.of([by.clone()]).record(took);
        metrics::SEARCH_RESULTS.of([by]).record(found.passages.len() as f64);
        if let (Some(note), Some(_)) = (&found.note, context.embedders.first()) {
            info!("{note}");
            metrics::SEARCHES_WITHOUT_MEANING.of([]).increment(1);
        }
        if job.cancel.is_cancelled() {
            return Err(Decision::Cancelled);
        }
        let passages: Vec<RetrievedPassage> = found
            .passages
            .iter()
            .map(|hit| RetrievedPassage { chunk_id: hit.passage.chunk_id, score: hit.score })
            .collect();
        let payload = ChatPayload { answer_key, ..payload };
        let next_payload = serde_json::to_value(&payload).map_err(|error| {
            Decision::Fail(Problem::new("bad_payload", "The job cannot go on", error.to_string()))
        })?;
        let slot = match context.readiness(Step::ChatGenerate) {
            Readiness::Ready => job.following.slot(Step::ChatGenerate),
            Readiness::Trial | Readiness::NotBefore(_) => None,
        };
        let next = Advance {
            step: Step::ChatGenerate,
            payload: next_payload.clone(),
            outbox_id: context.ids.next::<OutboxId>(),
            due_at: context.clock.now(),
            kept: slot.as_ref().map(|_| following::kept(context)),
        };
        let outbox_id = next.outbox_id;
        let count = u32::try_from(passages.len()).unwrap_or(u32::MAX);
        failpoint::store("retrieve.before_save")?;
        let saved = context
            .store
            .save_retrieved(
                job.workspace,
                &job.claim,
                payload.answer_id,
                &question,
                &passages,
                next,
            )
            .instrument(trace::store("save_retrieved"))
            .await;
        let saved = failpoint::store("retrieve.after_save").and(saved);
        match saved {
            Ok(Heartbeat::CancelRequested) => job.cancel.cancel(),
            Ok(Heartbeat::Held | Heartbeat::Lost) => {}
            // Nobody would run a step that was kept after all, until its lease ends.
            Err(StoreError::Unavailable { .. })
                if slot.is_some()
                    && following::give_up(context, job, outbox_id, &next_payload).await =>
            {
                return Err(Decision::Fenced);
            }
            Err(error) => return Err(error.into()),
        }
        let retrieved = Event::Retrieved { passages: count };
        let Some(slot) = slot else {
            job.emitter.emit(retrieved).await;
            return Ok(Outcome::Advanced);
        };
        let passages = found.passages.into_iter().map(|hit| (hit.passage, hit.score)).collect();
        let grounding = Grounding { standalone_question: question, passages };
        Ok(Outcome::Followed(Box::new(Next {
            calls: job.scope.calls.clone(),
            slot,
            step: Step::ChatGenerate,
            payload: next_payload,
            outbox_id,
            cancel: job.cancel.clone(),
            traceparent: None,
            carried: Carried::Question(Box::new((subject, grounding))),
            last_word: (job.emitter.clone(), retrieved),
        })))
    }
}

/// Ends the job with an answer that was given before. It costs nothing, and its model tells
/// that it was kept.
async fn give_again(
    context: &Context,
    job: &Running,
    payload: &ChatPayload,
    answer: Answer,
) -> Result<Outcome, Decision> {
    let Answer { content, citations, figures, usage, .. } = answer.clone();
    if !job.emitter.emit(Event::Token { text: content }).await {
        return Err(Decision::Fenced);
    }
    let now = context.clock.now();
    context.store.save_answer(job.workspace, &job.claim, payload.answer_id, answer, now).await?;
    let cited = Event::Citations { citations, figures };
    Ok(Outcome::Ended(vec![cited, Event::Done { usage: Some(usage) }]))
}
