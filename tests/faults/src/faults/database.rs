//! PostgreSQL restarts, is locked, or the network to it breaks.

use std::time::Duration;

use futures::FutureExt;
use sqlx::{Connection, PgConnection};

use super::{NOWHERE, SERVICES};
use crate::bench::{Bench, Fault};
use crate::proxy::Network;
use crate::workload::Shape;

/// It is restarted, in order and by SIGKILL.
pub(super) const RESTART: Fault = Fault {
    name: "F32",
    what: "PostgreSQL is restarted and killed under load, by turns",
    expected: "errors during the outage alone; every acceptance that was given holds",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| restarts(bench).boxed(),
};

/// Somebody holds the table of jobs.
pub(super) const LOCKED: Fault = Fault {
    name: "F35",
    what: "LOCK TABLE jobs for 10 s, as a migration may",
    expected: "nobody waits for ever, and all goes on",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| locked(bench).boxed(),
};

/// Every connection is reset.
pub(super) const CUT: Fault = Fault {
    name: "F32b",
    what: "every connection to PostgreSQL is reset, ten times",
    expected: "a commit whose answer was lost is neither lost nor done twice",
    kinds: SERVICES,
    fast: SERVICES,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| cut(bench).boxed(),
};

/// The connection is there and nothing comes.
pub(super) const HALF_OPEN: Fault = Fault {
    name: "F32c",
    what: "what PostgreSQL says does not arrive for 10 s (half-open connections)",
    expected: "a commit whose answer is late is neither lost nor done twice",
    kinds: SERVICES,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| half_open(bench).boxed(),
};

async fn restarts(bench: &mut Bench) -> anyhow::Result<()> {
    super::restarts_of(bench, "postgres", bench.times(2)).await
}

async fn locked(bench: &mut Bench) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&bench.place.database_url()?).await?;
    let mut lock = connection.begin().await?;
    sqlx::query("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    lock.rollback().await?;
    Ok(())
}

async fn cut(bench: &mut Bench) -> anyhow::Result<()> {
    let mut dice = bench.dice.part(3);
    for _ in 0..bench.times(10) {
        tokio::time::sleep(Duration::from_millis(dice.between(200, 900))).await;
        bench.place.network()?.postgres.cut();
    }
    Ok(())
}

async fn half_open(bench: &mut Bench) -> anyhow::Result<()> {
    bench.place.network()?.postgres.set(Network::HalfOpen);
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.place.network()?.postgres.set(Network::Good);
    Ok(())
}
