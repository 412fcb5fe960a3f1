//! The event log, the limits and the tickets in Redis keep their contracts.

mod cluster;
mod faults;
mod many;
mod opening;
mod own_server;
mod three_nodes;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use quaestor_backends::cache::redis::RedisCache;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::event_log::redis::{RedisBounds, RedisEventLog};
use quaestor_backends::limits::provider::redis::RedisProviderLimits;
use quaestor_backends::limits::redis::RedisLimits;
use quaestor_backends::noticeboard::redis::RedisNoticeboard;
use quaestor_backends::redis::{RedisServer, RedisSettings};
use quaestor_backends::tickets::redis::RedisTickets;
use quaestor_contracts::{
    cache_contract, event_log_contract, limits_contract, noticeboard_contract,
    provider_limits_contract, tickets_contract,
};
use quaestor_core::clock::{ManualClock, SystemClock};
use quaestor_core::events::{Event, NumberedEvent};
use quaestor_core::ids::{IdSource, JobId, WorkspaceId};
use quaestor_core::ports::event_log::Watched;
use tokio::time::timeout;
use uuid::Uuid;

use crate::places::setting;

/// A namespace of a test's own. What it keeps ends by itself within minutes.
fn settings_of(url: String) -> RedisSettings {
    let ids = IdSource::new(Arc::new(SystemClock), Arc::new(OsEntropy));
    let namespace = format!("test-{}", ids.next::<JobId>());
    RedisSettings { namespace, ..RedisSettings::new(url.into()) }
}

async fn server() -> RedisServer {
    let settings = settings_of(setting("QUAESTOR_EVENTS_URL"));
    RedisServer::open(&settings, Arc::new(SystemClock)).await.unwrap()
}

async fn log_on(server: RedisServer) -> RedisEventLog {
    let bounds = RedisBounds { keep: Duration::from_secs(60), ..RedisBounds::default() };
    RedisEventLog::open(server, bounds, &OsEntropy).await.unwrap()
}

async fn event_log() -> RedisEventLog {
    log_on(server().await).await
}

async fn limits() -> (RedisLimits, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisLimits::new(server().await, Arc::new(clock.clone())), clock)
}

async fn provider_limits() -> (RedisProviderLimits, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisProviderLimits::new(server().await, Arc::new(clock.clone())), clock)
}

async fn tickets() -> (RedisTickets, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisTickets::new(server().await, Arc::new(clock.clone())), clock)
}

async fn cache() -> (RedisCache, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisCache::new(server().await, Arc::new(clock.clone())), clock)
}

async fn noticeboard() -> (RedisNoticeboard, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisNoticeboard::new(server().await, Arc::new(clock.clone())), clock)
}

const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
const JOB: JobId = JobId(Uuid::from_u128(2));

fn token(number: usize) -> Event {
    Event::Token { text: format!("{number} ") }
}

/// The tokens' numbers that a watcher got until the end, and how often it was told of a
/// gap. Ids must rise.
async fn tokens_until_the_end(watcher: BoxStream<'static, Watched>) -> (Vec<usize>, usize) {
    let all = timeout(Duration::from_secs(30), watcher.collect::<Vec<_>>()).await;
    let all = all.expect("a watcher is never left hanging");
    let mut gaps = 0;
    let mut tokens = Vec::new();
    let mut last = None;
    for watched in all {
        match watched {
            Watched::Gap => gaps += 1,
            Watched::Event(NumberedEvent { id, event }) => {
                assert!(Some(id) > last, "{id} after {last:?}");
                last = Some(id);
                if let Event::Token { text } = event {
                    tokens.push(text.trim().parse().unwrap());
                }
            }
        }
    }
    assert!(tokens.is_sorted(), "{tokens:?}");
    (tokens, gaps)
}

mod contracts {
    use super::*;

    event_log_contract!(super::super::event_log);
    limits_contract!(super::super::limits);
    cache_contract!(super::super::cache);
    noticeboard_contract!(super::super::noticeboard);
    provider_limits_contract!(super::super::provider_limits);
    tickets_contract!(super::super::tickets);
}
