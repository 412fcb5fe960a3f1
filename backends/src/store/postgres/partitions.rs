//! Partitions of months that are past, for records that come from another store.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate};
use quaestor_core::ports::store::{Record, Table};
use sqlx::postgres::PgConnection;

use super::fault::Fault;

/// Makes the partitions that records belong to, where they are missing. A month of which
/// rows stand in the default partition never gets its own, so this comes before them.
pub(super) async fn make_for(
    tx: &mut PgConnection,
    table: Table,
    records: &[Record],
) -> Result<(), Fault> {
    let months: BTreeSet<i64> = match table {
        Table::Messages | Table::AuditLog => {
            records.iter().filter_map(|record| month(time_of_id(record)?)).collect()
        }
        Table::ModelUsage => {
            records.iter().filter_map(|record| month(record.integer("created_at")?)).collect()
        }
        _ => return Ok(()),
    };
    for month in months {
        sqlx::query("SELECT ensure_partitions($1, 0)").bind(month).execute(&mut *tx).await?;
    }
    Ok(())
}

/// The time that the id begins with, as partitions go by it.
fn time_of_id(record: &Record) -> Option<i64> {
    let (seconds, nanos) = record.id("id")?.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()?.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))
}

/// The first moment of a time's month, in microseconds since 1970.
fn month(micros: i64) -> Option<i64> {
    let day = DateTime::from_timestamp_micros(micros)?.date_naive();
    let first = NaiveDate::from_ymd_opt(day.year(), day.month(), 1)?;
    Some(first.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_first_day() {
        let of = |text: &str| text.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        assert_eq!(month(of("2024-02-29T23:59:59.999999Z")), Some(of("2024-02-01T00:00:00Z")));
        assert_eq!(month(of("2024-03-01T00:00:00Z")), Some(of("2024-03-01T00:00:00Z")));
        assert_eq!(month(i64::MAX), None);
    }
}
