//! One watcher: what stands in the log, then what is announced, each event once; and a
//! word where some are gone.

use std::collections::VecDeque;
use std::time::Duration;

use quaestor_core::events::EventId;
use quaestor_core::ports::event_log::Watched;
use tracing::debug;

use super::entry::{self, Entry, Place, Tail};
use super::hub::{Found, Listening};
use crate::redis::{RedisFault, RedisServer};

/// Entries that are read at once: what a watcher holds in memory at most, beside the
/// announcements that wait for it.
const PAGE: usize = 128;

/// How long a watched job may be silent before its log is looked at: an announcement
/// may be lost, the log then has what it was about.
const SILENCE: Duration = Duration::from_secs(5);

/// How soon a read is tried again while Redis is away.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Watcher {
    server: RedisServer,
    listening: Listening,
    key: String,
    cursor: Cursor,
    ready: VecDeque<Watched>,
}

/// How far a watcher has come.
#[derive(Debug)]
struct Cursor {
    after: Option<EventId>,
    /// Whether it was told that something is gone, and got no event since.
    told: bool,
    ended: bool,
}

impl Cursor {
    /// Takes an entry that is known to be the oldest after the cursor's place.
    fn take(&mut self, entry: &Entry, out: &mut VecDeque<Watched>) {
        if self.ended {
            return;
        }
        match entry.place(self.after) {
            Place::Seen => return,
            Place::Later if !self.told => out.push_back(Watched::Gap),
            Place::Later | Place::Next => {}
        }
        self.after = Some(entry.event.id);
        self.told = false;
        self.ended = entry.event.event.is_terminal();
        out.push_back(Watched::Event(entry.event.clone()));
    }

    /// Takes what the log says when it has nothing after the cursor's place.
    fn nothing(&mut self, tail: Option<Tail>, out: &mut VecDeque<Watched>) {
        match tail {
            Some(tail) => self.ended |= tail.ended && Some(tail.id) <= self.after,
            None if self.after.is_some() && !self.told => {
                self.told = true;
                out.push_back(Watched::Gap);
            }
            None => {}
        }
    }
}

impl Watcher {
    pub(super) fn new(
        server: RedisServer,
        listening: Listening,
        key: String,
        after: Option<EventId>,
    ) -> Self {
        let cursor = Cursor { after, told: false, ended: false };
        Self { server, listening, key, cursor, ready: VecDeque::new() }
    }

    pub(super) async fn next(mut self) -> Option<(Watched, Self)> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some((item, self));
            }
            if self.cursor.ended {
                return None;
            }
            match self.listening.place.take() {
                Found::Announced(entries) => self.announced(&entries),
                // Jobs are named on channels of their own.
                Found::Reread | Found::Named(..) => self.reread().await,
                Found::Nothing => self.wait().await,
            }
        }
    }

    async fn wait(&self) {
        tokio::select! {
            () = self.listening.place.woken() => {}
            () = self.server.clock().sleep(SILENCE) => self.listening.place.reread(),
        }
    }

    fn announced(&mut self, entries: &[Entry]) {
        for entry in entries {
            if entry.place(self.cursor.after) == Place::Later {
                // An announcement before this one was lost; the log may have its events.
                self.listening.place.reread();
                return;
            }
            self.cursor.take(entry, &mut self.ready);
        }
    }

    async fn reread(&mut self) {
        match self.read().await {
            Ok((tail, entries)) => {
                if entries.is_empty() {
                    self.cursor.nothing(tail, &mut self.ready);
                }
                for entry in &entries {
                    self.cursor.take(entry, &mut self.ready);
                }
                if entries.len() == PAGE {
                    self.listening.place.reread();
                }
            }
            Err(fault) => {
                debug!(
                    error = &fault as &dyn std::error::Error,
                    "a watcher waits until the log can be read"
                );
                self.server.clock().sleep(RETRY).await;
                self.listening.place.reread();
            }
        }
    }

    /// The log's last entry, and the first ones after the cursor's place.
    async fn read(&self) -> Result<(Option<Tail>, Vec<Entry>), RedisFault> {
        let from = match self.cursor.after {
            Some(after) => format!("({after}"),
            None => "-".to_owned(),
        };
        let mut commands = redis::pipe();
        commands.cmd("XREVRANGE").arg(&self.key).arg("+").arg("-").arg("COUNT").arg(1);
        commands.cmd("XRANGE").arg(&self.key).arg(from).arg("+").arg("COUNT").arg(PAGE);
        let answers = self.server.query_all(&commands).await?;
        let [tail, entries] = answers.as_slice() else { return Err(RedisFault::Unexpected) };
        let tail = entry::tail(tail).map_err(|()| RedisFault::Unexpected)?;
        let entries = entry::entries(entries).ok_or(RedisFault::Unexpected)?;
        Ok((tail, entries))
    }
}
