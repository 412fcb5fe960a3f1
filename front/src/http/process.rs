//! What the system tells of this process, from `/proc`; nothing where it tells nothing.

use quaestor_core::clock::Time;
use quaestor_core::metrics;

/// Writes what is known in the format of Prometheus.
pub(super) fn write(out: &mut String, started_at: Time) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    let open = std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    for (metric, value) in [
        (&metrics::PROCESS_MEMORY, resident_bytes().map(|bytes| bytes as f64)),
        (&metrics::PROCESS_CPU, cpu_seconds()),
        (&metrics::PROCESS_START, Some(started_at.timestamp_millis() as f64 / 1_000.0)),
        (&metrics::PROCESS_FDS, open.map(|open| open as f64)),
        (&metrics::PROCESS_MAX_FDS, most_open()),
        (&metrics::PROCESS_THREADS, threads.and_then(|count| count.trim().parse().ok())),
    ] {
        if let Some(value) = value {
            metric.write(out, value);
        }
    }
}

/// How many files it may have open at the moment: the soft limit.
fn most_open() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Resident memory, from `/proc/self/statm`: pages of 4 KiB on the systems we run on.
pub(super) fn resident_bytes() -> Option<u64> {
    const PAGE_BYTES: u64 = 4_096;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}

/// Processor time of the process, from `/proc/self/stat`, whose tick Linux fixes at 100
/// a second for every program.
pub(super) fn cpu_seconds() -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name may hold spaces; what follows its closing bracket does not.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
