//! Which technology keeps which port? The one function that picks backends.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use quaestor_backends::cache::memory::MemoryCache;
use quaestor_backends::cache::redis::RedisCache;
use quaestor_backends::event_log::memory::{Bounds, MemoryEventLog};
use quaestor_backends::event_log::redis::{RedisBounds, RedisEventLog};
use quaestor_backends::limits::memory::MemoryLimits;
use quaestor_backends::limits::provider::memory::MemoryProviderLimits;
use quaestor_backends::limits::provider::redis::RedisProviderLimits;
use quaestor_backends::limits::redis::RedisLimits;
use quaestor_backends::noticeboard::memory::MemoryNoticeboard;
use quaestor_backends::noticeboard::redis::RedisNoticeboard;
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::objects::s3::{Credentials, Encryption, S3Objects, S3Options, S3Place};
use quaestor_backends::objects::timed::TimedObjects;
use quaestor_backends::queue::memory::MemoryQueue;
use quaestor_backends::queue::rabbitmq::{RabbitOptions, RabbitQueue};
use quaestor_backends::redis::{RedisServer, RedisSettings};
use quaestor_backends::store::postgres::{PgOptions, PgStore};
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_backends::tickets::memory::MemoryTickets;
use quaestor_backends::tickets::redis::RedisTickets;
use quaestor_core::clock::Clock;
use quaestor_core::ports::cache::Cache;
use quaestor_core::ports::event_log::EventLog;
use quaestor_core::ports::limits::RateLimits;
use quaestor_core::ports::noticeboard::Noticeboard;
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::provider_limits::ProviderLimits;
use quaestor_core::ports::queue::Queue;
use quaestor_core::ports::store::Store;
use quaestor_core::ports::tickets::Tickets;
use secrecy::SecretString;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::{World, first_start};
use crate::config::{Config, DatabaseChoice, EventsChoice, ObjectsChoice, QueueChoice, ServiceUrl};

/// How many messages of one step the in-process queue holds; more wait in the outbox.
const QUEUE_CAPACITY: usize = 10_000;

/// The ports, kept by what the configuration names.
pub(super) struct Backends {
    pub(super) store: Arc<dyn Store>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) events: Arc<dyn EventLog>,
    pub(super) limits: Arc<dyn RateLimits>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) noticeboard: Arc<dyn Noticeboard>,
    pub(super) cache: Arc<dyn Cache>,
    pub(super) provider_limits: Arc<dyn ProviderLimits>,
    pub(super) objects: Arc<dyn Objects>,
    rabbit: Option<Arc<RabbitQueue>>,
    tasks: TaskTracker,
    close: Close,
}

/// What has to be closed in order when the process ends.
pub(super) enum Close {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PgStore>),
}

impl Close {
    /// Has the store tell how it stands, as metrics.
    pub(super) fn teller(&self) -> Teller {
        match self {
            Self::Sqlite(sqlite) => {
                let sqlite = sqlite.clone();
                Arc::new(move || sqlite.tell())
            }
            Self::Postgres(postgres) => {
                let postgres = postgres.clone();
                Arc::new(move || postgres.tell())
            }
        }
    }

    pub(super) async fn run(self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.close().await,
            Self::Postgres(postgres) => postgres.close().await,
        }
    }
}

/// Tells something as metrics, when somebody scrapes.
pub(super) type Teller = Arc<dyn Fn() + Send + Sync>;

/// What goes by the event log's technology.
type Shared = (
    Arc<dyn EventLog>,
    Arc<dyn RateLimits>,
    Arc<dyn Tickets>,
    Arc<dyn Noticeboard>,
    Arc<dyn Cache>,
    Arc<dyn ProviderLimits>,
);

impl Backends {
    /// Opens each port's backend.
    pub(super) async fn open(config: &Config, world: &World) -> anyhow::Result<Self> {
        let data = &config.data;
        let (store, close) = open_store(config, world).await?;
        // Before anything else is opened: nothing else that is wrong matters then.
        first_start::refuse_what_is_elsewhere(config, &*store).await?;
        let tasks = TaskTracker::new();
        let (queue, rabbit): (Arc<dyn Queue>, _) = match data.queue().map_err(anyhow::Error::msg)? {
            QueueChoice::Memory => (Arc::new(MemoryQueue::new(QUEUE_CAPACITY)), None),
            QueueChoice::RabbitMq => {
                let rabbit = Arc::new(open_rabbit(config, world).await?);
                (rabbit.clone(), Some(rabbit))
            }
        };
        let (events, limits, tickets, noticeboard, cache, provider_limits): Shared =
            match data.events().map_err(anyhow::Error::msg)? {
                EventsChoice::Memory => (
                    Arc::new(MemoryEventLog::new(world.clock.clone(), Bounds::default())),
                    Arc::new(MemoryLimits::new(world.clock.clone())),
                    Arc::new(MemoryTickets::new(world.clock.clone())),
                    Arc::new(MemoryNoticeboard::new(world.clock.clone())),
                    Arc::new(MemoryCache::new(world.clock.clone())),
                    Arc::new(MemoryProviderLimits::new(world.clock.clone())),
                ),
                EventsChoice::Redis => {
                    let settings = RedisSettings::new(secret(&data.events_url));
                    let server = RedisServer::open(&settings, world.clock.clone())
                        .await
                        .context("opening the event log")?;
                    let bounds = RedisBounds::default();
                    let log = RedisEventLog::open(server.clone(), bounds, &*world.entropy)
                        .await
                        .context("opening the event log")?;
                    (
                        Arc::new(log),
                        Arc::new(RedisLimits::new(server.clone(), world.clock.clone())),
                        Arc::new(RedisTickets::new(server.clone(), world.clock.clone())),
                        Arc::new(RedisNoticeboard::new(server.clone(), world.clock.clone())),
                        Arc::new(RedisCache::new(server.clone(), world.clock.clone())),
                        Arc::new(RedisProviderLimits::new(server, world.clock.clone())),
                    )
                }
            };
        let objects = open_objects(config, world, &tasks).await?;
        let objects = Arc::new(TimedObjects::new(objects, world.clock.clone()));
        Ok(Self {
            store,
            queue,
            events,
            limits,
            tickets,
            noticeboard,
            cache,
            provider_limits,
            objects,
            rabbit,
            tasks,
            close,
        })
    }

    /// Has the store tell how it stands, as metrics.
    pub(super) fn teller(&self) -> Teller {
        self.close.teller()
    }

    /// Where what must outlive a dropped call runs.
    pub(super) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Lets go of what has to be let go in order.
    pub(super) async fn close(self) {
        if let Some(rabbit) = self.rabbit {
            rabbit.close().await;
        }
        // Uploads that were dropped are being aborted.
        self.tasks.close();
        self.tasks.wait().await;
        self.close.run().await;
    }
}

async fn open_rabbit(config: &Config, world: &World) -> anyhow::Result<RabbitQueue> {
    let address = config.data.queue_url.expose().parse().context("reading data.queue_url")?;
    let options = RabbitOptions {
        address,
        name: format!("quaestor {}", std::process::id()),
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
    };
    RabbitQueue::connect(options).await.context("opening the queue")
}

/// The object store, where it is a bucket.
pub(crate) async fn open_bucket(
    config: &Config,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
) -> anyhow::Result<S3Objects> {
    match config.data.objects().map_err(anyhow::Error::msg)? {
        ObjectsChoice::S3(place) => open_s3(config, place, clock, tasks).await,
        ObjectsChoice::Local(folder) => {
            anyhow::bail!("data.objects_url names the folder {}, no bucket", folder.display())
        }
    }
}

/// The files, where the configuration says.
pub(super) async fn open_objects(
    config: &Config,
    world: &World,
    tasks: &TaskTracker,
) -> anyhow::Result<Arc<dyn Objects>> {
    Ok(match config.data.objects().map_err(anyhow::Error::msg)? {
        ObjectsChoice::Local(folder) => {
            let local = LocalObjects::open(&folder)
                .await
                .with_context(|| format!("opening the object folder {}", folder.display()))?;
            Arc::new(local)
        }
        ObjectsChoice::S3(place) => {
            Arc::new(open_s3(config, place, world.clock.clone(), tasks.clone()).await?)
        }
    })
}

async fn open_s3(
    config: &Config,
    place: S3Place,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
) -> anyhow::Result<S3Objects> {
    let options = s3_options(config, place)?;
    S3Objects::open(options, clock, tasks).await.context("opening the object store")
}

/// How a bucket is reached.
pub(super) fn s3_options(config: &Config, place: S3Place) -> anyhow::Result<S3Options> {
    let s3 = &config.s3;
    let missing = "a bucket is named, which needs a key: set AWS_ACCESS_KEY_ID and \
                   AWS_SECRET_ACCESS_KEY";
    Ok(S3Options {
        place,
        region: s3.region.clone(),
        endpoint: s3.endpoint_url.clone(),
        credentials: Credentials {
            access_key_id: s3.access_key_id.as_deref().context(missing)?.into(),
            secret_access_key: s3.secret_access_key.clone().context(missing)?,
            session_token: s3.session_token.clone(),
        },
        encryption: match s3.encryption {
            crate::config::Encryption::Bucket => None,
            crate::config::Encryption::Aes256 => Some(Encryption::Aes256),
            crate::config::Encryption::Kms => Some(Encryption::Kms {
                key_id: s3.kms_key_id.clone().context("`aws:kms` needs s3.kms_key_id")?,
            }),
        },
        scratch: config.data.dir.join("scratch"),
    })
}

fn secret(url: &ServiceUrl) -> SecretString {
    SecretString::from(url.expose())
}

async fn open_store(config: &Config, world: &World) -> anyhow::Result<(Arc<dyn Store>, Close)> {
    Ok(match config.data.database().map_err(anyhow::Error::msg)? {
        DatabaseChoice::Sqlite(path) => {
            let sqlite = Arc::new(open_sqlite(&path).await?);
            (sqlite.clone(), Close::Sqlite(sqlite))
        }
        DatabaseChoice::Postgres => {
            let options = PgOptions {
                replica_url: config.data.replica_url.as_ref().map(secret),
                max_connections: config.data.database_connections,
                ..PgOptions::new(database_url(config)?)
            };
            let store = PgStore::connect(options, world.clock.clone()).await;
            let postgres = Arc::new(store.context("opening the database")?);
            (postgres.clone(), Close::Postgres(postgres))
        }
    })
}

/// The store with its tables made, or brought up to date.
pub(super) async fn migrate(
    config: &Config,
    world: &World,
) -> anyhow::Result<(Arc<dyn Store>, Close)> {
    if config.data.database().map_err(anyhow::Error::msg)? == DatabaseChoice::Postgres {
        let migrations = PgStore::migrate(&database_url(config)?, &*world.clock)
            .await
            .context("bringing the database up to date")?;
        info!(migrations, "ran {migrations} migrations");
    }
    // That of one process is brought up to date whenever it is opened.
    open_store(config, world).await
}

/// Where PostgreSQL is.
pub(super) fn database_url(config: &Config) -> anyhow::Result<SecretString> {
    config.data.database_url.as_ref().map(secret).context("data.database_url names no database")
}

pub(super) async fn open_sqlite(path: &Path) -> anyhow::Result<SqliteStore> {
    let url = format!("sqlite:{}", path.display());
    SqliteStore::open(&url, SqliteOptions::default())
        .await
        .with_context(|| format!("opening the database {}", path.display()))
}
