//! Several chat models tried in order, and the watch over the answer that one writes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use quaestor_core::clock::Time;
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{ChatDelta, ChatModel, ChatRequest, ChatStream};
use quaestor_core::ports::model_call::{CallOutcome, CallScope, Operation, Readiness};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::trace;
use tracing::warn;

use super::Guards;
use super::guard::{Guard, Sent, Started};
use crate::models::provider::{ChatProvider, ProviderStream};

/// Characters in a token, for what a cut answer is taken to have cost.
const CHARS_PER_TOKEN: u64 = 4;

/// A model of a chain.
#[derive(Clone, Debug)]
pub enum ChatLink {
    /// One in this process: it costs nothing and does not fail.
    Local(Arc<dyn ChatModel>),
    /// One at a provider.
    Provider(Arc<dyn ChatProvider>),
}

#[derive(Debug)]
enum Link {
    Local(Arc<dyn ChatModel>),
    Guarded(Arc<dyn ChatProvider>, Arc<Guard>),
}

/// A chain of chat models, best first. Only the beginning of an answer is tried with the
/// next one: once text was shown, an answer is never spliced from two models.
#[derive(Debug)]
pub struct ChatChain {
    name: String,
    links: Vec<Link>,
}

impl ChatChain {
    /// The chain. None where there is no model.
    #[must_use]
    pub fn of(links: Vec<ChatLink>, guards: &Guards) -> Option<Self> {
        let links: Vec<Link> = links
            .into_iter()
            .map(|link| match link {
                ChatLink::Local(model) => Link::Local(model),
                ChatLink::Provider(provider) => {
                    let guard = guards.of(provider.name(), Operation::Chat);
                    Link::Guarded(provider, guard)
                }
            })
            .collect();
        let name = links.iter().map(Link::name).collect::<Vec<_>>().join(",");
        (!links.is_empty()).then_some(Self { name, links })
    }
}

impl Link {
    fn name(&self) -> &str {
        match self {
            Self::Local(model) => model.name(),
            Self::Guarded(provider, _) => provider.name(),
        }
    }

    fn readiness(&self) -> Readiness {
        match self {
            Self::Local(model) => model.readiness(),
            Self::Guarded(_, guard) => guard.readiness(),
        }
    }

    async fn stream(
        &self,
        request: &ChatRequest,
        scope: &CallScope,
    ) -> Result<ChatStream, ModelError> {
        match self {
            Self::Local(model) => model.stream(request.clone(), scope).await,
            Self::Guarded(provider, guard) => begin(provider, guard, request, scope).await,
        }
    }
}

#[async_trait]
impl ChatModel for ChatChain {
    fn name(&self) -> &str {
        &self.name
    }

    fn readiness(&self) -> Readiness {
        self.links.iter().map(Link::readiness).reduce(Readiness::or).unwrap_or(Readiness::Ready)
    }

    async fn stream(
        &self,
        request: ChatRequest,
        scope: &CallScope,
    ) -> Result<ChatStream, ModelError> {
        let mut failed: Option<ModelError> = None;
        for (place, link) in self.links.iter().enumerate() {
            let error = match link.stream(&request, scope).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            // Another provider would be asked to say what this one will not.
            let ends = error.class == ErrorClass::Filtered;
            if !ends
                && let (Link::Guarded(_, guard), Some(next)) = (link, self.links.get(place + 1))
            {
                guard.failed_over();
                warn!(
                    error = &error as &dyn std::error::Error,
                    "{} cannot answer; {} is asked",
                    link.name(),
                    next.name()
                );
            }
            failed = Some(match failed {
                Some(before) => worst(before, error),
                None => error,
            });
            if ends {
                break;
            }
        }
        Err(failed.unwrap_or_else(|| {
            ModelError::new(&self.name, ErrorClass::Refused).because("the chain is empty")
        }))
    }
}

/// What a chain tells whose models all failed: that waiting helps, where it helps with one
/// of them, and then how long until the first may answer.
fn worst(first: ModelError, second: ModelError) -> ModelError {
    match (first.class.is_transient(), second.class.is_transient()) {
        (true, true) => {
            let after = match (first.retry_after, second.retry_after) {
                (Some(first), Some(second)) => Some(first.min(second)),
                _ => None,
            };
            first.retry_after(after)
        }
        (false, true) => second,
        (true | false, false) => first,
    }
}

/// An answer whose first piece has come.
struct Begun {
    first: ChatDelta,
    stream: ProviderStream,
}

async fn begin(
    provider: &Arc<dyn ChatProvider>,
    guard: &Arc<Guard>,
    request: &ChatRequest,
    scope: &CallScope,
) -> Result<ChatStream, ModelError> {
    let clock = &guard.around.clock;
    let timeouts = guard.around.policy.timeouts;
    let total = TimeDelta::from_std(timeouts.total).unwrap_or(TimeDelta::MAX);
    let total = clock.now().checked_add_signed(total).unwrap_or(Time::MAX_UTC);
    let ends_at = scope.deadline.map_or(total, |deadline| deadline.min(total));
    // What it may write is reserved too: a provider counts it when it is asked.
    let expected = Usage {
        input_tokens: request.input_tokens,
        output_tokens: u64::from(request.max_output_tokens),
        ..Usage::default()
    };
    let Sent { answer: Begun { first, stream }, started } = guard
        .call(scope, expected, |call| async move {
            let mut stream = provider.stream(request, call).await?;
            loop {
                match stream.deltas.next().await {
                    Some(Ok(ChatDelta::Text(text))) if text.is_empty() => {}
                    Some(Ok(first)) => return Ok(Begun { first, stream }),
                    Some(Err(error)) => {
                        let id = error.request_id.clone().or(stream.request_id);
                        return Err(error.of_request(id));
                    }
                    None => {
                        return Err(cut_off(guard).of_request(stream.request_id));
                    }
                }
            }
        })
        .await?;
    guard.told(&stream.limits);
    let watched = Watched {
        guard: Arc::clone(guard),
        scope: scope.clone(),
        started,
        ends_at,
        between: timeouts.between,
        request_id: stream.request_id,
        deltas: stream.deltas,
        first: Some(first),
        input_tokens: request.input_tokens,
        written_chars: 0,
        entered: false,
    };
    let deltas = stream::unfold(watched, Watched::next).boxed();
    Ok(ChatStream { model: guard.model.clone(), deltas })
}

fn cut_off(guard: &Guard) -> ModelError {
    guard
        .error(ErrorClass::Unavailable)
        .because("the stream broke off before the answer was finished")
}

/// An answer that is being read: no longer between two pieces than may be, and written
/// down when it ends, breaks off, or is dropped.
struct Watched {
    guard: Arc<Guard>,
    scope: CallScope,
    started: Started,
    ends_at: Time,
    between: Duration,
    request_id: Option<String>,
    deltas: BoxStream<'static, Result<ChatDelta, ModelError>>,
    first: Option<ChatDelta>,
    input_tokens: u64,
    written_chars: u64,
    entered: bool,
}

impl Watched {
    async fn next(mut self) -> Option<(Result<ChatDelta, ModelError>, Self)> {
        if self.entered {
            return None;
        }
        let delta = match self.first.take() {
            Some(first) => Ok(first),
            None => self.awaited().await,
        };
        match delta {
            Ok(ChatDelta::Text(text)) => {
                self.written_chars += text.chars().count() as u64;
                Some((Ok(ChatDelta::Text(text)), self))
            }
            Ok(ChatDelta::Finished { reason, usage }) => {
                let usage = usage.map_or_else(|| (self.estimate(), true), |usage| (usage, false));
                let usage = self.enter(CallOutcome::Done, usage);
                Some((Ok(ChatDelta::Finished { reason, usage: Some(usage) }), self))
            }
            Err(error) => {
                let error = error.of_request(self.request_id.clone());
                self.guard.broke_off(&error);
                trace::model_failed(&self.started.span, error.class.as_str());
                self.enter(CallOutcome::Cut, (self.estimate(), true));
                Some((Err(error), self))
            }
        }
    }

    async fn awaited(&mut self) -> Result<ChatDelta, ModelError> {
        let clock = Arc::clone(&self.guard.around.clock);
        let too_late = |what: String| self.guard.error(ErrorClass::TooSlow).because(what);
        tokio::select! {
            biased;
            delta = self.deltas.next() => delta.unwrap_or_else(|| Err(cut_off(&self.guard))),
            () = clock.sleep_until(self.ends_at) => {
                Err(too_late("the answer took longer than an answer may".to_owned()))
            }
            () = clock.sleep(self.between) => {
                Err(too_late(format!("no next piece came within {} s", self.between.as_secs())))
            }
        }
    }

    /// What the provider is taken to have counted, where it does not tell.
    fn estimate(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.written_chars.div_ceil(CHARS_PER_TOKEN),
            cost_micros: 0,
            ..Usage::default()
        }
    }

    fn enter(&mut self, outcome: CallOutcome, usage: (Usage, bool)) -> Usage {
        self.entered = true;
        let id = self.request_id.take();
        self.guard.enter(&self.scope, &self.started, outcome, id, usage)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.entered {
            self.enter(CallOutcome::Cut, (self.estimate(), true));
        }
    }
}
