//! How much memory this process may use: the machine's, or less in a container or a service with
//! a limit (control groups, versions 1 and 2).

use std::fs;
use std::path::Path;

/// In MB (10⁶ bytes); `None` where the system does not tell.
pub(crate) fn total_mb() -> Option<u64> {
    let limits = limits(Path::new("/")).into_iter().map(|limit| limit.most);
    meminfo("MemTotal:").into_iter().chain(limits).min().map(megabytes)
}

/// As [`total_mb`], what is not in use.
pub(crate) fn available_mb() -> Option<u64> {
    let limits = limits(Path::new("/")).into_iter().map(|limit| limit.most - limit.used);
    meminfo("MemAvailable:").into_iter().chain(limits).min().map(megabytes)
}

fn megabytes(bytes: u64) -> u64 {
    bytes / 1_000_000
}

/// A line of /proc/meminfo in bytes.
fn meminfo(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The limit of a control group and what its processes use of it.
#[derive(Debug, PartialEq)]
struct Limit {
    most: u64,
    used: u64,
}

/// Those of this process's control groups and of the groups that these are in. `root`: of the
/// file system, for tests.
fn limits(root: &Path) -> Vec<Limit> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in groups.lines() {
        // number:controllers:path; version 2 has no controllers.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (mount, most, used) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max", "memory.current"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
            }
            _ => continue,
        };
        let mount = root.join(mount);
        // In a container the path may be the host's, and the files lie at the mount itself.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let number = |name| -> Option<u64> {
                fs::read_to_string(mount.join(group).join(name)).ok()?.trim().parse().ok()
            };
            // Version 2 writes "max" for none; version 1 a number near 2⁶³.
            if let Some(most) = number(most).filter(|&most| most < 1 << 60) {
                found.push(Limit { most, used: number(used).unwrap_or(0).min(most) });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_of_all_groups_count_in_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(limits(root.path()).is_empty());

        write("proc/self/cgroup", "0::/user.slice/run.scope\n");
        write("sys/fs/cgroup/user.slice/memory.max", "4000000000\n");
        write("sys/fs/cgroup/user.slice/memory.current", "1000000000\n");
        write("sys/fs/cgroup/user.slice/run.scope/memory.max", "max\n");
        let slice = || Limit { most: 4_000_000_000, used: 1_000_000_000 };
        assert_eq!(limits(root.path()), [slice()]);

        // A container's own view of version 1, beside an empty version 2.
        write("proc/self/cgroup", "4:cpu,memory:/docker/12ab\n1:name=systemd:/\n0::/\n");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000000\n");
        assert_eq!(limits(root.path()), [Limit { most: 2_000_000_000, used: 0 }]);
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert!(limits(root.path()).is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn there_is_memory_here() {
        assert!(available_mb().unwrap() <= total_mb().unwrap() && total_mb().unwrap() > 0);
    }
}
