//! `chat.generate`: writes the answer from the passages, as a stream.
//!
//! What a watcher sees is what is stored: the text passes the citation writer before it
//! is emitted, so a forged marker never shows.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use quaestor_core::events::Event;
use quaestor_core::failpoint;
use quaestor_core::jobs::{ChatPayload, Step};
use quaestor_core::model::{Allowance, MessageState, Usage};
use quaestor_core::ports::chat_model::{
    ChatDelta, ChatModel, ChatRequest, ChatStream, FinishReason,
};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::store::{
    Answer, Grounding, NewUsage, QuestionContext, StoreError, UnfinishedAnswer,
};
use quaestor_core::problem::Problem;
use quaestor_core::tokens;
use quaestor_core::trace;
use tracing::{Instrument, debug, info};

use crate::context::Context;
use crate::decision::{Decision, Outcome};
use crate::following::Carried;
use crate::frame::Frame;
use crate::grounding::{CitationWriter, Grounded, ground};
use crate::prompt::{self, ANSWER, Prompt, Shares};
use crate::registry::{Handler, Running};
use crate::settle::with_calls;

/// The most characters of an answer that are kept: a model that does not end is ended.
const MAX_ANSWER_CHARS: usize = 200_000;

/// What is answered where nothing was found, without asking a model: it could only
/// answer from memory.
const NOTHING_FOUND: &str = "I found no passage in your documents that answers this. Upload the \
                             document that does, or ask with the words it uses.";

/// Stands at the end of an answer that is longer than an answer may be.
const TOO_LONG: &str = "\n\nThis answer ends here because it reached the limit of its length.";
/// Stands at the end of an answer whose rest the provider kept back.
const WITHHELD: &str =
    "\n\nThis answer ends here because the model's provider withheld the rest of it.";

/// The handler of `chat.generate`.
pub(crate) struct Generate;

#[async_trait]
impl Handler for Generate {
    const STEP: Step = Step::ChatGenerate;
    type Payload = ChatPayload;

    async fn run(
        context: &Context,
        job: &Running,
        payload: ChatPayload,
    ) -> Result<Outcome, Decision> {
        let read;
        let (subject, grounding) = match &job.carried {
            Carried::Question(carried) => (&carried.0, &carried.1),
            Carried::Nothing => {
                let Some(found) = read_question(context, job, &payload).await? else {
                    return Ok(Outcome::SubjectGone);
                };
                read = found;
                (&read.0, &read.1)
            }
        };
        if grounding.passages.is_empty() {
            return save_nothing_found(context, job, &payload).await;
        }
        let chat = match may_spend(context, job).await? {
            Allowance::Within => &context.chat,
            Allowance::Soft => cheaper(context),
            Allowance::Over(over) => return Err(Decision::Fail(over.problem())),
        };
        let shares = Shares {
            passages: context.settings.passage_tokens,
            history: context.settings.history_tokens,
        };
        let prompt = prompt::build(subject, grounding, shares);
        debug!(prompt = ANSWER.name, passages = prompt.passages.len(), "asking a model");
        let mut attempt = Writing {
            context,
            job,
            payload: &payload,
            writer: CitationWriter::new(prompt.passages.clone()),
            input_tokens: prompt.input_tokens,
            whole: false,
            question: prompt.question.clone(),
            model: chat.name().to_owned(),
            chat,
        };
        match attempt.write(prompt).await {
            Ok(Ended::Whole(usage)) => attempt.save(usage).await,
            Ok(Ended::Cancelled) => attempt.end_cancelled().await,
            Err(Decision::Fail(problem)) => attempt.end_failed(problem).await,
            Err(decision) => Err(decision),
        }
    }
}

/// The question and what was found for it; none where the answer is no longer awaited.
async fn read_question(
    context: &Context,
    job: &Running,
    payload: &ChatPayload,
) -> Result<Option<(QuestionContext, Grounding)>, Decision> {
    let (store, workspace) = (&context.store, job.workspace);
    let earlier = context.settings.earlier_messages;
    let Some(subject) =
        store.question_context(workspace, payload.message_id, payload.answer_id, earlier).await?
    else {
        return Ok(None);
    };
    if subject.answer_state != MessageState::Pending {
        return Ok(None);
    }
    let grounding = store.grounding(workspace, payload.answer_id).await?;
    Ok(grounding.map(|grounding| (subject, grounding)))
}

enum Ended {
    Whole(Usage),
    Cancelled,
}

/// One attempt at an answer.
struct Writing<'a> {
    context: &'a Context,
    job: &'a Running,
    payload: &'a ChatPayload,
    writer: CitationWriter,
    input_tokens: u64,
    /// `provider:model` that writes; the whole chain until one has begun.
    model: String,
    /// Whether the model ended by itself.
    whole: bool,
    /// The question, made to stand alone.
    question: String,
    /// Who is asked.
    chat: &'a Arc<dyn ChatModel>,
}

/// Whether the asker's budgets allow a model to be asked, as they are at this moment: much
/// may have been spent since the question was accepted.
async fn may_spend(context: &Context, job: &Running) -> Result<Allowance, Decision> {
    match job.scope.principal {
        Some(principal) => Ok(context.budgets.allowance(job.workspace, principal).await?),
        None => Ok(Allowance::Within),
    }
}

/// Who answers beyond a soft budget.
fn cheaper(context: &Context) -> &Arc<dyn ChatModel> {
    let Some(chat) = &context.chat_cheap else { return &context.chat };
    quaestor_core::metrics::CHEAP_ANSWERS.of([]).increment(1);
    chat
}

impl Writing<'_> {
    async fn write(&mut self, prompt: Prompt) -> Result<Ended, Decision> {
        let request = ChatRequest {
            messages: prompt.messages,
            question: prompt.question,
            passages: prompt.grounding,
            input_tokens: prompt.input_tokens,
            max_output_tokens: self.context.settings.max_output_tokens,
        };
        let cancel = self.job.cancel.clone();
        failpoint::hit("generate.before_call");
        let opened = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(Ended::Cancelled),
            opened = self.chat.stream(request, &self.job.scope) => opened,
        };
        let ChatStream { model, deltas: mut stream } = opened?;
        self.model = model;
        let mut frame = Frame::new(&*self.context.clock);
        loop {
            let delta = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    // What is stored as the partial answer is also what was told.
                    self.show(frame.take()).await?;
                    return Ok(Ended::Cancelled);
                }
                () = frame.due() => {
                    self.show(frame.take()).await?;
                    continue;
                }
                delta = stream.next() => delta,
            };
            match delta {
                Some(Ok(ChatDelta::Text(text))) => {
                    let written = self.writer.push(&text);
                    if let Some(full) = frame.push(&written) {
                        self.show(full).await?;
                    }
                    failpoint::hit("generate.mid_stream");
                    if self.writer.text().len() > MAX_ANSWER_CHARS {
                        let rest = self.writer.push(TOO_LONG);
                        self.show(frame.take() + &rest).await?;
                        return Ok(Ended::Whole(self.estimate()));
                    }
                }
                Some(Ok(ChatDelta::Finished { reason, usage })) => {
                    self.end_of_text(reason, frame.take()).await?;
                    return Ok(Ended::Whole(usage.unwrap_or_else(|| self.estimate())));
                }
                Some(Err(error)) => return Err(error.into()),
                None => {
                    return Err(ModelError::new(&self.model, ErrorClass::Unavailable)
                        .because("the answer was cut off")
                        .into());
                }
            }
        }
    }

    /// Shows the last of the text, and says why there is no more of it where that is not
    /// because all is said. An answer without a word is none, and another try would fare
    /// the same.
    async fn end_of_text(&mut self, reason: FinishReason, shown: String) -> Result<(), Decision> {
        let mut rest = self.writer.finish();
        let nothing = self.writer.text().trim().is_empty();
        match reason {
            FinishReason::ContentFilter if nothing => {
                return Err(Decision::Fail(Problem::new(
                    "content_filtered",
                    "The provider withheld the answer",
                    "the model's provider filtered this answer; ask in other words",
                )));
            }
            FinishReason::Stop | FinishReason::Length if nothing => {
                return Err(Decision::Fail(Problem::new(
                    "model_said_nothing",
                    "The model gave an empty answer",
                    format!("{} ended without a word; ask in other words", self.model),
                )));
            }
            FinishReason::Stop => self.whole = true,
            FinishReason::Length => rest.push_str(&self.writer.push(TOO_LONG)),
            FinishReason::ContentFilter => rest.push_str(&self.writer.push(WITHHELD)),
        }
        self.show(shown + &rest).await
    }

    async fn show(&self, text: String) -> Result<(), Decision> {
        if text.is_empty() || self.job.emitter.emit(Event::Token { text }).await {
            Ok(())
        } else {
            Err(Decision::Fenced)
        }
    }

    fn estimate(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens,
            output_tokens: u64::from(tokens::estimate(self.writer.text())),
            cost_micros: 0,
            ..Usage::default()
        }
    }

    async fn save(self, usage: Usage) -> Result<Outcome, Decision> {
        let context = self.context;
        let workspace = self.job.workspace;
        if self.writer.dropped() > 0 {
            info!(
                citations.dropped = self.writer.dropped(),
                "dropped {} citations of passages that were not given",
                self.writer.dropped()
            );
            quaestor_core::metrics::CITATIONS_DROPPED.of([]).increment(self.writer.dropped());
        }
        let (content, located) = self.writer.into_parts();
        let Grounded { citations, figures } =
            ground(&*context.store, workspace, &self.question, &content, &located).await?;
        let answer = Answer {
            content,
            citations: citations.clone(),
            figures: figures.clone(),
            model: self.model,
            usage,
            calls: Vec::new(),
        };
        let kept = self.payload.answer_key.as_ref().zip(context.answers.as_ref());
        let kept = kept
            .filter(|_| self.whole && is_first_choice(context, &answer.model))
            .map(|(key, answers)| (key, answers, answer.clone()));
        failpoint::store("generate.before_save")?;
        save_answer(context, self.job, self.payload, answer).await?;
        if let Some((key, answers, answer)) = kept {
            answers.keep(key, &answer).await;
        }
        let cited = Event::Citations { citations, figures };
        Ok(Outcome::Ended(vec![cited, Event::Done { usage: Some(usage) }]))
    }

    async fn end_cancelled(self) -> Result<Outcome, Decision> {
        self.end(None).await?;
        Ok(Outcome::Ended(vec![Event::Cancelled]))
    }

    async fn end_failed(self, problem: Problem) -> Result<Outcome, Decision> {
        self.end(Some(problem.clone())).await?;
        Ok(Outcome::Ended(vec![Event::Failed { problem }]))
    }

    async fn end(self, problem: Option<Problem>) -> Result<(), Decision> {
        let usage = NewUsage { model: self.model.clone(), usage: self.estimate() };
        let end = UnfinishedAnswer {
            partial: self.writer.text().to_owned(),
            usage: Some(usage),
            calls: Vec::new(),
            problem,
        };
        let (context, job, answer) = (self.context, self.job, self.payload.answer_id);
        let now = context.clock.now();
        with_calls(job, |calls| async move {
            let end = UnfinishedAnswer { calls, ..end };
            context.store.end_answer(job.workspace, &job.claim, answer, end, now).await
        })
        .await?;
        Ok(())
    }
}

/// Whether the model that is to answer has answered. What one wrote that stood in for it, in
/// an outage or beyond a soft budget, is not given again when that is over.
fn is_first_choice(context: &Context, model: &str) -> bool {
    context.chat.name().split(',').next() == Some(model)
}

/// Stores an answer with the requests that it took.
async fn save_answer(
    context: &Context,
    job: &Running,
    payload: &ChatPayload,
    answer: Answer,
) -> Result<(), StoreError> {
    let now = context.clock.now();
    with_calls(job, |calls| async move {
        let (workspace, answer) = (job.workspace, Answer { calls, ..answer });
        let saved =
            context.store.save_answer(workspace, &job.claim, payload.answer_id, answer, now);
        saved.instrument(trace::store("save_answer")).await
    })
    .await
}

async fn save_nothing_found(
    context: &Context,
    job: &Running,
    payload: &ChatPayload,
) -> Result<Outcome, Decision> {
    if !job.emitter.emit(Event::Token { text: NOTHING_FOUND.to_owned() }).await {
        return Err(Decision::Fenced);
    }
    let answer = Answer {
        content: NOTHING_FOUND.to_owned(),
        citations: Vec::new(),
        figures: Vec::new(),
        model: "none".to_owned(),
        usage: Usage::default(),
        calls: Vec::new(),
    };
    save_answer(context, job, payload, answer).await?;
    let cited = Event::Citations { citations: Vec::new(), figures: Vec::new() };
    Ok(Outcome::Ended(vec![cited, Event::Done { usage: Some(Usage::default()) }]))
}
