//! A whole process tree: who belongs to it, and ending it until none remain (I8).
//!
//! A process belongs to a job if it descends from one of the job's known processes, or carries the
//! job's spawn key in its environment, or sits in the job's cgroup. A process group would not do:
//! agents' tools start sessions of their own.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::identity::{BootId, Liveness, ProcessIdentity, Signal, SignalOutcome};
use crate::procfs::{self, Stat};
use crate::spec::SPAWN_KEY_ENV;

/// How long SIGKILL may take before a process (stuck in the kernel) is reported as a survivor.
pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one job's processes.
#[derive(Clone, Debug)]
pub struct Tree {
    key: String,
    roots: Vec<ProcessIdentity>,
    cgroup: Option<Cgroup>,
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepOutcome {
    /// Nobody remains; looked twice.
    Clean,
    /// Some did not even end by SIGKILL within 10 s: stuck in the kernel, or not ours to signal.
    Survivors,
    /// The system would not say who runs; whoever could not be told apart was left alone (I6).
    Unknown,
}

/// What a sweep did.
#[must_use = "survivors or an unknown outcome mean that the tree may still be working"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepReport {
    /// How it ended.
    pub outcome: SweepOutcome,
    /// How many processes were asked to end.
    pub signalled: usize,
    /// How many of them needed SIGKILL (with a cgroup: an estimate).
    pub killed: usize,
    /// Who was still there at the end.
    pub survivors: Vec<ProcessIdentity>,
}

impl Tree {
    /// The tree of the job `key`: whatever descends from `roots`, carries the key, or is in the
    /// cgroup (`cgroup` is ignored unless its name is that of this job).
    #[must_use]
    pub fn new(key: &str, roots: Vec<ProcessIdentity>, cgroup: Option<&Path>) -> Self {
        Self {
            key: key.to_owned(),
            roots,
            cgroup: cgroup.and_then(|path| Cgroup::recorded(path, key)),
        }
    }

    /// The tree of a job of which only the key is known: its cgroup is looked for by name.
    #[must_use]
    pub fn of_key(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            roots: Vec::new(),
            cgroup: Cgroup::found(key),
        }
    }

    /// Everyone who belongs to the job now, but for the calling process.
    ///
    /// # Errors
    /// When `/proc` or the cgroup cannot be read: then nobody knows, and nobody may be killed.
    pub fn members(&self) -> io::Result<Vec<ProcessIdentity>> {
        let boot = BootId::current()?;
        Ok(self
            .stats(&boot)?
            .into_iter()
            .map(|stat| ProcessIdentity {
                pid: stat.pid,
                start_ticks: stat.start_ticks,
                boot_id: boot.clone(),
            })
            .collect())
    }

    /// CPU time used so far by the job, for telling an idle tree from a busy one (T14): as its cgroup
    /// counts it, else that of its live processes and the children they reaped. Without a cgroup every
    /// process of the machine is looked at.
    ///
    /// # Errors
    /// As [`Tree::members`].
    pub fn cpu_time(&self) -> io::Result<Duration> {
        if let Some(used) = self.cgroup.as_ref().and_then(Cgroup::cpu_time) {
            return Ok(used);
        }
        let boot = BootId::current()?;
        let ticks: u64 = self.stats(&boot)?.iter().map(|stat| stat.cpu_ticks).sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Duration::from_millis(
            ticks.saturating_mul(1000) / per_second,
        ))
    }

    fn stats(&self, boot: &BootId) -> io::Result<Vec<Stat>> {
        let everyone = procfs::everyone()?;
        let in_group: HashSet<u32> = match &self.cgroup {
            Some(group) => group.members()?.into_iter().collect(),
            None => HashSet::new(),
        };
        let by_pid: HashMap<u32, Stat> = everyone.iter().map(|stat| (stat.pid, *stat)).collect();
        let roots: HashSet<u32> = self
            .roots
            .iter()
            .filter(|root| root.boot_id == *boot)
            .filter(|root| {
                by_pid
                    .get(&root.pid)
                    .is_some_and(|stat| stat.start_ticks == root.start_ticks)
            })
            .map(|root| root.pid)
            .collect();
        // Nobody can carry the key who started before the job did.
        let since = self
            .roots
            .iter()
            .filter(|root| root.boot_id == *boot)
            .map(|root| root.start_ticks)
            .min()
            .unwrap_or(0);
        let me = std::process::id();
        Ok(everyone
            .into_iter()
            .filter(|stat| stat.pid != me && stat.pid != 1)
            .filter(|stat| {
                in_group.contains(&stat.pid)
                    || roots.contains(&stat.pid)
                    || descends(stat, &roots, &by_pid)
                    || (stat.start_ticks >= since && self.carries_key(stat.pid))
            })
            .collect())
    }

    /// Whether the process was started with this job's key. An environment that may not be read is
    /// no reason to kill.
    fn carries_key(&self, pid: u32) -> bool {
        procfs::environ_value(pid, SPAWN_KEY_ENV)
            .is_ok_and(|value| value.is_some_and(|value| value == self.key.as_bytes()))
    }

    /// Ends the whole tree: TERM, then after `grace` KILL, until nobody remains, looked at twice.
    /// Blocks; never call it on an async thread. Also removes the job's cgroup.
    pub fn sweep(&self, grace: Duration) -> SweepReport {
        let mut stop = Stopping::new(grace);
        let mut empty_looks = 0;
        let mut pause = Duration::from_millis(1);
        loop {
            let members = match self.members() {
                Ok(members) => members,
                Err(err) => {
                    tracing::warn!(key = self.key, %err, "cannot tell who runs; nobody is killed");
                    return stop.report(SweepOutcome::Unknown, Vec::new());
                }
            };
            if members.is_empty() {
                empty_looks += 1;
                if empty_looks == 2 {
                    self.remove_cgroup();
                    return stop.report(SweepOutcome::Clean, members);
                }
            } else {
                empty_looks = 0;
                if stop.out_of_patience() {
                    return stop.report(SweepOutcome::Survivors, members);
                }
                stop.press(&members, self);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    pub(crate) fn remove_cgroup(&self) -> bool {
        self.cgroup.as_ref().is_none_or(Cgroup::remove)
    }
}

/// One stop in progress: TERM for everyone seen, KILL for everyone once the grace is over.
#[derive(Debug)]
pub(crate) struct Stopping {
    kill_at: Instant,
    asked: HashSet<(u32, u64)>,
    forced: HashSet<(u32, u64)>,
}

impl Stopping {
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            kill_at: far_enough(grace),
            asked: HashSet::new(),
            forced: HashSet::new(),
        }
    }

    /// A second stop may only hasten the end.
    pub(crate) fn hasten(&mut self, grace: Duration) {
        self.kill_at = self.kill_at.min(far_enough(grace));
    }

    pub(crate) fn kill_at(&self) -> Instant {
        self.kill_at
    }

    pub(crate) fn out_of_patience(&self) -> bool {
        Instant::now() >= self.kill_at + KILL_PATIENCE
    }

    /// Signals the members as the time demands.
    pub(crate) fn press(&mut self, members: &[ProcessIdentity], tree: &Tree) {
        let force = Instant::now() >= self.kill_at;
        if force && let Some(group) = &tree.cgroup {
            group.kill();
        }
        for member in members {
            let name = (member.pid, member.start_ticks);
            if force {
                if member.liveness() == Liveness::Alive {
                    self.forced.insert(name);
                }
                self.asked.insert(name);
                note(member, member.signal(Signal::Kill));
            } else if self.asked.insert(name) {
                note(member, member.signal(Signal::Term));
                // A stopped process gets TERM only when it goes on.
                note(member, member.signal(Signal::Continue));
            }
        }
    }

    fn report(&self, outcome: SweepOutcome, survivors: Vec<ProcessIdentity>) -> SweepReport {
        SweepReport {
            outcome,
            signalled: self.asked.len(),
            killed: self.forced.len(),
            survivors,
        }
    }
}

fn note(member: &ProcessIdentity, outcome: SignalOutcome) {
    if outcome == SignalOutcome::Unknown {
        tracing::debug!(pid = member.pid, "signal not delivered");
    }
}

fn far_enough(grace: Duration) -> Instant {
    Instant::now() + grace.min(Duration::from_secs(24 * 3600))
}

/// Whether a chain of live parents leads to a root. Bounded by the number of processes, so that a
/// snapshot torn by pid reuse cannot make it run for ever.
fn descends(stat: &Stat, roots: &HashSet<u32>, by_pid: &HashMap<u32, Stat>) -> bool {
    let mut current = *stat;
    for _ in 0..by_pid.len() {
        if roots.contains(&current.ppid) {
            return true;
        }
        let Some(parent) = by_pid.get(&current.ppid) else {
            return false;
        };
        // A parent younger than its child is somebody else with a reused pid.
        if parent.start_ticks > current.start_ticks {
            return false;
        }
        current = *parent;
    }
    false
}
