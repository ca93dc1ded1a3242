//! What is left when every process is gone, and which processes live: bundles of jobs as `hosts`
//! keeps them (lock, identity, exit record), and the table that says what they mean.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::time::UnixMs;

use crate::agent::{Line, Script};

/// Which job of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum JobKind {
    Setup,
    Session,
    Check { check: u16, run: u16 },
}

/// Names a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct JobId {
    pub(crate) task: TaskId,
    pub(crate) fence: Fence,
    pub(crate) kind: JobKind,
}

/// How far a bundle has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The shim starts; no program runs yet.
    Starting,
    /// The program was started: its identity is on disk.
    Started,
    /// The exit record is on disk.
    Exited { success: bool, stop_requested: bool },
}

/// A bundle with its processes.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) boot: u32,
    pub(crate) stage: Stage,
    /// The shim lives and holds the lock.
    pub(crate) shim: bool,
    /// The program, or something of its tree, lives.
    pub(crate) tree: bool,
    pub(crate) stop_requested: bool,
    /// The folder that its program works in, if nobody else may.
    pub(crate) exclusive: Option<String>,
    pub(crate) started_wall: UnixMs,
    pub(crate) started_mono: u64,
    pub(crate) script: Script,
    /// Output so far, with the wall clock of each line.
    pub(crate) log: Vec<(UnixMs, Line)>,
    /// Tells runs of the same bundle apart: a bundle without a program is started anew.
    pub(crate) run: u64,
}

/// What a bundle means (`hosts::BundleState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survey {
    Absent,
    NotStarted,
    Starting,
    Live,
    Exited { success: bool, stop_requested: bool },
    Lost,
    OtherBoot,
}

/// The disk and the process table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) setup_done: BTreeSet<TaskId>,
    /// Workspaces whose trees other hands changed.
    pub(crate) drifted: BTreeSet<TaskId>,
    pub(crate) boot: u32,
}

impl Disk {
    pub(crate) fn survey(&self, id: &JobId) -> Survey {
        let Some(job) = self.jobs.get(id) else {
            return Survey::Absent;
        };
        if let Stage::Exited {
            success,
            stop_requested,
        } = job.stage
        {
            return Survey::Exited {
                success,
                stop_requested,
            };
        }
        match (job.stage, job.boot == self.boot, job.shim) {
            (Stage::Starting, true, true) => Survey::Starting,
            (Stage::Starting, ..) => Survey::NotStarted,
            (_, false, _) => Survey::OtherBoot,
            (_, true, true) => Survey::Live,
            (_, true, false) => Survey::Lost,
        }
    }

    /// Jobs of which something lives.
    pub(crate) fn living(&self) -> impl Iterator<Item = (&JobId, &Job)> {
        self.jobs.iter().filter(|(_, j)| j.tree)
    }

    /// Every process ends at once.
    pub(crate) fn reboot(&mut self) {
        self.boot += 1;
        for job in self.jobs.values_mut() {
            job.shim = false;
            job.tree = false;
        }
    }
}
