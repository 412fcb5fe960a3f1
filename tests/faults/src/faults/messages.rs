//! Messages that come more than once.

use std::time::{Duration, Instant};

use futures::FutureExt;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::BOTH;
use crate::bench::{Bench, Fault};
use crate::place::Kind;
use crate::workload::Shape;

/// Every message is published again and again.
pub(super) const DUPLICATES: Fault = Fault {
    name: "F45",
    what: "the message of every unfinished job is published again, five times a second for 15 s",
    expected: "each job is run once",
    kinds: BOTH,
    fast: BOTH,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| duplicates(bench).boxed(),
};

/// What a relay finds is what it publishes: rows that count as unsent are sent once more.
const SEND_AGAIN: &str = "UPDATE outbox SET sent_at = NULL, due_at = 0
     WHERE sent_at IS NOT NULL AND job_id IN (SELECT id FROM jobs WHERE state <> 'waiting')";

async fn duplicates(bench: &mut Bench) -> anyhow::Result<()> {
    let url = bench.place.database_url()?;
    let until = Instant::now() + Duration::from_secs(15);
    let mut again = 0;
    while Instant::now() < until {
        again += match bench.place.kind {
            Kind::Embedded => {
                let file = url.trim_start_matches("sqlite:");
                let options = SqliteConnectOptions::new().filename(file);
                let options = options.busy_timeout(Duration::from_secs(20));
                let mut connection = options.connect().await?;
                sqlx::query(SEND_AGAIN).execute(&mut connection).await?.rows_affected()
            }
            Kind::Services => {
                let mut connection = PgConnection::connect(&url).await?;
                sqlx::query(SEND_AGAIN).execute(&mut connection).await?.rows_affected()
            }
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bench.at_least("messages sent again", again as f64, 20.0);
    let restarted = {
        let book = bench.workload.ledger.book();
        let events = book.asked.iter().flat_map(|asked| &asked.events);
        events.filter(|event| event.kind == "restarted").count()
    };
    bench.at_most("steps run again", restarted as f64, 0.0);
    Ok(())
}
