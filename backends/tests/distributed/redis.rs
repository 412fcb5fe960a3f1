//! The event log, the limits and the tickets in Redis keep their contracts.

use std::sync::Arc;
use std::time::Duration;

use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::event_log::redis::{RedisBounds, RedisEventLog};
use quaestor_backends::limits::redis::RedisLimits;
use quaestor_backends::redis::{RedisServer, RedisSettings};
use quaestor_backends::tickets::redis::RedisTickets;
use quaestor_contracts::{event_log_contract, limits_contract, tickets_contract};
use quaestor_core::clock::{ManualClock, SystemClock};
use quaestor_core::ids::{IdSource, JobId};

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

async fn tickets() -> (RedisTickets, ManualClock) {
    let clock = ManualClock::at_millis(0);
    (RedisTickets::new(server().await, Arc::new(clock.clone())), clock)
}

mod contracts {
    use super::*;

    event_log_contract!(super::super::event_log);
    limits_contract!(super::super::limits);
    tickets_contract!(super::super::tickets);
}
