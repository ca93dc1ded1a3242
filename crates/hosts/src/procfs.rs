//! Reading `/proc`: one process's stat line, everyone's, environments, command lines. Only reading.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};

/// What one `/proc/PID/stat` line says, as far as identity and trees need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) ppid: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// The state letter: `Z` and `X` are dead.
    pub(crate) state: u8,
    /// CPU time of the process and its reaped children, in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// Start time in clock ticks after boot; with the pid and boot id it names one process for ever.
    pub(crate) start_ticks: u64,
}

impl Stat {
    /// A zombie holds a pid but runs no more.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Answer to "is there such a process?"; `Unreadable` is neither yes nor no (I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Present(Stat),
    Absent,
    Unreadable,
}

/// How often the list of pids is read in one look; on a machine that forks all the time it would
/// never be the same twice.
const MAX_LISTINGS: usize = 8;

/// Longest `/proc` file that is taken in.
const MAX_PROC_BYTES: u64 = 4 * 1024 * 1024;

/// Looks one process up.
pub(crate) fn lookup(pid: u32) -> Lookup {
    match read_small(&format!("/proc/{pid}/stat")) {
        Ok(bytes) => parse_stat(&bytes).map_or(Lookup::Unreadable, Lookup::Present),
        Err(err) if is_absent(&err) => {
            // Without a working /proc, "no such file" says nothing.
            if fs::metadata("/proc/self/stat").is_ok() {
                Lookup::Absent
            } else {
                Lookup::Unreadable
            }
        }
        Err(_) => Lookup::Unreadable,
    }
}

/// Every process that is alive and readable now. Those that vanish meanwhile are left out.
///
/// The list of pids is read again until it names nobody new, so that a process born during the look
/// (of a parent that died before its turn) is not missed.
///
/// # Errors
/// When `/proc` itself cannot be listed.
pub(crate) fn everyone() -> io::Result<Vec<Stat>> {
    let mut seen = HashSet::with_capacity(256);
    let mut all = Vec::with_capacity(256);
    for _ in 0..MAX_LISTINGS {
        let mut newcomers = false;
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if !seen.insert(pid) {
                continue;
            }
            newcomers = true;
            if let Lookup::Present(stat) = lookup(pid)
                && !stat.is_dead()
            {
                all.push(stat);
            }
        }
        if !newcomers {
            break;
        }
    }
    if all.is_empty() {
        // We run, so an empty list is a /proc that does not show us.
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(all)
}

/// The value of one variable in the environment a process was started with.
///
/// # Errors
/// When the environment may not be read, or the process is gone.
pub(crate) fn environ_value(pid: u32, name: &str) -> io::Result<Option<Vec<u8>>> {
    let bytes = read_small(&format!("/proc/{pid}/environ"))?;
    Ok(bytes.split(|b| *b == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.to_vec())
    }))
}

/// The arguments a process was started with (or wrote over itself).
///
/// # Errors
/// When they may not be read, or the process is gone.
pub(crate) fn command_line(pid: u32) -> io::Result<Vec<Vec<u8>>> {
    let bytes = read_small(&format!("/proc/{pid}/cmdline"))?;
    Ok(bytes.split(|b| *b == 0).map(<[u8]>::to_vec).collect())
}

/// Whether an error of a `/proc/PID` file means that the process is gone.
pub(crate) fn is_absent(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::NotFound || err.raw_os_error() == Some(libc::ESRCH)
}

/// Reads a `/proc` file, bounded; most of them, environments too, in one piece.
pub(crate) fn read_small(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 << 10);
    File::open(path)?
        .take(MAX_PROC_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Parses a stat line. The command name may hold anything, so fields are counted from the *last*
/// closing parenthesis.
pub(crate) fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|b| *b == b'(')?;
    let close = line.iter().rposition(|b| *b == b')')?;
    let pid = std::str::from_utf8(line.get(..open)?)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        ppid: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        cpu_ticks: (11..15).try_fold(0_u64, |sum, i| Some(sum.saturating_add(number(i)?)))?,
        start_ticks: number(19)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_and_blanks_is_no_trap() {
        let line =
            b"42 (a) R 1 (b) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 987654 1 2\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!(
            (
                stat.pid,
                stat.ppid,
                stat.group,
                stat.state,
                stat.start_ticks,
                stat.cpu_ticks
            ),
            (42, 7, 42, b'S', 987_654, 100)
        );
    }

    #[test]
    fn torn_lines_are_refused() {
        for line in [
            &b""[..],
            b"42",
            b"42 (x",
            b"42 (x)",
            b"42 (x) S 1 2",
            b"\xff (\xff) S",
        ] {
            assert_eq!(parse_stat(line), None);
        }
    }

    #[test]
    fn we_see_ourselves() {
        let me = std::process::id();
        assert!(matches!(lookup(me), Lookup::Present(s) if s.pid == me && !s.is_dead()));
        assert!(everyone().unwrap().iter().any(|s| s.pid == me));
        assert!(matches!(lookup(u32::MAX), Lookup::Absent));
    }
}
