//! Passages of several jobs in one request: who goes with whom, who waits, and whose failure
//! a failure is.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use quaestor_backends::models::provider::{
    EmbedProvider, LimitsTold, ProviderVectors, RequestLimits,
};
use quaestor_backends::models::resilience::{GuardedEmbedder, Guards, Policy, Surroundings};
use quaestor_contracts::call_scope;
use quaestor_core::clock::ManualClock;
use quaestor_core::entropy::SeededEntropy;
use quaestor_core::ids::{CallId, IdSource, JobId, WorkspaceId};
use quaestor_core::ports::embedder::{EmbedKind, Embedder};
use quaestor_core::ports::model_call::CallScope;
use quaestor_core::ports::model_error::{ErrorClass, ModelError};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// A provider that takes eight texts or a thousand bytes, refuses what is "forbidden", and
/// fails with what "fails".
#[derive(Debug)]
struct Provider {
    requests: Mutex<Vec<Vec<String>>>,
    /// A request is answered for each permit.
    answers: Semaphore,
    given_up: AtomicUsize,
}

struct Running<'a>(&'a AtomicUsize, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[async_trait]
impl EmbedProvider for Provider {
    fn model(&self) -> &str {
        "test:model"
    }

    fn dimensions(&self) -> u32 {
        1
    }

    fn limits(&self) -> RequestLimits {
        RequestLimits { texts: 8, bytes: 1_000 }
    }

    async fn request(
        &self,
        _: EmbedKind,
        texts: &[String],
        _: CallId,
    ) -> Result<ProviderVectors, ModelError> {
        self.requests.lock().unwrap().push(texts.to_vec());
        let mut running = Running(&self.given_up, false);
        self.answers.acquire().await.unwrap().forget();
        running.1 = true;
        let error = |class| ModelError::new(self.model(), class);
        if texts.iter().any(|text| text == "forbidden") {
            return Err(error(ErrorClass::Refused).because("it says something"));
        }
        if texts.iter().any(|text| text == "fails") {
            let error = error(ErrorClass::Overloaded).retry_after(Some(Duration::from_secs(7)));
            return Err(error.caused_by(std::io::Error::other("the cause")));
        }
        let vectors =
            texts.iter().map(|text| vec![f32::from(u16::try_from(text.len()).unwrap())]).collect();
        let limits = LimitsTold::default();
        Ok(ProviderVectors { vectors, request_id: None, limits, usage: None })
    }
}

struct World {
    clock: ManualClock,
    provider: Arc<Provider>,
    embedder: GuardedEmbedder,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::at_millis(1_000_000);
        let provider = Arc::new(Provider {
            requests: Mutex::default(),
            answers: Semaphore::new(0),
            given_up: AtomicUsize::new(0),
        });
        let guards = Guards::new(Surroundings {
            policy: Policy::default(),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(1)),
            cost_of: Arc::new(|_, _, _| 0),
            ids: IdSource::new(Arc::new(clock.clone()), Arc::new(SeededEntropy::new(2))),
            ledger: None,
        });
        let embedder = GuardedEmbedder::new(provider.clone(), &guards);
        Self { clock, provider, embedder }
    }

    async fn embed(&self, job: u128, texts: &[&str]) -> Result<Vec<Vec<f32>>, ModelError> {
        self.embed_for(&of_job(job), texts).await
    }

    async fn embed_for(
        &self,
        scope: &CallScope,
        texts: &[&str],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        self.embedder.embed(EmbedKind::Passage, &texts, scope).await
    }

    /// What was sent, once so many requests were.
    async fn requests(&self, count: usize) -> Vec<Vec<String>> {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
            if self.provider.requests.lock().unwrap().len() >= count {
                break;
            }
        }
        self.provider.requests.lock().unwrap().clone()
    }

    fn sizes(&self) -> Vec<usize> {
        self.provider.requests.lock().unwrap().iter().map(Vec::len).collect()
    }

    fn answer(&self, requests: usize) {
        self.provider.answers.add_permits(requests);
    }
}

fn of_job(job: u128) -> CallScope {
    call_scope().for_job(JobId(Uuid::from_u128(job)), 1, None)
}

/// Yields until what was begun has come as far as it can without time or answers.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_job_that_is_alone_is_never_held_up() {
    let world = World::new();
    world.answer(3);
    let long: Vec<String> = (0..20).map(|n| "x".repeat(n + 1)).collect();
    let texts: Vec<&str> = long.iter().map(String::as_str).collect();
    let vectors = world.embed(1, &texts).await.unwrap();
    let lengths: Vec<f32> = (1_u8..=20).map(f32::from).collect();
    assert_eq!(vectors.concat(), lengths, "in the order of the texts");
    assert_eq!(world.sizes(), [8, 8, 4]);
    assert!(world.embed(2, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn passages_of_several_jobs_go_in_one_request() {
    let world = World::new();
    let first = world.embed(1, &["alone"]);
    let others = join_all((2..8).map(|job| world.embed(job, &["one", "three"])));
    let time = async {
        assert_eq!(world.requests(1).await[0], ["alone"]);
        settle().await;
        // Six jobs with two texts: eight fill a request, and four wait for more.
        assert_eq!(world.sizes(), [1, 8]);
        world.clock.advance(Duration::from_millis(499));
        settle().await;
        assert_eq!(world.sizes(), [1, 8]);
        world.clock.advance(Duration::from_millis(1));
        world.requests(3).await;
        assert_eq!(world.sizes(), [1, 8, 4]);
        world.answer(3);
    };
    let (first, others, ()) = tokio::join!(biased; first, others, time);
    assert_eq!(first.unwrap(), [[5.0]]);
    for other in others {
        assert_eq!(other.unwrap(), [[3.0], [5.0]]);
    }
}

#[tokio::test]
async fn who_pays_for_them_parts_requests() {
    let world = World::new();
    let other = CallScope { workspace: WorkspaceId(Uuid::from_u128(99)), ..of_job(2) };
    let (one, two) = (world.embed(1, &["a"]), world.embed_for(&other, &["b"]));
    let answers = async {
        assert_eq!(world.requests(2).await, [["a"], ["b"]]);
        world.answer(2);
    };
    let (one, two, ()) = tokio::join!(biased; one, two, answers);
    assert_eq!((one.unwrap(), two.unwrap()), (vec![vec![1.0]], vec![vec![1.0]]));
}

#[tokio::test]
async fn what_is_refused_fails_the_job_alone_that_it_is_of() {
    let world = World::new();
    let texts = ["first", "a", "b", "c", "d", "forbidden", "e", "f"].map(|text| [text]);
    let jobs = join_all((0..).zip(&texts).map(|(job, texts)| world.embed(job, texts)));
    let time = async {
        world.requests(1).await;
        settle().await;
        world.answer(100);
        world.clock.advance(Duration::from_secs(1));
    };
    let (ended, ()) = tokio::join!(biased; jobs, time);
    for (job, ended) in ended.into_iter().enumerate() {
        match ended {
            Ok(_) => assert_ne!(job, 5),
            Err(error) => assert_eq!((job, error.class), (5, ErrorClass::Refused), "{error}"),
        }
    }
    assert!(world.sizes().len() <= 8, "{:?}", world.sizes());
}

#[tokio::test]
async fn a_failure_is_told_to_all_whose_passages_were_in_it() {
    let world = World::new();
    let one = world.embed(1, &["alone"]);
    let others = join_all((2..5).map(|job| world.embed(job, &["fails"])));
    let later = async {
        world.requests(1).await;
        settle().await;
        world.clock.advance(Duration::from_secs(1));
        world.requests(2).await;
        world.answer(2);
    };
    let (one, others, ()) = tokio::join!(biased; one, others, later);
    one.unwrap();
    assert_eq!(world.sizes(), [1, 3]);
    for other in others {
        let error = other.unwrap_err();
        assert_eq!(error.class, ErrorClass::Overloaded);
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "the cause");
    }
}

#[tokio::test]
async fn who_goes_away_drops_out_and_harms_nobody() {
    let world = World::new();
    let first = world.embed(1, &["first"]);
    tokio::pin!(first);
    {
        let gone = world.embed(2, &["gone"]);
        tokio::pin!(gone);
        tokio::select! {
            biased;
            _ = &mut first => unreachable!("nothing is answered yet"),
            _ = &mut gone => unreachable!("it waits for others"),
            _ = world.requests(1) => {}
        }
    }
    let third = world.embed(3, &["third"]);
    let later = async {
        settle().await;
        world.clock.advance(Duration::from_secs(1));
        world.requests(2).await;
        world.answer(2);
    };
    let (first, third, ()) = tokio::join!(biased; first, third, later);
    assert_eq!((first.unwrap(), third.unwrap()), (vec![vec![5.0]], vec![vec![5.0]]));
    assert_eq!(world.requests(2).await, [["first"], ["third"]], "what nobody wants is not sent");

    // A request that nobody waits for any more is given up.
    {
        let alone = world.embed(3, &["alone"]);
        tokio::pin!(alone);
        tokio::select! {
            biased;
            _ = &mut alone => unreachable!("nothing is answered"),
            sent = world.requests(3) => assert_eq!(sent.len(), 3),
        }
    }
    settle().await;
    assert_eq!(world.provider.given_up.load(Ordering::SeqCst), 1);
}
