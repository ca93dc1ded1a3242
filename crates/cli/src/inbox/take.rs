//! From a complete file to a task, once. Moving it to `accepted` under a name with the task's id is the taking; all
//! after it can be done again with the same end.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::mpsc::channel;
use std::time::Duration;

use longhaul_api::{ExitCode, SubmitTask};
use longhaul_config::taskfile::{self, TaskFileInput, name_of_file, parse_single};
use longhaul_core::ids::TaskId;
use longhaul_core::inbox::{Sight, of_taken_name};
use longhaul_engine::handle::{Command, RefusalClass, Reply, Submit};
use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::folders::{self, Entry, Folders};
use super::watch::Means;
use super::{Inbox, report};
use crate::failure::Failure;
use crate::output::text::count;
use crate::submit::file::Facts;
use crate::submit::repo;
use crate::submit::spec::Resolver;
use crate::submit::stored::Stored;

/// How long the dispatcher may take to accept a task.
const ANSWER: Duration = Duration::from_secs(60);

/// Why a file did not become a task now.
#[derive(Debug)]
pub(super) enum Not {
    /// Never: it goes to `failed`.
    Refused(Failure),
    /// Something else is wrong; it is tried again.
    Now(String),
}

/// Why an entry can be no task whatever it holds; `None` for a plain file of the user's.
pub(super) fn no_file(entry: &Entry) -> Option<Failure> {
    let what = match entry.kind {
        FileType::RegularFile => {
            if entry.owner == rustix::process::geteuid().as_raw() {
                return None;
            }
            return Some(Failure::usage("the file belongs to another user").help(
                "only the user whose daemon looks here gives it tasks: copy the file as that user",
            ));
        }
        FileType::Symlink => "a link, and links are not followed",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    Some(Failure::usage(format!("it is {what}")).help("put a plain file of text into the inbox"))
}

/// The name that a file had when it was put into the inbox: also one that was put back from `failed`.
pub(super) fn own_name(name: &str) -> &str {
    of_taken_name(name).map_or(name, |(_, own)| own)
}

/// Reads a file whole and hands it in under this id. `expected` is how it looked when it was found complete.
pub(super) fn hand_in(
    means: &Means,
    inbox: &Inbox,
    folders: &Folders,
    kept: &str,
    id: TaskId,
    expected: Option<Sight>,
) -> Result<(), Not> {
    let bytes = read(folders, kept, expected)?;
    let own = own_name(kept);
    let task = plan(means, inbox, own, id, &bytes)?;
    let digest = Sha256::digest(id.to_string());
    let submit = Submit {
        source: inbox.part("inbox").join(own).into_string(),
        // Two files are two tasks, however alike; the id makes a repetition the same one.
        digest: digest.iter().map(|b| format!("{b:02x}")).collect(),
        again: true,
        tasks: vec![(task.id, task.spec)],
    };
    let (answer, answered) = channel();
    let sent = means.engine.request(Command::Submit(submit), move |reply| {
        drop(answer.send(reply))
    });
    if sent.is_err() {
        return Err(Not::Now("the daemon ends".to_owned()));
    }
    match answered.recv_timeout(ANSWER) {
        Ok(Reply::Submitted { .. }) => Ok(()),
        Ok(Reply::Refused {
            class: RefusalClass::Unavailable,
            message,
        }) => Err(Not::Now(message)),
        Ok(Reply::Refused { message, .. }) => Err(Not::Refused(Failure::usage(message))),
        _ => Err(Not::Now("the daemon does not answer".to_owned())),
    }
}

/// The bytes of a taken file, if they are those that were found complete.
fn read(folders: &Folders, kept: &str, expected: Option<Sight>) -> Result<Vec<u8>, Not> {
    let refused = |what: &str| Not::Refused(Failure::usage(what.to_owned()));
    let changing = || Not::Now("somebody still writes it".to_owned());
    let file = folders::read(&folders.accepted, kept.as_bytes()).map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => {
            Not::Refused(Failure::usage("the file cannot be read").help("chmod u+r it"))
        }
        _ if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            refused("it is a link, and links are not followed")
        }
        _ => Not::Now(e.to_string()),
    })?;
    let sight = |file: &File| {
        let stat = rustix::fs::fstat(file).map_err(|e| Not::Now(e.to_string()))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            Ok(folders::sight(&stat))
        } else {
            Err(refused("it is no plain file"))
        }
    };
    let before = sight(&file)?;
    let moved = |s: Sight| (s.inode, s.size, s.modified_ns);
    if expected.is_some_and(|e| moved(e) != moved(before))
        || longhaul_hosts::has_writer(&file) == Some(true)
    {
        return Err(changing());
    }
    let limit = taskfile::MAX_PROMPT_FILE_BYTES;
    if before.size > limit {
        let limit = longhaul_config::size::format(limit);
        return Err(Not::Refused(
            Failure::usage(format!("the file is larger than {limit}"))
                .help("say what is wanted, and where the rest is to be found"),
        ));
    }
    let mut bytes = Vec::new();
    (&file)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Not::Now(e.to_string()))?;
    if moved(sight(&file)?) != moved(before) || bytes.len() as u64 != before.size {
        return Err(changing());
    }
    Ok(bytes)
}

/// The task that a file asks for.
fn plan(
    means: &Means,
    inbox: &Inbox,
    own: &str,
    id: TaskId,
    bytes: &[u8],
) -> Result<SubmitTask, Not> {
    if own.to_ascii_lowercase().ends_with(".toml") {
        return Err(Not::Refused(
            Failure::usage("a task file is handed in by `longhaul run FILE`")
                .help("an inbox takes what is wanted as text; keys may stand above it between two lines `+++`"),
        ));
    }
    let context = means.context_in(inbox);
    let planned = || -> Result<SubmitTask, Failure> {
        let facts = Facts::of(&context, &inbox.project, false)?;
        let tasks = Stored::new(&context);
        let stored = |text: &str| tasks.task(text).is_ok();
        let path = inbox.part("inbox").join(own);
        let input = TaskFileInput {
            bytes,
            path: &path,
            shown_as: own,
        };
        let single =
            parse_single(input, &name_of_file(own), &facts.context(&stored)).map_err(|found| {
                let n = count(found.items().len(), "mistake");
                Failure::usage(format!("the file has {n}")).detail(found.render(false))
            })?;
        let git = repo::git_on_demand(&context.env)?;
        let home = inbox.project.clone();
        let mut resolver = Resolver::new(&context, git, &facts.settings, &tasks, home);
        let mut planned = resolver.all(vec![single.draft])?;
        let planned = planned
            .pop()
            .ok_or_else(|| Failure::new("the file gives no task"))?;
        Ok(SubmitTask { id, ..planned.task })
    };
    planned().map_err(|failure| match failure.class() {
        ExitCode::Usage | ExitCode::NotFound | ExitCode::Conflict => Not::Refused(failure),
        _ => Not::Now(failure.message()),
    })
}

/// Puts a file away that becomes no task, with the reason beside it. The report comes first: a file in `failed`
/// always has one.
pub(super) fn refuse(
    inbox: &Inbox,
    folders: &Folders,
    from: (&std::os::fd::OwnedFd, &[u8]),
    kept: &str,
    why: &Failure,
) -> io::Result<()> {
    let text = report::refusal(inbox, own_name(kept), kept, why);
    folders::place(&folders.failed, &report::name(kept), text.as_bytes())?;
    folders::carry(from, (&folders.failed, kept))?;
    tracing::warn!(
        inbox = inbox.name,
        file = kept,
        why = %why,
        "a file was not taken"
    );
    Ok(())
}
