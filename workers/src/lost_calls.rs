//! Requests to models whose process died before it could tell what came of them: they were
//! sent, so they are accounted.

use chrono::TimeDelta;

use crate::context::Context;
use crate::sweep::told;

/// How long after its job's end a request may still be written by whoever sent it.
const AFTER_THE_END: TimeDelta = TimeDelta::seconds(10);
/// How long a request of no job may take: longer than any model is waited for.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// The most that one sweep accounts.
const AT_MOST: u32 = 500;

/// Accounts what nobody will tell of any more.
pub(crate) async fn settle(context: &Context) {
    let now = context.clock.now();
    let settled = context.store.settle_lost_calls(now - AFTER_THE_END, now - LONGEST, AT_MOST);
    told(context, "lost_calls", settled.await);
}
