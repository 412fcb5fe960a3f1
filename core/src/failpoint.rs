//! Named points at which a test may have the process fail, compiled in for tests alone.
//!
//! Without the feature `failpoints` [`hit`] is empty: the product holds no trace of it.
//! With it, `QUAESTOR_FAIL_AT` says what happens where, as `NAME[:N]=ACTION`, several joined
//! by commas. The action happens when the process comes to the point for the N-th time
//! (the first, if no N is given; every time for `*`):
//!
//! - `kill`: SIGKILL of the process by itself;
//! - `panic`: a panic in whatever runs there;
//! - `sleep(MS)`: the thread stands still for so many milliseconds, and all that it runs;
//! - `error`: the code there fails, where it can: as a broker, a store or an acknowledgement
//!   does whose answer does not come.

use crate::ports::store::StoreError;

/// Every point there is: one at each hand-over, in the order in which a request comes to them.
/// A test holds the list to the code.
pub const NAMES: [&str; 56] = [
    "front.before_accept",
    "front.after_accept",
    "upload.before_accept",
    "upload.after_accept",
    "batch.before_cancel",
    "relay.after_take",
    "relay.before_publish",
    "relay.after_publish",
    "relay.before_mark",
    "worker.before_claim",
    "worker.after_claim",
    "worker.batch_paused",
    "retrieve.before_save",
    "retrieve.after_save",
    "generate.before_call",
    "generate.mid_stream",
    "generate.before_save",
    "ingest.mid_parse",
    "ingest.before_next",
    "ingest.before_switch",
    "ingest.after_switch",
    "ingest.before_keep",
    "embed.before_save",
    "embed.mid_embedding",
    "embed.before_finish",
    "reindex.before_reading",
    "reindex.after_reading",
    "reindex.before_save",
    "reindex.mid_way",
    "reindex.before_switch",
    "export.before_accept",
    "export.after_accept",
    "export.mid_write",
    "export.before_finish",
    "worker.after_save",
    "worker.put_off",
    "worker.before_ack",
    "schedule.after_fire",
    "schedule.after_claim",
    "check.mid_way",
    "sweep.before_requeue",
    "sweep.after_requeue",
    "sweep.after_delete",
    "socket.before_event",
    "move.before_check",
    "move.between_marks",
    "move.after_object",
    "move.after_table",
    "move.after_page",
    "backup.after_page",
    "backup.after_rows",
    "backup.after_file",
    "backup.after_trailer",
    "restore.after_page",
    "restore.after_file",
    "restore.before_whole",
];

/// The process has come to a named point.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_name: &str) {}

/// The process has come to a named point where it can fail: whether it is to.
#[cfg(not(feature = "failpoints"))]
#[inline]
#[must_use]
pub fn error(_name: &str) -> bool {
    false
}

/// The process has come to a named point at a call to the store: what a store says that is
/// away, where it is to fail. Before the call it did not come about, after it its answer is
/// lost.
///
/// # Errors
/// [`StoreError::Unavailable`], where a test wants it.
pub fn store(name: &'static str) -> Result<(), StoreError> {
    if error(name) {
        return Err(StoreError::Unavailable { action: "answer", source: name.into() });
    }
    Ok(())
}

#[cfg(feature = "failpoints")]
pub use chosen::{error, hit};

#[cfg(feature = "failpoints")]
mod chosen {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// What happens at a point.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Action {
        Kill,
        Panic,
        Sleep(Duration),
        Error,
    }

    /// A point, and what happens there.
    #[derive(Debug)]
    struct Plan {
        name: String,
        /// At which time; none for each.
        time: Option<u64>,
        action: Action,
        times: AtomicU64,
    }

    impl Plan {
        fn parse(text: &str) -> Option<Self> {
            let (point, action) = text.split_once('=')?;
            let (name, time) = point.split_once(':').unwrap_or((point, "1"));
            let time = match time {
                "*" => None,
                number => Some(number.parse().ok()?),
            };
            let action = match action {
                "kill" => Action::Kill,
                "panic" => Action::Panic,
                "error" => Action::Error,
                sleep => {
                    let millis = sleep.strip_prefix("sleep(")?.strip_suffix(')')?;
                    Action::Sleep(Duration::from_millis(millis.parse().ok()?))
                }
            };
            let known = super::NAMES.contains(&name);
            known.then(|| Self { name: name.to_owned(), time, action, times: AtomicU64::new(0) })
        }

        fn is_due(&self) -> bool {
            let times = self.times.fetch_add(1, Ordering::SeqCst) + 1;
            self.time.is_none_or(|time| time == times)
        }
    }

    /// A plan that cannot be read would make a test pass that tests nothing: the process ends.
    fn plans() -> &'static [Plan] {
        static PLANS: OnceLock<Vec<Plan>> = OnceLock::new();
        PLANS.get_or_init(|| {
            let text = std::env::var("QUAESTOR_FAIL_AT").unwrap_or_default();
            let parts = text.split(',').filter(|part| !part.is_empty());
            parts.map(|part| Plan::parse(part).unwrap_or_else(|| unreadable(part))).collect()
        })
    }

    fn unreadable(part: &str) -> ! {
        note(&format!("QUAESTOR_FAIL_AT: `{part}` names no point and action"));
        std::process::abort();
    }

    /// This crate logs nothing; a test reads it from the standard error.
    fn note(text: &str) {
        use std::io::Write as _;
        // The process ends either way.
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// The process has come to a named point: what is planned there happens.
    pub fn hit(name: &str) {
        let _ = error(name);
    }

    /// The process has come to a named point where it can fail: what is planned there happens,
    /// and true is returned where it is to fail.
    #[must_use]
    pub fn error(name: &str) -> bool {
        let mut fails = false;
        for plan in plans().iter().filter(|plan| plan.name == name) {
            if !plan.is_due() {
                continue;
            }
            match plan.action {
                Action::Kill => {
                    // The bench reads by it where a process died.
                    note(&format!("fail-point {name} kills"));
                    kill();
                }
                Action::Panic => panic!("the fail-point {name}"),
                Action::Sleep(time) => std::thread::sleep(time),
                Action::Error => {
                    note(&format!("fail-point {name} fails"));
                    fails = true;
                }
            }
        }
        fails
    }

    fn kill() {
        let signal = rustix::process::Signal::KILL;
        if rustix::process::kill_process(rustix::process::getpid(), signal).is_err() {
            std::process::abort();
        }
        // The signal is on its way: nothing more may happen here.
        loop {
            std::thread::park();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn plans_say_point_time_and_action() {
            let plan = Plan::parse("worker.after_save:3=kill").unwrap();
            assert_eq!((plan.time, plan.action), (Some(3), Action::Kill));
            assert_eq!(
                [plan.is_due(), plan.is_due(), plan.is_due(), plan.is_due()],
                [false, false, true, false]
            );
            let plan = Plan::parse("relay.after_take:*=sleep(20)").unwrap();
            assert_eq!(plan.action, Action::Sleep(Duration::from_millis(20)));
            assert!(plan.is_due() && plan.is_due());
            for bad in ["relay.after_take", "nowhere=kill", "relay.after_take=stop", "a:b=kill"] {
                assert!(Plan::parse(bad).is_none(), "{bad}");
            }
        }
    }
}
