//! A job is wished cancelled.

use quaestor_core::events::Event;
use quaestor_core::ids::JobId;
use quaestor_core::model::{Caller, Job};
use quaestor_core::ports::store::CancelOutcome;

use super::visible_to;
use crate::app::App;
use crate::problem::{ApiError, chain};

/// Wishes a job cancelled and tells how it stands then. A job that has ended stays as
/// it is, and so wishing twice is harmless.
pub(crate) async fn cancel_job(app: &App, caller: &Caller, id: JobId) -> Result<Job, ApiError> {
    let audit = app.audit(caller, "job.cancel", id);
    let now = app.front.clock.now();
    let outcome = app
        .front
        .store
        .request_cancel(caller.workspace_id, visible_to(caller), id, now, audit)
        .await?;
    match outcome {
        None => Err(ApiError::missing("job", id)),
        Some(CancelOutcome::Ended(job)) => Ok(job),
        Some(CancelOutcome::Requested(job)) => {
            if let Err(error) = app.front.events.request_cancel(caller.workspace_id, id).await {
                // The worker finds the wish at its next heartbeat.
                tracing::warn!(job.id = %id, error = %chain(&error), "a cancel will take longer");
            }
            Ok(job)
        }
        Some(CancelOutcome::Cancelled(job)) => {
            // No worker will write the end of this job, so it is written here. The job
            // has ended: no claim can take the number after its last attempt.
            app.append_event(caller, id, job.attempt + 1, Event::Cancelled).await;
            Ok(job)
        }
    }
}
