//! The servers that the configuration names: does each let us in, and do what is needed?

use std::sync::Arc;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use futures::future::join_all;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::queue::rabbitmq::management::Management;
use quaestor_backends::queue::rabbitmq::topology::{Condition, Topology};
use quaestor_backends::queue::rabbitmq::{BrokerAddress, BrokerError, RabbitOptions, RabbitQueue};
use quaestor_backends::redis::{RedisServer, RedisSettings};
use quaestor_backends::store::postgres::PgStore;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::IdSource;
use quaestor_core::ports::objects::{ObjectKey, Objects};
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

use super::{Finding, bounded, fail, ok, warn};
use crate::app;
use crate::cli::sentence;
use crate::config::{Config, DatabaseChoice, EventsChoice, ObjectsChoice, QueueChoice, ServiceUrl};

/// What is written to the object store, read back and removed.
const PROBE: &[u8] = b"written by `quaestor doctor`, which removes it again";

/// Looks at all servers at the same time. Backends of a single process need no look.
pub(super) async fn look(config: &Config, findings: &mut Vec<Finding>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut checks: Vec<BoxFuture<'_, Vec<Finding>>> = Vec::new();
    if config.data.database() == Ok(DatabaseChoice::Postgres) {
        checks.push(Box::pin(bounded("database", &clock, database(config))));
    }
    if config.data.queue() == Ok(QueueChoice::RabbitMq) {
        checks.push(Box::pin(bounded("queue", &clock, queue(config, &clock))));
        checks.push(Box::pin(bounded("topology", &clock, topology(config))));
    }
    if config.data.events() == Ok(EventsChoice::Redis) {
        checks.push(Box::pin(bounded("events", &clock, events(config, &clock))));
    }
    if matches!(config.data.objects(), Ok(ObjectsChoice::S3(_))) {
        checks.push(Box::pin(bounded("objects", &clock, objects(config, &clock))));
    }
    findings.extend(join_all(checks).await.into_iter().flatten());
}

async fn database(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let urls = [("database", &config.data.database_url), ("replica", &config.data.replica_url)];
    for (subject, url) in urls {
        let Some(url) = url else { continue };
        findings.push(match PgStore::examine(&secret(url)).await {
            Ok(told) => ok(subject, format!("{told}; the schema is up to date")),
            Err(error) => fail(subject, sentence(&error.into())),
        });
    }
    Ok(findings)
}

async fn queue(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Vec<Finding>> {
    let address: BrokerAddress = config.data.queue_url.expose().parse()?;
    let options = RabbitOptions {
        address: address.clone(),
        name: "quaestor doctor".to_owned(),
        clock: clock.clone(),
        entropy: Arc::new(OsEntropy),
    };
    Ok(vec![match RabbitQueue::connect(options).await {
        Ok(queue) => {
            let (major, minor) = queue.version();
            queue.close().await;
            ok("queue", format!("RabbitMQ {major}.{minor} at {address}"))
        }
        // It lets us in; what it lacks is told by the look at the topology.
        Err(BrokerError::Topology { .. }) if config.data.queue_management_url.is_some() => {
            ok("queue", format!("RabbitMQ at {address} lets us in"))
        }
        Err(error) => fail("queue", sentence(&error.into())),
    }])
}

async fn topology(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let Some(url) = &config.data.queue_management_url else {
        return Ok(vec![warn(
            "topology",
            "policies, alarms and consumers were not looked at: set QUAESTOR_QUEUE_MANAGEMENT_URL",
        )]);
    };
    let address: BrokerAddress = config.data.queue_url.expose().parse()?;
    let management = Management::new(&secret(url))?;
    let topology = Topology::new(&management, &address).await?;
    let mut findings: Vec<Finding> = topology
        .differences()
        .await?
        .iter()
        .map(|difference| {
            fail("topology", format!("{difference}: `quaestor topology apply` mends what it can"))
        })
        .collect();
    if findings.is_empty() {
        findings.push(ok("topology", format!("as it should be at {}", management.server())));
    }
    findings.extend(topology.conditions().await?.into_iter().map(|condition| match condition {
        Condition::Alarm { .. } => fail("queue", condition.to_string()),
        Condition::Unattended { .. } => warn("queue", condition.to_string()),
    }));
    Ok(findings)
}

async fn events(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Vec<Finding>> {
    let settings = RedisSettings::new(secret(&config.data.events_url));
    let server = RedisServer::open(&settings, clock.clone()).await?;
    let facts = server.facts().await?;
    let told = format!("Redis {} at {}", facts.version, server.address());
    Ok(vec![match (facts.limit_bytes, facts.evicts) {
        (None, _) => ok("events", told),
        (Some(_), false) => ok("events", format!("{told}; nothing is evicted")),
        (Some(_), true) => fail(
            "events",
            format!(
                "{told} evicts keys when it is full (maxmemory-policy {}), and so the events of \
                 running jobs: set maxmemory-policy noeviction",
                facts.policy
            ),
        ),
    }])
}

async fn objects(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Vec<Finding>> {
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let ids = IdSource::new(clock.clone(), entropy);
    let key = ObjectKey::upload(ids.next(), ids.next::<quaestor_core::ids::BatchId>().uuid());
    let objects = app::open_bucket(config, clock.clone(), TaskTracker::new()).await?;
    let bytes = futures::stream::iter([Ok(bytes::Bytes::from_static(PROBE))]);
    objects.put(&key, Box::pin(bytes), PROBE.len() as u64).await?;
    let read = objects.get(&key, 0).await?.try_collect::<Vec<bytes::Bytes>>().await;
    let read = read.map_err(anyhow::Error::from_boxed)?;
    objects.delete(&key).await?;
    anyhow::ensure!(read.concat() == PROBE, "what was read of the bucket is not what was written");
    let place = config.data.objects_url.as_ref().map(ToString::to_string).unwrap_or_default();
    Ok(vec![ok("objects", format!("{place}: a file was written, read and removed"))])
}

fn secret(url: &ServiceUrl) -> SecretString {
    SecretString::from(url.expose())
}
