//! `quaestor scaler`: starts and stops the worker processes of one machine.
//!
//! A process is started for each kind of work, and takes the queues of that alone. How many
//! there are follows what is wanted (`quaestor_desired_workers`), within the configuration,
//! memory and cores. Fewer are had by telling the idlest to leave: it takes nothing more, ends
//! what it has, however long that takes, and ends. No process is ever killed.
//!
//! A process that ends by itself is replaced, after a pause that grows while they go on dying.
//! Should this process die, its children notice by their standard input, and leave within the
//! time of a drain; whoever starts it again gets new ones.

mod child;
mod crew;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::jobs::JobKind;
use quaestor_core::metrics;
use quaestor_core::ports::noticeboard::Noticeboard;
use quaestor_core::scaling::fleet::{Crew as Wish, by_cores, fleet, processes};
use quaestor_core::scaling::notice::Wanted;
use quaestor_core::scaling::room::Memory;
use quaestor_workers::{Context, memory_limit, memory_of, own_part, read_wanted};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
pub(crate) use child::Status;
use crew::Crew;

/// How often it is looked how many there are to be.
const EVERY: Duration = Duration::from_millis(500);
/// How often it is looked what memory they use.
const MEMORY_EVERY: TimeDelta = TimeDelta::seconds(2);
/// What a process is taken to use until any has shown it, in bytes.
const GUESS: f64 = 128.0 * 1024.0 * 1024.0;
const MB: u64 = 1 << 20;

/// What is to be run, and within which bounds.
pub(super) struct Orders {
    program: PathBuf,
    flags: Vec<String>,
    memory: Option<u64>,
    bounds: Vec<(JobKind, u32, u32)>,
}

impl Orders {
    /// As the configuration says; the processes are given these flags as well.
    pub(super) fn of(config: &Config, flags: &[String]) -> anyhow::Result<Self> {
        let scaler = &config.scaler;
        let bounds = |kind| (kind, scaler.min.of(kind), scaler.max.of(kind));
        Ok(Self {
            program: std::env::current_exe().context("finding this program's own file")?,
            flags: flags.to_vec(),
            memory: scaler.memory_mb.map(|mb| mb.saturating_mul(MB)).or_else(memory_limit),
            bounds: JobKind::ALL.map(bounds).to_vec(),
        })
    }
}

/// Runs the processes until `stop`. Then tells all to leave, and returns when they have.
pub(super) async fn run(
    orders: Orders,
    context: Context,
    board: Arc<dyn Noticeboard>,
    stop: CancellationToken,
) {
    let Some(board) = own_part(&context, board, &stop).await else { return };
    let changed = Arc::new(Notify::new());
    let mut crews: Vec<Crew> = orders
        .bounds
        .iter()
        .map(|(kind, ..)| Crew::new(*kind, &orders.program, &orders.flags, changed.clone()))
        .collect();
    let mut memory: Option<(Time, Memory)> = None;
    let mut last: Vec<Option<u32>> = vec![None; crews.len()];
    while !stop.is_cancelled() {
        let now = context.clock.now();
        for crew in &mut crews {
            crew.tidy(now);
        }
        let due = memory.as_ref().is_none_or(|(at, _)| now - *at >= MEMORY_EVERY);
        if let Some(limit) = orders.memory.filter(|_| due) {
            memory = look(&crews, limit).await.map(|memory| (now, memory));
        }
        let wanted = read_wanted(&*board).await;
        let wishes = wishes(&orders, &crews, wanted.as_ref(), &context);
        let given = fleet(&wishes, memory.as_ref().map(|(_, memory)| memory));
        for ((crew, number), last) in crews.iter_mut().zip(given).zip(&mut last) {
            told(crew.kind(), number, last);
            crew.have(number, now);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = changed.notified() => {}
            () = context.clock.sleep(EVERY) => {}
        }
    }
    for crew in &mut crews {
        crew.end(context.clock.now());
    }
    loop {
        let now = context.clock.now();
        crews.iter_mut().for_each(|crew| crew.tidy(now));
        if crews.iter().all(Crew::is_empty) {
            break;
        }
        tokio::select! {
            () = changed.notified() => {}
            () = context.clock.sleep(EVERY) => {}
        }
    }
    info!("every worker process has ended");
}

/// What is wanted of each crew. Where nobody tells it, everything stays as it is.
fn wishes(
    orders: &Orders,
    crews: &[Crew],
    wanted: Option<&Wanted>,
    context: &Context,
) -> Vec<Wish> {
    let scaling = &context.settings.scaling;
    let each = orders.bounds.iter().zip(crews);
    each.map(|((kind, min, max), crew)| {
        let have = crew.number();
        let most = by_cores(*kind, &scaling.most, scaling.cores).unwrap_or(u32::MAX);
        Wish {
            kind: *kind,
            have,
            min: *min,
            max: (*max).min(most.max(*min)),
            wanted: wanted.map_or(have, |wanted| processes(*kind, wanted, &scaling.most)),
        }
    })
    .collect()
}

/// Tells how many there are to be, where that is another number than before.
fn told(kind: JobKind, number: u32, last: &mut Option<u32>) {
    let name = kind.as_str();
    metrics::SCALER_WANTED.of([name.into()]).set(f64::from(number));
    let before = last.replace(number).unwrap_or_default();
    if before != number {
        let way = if number > before { "out" } else { "in" };
        metrics::SCALER_CHANGES.of([name.into(), way.into()]).increment(1);
        info!("{number} processes work on {name} from now on; there were {before}");
    }
}

/// What the processes use of memory; none where nothing tells it.
async fn look(crews: &[Crew], limit: u64) -> Option<Memory> {
    let pids: Vec<u32> = crews.iter().flat_map(Crew::pids).collect();
    let number = pids.len();
    let used = tokio::task::spawn_blocking(move || {
        let own = memory_of(std::process::id());
        // The children are counted with it, since it has started them.
        own.map(|all| (all, pids.into_iter().filter_map(memory_of).sum::<u64>()))
    })
    .await;
    let (used, of_children) = match used {
        Ok(used) => used?,
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "memory was not looked at");
            return None;
        }
    };
    let per_slot = if number > 0 { of_children as f64 / number as f64 } else { GUESS };
    Some(Memory { used, limit, per_slot: per_slot.max(GUESS / 4.0) })
}
