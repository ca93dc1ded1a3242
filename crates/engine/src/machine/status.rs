//! What the dispatcher tells of itself and of live sessions. Changes nothing.

use longhaul_core::ids::TaskId;
use longhaul_core::schedule::Hindrance;
use longhaul_core::task::{State, Task};
use longhaul_core::time::{Now, UnixMs};
use longhaul_store::Store;

use super::Machine;
use crate::handle::{DaemonStatus, LiveSession, RestingScope};

impl<S: Store> Machine<S> {
    pub(super) fn status(&self, now: Now) -> DaemonStatus {
        let mut resting: Vec<RestingScope> = self
            .windows
            .values()
            .map(|w| RestingScope {
                scope: w.scope.clone(),
                until: w.until,
                window: w.name.clone(),
                probing: w.until <= now.wall,
            })
            .collect();
        resting.sort_by(|a, b| a.scope.cmp(&b.scope));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let sessions = self
            .index
            .tasks()
            .filter(|t| matches!(t.state, State::Running { .. }))
            .count();
        DaemonStatus {
            pid: self.about.pid,
            version: self.about.version.clone(),
            started_at: self.about.started_at,
            sessions: count(sessions),
            slots: self.limits.capacity.total,
            ready: count(self.index.queue().len()),
            draining: self.switches.drain,
            estopped: self.switches.estop,
            holding: self.holding(),
            resting,
        }
    }

    pub(super) fn live_sessions(
        &self,
        tasks: Option<Vec<TaskId>>,
        now: UnixMs,
    ) -> Vec<LiveSession> {
        let one = |task: &Task| {
            let mut live = self
                .live
                .get(&task.id)
                .filter(|(fence, _)| *fence == task.fence)
                .map(|(_, l)| l.clone())
                .unwrap_or_default();
            live.task = Some(task.id);
            if matches!(task.state, State::Ready { .. }) {
                live.hindrance = self.hindrance(task, now).map(|h| explain(&h));
            }
            live
        };
        match tasks {
            Some(ids) => ids
                .iter()
                .filter_map(|id| self.index.get(*id))
                .map(one)
                .collect(),
            None => self
                .index
                .tasks()
                .filter(|t| t.state.word().is_active() || matches!(t.state, State::Ready { .. }))
                .take(1000)
                .map(one)
                .collect(),
        }
    }
}

/// A hindrance in words.
fn explain(h: &Hindrance) -> String {
    match h {
        Hindrance::Slots { limit } => format!("all {limit} slots are in use"),
        Hindrance::RepoSlots { limit } => format!("all {limit} slots of its repository are in use"),
        Hindrance::HarnessSlots { limit } => format!("all {limit} slots of its harness are in use"),
        Hindrance::Folder => "another task works in the same folder".to_owned(),
        Hindrance::Workspaces { limit } => {
            format!("there are {limit} workspaces already; `longhaul workspace gc` frees some")
        }
        Hindrance::Resting { .. } => "its harness rests until a limit is over".to_owned(),
        Hindrance::Probe => "another session proves first that the limit is over".to_owned(),
        Hindrance::Paused => "paused; `longhaul resume` lets it go".to_owned(),
        Hindrance::NotBefore { .. } => "waits a moment before the next attempt".to_owned(),
        Hindrance::Held { reason } => format!("nothing new starts: {reason}"),
    }
}
