//! Who is on the other side of a socket: a person's process or a session's (I17).
//!
//! Authority follows the process: who descends from a shim, was started with a spawn key, or sits in
//! a job's cgroup is a session, whatever it says. What lies above *us* does not count, so that a
//! daemon inside somebody's session can still tell its own people from its own sessions.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cgroup::NAME_PREFIX;
use crate::procfs::{self, Lookup, Stat};
use crate::shim::SHIM_VERB;
use crate::spec::SPAWN_KEY_ENV;

/// Longest chain of parents that is followed.
const MAX_DEPTH: usize = 512;

/// What a peer may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// No session is among its ancestors.
    Person,
    /// It belongs to this job.
    Session {
        /// The job's key.
        key: String,
    },
    /// Its ancestry cannot be read. While a session lives, this counts as a session.
    Unknown,
}

/// Tells whether the process `pid` (from the socket's peer credentials) belongs to a session. Unknown also
/// where it ends meanwhile: its number may be another's.
#[must_use]
pub fn peer_authority(pid: u32) -> Authority {
    judge(pid).unwrap_or(Authority::Unknown)
}

/// The job of this supervisor (its bundles lie directly in `jobs`) that a process belongs to: for
/// programs that act without asking a daemon, about themselves. Jobs of other supervisors do not count, so that
/// somebody's session can work on, and with, a supervisor of its own.
///
/// # Errors
/// The ancestry cannot be read; that may be a session's doing.
pub fn job_of(pid: u32, jobs: &Path) -> io::Result<Option<String>> {
    let jobs = std::fs::canonicalize(jobs).unwrap_or_else(|_| jobs.to_owned());
    let known = |key: &str| {
        let plain = Path::new(key).components().count() == 1;
        plain && std::fs::symlink_metadata(jobs.join(key)).is_ok()
    };
    if let Some(key) = cgroup_key(pid)?.filter(|key| known(key)) {
        return Ok(Some(key));
    }
    // A parent that ends meanwhile leaves its children to the shim: then the way up is another one.
    for _ in 0..5 {
        match job_above(pid, &known)? {
            Way::Up(found) => return Ok(found),
            Way::Broken => {}
        }
    }
    // Ancestors that stay invisible are another user's, where the system hides those.
    Ok(None)
}

/// What the way up from a process came to.
enum Way {
    Up(Option<String>),
    Broken,
}

fn job_above(mut pid: u32, known: &impl Fn(&str) -> bool) -> io::Result<Way> {
    for _ in 0..MAX_DEPTH {
        let Some(stat) = present(pid)? else {
            return Ok(Way::Broken);
        };
        let key = match key_of(&stat) {
            // A process above ours may close its environment to us (the first one of a container
            // does); its command line it cannot, and a shim is known by that.
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied => None,
            key => key?,
        };
        if let Some(key) = key {
            let key = String::from_utf8_lossy(&key).into_owned();
            if known(&key) {
                return Ok(Way::Up(Some(key)));
            }
        }
        if stat.ppid == 0 {
            return Ok(Way::Up(None));
        }
        pid = stat.ppid;
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// What is above us, us included: a way up that comes to it goes on as ours does.
fn own_chain() -> io::Result<HashSet<(u32, u64)>> {
    let mut chain = HashSet::new();
    above_us(|stat| {
        chain.insert((stat.pid, stat.start_ticks));
    })?;
    Ok(chain)
}

/// The keys of ours and of what is above us: they say nothing against others. Only asked for where a key was
/// found, which most peers have none of.
fn own_keys() -> io::Result<HashSet<Vec<u8>>> {
    let mut keys = HashSet::new();
    above_us(|stat| {
        // Unreadable environments above us hold no key that would count for us.
        if let Ok(Some(key)) = procfs::environ_value(stat.pid, SPAWN_KEY_ENV) {
            keys.insert(key);
        }
    })?;
    if let Ok(Some(key)) = cgroup_key(std::process::id()) {
        keys.insert(key.into_bytes());
    }
    Ok(keys)
}

fn above_us(mut each: impl FnMut(&Stat)) -> io::Result<()> {
    let mut pid = std::process::id();
    for _ in 0..MAX_DEPTH {
        let Some(stat) = present(pid)? else { break };
        each(&stat);
        if stat.ppid == 0 {
            break;
        }
        pid = stat.ppid;
    }
    Ok(())
}

fn judge(peer: u32) -> io::Result<Authority> {
    let Some(first) = present(peer)? else {
        return Ok(Authority::Unknown);
    };
    let authority = judge_from(&first)?;
    // The same process before and after: its number was not given to another meanwhile.
    let same = present(peer)?.is_some_and(|now| now.start_ticks == first.start_ticks);
    Ok(if same { authority } else { Authority::Unknown })
}

fn judge_from(peer: &Stat) -> io::Result<Authority> {
    let ours = own_chain()?;
    if let Some(key) = cgroup_key(peer.pid)?
        && !own_keys()?.contains(key.as_bytes())
    {
        return Ok(Authority::Session { key });
    }
    let mut stat = *peer;
    let mut youngest = u64::MAX;
    for _ in 0..MAX_DEPTH {
        if stat.start_ticks > youngest {
            return Ok(Authority::Unknown);
        }
        youngest = stat.start_ticks;
        // Above this point everything is above us, too.
        let is_ours = ours.contains(&(stat.pid, stat.start_ticks));
        if is_ours && stat.pid != std::process::id() {
            return Ok(Authority::Person);
        }
        if let Some(key) = key_of(&stat)?
            && !own_keys()?.contains(&key)
        {
            return Ok(Authority::Session {
                key: String::from_utf8_lossy(&key).into_owned(),
            });
        }
        if stat.ppid == 0 {
            return Ok(Authority::Person);
        }
        // A parent that vanished under us: its children moved elsewhere. Ask again rather than guess.
        let Some(parent) = present(stat.ppid)? else {
            return Ok(Authority::Unknown);
        };
        stat = parent;
    }
    Ok(Authority::Unknown)
}

/// The job that a process was started for, or whose shim it is.
fn key_of(stat: &Stat) -> io::Result<Option<Vec<u8>>> {
    let arguments = procfs::command_line(stat.pid)?;
    if arguments
        .get(1)
        .is_some_and(|verb| verb == SHIM_VERB.as_bytes())
        && let Some(bundle) = arguments.get(2)
    {
        let name = bundle.rsplit(|b| *b == b'/').next().unwrap_or_default();
        return Ok(Some(name.to_vec()));
    }
    match procfs::environ_value(stat.pid, SPAWN_KEY_ENV) {
        Ok(key) => Ok(key),
        // Another user's process was not started by a shim of ours; if it was started by a session
        // (through sudo), its parents tell.
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied && is_foreign(stat.pid) => {
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

fn is_foreign(pid: u32) -> bool {
    let mine = rustix::process::geteuid().as_raw();
    std::fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() != mine)
}

/// The key in the name of the innermost job cgroup around a process.
fn cgroup_key(pid: u32) -> io::Result<Option<String>> {
    let text = match procfs::read_small(&format!("/proc/{pid}/cgroup")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        // A kernel without cgroups.
        Err(err) if procfs::is_absent(&err) && Path::new(&format!("/proc/{pid}")).exists() => {
            return Ok(None);
        }
        Err(err) => return Err(err),
    };
    Ok(text
        .lines()
        .filter_map(|line| line.strip_prefix("0::"))
        .flat_map(|path| path.rsplit('/'))
        .find_map(|part| part.strip_prefix(NAME_PREFIX))
        .map(str::to_owned))
}

fn present(pid: u32) -> io::Result<Option<Stat>> {
    match procfs::lookup(pid) {
        Lookup::Present(stat) => Ok(Some(stat)),
        Lookup::Absent => Ok(None),
        Lookup::Unreadable => Err(io::ErrorKind::PermissionDenied.into()),
    }
}
