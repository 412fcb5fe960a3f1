//! What is done by the clock: each moment makes one run, and each run has one worker.

use async_trait::async_trait;
use chrono::TimeDelta;
use quaestor_core::clock::Time;
use quaestor_core::ids::WorkspaceId;
use quaestor_core::model::{Page, PageRequest, RunState, Schedule, ScheduleRun, Timing};
use quaestor_core::ports::store::{
    Asked, ClaimedRun, Fired, HeldRun, Moment, NewAuditEntry, RunEnd, ScheduleChange,
    ScheduleOffer, Schedules, StoreError,
};
use serde_json::Value;
use sqlx::Row;
use uuid::Uuid;

use super::connections::Commit;
use super::dialect::{self, DbConnection, DbRow, DbStore, INSTALLATION, for_update, skip_locked};
use super::fault::{Fault, during};
use super::{audit, rows};

/// So long, in days, a run is remembered.
const REMEMBERED_DAYS: i64 = 90;

/// The columns that [`run`] reads.
macro_rules! run_columns {
    () => {
        "r.id, r.schedule, r.task, r.options, r.due_at, r.state, r.tries, r.queued_at, r.began_at, \
         r.ended_at, r.error, r.report"
    };
}

/// The same of a row that was just changed: SQLite knows it there by no other name.
macro_rules! returned_columns {
    () => {
        "id, schedule, task, options, due_at, state, tries, queued_at, began_at, ended_at, error, \
         report, attempt, checkpoint"
    };
}

fn run(row: &DbRow) -> Result<ScheduleRun, Fault> {
    Ok(ScheduleRun {
        id: row.try_get("id")?,
        schedule: row.try_get("schedule")?,
        task: row.try_get("task")?,
        options: rows::from_json(row, "options")?,
        due_at: rows::optional_time(row, "due_at")?,
        state: rows::named(row, "state")?,
        tries: rows::number(row, "tries")?,
        queued_at: rows::time(row, "queued_at")?,
        began_at: rows::optional_time(row, "began_at")?,
        ended_at: rows::optional_time(row, "ended_at")?,
        error: row.try_get("error")?,
        report: rows::optional_json(row, "report")?,
    })
}

fn schedule(row: &DbRow) -> Result<Schedule, Fault> {
    let enabled: i64 = row.try_get("enabled")?;
    let configured = Timing {
        cron: row.try_get("cron")?,
        zone: row.try_get("zone")?,
        missed: rows::named(row, "missed")?,
    };
    let set_missed: Option<String> = row.try_get("set_missed")?;
    Ok(Schedule {
        name: row.try_get("name")?,
        task: row.try_get("task")?,
        options: rows::from_json(row, "options")?,
        timing: Timing {
            cron: row.try_get::<Option<_>, _>("set_cron")?.unwrap_or(configured.cron.clone()),
            zone: row.try_get::<Option<_>, _>("set_zone")?.unwrap_or(configured.zone.clone()),
            missed: match set_missed {
                Some(_) => rows::named(row, "set_missed")?,
                None => configured.missed,
            },
        },
        configured,
        enabled: enabled != 0,
        paused_at: rows::optional_time(row, "paused_at")?,
        next_at: rows::optional_time(row, "next_at")?,
        current: None,
        last: None,
    })
}

#[async_trait]
impl Schedules for DbStore {
    async fn offer_schedules(&self, offers: &[ScheduleOffer], now: Time) -> Result<(), StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            for offer in offers {
                sqlx::query(
                    "INSERT INTO schedules
                         (name, task, options, cron, zone, missed, enabled, offered_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                     ON CONFLICT (name) DO UPDATE SET task = excluded.task,
                         options = excluded.options, cron = excluded.cron, zone = excluded.zone,
                         missed = excluded.missed, enabled = excluded.enabled,
                         offered_at = excluded.offered_at,
                         next_at = CASE
                             WHEN coalesce(schedules.set_cron, excluded.cron)
                                    = coalesce(schedules.set_cron, schedules.cron)
                                  AND coalesce(schedules.set_zone, excluded.zone)
                                    = coalesce(schedules.set_zone, schedules.zone)
                             THEN schedules.next_at END",
                )
                .bind(offer.name.clone())
                .bind(offer.task.clone())
                .bind(rows::to_json(&offer.options)?)
                .bind(offer.timing.cron.clone())
                .bind(offer.timing.zone.clone())
                .bind(offer.timing.missed.as_str())
                .bind(i64::from(offer.enabled))
                .bind(rows::micros(now))
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(())
        };
        work.await.map_err(during("write down the schedules"))
    }

    async fn keep_schedules(&self, names: &[String], now: Time) -> Result<u64, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let mut wanted = 0;
            for name in names {
                wanted += sqlx::query(
                    "UPDATE schedules SET offered_at = $2 WHERE name = $1 AND enabled = 1",
                )
                .bind(name.clone())
                .bind(rows::micros(now))
                .execute(&mut *tx)
                .await?
                .rows_affected();
            }
            tx.commit().await?;
            Ok(wanted)
        };
        work.await.map_err(during("keep schedules"))
    }

    async fn retire_schedules(&self, before: Time) -> Result<u64, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let retired = sqlx::query(
                "UPDATE schedules SET enabled = 0 WHERE enabled = 1 AND offered_at < $1",
            )
            .bind(rows::micros(before))
            .execute(&mut *tx)
            .await?
            .rows_affected();
            tx.commit().await?;
            Ok(retired)
        };
        work.await.map_err(during("switch off schedules"))
    }

    async fn list_schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            let found = sqlx::query(
                "SELECT name, task, options, cron, zone, missed, set_cron, set_zone, set_missed,
                     enabled, paused_at, next_at
                 FROM schedules ORDER BY name",
            )
            .fetch_all(&mut *reader)
            .await?;
            let mut schedules = found.iter().map(schedule).collect::<Result<Vec<_>, Fault>>()?;
            let found = sqlx::query(concat!(
                "SELECT ",
                run_columns!(),
                " FROM schedules s JOIN schedule_runs r ON r.schedule = s.name
                  WHERE r.state IN ('queued', 'running')
                     OR r.id = (SELECT x.id FROM schedule_runs x WHERE x.schedule = s.name
                                AND x.state NOT IN ('queued', 'running')
                                ORDER BY x.id DESC LIMIT 1)"
            ))
            .fetch_all(&mut *reader)
            .await?;
            for row in &found {
                let run = run(row)?;
                let of = schedules.iter_mut().find(|schedule| schedule.name == run.schedule);
                let Some(schedule) = of else { continue };
                let place =
                    if run.state.has_ended() { &mut schedule.last } else { &mut schedule.current };
                *place = Some(run);
            }
            Ok(schedules)
        };
        work.await.map_err(during("read the schedules"))
    }

    async fn fire_schedule(
        &self,
        seen: &Schedule,
        moment: Option<Moment>,
        next: Time,
        run: Uuid,
        now: Time,
    ) -> Result<Fired, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let taken = sqlx::query(
                "UPDATE schedules SET next_at = $2
                 WHERE name = $1 AND enabled = 1 AND paused_at IS NULL
                   AND coalesce(set_cron, cron) = $3 AND coalesce(set_zone, zone) = $4
                   AND next_at IS NOT DISTINCT FROM $5",
            )
            .bind(seen.name.clone())
            .bind(rows::micros(next))
            .bind(seen.timing.cron.clone())
            .bind(seen.timing.zone.clone())
            .bind(seen.next_at.map(rows::micros))
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if taken == 0 {
                return Ok(Fired::Not);
            }
            let new = match moment {
                None => None,
                Some(Moment::Missed(at)) => Some((at, RunState::Missed)),
                Some(Moment::Run(at)) => match unfinished(&mut tx, &seen.name).await? {
                    Some(_) => Some((at, RunState::Skipped)),
                    None => Some((at, RunState::Queued)),
                },
            };
            let mut fired = Fired::Set;
            if let Some((at, state)) = new
                && add_run(&mut tx, &seen.name, run, None, (Some(at), state), now).await?
            {
                fired = Fired::Run(state);
            }
            tx.commit().await?;
            Ok(fired)
        };
        work.await.map_err(during("take a moment of a schedule"))
    }

    async fn change_schedule(
        &self,
        name: &str,
        change: ScheduleChange,
        (workspace, entry): (WorkspaceId, NewAuditEntry),
        now: Time,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let query = match change {
                ScheduleChange::Pause => sqlx::query(
                    "UPDATE schedules SET paused_at = coalesce(paused_at, $2), next_at = NULL
                     WHERE name = $1",
                )
                .bind(name.to_owned())
                .bind(rows::micros(now)),
                ScheduleChange::Resume => sqlx::query(
                    "UPDATE schedules SET paused_at = NULL,
                         next_at = CASE WHEN paused_at IS NULL THEN next_at END
                     WHERE name = $1",
                )
                .bind(name.to_owned()),
                ScheduleChange::Timing { cron, zone, missed } => sqlx::query(
                    "UPDATE schedules SET set_cron = coalesce($2, set_cron),
                         set_zone = coalesce($3, set_zone), set_missed = coalesce($4, set_missed),
                         next_at = CASE WHEN CAST($2 AS TEXT) IS NULL AND CAST($3 AS TEXT) IS NULL
                                        THEN next_at END
                     WHERE name = $1",
                )
                .bind(name.to_owned())
                .bind(cron)
                .bind(zone)
                .bind(missed.map(|missed| missed.as_str())),
                ScheduleChange::Reset => sqlx::query(
                    "UPDATE schedules SET set_cron = NULL, set_zone = NULL, set_missed = NULL,
                         next_at = NULL
                     WHERE name = $1",
                )
                .bind(name.to_owned()),
            };
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
            dialect::see(&mut tx, workspace).await?;
            audit::record(&mut tx, workspace, &entry).await?;
            tx.commit().await?;
            Ok(true)
        };
        work.await.map_err(during("change a schedule"))
    }

    async fn ask_run(
        &self,
        name: &str,
        run: Uuid,
        options: Value,
        (workspace, entry): (WorkspaceId, NewAuditEntry),
        now: Time,
    ) -> Result<Asked, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let found = sqlx::query(concat!(
                "SELECT 1 FROM schedules WHERE name = $1 AND enabled = 1",
                for_update!()
            ))
            .bind(name.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
            if found.is_none() {
                return Ok(Asked::Missing);
            }
            if let Some(id) = unfinished(&mut tx, name).await? {
                return Ok(Asked::Unfinished(id));
            }
            let state = (None, RunState::Queued);
            add_run(&mut tx, name, run, Some(&options), state, now).await?;
            dialect::see(&mut tx, workspace).await?;
            audit::record(&mut tx, workspace, &entry).await?;
            tx.commit().await?;
            Ok(Asked::Queued)
        };
        work.await.map_err(during("ask for a run"))
    }

    async fn claim_run(
        &self,
        task: &str,
        lease_until: Time,
        now: Time,
    ) -> Result<Option<ClaimedRun>, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let claimed = sqlx::query(concat!(
                "UPDATE schedule_runs AS r SET state = 'running', attempt = r.attempt + 1,
                     tries = r.tries + 1, began_at = coalesce(r.began_at, $2), lease_until = $3
                 WHERE r.id = (SELECT x.id FROM schedule_runs x
                               WHERE x.state IN ('queued', 'running') AND x.task = $1
                                 AND x.lease_until <= $2
                               ORDER BY x.lease_until, x.id LIMIT 1",
                skip_locked!(),
                ") AND r.state IN ('queued', 'running') AND r.lease_until <= $2
                 RETURNING ",
                returned_columns!()
            ))
            .bind(task.to_owned())
            .bind(rows::micros(now))
            .bind(rows::micros(lease_until))
            .fetch_optional(&mut *tx)
            .await?;
            tx.commit().await?;
            let Some(row) = claimed else { return Ok(None) };
            let run = run(&row)?;
            let held = HeldRun { id: run.id, attempt: rows::number(&row, "attempt")? };
            let checkpoint = rows::optional_json(&row, "checkpoint")?;
            Ok(Some(ClaimedRun { held, run, checkpoint }))
        };
        work.await.map_err(during("claim a run"))
    }

    async fn renew_run(
        &self,
        held: HeldRun,
        checkpoint: Option<Value>,
        lease_until: Time,
    ) -> Result<bool, StoreError> {
        let work = async {
            let checkpoint = checkpoint.as_ref().map(rows::to_json).transpose()?;
            let mut writer = self.connections.writer(INSTALLATION, Commit::Soon).await?;
            let mut tx = writer.begin().await?;
            let renewed = sqlx::query(
                "UPDATE schedule_runs SET lease_until = $3, checkpoint = coalesce($4, checkpoint),
                     tries = CASE WHEN CAST($4 AS TEXT) IS NULL THEN tries ELSE 1 END
                 WHERE id = $1 AND attempt = $2 AND state = 'running'",
            )
            .bind(held.id)
            .bind(i64::from(held.attempt))
            .bind(rows::micros(lease_until))
            .bind(checkpoint)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            tx.commit().await?;
            Ok(renewed == 1)
        };
        work.await.map_err(during("renew a run"))
    }

    async fn end_run(&self, held: HeldRun, end: RunEnd, now: Time) -> Result<bool, StoreError> {
        let work = async {
            let mut writer = self.connections.writer(INSTALLATION, Commit::OnDisk).await?;
            let mut tx = writer.begin().await?;
            let query = match end {
                RunEnd::Done { report } => sqlx::query(
                    "UPDATE schedule_runs SET state = 'done', ended_at = $3, report = $4,
                         error = NULL, checkpoint = NULL
                     WHERE id = $1 AND attempt = $2 AND state = 'running'",
                )
                .bind(held.id)
                .bind(i64::from(held.attempt))
                .bind(rows::micros(now))
                .bind(rows::to_json(&report)?),
                RunEnd::Failed { error } => sqlx::query(
                    "UPDATE schedule_runs SET state = 'failed', ended_at = $3, error = $4,
                         checkpoint = NULL
                     WHERE id = $1 AND attempt = $2 AND state = 'running'",
                )
                .bind(held.id)
                .bind(i64::from(held.attempt))
                .bind(rows::micros(now))
                .bind(dialect::text(error)),
                RunEnd::Again { error, at, tried } => sqlx::query(
                    "UPDATE schedule_runs SET state = 'queued', lease_until = $3, error = $4,
                         tries = tries - $5
                     WHERE id = $1 AND attempt = $2 AND state = 'running'",
                )
                .bind(held.id)
                .bind(i64::from(held.attempt))
                .bind(rows::micros(at))
                .bind(dialect::text(error))
                .bind(i64::from(!tried)),
            };
            let ended = query.execute(&mut *tx).await?.rows_affected();
            sqlx::query(
                "DELETE FROM schedule_runs
                 WHERE queued_at < $1 AND state NOT IN ('queued', 'running')",
            )
            .bind(rows::micros(now - TimeDelta::days(REMEMBERED_DAYS)))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(ended == 1)
        };
        work.await.map_err(during("end a run"))
    }

    async fn list_runs(
        &self,
        schedule: &str,
        page: PageRequest,
    ) -> Result<Page<ScheduleRun>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                run_columns!(),
                " FROM schedule_runs r WHERE r.schedule = $1 AND r.id < $2
                  ORDER BY r.id DESC LIMIT $3"
            ))
            .bind(schedule.to_owned())
            .bind(rows::before(page))
            .bind(rows::surplus(page))
            .fetch_all(&mut *reader)
            .await?;
            let runs = found.iter().map(run).collect::<Result<Vec<_>, Fault>>()?;
            Ok(rows::paged(runs, page, |run| run.id))
        };
        work.await.map_err(during("list runs"))
    }

    async fn schedule_run(&self, id: Uuid) -> Result<Option<ScheduleRun>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                run_columns!(),
                " FROM schedule_runs r WHERE r.id = $1"
            ))
            .bind(id)
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(run).transpose()
        };
        work.await.map_err(during("read a run"))
    }

    async fn last_done(&self, schedule: &str) -> Result<Option<ScheduleRun>, StoreError> {
        let work = async {
            let mut reader = self.connections.reader(INSTALLATION).await?;
            let found = sqlx::query(concat!(
                "SELECT ",
                run_columns!(),
                " FROM schedule_runs r WHERE r.schedule = $1 AND r.state = 'done'
                  ORDER BY r.id DESC LIMIT 1"
            ))
            .bind(schedule.to_owned())
            .fetch_optional(&mut *reader)
            .await?;
            found.as_ref().map(run).transpose()
        };
        work.await.map_err(during("read the last run"))
    }
}

/// The run of a schedule that has not ended. The schedule's row is locked by the caller.
async fn unfinished(tx: &mut DbConnection, name: &str) -> Result<Option<Uuid>, Fault> {
    let found = sqlx::query(
        "SELECT id FROM schedule_runs WHERE schedule = $1 AND state IN ('queued', 'running')",
    )
    .bind(name.to_owned())
    .fetch_optional(tx)
    .await?;
    Ok(found.map(|row| row.try_get("id")).transpose()?)
}

/// Writes a run of a schedule. False where the moment has one already: it makes no second one.
async fn add_run(
    tx: &mut DbConnection,
    name: &str,
    run: Uuid,
    options: Option<&Value>,
    (due_at, state): (Option<Time>, RunState),
    now: Time,
) -> Result<bool, Fault> {
    let added = sqlx::query(
        "INSERT INTO schedule_runs
             (id, schedule, task, options, due_at, state, queued_at, ended_at, lease_until)
         SELECT $2, s.name, s.task, coalesce($3, s.options), $4, $5, $6, $7, $6
         FROM schedules s WHERE s.name = $1
         ON CONFLICT (schedule, due_at) DO NOTHING",
    )
    .bind(name.to_owned())
    .bind(run)
    .bind(options.map(rows::to_json).transpose()?)
    .bind(due_at.map(rows::micros))
    .bind(state.as_str())
    .bind(rows::micros(now))
    .bind(state.has_ended().then(|| rows::micros(now)))
    .execute(tx)
    .await?
    .rows_affected();
    Ok(added == 1)
}
