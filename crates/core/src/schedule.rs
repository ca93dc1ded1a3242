//! Which ready tasks get a slot (T4). Pure: candidates and load in, ids out.
//!
//! The order is static while a task waits: its key is the time it began to wait minus a bonus for
//! its priority, so age raises every task alike and nothing starves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;
use crate::spec::Priority;
use crate::task::{State, Task};
use crate::time::UnixMs;
use crate::window::Gate;

/// How much earlier than a `normal` task one of this priority counts as having arrived.
const fn bonus_ms(priority: Priority) -> i64 {
    const HOUR_MS: i64 = 3_600_000;
    match priority {
        Priority::Low => -6 * HOUR_MS,
        Priority::Normal => 0,
        Priority::High => 6 * HOUR_MS,
        Priority::Critical => 48 * HOUR_MS,
    }
}

/// The order of those that wait: by arrival, moved by priority; age raises all alike.
pub(crate) const fn arrival_key(priority: Priority, since: UnixMs) -> i64 {
    since.0.saturating_sub(bonus_ms(priority))
}

/// How many sessions may run at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// On this machine.
    pub total: u32,
    /// Per repository.
    pub per_repo: Option<u32>,
    /// Per harness, by name.
    pub per_harness: BTreeMap<String, u32>,
    /// Worktrees that are live or hold unlanded work (L3).
    pub max_workspaces: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            total: 4,
            per_repo: None,
            per_harness: BTreeMap::new(),
            max_workspaces: 200,
        }
    }
}

/// What is in use now.
#[derive(Clone, Debug, Default)]
pub struct Load {
    total: u32,
    repos: HashMap<String, u32>,
    harnesses: HashMap<String, u32>,
    folders: HashMap<String, u32>,
    accounts: HashMap<String, u32>,
    workspaces: u32,
}

impl Load {
    /// Counts an active task.
    pub fn take(&mut self, task: &Task) {
        let terms = &task.terms;
        self.total += 1;
        *self.repos.entry(terms.repo.clone()).or_default() += 1;
        *self.harnesses.entry(terms.harness.clone()).or_default() += 1;
        if let Some(folder) = &terms.exclusive_folder {
            *self.folders.entry(folder.clone()).or_default() += 1;
        }
        if let Some(account) = &task.carry.account {
            *self.accounts.entry(account.clone()).or_default() += 1;
        }
    }

    /// Stops counting a task that [`Load::take`] counted.
    pub fn release(&mut self, task: &Task) {
        let terms = &task.terms;
        self.total = self.total.saturating_sub(1);
        if let Some(n) = self.repos.get_mut(&terms.repo) {
            *n = n.saturating_sub(1);
        }
        if let Some(n) = self.harnesses.get_mut(&terms.harness) {
            *n = n.saturating_sub(1);
        }
        if let Some(folder) = &terms.exclusive_folder
            && let Some(n) = self.folders.get_mut(folder)
        {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.folders.remove(folder);
            }
        }
        if let Some(account) = &task.carry.account
            && let Some(n) = self.accounts.get_mut(account)
        {
            *n = n.saturating_sub(1);
            if *n == 0 {
                self.accounts.remove(account);
            }
        }
    }

    /// Whether an active task works in a folder that only one may use.
    #[must_use]
    pub fn works_in(&self, folder: &str) -> bool {
        self.folders.contains_key(folder)
    }

    /// Sessions of an account home that hold a slot.
    #[must_use]
    pub fn of_account(&self, account: &str) -> u32 {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    /// Sets the number of workspaces that are live or hold unlanded work.
    pub fn set_workspaces(&mut self, n: u32) {
        self.workspaces = n;
    }

    /// Sessions that hold a slot.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// Sessions of a harness that hold a slot.
    #[must_use]
    pub fn of_harness(&self, harness: &str) -> u32 {
        self.harnesses.get(harness).copied().unwrap_or(0)
    }
}

/// Why a ready task does not start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Hindrance {
    /// All slots of this machine are in use.
    Slots {
        /// How many there are.
        limit: u32,
    },
    /// All slots of its repository are in use.
    RepoSlots {
        /// How many there are.
        limit: u32,
    },
    /// All slots of its harness are in use.
    HarnessSlots {
        /// How many there are.
        limit: u32,
    },
    /// Another task works in the same folder.
    Folder,
    /// There are `max_workspaces` workspaces.
    Workspaces {
        /// How many there may be.
        limit: u32,
    },
    /// Its harness or account rests.
    Resting {
        /// Until when.
        until: UnixMs,
    },
    /// Another session proves first that the limit is over (A4).
    Probe,
    /// It was paused.
    Paused,
    /// A back-off runs.
    NotBefore {
        /// Until when.
        at: UnixMs,
    },
    /// Nothing new starts at all (drain, estop, disk floor, memory floor).
    Held {
        /// Why, in words.
        reason: String,
    },
}

/// Gate of what a task's sessions would use at a given time, with the time it rests until.
pub type GateOf<'a> = dyn Fn(&Task) -> (Gate, Option<UnixMs>) + 'a;

/// Says why a task cannot start now, or `None` if it can.
#[must_use]
pub fn hindrance(
    task: &Task,
    load: &Load,
    capacity: &Capacity,
    gate: &GateOf<'_>,
    now: UnixMs,
) -> Option<Hindrance> {
    if task.hold {
        return Some(Hindrance::Paused);
    }
    if let State::Ready {
        not_before: Some(at),
        ..
    } = task.state
        && at > now
    {
        return Some(Hindrance::NotBefore { at });
    }
    let terms = &task.terms;
    match gate(task) {
        (Gate::Open, _) => {}
        // Checks that go on start no session of the harness.
        _ if task.carry.resume_checks.is_some() => {}
        (Gate::Resting, until) => {
            return Some(Hindrance::Resting {
                until: until.unwrap_or(now),
            });
        }
        (Gate::OneProbe, _) if load.of_harness(&terms.harness) > 0 => {
            return Some(Hindrance::Probe);
        }
        (Gate::OneProbe, _) => {}
    }
    if load.total >= capacity.total {
        return Some(Hindrance::Slots {
            limit: capacity.total,
        });
    }
    if let Some(limit) = capacity.per_repo
        && load.repos.get(&terms.repo).copied().unwrap_or(0) >= limit
    {
        return Some(Hindrance::RepoSlots { limit });
    }
    if let Some(&limit) = capacity.per_harness.get(&terms.harness)
        && load.of_harness(&terms.harness) >= limit
    {
        return Some(Hindrance::HarnessSlots { limit });
    }
    match &terms.exclusive_folder {
        Some(folder) if load.works_in(folder) => return Some(Hindrance::Folder),
        None if task.carry.workspace.is_none() && load.workspaces >= capacity.max_workspaces => {
            return Some(Hindrance::Workspaces {
                limit: capacity.max_workspaces,
            });
        }
        _ => {}
    }
    None
}

/// The ready tasks in their order, grouped so that a full class never hides those behind it.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    classes: BTreeMap<Class, BTreeSet<(i64, TaskId)>>,
    keys: HashMap<TaskId, (Class, i64)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    repo: String,
    harness: String,
    folder: Option<String>,
    has_workspace: bool,
    /// What decides on its account home: one that rests must not hide those behind it.
    account: Option<String>,
    variables: Vec<String>,
}

impl Queue {
    /// Puts a ready task in, or moves it.
    pub fn insert(&mut self, task: &Task) {
        self.remove(task.id);
        let State::Ready { since, .. } = task.state else {
            return;
        };
        let class = Class {
            repo: task.terms.repo.clone(),
            harness: task.terms.harness.clone(),
            folder: task.terms.exclusive_folder.clone(),
            has_workspace: task.carry.workspace.is_some(),
            account: task.carry.account.clone(),
            variables: task.terms.variables.clone(),
        };
        let key = arrival_key(task.terms.priority, since);
        self.classes
            .entry(class.clone())
            .or_default()
            .insert((key, task.id));
        self.keys.insert(task.id, (class, key));
    }

    /// Takes a task out, if it is in.
    pub fn remove(&mut self, id: TaskId) {
        if let Some((class, key)) = self.keys.remove(&id)
            && let Some(set) = self.classes.get_mut(&class)
        {
            set.remove(&(key, id));
            if set.is_empty() {
                self.classes.remove(&class);
            }
        }
    }

    /// Number of ready tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if nothing is ready.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The next task that can start, by order; a task that cannot run never blocks those behind it.
    ///
    /// `blocked` says what hinders a task: [`Hindrance::Paused`] and [`Hindrance::NotBefore`] are the
    /// task's own, all others hold for its whole class.
    pub fn next(&self, blocked: impl Fn(TaskId) -> Option<Hindrance>) -> Option<TaskId> {
        let mut best: Option<(i64, TaskId)> = None;
        for set in self.classes.values() {
            for &(key, id) in set {
                if best.is_some_and(|b| b <= (key, id)) {
                    break;
                }
                match blocked(id) {
                    None => {
                        best = Some((key, id));
                        break;
                    }
                    Some(Hindrance::Paused | Hindrance::NotBefore { .. }) => {}
                    Some(_) => break,
                }
            }
        }
        best.map(|(_, id)| id)
    }
}
