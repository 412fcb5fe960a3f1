//! What was used over HTTP, for admins and auditors: requests to models, tokens, money.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta};
use quaestor_core::clock::Time;
use quaestor_core::model::Page;
use quaestor_core::ports::store::{UsageBy, UsagePart};

use crate::app::App;
use crate::auth::Who;
use crate::input::Params;
use crate::problem::ApiError;

/// The longest time that one report is about.
const MOST_DAYS: i64 = 366;

pub(super) async fn report(
    State(app): State<App>,
    Who { caller, .. }: Who,
    uri: Uri,
) -> Result<Json<Page<UsagePart>>, ApiError> {
    const DAY: &str = "a day such as 2026-01-31";
    let mut params = Params::of(&uri)?;
    let by = params.parsed::<UsageBy>("by", "day, model or principal")?.unwrap_or(UsageBy::Day);
    let today = app.front.clock.now().date_naive();
    let to = params.parsed::<NaiveDate>("to", DAY)?.unwrap_or(today);
    let from = params.parsed::<NaiveDate>("from", DAY)?;
    let from = from.unwrap_or_else(|| to.with_day(1).unwrap_or(to));
    params.finish()?;
    if from > to {
        return Err(ApiError::invalid("from", "no later than `to`"));
    }
    if (to - from).num_days() >= MOST_DAYS {
        let wanted = format!("within {MOST_DAYS} days of `to`");
        return Err(ApiError::invalid("from", &wanted));
    }
    let after = to.checked_add_signed(TimeDelta::days(1)).unwrap_or(to);
    let (from, until) = (beginning(from), beginning(after));
    let items = app.front.store.usage(caller.workspace_id, by, from, until).await?;
    Ok(Json(Page { items, next: None }))
}

fn beginning(day: NaiveDate) -> Time {
    day.and_time(NaiveTime::MIN).and_utc()
}
