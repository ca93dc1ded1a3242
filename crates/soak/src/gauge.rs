//! Looking at the processes and the store from outside, and judging whether something grows.

use std::path::Path;

use longhaul_testkit::world::ProcessIdentity;

/// What was seen at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Seconds since the start.
    pub(crate) at: f64,
    /// The daemon, if one ran.
    pub(crate) daemon: u32,
    pub(crate) rss_kib: u64,
    pub(crate) private_kib: u64,
    pub(crate) fds: u64,
    pub(crate) threads: u64,
    /// Dead children that the daemon did not collect.
    pub(crate) zombies: u64,
    pub(crate) shims: u64,
    pub(crate) shim_private_kib: u64,
    pub(crate) processes: u64,
    pub(crate) store_kib: u64,
    pub(crate) wal_kib: u64,
    pub(crate) unfinished: u64,
    pub(crate) finished: u64,
}

impl Sample {
    pub(crate) const HEADER: &str = "seconds,daemon,rss_kib,private_kib,fds,threads,zombies,shims,shim_private_kib,processes,store_kib,wal_kib,unfinished,finished";

    pub(crate) fn line(&self) -> String {
        format!(
            "{:.0},{},{},{},{},{},{},{},{},{},{},{},{},{}",
            self.at,
            self.daemon,
            self.rss_kib,
            self.private_kib,
            self.fds,
            self.threads,
            self.zombies,
            self.shims,
            self.shim_private_kib,
            self.processes,
            self.store_kib,
            self.wal_kib,
            self.unfinished,
            self.finished
        )
    }

    /// Adds what the system tells of the daemon.
    pub(crate) fn look_at(&mut self, daemon: &ProcessIdentity) {
        let proc = Path::new("/proc").join(daemon.pid.to_string());
        self.daemon = daemon.pid;
        (self.rss_kib, self.private_kib) = memory(daemon.pid);
        self.fds = entries(&proc.join("fd"));
        self.threads = entries(&proc.join("task"));
        self.zombies = zombies_of(daemon.pid);
    }
}

/// Resident and private memory of a process, in KiB.
pub(crate) fn memory(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name));
        let number = line.and_then(|l| l.split_whitespace().next());
        number.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    (
        field("Rss:"),
        field("Private_Clean:") + field("Private_Dirty:"),
    )
}

/// Size of a file, in KiB.
pub(crate) fn kib(path: &Path) -> u64 {
    path.metadata().map_or(0, |m| m.len() >> 10)
}

fn entries(folder: &Path) -> u64 {
    std::fs::read_dir(folder).map_or(0, |d| d.count() as u64)
}

fn zombies_of(parent: u32) -> u64 {
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_one = |text: &String| {
        let mut fields = text
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(parent.to_string().as_str())
    };
    processes.filter_map(stat).filter(is_one).count() as u64
}

/// The straight line through points (least squares): where it begins and how much it rises from the
/// first point's time to the last one's.
pub(crate) fn trend(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let (first, last) = (points.first()?.0, points.last()?.0);
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
    let over = points
        .iter()
        .map(|p| (p.0 - mean_x) * (p.1 - mean_y))
        .sum::<f64>();
    let under = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum::<f64>();
    if under <= 0.0 {
        return None;
    }
    let slope = over / under;
    Some((mean_y + slope * (first - mean_x), slope * (last - first)))
}

#[cfg(test)]
mod tests {
    use super::trend;

    #[test]
    fn a_leak_is_told_from_noise() {
        let flat: Vec<_> = (0..100)
            .map(|n| (f64::from(n), 50.0 + f64::from(n % 7)))
            .collect();
        let (begin, rise) = trend(&flat).expect("a line");
        assert!(
            (begin - 53.0).abs() < 1.0 && rise.abs() < 1.0,
            "{begin} {rise}"
        );
        let leak: Vec<_> = flat.iter().map(|(x, y)| (*x, y + x / 10.0)).collect();
        let (_, rise) = trend(&leak).expect("a line");
        assert!((rise - 9.9).abs() < 1.0, "{rise}");
        assert!(trend(&[(1.0, 1.0)]).is_none() && trend(&[]).is_none());
    }
}
