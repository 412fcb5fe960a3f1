//! What a process and its children use of memory, and what they may: by Linux's own account.

use std::path::{Path, PathBuf};

const KIB: u64 = 1_024;

/// What a process and all below it use, in bytes: each page that several share counts for its
/// part alone (PSS), or, where that is not told, what is resident. None where nothing is told:
/// the process is gone, or this is not Linux.
#[must_use]
pub fn memory_of(pid: u32) -> Option<u64> {
    let own = proportional(pid).or_else(|| resident(pid))?;
    Some(own + children(pid).into_iter().filter_map(memory_of).sum::<u64>())
}

fn proportional(pid: u32) -> Option<u64> {
    kilobytes(&std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

fn resident(pid: u32) -> Option<u64> {
    kilobytes(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * KIB)
}

/// The children of a process, whichever of its threads has started them.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let listed = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    listed.collect::<String>().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// What this process may use, in bytes: the least of what its control groups and the machine
/// have. None where nothing is told.
#[must_use]
pub fn memory_limit() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kilobytes(&text, "MemTotal:"));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    [group_limit(Path::new("/sys/fs/cgroup"), &groups), machine].into_iter().flatten().min()
}

/// The least limit of the groups that `/proc/self/cgroup` names, and of those above them; of
/// both versions of control groups.
fn group_limit(root: &Path, groups: &str) -> Option<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next()?, parts.next()?);
        let (top, file): (PathBuf, _) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            one if one.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut folder = top.join(path.trim_start_matches('/'));
        while folder.starts_with(&top) {
            let text = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
            limits.extend(text.trim().parse::<u64>().ok());
            if !folder.pop() {
                break;
            }
        }
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something_and_may_use_more() {
        let used = memory_of(std::process::id()).unwrap();
        assert!(used > 1 << 20, "{used}");
        assert!(memory_limit().unwrap() > used);
        assert_eq!(memory_of(u32::MAX), None);
    }

    #[test]
    fn the_least_of_all_groups_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "5000\n");
        write("memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        let limit = |groups| group_limit(folder.path(), groups);
        assert_eq!(limit("0::/a/b\n"), Some(5_000));
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit("4:cpu,memory:/c\n0::/a\n"), Some(5_000));
        assert_eq!(limit("4:cpu,memory:/c\n"), Some(9_223_372_036_854_771_712));
        assert_eq!(limit("nonsense"), None);
    }
}
