//! The append: one of two scripts, both one round trip.

use quaestor_core::events::{Event, EventId, begins_anew};
use quaestor_core::ports::event_log::Appended;
use redis::Value;

use super::Writer;
use super::numbers::Known;
use crate::redis::{RedisFault, Script};

/// Bytes of events that travel with an announcement. Beyond, watchers read them from the
/// stream: what waits in the server for a slow subscriber stays small.
const ANNOUNCED_BYTES: usize = 32 * 1024;

/// What the server runs.
pub(super) struct Scripts {
    /// Numbers events by the log's last one.
    append: Script,
    /// Goes on where this process has written last: a third of the server's time.
    go_on: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            append: Script::new(include_str!("append.lua")),
            go_on: Script::new(include_str!("go_on.lua")),
        }
    }
}

/// Events of one attempt, as they are sent.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) attempt: u32,
    texts: Vec<String>,
    begins: bool,
    pub(super) ends: bool,
}

impl Part {
    pub(super) fn new(attempt: u32, events: &[Event]) -> Result<Self, serde_json::Error> {
        let texts = events.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let ends = events.last().is_some_and(Event::is_terminal);
        Ok(Self { attempt, texts, begins: begins_anew(events), ends })
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }

    /// How many events it holds.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.texts.len()).unwrap_or(u64::MAX)
    }

    /// Whether another may be appended with this one.
    pub(super) fn goes_on(&self, next: &Self) -> bool {
        self.attempt == next.attempt && !self.ends
    }

    /// Takes so many of the first events away. Returns how much they held.
    pub(super) fn forget_first(&mut self, events: u64) -> usize {
        let events = usize::try_from(events).unwrap_or(usize::MAX).min(self.texts.len());
        self.texts.drain(..events).map(|text| text.len()).sum()
    }

    /// Takes what comes next.
    pub(super) fn extend(&mut self, next: Self) {
        self.texts.extend(next.texts);
        self.ends = next.ends;
    }

    /// How the announcement begins, where the number before the first event is known.
    fn announcement(&self, before: EventId) -> String {
        let line = if self.bytes() <= ANNOUNCED_BYTES { "\n" } else { "" };
        format!("{before} {}-{}{line}", self.attempt, before.seq + 1)
    }
}

impl Writer {
    pub(super) async fn run(
        &self,
        key: &str,
        part: &Part,
        known: Option<Known>,
    ) -> Result<Appended, RedisFault> {
        if let Some(Known { last, certain: true }) = known
            && last.attempt == part.attempt
            && !part.texts.is_empty()
            && self.go_on(key, part, last).await?
        {
            return Ok(Appended::At(EventId { attempt: part.attempt, seq: last.seq + part.len() }));
        }
        self.number(key, part, known.map(|known| known.last), None).await
    }

    /// Appends what could not be appended before, after the number `after` within its attempt.
    /// Some of it may be in the log: only the answer was lost then.
    pub(super) async fn pay(
        &self,
        key: &str,
        part: &Part,
        after: Option<u64>,
    ) -> Result<Appended, RedisFault> {
        let known = after.map(|seq| EventId { attempt: part.attempt, seq });
        self.number(key, part, known, Some(after.unwrap_or(0))).await
    }

    async fn number(
        &self,
        key: &str,
        part: &Part,
        known: Option<EventId>,
        owed_after: Option<u64>,
    ) -> Result<Appended, RedisFault> {
        let (known_attempt, known_seq) = match known {
            Some(last) => (i64::from(last.attempt), last.seq),
            None => (-1, 0),
        };
        let owed = if owed_after.is_some() { part.len() } else { 0 };
        let answer = self.server.run(&self.scripts.append, key, |command| {
            command.arg(part.attempt).arg(known_attempt).arg(known_seq);
            command.arg(self.bounds.events_per_job.max(1)).arg(self.bounds.keep.as_secs().max(1));
            command.arg(self.publish()).arg(u8::from(part.ends)).arg(ANNOUNCED_BYTES);
            command.arg(u8::from(part.begins)).arg(owed).arg(owed_after.unwrap_or(0));
            command.arg(&part.texts);
        });
        match answer.await? {
            Value::Int(-1) => Ok(Appended::Fenced),
            Value::Int(-2) => Ok(Appended::Ended),
            Value::Int(seq) => {
                let seq = u64::try_from(seq).map_err(|_| RedisFault::Unexpected)?;
                Ok(Appended::At(EventId { attempt: part.attempt, seq }))
            }
            _ => Err(RedisFault::Unexpected),
        }
    }

    /// False if somebody else has written since.
    async fn go_on(&self, key: &str, part: &Part, last: EventId) -> Result<bool, RedisFault> {
        let announcement = part.announcement(last);
        let answer = self.server.run(&self.scripts.go_on, key, |command| {
            command.arg(format!("{}-", part.attempt)).arg(last.seq + 1);
            command.arg(self.bounds.events_per_job.max(1)).arg(self.bounds.keep.as_secs().max(1));
            command.arg(self.publish()).arg(&announcement).arg(u8::from(part.ends));
            command.arg(&part.texts);
        });
        match answer.await? {
            Value::Int(done) => Ok(done == 1),
            _ => Err(RedisFault::Unexpected),
        }
    }
}
