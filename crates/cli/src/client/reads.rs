//! Reading without starting anything: from the daemon where one runs, else from its store (I7).

use std::time::Duration;

use longhaul_api::{
    EventView, QueueExplanation, QueueView, ReportView, StatusView, TaskDetail, TaskList,
    TaskQuery, TaskState,
};
use longhaul_core::time::UnixMs;
use longhaul_hosts::LogRead;
use longhaul_server::Phrasing;
use longhaul_server::views::{ViewError, Views};
use longhaul_store::{MemoryStore, Reader, SqliteReader, Store as _, StoreError};

use super::http::encode;
use super::{Client, Presence, look, routes};
use super::{LogRequest, Piece};
use crate::env::Env;
use crate::failure::Failure;
use crate::output::{clock, mask};
use crate::paths::Paths;
use crate::wire::{foresight, logs};

/// Most events of one page.
const PAGE: usize = 1000;

/// How often a database is looked at that cannot be read, and the pause between two looks.
const MAKING_LOOKS: u32 = 50;
/// See [`MAKING_LOOKS`].
const MAKING_PAUSE: Duration = Duration::from_millis(20);

/// The store, empty where there is none yet.
fn stored(paths: &Paths) -> Result<Box<dyn Reader>, StoreError> {
    let database = paths.database();
    if std::fs::metadata(&database).map_or(0, |m| m.len()) == 0 {
        return MemoryStore::new().reader();
    }
    let reader = SqliteReader::open(&database)?;
    // Its tables are made after the file, or never, if the first daemon died in between.
    if !reader.is_made()? {
        return MemoryStore::new().reader();
    }
    reader.newest_seq()?;
    Ok(Box::new(reader))
}

/// Whether a database that is being made right now could fail to be read this way.
const fn may_be_in_the_making(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NoAccess { .. }
            | StoreError::Busy { .. }
            | StoreError::Io { .. }
            | StoreError::Bug { .. }
    )
}

/// A way to read.
pub(crate) enum Reads {
    /// The daemon.
    Daemon(Box<Client>),
    /// The store; nobody writes it now.
    Store(Box<dyn Reader>),
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Daemon(_) => "Reads::Daemon",
            Self::Store(_) => "Reads::Store",
        })
    }
}

impl Reads {
    /// The daemon if it is there, else the store, which is empty where there is none yet.
    ///
    /// # Errors
    /// Something is there and cannot be read.
    pub(crate) fn open(paths: &Paths) -> Result<Self, Failure> {
        for left in (0..MAKING_LOOKS).rev() {
            if let Presence::There(client) = look(paths)? {
                return Ok(Self::Daemon(client));
            }
            // Nobody is there who would tell its own task from others'.
            super::refuse_session(paths)?;
            match stored(paths) {
                Ok(reader) => return Ok(Self::Store(reader)),
                // A daemon that comes up may be making it at this moment.
                Err(error) if left > 0 && may_be_in_the_making(&error) => {
                    std::thread::sleep(MAKING_PAUSE);
                }
                Err(error) => return Err(store(error)),
            }
        }
        Err(Failure::new("the store could not be read"))
    }

    /// Tasks.
    pub(crate) fn tasks(&self, query: &TaskQuery) -> Result<TaskList, Failure> {
        match self {
            Self::Daemon(client) => client.get(&routes::tasks(query)),
            Self::Store(reader) => seen(reader.as_ref(), |v| v.list(query)),
        }
    }

    /// A task by id, beginning of an id, name, or `latest`.
    pub(crate) fn task(&self, reference: &str) -> Result<TaskDetail, Failure> {
        let reference = self.named(reference)?;
        match self {
            Self::Daemon(client) => client.get(&routes::task(&reference)),
            Self::Store(reader) => seen(reader.as_ref(), |v| v.detail(v.resolve(&reference)?)),
        }
    }

    /// `latest` as the id of the newest task; anything else as it is.
    pub(crate) fn named(&self, reference: &str) -> Result<String, Failure> {
        if reference != "latest" {
            return Ok(reference.to_owned());
        }
        let list = self.tasks(&TaskQuery::default())?;
        // Ids begin with the time they were made at.
        let newest = list.tasks.iter().max_by_key(|t| t.id);
        newest.map(|t| t.id.to_string()).ok_or_else(|| {
            Failure::of(
                longhaul_api::ExitCode::NotFound,
                "there is no task yet, so none is the latest",
            )
            .help("`longhaul run tasks.toml` or `longhaul add` hands some in")
        })
    }

    /// The condition of everything.
    pub(crate) fn status(&self) -> Result<StatusView, Failure> {
        match self {
            Self::Daemon(client) => client.get(routes::STATUS),
            Self::Store(reader) => seen(reader.as_ref(), |v| v.status(None)),
        }
    }

    /// The report since a time.
    pub(crate) fn report(&self, since: UnixMs) -> Result<ReportView, Failure> {
        match self {
            Self::Daemon(client) => client.get(&routes::report(since)),
            Self::Store(reader) => seen(reader.as_ref(), |v| v.report(since)),
        }
    }

    /// The merge queue.
    pub(crate) fn queue(&self) -> Result<QueueView, Failure> {
        match self {
            Self::Daemon(client) => client.get(routes::QUEUE),
            Self::Store(reader) => seen(reader.as_ref(), |v| v.queue()),
        }
    }

    /// The merge queue, and who would conflict.
    pub(crate) fn queue_forecast(&self) -> Result<QueueView, Failure> {
        match self {
            Self::Daemon(client) => client.get(routes::QUEUE_FORECAST),
            Self::Store(reader) => {
                let env = Env::of_process();
                let phrasing = Phrasing::new(clock::moment, mask::of(&env));
                let (mut view, watches) = seen(reader.as_ref(), |v| v.queue_watch())?;
                foresight::foretell(&mut view, &watches, &phrasing, &env)?;
                Ok(view)
            }
        }
    }

    /// An entry of the merge queue with its history.
    pub(crate) fn queue_entry(&self, reference: &str) -> Result<QueueExplanation, Failure> {
        match self {
            Self::Daemon(client) => client.get(&routes::queue_entry(reference)),
            Self::Store(reader) => seen(reader.as_ref(), |v| v.queue_entry(reference)),
        }
    }

    /// Stored events after a position; without one the last `last` of them.
    pub(crate) fn events(
        &self,
        after: Option<u64>,
        last: usize,
    ) -> Result<Vec<EventView>, Failure> {
        let mut out: Vec<EventView> = Vec::new();
        let mut from = after.unwrap_or(0);
        loop {
            let page = self.page(from)?;
            let Some(end) = page.last() else { break };
            from = end.seq;
            out.extend(page);
            if after.is_none() && out.len() > last {
                out.drain(..out.len() - last);
            }
        }
        Ok(out)
    }

    /// All stored events of these causes, oldest first.
    pub(crate) fn events_of(&self, causes: &[&str]) -> Result<Vec<EventView>, Failure> {
        let (mut out, mut from) = (Vec::new(), 0);
        loop {
            let page = self.page(from)?;
            let Some(end) = page.last() else { break };
            from = end.seq;
            let wanted = |event: &EventView| causes.contains(&event.cause.as_str());
            out.extend(page.into_iter().filter(wanted));
        }
        Ok(out)
    }

    fn page(&self, from: u64) -> Result<Vec<EventView>, Failure> {
        match self {
            Self::Daemon(client) => client.stored_events(from, PAGE),
            Self::Store(reader) => seen(reader.as_ref(), |v| v.events_after(from, PAGE)),
        }
    }
}

/// Pieces of a log that is read at once.
const CHUNK: usize = 64 << 10;

/// A stored log, piece by piece, from the bundle of its session.
///
/// # Errors
/// The task or the attempt is not there, or the file cannot be read.
pub(crate) fn stored_log(
    reader: &dyn Reader,
    paths: &Paths,
    request: &LogRequest<'_>,
    mut each: impl FnMut(Piece) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (task, fence, attempt) = seen(reader, |v| {
        let task = v.resolve(request.task)?;
        let (fence, number) = v.attempt_fence(task, request.attempt)?;
        Ok((task, fence, number))
    })?;
    let jobs = paths.state_dir.join("jobs");
    let log = logs::of_attempt(&jobs, task, fence, request.stream);
    let mut buffer = vec![0; CHUNK];
    let mut offset = request.offset;
    loop {
        match log.read_at(offset, &mut buffer) {
            Ok(LogRead::Bytes(0) | LogRead::End) => return Ok(()),
            Ok(LogRead::Bytes(n)) => {
                let bytes = hyper::body::Bytes::copy_from_slice(&buffer[..n]);
                each(Piece {
                    offset,
                    attempt,
                    bytes,
                })?;
                offset += n as u64;
            }
            Ok(LogRead::Cut { next }) => offset = next,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => {
                return Err(Failure::new(format!(
                    "cannot read the log of {} in {jobs}",
                    request.task
                ))
                .because(e));
            }
        }
    }
}

/// How many tasks have something running.
pub(crate) fn live_tasks(client: &Client) -> Result<usize, Failure> {
    let list: TaskList = client.get(&routes::tasks(&TaskQuery::default()))?;
    Ok(list.tasks.iter().filter(|t| is_at_work(t.state)).count())
}

/// Whether something of a task in this state runs.
pub(crate) const fn is_at_work(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::Assigned | TaskState::Running | TaskState::Verifying
    )
}

/// A look at the store as of now, told in local time.
fn seen<T>(
    reader: &dyn Reader,
    look: impl FnOnce(&Views<'_>) -> Result<T, ViewError>,
) -> Result<T, Failure> {
    let phrasing = Phrasing::new(clock::moment, mask::of(&Env::of_process()));
    look(&Views::new(reader, &phrasing, clock::now())).map_err(|e| Failure::answered(e.body()))
}

fn store(error: StoreError) -> Failure {
    Failure::answered(ViewError::from(error).body())
}

pub(super) fn query_string(query: &TaskQuery) -> String {
    let mut parts = Vec::new();
    if let Some(states) = &query.state {
        parts.push(format!("state={}", encode(states)));
    }
    if let Some(bucket) = query.bucket {
        parts.push(format!("bucket={}", bucket.word()));
    }
    if let Some(repo) = &query.repo {
        parts.push(format!("repo={}", encode(repo)));
    }
    if let Some(id) = query.submission {
        parts.push(format!("submission={id}"));
    }
    if query.all {
        parts.push("all=true".to_owned());
    }
    parts.join("&")
}
