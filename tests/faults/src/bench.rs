//! One fault from beginning to end: start, warm up, inject, heal, settle, check.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use quaestor_model_server::ModelServer;

use crate::check::check;
use crate::dice::Dice;
use crate::evidence::{self, Evidence};
use crate::fleet::Fleet;
use crate::place::{Kind, Place};
use crate::proxy::Proxy;
use crate::report::{Figure, Outcome, percentile, say};
use crate::servers::Servers;
use crate::workload::{Shape, Workload, answer_well};

/// How long what runs has to come to its end once all is healed.
const SETTLE: Duration = Duration::from_secs(90);
/// How long an answer may fail to come while nothing is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// A fault, and what is expected of the system under it.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Its name in the catalogue.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// What is expected beyond a clean check.
    pub expected: &'static str,
    /// Where it can happen.
    pub kinds: &'static [Kind],
    /// Where it is part of the fast subset.
    pub fast: &'static [Kind],
    /// How much is asked for meanwhile.
    pub shape: Shape,
    /// Settings beside those of the bench.
    pub settings: &'static [(&'static str, &'static str)],
    /// What is done; it has healed what it did when it returns.
    pub inject: for<'a> fn(&'a mut Bench) -> BoxFuture<'a, anyhow::Result<()>>,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fault").field("name", &self.name).finish_non_exhaustive()
    }
}

/// On what, and with which chance, faults are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program, built with the fail-points.
    pub program: PathBuf,
    /// Everything random comes from it.
    pub seed: u64,
    /// How often something is done that is done several times; the fault's own number else.
    pub times: Option<u64>,
    /// How long a soak is.
    pub minutes: u64,
    /// The program as it was released before.
    pub previous: Option<PathBuf>,
}

/// A system under load.
#[derive(Debug)]
pub struct Bench {
    /// What the program stands on.
    pub place: Place,
    /// Its processes.
    pub fleet: Arc<Fleet>,
    /// Its provider.
    pub model: ModelServer,
    /// The way to the provider.
    pub model_network: Proxy,
    /// Who asks.
    pub workload: Workload,
    /// Chance.
    pub dice: Dice,
    /// How much is asked for.
    pub shape: Shape,
    /// How it was started.
    pub options: Options,
    figures: Vec<Figure>,
}

impl Bench {
    /// Writes a figure down.
    pub fn figure(&mut self, name: &str, value: f64) {
        self.figures.push(Figure { name: name.to_owned(), value, within: None });
    }

    /// Writes a figure down that may be so much at the most.
    pub fn at_most(&mut self, name: &str, value: f64, most: f64) {
        let within = Some((f64::NEG_INFINITY, most));
        self.figures.push(Figure { name: name.to_owned(), value, within });
    }

    /// Writes a figure down that is to be so much at the least.
    pub fn at_least(&mut self, name: &str, value: f64, least: f64) {
        let within = Some((least, f64::INFINITY));
        self.figures.push(Figure { name: name.to_owned(), value, within });
    }

    /// How often something is to be done.
    #[must_use]
    pub fn times(&self, own: u64) -> u64 {
        self.options.times.unwrap_or(own)
    }

    /// Waits until so many more questions were answered.
    ///
    /// # Errors
    /// They are not in two minutes.
    pub async fn progress(&self, more: u64) -> anyhow::Result<()> {
        if let Some(broken) = self.fleet.broken().await {
            anyhow::bail!("a process cannot be started again: {broken}");
        }
        self.workload.progress(more, PATIENCE).await
    }

    async fn start(
        fault: &Fault,
        kind: Kind,
        options: &Options,
        servers: Option<Arc<Servers>>,
    ) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let model = ModelServer::start().await;
        answer_well(&model, fault.shape);
        let model_network = Proxy::before(model.address()).await?;
        let url = format!("http://{}/v1", model_network.address());
        let mut place = Place::make(kind, &options.program, servers, number, 4, &url).await?;
        for (name, value) in fault.settings {
            place.set(name, value);
        }
        let fleet = Fleet::start(&place, 2, 3).await?;
        let workload = Workload::start(&place, &fleet, fault.shape).await?;
        let (dice, options) = (Dice::of(options.seed), options.clone());
        let figures = Vec::new();
        let shape = fault.shape;
        Ok(Self { place, fleet, model, model_network, workload, dice, shape, options, figures })
    }
}

/// Runs one fault on one kind of backends.
pub async fn run(
    fault: &Fault,
    kind: Kind,
    options: &Options,
    servers: Option<Arc<Servers>>,
) -> Outcome {
    let begun = Instant::now();
    say(&format!("     {} on {}: {} …", fault.name, kind.as_str(), fault.what));
    let mut outcome = Outcome {
        name: fault.name,
        what: fault.what,
        expected: fault.expected,
        kind,
        breaches: Vec::new(),
        figures: Vec::new(),
        error: None,
        took: Duration::ZERO,
        again: again(fault, kind, options),
        kept: None,
    };
    match Bench::start(fault, kind, options, servers).await {
        Ok(bench) => {
            if let Err(error) = through(fault, bench, &mut outcome).await {
                outcome.error = Some(format!("{error:#}"));
            }
        }
        Err(error) => outcome.error = Some(format!("{error:#}")),
    }
    outcome.took = begun.elapsed();
    outcome.tell();
    outcome
}

fn again(fault: &Fault, kind: Kind, options: &Options) -> String {
    let times = options.times.map(|times| format!(" --times {times}")).unwrap_or_default();
    let minutes = options.minutes;
    let (name, kind, seed) = (fault.name, kind.as_str(), options.seed);
    format!("make faults FAULTS=\"{name} --on {kind} --seed {seed} --minutes {minutes}{times}\"")
}

async fn through(fault: &Fault, mut bench: Bench, outcome: &mut Outcome) -> anyhow::Result<()> {
    let injected = inject(fault, &mut bench).await;
    let Bench { mut place, fleet, model, model_network, workload, figures, .. } = bench;
    outcome.figures = figures;
    let ledger = workload.end(SETTLE).await;
    let gathered = async {
        let settled = evidence::settled(&place, SETTLE).await?;
        if settled >= SETTLE {
            fleet.keep_metrics(place.folder()).await?;
            let sessions = evidence::sessions(&place).await?;
            std::fs::write(place.folder().join("sessions.txt"), sessions)?;
        }
        let mut evidence = Evidence::gather(&place, &model).await?;
        let chains = evidence::chains(&place, &fleet.addresses().await).await?;
        (evidence.chain_links, evidence.chain_breaks) = chains;
        anyhow::Ok((settled, evidence))
    };
    let gathered = gathered.await;
    fleet.stop().await;
    drop(model_network);
    let book = ledger.book().clone();
    let mut resumed: Vec<Duration> =
        book.asked.iter().flat_map(|asked| asked.resumed_in.iter().copied()).collect();
    let figure = |name: &str, value: f64| Figure { name: name.to_owned(), value, within: None };
    outcome.figures.push(figure("questions", book.asked.len() as f64));
    if !resumed.is_empty() {
        outcome.figures.push(figure("sockets resumed", resumed.len() as f64));
        outcome.figures.push(figure("resume p99 s", percentile(&mut resumed, 99)));
    }
    let gaps = book.asked.iter().filter(|asked| asked.gaps > 0).count();
    if gaps > 0 {
        outcome.figures.push(figure("streams told a gap", gaps as f64));
    }
    match gathered {
        Ok((settled, evidence)) => {
            outcome.figures.push(figure("settled in s", settled.as_secs_f64()));
            if evidence.chain_links > 0 {
                outcome.figures.push(figure("links of the audit log", evidence.chain_links as f64));
            }
            outcome.breaches = check(&book, &evidence);
        }
        Err(error) => outcome.error = Some(format!("nothing could be checked: {error:#}")),
    }
    if !outcome.is_well() || injected.is_err() {
        place.keep_folder();
        outcome.kept = Some(place.folder().to_owned());
    }
    place.remove().await?;
    injected
}

async fn inject(fault: &Fault, bench: &mut Bench) -> anyhow::Result<()> {
    let clients = bench.shape.clients as u64;
    bench.progress(clients).await?;
    (fault.inject)(bench).await?;
    bench.fleet.wait_whole(PATIENCE).await?;
    bench.progress(2 * clients).await
}

/// The program beside the bench's own, as cargo builds both.
///
/// # Errors
/// It was not built.
pub fn program_beside() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.parent().unwrap_or(Path::new(".")).join("quaestor");
    anyhow::ensure!(
        beside.is_file(),
        "{} is not there: `make faults` builds it with its fail-points",
        beside.display()
    );
    Ok(beside)
}
