//! Publishing: windows of messages with confirms, each on a channel of its own.
//!
//! A channel carries one window at a time. lapin hands a returned message to whichever
//! confirm it completes next, so a return tells something only by its `message_id`, and
//! only once every confirm of the window is there.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use quaestor_core::ids::OutboxId;
use quaestor_core::jobs::Envelope;
use quaestor_core::ports::queue::Published;
use tokio::sync::Semaphore;
use tracing::warn;

use super::error::{BrokerError, meaning};
use super::link::{Link, Live};
use super::message::{Outgoing, id_of};
use super::topology::JOBS_EXCHANGE;

/// Messages of one call that wait for their confirms at a time: as many as the relay
/// takes, and enough to fill the time in which the broker writes to its disk.
const WINDOW: usize = 256;
/// Windows at a time.
const LANES: usize = 4;
/// How long the broker may take for its confirms.
const CONFIRM: Duration = Duration::from_secs(2);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The publishing half of a queue.
#[derive(Debug)]
pub(super) struct Publisher {
    link: Link,
    /// Channels without a window.
    idle: Mutex<Vec<Lane>>,
    permits: Semaphore,
}

#[derive(Debug)]
struct Lane {
    generation: u64,
    channel: Channel,
}

impl Publisher {
    pub(super) fn new(link: Link) -> Self {
        Self { link, idle: Mutex::default(), permits: Semaphore::new(LANES) }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Publishes, and says for each message, in order, what became of it. An error leaves
    /// every message unknown.
    pub(super) async fn publish(&self, messages: &[Envelope]) -> Result<Vec<Published>, BoxError> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for window in messages.chunks(WINDOW) {
            outcomes.extend(self.window(window).await?);
        }
        Ok(outcomes)
    }

    async fn window(&self, messages: &[Envelope]) -> Result<Vec<Published>, BoxError> {
        if self.link.is_blocked() {
            return Ok(vec![Published::Full; messages.len()]);
        }
        let messages: Vec<Outgoing> =
            messages.iter().map(Outgoing::of).collect::<Result<_, _>>()?;
        let _permit = self.permits.acquire().await?;
        let live = self.link.live()?;
        let lane = self.lane(&live).await?;
        // A lane that is not put back is closed: when this call is dropped, when the
        // connection breaks, and when confirms are missing.
        let answers = self.send(&lane.channel, &messages).await?;
        if answers.whole() {
            self.idle().push(lane);
        }
        Ok(answers.outcomes(&messages))
    }

    async fn lane(&self, live: &Live) -> Result<Lane, BrokerError> {
        let kept = {
            let mut idle = self.idle();
            idle.retain(|lane| {
                lane.generation == live.generation && lane.channel.status().connected()
            });
            idle.pop()
        };
        if let Some(lane) = kept {
            return Ok(lane);
        }
        let around = self.link.around();
        let channel = live.channel(around).await?;
        let selected = channel.confirm_select(ConfirmSelectOptions::default());
        tokio::select! {
            selected = selected => selected.map_err(|error| meaning(&around.address, error))?,
            () = around.clock.sleep(CONFIRM) => {
                let address = around.address.clone();
                return Err(BrokerError::Silent { address, what: "the request for confirms" });
            }
        }
        Ok(Lane { generation: live.generation, channel })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends all at once, and waits for the confirms, until the deadline or until the
    /// broker says that it takes no more.
    async fn send(&self, channel: &Channel, messages: &[Outgoing]) -> Result<Answers, BrokerError> {
        let around = self.link.around();
        let exchange = ShortString::from(JOBS_EXCHANGE);
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms: FuturesUnordered<_> = messages
            .iter()
            .enumerate()
            .map(|(place, message)| {
                let sent = channel.basic_publish(
                    exchange.clone(),
                    message.routing_key.clone(),
                    mandatory,
                    &message.body,
                    message.properties.clone(),
                );
                async move { sent.await?.await.map(|confirmation| (place, confirmation)) }
            })
            .collect();
        let mut answers = Answers::of(messages.len());
        let deadline = around.clock.sleep(CONFIRM);
        let blocked = self.link.blocked();
        tokio::pin!(deadline, blocked);
        loop {
            let confirmed = tokio::select! {
                biased;
                confirmed = confirms.next() => confirmed,
                () = &mut blocked => return Ok(answers),
                () = &mut deadline => {
                    warn!("RabbitMQ did not confirm {} messages in time", confirms.len());
                    return Ok(answers);
                }
            };
            match confirmed {
                None => return Ok(answers),
                Some(Ok((place, confirmation))) => answers.note(place, confirmation),
                Some(Err(error)) => {
                    self.link.doubt();
                    return Err(meaning(&around.address, error));
                }
            }
        }
    }
}

/// What the broker said of a window.
#[derive(Debug)]
struct Answers {
    acked: Vec<Option<bool>>,
    returned: HashSet<OutboxId>,
    /// Returns that name no message of ours.
    strange: bool,
}

impl Answers {
    fn of(messages: usize) -> Self {
        Self { acked: vec![None; messages], returned: HashSet::new(), strange: false }
    }

    fn note(&mut self, place: usize, confirmation: Confirmation) {
        let acked = confirmation.is_ack();
        if let Some(message) = confirmation.take_message() {
            match id_of(&message.properties) {
                Some(id) => {
                    self.returned.insert(id);
                }
                None => self.strange = true,
            }
        }
        self.acked[place] = Some(acked);
    }

    /// Whether every confirm is there.
    fn whole(&self) -> bool {
        self.acked.iter().all(Option::is_some)
    }

    /// While confirms are missing, a return may still be on its way to one of them; that
    /// can be so only where another return has come, since a waiting one goes to the next
    /// confirm that completes.
    fn outcomes(&self, messages: &[Outgoing]) -> Vec<Published> {
        let doubtful = self.strange || (!self.whole() && !self.returned.is_empty());
        let outcome = |(message, acked): (&Outgoing, &Option<bool>)| match acked {
            _ if self.returned.contains(&message.id) => Published::Unroutable,
            None => Published::Unconfirmed,
            Some(false) => Published::Full,
            Some(true) if doubtful => Published::Unconfirmed,
            Some(true) => Published::Confirmed,
        };
        messages.iter().zip(&self.acked).map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use quaestor_core::clock::Time;
    use quaestor_core::ids::{JobId, PrincipalId, WorkspaceId};
    use quaestor_core::jobs::Step;
    use uuid::Uuid;

    use super::*;

    fn window() -> Vec<Outgoing> {
        let envelope = |number| Envelope {
            v: 1,
            outbox_id: OutboxId(Uuid::from_u128(number)),
            job_id: JobId(Uuid::from_u128(number)),
            step: Step::ChatRetrieve,
            workspace_id: WorkspaceId(Uuid::from_u128(1)),
            principal_id: PrincipalId(Uuid::from_u128(1)),
            payload: serde_json::Value::Null,
            traceparent: None,
            enqueued_at: Time::UNIX_EPOCH,
            deadline: None,
        };
        (0..3).map(|number| Outgoing::of(&envelope(number)).unwrap()).collect()
    }

    /// What is said of three messages, of which some were answered and some came back.
    fn check(acked: [Option<bool>; 3], returned: &[u128], wanted: [Published; 3]) {
        let returned = returned.iter().map(|number| OutboxId(Uuid::from_u128(*number))).collect();
        let answers = Answers { acked: acked.to_vec(), returned, strange: false };
        assert_eq!(answers.outcomes(&window()), wanted, "{answers:?}");
    }

    #[test]
    fn a_return_counts_for_the_message_it_names() {
        use Published::{Confirmed, Full, Unconfirmed, Unroutable};
        let (ack, nack) = (Some(true), Some(false));
        check([ack, ack, ack], &[], [Confirmed, Confirmed, Confirmed]);
        check([ack, nack, ack], &[2], [Confirmed, Full, Unroutable]);
        // Nothing came back so far: what is acknowledged was routed.
        check([ack, None, nack], &[], [Confirmed, Unconfirmed, Full]);
        // Something came back, and more may be on its way.
        check([ack, None, ack], &[2], [Unconfirmed, Unconfirmed, Unroutable]);
    }
}
