//! What HTTP and WebSocket do with jobs alike: accept a question, watch, cancel.

mod ask;
mod cancel;
mod export;
mod replay;
mod revive;
mod standing;
mod watch;

use quaestor_core::ids::PrincipalId;
use quaestor_core::model::Caller;

pub(crate) use ask::{Question, accept_question};
pub(crate) use cancel::cancel_job;
pub(crate) use export::{WantedExport, accept_export};
pub(crate) use replay::{Accepted, remember, replay};
pub(crate) use revive::tell_replayed;
pub(crate) use standing::{ShownJob, Standings, shown, shown_one, taking};
pub(crate) use watch::{WatchItem, watch_job, watch_new_job};

/// Whose jobs a caller sees: its own, or everybody's for those who audit.
pub(crate) fn visible_to(caller: &Caller) -> Option<PrincipalId> {
    (!caller.role.may_audit()).then_some(caller.principal_id)
}
