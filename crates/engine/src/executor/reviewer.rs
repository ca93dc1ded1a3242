//! `agent` checks (T11): another session reviews in a disposable checkout and leaves a verdict file.

use std::fs;
use std::io::Read;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_agents::ParserContext;
use longhaul_core::attempt::AttemptEnd;
use longhaul_core::fact::Refusal;
use longhaul_core::home;
use longhaul_core::spec::{Permission, TaskSpec, WorkspaceKind};
use longhaul_core::task::WorkspaceRef;
use longhaul_core::time::UnixMs;
use longhaul_core::usage::MicroUsd;
use longhaul_hosts::{BundleState, JobLog, LogRead, Stream};
use longhaul_vcs::{ErrorClass, Oid, Repo, WorkspacePlan};

use super::check::{Finding, Ruling, Subject};
use super::desk::{Desk, chain};
use super::job::{self, JobEnd};
use super::judge::{VerdictFile, diff, of_file};
use super::session::{Order, end_of, exit_of, start};
use super::shell::workdir;
use super::trouble::Trouble;

/// Where the reviewer leaves its verdict, in its checkout.
const VERDICT_FILE: &str = "longhaul-verdict.json";
/// Longest verdict file that is read.
const VERDICT_BYTES: u64 = 1 << 20;

pub(super) fn agent(
    desk: &Desk,
    s: &Subject<'_>,
    instructions: &str,
    harness: Option<&str>,
    model: Option<&str>,
    budget: Option<MicroUsd>,
) -> Finding {
    if s.spec.workspace != WorkspaceKind::Worktree {
        return Finding::Judged(Ruling::fail(
            "an `agent` check needs workspace = \"worktree\"",
        ));
    }
    let repo = match desk.repo(&s.spec.repo) {
        Ok(repo) => repo,
        Err(error) => return Trouble::from(error).finding(),
    };
    let checkout = match disposable(desk, s, &repo) {
        Ok(checkout) => checkout,
        Err(trouble) => return trouble.finding(),
    };
    let finding = review(desk, s, instructions, harness, model, budget, &checkout);
    if !matches!(finding, Finding::Unsettled(_))
        && let Err(error) = dispose(&repo, &checkout)
    {
        tracing::warn!(%error, "a reviewer's checkout could not be removed");
    }
    finding
}

/// A checkout of the sealed commit for the reviewer alone.
fn disposable(desk: &Desk, s: &Subject<'_>, repo: &Repo) -> Result<WorkspaceRef, Trouble> {
    let commit: Oid = s
        .commit
        .parse()
        .map_err(|_| Trouble::for_good("there is no commit to review"))?;
    let name = format!("review-{}", s.key);
    let path = Utf8Path::new(&s.workspace.path)
        .parent()
        .map_or_else(|| desk.dirs.workspaces(), Utf8Path::to_owned)
        .join(&name);
    let branch = format!(
        "{}/{name}",
        desk.practice_or_own(&s.spec.repo).branch_prefix
    );
    let plan = WorkspacePlan {
        path: path.clone().into_std_path_buf(),
        branch: branch.clone(),
        base: commit,
        lock_reason: format!("longhaul review of task {}", s.d.effect.task),
        restore: None,
    };
    repo.ensure_worktree(&plan).map_err(|e| Trouble {
        transient: e.class() == ErrorClass::Transient,
        detail: chain(&e),
    })?;
    Ok(WorkspaceRef {
        path: path.into_string(),
        branch: Some(branch),
        base: s.commit.clone(),
        start: s.commit.clone(),
        start_tree: s.commit.clone(),
        port_base: None,
    })
}

/// The checkout and its branch go, whatever the reviewer did there: its verdict is all that counts.
fn dispose(repo: &Repo, checkout: &WorkspaceRef) -> Result<(), String> {
    repo.discard_checkout(std::path::Path::new(&checkout.path))
        .map_err(|e| chain(&e))
}

fn review(
    desk: &Desk,
    s: &Subject<'_>,
    instructions: &str,
    harness: Option<&str>,
    model: Option<&str>,
    budget: Option<MicroUsd>,
    checkout: &WorkspaceRef,
) -> Finding {
    let name = harness.unwrap_or(&s.spec.harness);
    let practice = match desk.practice_of(&s.spec.repo) {
        Ok(practice) => practice,
        Err(why) => return Finding::Judged(Ruling::fail(why)),
    };
    let harness = match practice.registry.resolve(name) {
        Ok(harness) => harness,
        Err(error) => return Finding::Judged(Ruling::fail(error.to_string())),
    };
    let diff = match diff(desk, s) {
        Ok(diff) => diff,
        Err(trouble) => return trouble.finding(),
    };
    let prompt = format!(
        "You review another agent's work; you did not write it. Do not change any file but one.\n\n## What the task asked for\n\n{}\n\n## What to review for\n\n{instructions}\n\n## The change\n\nThe working tree holds the finished work. As a diff:\n\n{diff}\n\n## Your answer\n\nWrite the file `{VERDICT_FILE}` in the current folder with exactly this JSON and nothing else:\n{{\"verdict\": \"pass\" or \"fail\", \"reasons\": [\"…\"]}}\nA missing or malformed file counts as fail.\n",
        s.spec.prompt
    );
    // The reviewer is a session of its own: no conversation, no checks, no profile of the author's.
    let spec = TaskSpec {
        harness: harness.name().to_owned(),
        profile: None,
        permission: if s.spec.permission == Permission::Bypass {
            Permission::Bypass
        } else {
            Permission::Edits
        },
        prompt: instructions.to_owned(),
        ..s.spec.clone()
    };
    let account = home_of(desk, s, harness.name());
    let order = Order {
        key: &s.key,
        workspace: checkout,
        prompt,
        resume: None,
        attempt: 1,
        model: model.map(str::to_owned),
        left: budget,
        tokens_left: None,
        fence: s.d.effect.fence,
        account: account.clone(),
    };
    let bundle = match desk.launcher.bundle(s.key.as_str()) {
        Ok(bundle) => bundle,
        Err(error) => return Finding::Unsettled(chain(&error)),
    };
    let state = match bundle.survey() {
        Ok(BundleState::Absent | BundleState::NotStarted) => {
            // What the author left under this name is no verdict.
            let cleared = verdict_path(&spec, checkout).and_then(|path| clear(&path));
            if let Err(why) = cleared {
                return Finding::Judged(Ruling::fail(why));
            }
            match start(desk, &spec, harness, &order, s.d.effect.task) {
                Ok((state, _)) => state,
                Err(why) if why.transient => return Finding::Unsettled(why.detail),
                Err(why) => return Finding::Judged(Ruling::fail(why.detail)),
            }
        }
        Ok(state) => state,
        Err(error) => return Finding::Unsettled(chain(&error)),
    };
    let deadline = Duration::from_millis(s.check.timeout.0);
    let (record, timed_out) = match job::follow(desk, s.key.as_str(), state, deadline) {
        JobEnd::Exited(record) => (record, false),
        JobEnd::TimedOut(record) => (record, true),
        JobEnd::Lost => return Finding::Lost("its shim was killed".to_owned()),
        JobEnd::OtherBoot => return Finding::Lost("the machine was restarted".to_owned()),
        JobEnd::Impossible(why) => return Finding::Judged(Ruling::fail(why)),
        JobEnd::Unsettled(why) => return Finding::Unsettled(why),
    };
    if !timed_out && record.stop_requested {
        return Finding::Lost("stopped".to_owned());
    }
    let mut parser = harness.parser(&ParserContext::default());
    let mut events = Vec::new();
    for (stream, is_out) in [(Stream::Out, true), (Stream::Err, false)] {
        let log = JobLog::new(bundle.dir(), stream);
        let (mut at, mut chunk) = (0, vec![0; 64 * 1024]);
        loop {
            match log.read_at(at, &mut chunk) {
                Ok(LogRead::Bytes(n)) if n > 0 => {
                    at += n as u64;
                    if is_out {
                        parser.push(&chunk[..n], &mut events);
                    } else {
                        parser.push_stderr(&chunk[..n], &mut events);
                    }
                    events.clear();
                }
                Ok(LogRead::Cut { next }) => at = next,
                Ok(LogRead::Bytes(_) | LogRead::End) => break,
                Err(error) => return Finding::Unsettled(error.to_string()),
            }
        }
    }
    let turn = parser.finish(
        exit_of(&record.outcome),
        UnixMs(record.ended_ms),
        &mut events,
    );
    let mut ruling = match end_of(turn) {
        // What it used counts all the same.
        _ if timed_out => {
            Ruling::fail(format!("the reviewer took longer than {}", s.check.timeout))
        }
        AttemptEnd::Completed { .. } => match verdict_path(&spec, checkout) {
            Ok(path) => read_verdict(&path),
            Err(why) => Ruling::fail(why),
        },
        AttemptEnd::Limited { notice } => {
            // No verdict on the work: the task rests without a slot, and the review is run again.
            let mut ruling = Ruling::fail(format!("the reviewer was refused: {}", notice.snippet));
            ruling.usage = parser.usage();
            ruling.took_ms = record.duration_ms;
            let scope = account
                .as_deref()
                .map_or_else(|| harness.name().to_owned(), home::scope);
            return Finding::Unanswered(ruling, Refusal::Limited { scope, notice });
        }
        AttemptEnd::AgentError { message } => {
            Ruling::fail(format!("the reviewer failed: {message}"))
        }
        AttemptEnd::Crashed { detail } => {
            Ruling::fail(format!("the reviewer ended without finishing: {detail}"))
        }
        end => Ruling::fail(format!("the reviewer ended as {}", end.word())),
    };
    ruling.usage = parser.usage();
    ruling.took_ms = record.duration_ms;
    Finding::Judged(ruling)
}

/// The account home of a reviewer: its author's where they are of one harness.
fn home_of(desk: &Desk, s: &Subject<'_>, harness: &str) -> Option<String> {
    if harness == s.spec.harness {
        return s.d.task.carry.account.clone();
    }
    desk.accounts.first_home(harness)
}

/// Where the reviewer leaves its verdict: in the folder that it works in, which has to lie in its
/// checkout, whatever links the author made of the folders above it.
fn verdict_path(spec: &TaskSpec, checkout: &WorkspaceRef) -> Result<Utf8PathBuf, String> {
    let folder = workdir(spec, checkout);
    let (real, top) = (
        folder.canonicalize_utf8(),
        Utf8Path::new(&checkout.path).canonicalize_utf8(),
    );
    match (real, top) {
        (Ok(real), Ok(top)) if real.starts_with(&top) => Ok(real.join(VERDICT_FILE)),
        (Ok(_), Ok(_)) => Err("the folder to review is a link out of the repository".to_owned()),
        (Err(error), _) | (_, Err(error)) => {
            Err(format!("the folder to review cannot be entered: {error}"))
        }
    }
}

/// Removes whatever has the verdict's name.
fn clear(path: &Utf8Path) -> Result<(), String> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            longhaul_acts::files::remove_dir_all("engine.verdict.clear", path)
        }
        Ok(_) => longhaul_acts::files::remove_file("engine.verdict.remove", path),
        Err(_) => Ok(()),
    };
    removed.map_err(|error| format!("an old verdict file cannot be removed: {error}"))
}

/// The verdict file, and nothing else (I13): a link, a long file or unknown fields are FAIL.
fn read_verdict(path: &Utf8Path) -> Ruling {
    match fs::symlink_metadata(path) {
        Err(_) => return Ruling::fail("the reviewer left no verdict file"),
        Ok(meta) if !meta.is_file() => {
            return Ruling::fail("the reviewer's verdict file is not a plain file");
        }
        Ok(meta) if meta.len() > VERDICT_BYTES => {
            return Ruling::fail("the reviewer's verdict file is larger than 1 MiB");
        }
        Ok(_) => {}
    }
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|f| f.take(VERDICT_BYTES).read_to_string(&mut text));
    if read.is_err() {
        return Ruling::fail("the reviewer's verdict file cannot be read");
    }
    of_text(&text)
}

/// The text of a verdict file.
pub(super) fn of_text(text: &str) -> Ruling {
    match serde_json::from_str::<VerdictFile>(text) {
        Ok(file) => {
            let mut ruling = of_file(&file);
            ruling.tail = longhaul_agents::clean_text(text);
            ruling
        }
        Err(error) => Ruling::fail(format!("the reviewer's verdict file is malformed: {error}")),
    }
}
