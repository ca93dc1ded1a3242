//! One run of one check (T9–T12): a command, a judge, or a reviewer; PASS only where that was said.

use std::time::Duration;

use longhaul_core::fact::{News, Refusal};
use longhaul_core::ids::SpawnKey;
use longhaul_core::spec::{CheckKind, CheckSpec, TaskSpec, WorkspaceKind};
use longhaul_core::task::WorkspaceRef;
use longhaul_core::time::SpanMs;
use longhaul_core::usage::Usage;
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_hosts::ExitRecord;
use longhaul_vcs::{ChangeKind, Oid};

use super::job::{self, JobEnd};
use super::prepare::rules;
use super::shell::{log_tail, outcome_words, shell_job};
use super::trouble::Trouble;
use super::{Desk, again, env, judge, leftovers, prepare, reviewer, seal, tidy};
use crate::event::Event;
use crate::machine::Dispatch;

/// Output kept of a check (T9).
const CHECK_LOG_BYTES: u64 = 64 << 20;
/// Tail kept in the verdict.
const TAIL_BYTES: usize = 16 * 1024;

/// What a check is run on.
pub(super) struct Subject<'a> {
    pub(super) d: &'a Dispatch,
    pub(super) spec: &'a TaskSpec,
    pub(super) check: &'a CheckSpec,
    pub(super) workspace: &'a WorkspaceRef,
    pub(super) commit: String,
    pub(super) key: SpawnKey,
}

/// What came of it.
pub(super) enum Finding {
    /// A verdict.
    Judged(Ruling),
    /// Nobody could be asked to judge: FAIL, but not of the agent's making.
    Unanswered(Ruling, Refusal),
    /// Its process was lost or stopped: no verdict.
    Lost(String),
    /// Nobody knows yet: ask again.
    Unsettled(String),
}

impl Finding {
    /// Whatever was found, it is FAIL for this reason too (I13).
    fn fail(&mut self, why: &str) {
        if let Self::Judged(ruling) = self {
            ruling.pass = false;
            ruling.reason = format!("{}; {why}", ruling.reason);
        }
    }
}

/// Longest reason of a verdict, in characters.
const REASON_CHARS: usize = 1000;

/// A verdict without its frame.
pub(super) struct Ruling {
    pub(super) pass: bool,
    pub(super) reason: String,
    pub(super) exit: Option<i32>,
    pub(super) took_ms: u64,
    pub(super) tail: String,
    pub(super) usage: Usage,
}

impl Ruling {
    /// FAIL without anything to show (I13). Reasons hold words of agents, and errors that quote them: they
    /// are cleaned and cut here (T31).
    pub(super) fn fail(reason: impl AsRef<str>) -> Self {
        let mut reason = longhaul_agents::excerpt(reason.as_ref(), REASON_CHARS);
        if reason.is_empty() {
            reason.push_str("no reason given");
        }
        Self {
            pass: false,
            reason,
            exit: None,
            took_ms: 0,
            tail: String::new(),
            usage: Usage::default(),
        }
    }
}

pub(super) fn check(desk: &Desk, d: &Dispatch, check: u16, run: u16) -> Vec<Event> {
    let (task, fence) = (d.effect.task, d.effect.fence);
    let spec = match desk.spec(task) {
        Ok(spec) => spec,
        Err(unread) if !unread.for_good => return vec![again(&d.effect, &unread.why)],
        Err(unread) => {
            let news = News::CheckLost {
                check,
                run,
                detail: unread.why,
                tree: None,
            };
            return vec![Event::news(task, fence, news)];
        }
    };
    let (Some(wanted), Some(workspace)) =
        (spec.checks.get(usize::from(check)), &d.task.carry.workspace)
    else {
        return vec![again(&d.effect, "its check or workspace is not known")];
    };
    let commit = d
        .task
        .attempt
        .as_ref()
        .and_then(|a| a.sealed.as_ref())
        .map(|s| s.commit.clone());
    let key = SpawnKey::check(task, fence, check, run);
    let subject = Subject {
        d,
        spec: &spec,
        check: wanted,
        workspace,
        commit: commit.unwrap_or_default(),
        key: key.clone(),
    };
    // What is unconfined could plant commands in git; so can a test that the agent wrote (L20).
    let settings = match enter_settings(desk, &subject) {
        Ok(settings) => settings,
        Err(why) => return vec![again(&d.effect, &why)],
    };
    let mut finding = match &wanted.kind {
        CheckKind::Run { command } => run_command(desk, &subject, command),
        CheckKind::Model {
            criterion, model, ..
        } => judge::model(desk, &subject, criterion, model.as_deref()),
        CheckKind::Agent {
            instructions,
            harness,
            model,
            budget,
        } => reviewer::agent(
            desk,
            &subject,
            instructions,
            harness.as_deref(),
            model.as_deref(),
            *budget,
        ),
    };
    let tree = match finding {
        Finding::Unsettled(_) => None,
        Finding::Judged(_) | Finding::Unanswered(..) | Finding::Lost(_) => {
            tidy::forget_temp(desk, &key);
            if let Some(name) = &settings {
                match seal::settings::leave(desk, task, &key, name) {
                    Ok(told) if told.is_empty() => {}
                    Ok(told) => finding.fail(&told.join("; ")),
                    Err(trouble) if trouble.transient => {
                        return vec![again(&d.effect, &trouble.detail)];
                    }
                    Err(trouble) => finding.fail(&trouble.detail),
                }
            }
            if let Err(trouble) = after_files(desk, &subject, check, &mut finding) {
                if trouble.transient {
                    return vec![again(&d.effect, &trouble.detail)];
                }
                finding.fail(&trouble.detail);
            }
            match tree_after(desk, d, &spec) {
                Ok(tree) => tree,
                Err(trouble) if trouble.transient => {
                    return vec![again(&d.effect, &trouble.detail)];
                }
                Err(trouble) => {
                    tracing::warn!(%task, why = trouble.detail, "no tree after a check");
                    None
                }
            }
        }
    };
    let news = match finding {
        Finding::Unsettled(why) => return vec![again(&d.effect, &why)],
        Finding::Lost(detail) => News::CheckLost {
            check,
            run,
            detail,
            tree,
        },
        Finding::Judged(ruling) => News::Judged {
            tree,
            verdict: Box::new(verdict(desk, &subject, (check, run), ruling)),
        },
        Finding::Unanswered(ruling, refusal) => News::CheckUnanswered {
            tree,
            verdict: Box::new(verdict(desk, &subject, (check, run), ruling)),
            refusal,
        },
    };
    vec![Event::news(task, fence, news)]
}

/// A ruling in its frame.
fn verdict(desk: &Desk, s: &Subject<'_>, (check, run): (u16, u16), ruling: Ruling) -> Verdict {
    Verdict {
        fence: s.d.effect.fence,
        check: Some(check),
        name: s.check.name.clone(),
        kind: s.check.kind.word().to_owned(),
        run,
        grade: if ruling.pass {
            Grade::Pass
        } else {
            Grade::Fail
        },
        flaky: false,
        reason: ruling.reason,
        command: words_of(&s.check.kind).to_owned(),
        commit: s.commit.clone(),
        exit: ruling.exit,
        took: SpanMs(ruling.took_ms),
        at: desk.now(),
        tail: ruling.tail,
        evidence: Some(format!("jobs/{}", s.key)),
        usage: ruling.usage,
    }
}

/// Enters the record of git's settings before a check that can reach them.
fn enter_settings(desk: &Desk, s: &Subject<'_>) -> Result<Option<String>, String> {
    if !seal::settings::within_reach(s.spec) || matches!(s.check.kind, CheckKind::Model { .. }) {
        return Ok(None);
    }
    let repo = match s.spec.workspace {
        WorkspaceKind::Worktree => desk
            .repo(&s.spec.repo)
            .map_err(|e| super::desk::chain(&e))?,
        WorkspaceKind::InPlace => {
            prepare::in_place_repo_of(desk, &s.spec.repo)
                .map_err(|t| t.detail)?
                .0
        }
    };
    seal::settings::enter(desk, &s.key, &repo).map(Some)
}

/// Notes the untracked files that a check left, and takes them away when no check of this attempt comes
/// after it: they are no work of the agent's (T9).
fn after_files(
    desk: &Desk,
    s: &Subject<'_>,
    check: u16,
    finding: &mut Finding,
) -> Result<(), Trouble> {
    let words = leftovers::note(desk, s.d, s.spec)?;
    let Finding::Judged(ruling) = finding else {
        return Ok(());
    };
    if let Some(words) = words {
        ruling.reason = format!("{}; {words}", ruling.reason);
    }
    if ruling.pass && usize::from(check) + 1 >= s.spec.checks.len() {
        let (task, fence) = (s.d.effect.task, s.d.effect.fence);
        leftovers::clear(desk, task, fence, s.spec, s.workspace)?;
    }
    Ok(())
}

fn words_of(kind: &CheckKind) -> &str {
    match kind {
        CheckKind::Run { command } => command,
        CheckKind::Model { criterion, .. } => criterion,
        CheckKind::Agent { instructions, .. } => instructions,
    }
}

fn run_command(desk: &Desk, s: &Subject<'_>, command: &str) -> Finding {
    let environment = match env::of_job(desk, s.d.effect.task, s.spec, s.workspace) {
        Ok(environment) => environment,
        Err(missing) => return Finding::Judged(Ruling::fail(missing.detail())),
    };
    let mut job = match shell_job(desk, s.spec, &s.key, command, s.workspace, environment) {
        Ok(job) => job,
        Err(error) => {
            return Finding::Unsettled(format!("cannot make the check's folder: {error}"));
        }
    };
    job.max_log_bytes = CHECK_LOG_BYTES;
    let end = job::run(desk, &job, Duration::from_millis(s.check.timeout.0));
    let (record, reason, pass) = match end {
        JobEnd::Exited(record) if record.stop_requested => {
            return Finding::Lost("stopped".to_owned());
        }
        JobEnd::Exited(record) => {
            let pass = record.is_zero();
            let words = outcome_words(&record.outcome);
            (record, words, pass)
        }
        JobEnd::TimedOut(record) => (
            record,
            format!("took longer than {}", s.check.timeout),
            false,
        ),
        JobEnd::Lost => return Finding::Lost("its shim was killed".to_owned()),
        JobEnd::OtherBoot => return Finding::Lost("the machine was restarted".to_owned()),
        JobEnd::Impossible(why) => return Finding::Judged(Ruling::fail(why)),
        JobEnd::Unsettled(why) => return Finding::Unsettled(why),
    };
    let mut ruling = Ruling {
        pass,
        reason,
        exit: exit_code(&record),
        took_ms: record.duration_ms,
        tail: log_tail(desk, &s.key, TAIL_BYTES),
        usage: Usage::default(),
    };
    // A check that changes what it judges proves nothing (T9).
    match changed_by_check(desk, s) {
        Ok(None) => {}
        Ok(Some(changed)) => {
            ruling.pass = false;
            ruling.reason = format!("{}; {changed}", ruling.reason);
        }
        Err(trouble) if trouble.transient => return Finding::Unsettled(trouble.detail),
        Err(trouble) => {
            ruling.pass = false;
            ruling.reason = format!("{}; {}", ruling.reason, trouble.detail);
        }
    }
    Finding::Judged(ruling)
}

fn exit_code(record: &ExitRecord) -> Option<i32> {
    match record.outcome {
        longhaul_hosts::Outcome::Exited { code } => Some(i32::from(code)),
        _ => None,
    }
}

/// The workspace's tree if the check left another one: files that a check makes are no drift.
pub(super) fn tree_after(
    desk: &Desk,
    d: &Dispatch,
    spec: &TaskSpec,
) -> Result<Option<String>, Trouble> {
    let Some(workspace) = d.task.carry.workspace.as_ref().filter(|w| is_there(w)) else {
        return Ok(None);
    };
    let files = rules(desk, spec, d.effect.task);
    let tree = match spec.workspace {
        WorkspaceKind::Worktree => {
            let repo = desk.repo(&spec.repo)?;
            let found = seal::find_worktree(&repo, workspace)?;
            let Some(worktree) = found else {
                return Ok(None);
            };
            repo.tree_of(&worktree, &files)
        }
        WorkspaceKind::InPlace => {
            let (repo, worktree) = prepare::in_place_repo_of(desk, &spec.repo)?;
            repo.tree_of(&worktree, &files)
        }
    }?
    .to_string();
    Ok((d.task.carry.end_tree.as_ref() != Some(&tree)).then_some(tree))
}

fn is_there(workspace: &WorkspaceRef) -> bool {
    std::path::Path::new(&workspace.path).is_dir()
}

/// What the check did to that which it judges, in words: tracked files that differ from the sealed
/// commit (T9), a branch that no longer stands at it.
fn changed_by_check(desk: &Desk, s: &Subject<'_>) -> Result<Option<String>, Trouble> {
    if s.spec.workspace != WorkspaceKind::Worktree || s.commit.is_empty() {
        return Ok(None);
    }
    let repo = desk.repo(&s.spec.repo)?;
    let there = is_there(s.workspace);
    let Some(worktree) = seal::find_worktree(&repo, s.workspace)?.filter(|_| there) else {
        return Err(Trouble::for_good("the workspace is gone"));
    };
    let files = rules(desk, s.spec, s.d.effect.task);
    let now = repo.tree_of(&worktree, &files)?;
    let commit: Oid = s
        .commit
        .parse()
        .map_err(|_| Trouble::for_good("there is no commit to judge"))?;
    let changes = repo.changes(&commit, &now)?;
    let tracked: Vec<String> = changes
        .paths
        .iter()
        .filter(|c| c.kind != ChangeKind::Added)
        .take(10)
        .map(|c| c.path.to_string())
        .collect();
    let mut found =
        (!tracked.is_empty()).then(|| format!("the check changed files: {}", tracked.join(", ")));
    let sealed = s.d.task.attempt.as_ref().and_then(|a| a.sealed.as_ref());
    if let Some(branch) = &s.workspace.branch
        && sealed.is_none_or(|sealed| sealed.branch_problem.is_none())
    {
        // The verdict is about one commit; a branch that left it meanwhile has not been checked.
        let tip = repo.ref_commit(&format!("refs/heads/{branch}"))?;
        if tip.as_ref() != Some(&commit) {
            let moved = format!("the branch {branch} moved while the check ran");
            found = Some(found.map_or(moved.clone(), |files| format!("{files}; {moved}")));
        }
    }
    Ok(found)
}
