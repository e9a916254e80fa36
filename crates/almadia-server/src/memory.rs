//! How much memory this process may use, and how much it does: what the kernel tells in `/proc` and `/sys/fs/cgroup`.
//!
//! Reads and computes; what happens at the bound is the member's business.

use almadia_member::MemoryBudget;
use std::path::Path;

/// Of the memory that this process can have, in hundredths, when nothing else is asked for: the rest is for the page cache,
/// for connections and for whatever else runs here.
const SHARE_PERCENT: u64 = 60;

/// The budget that was asked for, or the share of what this process can have; `None` when there is no bound: 0 was asked for,
/// or the system does not tell.
pub fn budget(asked_bytes: Option<u64>) -> Option<MemoryBudget> {
    let bytes_max = match asked_bytes {
        Some(0) => return None,
        Some(bytes) => bytes,
        None => available_bytes(Path::new("/"))? / 100 * SHARE_PERCENT,
    };
    resident_bytes()?;
    Some(MemoryBudget {
        bytes_max,
        used: Box::new(resident_bytes),
    })
}

/// Memory of this process that is in RAM now.
fn resident_bytes() -> Option<u64> {
    bytes_after("VmRSS:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

/// What the machine has, or less where a control group of this process (below `root`) is bounded.
fn available_bytes(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let machine = bytes_after("MemTotal:", &read("proc/meminfo")?)?;
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let bounds = bound_files(&groups);
    let bounds = bounds.iter().filter_map(|file| read(file)?.trim().parse().ok());
    Some(bounds.fold(machine, u64::min))
}

/// The amount on the line that begins with `name`; the kernel writes it in KiB.
fn bytes_after(name: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The files that may bound the groups of `/proc/self/cgroup` and those above them. A file that says "max", or is not there,
/// bounds nothing.
fn bound_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            "memory" => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut group = group.trim_end_matches('/');
        loop {
            files.push(format!("{mount}{group}/{file}"));
            let Some((above, _)) = group.rsplit_once('/') else {
                break;
            };
            group = above;
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_bound_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(available_bytes(root.path()), None);
        write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\n");
        assert_eq!(available_bytes(root.path()), Some(1_024_000));
        write("proc/self/cgroup", "0::/a/b\n3:cpu:/x\nbroken\n");
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(available_bytes(root.path()), Some(1_024_000));
        write("sys/fs/cgroup/a/memory.max", "500000\n");
        assert_eq!(available_bytes(root.path()), Some(500_000));
        write("sys/fs/cgroup/a/b/memory.max", "400000\n");
        assert_eq!(available_bytes(root.path()), Some(400_000));
    }

    #[test]
    fn both_kinds_of_groups_are_known() {
        assert_eq!(
            bound_files("4:memory:/c\n0::/\n"),
            [
                "sys/fs/cgroup/memory/c/memory.limit_in_bytes",
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "sys/fs/cgroup/memory.max",
            ]
        );
    }

    #[test]
    fn this_process_has_a_budget_unless_none_is_wanted() {
        let default = budget(None).expect("Linux tells");
        let used = (default.used)().expect("Linux tells");
        assert!(used > 0 && used < default.bytes_max);
        assert_eq!(budget(Some(7)).map(|budget| budget.bytes_max), Some(7));
        assert!(budget(Some(0)).is_none());
    }
}
