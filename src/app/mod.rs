//! What does the process consist of? Its parts are opened, started and stopped here.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use metrics_exporter_prometheus::PrometheusHandle;
use quaestor_backends::entropy::OsEntropy;
use quaestor_backends::models::resilience::Guards;
use quaestor_core::budgets::Budgets;
use quaestor_core::clock::{Clock, SystemClock};
use quaestor_core::embedders::Embedders;
use quaestor_core::entropy::Entropy;
use quaestor_core::ids::{IdSource, WorkerId};
use quaestor_core::jobs::Step;
use quaestor_core::model::PROVIDERS_TOPIC;
use quaestor_core::ports::noticeboard::Noticeboard;
use quaestor_core::retrieval::Searcher;
use quaestor_core::wake::Wake;
use quaestor_front::{Front, Offer, Stop};
use quaestor_workers::{
    AnswerCache, Context, Drain, ParseProcess, Places, RenderProcess, SchedulePlan, Work,
};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{Config, EmbedderChoice, Settings};

mod backends;
mod backup;
mod bare;
mod first_start;
mod measures;
mod models;
mod moving;
mod numbers;
mod providers;
mod scaler;
mod schedules;

use backends::Backends;
pub(crate) use backends::open_bucket;
pub use backup::{
    BackupReport, BackupRequest, Found as FoundBundle, RestoreReport, RestoreRequest, back_up,
    list as list_backups, restore, verify as verify_backup,
};
pub(crate) use backup::{history as backup_history, missing_files};
pub(crate) use bare::Bare;
pub use moving::{MoveReport, MoveRequest, Moving, To, move_installation, undo_move};
pub(crate) use scaler::Status;

/// How often the metrics recorder folds what it gathered, or histograms would grow.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How often a process tells how it finds the providers of models.
const PROVIDERS_TOLD_EVERY: Duration = Duration::from_secs(5);
/// How long requests that were cut may take to be answered, once the server stops.
const CONNECTIONS_END: Duration = Duration::from_secs(3);
/// How long all that comes after the drain may take: then the process ends whatever it waits
/// for. What is unfinished then is taken up as after a crash.
const LAST: Duration = Duration::from_millis(4_500);

/// What a process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Serve,
    /// HTTP and WebSocket.
    Front,
    /// Steps of jobs, and no more of HTTP than health and metrics.
    Worker(Vec<Step>),
    /// Worker processes of this machine, each with these flags, and the same of HTTP.
    Scaler(Vec<String>),
}

impl Role {
    fn steps(&self) -> Vec<Step> {
        match self {
            Self::Serve => Step::ALL.to_vec(),
            Self::Front | Self::Scaler(_) => Vec::new(),
            Self::Worker(steps) => steps.clone(),
        }
    }
}

/// Time, randomness and ids: what is handed to everything that needs them.
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) ids: IdSource,
}

impl World {
    fn of_process() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let ids = IdSource::new(clock.clone(), entropy.clone());
        Self { clock, entropy, ids }
    }
}

/// How a process is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stopping {
    /// Nothing new from now on.
    pub begin: CancellationToken,
    /// What runs gets the time of the drain from now on. Until then it is waited for.
    pub hurry: CancellationToken,
}

impl Stopping {
    /// Both at once.
    #[must_use]
    pub fn at_once(stop: CancellationToken) -> Self {
        Self { begin: stop.clone(), hurry: stop }
    }
}

/// A process that runs until its token is cancelled.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The key that was made because the installation had none; shown this once.
    pub first_key: Option<SecretString>,
    /// What its workers do.
    pub work: Work,
    running: TaskTracker,
}

impl Server {
    /// Returns when the server was stopped and what ran has ended or was given back.
    pub async fn finished(self) -> anyhow::Result<()> {
        self.running.wait().await;
        Ok(())
    }
}

/// Starts what the role says in this process, until it is told to stop.
///
/// # Errors
/// A data folder that another process holds, a backend that cannot be opened or that only
/// one process can use, or a listener that is reachable from outside without a key.
pub async fn start(
    settings: &Settings,
    role: Role,
    listener: TcpListener,
    stop: Stopping,
) -> anyhow::Result<Server> {
    let config = &settings.config;
    let address = listener.local_addr().context("reading the listener's address")?;
    refuse_lonely_backends(config, &role)?;
    let data_lock = match role {
        Role::Serve => Some(lock_data_dir(&config.data.dir)?),
        Role::Front | Role::Worker(_) | Role::Scaler(_) => None,
    };
    let world = World::of_process();
    let backends = Backends::open(config, &world).await?;
    let first_key = first_start::prepare(config, &role, &*backends.store, &world, address).await?;

    let guards =
        models::guards(config, &world, &backends.provider_limits, Some(backends.store.clone()));
    let schedules = match role {
        Role::Front | Role::Scaler(_) => None,
        Role::Serve | Role::Worker(_) => {
            let (objects, tasks) = (backends.objects.clone(), backends.tasks());
            Some(schedules::plan(config, backup::plan(config, &world, objects, tasks).await?))
        }
    };
    let (embedders, reranking) = match role {
        // It searches nothing, and models are large.
        Role::Scaler(_) => (Embedders::default(), None),
        Role::Serve | Role::Front | Role::Worker(_) => (
            models::open_embedders(settings, &world.clock, &guards)?,
            models::open_reranking(config, &world.clock, &guards)?,
        ),
    };
    let searcher =
        Searcher::new(backends.store.clone(), embedders.clone()).with_reranking(reranking);
    let chat = models::open_chat(config, &config.models.chat, &world.clock, &guards)?;
    let chat_cheap = match &config.models.chat_cheap {
        Some(chain) => Some(models::open_chat(config, chain, &world.clock, &guards)?),
        None => None,
    };
    let defaults = config.budgets.defaults();
    let budgets = Budgets::new(backends.store.clone(), world.clock.clone(), defaults);
    let wake = Wake::default();
    let metrics = measures::install()?;
    let worker_settings = numbers::worker_settings(config);
    let mut front_settings = numbers::front_settings(config);
    front_settings.models = models::names(&*chat, &embedders, searcher.reranking());
    let context = Context {
        store: backends.store.clone(),
        queue: backends.queue.clone(),
        events: backends.events.clone(),
        objects: backends.objects.clone(),
        chat,
        answers: config.answers.kept().map(|keep| AnswerCache::new(backends.cache.clone(), keep)),
        chat_cheap,
        budgets: budgets.clone(),
        embedders,
        searcher: searcher.clone(),
        parser: parse_process(config)?,
        renderer: render_process(config)?,
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
        ids: world.ids.clone(),
        wake: wake.clone(),
        worker_id: world.ids.next(),
        places: Places::new(&worker_settings.slots),
        work: Work::default(),
        settings: worker_settings,
    };
    let front = Front {
        store: backends.store.clone(),
        queue: backends.queue.clone(),
        events: backends.events.clone(),
        objects: backends.objects.clone(),
        limits: backends.limits.clone(),
        noticeboard: backends.noticeboard.clone(),
        tickets: backends.tickets.clone(),
        searcher,
        budgets,
        clock: world.clock,
        ids: world.ids,
        entropy: world.entropy,
        wake,
        metrics: {
            let metrics = metrics.clone();
            let (store, folder) = (backends.teller(), config.data.dir.clone());
            Arc::new(move || {
                store();
                measures::tell_disk(&folder);
                metrics.render()
            })
        },
        settings: front_settings,
    };
    if let EmbedderChoice::None(why) = &settings.embedder {
        info!("search goes by words alone: {why}");
    }

    let scaler = match &role {
        Role::Scaler(flags) => Some(scaler::Orders::of(config, flags)?),
        Role::Serve | Role::Front | Role::Worker(_) => None,
    };
    let running = TaskTracker::new();
    let work = context.work.clone();
    let leave_for = config.server.leave(&role);
    let parts = Parts {
        role,
        context,
        front,
        listener,
        metrics,
        guards,
        backends,
        schedules,
        leave_for,
        data_lock,
        scaler,
    };
    running.spawn(run_all(parts, stop));
    running.close();
    Ok(Server { address, first_key, work, running })
}

/// Makes the database's tables, the first workspace and its key where they are missing.
/// Returns the key that was made, to be shown once. Any number of these at once take turns:
/// one of them makes what is missing.
///
/// # Errors
/// A database that is not there, refuses, or was made by a newer program.
pub async fn migrate(settings: &Settings) -> anyhow::Result<Option<SecretString>> {
    let world = World::of_process();
    let (store, close) = backends::migrate(&settings.config, &world).await?;
    let first_key = first_start::first_key(&settings.config, &*store, &world).await;
    close.run().await;
    first_key
}

struct Parts {
    role: Role,
    context: Context,
    front: Front,
    listener: TcpListener,
    metrics: PrometheusHandle,
    guards: Guards,
    backends: Backends,
    schedules: Option<SchedulePlan>,
    leave_for: Duration,
    data_lock: Option<File>,
    scaler: Option<scaler::Orders>,
}

/// Runs what the role says until it is stopped and has ended, within the time for that.
async fn run_all(parts: Parts, stop: Stopping) {
    let clock = parts.context.clock.clone();
    let drain = parts.context.settings.drain.max(parts.leave_for);
    let waits = parts.scaler.is_some();
    let give_up = async {
        stop.hurry.cancelled().await;
        if waits {
            // Its processes have such a time each, and it is there as long as they are.
            std::future::pending::<()>().await;
        }
        clock.sleep(drain + LAST).await;
    };
    tokio::select! {
        () = run_and_stop(parts, stop.clone()) => {}
        () = give_up => warn!(
            "not everything has ended {} s after this process was told to stop; it ends now, and \
             others take up what it leaves",
            (drain + LAST).as_secs()
        ),
    }
}

/// Runs what the role says, and stops it in order: `/ready` says no; no new work, and what
/// runs may end or is handed back; then sockets are sent elsewhere, and requests that are
/// under way may end as long as the time of the drain lasts; then the loops that moved the
/// work.
async fn run_and_stop(parts: Parts, stopping: Stopping) {
    let Parts { role, context, front, listener, metrics, guards, .. } = parts;
    let Parts { backends, schedules, leave_for, data_lock, scaler, .. } = parts;
    let stop = stopping.begin.clone();
    let clock = context.clock.clone();
    let drain = context.settings.drain;
    let loops_stop = CancellationToken::new();
    let loops = TaskTracker::new();
    let scaling = quaestor_workers::run_scaling(
        context.clone(),
        role.steps(),
        backends.noticeboard.clone(),
        stop.clone(),
        loops_stop.clone(),
    );
    loops.spawn(scaling);
    loops.spawn(metrics_upkeep(metrics, clock.clone(), loops_stop.clone()));
    let board = (backends.noticeboard.clone(), context.worker_id);
    loops.spawn(tell_providers(guards, board, clock.clone(), loops_stop.clone()));
    let workers = TaskTracker::new();
    if let Some(orders) = scaler {
        let board = backends.noticeboard.clone();
        workers.spawn(scaler::run(orders, context.clone(), board, stop.clone()));
    } else {
        loops.spawn(quaestor_workers::run_relay(context.clone(), loops_stop.clone()));
        // Deadlines pass where no worker is left, too.
        loops.spawn(quaestor_workers::run_sweeps(context.clone(), loops_stop.clone()));
    }
    if matches!(role, Role::Serve | Role::Worker(_)) {
        loops.spawn(quaestor_workers::run_sealing(context.clone(), loops_stop.clone()));
        // Until the drain begins: whoever drains takes no more.
        let (board, steps) = (backends.noticeboard.clone(), role.steps());
        let telling = quaestor_workers::tell_presence(context.clone(), steps, board, stop.clone());
        loops.spawn(telling);
        loops.spawn(quaestor_workers::run_file_sweeps(context.clone(), loops_stop.clone()));
        loops.spawn(quaestor_workers::run_upkeep(context.clone(), loops_stop.clone()));
        loops.spawn(quaestor_workers::run_reparse(context.clone(), loops_stop.clone()));
        loops.spawn(quaestor_workers::tell_backups(context.clone(), loops_stop.clone()));
        if let Some(plan) = schedules {
            loops.spawn(quaestor_workers::run_schedules(context.clone(), plan, loops_stop.clone()));
        }
        let drain = Drain { begin: stop.clone(), hurry: stopping.hurry };
        workers.spawn(quaestor_workers::run_workers(context, role.steps(), drain));
    }
    loops.close();
    workers.close();

    let offer = match role {
        Role::Serve | Role::Front => Offer::Everything,
        Role::Worker(_) | Role::Scaler(_) => Offer::Operations,
    };
    let listening = Stop { leave: stop.clone(), ..Stop::default() };
    let (close, cut) = (listening.close.clone(), listening.cut.clone());
    let connections = TaskTracker::new();
    let served =
        quaestor_front::serve(listener, Arc::new(front), offer, listening, connections.clone());
    let closing = async {
        stop.cancelled().await;
        let told_at = clock.now();
        // Watchers of the jobs that are being finished see their end.
        tokio::join!(workers.wait(), clock.sleep(leave_for));
        close.cancel();
        connections.close();
        let until = told_at + TimeDelta::from_std(drain).unwrap_or(TimeDelta::zero());
        tokio::select! {
            () = connections.wait() => {}
            () = clock.sleep_until(until) => {}
        }
        cut.cancel();
    };
    let (served, ()) = tokio::join!(served, closing);
    if let Err(error) = served {
        warn!(error = &error as &dyn std::error::Error, "the front ended");
    }
    tokio::select! {
        () = connections.wait() => {}
        () = clock.sleep(CONNECTIONS_END) => {
            warn!("{} connections did not end in time", connections.len());
        }
    }
    loops_stop.cancel();
    loops.wait().await;
    backends.close().await;
    drop(data_lock);
}

/// Tells administrators how this process finds the providers that it calls.
async fn tell_providers(
    guards: Guards,
    (board, process): (Arc<dyn Noticeboard>, WorkerId),
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    loop {
        let status = guards.status();
        if !status.is_empty() {
            let notice = serde_json::json!(status);
            board.post(PROVIDERS_TOPIC, process, notice, 3 * PROVIDERS_TOLD_EVERY).await;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(PROVIDERS_TOLD_EVERY) => {}
        }
    }
}

async fn metrics_upkeep(metrics: PrometheusHandle, clock: Arc<dyn Clock>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(METRICS_UPKEEP) => metrics.run_upkeep(),
        }
    }
}

/// A front without its workers would wait for ever on a queue that only it can see.
fn refuse_lonely_backends(config: &Config, role: &Role) -> anyhow::Result<()> {
    let command = match role {
        Role::Serve => return Ok(()),
        Role::Front => "front",
        Role::Worker(_) => "worker",
        Role::Scaler(_) => "scaler",
    };
    match config.data.in_process().map_err(anyhow::Error::msg)? {
        None => Ok(()),
        Some(key) => bail!(
            "`quaestor {command}` shares its work with other processes, and `{key}` names what \
             only this one can use: name a server there (PostgreSQL, RabbitMQ, Redis), or run \
             `quaestor serve`, which is everything in one process"
        ),
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

fn parse_process(config: &Config) -> anyhow::Result<ParseProcess> {
    Ok(ParseProcess {
        program: std::env::current_exe().context("finding this program's own file")?,
        arguments: vec!["parse-child".to_owned()],
        limits: numbers::parse_limits(config),
        wall_clock: Duration::from_secs(config.parse.wall_s),
    })
}

fn render_process(config: &Config) -> anyhow::Result<RenderProcess> {
    // Here already, and not with the first export that would fail for it.
    quaestor_exports::Fonts::with_files(&config.exports.fonts)
        .context("`exports.fonts` names what PDF is written with")?;
    Ok(RenderProcess {
        program: std::env::current_exe().context("finding this program's own file")?,
        arguments: vec!["render-child".to_owned()],
        fonts: config.exports.fonts.clone(),
        limits: numbers::render_limits(config),
        wall_clock: config.exports.wall_clock(),
    })
}

/// The parser child: reads its task from standard input, one document within limits, and
/// writes frames to standard output. Gives the exit code.
pub fn parse_child(_arguments: &[OsString]) -> anyhow::Result<()> {
    let code = quaestor_documents::child::run_child(std::io::stdin().lock(), std::io::stdout());
    if code == 0 { Ok(()) } else { bail!("the parser ended with code {code}") }
}

/// The rendering child: reads its task and the parts of an export from standard input, and
/// writes the file as frames to standard output, within limits. Gives the exit code.
pub fn render_child(_arguments: &[OsString]) -> anyhow::Result<()> {
    let input = std::io::BufReader::new(std::io::stdin());
    let code = quaestor_exports::child::run_child(input, std::io::stdout());
    if code == 0 { Ok(()) } else { bail!("the renderer ended with code {code}") }
}
