//! The checks at the start: is it RabbitMQ, is it new enough, and has it our queues?

use std::fmt;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ErrorKind, ExchangeKind};

use super::error::{BrokerError, meaning};
use super::link::{Live, Surroundings};
use super::topology::{Exchange, QueueShape, Wanted};

/// How long the broker may take for one question.
const ANSWER: Duration = Duration::from_secs(5);

/// AMQP's numbers for what a channel was closed for.
const NOT_FOUND: u16 = 404;
const ACCESS_REFUSED: u16 = 403;
const PRECONDITION_FAILED: u16 = 406;

/// How thoroughly is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Whether they are there.
    Present,
    /// Whether they are also of the right type and durable. AMQP tells this only of a
    /// declaration that repeats them, so it is made of what is known to be there.
    Alike,
}

/// What is missing or different, each in a few words. What AMQP cannot tell (bindings,
/// policies) is not looked at.
pub(super) async fn problems(
    live: &Live,
    around: &Surroundings,
    wanted: &Wanted,
    look: Look,
) -> Result<Vec<String>, BrokerError> {
    let mut asking = Asking { live, around, channel: live.channel(around).await? };
    let exchanges = wanted.exchanges.iter().map(Thing::Exchange);
    let mut problems = Vec::new();
    for thing in exchanges.chain(wanted.queues.iter().map(Thing::Queue)) {
        let mut answer = asking.ask(thing, Declare::Passive).await?;
        if matches!((&answer, look), (Answer::Yes, Look::Alike)) {
            answer = asking.ask(thing, Declare::Again).await?;
        }
        problems.extend(answer.problem(thing));
    }
    Ok(problems)
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Thing<'a> {
    Exchange(&'a Exchange),
    Queue(&'a QueueShape),
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange(exchange) => write!(f, "exchange {}", exchange.name),
            Self::Queue(queue) => write!(f, "queue {}", queue.name),
        }
    }
}

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Declare {
    Passive,
    Again,
}

enum Answer {
    Yes,
    Missing,
    Different(String),
}

impl Answer {
    fn problem(self, what: Thing<'_>) -> Option<String> {
        match self {
            Self::Yes => None,
            Self::Missing => Some(format!("{what} is missing")),
            Self::Different(how) => Some(format!("{what} differs: {how}")),
        }
    }
}

/// A channel for questions; the broker closes it with each answer that is a no.
struct Asking<'a> {
    live: &'a Live,
    around: &'a Surroundings,
    channel: Channel,
}

impl Asking<'_> {
    async fn ask(&mut self, thing: Thing<'_>, how: Declare) -> Result<Answer, BrokerError> {
        let passive = how == Declare::Passive;
        let declared = async {
            match thing {
                Thing::Exchange(exchange) => {
                    declare_exchange(&self.channel, exchange, passive).await
                }
                Thing::Queue(queue) => declare_queue(&self.channel, queue, passive).await,
            }
        };
        let address = &self.around.address;
        let answered = tokio::select! {
            answered = declared => answered,
            () = self.around.clock.sleep(ANSWER) => {
                let address = address.clone();
                return Err(BrokerError::Silent { address, what: "a question for the topology" });
            }
        };
        let Err(error) = answered else { return Ok(Answer::Yes) };
        let ErrorKind::ProtocolError(reason) = error.kind() else {
            return Err(meaning(address, error));
        };
        let answer = match reason.get_id() {
            NOT_FOUND => Answer::Missing,
            PRECONDITION_FAILED => Answer::Different(reason.get_message().to_string()),
            // Our user may not declare: what is there cannot be compared.
            ACCESS_REFUSED => Answer::Yes,
            _ => return Err(meaning(address, error)),
        };
        self.channel = self.live.channel(self.around).await?;
        Ok(answer)
    }
}

async fn declare_exchange(
    channel: &Channel,
    exchange: &Exchange,
    passive: bool,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        passive,
        durable: exchange.durable,
        ..ExchangeDeclareOptions::default()
    };
    let kind = ExchangeKind::Custom(exchange.kind.clone());
    let name = ShortString::from(exchange.name.as_str());
    channel.exchange_declare(name, kind, options, FieldTable::default()).await
}

async fn declare_queue(channel: &Channel, queue: &QueueShape, passive: bool) -> lapin::Result<()> {
    let options = QueueDeclareOptions { passive, durable: queue.durable, ..Default::default() };
    let mut arguments = FieldTable::default();
    for (key, value) in &queue.arguments {
        let value = AMQPValue::LongString(LongString::from(value.as_str()));
        arguments.insert(key.as_str().into(), value);
    }
    channel.queue_declare(queue.name.as_str().into(), options, arguments).await.map(|_| ())
}

/// Counts what waits in a queue.
pub(super) async fn ready(
    live: &Live,
    around: &Surroundings,
    queue: &'static str,
) -> Result<u64, BrokerError> {
    let channel = live.channel(around).await?;
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let counted = tokio::select! {
        counted = channel.queue_declare(queue.into(), options, FieldTable::default()) => counted,
        () = around.clock.sleep(ANSWER) => {
            let address = around.address.clone();
            return Err(BrokerError::Silent { address, what: "how much is in a queue" });
        }
    };
    let counted = counted.map_err(|error| meaning(&around.address, error))?;
    Ok(u64::from(counted.message_count()))
}
