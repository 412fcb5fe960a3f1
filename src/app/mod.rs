//! Which parts make the program? The one function that picks backends stands here.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use quaestor_backends::event_log::memory::{Bounds, MemoryEventLog};
use quaestor_backends::limits::memory::MemoryLimits;
use quaestor_backends::models::chain::ChatChain;
use quaestor_backends::models::minilm::MiniLm;
use quaestor_backends::models::offline::OfflineModel;
use quaestor_backends::models::openai::{Endpoint, OpenAiChat, OpenAiEmbedder, Timeouts};
use quaestor_backends::objects::local::LocalObjects;
use quaestor_backends::queue::memory::MemoryQueue;
use quaestor_backends::store::sqlite::{SqliteOptions, SqliteStore};
use quaestor_backends::tickets::memory::MemoryTickets;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::IdSource;
use quaestor_core::jobs::Step;
use quaestor_core::ports::chat_model::ChatModel;
use quaestor_core::ports::embedder::Embedder;
use quaestor_core::ports::objects::Objects;
use quaestor_core::ports::store::Store;
use quaestor_core::retrieval::Searcher;
use quaestor_core::wake::Wake;
use quaestor_front::Front;
use quaestor_workers::{Context, Drain, ParseProcess};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{
    ChatProvider, Config, DatabaseChoice, EmbedderChoice, EventsChoice, ObjectsChoice, QueueChoice,
    Settings, check_exposure,
};
use quaestor_backends::entropy::OsEntropy;

mod first_start;
mod numbers;

/// How many messages of one step the in-process queue holds; more wait in the outbox.
const QUEUE_CAPACITY: usize = 10_000;
/// How often the metrics recorder folds what it gathered, or histograms would grow.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How long requests and sockets may take to end once the server stops.
const CONNECTIONS_END: Duration = Duration::from_secs(5);

/// A server that runs until its token is cancelled.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key that was made because the installation had none; shown this once.
    pub first_key: Option<SecretString>,
    running: TaskTracker,
}

impl Server {
    /// Returns when the server was stopped and what ran has ended or was given back.
    pub async fn finished(self) -> anyhow::Result<()> {
        self.running.wait().await;
        Ok(())
    }
}

/// Starts everything in one process on this listener, until `stop` is cancelled.
///
/// # Errors
/// A data folder that another process holds, a backend that cannot be opened, or a
/// listener that is reachable from outside without a key.
pub async fn start(
    settings: &Settings,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<Server> {
    let config = &settings.config;
    let address = listener.local_addr().context("reading the listener's address")?;
    let data_lock = lock_data_dir(&config.data.dir)?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
    let ids = IdSource::new(clock.clone(), entropy.clone());
    let wake = Wake::default();

    let sqlite = Arc::new(open_store(config).await?);
    let store: Arc<dyn Store> = sqlite.clone();
    check_exposure(address, config.server.admin_key.is_some(), has_workspace(&*store).await?)?;
    let first_key = first_start::first_key(config, &*store, &*clock, &ids, &*entropy).await?;
    let objects = open_objects(config).await?;
    let queue = match config.data.queue().map_err(anyhow::Error::msg)? {
        QueueChoice::Memory => Arc::new(MemoryQueue::new(QUEUE_CAPACITY)),
    };
    let events = match config.data.events().map_err(anyhow::Error::msg)? {
        EventsChoice::Memory => Arc::new(MemoryEventLog::new(clock.clone(), Bounds::default())),
    };
    let embedder = open_embedder(settings, &clock)?;
    let chat = open_chat(config, &clock)?;
    let searcher = Searcher::new(store.clone(), embedder.clone());

    let context = Context {
        store: store.clone(),
        queue: queue.clone(),
        events: events.clone(),
        objects: objects.clone(),
        chat: chat.clone(),
        embedder: embedder.clone(),
        searcher: searcher.clone(),
        parser: parse_process(config)?,
        clock: clock.clone(),
        ids: ids.clone(),
        wake: wake.clone(),
        worker_id: ids.next(),
        settings: numbers::worker_settings(config),
    };
    let metrics = install_metrics()?;
    let mut front_settings = numbers::front_settings(config);
    front_settings.models = model_names(&*chat, embedder.as_deref());
    let front = Front {
        store,
        queue,
        events,
        objects,
        limits: Arc::new(MemoryLimits::new(clock.clone())),
        tickets: Arc::new(MemoryTickets::new(clock.clone())),
        searcher,
        clock: clock.clone(),
        ids,
        entropy,
        wake,
        metrics: {
            let metrics = metrics.clone();
            Arc::new(move || metrics.render())
        },
        settings: front_settings,
    };
    if let EmbedderChoice::None(why) = &settings.embedder {
        info!("search goes by words alone: {why}");
    }

    let running = TaskTracker::new();
    running.spawn(run_all(Parts { context, front, listener, metrics, sqlite, data_lock }, stop));
    running.close();
    Ok(Server { address, first_key, running })
}

struct Parts {
    context: Context,
    front: Front,
    listener: TcpListener,
    metrics: PrometheusHandle,
    sqlite: Arc<SqliteStore>,
    data_lock: File,
}

/// Runs front, relay, sweeps and workers, and stops them in that order: no new work, then
/// what runs may end or is handed back, then the loops that moved it.
async fn run_all(parts: Parts, stop: CancellationToken) {
    let Parts { context, front, listener, metrics, sqlite, data_lock } = parts;
    let clock = context.clock.clone();
    let loops_stop = CancellationToken::new();
    let loops = TaskTracker::new();
    loops.spawn(quaestor_workers::run_relay(context.clone(), loops_stop.clone()));
    loops.spawn(quaestor_workers::run_sweeps(context.clone(), loops_stop.clone()));
    loops.spawn(metrics_upkeep(metrics, clock.clone(), loops_stop.clone()));
    loops.close();

    let workers = TaskTracker::new();
    let drain = Drain { begin: stop.clone() };
    workers.spawn(quaestor_workers::run_workers(context, Step::ALL.to_vec(), drain));
    workers.close();

    let connections = TaskTracker::new();
    let served = quaestor_front::serve(listener, Arc::new(front), stop, connections.clone()).await;
    if let Err(error) = served {
        warn!(error = &error as &dyn std::error::Error, "the front ended");
    }
    connections.close();
    tokio::join!(workers.wait(), async {
        tokio::select! {
            () = connections.wait() => {}
            () = clock.sleep(CONNECTIONS_END) => {
                warn!("{} connections did not end in time", connections.len());
            }
        }
    });
    loops_stop.cancel();
    loops.wait().await;
    sqlite.close().await;
    drop(data_lock);
}

async fn metrics_upkeep(metrics: PrometheusHandle, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(METRICS_UPKEEP) => metrics.run_upkeep(),
        }
    }
}

/// Holds the data folder for this process: two of them on one folder would each believe
/// that the other's unfinished jobs are its own.
fn lock_data_dir(dir: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(dir)
        .with_context(|| format!("making the data folder {}", dir.display()))?;
    let path = dir.join("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => bail!(
            "another quaestor uses the data folder {}; stop it, or choose another folder with \
             QUAESTOR_DATA_DIR",
            dir.display()
        ),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

async fn open_store(config: &Config) -> anyhow::Result<SqliteStore> {
    match config.data.database().map_err(anyhow::Error::msg)? {
        DatabaseChoice::Sqlite(path) => {
            let url = format!("sqlite:{}", path.display());
            SqliteStore::open(&url, SqliteOptions::default())
                .await
                .with_context(|| format!("opening the database {}", path.display()))
        }
    }
}

async fn has_workspace(store: &dyn Store) -> anyhow::Result<bool> {
    Ok(store.first_workspace().await.context("looking for a workspace")?.is_some())
}

async fn open_objects(config: &Config) -> anyhow::Result<Arc<dyn Objects>> {
    match config.data.objects().map_err(anyhow::Error::msg)? {
        ObjectsChoice::Local(folder) => {
            let objects = LocalObjects::open(&folder)
                .await
                .with_context(|| format!("opening the object folder {}", folder.display()))?;
            Ok(Arc::new(objects))
        }
    }
}

fn open_embedder(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Arc<dyn Embedder>>> {
    let threads = usize::try_from(settings.config.models.embed_threads).unwrap_or(1);
    Ok(match &settings.embedder {
        EmbedderChoice::None(_) => None,
        EmbedderChoice::MiniLm(folder) => {
            let model = MiniLm::open(folder, threads)
                .with_context(|| format!("opening the model folder {}", folder.display()))?;
            Some(Arc::new(model))
        }
        EmbedderChoice::OpenAi(model) => {
            let dimensions = settings.config.models.embed_dimensions().with_context(|| {
                format!("{model} is unknown here: set models.embed_dimensions to its length")
            })?;
            let endpoint = openai(&settings.config, model);
            Some(Arc::new(OpenAiEmbedder::new(endpoint, dimensions, clock.clone())?))
        }
    })
}

fn open_chat(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn ChatModel>> {
    let mut chain: Vec<Arc<dyn ChatModel>> = Vec::new();
    for provider in &config.models.chat.0 {
        chain.push(match provider {
            ChatProvider::Offline => Arc::new(OfflineModel::new()),
            ChatProvider::OpenAi(model) => {
                Arc::new(OpenAiChat::new(openai(config, model), clock.clone())?)
            }
        });
    }
    ChatChain::of(chain).context("models.chat names no model: `offline` needs none")
}

fn openai(config: &Config, model: &str) -> Endpoint {
    Endpoint {
        provider: "openai".to_owned(),
        model: model.to_owned(),
        base_url: config.models.openai.base_url.clone(),
        key: config.models.openai.api_key.clone().unwrap_or_default(),
        timeouts: Timeouts::default(),
    }
}

fn model_names(chat: &dyn ChatModel, embedder: Option<&dyn Embedder>) -> Vec<String> {
    let mut names = vec![format!("chat {}", chat.name())];
    names.extend(embedder.map(|embedder| format!("embed {}", embedder.model())));
    names
}

fn parse_process(config: &Config) -> anyhow::Result<ParseProcess> {
    Ok(ParseProcess {
        program: std::env::current_exe().context("finding this program's own file")?,
        arguments: vec!["parse-child".to_owned()],
        limits: numbers::parse_limits(config),
        wall_clock: Duration::from_secs(config.parse.wall_s),
    })
}

/// The recorder is the process's: a second server in one process shares it.
fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    static INSTALLED: std::sync::OnceLock<Result<PrometheusHandle, String>> =
        std::sync::OnceLock::new();
    INSTALLED
        .get_or_init(|| PrometheusBuilder::new().install_recorder().map_err(|e| e.to_string()))
        .clone()
        .map_err(|error| anyhow::anyhow!("installing the metrics recorder: {error}"))
}

/// The parser child: reads its task from standard input, one document within limits, and
/// writes frames to standard output. Gives the exit code.
pub fn parse_child(_arguments: &[OsString]) -> anyhow::Result<()> {
    let code = quaestor_documents::child::run_child(std::io::stdin().lock(), std::io::stdout());
    if code == 0 { Ok(()) } else { bail!("the parser ended with code {code}") }
}
