//! Requests to models whose process died before it could tell what came of them: they were
//! sent, so they are accounted.

use chrono::TimeDelta;
use tracing::{info, warn};

use crate::context::Context;

/// How long after its job's end a request may still be written by whoever sent it.
const AFTER_THE_END: TimeDelta = TimeDelta::seconds(10);
/// How long a request of no job may take: longer than any model is waited for.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// The most that one sweep accounts.
const AT_MOST: u32 = 500;

/// Accounts what nobody will tell of any more.
pub(crate) async fn settle(context: &Context) {
    let now = context.clock.now();
    match context.store.settle_lost_calls(now - AFTER_THE_END, now - LONGEST, AT_MOST).await {
        Ok(0) => {}
        Ok(calls) => {
            info!(calls, "{calls} requests to models were lost with their process");
            metrics::counter!("quaestor_lost_calls_total").increment(calls);
        }
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "could not account lost requests");
        }
    }
}
