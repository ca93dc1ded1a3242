//! Who would conflict: which heads are looked at, and what git said of them (L10, L13). Asking git is
//! the caller's.

use std::collections::HashSet;

use longhaul_api::{ConflictView, ForecastView, HeadView, MeetingView, QueueView};
use longhaul_core::ids::TaskId;
use longhaul_core::queue::{
    ConflictPath, EntryId, Forecast, Foreseen, Head, HeadAt, Line, LineId, Meeting, Standing,
    standing,
};
use longhaul_core::task::{State, Task};
use longhaul_store::{StoreError, TaskFilter};

use super::list::LIVE_MAX;
use super::{ViewError, Views};
use crate::wording::Phrasing;

/// Most heads of a line that are looked at.
const HEADS: usize = 100;

/// A line's question to git.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The line.
    pub line: LineId,
    watched: Vec<Watched>,
    left_out: usize,
}

#[derive(Clone, Debug)]
struct Watched {
    id: EntryId,
    title: String,
    task: Option<TaskId>,
    place: Option<usize>,
    at: HeadAt,
    blocker: Option<String>,
    action: Option<String>,
}

impl Views<'_> {
    /// All lines, and for each what git is to be asked.
    ///
    /// # Errors
    /// The store's own.
    pub fn queue_watch(&self) -> Result<(QueueView, Vec<Watch>), ViewError> {
        let view = self.queue()?;
        let each = self.lines()?.iter().map(|line| self.watch(line));
        Ok((view, each.collect::<Result<_, _>>()?))
    }

    fn watch(&self, line: &Line) -> Result<Watch, StoreError> {
        let mut watched: Vec<Watched> = standing(line).iter().map(entry).collect();
        let known: HashSet<EntryId> = watched.iter().map(|w| w.id).collect();
        let filter = TaskFilter {
            repo: Some(line.id.repo.clone()),
            limit: LIVE_MAX,
            ..TaskFilter::default()
        };
        let mut finished = Vec::new();
        for stored in self.remember(self.reader.list(&filter)?) {
            let task = &stored.task;
            if known.contains(&EntryId::of_task(task.id)) {
                continue;
            }
            let Some(branch) = self.branch(line, task)? else {
                continue;
            };
            // Live ones first: there is still time to tell their agents.
            if matches!(task.state, State::Done { .. }) {
                finished.push(branch);
            } else {
                watched.push(branch);
            }
        }
        watched.append(&mut finished);
        let left_out = watched.len().saturating_sub(HEADS);
        watched.truncate(HEADS);
        Ok(Watch {
            line: line.id.clone(),
            watched,
            left_out,
        })
    }

    /// A task's branch, if it could still come to this line.
    fn branch(&self, line: &Line, task: &Task) -> Result<Option<Watched>, StoreError> {
        let workspace = task.carry.workspace.as_ref();
        let Some(name) = workspace.and_then(|w| w.branch.clone()) else {
            return Ok(None);
        };
        if task.carry.landed.is_some() || matches!(task.state, State::Cancelled) {
            return Ok(None);
        }
        let spec = self.reader.spec(task.id)?;
        if spec.is_none_or(|s| s.base.as_deref() != Some(line.id.base.as_str())) {
            return Ok(None);
        }
        let (blocker, action) = unqueued(task);
        Ok(Some(Watched {
            id: EntryId::of_task(task.id),
            title: task.name.clone(),
            task: Some(task.id),
            place: None,
            at: HeadAt::Branch {
                name,
                snapshot: task.carry.snapshot.clone(),
            },
            blocker: Some(blocker.to_owned()),
            action,
        }))
    }
}

fn entry(s: &Standing<'_>) -> Watched {
    let entry = s.entry;
    Watched {
        id: entry.id,
        title: entry.title.clone(),
        task: entry.task(),
        place: Some(s.place),
        at: HeadAt::Commit(entry.commit.clone()),
        blocker: (!s.ready).then(|| s.why.clone()),
        action: s.remedy.map(str::to_owned),
    }
}

/// Why a task's branch is not in the queue, and what can be done.
fn unqueued(task: &Task) -> (&'static str, Option<String>) {
    let name = &task.name;
    match &task.state {
        State::Done { .. } => (
            "it is finished and not in the queue",
            Some(format!("longhaul queue add {name}")),
        ),
        State::Landing { .. } => ("it is on its way into the queue", None),
        State::Assigned { .. } | State::Running { .. } => ("its session is still at work", None),
        State::Verifying { .. } => ("its own checks run", None),
        State::NeedsHuman { .. } => ("it waits for you", Some(format!("longhaul show {name}"))),
        State::Pending | State::Ready { .. } => ("it waits to go on", None),
        State::Parked { .. } => ("it is parked", None),
        State::Cancelled => ("it was cancelled", None),
    }
}

impl Watch {
    /// What git is asked.
    #[must_use]
    pub fn heads(&self) -> Vec<Head> {
        let head = |w: &Watched| Head {
            label: w.title.clone(),
            at: w.at.clone(),
        };
        self.watched.iter().map(head).collect()
    }

    /// What git said, for people.
    #[must_use]
    pub fn told(&self, said: Result<Forecast, String>, p: &Phrasing) -> ForecastView {
        let (forecast, error) = match said {
            Ok(forecast) => (forecast, None),
            Err(why) => (Forecast::default(), Some(p.line(&why))),
        };
        let unknown = Foreseen::default();
        let heads = self.watched.iter().enumerate().map(|(at, watched)| {
            let foreseen = forecast.heads.get(at).unwrap_or(&unknown);
            self.head(watched, foreseen, p)
        });
        ForecastView {
            heads: heads.collect(),
            onto: (!forecast.onto.is_empty()).then_some(forecast.onto),
            left_out: self.left_out,
            error,
        }
    }

    fn head(&self, watched: &Watched, foreseen: &Foreseen, p: &Phrasing) -> HeadView {
        let foreseen_blocker = self.blocker(foreseen);
        let action = match (&watched.action, foreseen.meetings.first()) {
            (Some(action), _) => Some(action.clone()),
            (None, Some(meeting)) => remedy(watched, meeting),
            (None, None) => None,
        };
        HeadView {
            id: watched.id.0.to_string(),
            short_id: watched.id.short(),
            title: p.line(&watched.title),
            task: watched.task,
            place: watched.place,
            commit: foreseen.commit.clone(),
            uncommitted: foreseen.uncommitted,
            paths: foreseen.paths,
            blocker: watched
                .blocker
                .clone()
                .or(foreseen_blocker)
                .map(|why| p.line(&why)),
            action: action.map(|a| p.line(&a)),
            conflicts: foreseen
                .meetings
                .iter()
                .map(|m| self.meeting(m, p))
                .collect(),
        }
    }

    /// What keeps an entry that is ready from landing next.
    fn blocker(&self, foreseen: &Foreseen) -> Option<String> {
        if foreseen.unmergeable {
            return Some("git cannot merge it: another history, or objects are missing".to_owned());
        }
        let first = foreseen.meetings.first()?;
        Some(match first.with {
            None => "conflicts with what has landed".to_owned(),
            Some(at) => format!("conflicts with {} before it", self.title(at)),
        })
    }

    fn title(&self, at: usize) -> &str {
        self.watched.get(at).map_or("another", |w| &w.title)
    }

    fn meeting(&self, meeting: &Meeting, p: &Phrasing) -> MeetingView {
        let with = meeting.with.and_then(|at| self.watched.get(at));
        MeetingView {
            with: with.map(|w| w.id.0.to_string()),
            with_title: p.line(with.map_or(&self.line.base, |w| &w.title)),
            files: meeting.paths.iter().map(|c| file(c, p)).collect(),
            preview: p.clean(&meeting.preview),
            reproduce: meeting.reproduce.as_ref().map(|r| p.line(r)),
        }
    }
}

/// What becomes of a conflict, or what a person can do about it.
fn remedy(watched: &Watched, meeting: &Meeting) -> Option<String> {
    let by_task = watched.task.is_some();
    match (meeting.with, watched.place, by_task) {
        (None, Some(_), true) => Some("goes back to its session when it is tried".to_owned()),
        (None, Some(_), false) => {
            Some("rebase or merge the branch, then longhaul queue add it again".to_owned())
        }
        (Some(_), Some(_), _) => Some("is tried again when that one has landed".to_owned()),
        (_, None, _) => Some(format!(
            "tell its agent: longhaul send {} TEXT",
            watched.title
        )),
    }
}

/// A path of a conflict, for people.
pub(super) fn file(path: &ConflictPath, p: &Phrasing) -> ConflictView {
    ConflictView {
        path: p.line(&path.path),
        kind: path.kind.word().to_owned(),
    }
}
