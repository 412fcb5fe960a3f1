//! What does this process do by the clock? What its configuration has, and what it can do.

use std::sync::Arc;

use quaestor_core::model::{BACKUP, CHECK};
use quaestor_core::ports::store::ScheduleOffer;
use quaestor_workers::{BackupPlan, BackupTask, CheckTask, SchedulePlan, Task};

use crate::config::{Config, Scheduled};

/// Schedules and tasks of a worker. Without a place for backups it leaves theirs to others.
pub(super) fn plan(config: &Config, backups: Option<BackupPlan>) -> SchedulePlan {
    let check = CheckTask {
        read_percent: config.check.read_percent,
        read_at_most: config.check.read_at_most_mb.saturating_mul(1 << 20),
    };
    let mut offers = vec![offer(CHECK, &config.schedules.check)];
    let mut tasks: Vec<Arc<dyn Task>> = vec![Arc::new(check)];
    if let Some(plan) = backups {
        offers.push(offer(BACKUP, &config.schedules.backup));
        tasks.push(Arc::new(BackupTask(plan)));
    }
    SchedulePlan { offers, tasks }
}

fn offer(name: &str, scheduled: &Scheduled) -> ScheduleOffer {
    ScheduleOffer {
        name: name.to_owned(),
        task: name.to_owned(),
        options: serde_json::json!({}),
        timing: scheduled.timing(),
        enabled: scheduled.enabled,
    }
}
