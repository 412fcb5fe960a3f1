//! When is done what is done by the clock, and how is what is stored checked?

use chrono::Utc;
use quaestor_core::clock::Time;
use quaestor_core::model::Timing;
use quaestor_core::schedule::{Missed, Timetable};
use serde::{Deserialize, Serialize};

use super::Config;

/// The `[schedules]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedules {
    /// Backups; where none are kept, none are made.
    pub backup: Scheduled,
    /// The check of what is stored.
    pub check: Scheduled,
}

impl Default for Schedules {
    fn default() -> Self {
        Self { backup: Scheduled::at("0 3 * * *"), check: Scheduled::at("30 4 * * *") }
    }
}

/// When something is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scheduled {
    /// Whether it is done by the clock at all.
    pub enabled: bool,
    /// Minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// The time zone that these are of.
    pub zone: String,
    /// What is done about moments that passed while no worker was there.
    pub missed: Missed,
}

impl Default for Scheduled {
    fn default() -> Self {
        Self::at("0 3 * * *")
    }
}

impl Scheduled {
    fn at(cron: &str) -> Self {
        Self {
            enabled: true,
            cron: cron.to_owned(),
            zone: "UTC".to_owned(),
            missed: Missed::default(),
        }
    }

    /// When, in the words of the store.
    #[must_use]
    pub fn timing(&self) -> Timing {
        Timing { cron: self.cron.clone(), zone: self.zone.clone(), missed: self.missed }
    }
}

/// The `[check]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Check {
    /// Of a hundred files, how many are read and compared.
    pub read_percent: u8,
    /// How much of them is read at the most, in MB.
    pub read_at_most_mb: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self { read_percent: 2, read_at_most_mb: 2_048 }
    }
}

/// Refuses what never comes, by the key.
pub(super) fn check(config: &Config) -> Result<(), (&'static str, String)> {
    // A day that there is comes within some years, whenever that is asked.
    let now: Time = chrono::DateTime::<Utc>::UNIX_EPOCH;
    let schedules = &config.schedules;
    for (scheduled, cron, zone) in [
        (&schedules.backup, "schedules.backup.cron", "schedules.backup.zone"),
        (&schedules.check, "schedules.check.cron", "schedules.check.zone"),
    ] {
        if let Err(error) = Timetable::new(&scheduled.cron, &scheduled.zone, now) {
            let key = if error.field() == "zone" { zone } else { cron };
            return Err((key, error.to_string()));
        }
    }
    if config.check.read_percent > 100 {
        let sentence = "it is a share of a hundred files: name a whole number from 1 to 100";
        return Err(("check.read_percent", sentence.to_owned()));
    }
    Ok(())
}
