//! What does it cost to call a model through breaker, retries, limits and accounts?
//!
//! Asks a provider that answers at once, bare and through a chain, and prints the difference
//! of a call; then a chain whose first model is left alone, and what a user waits more for
//! the second.
//!
//! `cargo run --release -p quaestor-backends --example call_cost`

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::models::provider::{ChatProvider, LimitsTold, ProviderStream};
use quaestor_backends::models::resilience::{ChatChain, ChatLink, Guards, Policy, Surroundings};
use quaestor_contracts::call_scope;
use quaestor_contracts::chat_model::request;
use quaestor_core::clock::SystemClock;
use quaestor_core::ids::{CallId, IdSource};
use quaestor_core::model::Usage;
use quaestor_core::ports::chat_model::{ChatDelta, ChatModel, ChatRequest, FinishReason};
use quaestor_core::ports::model_error::{ErrorClass, ModelError};

const CALLS: usize = 20_000;
const ROUNDS: usize = 7;

#[derive(Debug)]
struct AtOnce {
    name: &'static str,
    fails: bool,
}

#[async_trait]
impl ChatProvider for AtOnce {
    fn name(&self) -> &str {
        self.name
    }

    async fn stream(&self, _: &ChatRequest, _: CallId) -> Result<ProviderStream, ModelError> {
        if self.fails {
            return Err(ModelError::new(self.name, ErrorClass::Unavailable));
        }
        let usage = Some(Usage { input_tokens: 10, output_tokens: 2, ..Usage::default() });
        let pieces = [
            Ok(ChatDelta::Text("Word ".to_owned())),
            Ok(ChatDelta::Finished { reason: FinishReason::Stop, usage }),
        ];
        let deltas = futures::stream::iter(pieces).boxed();
        Ok(ProviderStream { request_id: None, limits: LimitsTold::default(), deltas })
    }
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let provider = |name, fails| Arc::new(AtOnce { name, fails });
    let ids = IdSource::new(Arc::new(SystemClock), Arc::new(OsEntropy));
    let guards = Guards::new(Surroundings {
        policy: Policy::default(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        cost_of: Arc::new(|_, _, _| 0),
        ids: ids.clone(),
        ledger: None,
    });
    let good = provider("good:m", false);
    let chain =
        ChatChain::of(vec![ChatLink::Provider(good.clone())], &guards).ok_or("a chain of one")?;
    let (mut bare, mut guarded) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..CALLS {
            let mut deltas = good.stream(&request(), ids.next()).await?.deltas;
            while let Some(delta) = deltas.next().await {
                std::hint::black_box(delta?);
            }
        }
        bare.push(began.elapsed() / u32::try_from(CALLS)?);
        let began = Instant::now();
        for _ in 0..CALLS {
            let scope = call_scope();
            let mut deltas = chain.stream(request(), &scope).await?.deltas;
            while let Some(delta) = deltas.next().await {
                std::hint::black_box(delta?);
            }
            std::hint::black_box(scope.calls.take());
        }
        guarded.push(began.elapsed() / u32::try_from(CALLS)?);
    }
    let (bare, guarded) = (median(bare), median(guarded));
    println!("bare {bare:?}, guarded {guarded:?}: {:?} a call", guarded.saturating_sub(bare));

    let gone = ChatLink::Provider(provider("gone:m", true));
    let chain = ChatChain::of(vec![gone, ChatLink::Provider(good)], &guards).ok_or("a chain")?;
    let mut waits = Vec::new();
    for _ in 0..2_000 {
        let began = Instant::now();
        let mut deltas = chain.stream(request(), &call_scope()).await?.deltas;
        std::hint::black_box(deltas.next().await);
        waits.push(began.elapsed());
    }
    let longest = waits.iter().skip(10).max().copied().unwrap_or_default();
    println!(
        "with the first model left alone: first piece after {:?}, at most {longest:?}",
        median(waits.split_off(10))
    );
    Ok(())
}
