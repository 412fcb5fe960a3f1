//! How many questions a second the PostgreSQL store accepts, and how many jobs it claims
//! and finishes; and, where a queue is named, whole jobs: delivered, claimed, finished and
//! acknowledged.
//!
//! `cargo run --release -p quaestor-backends --example pg_hot_paths -- URL [SECONDS]`,
//! where URL names an empty database, which is left full. A queue is named by
//! QUAESTOR_QUEUE_URL and QUAESTOR_QUEUE_MANAGEMENT_URL; a virtual host is made there.

#![expect(clippy::print_stdout, reason = "it is run to be read")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::queue::rabbitmq::management::Management;
use quaestor_backends::queue::rabbitmq::topology::Topology;
use quaestor_backends::queue::rabbitmq::{BrokerAddress, RabbitOptions, RabbitQueue};
use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::ids::{ConversationId, IdSource, JobId, OutboxId, PrincipalId, WorkspaceId};
use quaestor_core::jobs::{Envelope, JobKind, NewJob, Step};
use quaestor_core::ports::queue::{Published, Queue};
use quaestor_core::ports::store::{
    AcceptQuestion, Claim, ClaimOutcome, ClaimRequest, IdempotencyKey, NewAuditEntry,
    NewConversation, NewWorkspace, OutboxRow, Store,
};
use secrecy::SecretString;

type Failure = Box<dyn Error + Send + Sync>;

struct Bench {
    store: Arc<dyn Store>,
    ids: IdSource,
    workspace: WorkspaceId,
    principal: PrincipalId,
    conversations: Vec<ConversationId>,
}

impl Bench {
    async fn new(url: SecretString) -> Result<Self, Failure> {
        PgStore::migrate(&url, &SystemClock).await?;
        let store = PgStore::connect(PgOptions::new(url), Arc::new(SystemClock)).await?;
        let ids = IdSource::new(Arc::new(SystemClock), Arc::new(OsEntropy));
        let mut bench = Self {
            store: Arc::new(store),
            workspace: ids.next(),
            principal: ids.next(),
            ids,
            conversations: Vec::new(),
        };
        let workspace = NewWorkspace {
            id: bench.workspace,
            name: "bench".to_owned(),
            created_at: SystemClock.now(),
        };
        bench.store.create_workspace(workspace).await?;
        for _ in 0..64 {
            let conversation = NewConversation {
                id: bench.ids.next(),
                principal_id: bench.principal,
                title: None,
                collection_ids: None,
                created_at: SystemClock.now(),
            };
            bench.conversations.push(conversation.id);
            bench.store.create_conversation(bench.workspace, conversation).await?;
        }
        Ok(bench)
    }

    fn question(&self, caller: usize) -> AcceptQuestion {
        let now = SystemClock.now();
        let conversation_id = self.conversations[caller % self.conversations.len()];
        let (message_id, answer_id) = (self.ids.next(), self.ids.next());
        let key: ConversationId = self.ids.next();
        AcceptQuestion {
            conversation_id,
            principal_id: self.principal,
            message_id,
            answer_id,
            content: "What did the company say about its gross margin this year?".to_owned(),
            job: NewJob {
                held_until: None,
                id: self.ids.next(),
                kind: JobKind::Chat,
                step: Step::ChatRetrieve,
                principal_id: self.principal,
                payload: serde_json::json!({
                    "conversation_id": conversation_id, "message_id": message_id,
                    "answer_id": answer_id
                }),
                batch_id: None,
                outbox_id: self.ids.next(),
                created_at: now,
                deadline: None,
                traceparent: None,
            },
            idempotency: Some(IdempotencyKey {
                principal_id: self.principal,
                key: key.to_string(),
                request_sha256: [7; 32],
                created_at: now,
            }),
            audit: NewAuditEntry {
                id: self.ids.next(),
                principal_id: self.principal,
                action: "question.ask",
                subject: conversation_id.to_string(),
                at: now,
            },
        }
    }

    /// Accepts for a while. Returns what was accepted, each with its latency.
    async fn accept(
        &self,
        callers: usize,
        time: Duration,
    ) -> Result<(Vec<AcceptQuestion>, Vec<Duration>), Failure> {
        let over = AtomicBool::new(false);
        let start = Instant::now();
        let calls = (0..callers).map(|caller| {
            let over = &over;
            async move {
                let mut accepted = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let question = self.question(caller);
                    let begun = Instant::now();
                    let answer =
                        self.store.accept_question(self.workspace, question.clone()).await?;
                    answer.ok_or("the conversation is gone")?;
                    accepted.push((question, begun.elapsed()));
                    if start.elapsed() > time {
                        over.store(true, Ordering::Relaxed);
                    }
                }
                Ok::<_, Failure>(accepted)
            }
        });
        let mut questions = Vec::new();
        let mut latencies = Vec::new();
        for accepted in join_all(calls).await {
            for (question, latency) in accepted? {
                questions.push(question);
                latencies.push(latency);
            }
        }
        println!(
            "{callers:>3} callers accept   {:>7.0}/s  {}",
            rate(questions.len(), start.elapsed()),
            spread(&mut latencies),
        );
        Ok((questions, latencies))
    }

    /// Claims and finishes the jobs of these questions.
    async fn finish(&self, callers: usize, questions: &[AcceptQuestion]) -> Result<(), Failure> {
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        let calls = (0..callers).map(|_| {
            let next = &next;
            async move {
                let mut latencies = Vec::new();
                while let Some(question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let claim = self.claim(question.job.id, question.job.outbox_id).await?;
                    let now = SystemClock.now();
                    self.store.finish_without_subject(self.workspace, &claim, now).await?;
                    latencies.push(begun.elapsed());
                }
                Ok::<_, Failure>(latencies)
            }
        });
        let mut latencies = Vec::new();
        for call in join_all(calls).await {
            latencies.extend(call?);
        }
        println!(
            "{callers:>3} callers finish   {:>7.0}/s  {}",
            rate(questions.len(), start.elapsed()),
            spread(&mut latencies),
        );
        Ok(())
    }

    async fn claim(&self, job_id: JobId, outbox_id: OutboxId) -> Result<Claim, Failure> {
        let now = SystemClock.now();
        let request = ClaimRequest {
            job_id,
            step: Step::ChatRetrieve,
            outbox_id,
            worker: self.ids.next(),
            now,
            lease_until: now + Duration::from_secs(30),
        };
        match self.store.claim(self.workspace, request).await? {
            ClaimOutcome::Claimed(claimed) => Ok(claimed.claim),
            other => Err(format!("not claimed: {other:?}").into()),
        }
    }

    /// Publishes the jobs' messages, and then delivers, claims, finishes and acknowledges
    /// them, timed from a fifth to nine tenths of them, as the peers are.
    async fn whole(
        &self,
        queue: &RabbitQueue,
        questions: &[AcceptQuestion],
    ) -> Result<(), Failure> {
        let step = Step::ChatRetrieve;
        for questions in questions.chunks(256) {
            let row = |question: &AcceptQuestion| OutboxRow::of(self.workspace, &question.job);
            let mut left: Vec<_> = questions.iter().map(|q| row(q).envelope).collect();
            while !left.is_empty() {
                let mut outcomes = queue.publish(left.clone()).await?.into_iter();
                left.retain(|_| outcomes.next() != Some(Published::Confirmed));
            }
        }
        let mut consumer = queue.consume(step, 256).await?;
        let (from, to) = (questions.len() / 5, questions.len() * 9 / 10);
        let (mut started, mut cpu) = (Instant::now(), 0.0);
        let mut running = FuturesUnordered::new();
        let (mut taken, mut done) = (0, 0);
        while done < to {
            tokio::select! {
                delivery = consumer.next(), if taken < questions.len() => {
                    let delivery = delivery.ok_or("the queue is closed")?;
                    taken += 1;
                    running.push(async move {
                        let Envelope { job_id, outbox_id, .. } = delivery.envelope;
                        let claim = self.claim(job_id, outbox_id).await?;
                        let now = SystemClock.now();
                        self.store.finish_without_subject(self.workspace, &claim, now).await?;
                        delivery.ack().await?;
                        Ok::<_, Failure>(())
                    });
                }
                Some(ended) = running.next() => {
                    ended?;
                    done += 1;
                    if done == from {
                        (started, cpu) = (Instant::now(), cpu_seconds()?);
                    }
                }
            }
        }
        let (time, cpu) = (started.elapsed(), cpu_seconds()? - cpu);
        #[expect(clippy::cast_precision_loss, reason = "a mean needs no more digits")]
        let each = cpu * 1e6 / (to - from) as f64;
        println!(
            "    whole jobs       {:>7.0}/s  {each:.0} µs of our CPU each",
            rate(to - from, time)
        );
        while let Some(ended) = running.next().await {
            ended?;
        }
        Ok(())
    }

    /// Takes what is due and marks it as sent, a hundred at a time.
    async fn relay(&self) -> Result<(), Failure> {
        let start = Instant::now();
        let mut sent = 0;
        loop {
            let now = SystemClock.now();
            let due = self.store.outbox_take(now, now + Duration::from_secs(30), 100).await?;
            if due.is_empty() {
                break;
            }
            let ids: Vec<_> = due.iter().map(|row| row.envelope.outbox_id).collect();
            self.store.outbox_sent(&ids, now).await?;
            sent += ids.len();
        }
        println!("    one relay sends  {:>7.0}/s", rate(sent, start.elapsed()));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn spread(latencies: &mut [Duration]) -> String {
    latencies.sort_unstable();
    let at = |part: usize| latencies.get(latencies.len() * part / 100).copied().unwrap_or_default();
    format!("p50 {:?}, p95 {:?}", at(50), at(95))
}

/// Processor time of this process; Linux counts it in hundredths of a second.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields")?;
    let times: Result<Vec<f64>, _> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect();
    Ok(times?.iter().sum::<f64>() / 100.0)
}

/// The queue that the environment names, on a virtual host of its own.
async fn queue() -> Result<Option<(RabbitQueue, Management, String)>, Failure> {
    let Ok(url) = std::env::var("QUAESTOR_QUEUE_URL") else { return Ok(None) };
    let management = std::env::var("QUAESTOR_QUEUE_MANAGEMENT_URL")?;
    let management = Management::new(&SecretString::from(management))?;
    let vhost = format!("bench-{}", std::process::id());
    let (server, _) = url.rsplit_once('/').ok_or("the queue's URL has no virtual host")?;
    let address: BrokerAddress = format!("{server}/{vhost}").parse()?;
    Topology::new(&management, &address).await?.apply().await?;
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
    let options = RabbitOptions { address, name: "bench".to_owned(), clock, entropy };
    Ok(Some((RabbitQueue::connect(options).await?, management, vhost)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("give the URL of an empty database")?;
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let bench = Bench::new(url.into()).await?;
    bench.accept(1, Duration::from_secs(1)).await?;
    let (few, _) = bench.accept(1, Duration::from_secs(2)).await?;
    for _ in 0..3 {
        let (questions, _) = bench.accept(32, Duration::from_secs(seconds)).await?;
        bench.relay().await?;
        bench.finish(64, &questions).await?;
    }
    bench.finish(1, &few).await?;
    if let Some((queue, management, vhost)) = queue().await? {
        for _ in 0..3 {
            let (questions, _) = bench.accept(64, Duration::from_secs(seconds)).await?;
            // As many as the queue takes while nobody consumes.
            let most = questions.len().min(8_000);
            bench.whole(&queue, &questions[..most]).await?;
        }
        queue.close().await;
        management.delete(&["vhosts", &vhost]).await?;
    }
    Ok(())
}
