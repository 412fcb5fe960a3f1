//! Which technology keeps which port? The one function that picks backends.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use quaestor_backends::event_log::memory::{Bounds, MemoryEventLog};
use quaestor_backends::limits::memory::MemoryLimits;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::queue::memory::MemoryQueue;
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_backends::tickets::memory::MemoryTickets;
use quaestor_core::ports::event_log::EventLog;
use quaestor_core::ports::limits::RateLimits;
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::queue::Queue;
use quaestor_core::ports::store::Store;
use quaestor_core::ports::tickets::Tickets;

use super::World;
use crate::config::{Config, DatabaseChoice, EventsChoice, ObjectsChoice, QueueChoice};

/// How many messages of one step the in-process queue holds; more wait in the outbox.
const QUEUE_CAPACITY: usize = 10_000;

/// The ports, kept by what the configuration names.
pub(super) struct Backends {
    pub(super) store: Arc<dyn Store>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) events: Arc<dyn EventLog>,
    pub(super) limits: Arc<dyn RateLimits>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) objects: Arc<dyn Objects>,
    close: Close,
}

/// What has to be closed in order when the process ends.
pub(super) enum Close {
    Sqlite(Arc<SqliteStore>),
}

impl Close {
    pub(super) async fn run(self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}

impl Backends {
    /// Opens each port's backend.
    pub(super) async fn open(config: &Config, world: &World) -> anyhow::Result<Self> {
        let data = &config.data;
        let (store, close) = open_store(config).await?;
        let queue: Arc<dyn Queue> = match data.queue().map_err(anyhow::Error::msg)? {
            QueueChoice::Memory => Arc::new(MemoryQueue::new(QUEUE_CAPACITY)),
            QueueChoice::RabbitMq => anyhow::bail!("not yet"),
        };
        let (events, limits, tickets): (Arc<dyn EventLog>, Arc<dyn RateLimits>, Arc<dyn Tickets>) =
            match data.events().map_err(anyhow::Error::msg)? {
                EventsChoice::Memory => (
                    Arc::new(MemoryEventLog::new(world.clock.clone(), Bounds::default())),
                    Arc::new(MemoryLimits::new(world.clock.clone())),
                    Arc::new(MemoryTickets::new(world.clock.clone())),
                ),
                EventsChoice::Redis => anyhow::bail!("not yet"),
            };
        let objects: Arc<dyn Objects> = match data.objects().map_err(anyhow::Error::msg)? {
            ObjectsChoice::Local(folder) => {
                let local = LocalObjects::open(&folder)
                    .await
                    .with_context(|| format!("opening the object folder {}", folder.display()))?;
                Arc::new(local)
            }
            ObjectsChoice::S3 { .. } => anyhow::bail!("not yet"),
        };
        Ok(Self { store, queue, events, limits, tickets, objects, close })
    }

    /// Lets go of what has to be let go in order.
    pub(super) async fn close(self) {
        self.close.run().await;
    }
}

async fn open_store(config: &Config) -> anyhow::Result<(Arc<dyn Store>, Close)> {
    Ok(match config.data.database().map_err(anyhow::Error::msg)? {
        DatabaseChoice::Sqlite(path) => {
            let sqlite = Arc::new(open_sqlite(&path).await?);
            (sqlite.clone(), Close::Sqlite(sqlite))
        }
        DatabaseChoice::Postgres => anyhow::bail!("not yet"),
    })
}

/// The store with its tables made, or brought up to date.
pub(super) async fn migrate(config: &Config) -> anyhow::Result<(Arc<dyn Store>, Close)> {
    open_store(config).await
}

async fn open_sqlite(path: &Path) -> anyhow::Result<SqliteStore> {
    let url = format!("sqlite:{}", path.display());
    SqliteStore::open(&url, SqliteOptions::default())
        .await
        .with_context(|| format!("opening the database {}", path.display()))
}
