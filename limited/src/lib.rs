//! How a child process limits itself before it touches what it does not trust.

use std::io;

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

/// What recurses over contents gets a deep stack: 64 MB, only touched when used.
pub const STACK_BYTES: usize = 64 << 20;

/// How far the process stands back when processors are short: a tenth of what others get.
const NICE: i32 = 10;

/// What a process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes beyond what it maps at its start, and one deep stack.
    pub memory_bytes: u64,
    /// Seconds of its processors, all threads together; at least one.
    pub cpu_seconds: u64,
}

/// Sets the limits of this process: address space, CPU time, no core dump, no file. It stands
/// back behind others, and ends with the process that started it. What a panic says may hold
/// a piece of the contents: it is not printed.
///
/// None of it can be taken back: only a process that does nothing else may call this.
///
/// # Errors
/// What the system says; then the process must not go on.
pub fn limit_this_process(limits: &Limits) -> io::Result<()> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(0))?;
    // The soft limit ends the process with SIGXCPU, which tells what happened.
    let seconds = limits.cpu_seconds.max(1);
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds + 1) })?;
    let limit =
        mapped_bytes()?.saturating_add(limits.memory_bytes).saturating_add(STACK_BYTES as u64);
    setrlimit(Resource::As, both(limit))?;
    // Where this is refused the work is done all the same: somebody else waits longer.
    let _ = nice(NICE);
    // A worker that was killed cannot end its children. Where this is refused, the limits are
    // what ends them.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    std::panic::set_hook(Box::new(|_| {}));
    Ok(())
}

/// What the process maps already: its program and libraries.
fn mapped_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    Ok(kilobytes.unwrap_or(0) * 1024)
}
