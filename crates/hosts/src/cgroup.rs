//! A cgroup (version 2) of its own for a job, where the system lets us make one. No limits, only
//! membership: nothing that a job starts can leave it, so it can be stopped whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::procfs;

/// Every cgroup of ours is named `longhaul-<key>`.
pub(crate) const NAME_PREFIX: &str = "longhaul-";

const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// How deep sub-groups that a job made are followed.
const MAX_DEPTH: usize = 16;

/// Our own group, as a folder below the cgroup2 mount; `None` where there is none.
pub(crate) fn own_folder() -> Option<PathBuf> {
    let mounts = procfs::read_small("/proc/self/mountinfo").ok()?;
    let own = procfs::read_small("/proc/self/cgroup").ok()?;
    locate(
        std::str::from_utf8(&mounts).ok()?,
        std::str::from_utf8(&own).ok()?,
    )
}

/// Finds our folder from the text of `mountinfo` and `cgroup`.
pub(crate) fn locate(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = if root == "/" {
            own
        } else {
            own.strip_prefix(root)?
        };
        let below = below.trim_start_matches('/');
        if below.split('/').any(|part| part == "..") || point.contains('\\') {
            return None;
        }
        Some(Path::new(point).join(below))
    })
}

/// A job's own group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the group of this key below our own; `None` where that is not allowed.
    pub(crate) fn create(key: &str) -> Option<Self> {
        let path = own_folder()?.join(format!("{NAME_PREFIX}{key}"));
        match longhaul_acts::files::create_dir("shim.cgroup.create", &path) {
            Ok(()) => {}
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
        let group = Self { path };
        // Version 1 hierarchies and old kernels have no `cgroup.kill`; they are no help to us.
        if group.path.join("cgroup.kill").exists() {
            Some(group)
        } else {
            group.remove();
            None
        }
    }

    /// The group recorded in an identity, if its path has the shape of one of ours.
    pub(crate) fn recorded(path: &Path, key: &str) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        (path.is_absolute() && name.strip_prefix(NAME_PREFIX) == Some(key) && path.is_dir()).then(
            || Self {
                path: path.to_owned(),
            },
        )
    }

    /// The group that a shim in our own group would have made for this key, if it is there.
    pub(crate) fn found(key: &str) -> Option<Self> {
        let path = own_folder()?.join(format!("{NAME_PREFIX}{key}"));
        path.is_dir().then_some(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file through which a process joins.
    pub(crate) fn door(&self) -> io::Result<fs::File> {
        let mut options = fs::OpenOptions::new();
        let door = self.path.join("cgroup.procs");
        longhaul_acts::files::open("shim.cgroup.door", options.write(true), door)
    }

    /// Everyone inside, sub-groups included. A group that is gone is empty.
    pub(crate) fn members(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for dir in self.folders()? {
            match procfs::read_small(&dir.join("cgroup.procs").to_string_lossy()) {
                Ok(bytes) => pids.extend(
                    String::from_utf8_lossy(&bytes)
                        .lines()
                        .filter_map(|line| line.parse::<u32>().ok()),
                ),
                Err(err) if gone(&err) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(pids)
    }

    /// Processor time that everyone inside used so far, the dead included; `None` if the kernel keeps
    /// no count.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let file = self.path.join("cpu.stat");
        let bytes = procfs::read_small(&file.to_string_lossy()).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let used = text.lines().find_map(|l| l.strip_prefix("usage_usec "))?;
        used.trim().parse().ok().map(Duration::from_micros)
    }

    /// Ends everyone inside at once; a failure leaves it to signals.
    pub(crate) fn kill(&self) {
        let switch = self.path.join("cgroup.kill");
        if let Err(err) = longhaul_acts::files::write("tree.cgroup.kill", switch, "1") {
            tracing::debug!(group = %self.path.display(), %err, "cgroup.kill refused");
        }
    }

    /// Removes the group and the sub-groups in it; says whether it is gone. The kernel may take a
    /// moment to see that the last process has left.
    pub(crate) fn remove(&self) -> bool {
        for _ in 0..REMOVE_TRIES {
            if self.try_remove() {
                return true;
            }
            std::thread::sleep(REMOVE_PAUSE);
        }
        false
    }

    fn try_remove(&self) -> bool {
        let Ok(mut dirs) = self.folders() else {
            return false;
        };
        dirs.reverse();
        for dir in dirs {
            if let Err(err) = longhaul_acts::files::remove_dir("tree.cgroup.remove", &dir)
                && !gone(&err)
            {
                tracing::debug!(group = %dir.display(), %err, "cgroup not removed");
                return false;
            }
        }
        true
    }

    /// The group and its sub-groups, parents first.
    fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut all = vec![(self.path.clone(), 0)];
        let mut next = 0;
        while let Some((dir, depth)) = all.get(next).cloned() {
            next += 1;
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(err) if gone(&err) => continue,
                Err(err) => return Err(err),
            };
            for entry in entries.flatten() {
                if depth < MAX_DEPTH && entry.file_type().is_ok_and(|t| t.is_dir()) {
                    all.push((entry.path(), depth + 1));
                }
            }
        }
        Ok(all.into_iter().map(|(dir, _)| dir).collect())
    }
}

fn gone(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(libc::ENODEV)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_folder_is_found_in_hybrid_nested_and_namespaced_layouts() {
        let at = |m, c| locate(m, c).map(|p| p.display().to_string());
        assert_eq!(
            at(HYBRID, "1:cpu:/\n0::/\n").as_deref(),
            Some("/sys/fs/cgroup/unified/")
        );
        let plain = "25 1 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";
        assert_eq!(
            at(plain, "0::/user.slice/s.scope\n").as_deref(),
            Some("/sys/fs/cgroup/user.slice/s.scope")
        );
        let bound = "25 1 0:22 /user.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            at(bound, "0::/user.slice/s.scope\n").as_deref(),
            Some("/sys/fs/cgroup/s.scope")
        );
        assert_eq!(at(plain, "0::/../outside\n"), None);
        assert_eq!(at(plain, "4:memory:/x\n"), None);
        assert_eq!(at("", "0::/\n"), None);
    }
}
