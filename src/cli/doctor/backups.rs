//! Backups and stored files: is there a backup that is young enough, and is every file there?

use std::sync::Arc;

use quaestor_core::clock::{Clock, Time};
use quaestor_core::model::Timing;
use quaestor_core::ports::store::{BackupRun, BackupState};
use quaestor_core::schedule::Timetable;

use super::{Finding, bounded, ok, warn};
use crate::app;
use crate::config::Config;

/// How many backups are looked at for the last one that is kept.
const LOOK_BACK: u32 = 50;
/// How many files are looked at: a sample, since each asks the storage once.
const FILES: u64 = 1_000;
/// So many missing files are named.
const NAMED: usize = 5;

pub(super) async fn look(config: &Config, clock: &Arc<dyn Clock>, findings: &mut Vec<Finding>) {
    let (backups, files) = tokio::join!(
        bounded("backup", clock, backups(config, clock)),
        bounded("files", clock, files(config, clock)),
    );
    findings.extend(backups);
    findings.extend(files);
}

async fn backups(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Vec<Finding>> {
    let subject = "backup";
    let Some((runs, schedule)) = app::backup_history(config, clock.clone(), LOOK_BACK).await?
    else {
        return Ok(vec![ok(subject, "there is nothing to back up yet")]);
    };
    let last = runs.iter().find(|run| run.state == BackupState::Done);
    let mut findings = vec![match (&config.backup.target_url, last) {
        (None, None) => ok(
            subject,
            "none is configured: `backup.target_url` (QUAESTOR_BACKUP_URL) says where to, and \
             README.md (Backup and restore) how",
        ),
        (None, Some(last)) => ok(subject, format!("by hand, the last one {}", of(last))),
        (Some(_), None) => warn(
            subject,
            "none was made yet: is a worker running? `quaestor backup` makes one at once",
        ),
        (Some(_), Some(last)) => {
            let paused = schedule.as_ref().is_some_and(|schedule| schedule.paused_at.is_some());
            let configured = config.schedules.backup.timing();
            let timing = schedule.map_or(configured, |schedule| schedule.timing);
            if paused {
                let told = format!(
                    "the last one is {}, and the schedule is paused: `quaestor schedules resume \
                     backup` has them made again",
                    of(last)
                );
                warn(subject, told)
            } else if is_late(&timing, last.began_at, clock.now()) {
                let told = format!(
                    "the last one is {}, and two that were due since were not made: see why with \
                     `quaestor schedules runs backup`, or run `quaestor backup`",
                    of(last)
                );
                warn(subject, told)
            } else {
                ok(subject, format!("the last one {}", of(last)))
            }
        }
    }];
    if let Some(failed) = runs.first().filter(|run| run.state == BackupState::Failed) {
        let why = failed.error.as_deref().unwrap_or("for no reason that it told");
        let at = failed.began_at.format("%F %R UTC");
        findings.push(warn(subject, format!("the one of {at} failed: {why}")));
    }
    if let Some(last) = last.filter(|last| last.damaged > 0) {
        let told = format!(
            "the last one is without {} files, which were missing or damaged before",
            last.damaged
        );
        findings.push(warn(subject, told));
    }
    Ok(findings)
}

/// Whether two moments of a schedule have passed since the last backup.
fn is_late(timing: &Timing, last: Time, now: Time) -> bool {
    Timetable::new(&timing.cron, &timing.zone, last)
        .ok()
        .and_then(|timetable| timetable.after(timetable.after(last)?))
        .is_some_and(|second| second < now)
}

fn of(run: &BackupRun) -> String {
    let at = run.began_at.format("%F %R UTC");
    format!("of {at}, {}, at {}", crate::cli::size(run.size_bytes), run.place)
}

async fn files(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Vec<Finding>> {
    let Some(looked) = app::missing_files(config, clock.clone(), FILES).await? else {
        return Ok(Vec::new());
    };
    if looked.missing.is_empty() {
        let told = format!("every one of {} that were looked at is there", looked.files);
        return Ok(vec![ok("files", told)]);
    }
    let named = looked.missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let told = format!(
        "{} of {} are gone ({named}): restore them from a backup, or delete their documents",
        looked.missing.len(),
        looked.files
    );
    Ok(vec![warn("files", told)])
}
