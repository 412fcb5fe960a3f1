//! Notices of this process alone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use quaestor_core::clock::{Clock, Time};
use quaestor_core::ids::WorkerId;
use quaestor_core::ports::noticeboard::{Noticeboard, NoticeboardError};
use serde_json::Value;

/// A noticeboard in memory. It holds one notice for each topic and process, and only this
/// process writes on it.
pub struct MemoryNoticeboard {
    clock: Arc<dyn Clock>,
    notices: Mutex<BTreeMap<(String, WorkerId), (Time, Value)>>,
    leases: Mutex<BTreeMap<String, (WorkerId, Time)>>,
}

impl fmt::Debug for MemoryNoticeboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNoticeboard").finish_non_exhaustive()
    }
}

impl MemoryNoticeboard {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, notices: Mutex::default(), leases: Mutex::default() }
    }
}

#[async_trait]
impl Noticeboard for MemoryNoticeboard {
    async fn post(&self, topic: &str, process: WorkerId, notice: Value, keep: Duration) {
        let now = self.clock.now();
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let ends = now.checked_add_signed(keep).unwrap_or(Time::MAX_UTC);
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.retain(|_, (ends, _)| *ends > now);
        notices.insert((topic.to_owned(), process), (ends, notice));
    }

    async fn read(&self, topic: &str) -> Result<Vec<(WorkerId, Value)>, NoticeboardError> {
        let now = self.clock.now();
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let found = notices
            .iter()
            .filter(|((under, _), (ends, _))| under == topic && *ends > now)
            .map(|((_, process), (_, notice))| (*process, notice.clone()));
        Ok(found.collect())
    }

    async fn lead(
        &self,
        name: &str,
        process: WorkerId,
        keep: Duration,
    ) -> Result<bool, NoticeboardError> {
        let now = self.clock.now();
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let ends = now.checked_add_signed(keep).unwrap_or(Time::MAX_UTC);
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|_, (_, ends)| *ends > now);
        let (holder, until) = leases.entry(name.to_owned()).or_insert((process, ends));
        if *holder != process {
            return Ok(false);
        }
        *until = ends;
        Ok(true)
    }
}
