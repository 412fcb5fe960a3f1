//! Upkeep: what the store and the objects need from time to time, and nobody waits for.

use std::time::Duration;

use chrono::TimeDelta;
use quaestor_core::clock::Time;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;
use crate::sweep::told;

/// How often the store is asked to see to itself.
const STORE_EVERY: Duration = Duration::from_mins(1);
/// How often unfinished uploads are looked for.
const OBJECTS_EVERY: TimeDelta = TimeDelta::hours(1);
/// An upload that has taken longer was left by a process that died.
const UPLOAD_AT_MOST: Duration = Duration::from_hours(24);

/// Does the upkeep until `stop`. What is under way then is broken off: it is taken up
/// again by the next process.
pub async fn run_upkeep(context: Context, stop: CancellationToken) {
    let upkeep = async {
        let mut objects_at = context.clock.now();
        loop {
            if let Err(error) = context.store.upkeep().await {
                warn!(error = &error as &dyn std::error::Error, "the store's upkeep failed");
            }
            objects_at = sweep_objects(&context, objects_at).await;
            context.clock.sleep(STORE_EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = upkeep => {}
    }
}

/// Sweeps the objects if it is time, and says when it is time again.
async fn sweep_objects(context: &Context, due: Time) -> Time {
    let now = context.clock.now();
    if now < due {
        return due;
    }
    let swept = context.objects.sweep(UPLOAD_AT_MOST).await;
    let uploads = told(context, "unfinished_uploads", swept);
    if uploads > 0 {
        info!(uploads, "removed {uploads} uploads that were never finished");
    }
    now + OBJECTS_EVERY
}
