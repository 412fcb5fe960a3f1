//! What jobs do: the handlers of every step, the loop that runs them, the outbox relay
//! and the sweeps.
//!
//! Handlers know the ports alone. They are private to this package: the front cannot
//! call one, it can only put a job into the store.

mod answer_cache;
mod backups;
mod check;
mod consume;
mod context;
mod dead_messages;
mod decision;
mod emitter;
mod fair;
mod following;
mod frame;
pub mod grounding;
mod handlers;
mod lost_calls;
mod parse_process;
mod presence;
mod prompt;
mod registry;
mod relay;
mod render_process;
mod reparse;
mod run;
mod scaling;
mod schedules;
mod seal;
mod settle;
mod sweep;
mod sweep_files;
mod upkeep;
mod vectors;

pub use answer_cache::AnswerCache;
pub use backups::{
    BackupPlan, BackupTask, MadeBackup, NoBackup, ScratchFile, make_backup, tell_backups,
};
pub use check::CheckTask;
pub use context::{Context, Settings, Slots};
pub use handlers::export::ExportSettings;
pub use parse_process::ParseProcess;
pub use presence::tell_presence;
pub use relay::run_relay;
pub use render_process::RenderProcess;
pub use reparse::run_reparse;
pub use run::{Drain, run_workers};
pub use scaling::{
    Places, ScalingSettings, Work, memory_limit, memory_of, own_part, read_wanted, run_scaling,
};
pub use schedules::{SchedulePlan, Task, TaskError, Work as TaskWork, run_schedules};
pub use seal::run_sealing;
pub use sweep::run_sweeps;
pub use sweep_files::run_file_sweeps;
pub use upkeep::run_upkeep;
