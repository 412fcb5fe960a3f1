//! Calls of models under faults: what is tried again, what is left alone, who stands in,
//! and what is written down.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use quaestor_backends::limits::provider::memory::MemoryProviderLimits;
use quaestor_backends::models::limits::Limited;
use quaestor_backends::models::provider::{ChatProvider, LimitsTold, ProviderStream};
use quaestor_backends::models::resilience::{
    BreakerState, ChatChain, ChatLink, Guards, Policy, Surroundings,
};
use quaestor_contracts::call_scope;
use quaestor_contracts::chat_model::request;
use quaestor_core::clock::{Clock, ManualClock};
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::ids::{CallId, IdSource};
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{
    ChatDelta, ChatModel, ChatRequest, ChatStream, FinishReason,
};
use quaestor_core::ports::model_call::{CallOutcome, CallScope, ModelCall, Readiness};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::provider_limits::ProviderQuota;

/// What a provider does with one request.
#[derive(Clone, Debug)]
enum Act {
    /// Answers.
    Answers,
    /// Refuses before an answer begins.
    Fails(ErrorClass),
    /// Asks to be left alone for so many seconds.
    AsksToWait(u64),
    /// Sends so many pieces and then an error.
    BreaksOffAfter(usize),
    /// Sends so many pieces and then nothing more.
    FallsSilentAfter(usize),
    /// Sends nothing at all.
    Hangs,
}

/// A provider that does what it is told, and the last thing again and again.
#[derive(Debug)]
struct Scripted {
    name: &'static str,
    acts: Mutex<VecDeque<Act>>,
    sent: Mutex<u32>,
}

impl Scripted {
    fn new(name: &'static str, acts: &[Act]) -> Arc<Self> {
        let acts = Mutex::new(acts.iter().cloned().collect());
        Arc::new(Self { name, acts, sent: Mutex::new(0) })
    }

    fn sent(&self) -> u32 {
        *self.sent.lock().unwrap()
    }

    fn act(&self) -> Act {
        *self.sent.lock().unwrap() += 1;
        let mut acts = self.acts.lock().unwrap();
        if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
    }
}

fn piece(n: usize) -> Result<ChatDelta, ModelError> {
    Ok(ChatDelta::Text(format!("piece {n} ")))
}

#[async_trait]
impl ChatProvider for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    async fn stream(&self, _: &ChatRequest, _: CallId) -> Result<ProviderStream, ModelError> {
        let error = |class| ModelError::new(self.name, class);
        let usage =
            Usage { input_tokens: 100, output_tokens: 20, cost_micros: 0, ..Usage::default() };
        let finished = ChatDelta::Finished { reason: FinishReason::Stop, usage: Some(usage) };
        let deltas = match self.act() {
            Act::Answers => futures::stream::iter((0..3).map(piece).chain([Ok(finished)])).boxed(),
            Act::Fails(class) => return Err(error(class)),
            Act::AsksToWait(seconds) => {
                let after = Some(Duration::from_secs(seconds));
                return Err(error(ErrorClass::Overloaded).retry_after(after));
            }
            Act::BreaksOffAfter(pieces) => {
                let end = Err(error(ErrorClass::Unavailable));
                futures::stream::iter((0..pieces).map(piece).chain([end])).boxed()
            }
            Act::FallsSilentAfter(pieces) => futures::stream::iter((0..pieces).map(piece))
                .chain(futures::stream::pending())
                .boxed(),
            Act::Hangs => return futures::future::pending().await,
        };
        let request_id = Some(format!("{}-{}", self.name, self.sent()));
        Ok(ProviderStream { request_id, limits: LimitsTold::default(), deltas })
    }
}

/// A process with a clock that the test moves, or that runs on by itself while it waits.
struct World {
    clock: ManualClock,
    guards: Guards,
}

impl World {
    fn new(change: impl FnOnce(&mut Policy)) -> Self {
        let clock = ManualClock::at_millis(1_000_000);
        let mut policy = Policy::default();
        change(&mut policy);
        let guards = Guards::new(Surroundings {
            policy,
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(7)),
            cost_of: Arc::new(|_, _, usage| usage.input_tokens + 10 * usage.output_tokens),
            ids: IdSource::new(Arc::new(clock.clone()), Arc::new(SeededEntropy::new(8))),
            ledger: None,
        });
        Self { clock, guards }
    }

    /// Counts requests, as all processes do that have these limits.
    fn limited_by(mut self, limits: &Arc<MemoryProviderLimits>, requests: u32) -> Self {
        let limits = Arc::clone(limits);
        self.guards = self.guards.limited_by(Arc::new(move |_| {
            let quota =
                ProviderQuota { requests_per_minute: Some(requests), tokens_per_minute: None };
            Some(Limited::new(limits.clone(), "a", &"key".to_owned().into(), quota))
        }));
        self
    }

    fn chain(&self, providers: &[&Arc<Scripted>]) -> ChatChain {
        let links = providers
            .iter()
            .map(|provider| ChatLink::Provider(Arc::clone(provider) as Arc<dyn ChatProvider>));
        ChatChain::of(links.collect(), &self.guards).unwrap()
    }

    /// Lets time pass in steps of 10 ms until the work is done.
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let passing = async {
            loop {
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
                self.clock.advance(Duration::from_millis(10));
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = passing => unreachable!("it never ends"),
        }
    }

    async fn ask(&self, chain: &ChatChain, scope: &CallScope) -> Result<String, ModelError> {
        self.run(async { read(chain.stream(request(), scope).await?).await }).await
    }

    fn seconds(&self) -> i64 {
        self.clock.now().timestamp() - 1_000
    }

    fn breaker(&self, model: &str) -> String {
        let all = self.guards.status();
        all.into_iter().find(|status| status.model == model).unwrap().breaker
    }
}

async fn read(stream: ChatStream) -> Result<String, ModelError> {
    let ChatStream { model, mut deltas } = stream;
    let mut text = String::new();
    while let Some(delta) = deltas.next().await {
        match delta? {
            ChatDelta::Text(piece) => text.push_str(&piece),
            ChatDelta::Finished { usage, .. } => {
                assert!(usage.is_some());
                return Ok(format!("{model}: {text}"));
            }
        }
    }
    panic!("the stream ended without a word");
}

fn outcomes(calls: &[ModelCall]) -> Vec<CallOutcome> {
    calls.iter().map(|call| call.outcome).collect()
}

const WHOLE: &str = "piece 0 piece 1 piece 2 ";

#[tokio::test]
async fn what_may_pass_is_tried_again_before_anything_was_shown() {
    for passing in [
        Act::Fails(ErrorClass::Unavailable),
        Act::Fails(ErrorClass::Overloaded),
        Act::Fails(ErrorClass::Malformed),
        Act::BreaksOffAfter(0),
    ] {
        let world = World::new(|_| ());
        let provider = Scripted::new("a:m", &[passing.clone(), passing, Act::Answers]);
        let (chain, scope) = (world.chain(&[&provider]), call_scope());
        assert_eq!(world.ask(&chain, &scope).await.unwrap(), format!("a:m: {WHOLE}"));
        let calls = scope.calls.take();
        assert_eq!(outcomes(&calls), [CallOutcome::Failed, CallOutcome::Failed, CallOutcome::Done]);
        assert_eq!(calls[0].usage, Usage::default());
        let paid =
            Usage { input_tokens: 100, output_tokens: 20, cost_micros: 300, ..Usage::default() };
        assert_eq!((calls[2].usage, calls[2].estimated), (paid, false));
        assert_eq!(calls[2].request_id.as_deref(), Some("a:m-3"));
    }
}

#[tokio::test]
async fn it_is_tried_three_times_at_most() {
    let world = World::new(|_| ());
    let provider = Scripted::new("a:m", &[Act::Fails(ErrorClass::Unavailable)]);
    let (chain, scope) = (world.chain(&[&provider]), call_scope());
    assert_eq!(world.ask(&chain, &scope).await.unwrap_err().class, ErrorClass::Unavailable);
    assert_eq!(provider.sent(), 3);
    assert_eq!(scope.calls.take().len(), 3);
}

#[tokio::test]
async fn what_stays_as_it_is_is_asked_once() {
    for class in [
        ErrorClass::Quota,
        ErrorClass::Credentials,
        ErrorClass::Refused,
        ErrorClass::TooLong,
        ErrorClass::Filtered,
    ] {
        let world = World::new(|_| ());
        let provider = Scripted::new("a:m", &[Act::Fails(class)]);
        let error = world.ask(&world.chain(&[&provider]), &call_scope()).await.unwrap_err();
        assert_eq!((error.class, provider.sent()), (class, 1));
    }
}

#[tokio::test]
async fn nothing_is_sent_while_a_provider_asks_to_be_left_alone() {
    let world = World::new(|_| ());
    let provider = Scripted::new("a:m", &[Act::AsksToWait(7), Act::Answers]);
    let chain = world.chain(&[&provider]);
    let error = world.ask(&chain, &call_scope()).await.unwrap_err();
    assert_eq!(
        (error.class, error.retry_after),
        (ErrorClass::Overloaded, Some(Duration::from_secs(7)))
    );
    let until = world.clock.now() + Duration::from_secs(7);
    let Readiness::NotBefore(told) = chain.readiness() else { panic!("{:?}", chain.readiness()) };
    assert!(told <= until);
    for _ in 0..6 {
        let error = world.ask(&chain, &call_scope()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::BreakerOpen);
        assert!(error.retry_after.unwrap() <= Duration::from_secs(7));
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(provider.sent(), 1);
    world.clock.advance(Duration::from_secs(1));
    assert!(world.ask(&chain, &call_scope()).await.is_ok());
}

#[tokio::test]
async fn the_next_model_answers_and_an_open_breaker_costs_no_call() {
    let world = World::new(|_| ());
    let gone = Scripted::new("a:m", &[Act::Fails(ErrorClass::Unavailable)]);
    let good = Scripted::new("b:m", &[Act::Answers]);
    let (chain, scope) = (world.chain(&[&gone, &good]), call_scope());
    for _ in 0..4 {
        assert_eq!(world.ask(&chain, &scope).await.unwrap(), format!("b:m: {WHOLE}"));
    }
    assert_eq!(world.breaker("a:m"), BreakerState::Open.as_str());
    let (asked, began) = (gone.sent(), world.clock.now());
    assert!(world.ask(&chain, &scope).await.is_ok());
    assert_eq!(gone.sent(), asked);
    assert!(world.clock.now() - began < chrono::TimeDelta::milliseconds(300));
    assert_eq!(chain.readiness(), Readiness::Ready);
    let calls = scope.calls.take();
    let of_good = calls.iter().filter(|call| call.model == "b:m").count();
    assert_eq!((calls.len(), of_good), ((gone.sent() + good.sent()) as usize, 5));
}

#[tokio::test]
async fn a_model_that_withholds_its_answer_has_no_substitute() {
    let world = World::new(|_| ());
    let withholds = Scripted::new("a:m", &[Act::Fails(ErrorClass::Filtered)]);
    let other = Scripted::new("b:m", &[Act::Answers]);
    let chain = world.chain(&[&withholds, &other]);
    assert_eq!(world.ask(&chain, &call_scope()).await.unwrap_err().class, ErrorClass::Filtered);
    assert_eq!(other.sent(), 0);
}

#[tokio::test]
async fn a_chain_that_fails_says_when_its_first_model_may_answer() {
    let world = World::new(|_| ());
    let long = Scripted::new("a:m", &[Act::AsksToWait(60)]);
    let short = Scripted::new("b:m", &[Act::AsksToWait(5)]);
    let never = Scripted::new("c:m", &[Act::Fails(ErrorClass::Credentials)]);
    let chain = world.chain(&[&long, &short, &never]);
    let error = world.ask(&chain, &call_scope()).await.unwrap_err();
    assert!(error.class.is_transient());
    assert_eq!(error.retry_after, Some(Duration::from_secs(5)));
}

#[tokio::test]
async fn when_its_time_is_over_one_call_shows_whether_the_provider_is_back() {
    let world = World::new(|_| ());
    let mut acts = vec![Act::Fails(ErrorClass::Unavailable); 5];
    acts.extend([Act::Hangs, Act::Answers]);
    let provider = Scripted::new("a:m", &acts);
    let chain = world.chain(&[&provider]);
    while world.ask(&chain, &call_scope()).await.unwrap_err().class != ErrorClass::BreakerOpen {}
    assert_eq!(provider.sent(), 5);
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(chain.readiness(), Readiness::Trial);
    let scope = call_scope();
    let mut trial = Box::pin(chain.stream(request(), &scope));
    assert!(futures::poll!(&mut trial).is_pending());
    for _ in 0..50 {
        let error = world.ask(&chain, &call_scope()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::BreakerOpen);
    }
    assert_eq!(provider.sent(), 6);
    drop(trial);
    assert!(world.ask(&chain, &call_scope()).await.is_ok());
    assert_eq!((provider.sent(), chain.readiness()), (7, Readiness::Ready));
}

#[tokio::test]
async fn an_answer_that_breaks_off_after_it_was_shown_is_not_tried_again() {
    let world = World::new(|_| ());
    let first = Scripted::new("a:m", &[Act::BreaksOffAfter(2)]);
    let second = Scripted::new("b:m", &[Act::Answers]);
    let (chain, scope) = (world.chain(&[&first, &second]), call_scope());
    let error = world.ask(&chain, &scope).await.unwrap_err();
    assert_eq!(
        (error.class, error.request_id.as_deref()),
        (ErrorClass::Unavailable, Some("a:m-1"))
    );
    assert_eq!((first.sent(), second.sent()), (1, 0));
    let calls = scope.calls.take();
    assert_eq!((outcomes(&calls), calls[0].estimated), (vec![CallOutcome::Cut], true));
    assert_eq!((calls[0].usage.input_tokens, calls[0].usage.output_tokens), (60, 4));
    assert!(calls[0].usage.cost_micros > 0);
    // It counts as a failure: four more, and the breaker opens.
    for _ in 0..4 {
        world.ask(&chain, &scope).await.unwrap_err();
    }
    assert_eq!(world.breaker("a:m"), "open");
}

#[tokio::test]
async fn waiting_ends_for_the_first_piece_the_next_and_the_whole() {
    let world = World::new(|policy| policy.retry.attempts = 1);
    let hangs = Scripted::new("a:m", &[Act::Hangs]);
    let error = world.ask(&world.chain(&[&hangs]), &call_scope()).await.unwrap_err();
    assert_eq!((error.class, world.seconds()), (ErrorClass::TooSlow, 60));
    let silent = Scripted::new("b:m", &[Act::FallsSilentAfter(2)]);
    let error = world.ask(&world.chain(&[&silent]), &call_scope()).await.unwrap_err();
    assert_eq!((error.class, world.seconds()), (ErrorClass::TooSlow, 80));
    let world = World::new(|policy| policy.timeouts.total = Duration::from_secs(7));
    let error = world.ask(&world.chain(&[&silent]), &call_scope()).await.unwrap_err();
    assert_eq!((error.class, world.seconds()), (ErrorClass::TooSlow, 7));
    let world = World::new(|_| ());
    let mut scope = call_scope();
    scope.deadline = Some(world.clock.now() + Duration::from_secs(3));
    let error = world.ask(&world.chain(&[&hangs]), &scope).await.unwrap_err();
    assert_eq!((error.class, world.seconds()), (ErrorClass::TooSlow, 3));
    assert_eq!(outcomes(&scope.calls.take()), [CallOutcome::Failed]);
}

#[tokio::test]
async fn an_answer_that_is_no_longer_wanted_is_written_down_too() {
    let world = World::new(|_| ());
    let provider = Scripted::new("a:m", &[Act::FallsSilentAfter(2), Act::Hangs]);
    let (chain, scope) = (world.chain(&[&provider]), call_scope());
    let mut stream = chain.stream(request(), &scope).await.unwrap().deltas;
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let calls = scope.calls.take();
    assert_eq!((outcomes(&calls), calls[0].estimated), (vec![CallOutcome::Cut], true));
    let mut begun = Box::pin(chain.stream(request(), &scope));
    assert!(futures::poll!(&mut begun).is_pending());
    drop(begun);
    assert_eq!(outcomes(&scope.calls.take()), [CallOutcome::Failed]);
    assert_eq!(world.breaker("a:m"), "closed");
}

#[tokio::test]
async fn repetitions_are_a_tenth_of_the_requests_and_three() {
    let world = World::new(|policy| {
        policy.breaker.in_a_row = u32::MAX;
        policy.breaker.of_the_last = u32::MAX;
    });
    let provider = Scripted::new("a:m", &[Act::Fails(ErrorClass::Unavailable)]);
    let chain = world.chain(&[&provider]);
    for asked in 1..=100_u32 {
        world.ask(&chain, &call_scope()).await.unwrap_err();
        assert!(provider.sent() <= asked + asked / 10 + 3, "{} of {asked}", provider.sent());
    }
    assert!(provider.sent() > 105);
}

#[tokio::test]
async fn a_key_that_stops_working_opens_the_breaker_and_is_told_as_what_it_is() {
    let world = World::new(|_| ());
    let provider = Scripted::new("a:m", &[Act::Fails(ErrorClass::Credentials)]);
    let chain = world.chain(&[&provider]);
    for _ in 0..20 {
        let error = world.ask(&chain, &call_scope()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Credentials);
    }
    assert_eq!((provider.sent(), world.breaker("a:m").as_str()), (5, "open"));
    let status = world.guards.status();
    assert_eq!(status[0].last_error.as_deref(), Some("credentials"));
    assert_eq!((status[0].calls, status[0].failed), (5, 5));
}

#[tokio::test]
async fn beyond_the_limit_of_a_key_nothing_is_sent_by_whatever_process() {
    let world = World::new(|_| ());
    let limits = Arc::new(MemoryProviderLimits::new(Arc::new(world.clock.clone())));
    let world = world.limited_by(&limits, 2);
    let provider = Scripted::new("a:m", &[Act::Answers]);
    let (chain, scope) = (world.chain(&[&provider]), call_scope());
    for _ in 0..2 {
        assert!(world.ask(&chain, &scope).await.is_ok());
    }
    let refused = world.ask(&chain, &scope).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::LimitReached);
    let wait = refused.retry_after.unwrap();
    assert!(wait > Duration::from_secs(25) && wait <= Duration::from_secs(30), "{wait:?}");
    assert_eq!((provider.sent(), scope.calls.take().len()), (2, 2), "what is not sent is no call");
    assert_eq!(world.breaker("a:m"), "closed", "the provider did nothing wrong");
    world.clock.advance(wait);
    assert!(world.ask(&chain, &scope).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_is_left_alone_by_every_process() {
    let (one, mut other) = (World::new(|_| ()), World::new(|_| ()));
    other.clock = one.clock.clone();
    let limits = Arc::new(MemoryProviderLimits::new(Arc::new(one.clock.clone())));
    let (one, other) = (one.limited_by(&limits, 1_000), other.limited_by(&limits, 1_000));
    let provider = Scripted::new("a:m", &[Act::AsksToWait(60), Act::Answers]);
    let (chain, beside) = (one.chain(&[&provider]), other.chain(&[&provider]));
    let scope = call_scope();
    assert!(one.ask(&chain, &scope).await.is_err());
    let refused = other.ask(&beside, &scope).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::LimitReached);
    assert_eq!(provider.sent(), 1);
    one.clock.advance(Duration::from_secs(60));
    assert!(other.ask(&beside, &scope).await.is_ok());
}
