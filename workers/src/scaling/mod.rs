//! How many jobs of each step this process takes at once, and who says so.
//!
//! Every process tells what it has done (`work`). One of all processes, which holds a lease of
//! the noticeboard, looks at the store and tells what is wanted (`lead`). Each process takes its
//! share of that, as far as its memory and cores allow (`share`), and what it has is known to
//! whoever takes messages (`places`).

mod lead;
mod machine;
mod places;
mod share;
mod work;

use std::sync::Arc;
use std::time::Duration;

use quaestor_core::jobs::Step;
use quaestor_core::ports::noticeboard::{Noticeboard, PartOfBoard};
use quaestor_core::scaling::PerStep;
use quaestor_core::scaling::notice::{WANTED_TOPIC, WORKED_TOPIC, Wanted, Worked};
use quaestor_core::scaling::plan::Aim;
use quaestor_core::scaling::steady::Pace;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use machine::{memory_limit, memory_of};
pub use places::Places;
pub use work::Work;

use crate::context::Context;
use lead::Lead;
use share::Share;

/// How often each of it is done.
const EVERY: Duration = Duration::from_secs(1);
/// How long what is told stands unless it is renewed.
const KEPT: Duration = Duration::from_secs(10);

/// What the scaling of a process goes by.
#[derive(Clone, Debug)]
pub struct ScalingSettings {
    /// What each queue is to be like.
    pub aims: PerStep<Aim>,
    /// How fast what is wanted follows the load.
    pub pace: Pace,
    /// The most slots of each step in this process; the least are its [`crate::Slots`].
    pub most: PerStep<u16>,
    /// What the process may use of memory, in bytes; none where nothing limits it.
    pub memory: Option<u64>,
    /// Cores.
    pub cores: u16,
}

impl Default for ScalingSettings {
    fn default() -> Self {
        let aim = Aim { wait_s: 600.0, guess_s: 1.0, budget: None, guess_tokens: 0.0 };
        Self {
            aims: PerStep::of_each(|_| aim.clone()),
            pace: Pace::after(Duration::from_secs(300)),
            most: PerStep::of_each(|_| 1),
            memory: None,
            cores: 1,
        }
    }
}

/// Tells, leads and takes its share until `end`. From `leave` on, this process takes nothing
/// more: it tells so, and what it still does.
pub async fn run_scaling(
    context: Context,
    steps: Vec<Step>,
    board: Arc<dyn Noticeboard>,
    leave: CancellationToken,
    end: CancellationToken,
) {
    let Some(board) = own_part(&context, board, &end).await else { return };
    let mut lead = Lead::new(board.clone());
    let mut share = Share::new(&steps);
    while !end.is_cancelled() {
        let takes = !leave.is_cancelled();
        if !steps.is_empty() {
            let worked = serde_json::json!(context.work.told(&steps, takes));
            board.post(WORKED_TOPIC, context.worker_id, worked, KEPT).await;
        }
        let worked = read::<Vec<Worked>>(&*board, WORKED_TOPIC).await;
        if let Some(worked) = &worked {
            lead.go_on(&context, worked).await;
        }
        if takes && !steps.is_empty() {
            let wanted = read::<Wanted>(&*board, WANTED_TOPIC).await.and_then(latest);
            share.take(&context, wanted.as_ref(), &worked.unwrap_or_default()).await;
        }
        tokio::select! {
            () = end.cancelled() => {}
            () = context.clock.sleep(EVERY) => {}
        }
    }
    lead.give_up(&context).await;
}

/// The installation's own part of the noticeboard, by its first workspace: another one that
/// shares the server has another leader, and wants something else. None once `end` comes
/// before there is a workspace.
pub async fn own_part(
    context: &Context,
    board: Arc<dyn Noticeboard>,
    end: &CancellationToken,
) -> Option<Arc<dyn Noticeboard>> {
    let mut told = false;
    while !end.is_cancelled() {
        match context.store.first_workspace().await {
            Ok(Some(first)) => return Some(Arc::new(PartOfBoard::new(board, first))),
            Ok(None) => {}
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    let error = &error as &dyn std::error::Error;
                    warn!(error, "it is not known whose slots are reckoned; it is tried again");
                }
            }
        }
        tokio::select! {
            () = end.cancelled() => {}
            () = context.clock.sleep(EVERY) => {}
        }
    }
    None
}

/// What is wanted, as it was told last.
pub async fn read_wanted(board: &dyn Noticeboard) -> Option<Wanted> {
    read::<Wanted>(board, WANTED_TOPIC).await.and_then(latest)
}

/// The notices under a topic that can be read; none where the board cannot.
async fn read<T: serde::de::DeserializeOwned>(
    board: &dyn Noticeboard,
    topic: &str,
) -> Option<Vec<(quaestor_core::ids::WorkerId, T)>> {
    let notices = match board.read(topic).await {
        Ok(notices) => notices,
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "what is {topic} cannot be read");
            return None;
        }
    };
    // A notice of a later version that this one cannot read is none.
    let read = |(process, notice)| Some((process, serde_json::from_value(notice).ok()?));
    Some(notices.into_iter().filter_map(read).collect())
}

/// What was told last: a process that led before may have its notice up still.
fn latest(told: Vec<(quaestor_core::ids::WorkerId, Wanted)>) -> Option<Wanted> {
    told.into_iter().map(|(_, wanted)| wanted).max_by_key(|wanted| wanted.at)
}
