//! The provider of models fails, goes away, or breaks answers off.

use std::time::{Duration, Instant};

use futures::FutureExt;
use quaestor_model_server::{Cut, Hangup, Operation, Reply};

use super::{BOTH, NOWHERE};
use crate::bench::{Bench, Fault};
use crate::proxy::Network;
use crate::workload::{Shape, answer_well, reply_well};

/// It answers with errors.
pub(super) const ERRORS: Fault = Fault {
    name: "F22",
    what: "the provider answers 500 to everything for 15 s",
    expected: "every question is answered after it",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| errors(bench).boxed(),
};

/// It cannot be reached.
pub(super) const AWAY: Fault = Fault {
    name: "F23",
    what: "connections to the provider are reset for 10 s",
    expected: "answers that had begun begin anew",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| away(bench).boxed(),
};

/// It breaks every third answer off.
pub(super) const CUT: Fault = Fault {
    name: "F24",
    what: "every third answer is cut off in the middle, by a reset or an orderly end, for 15 s",
    expected: "no cut answer counts as whole",
    kinds: BOTH,
    fast: NOWHERE,
    shape: Shape::STANDARD,
    settings: &[],
    inject: |bench| cut(bench).boxed(),
};

async fn errors(bench: &mut Bench) -> anyhow::Result<()> {
    bench.model.respond(|_| Reply::error(500, "server_error"));
    tokio::time::sleep(Duration::from_secs(15)).await;
    answer_well(&bench.model, bench.shape);
    Ok(())
}

async fn away(bench: &mut Bench) -> anyhow::Result<()> {
    bench.model_network.set(Network::Down);
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.model_network.set(Network::Good);
    Ok(())
}

async fn cut(bench: &mut Bench) -> anyhow::Result<()> {
    let shape = bench.shape;
    let number = std::sync::atomic::AtomicU64::new(0);
    bench.model.respond(move |request| {
        let reply = reply_well(request, shape);
        if request.operation != Operation::Chat {
            return reply;
        }
        match number.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 6 {
            2 => reply.cut(Cut::AfterTokens(7, Hangup::Reset)),
            5 => reply.cut(Cut::AfterTokens(11, Hangup::Fin)),
            _ => reply,
        }
    });
    let until = Instant::now() + Duration::from_secs(15);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    answer_well(&bench.model, shape);
    Ok(())
}
