//! What must hold when everything is over: intact ledgers, one session per fence, bundles that ended
//! and lost no output, a sound repository. (`cli/tests/kills/audit.rs` asks the same of scenarios.)

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use longhaul_core::ledger::Cause;
use longhaul_core::task::{State, StateWord, Task};
use longhaul_hosts::{Bundle, BundleState, JobLog, LogRead, Stream};
use longhaul_store::{Chain, Reader as _, SqliteReader, TaskFilter};

use crate::acts::Act;

/// What was counted, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) ends: BTreeMap<String, u64>,
    pub(crate) attempts: u64,
    pub(crate) rows: u64,
    pub(crate) bundles: u64,
    pub(crate) without_exit_record: u64,
    pub(crate) wrong: Vec<String>,
}

/// Every stored task, oldest last.
pub(crate) fn all(reader: &SqliteReader) -> Result<Vec<Task>, String> {
    let mut tasks: Vec<Task> = Vec::new();
    loop {
        let filter = TaskFilter {
            limit: 1000,
            after: tasks.last().map(|t| t.id),
            ..TaskFilter::default()
        };
        let page = reader
            .list(&filter)
            .map_err(|e| format!("cannot list: {e}"))?;
        if page.is_empty() {
            return Ok(tasks);
        }
        tasks.extend(page.into_iter().map(|t| t.task));
    }
}

/// Whether a task that wants a person may want one.
pub(crate) fn rightful(task: &Task) -> Result<(), String> {
    let State::NeedsHuman { need } = &task.state else {
        return Ok(());
    };
    match Act::of(&task.name) {
        Some(act) if act.needs.contains(&need.kind) => Ok(()),
        _ => Err(format!("{} needs a person: {need:?}", task.name)),
    }
}

/// Goes through the whole store and all bundles.
pub(crate) fn audit(reader: &SqliteReader, jobs: &Path, cancelled: &BTreeSet<String>) -> Findings {
    let mut found = Findings::default();
    let tasks = match all(reader) {
        Ok(tasks) => tasks,
        Err(why) => {
            found.wrong.push(why);
            return found;
        }
    };
    let mut keys = BTreeSet::new();
    for task in &tasks {
        let act = task.name.rsplit_once('-').map_or("?", |(word, _)| word);
        *found
            .ends
            .entry(format!("{act} {}", task.state.word().as_str()))
            .or_insert(0) += 1;
        if let Err(why) = one(reader, task, cancelled, &mut keys, &mut found) {
            found.wrong.push(why);
        }
    }
    for entry in std::fs::read_dir(jobs).into_iter().flatten().flatten() {
        if let Err(why) = bundle(
            jobs,
            &entry.file_name().to_string_lossy(),
            &keys,
            &mut found,
        ) {
            found.wrong.push(why);
        }
    }
    found
}

fn one(
    reader: &SqliteReader,
    task: &Task,
    cancelled: &BTreeSet<String>,
    keys: &mut BTreeSet<String>,
    found: &mut Findings,
) -> Result<(), String> {
    let name = &task.name;
    let failed = |what: &str| format!("{name}: {what} cannot be read");
    match reader
        .verify_chain(task.id)
        .map_err(|e| format!("{name}: {e}"))?
    {
        Some(Chain::Intact { rows, .. }) if rows == task.version => found.rows += rows,
        other => {
            return Err(format!(
                "{name}: its ledger is {other:?}, version {}",
                task.version
            ));
        }
    }
    let mut started = BTreeSet::new();
    for row in reader.ledger(task.id).map_err(|_| failed("the ledger"))? {
        if row.entry.cause == Cause::SessionStarted && !started.insert(row.entry.fence) {
            return Err(format!("{name}: {:?} started twice", row.entry.fence));
        }
    }
    for attempt in reader
        .attempts(task.id)
        .map_err(|_| failed("the attempts"))?
    {
        found.attempts += 1;
        if !keys.insert(attempt.spawn_key.as_str().to_owned()) {
            return Err(format!("{name}: two attempts share a key"));
        }
    }
    match task.state.word() {
        StateWord::Done => Ok(()),
        StateWord::Cancelled if cancelled.contains(name) => Ok(()),
        StateWord::NeedsHuman => rightful(task),
        other => Err(format!("{name} ended as {other:?}: {:?}", task.state)),
    }
}

fn bundle(
    jobs: &Path,
    name: &str,
    keys: &BTreeSet<String>,
    found: &mut Findings,
) -> Result<(), String> {
    let bundle = Bundle::new(jobs, name).map_err(|e| format!("bundle {name}: {e}"))?;
    found.bundles += 1;
    if name.matches('-').count() == 1 && !keys.contains(name) {
        return Err(format!("the session {name} has no attempt"));
    }
    match bundle.survey().map_err(|e| format!("bundle {name}: {e}"))? {
        BundleState::Exited(record) => {
            if record.survivors != 0 {
                return Err(format!("{name}: {} processes survived", record.survivors));
            }
            for (stream, stats) in [(Stream::Out, &record.out), (Stream::Err, &record.err)] {
                let kept = length(bundle.dir(), stream);
                if stats.lost != 0 || (stats.cut == 0 && kept != Some(stats.bytes)) {
                    return Err(format!("{name} lost output: {stats:?}, {kept:?} on disk"));
                }
            }
            Ok(())
        }
        BundleState::Lost(_) | BundleState::OtherBoot(_) | BundleState::NotStarted => {
            found.without_exit_record += 1;
            Ok(())
        }
        state @ (BundleState::Live(_) | BundleState::Starting | BundleState::Absent) => {
            Err(format!("{name} is not over: {state:?}"))
        }
    }
}

/// Bytes that a log holds, read to its end.
fn length(bundle: &Path, stream: Stream) -> Option<u64> {
    let log = JobLog::new(bundle, stream);
    let mut chunk = vec![0; 64 * 1024];
    let mut at = 0;
    loop {
        match log.read_at(at, &mut chunk).ok()? {
            LogRead::Bytes(0) | LogRead::End => return Some(at),
            LogRead::Bytes(n) => at += n as u64,
            LogRead::Cut { next } => at = next,
        }
    }
}
