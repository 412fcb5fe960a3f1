//! The running processes, and who starts them again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::place::{Kind, Place, Settings};
use crate::process::Process;

/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How often a start that fails is tried again before the run is given up.
const STARTS: u32 = 60;

/// Says with what further settings a process is started: its role, and how often it was.
pub type Plan = Arc<dyn Fn(&'static str, u64) -> Settings + Send + Sync>;

/// A place for a process that is started again whenever it ends.
#[derive(Debug)]
pub struct Seat {
    /// What runs there.
    pub role: &'static str,
    /// Its place in the fleet, from 0.
    pub number: usize,
    process: RwLock<Option<Arc<Process>>>,
    /// Where fronts are, for good: clients come back to it.
    address: Mutex<Option<String>>,
    /// What its processes log, one after another.
    pub log: PathBuf,
    starts: AtomicU64,
}

impl Seat {
    /// What runs there at the moment.
    pub async fn process(&self) -> Option<Arc<Process>> {
        self.process.read().await.clone()
    }

    /// How often a process ended there that nobody had told to.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.starts.load(Ordering::SeqCst).saturating_sub(1)
    }
}

/// All processes of a run.
pub struct Fleet {
    seats: Vec<Arc<Seat>>,
    program: RwLock<PathBuf>,
    settings: Settings,
    plan: RwLock<Plan>,
    stop: CancellationToken,
    keepers: TaskTracker,
    /// Why the run cannot go on.
    broken: Mutex<Option<String>>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("seats", &self.seats).finish_non_exhaustive()
    }
}

impl Fleet {
    /// Starts the processes of a place: one that does everything, or fronts and workers.
    ///
    /// # Errors
    /// One does not start.
    pub async fn start(place: &Place, fronts: usize, workers: usize) -> anyhow::Result<Arc<Self>> {
        let roles: Vec<&'static str> = match place.kind {
            Kind::Embedded => vec!["serve"],
            Kind::Services => [vec!["front"; fronts], vec!["worker"; workers]].concat(),
        };
        let seats = roles
            .into_iter()
            .enumerate()
            .map(|(number, role)| {
                Arc::new(Seat {
                    role,
                    number,
                    process: RwLock::new(None),
                    address: Mutex::new(None),
                    log: place.folder().join(format!("{role}-{number}.log")),
                    starts: AtomicU64::new(0),
                })
            })
            .collect();
        let fleet = Arc::new(Self {
            seats,
            program: RwLock::new(place.program.clone()),
            settings: place.settings(),
            plan: RwLock::new(Arc::new(|_, _| Vec::new())),
            stop: CancellationToken::new(),
            keepers: TaskTracker::new(),
            broken: Mutex::new(None),
        });
        for seat in &fleet.seats {
            fleet.fill(seat).await?;
        }
        for seat in &fleet.seats {
            let (fleet_of, seat) = (Arc::clone(&fleet), Arc::clone(seat));
            fleet.keepers.spawn(async move { fleet_of.keep(&seat).await });
        }
        fleet.keepers.close();
        Ok(fleet)
    }

    /// The seats of a role; `serve` is of every role.
    #[must_use]
    pub fn seats(&self, role: &str) -> Vec<Arc<Seat>> {
        let fits = |seat: &&Arc<Seat>| seat.role == role || seat.role == "serve";
        self.seats.iter().filter(fits).cloned().collect()
    }

    /// Every seat.
    #[must_use]
    pub fn all(&self) -> &[Arc<Seat>] {
        &self.seats
    }

    /// Where clients connect.
    pub async fn addresses(&self) -> Vec<String> {
        let mut addresses = Vec::new();
        for seat in self.seats("front") {
            addresses.extend(seat.address.lock().await.clone());
        }
        addresses
    }

    /// From now on processes are started with what this says.
    pub async fn set_plan(&self, plan: Plan) {
        *self.plan.write().await = plan;
    }

    /// From now on another release is started.
    pub async fn set_program(&self, program: PathBuf) {
        *self.program.write().await = program;
    }

    /// How often processes ended and were started again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.seats.iter().map(|seat| seat.restarts()).sum()
    }

    /// Why the run cannot go on, if it cannot.
    pub async fn broken(&self) -> Option<String> {
        self.broken.lock().await.clone()
    }

    async fn fill(&self, seat: &Seat) -> anyhow::Result<()> {
        let started = seat.starts.fetch_add(1, Ordering::SeqCst);
        let mut settings = self.settings.clone();
        let mut address = seat.address.lock().await;
        if let Some(known) = address.as_deref().and_then(|address| address.strip_prefix("http://"))
        {
            settings.retain(|(name, _)| name != "QUAESTOR_LISTEN");
            settings.push(("QUAESTOR_LISTEN".to_owned(), known.to_owned()));
        }
        let plan = self.plan.read().await.clone();
        settings.extend(plan(seat.role, started));
        let program = self.program.read().await.clone();
        let process = Process::start(&program, seat.role, &settings, &seat.log).await?;
        if seat.role != "worker" {
            *address = Some(process.address.clone());
        }
        drop(address);
        *seat.process.write().await = Some(Arc::new(process));
        Ok(())
    }

    /// Starts a process again whenever it has ended, until the fleet is stopped.
    async fn keep(&self, seat: &Seat) {
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            tokio::time::sleep(LOOK).await;
            let ended = match &*seat.process.read().await {
                Some(process) => process.has_ended(),
                None => true,
            };
            if !ended || self.stop.is_cancelled() {
                continue;
            }
            match self.fill(seat).await {
                Ok(()) => failures = 0,
                // A server may be away, as a fault has it, or a fail-point was in the start.
                Err(error) => {
                    failures += 1;
                    if failures > STARTS {
                        *self.broken.lock().await = Some(format!("{error:#}"));
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }

    /// Starts every process anew, without a plan, one after another.
    ///
    /// # Errors
    /// One does not come back in a minute.
    pub async fn start_anew(&self) -> anyhow::Result<()> {
        self.start_anew_with(Arc::new(|_, _| Vec::new())).await
    }

    /// Starts every process anew with what a plan says.
    ///
    /// # Errors
    /// One does not come back in a minute.
    pub async fn start_anew_with(&self, plan: Plan) -> anyhow::Result<()> {
        self.set_plan(plan).await;
        for seat in &self.seats {
            if let Some(process) = seat.process().await {
                process.kill().await;
            }
        }
        self.wait_whole(Duration::from_secs(60)).await
    }

    /// Waits until every seat has a process that runs.
    ///
    /// # Errors
    /// One has none in that time.
    pub async fn wait_whole(&self, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        for seat in &self.seats {
            loop {
                let runs = match seat.process().await {
                    Some(process) => !process.has_ended(),
                    None => false,
                };
                if runs {
                    break;
                }
                let broken = self.broken().await.unwrap_or_default();
                anyhow::ensure!(
                    Instant::now() < until,
                    "{} {} does not come back: {broken}",
                    seat.role,
                    seat.number
                );
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// What each process measures, as Prometheus reads it; nothing of one that does not answer.
    pub async fn metrics(&self) -> Vec<String> {
        let mut told = Vec::new();
        for seat in &self.seats {
            told.push(self.metrics_of(seat).await.unwrap_or_default());
        }
        told
    }

    async fn metrics_of(&self, seat: &Seat) -> anyhow::Result<String> {
        let process = seat.process().await.context("nothing runs there")?;
        let http = crate::place::http(Duration::from_secs(10))?;
        Ok(http.get(format!("{}/metrics", process.address)).send().await?.text().await?)
    }

    /// Writes down what each process measures, for whoever looks for why work hangs.
    ///
    /// # Errors
    /// The files cannot be written.
    pub async fn keep_metrics(&self, folder: &Path) -> anyhow::Result<()> {
        for (seat, text) in self.seats.iter().zip(self.metrics().await) {
            std::fs::write(folder.join(format!("{}-{}.metrics", seat.role, seat.number)), text)?;
        }
        Ok(())
    }

    /// Resident memory of all processes together, in bytes.
    pub async fn resident_bytes(&self) -> u64 {
        let mut bytes = 0;
        for seat in &self.seats {
            if let Some(process) = seat.process().await {
                bytes += process.resident_bytes();
            }
        }
        bytes
    }

    /// Ends every process for good.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.keepers.wait().await;
        for seat in &self.seats {
            *seat.process.write().await = None;
        }
    }

    /// The process of the `number`-th seat of a role.
    ///
    /// # Errors
    /// None runs there.
    pub async fn one(&self, role: &str, number: usize) -> anyhow::Result<Arc<Process>> {
        let seats = self.seats(role);
        let seat = seats.get(number % seats.len().max(1)).context("there is no such process")?;
        seat.process().await.with_context(|| format!("no {role} runs"))
    }
}
