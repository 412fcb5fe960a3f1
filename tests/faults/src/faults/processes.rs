//! Processes that die, stand still, panic, or are told to stop.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use quaestor_core::failpoint;
use quaestor_model_server::Reply;
use rustix::process::Signal;

use super::{BOTH, EMBEDDED, NOWHERE, SERVICES};
use crate::bench::{Bench, Fault};
use crate::beside;
use crate::dice::Dice;
use crate::fleet::Plan;
use crate::place::Settings;
use crate::report::say;
use crate::workload::{Shape, answer_well, reply_well};

/// Nothing happens: what the check says of a good day.
pub(super) const NONE: Fault = Fault {
    name: "none",
    what: "nothing goes wrong",
    expected: "nothing but a clean check",
    kinds: BOTH,
    fast: BOTH,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |_| async { Ok(()) }.boxed(),
};

/// Every process is killed again and again, at fail-points and anywhere else.
pub(super) const KILLS: Fault = Fault {
    name: "kills",
    what: "SIGKILL of every process, at every fail-point and at any other moment (H1 to H10)",
    expected: "every fail-point was died at",
    kinds: BOTH,
    fast: EMBEDDED,
    shape: Shape { clients: 8, words: 20, beside: true, ..Shape::STANDARD },
    settings: beside::SETTINGS,
    inject: |bench| kills(bench).boxed(),
};

/// A worker dies in the middle of an answer.
pub(super) const MID_STREAM: Fault = Fault {
    name: "F01",
    what: "a worker is killed in the middle of an answer, ten times",
    expected: "another worker begins anew within the lease and 5 s",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| at_point(bench, "worker", "generate.mid_stream", 40).boxed(),
};

/// A worker dies while it embeds.
pub(super) const MID_EMBEDDING: Fault = Fault {
    name: "F02",
    what: "a worker is killed in the middle of an embedding, ten times",
    expected: "each passage has one vector",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape {
        upload_every: Some(Duration::from_millis(500)),
        sections: 100,
        ..Shape::STANDARD
    },
    settings: &[],
    inject: |bench| at_point(bench, "worker", "embed.mid_embedding", 6).boxed(),
};

/// The outbox relay dies at each of its points.
pub(super) const RELAY: Fault = Fault {
    name: "F04",
    what: "a relay is killed after it took, after it published, before it marked",
    expected: "another relay takes over",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| relays(bench).boxed(),
};

/// A front dies under its sockets.
pub(super) const FRONT: Fault = Fault {
    name: "F05",
    what: "a front is killed under its sockets, five times",
    expected: "99.9 % of the streams resume in 10 s",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape { clients: 48, upload_every: None, ..Shape::STANDARD },
    settings: &[],
    inject: |bench| fronts(bench).boxed(),
};

/// A worker stands still for longer than its lease, and goes on.
pub(super) const FROZEN: Fault = Fault {
    name: "F06",
    what: "a worker is stopped for three leases (12 s) and continued",
    expected: "what it still wants to write is refused, and its jobs have ended elsewhere",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| frozen(bench).boxed(),
};

/// A handler panics.
pub(super) const PANIC: Fault = Fault {
    name: "F07",
    what: "handlers panic at each of their points",
    expected: "no process ends, and each job is tried again",
    kinds: BOTH,
    fast: EMBEDDED,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| panics(bench).boxed(),
};

/// What is asked for fails, or its answer is lost.
pub(super) const ERRORS: Fault = Fault {
    name: "errors",
    what: "writes fail or their answers are lost, publications and acknowledgements too (H2 to H8)",
    expected: "no try is used up by it, nothing is done twice",
    kinds: BOTH,
    fast: EMBEDDED,
    shape: Shape { upload_every: Some(Duration::from_millis(1_500)), ..Shape::STANDARD },
    // Fewer tries than errors that one job may meet.
    settings: &[("QUAESTOR_JOBS__MAX_ATTEMPTS", "3")],
    inject: |bench| errors(bench).boxed(),
};

/// Every process is told to stop, one after another.
pub(super) const DRAIN: Fault = Fault {
    name: "F50",
    what: "SIGTERM to every process under load, one after another",
    expected: "each exits with 0 in 35 s",
    kinds: BOTH,
    fast: BOTH,
    shape: Shape::STANDARD,
    settings: &[("QUAESTOR_WORKERS__DRAIN_S", "5")],
    inject: |bench| drains(bench).boxed(),
};

/// Who has not come to its fail-point for so long is killed wherever it is. Sweeps come every
/// five seconds.
const PATIENT_WITH_A_PLAN: Duration = Duration::from_secs(8);

/// The points that a process of this role comes to.
fn points_of(role: &str) -> Vec<&'static str> {
    let fits = |name: &&&'static str| {
        // Old files, whole installations, what is done by the clock, a cancelled batch, a parse of
        // ten minutes, and documents that are read or cut anew are not what a day under load is
        // about.
        let beside = [
            "move.",
            "backup.",
            "restore.",
            "schedule.",
            "check.",
            "batch.",
            "ingest.before_keep",
            "ingest.before_next",
            "reindex.before_reading",
            "reindex.after_reading",
            "sweep.after_delete",
        ];
        if beside.iter().any(|area| name.starts_with(area)) {
            return false;
        }
        let area = name.split('.').next().unwrap_or_default();
        let of_front = name.ends_with("_accept");
        match role {
            "front" => of_front || ["relay", "socket"].contains(&area),
            "worker" => !of_front && area != "socket",
            // At its start one process takes up all there is: no lease is left to run out.
            _ => **name != "sweep.after_requeue",
        }
    };
    failpoint::NAMES.iter().filter(fits).copied().collect()
}

fn fail_at(plan: String) -> Settings {
    vec![("QUAESTOR_FAIL_AT".to_owned(), plan)]
}

async fn kills(bench: &mut Bench) -> anyhow::Result<()> {
    let wanted = bench.times(40);
    let dice = Arc::new(Mutex::new(bench.dice.part(1)));
    let rounds: Arc<Mutex<HashMap<&'static str, Vec<&'static str>>>> = Arc::default();
    let plan: Plan = Arc::new(move |role, _| {
        let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rounds = rounds.lock().unwrap_or_else(PoisonError::into_inner);
        // Each point comes before any comes again.
        let left = rounds.entry(role).or_default();
        if left.is_empty() {
            *left = points_of(role);
        }
        let at = dice.between(0, left.len() as u64);
        let point = left.swap_remove(usize::try_from(at).unwrap_or(0));
        // What is met all the time is let pass a few times.
        let most = match point {
            "generate.mid_stream" => 200,
            sweep if sweep.starts_with("sweep.") => 2,
            // One takes as long as all the others of its kind together.
            "reindex.before_switch" => 1,
            _ => 4,
        };
        fail_at(format!("{point}:{}=kill", dice.between(1, most)))
    });
    bench.fleet.set_plan(plan).await;
    // Some requests fail one after another, so that steps are put off as well.
    let (shape, number) = (bench.shape, AtomicU64::new(0));
    bench.model.respond(move |request| match number.fetch_add(1, Ordering::Relaxed) % 60 {
        0..8 => Reply::error(500, "server_error"),
        _ => reply_well(request, shape),
    });
    let every: BTreeSet<&str> =
        bench.fleet.all().iter().flat_map(|seat| points_of(seat.role)).collect();
    let mut met: BTreeSet<&str> = BTreeSet::new();
    let begun = Instant::now();
    let limit = Duration::from_secs(240) + Duration::from_secs(3) * u32::try_from(wanted)?;
    let mut dice = bench.dice.part(2);
    let mut anywhere = 0;
    while bench.fleet.restarts() < wanted || met.len() < every.len() {
        // Who does not come to its point for long is killed wherever it is.
        tokio::time::sleep(Duration::from_millis(dice.between(300, 1_500))).await;
        if let Some(seat) = dice.pick(bench.fleet.all())
            && let Some(process) = seat.process().await
            && process.age() > PATIENT_WITH_A_PLAN
        {
            process.signal(Signal::KILL);
            anywhere += 1;
        }
        for seat in bench.fleet.all() {
            let log = std::fs::read_to_string(&seat.log).unwrap_or_default();
            met.extend(
                every
                    .iter()
                    .copied()
                    .filter(|point| log.contains(&format!("fail-point {point} kills"))),
            );
        }
        if let Some(broken) = bench.fleet.broken().await {
            anyhow::bail!("a process cannot be started again: {broken}");
        }
        if begun.elapsed() > limit {
            break;
        }
    }
    let kills = bench.fleet.restarts();
    answer_well(&bench.model, bench.shape);
    bench.fleet.start_anew().await?;
    bench.at_least("kills", kills as f64, wanted as f64);
    bench.figure("of these anywhere", f64::from(anywhere));
    let missed: Vec<&&str> = every.iter().filter(|point| !met.contains(*point)).collect();
    if !missed.is_empty() {
        say(&format!("     nobody died at {missed:?}"));
    }
    bench.at_least("fail-points died at", met.len() as f64, every.len() as f64);
    Ok(())
}

/// The processes of a role die at one point, some ten times.
async fn at_point(
    bench: &mut Bench,
    role: &'static str,
    point: &'static str,
    spread: u64,
) -> anyhow::Result<()> {
    let wanted = bench.times(10);
    let dice = Mutex::new(bench.dice.part(1));
    bench
        .fleet
        .set_plan(Arc::new(move |started, _| {
            if started != role && started != "serve" {
                return Vec::new();
            }
            let time = dice.lock().unwrap_or_else(PoisonError::into_inner).between(1, spread);
            fail_at(format!("{point}:{time}=kill"))
        }))
        .await;
    let before = bench.fleet.restarts();
    // Those that run have no plan yet.
    for seat in bench.fleet.seats(role) {
        if let Some(process) = seat.process().await {
            process.kill().await;
        }
    }
    wait_for_restarts(bench, before + wanted).await?;
    bench.fleet.start_anew().await?;
    bench.figure("kills", (bench.fleet.restarts() - before) as f64);
    Ok(())
}

async fn wait_for_restarts(bench: &Bench, wanted: u64) -> anyhow::Result<()> {
    let begun = Instant::now();
    while bench.fleet.restarts() < wanted {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let seen = bench.fleet.restarts();
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(180), "only {seen} of {wanted} died");
    }
    Ok(())
}

async fn relays(bench: &mut Bench) -> anyhow::Result<()> {
    for point in ["relay.after_take", "relay.after_publish", "relay.before_mark"] {
        let before = bench.fleet.restarts();
        let left = AtomicU64::new(2);
        bench
            .fleet
            .set_plan(Arc::new(move |_, _| {
                let more =
                    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                if more.is_ok() { fail_at(format!("{point}:2=kill")) } else { Vec::new() }
            }))
            .await;
        let first = bench.fleet.one("front", 0).await?;
        first.kill().await;
        wait_for_restarts(bench, before + 2).await?;
    }
    bench.fleet.start_anew().await
}

async fn fronts(bench: &mut Bench) -> anyhow::Result<()> {
    for number in 0..bench.times(5) {
        let front = bench.fleet.one("front", usize::try_from(number)?).await?;
        front.kill().await;
        bench.fleet.wait_whole(Duration::from_secs(30)).await?;
        bench.progress(bench.shape.clients as u64).await?;
    }
    let mut resumed: Vec<Duration> = {
        let book = bench.workload.ledger.book();
        book.asked.iter().flat_map(|asked| asked.resumed_in.iter().copied()).collect()
    };
    anyhow::ensure!(!resumed.is_empty(), "no stream was cut: the fault did not happen");
    let late = resumed.iter().filter(|took| **took > Duration::from_secs(10)).count();
    let share = 100.0 * (resumed.len() - late) as f64 / resumed.len() as f64;
    bench.at_least("streams resumed in 10 s, %", share, 99.9);
    let worst = crate::report::percentile(&mut resumed, 100);
    bench.figure("slowest resume s", worst);
    Ok(())
}

async fn frozen(bench: &mut Bench) -> anyhow::Result<()> {
    let lease = Duration::from_secs(4);
    let mut refused = 0;
    for number in 0..bench.times(2) {
        let worker = bench.fleet.one("worker", usize::try_from(number)?).await?;
        let before = worker.says("is run by another worker");
        worker.signal(Signal::STOP);
        tokio::time::sleep(3 * lease).await;
        worker.signal(Signal::CONT);
        let until = Instant::now() + Duration::from_secs(20);
        while worker.says("is run by another worker") == before && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        refused += worker.says("is run by another worker") - before;
    }
    bench.at_least("late writes refused", refused as f64, 1.0);
    Ok(())
}

async fn panics(bench: &mut Bench) -> anyhow::Result<()> {
    // Apart from each other, and among the workers: a step that panics three times is given up.
    let points = [
        "retrieve.before_save:2",
        "retrieve.after_save:5",
        "generate.before_call:2",
        "generate.mid_stream:300",
        "generate.before_save:9",
        "ingest.mid_parse:1",
        "ingest.before_switch:2",
        "embed.before_save:2",
        "embed.before_finish:2",
    ];
    let workers = bench.fleet.seats("worker").len();
    let started = AtomicUsize::new(0);
    let of_worker = move |worker: usize| {
        let own = points.iter().skip(worker % workers).step_by(workers);
        own.map(|point| format!("{point}=panic")).collect::<Vec<_>>().join(",")
    };
    bench
        .fleet
        .set_plan(Arc::new(move |role, _| match role {
            "front" => Vec::new(),
            _ => fail_at(of_worker(started.fetch_add(1, Ordering::Relaxed))),
        }))
        .await;
    for seat in bench.fleet.seats("worker") {
        if let Some(process) = seat.process().await {
            process.kill().await;
        }
    }
    bench.fleet.wait_whole(Duration::from_secs(30)).await?;
    let before = bench.fleet.restarts();
    let seats = bench.fleet.seats("worker");
    let until = Instant::now() + Duration::from_secs(90);
    let mut panics = 0;
    while Instant::now() < until && panics < points.len() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        panics = 0;
        for seat in &seats {
            if let Some(process) = seat.process().await {
                panics += process.says("the step panicked");
            }
        }
    }
    let ended = bench.fleet.restarts() - before;
    bench.at_least("panics", panics as f64, points.len() as f64);
    bench.at_most("processes that ended", ended as f64, 0.0);
    bench.fleet.start_anew().await
}

/// Where the code can fail, with how often it does: what is met for every job every few times,
/// what is met once by each document twice at once.
const FAILING: [(&str, &[u64]); 12] = [
    ("relay.before_publish", &[3, 9, 27]),
    ("relay.after_publish", &[4, 12, 36]),
    ("relay.before_mark", &[2, 8, 24]),
    ("worker.before_claim", &[5, 15, 45]),
    ("worker.before_ack", &[3, 13, 33]),
    ("retrieve.before_save", &[2, 3, 4, 5, 6]),
    ("retrieve.after_save", &[3, 9, 20]),
    ("generate.before_save", &[2, 3, 4, 5, 6]),
    ("ingest.mid_parse", &[1, 2, 3, 4]),
    ("ingest.before_switch", &[1, 2]),
    ("ingest.after_switch", &[1, 3]),
    ("embed.before_save", &[1, 2, 3, 4]),
];

async fn errors(bench: &mut Bench) -> anyhow::Result<()> {
    let plan: Vec<String> = FAILING
        .iter()
        .flat_map(|(point, times)| times.iter().map(move |time| format!("{point}:{time}=error")))
        .collect();
    let plan = plan.join(",");
    bench.fleet.start_anew_with(Arc::new(move |_, _| fail_at(plan.clone()))).await?;
    let until = Instant::now() + Duration::from_secs(90);
    let mut met: BTreeSet<&str> = BTreeSet::new();
    let mut errors = 0;
    while Instant::now() < until && met.len() < FAILING.len() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        errors = 0;
        for seat in bench.fleet.all() {
            let log = std::fs::read_to_string(&seat.log).unwrap_or_default();
            for (point, _) in FAILING {
                let times = log.matches(&format!("fail-point {point} fails")).count();
                errors += times;
                if times > 0 {
                    met.insert(point);
                }
            }
        }
    }
    bench.progress(2 * bench.shape.clients as u64).await?;
    bench.figure("errors", errors as f64);
    bench.at_least("fail-points failed at", met.len() as f64, FAILING.len() as f64);
    bench.fleet.start_anew().await
}

async fn drains(bench: &mut Bench) -> anyhow::Result<()> {
    let mut slowest = Duration::ZERO;
    let mut badly = 0;
    for seat in bench.fleet.all().to_vec() {
        let Some(process) = seat.process().await else { continue };
        let told_at = Instant::now();
        process.signal(Signal::TERM);
        while !process.has_ended() && told_at.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(told_at.elapsed());
        if process.exit_code() != Some(0) {
            badly += 1;
        }
        bench.fleet.wait_whole(Duration::from_secs(30)).await?;
        bench.progress(bench.shape.clients as u64 / 2).await?;
    }
    bench.at_most("slowest exit s", slowest.as_secs_f64(), 35.0);
    bench.at_most("exits other than 0", f64::from(badly), 0.0);
    Ok(())
}

/// Chooses a process and kills it; for the soak.
pub(super) async fn kill_any(bench: &Bench, dice: &mut Dice) {
    if let Some(seat) = dice.pick(bench.fleet.all())
        && let Some(process) = seat.process().await
    {
        process.signal(Signal::KILL);
    }
}

/// Holds a worker still for a while; for the soak.
pub(super) async fn freeze_any(bench: &Bench, dice: &mut Dice) {
    let seats = bench.fleet.seats("worker");
    if let Some(seat) = dice.pick(&seats)
        && let Some(process) = seat.process().await
    {
        process.signal(Signal::STOP);
        tokio::time::sleep(Duration::from_secs(dice.between(2, 10))).await;
        process.signal(Signal::CONT);
    }
}

/// Tells a process to stop; for the soak.
pub(super) async fn drain_any(bench: &Bench, dice: &mut Dice) {
    if let Some(seat) = dice.pick(bench.fleet.all())
        && let Some(process) = seat.process().await
    {
        process.signal(Signal::TERM);
    }
}
