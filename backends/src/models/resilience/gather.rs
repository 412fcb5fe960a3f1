//! Passages of several jobs go in one request, as many as a provider takes at once.
//!
//! What comes while requests run waits for the next one, and a request that is full is sent at
//! once. One that is not full waits for more only while several jobs embed at the same time,
//! and not for long: a file that comes alone is never held up. Requests are parted by who pays
//! for them. A job that is given up drops out; a request that fails is the failure of those
//! jobs alone whose passages were in it, and one that the provider refuses because of what it
//! says is sent again in halves, so that only the job fails that it is about.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use futures::future::join_all;
use quaestor_core::clock::Time;
use quaestor_core::ids::{JobId, PrincipalId, WorkspaceId};
use quaestor_core::ports::embedder::EmbedKind;
use quaestor_core::ports::model_call::{CallLog, CallOutcome, CallScope};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use quaestor_core::ports::store::CallsOf;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, warn};

use super::embed::estimate;
use super::guard::{Guard, Sent};
use crate::models::provider::{EmbedProvider, RequestLimits};

/// Requests for passages at once, of all jobs together.
const AT_ONCE: usize = 4;
/// How long a request that is not full waits for the passages of further jobs.
const LINGER: TimeDelta = TimeDelta::milliseconds(500);
/// How many callers' passages are held; further callers wait for a place.
const CALLERS: usize = 1_024;

type Vectors = Result<Vec<Vec<f32>>, ModelError>;

/// Puts the passages of one model together.
#[derive(Debug)]
pub(super) struct Gather {
    shared: Arc<Shared>,
    places: Semaphore,
}

struct Shared {
    provider: Arc<dyn EmbedProvider>,
    guard: Arc<Guard>,
    tasks: TaskTracker,
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("provider", &self.provider).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// One for each who pays; those that were served last stand last.
    lines: VecDeque<Line>,
    in_flight: usize,
    /// When somebody looks again.
    looks_at: Option<Time>,
}

/// Who pays for a request.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Payer {
    workspace: WorkspaceId,
    principal: Option<PrincipalId>,
}

/// What waits at one payer's expense.
struct Line {
    payer: Payer,
    texts: VecDeque<Text>,
    bytes: usize,
    /// Whose passages came last, and when.
    last: (Option<JobId>, Time),
    /// When passages of another job came than just before.
    mixed_at: Option<Time>,
}

/// One passage, and whose it is.
struct Text {
    text: String,
    of: Arc<Part>,
    place: usize,
}

/// The passages of one caller.
struct Part {
    scope: CallScope,
    span: Span,
    since: Time,
    /// Cancelled when the caller waits no longer.
    gone: CancellationToken,
    made: Mutex<Made>,
}

struct Made {
    vectors: Vec<Vec<f32>>,
    missing: usize,
    answer: Option<oneshot::Sender<Vectors>>,
}

/// What is to be done next.
enum Next {
    Send(Vec<Text>),
    LookAt(Time),
    Nothing,
}

impl Gather {
    pub(super) fn new(provider: Arc<dyn EmbedProvider>, guard: Arc<Guard>) -> Self {
        let shared = Shared { provider, guard, tasks: TaskTracker::new(), state: Mutex::default() };
        Self { shared: Arc::new(shared), places: Semaphore::new(CALLERS) }
    }

    /// One vector for each text. Dropped before they are there, the texts are not sent, and
    /// a request that nobody waits for any more is given up.
    pub(super) async fn embed(&self, texts: &[String], scope: &CallScope) -> Vectors {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &self.shared;
        let given_up = || {
            let error = shared.guard.error(ErrorClass::Unavailable);
            error.because("the request was given up")
        };
        let _place = self.places.acquire().await.map_err(|_| given_up())?;
        let gone = CancellationToken::new();
        let _waits = gone.clone().drop_guard();
        let (answer, answered) = oneshot::channel();
        let clock = &shared.guard.around.clock;
        let part = Arc::new(Part {
            scope: scope.clone(),
            span: Span::current(),
            since: clock.now(),
            gone,
            made: Mutex::new(Made {
                vectors: vec![Vec::new(); texts.len()],
                missing: texts.len(),
                answer: Some(answer),
            }),
        });
        shared.state().take_in(&part, texts);
        // From here on its texts alone hold it: where they are lost, the answer is.
        drop(part);
        shared.go_on();
        let answered = async { answered.await.unwrap_or_else(|_| Err(given_up())) };
        let Some(deadline) = scope.deadline else { return answered.await };
        tokio::select! {
            biased;
            answer = answered => answer,
            () = clock.sleep_until(deadline) => {
                let error = shared.guard.error(ErrorClass::TooSlow);
                Err(error.because("the deadline of the job has passed"))
            }
        }
    }
}

impl State {
    fn take_in(&mut self, part: &Arc<Part>, texts: &[String]) {
        let CallScope { workspace, principal, job, .. } = part.scope;
        let (payer, now) = (Payer { workspace, principal }, part.since);
        let job = job.map(|(job, _)| job);
        let at = self.lines.iter().position(|line| line.payer == payer).unwrap_or_else(|| {
            self.lines.push_back(Line {
                payer,
                texts: VecDeque::new(),
                bytes: 0,
                last: (job, now),
                mixed_at: None,
            });
            self.lines.len() - 1
        });
        let line = &mut self.lines[at];
        if line.last.0 != job && now - line.last.1 < LINGER {
            line.mixed_at = Some(now);
        }
        line.last = (job, now);
        line.bytes += texts.iter().map(String::len).sum::<usize>();
        line.texts.extend(texts.iter().enumerate().map(|(place, text)| Text {
            text: text.clone(),
            of: Arc::clone(part),
            place,
        }));
    }

    fn next(&mut self, limits: RequestLimits, now: Time) -> Next {
        self.lines.retain(|line| !line.texts.is_empty() || now - line.last.1 < LINGER);
        if self.in_flight >= AT_ONCE {
            return Next::Nothing;
        }
        let due: Vec<Option<Time>> = self.lines.iter().map(|line| line.due(limits, now)).collect();
        if let Some(at) = due.iter().position(|due| due.is_some_and(|due| due <= now))
            && let Some(mut line) = self.lines.remove(at)
        {
            let batch = line.take(limits);
            self.lines.push_back(line);
            self.in_flight += 1;
            return Next::Send(batch);
        }
        due.into_iter().flatten().min().map_or(Next::Nothing, Next::LookAt)
    }
}

impl Line {
    /// When what waits is to be sent; none where nothing waits.
    fn due(&self, limits: RequestLimits, now: Time) -> Option<Time> {
        let oldest = self.texts.front()?.of.since;
        let full = self.texts.len() >= limits.texts || self.bytes >= limits.bytes;
        let several = self.mixed_at.is_some_and(|at| now - at < LINGER * 2);
        Some(if full || !several { now } else { oldest + LINGER })
    }

    /// As many texts as go into one request: at least one.
    fn take(&mut self, limits: RequestLimits) -> Vec<Text> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.texts.front() {
            if next.of.is_gone() {
                self.bytes -= next.text.len();
                self.texts.pop_front();
                continue;
            }
            let more = bytes + next.text.len();
            if batch.len() >= limits.texts || (!batch.is_empty() && more > limits.bytes) {
                break;
            }
            bytes = more;
            batch.extend(self.texts.pop_front());
        }
        self.bytes -= bytes;
        batch
    }
}

impl Part {
    /// Whether nobody waits for it: its caller has gone, or was told that it failed.
    fn is_gone(&self) -> bool {
        self.gone.is_cancelled() || self.made().answer.is_none()
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, place: usize, vector: Vec<f32>) {
        let mut made = self.made();
        made.vectors[place] = vector;
        made.missing -= 1;
        if made.missing == 0
            && let Some(answer) = made.answer.take()
        {
            // Who no longer waits wants none.
            let _ = answer.send(Ok(std::mem::take(&mut made.vectors)));
        }
    }

    fn fail(&self, error: &Arc<ModelError>) {
        if let Some(answer) = self.made().answer.take() {
            let _ = answer.send(Err(same(error)));
        }
    }
}

/// A place among the requests at once; free again however the request ends.
struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
        // A runtime that ends starts nothing any more.
        if Handle::try_current().is_ok() {
            self.0.go_on();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is due, and looks again when more will be.
    fn go_on(self: &Arc<Self>) {
        let clock = &self.guard.around.clock;
        loop {
            let now = clock.now();
            let mut state = self.state();
            match state.next(self.provider.limits(), now) {
                Next::Send(batch) => {
                    drop(state);
                    let place = InFlight(Arc::clone(self));
                    let span = batch.first().map_or_else(Span::none, |text| text.of.span.clone());
                    let ask = async move { place.0.ask(batch).await };
                    self.tasks.spawn(ask.instrument(span));
                }
                Next::LookAt(at) if state.looks_at.is_none_or(|looks_at| looks_at > at) => {
                    state.looks_at = Some(at);
                    drop(state);
                    let shared = Arc::clone(self);
                    self.tasks.spawn(async move {
                        shared.guard.around.clock.sleep_until(at).await;
                        let mut state = shared.state();
                        state.looks_at = state.looks_at.filter(|looks_at| *looks_at > at);
                        drop(state);
                        shared.go_on();
                    });
                    return;
                }
                Next::LookAt(_) | Next::Nothing => return,
            }
        }
    }

    /// Asks for a batch, and in halves where it is refused for what it says.
    async fn ask(&self, batch: Vec<Text>) {
        let mut left = vec![batch];
        while let Some(mut batch) = left.pop() {
            batch.retain(|text| !text.of.is_gone());
            match self.request(&batch).await {
                None => {}
                Some(Ok(vectors)) => {
                    for (text, vector) in batch.iter().zip(vectors) {
                        text.of.put(text.place, vector);
                    }
                }
                Some(Err(error)) => match halves(batch) {
                    (one, Some(other)) if is_of_a_text(error.class) => {
                        left.extend([other, one]);
                    }
                    (one, other) => {
                        let error = Arc::new(error);
                        one.iter().chain(other.iter().flatten()).for_each(|text| {
                            text.of.fail(&error);
                        });
                    }
                },
            }
        }
    }

    /// Sends one request; none where nobody waits for it any more.
    async fn request(&self, batch: &[Text]) -> Option<Vectors> {
        let (scope, is_shared) = common_scope(batch)?;
        let texts: Vec<String> = batch.iter().map(|text| text.text.clone()).collect();
        let sent = async {
            let request = |call| self.provider.request(EmbedKind::Passage, &texts, call);
            let sent = self.guard.call(&scope, estimate(&texts), request).await;
            let Sent { answer, started } = sent?;
            self.guard.told(&answer.limits);
            let usage =
                answer.usage.map_or_else(|| (estimate(&texts), true), |usage| (usage, false));
            self.guard.enter(&scope, &started, CallOutcome::Done, answer.request_id, usage);
            if answer.vectors.len() == texts.len() {
                return Ok(answer.vectors);
            }
            let error = self.guard.error(ErrorClass::Unusable);
            Err(error.because("it sent another number of vectors than of texts"))
        };
        let all_gone = join_all(batch.iter().map(|text| text.of.gone.cancelled()));
        let answer = tokio::select! {
            biased;
            answer = sent => Some(answer),
            _ = all_gone => None,
        };
        self.account(batch, &scope, is_shared).await;
        answer
    }

    /// Has the requests written down: by the job that they were for, with what it stores; and
    /// at once where they were for several, or for nobody any more.
    async fn account(&self, batch: &[Text], scope: &CallScope, is_shared: bool) {
        let calls = scope.calls.take();
        let Some(first) = batch.first().filter(|_| !calls.is_empty()) else { return };
        let waits = batch.iter().find(|text| !text.of.gone.is_cancelled());
        let (ledger, principal) = (&self.guard.around.ledger, scope.principal);
        if let (Some(ledger), Some(principal_id)) = (ledger, principal)
            && (is_shared || waits.is_none())
        {
            let of = CallsOf { principal_id, job: scope.job.filter(|_| !is_shared) };
            if let Err(error) = ledger.save_calls(scope.workspace, of, &calls).await {
                // It was written down before it was sent: it is accounted all the same.
                let error = &error as &dyn std::error::Error;
                warn!(error, "could not write down what was asked of {}", self.guard.model);
            }
            return;
        }
        let log = &waits.unwrap_or(first).of.scope.calls;
        calls.into_iter().for_each(|call| log.push(call));
    }
}

/// For whom the request is, until the last of its texts is no longer wanted, and whether it is
/// for several jobs. It is written down before it is sent as the first job's all the same: if
/// this process dies, that job's end is when it is known to be lost. None without texts.
fn common_scope(batch: &[Text]) -> Option<(CallScope, bool)> {
    let first = &batch.first()?.of.scope;
    let mut scope = CallScope { calls: CallLog::default(), ..first.clone() };
    for text in batch {
        let other = text.of.scope.deadline;
        scope.deadline = scope.deadline.zip(other).map(|(one, other)| one.max(other));
    }
    let is_shared = batch.iter().any(|text| text.of.scope.job != first.job);
    Some((scope, is_shared))
}

/// Whether one of the texts may be to blame.
fn is_of_a_text(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Refused | ErrorClass::TooLong | ErrorClass::Filtered)
}

/// Two parts, parted between two callers near the middle; one where all are of one caller.
fn halves(mut batch: Vec<Text>) -> (Vec<Text>, Option<Vec<Text>>) {
    let middle = batch.len() / 2;
    let between = |at: &usize| !Arc::ptr_eq(&batch[*at - 1].of, &batch[*at].of);
    let at = (1..batch.len()).filter(between).min_by_key(|at| at.abs_diff(middle));
    let other = at.map(|at| batch.split_off(at));
    (batch, other)
}

/// The error once more, for another caller.
fn same(error: &Arc<ModelError>) -> ModelError {
    let copy = ModelError::new(&error.provider, error.class)
        .because(&error.reason)
        .of_request(error.request_id.clone())
        .retry_after(error.retry_after);
    if error.source.is_some() { copy.caused_by(Cause(Arc::clone(error))) } else { copy }
}

/// The cause of an error that several callers have.
#[derive(Debug)]
struct Cause(Arc<ModelError>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source.as_ref().map_or(Ok(()), |source| write!(f, "{source}"))
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().and_then(|source| source.source())
    }
}
