//! Budgets: what may be spent on models in a day and in a month, and what was.
//!
//! Amounts are millionths of the currency that prices are configured in. Days and months
//! are those of UTC.

use chrono::{Datelike, Months, NaiveDate, NaiveTime, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::ids::PrincipalId;
use crate::problem::Problem;

/// What may be spent. Null is no limit. Beyond a soft limit the cheaper models answer,
/// beyond a hard one nothing is sent to a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Of a day, soft.
    pub day_soft_micros: Option<u64>,
    /// Of a day, hard.
    pub day_hard_micros: Option<u64>,
    /// Of a month, soft.
    pub month_soft_micros: Option<u64>,
    /// Of a month, hard.
    pub month_hard_micros: Option<u64>,
}

impl Budget {
    /// Whether it limits anything.
    #[must_use]
    pub fn limits(&self) -> bool {
        *self != Self::default()
    }
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Today.
    pub day_micros: u64,
    /// In this month, today included.
    pub month_micros: u64,
}

/// A budget that was set, with what was spent of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SetBudget {
    /// Whose it is; null is the whole workspace's.
    pub principal_id: Option<PrincipalId>,
    /// What may be spent.
    #[serde(flatten)]
    pub budget: Budget,
    /// What was.
    pub spent: Spent,
    /// When it was set.
    pub updated_at: Time,
}

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All of the workspace's principals together.
    Workspace,
    /// One principal's.
    Principal,
}

/// Of which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A month.
    Month,
}

/// A hard limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// Whose budget.
    pub whose: Whose,
    /// Of which time.
    pub period: Period,
    /// The limit.
    pub limit_micros: u64,
    /// What was spent.
    pub spent_micros: u64,
    /// When it begins anew.
    pub resets_at: Time,
}

impl OverBudget {
    /// What a client is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let whose = match self.whose {
            Whose::Workspace => "the workspace's",
            Whose::Principal => "this principal's",
        };
        let period = match self.period {
            Period::Day => "day",
            Period::Month => "month",
        };
        Problem::new(
            "over_budget",
            "The budget is used up",
            format!(
                "{whose} budget of the {period} is {} and {} were spent; it begins anew at {}, \
                 unless an admin raises it at /api/admin/budgets",
                money(self.limit_micros),
                money(self.spent_micros),
                self.resets_at.format("%Y-%m-%dT%H:%M:%SZ"),
            ),
        )
    }
}

/// An amount in whole units of the currency: `12.50`, and more digits where there are some.
fn money(micros: u64) -> String {
    let digits = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    let cents = digits.len() - 4;
    let end = digits.trim_end_matches('0').len().max(cents);
    digits[..end].to_owned()
}

/// Where a principal stands with its budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Within all of them.
    Within,
    /// Beyond a soft limit: cheaper models answer.
    Soft,
    /// Beyond a hard one: nothing is sent.
    Over(OverBudget),
}

/// Where somebody stands with budgets and what was spent of them, at the moment `now`.
#[must_use]
pub fn allowance(now: Time, budgets: &[(Whose, Budget, Spent)]) -> Allowance {
    let mut soft = false;
    // Of several limits that are reached, the one that lasts longest is told.
    let mut over: Option<OverBudget> = None;
    for (whose, budget, spent) in budgets {
        for (period, spent_micros, soft_limit, hard_limit) in [
            (Period::Day, spent.day_micros, budget.day_soft_micros, budget.day_hard_micros),
            (Period::Month, spent.month_micros, budget.month_soft_micros, budget.month_hard_micros),
        ] {
            soft |= soft_limit.is_some_and(|limit| spent_micros >= limit);
            let Some(limit_micros) = hard_limit.filter(|limit| spent_micros >= *limit) else {
                continue;
            };
            let resets_at = match period {
                Period::Day => Days::of(now).tomorrow(),
                Period::Month => Days::of(now).next_month(),
            };
            if over.is_none_or(|over| over.resets_at < resets_at) {
                let whose = *whose;
                over = Some(OverBudget { whose, period, limit_micros, spent_micros, resets_at });
            }
        }
    }
    match (over, soft) {
        (Some(over), _) => Allowance::Over(over),
        (None, true) => Allowance::Soft,
        (None, false) => Allowance::Within,
    }
}

/// A day and its month, counted as days since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The day.
    pub today: i64,
    /// The first day of its month.
    pub month: i64,
}

impl Days {
    /// The day of a moment.
    #[must_use]
    pub fn of(now: Time) -> Self {
        let today = now.timestamp().div_euclid(24 * 3_600);
        Self { today, month: today - i64::from(now.day0()) }
    }

    /// The moment at which the next day begins.
    fn tomorrow(self) -> Time {
        beginning(day(self.today + 1))
    }

    /// The moment at which the next month begins.
    fn next_month(self) -> Time {
        let first = day(self.month);
        beginning(first.checked_add_months(Months::new(1)).unwrap_or(first))
    }
}

fn day(since_1970: i64) -> NaiveDate {
    NaiveDate::default().checked_add_signed(TimeDelta::days(since_1970)).unwrap_or_default()
}

fn beginning(day: NaiveDate) -> Time {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn days_and_months_are_those_of_utc() {
        let leap = Days::of(at("2024-02-29T23:59:59Z"));
        assert_eq!(leap.today - leap.month, 28);
        assert_eq!(leap.tomorrow(), at("2024-03-01T00:00:00Z"));
        assert_eq!(leap.next_month(), at("2024-03-01T00:00:00Z"));
        let year = Days::of(at("2026-12-31T00:00:00Z"));
        assert_eq!(year.next_month(), at("2027-01-01T00:00:00Z"));
        assert_eq!(Days::of(at("1970-01-01T00:00:00Z")), Days { today: 0, month: 0 });
    }

    #[test]
    fn a_limit_is_reached_when_all_of_it_is_spent() {
        let now = at("2026-11-21T18:00:00Z");
        let budget = Budget {
            day_soft_micros: Some(50),
            day_hard_micros: Some(100),
            month_hard_micros: Some(1_000),
            ..Budget::default()
        };
        let check = |day_micros, month_micros| {
            let spent = Spent { day_micros, month_micros };
            allowance(now, &[(Whose::Principal, budget, spent)])
        };
        assert_eq!(check(49, 999), Allowance::Within);
        assert_eq!(check(50, 999), Allowance::Soft);
        let Allowance::Over(over) = check(100, 100) else { panic!("not over") };
        assert_eq!((over.period, over.limit_micros, over.spent_micros), (Period::Day, 100, 100));
        assert_eq!(over.resets_at, at("2026-11-22T00:00:00Z"));
        // Both are reached: tomorrow will not help.
        let Allowance::Over(over) = check(100, 1_000) else { panic!("not over") };
        assert_eq!((over.period, over.resets_at), (Period::Month, at("2026-12-01T00:00:00Z")));
        assert_eq!(allowance(now, &[]), Allowance::Within);
    }

    #[test]
    fn a_refusal_says_whose_how_much_and_until_when() {
        let over = OverBudget {
            whose: Whose::Workspace,
            period: Period::Month,
            limit_micros: 12_500_000,
            spent_micros: 12_500_001,
            resets_at: at("2026-12-01T00:00:00Z"),
        };
        let problem = over.problem();
        assert_eq!(problem.code, "over_budget");
        for part in ["workspace", "month", "12.50 and 12.500001", "2026-12-01T00:00:00Z"] {
            assert!(problem.detail.contains(part), "{}", problem.detail);
        }
        assert_eq!([0, 5, 1_000_000].map(money), ["0.00", "0.000005", "1.00"]);
    }
}
