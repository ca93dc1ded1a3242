//! The end of an attempt whose work is secured: to the checks, back to the queue, to rest, or to a person.

use serde_json::json;

use super::Outcome;
use super::draft::Draft;
use super::verify;
use crate::allow::{allow_lines, runs_commands};
use crate::attempt::{AttemptEnd, Denial, Halt, LostWhy, Sealed};
use crate::home;
use crate::ledger::{Actor, Cause};
use crate::limit::{LimitClass, LimitNotice};
use crate::policy::{Policy, backoff};
use crate::task::{NeedKind, ParkCause, RetryReason, State, Task};
use crate::time::{Now, SpanMs, UnixMs};
use crate::window::Window;

/// A reset that was over longer ago was misread.
const BELIEVED_PAST: SpanMs = SpanMs::from_secs(86_400);

/// Decides what follows a sealed attempt.
pub(super) fn sealed(
    task: &Task,
    end: &AttemptEnd,
    sealed: &Sealed,
    now: Now,
    policy: &Policy,
) -> Outcome {
    if let Some(tree) = &task.carry.approving {
        return approved(task, tree, sealed, now, policy);
    }
    let mut draft = Draft::new(task, now);
    draft.task.carry.end_tree = Some(sealed.tree.clone());
    if sealed.snapshot.is_some() {
        draft.task.carry.snapshot.clone_from(&sealed.snapshot);
    }
    draft.task.carry.diffstat = Some(sealed.diffstat.clone());
    // A person's note was for this attempt, unless something else cut it short, or it came with an
    // order for another attempt while this one was being secured.
    let ordered = matches!(task.halt, Some(Halt::Retry));
    if !ordered
        && matches!(
            end,
            AttemptEnd::Completed { .. }
                | AttemptEnd::AgentError { .. }
                | AttemptEnd::TimedOut
                | AttemptEnd::Idle
        )
    {
        draft.task.carry.note = None;
    }
    let mut conversation = None;
    if let Some(attempt) = &mut draft.task.attempt {
        attempt.sealed = Some(sealed.clone());
        conversation.clone_from(&attempt.conversation);
        draft.task.tally.charge(attempt.usage);
    }
    let resumed_and_failed = matches!(end, AttemptEnd::AgentError { .. })
        && task.attempt.as_ref().is_some_and(|a| a.resumed);
    let sound = !matches!(
        end,
        AttemptEnd::NotResumable
            | AttemptEnd::Halted {
                why: Halt::ModeMismatch { .. }
            }
    ) && !resumed_and_failed;
    draft.task.carry.conversation = conversation.filter(|_| sound);

    if let Some(halt) = task.halt.as_ref().filter(|h| h.is_operator()) {
        return draft.obey_halt(halt, policy);
    }
    if !sealed.escaped.is_empty() {
        return draft.need(
            NeedKind::Escaped,
            format!("the session changed what is not its own: {}", sealed.escaped.join(", ")),
            "look at the repository; what could be put back was; then `longhaul retry`, `approve` or `cancel`",
        );
    }
    match end {
        AttemptEnd::Completed { denials, .. } => completed(draft, sealed, denials, policy),
        AttemptEnd::AgentError { message } => draft.retry(
            RetryReason::Ended { end: end.clone() },
            message.clone(),
            policy,
        ),
        AttemptEnd::TimedOut => {
            let detail = format!("ran longer than {}", task.terms.timeout);
            draft.retry(RetryReason::Ended { end: end.clone() }, detail, policy)
        }
        AttemptEnd::Idle => {
            let detail = format!("gave no sign of life for {}", task.terms.idle_timeout);
            draft.retry(RetryReason::Ended { end: end.clone() }, detail, policy)
        }
        AttemptEnd::Limited { notice } => limited(draft, notice, policy),
        AttemptEnd::Crashed { detail } => {
            let detail = format!("the agent ended without finishing: {detail}");
            draft.restart(RetryReason::Ended { end: end.clone() }, detail, policy)
        }
        AttemptEnd::Lost { why } => {
            let detail = match why {
                LostWhy::Shim => "the session was lost",
                LostWhy::Reboot => "the machine was restarted",
            };
            draft.restart(
                RetryReason::Ended { end: end.clone() },
                detail.to_owned(),
                policy,
            )
        }
        AttemptEnd::NotResumable => {
            let detail = "the agent no longer knew the conversation".to_owned();
            draft.restart(RetryReason::Ended { end: end.clone() }, detail, policy)
        }
        AttemptEnd::LaunchFailed { detail, permanent } => {
            if *permanent {
                draft.need(
                    NeedKind::CannotLaunch,
                    detail.clone(),
                    "mend it (`longhaul doctor` lists the harnesses), then `longhaul retry`",
                )
            } else {
                draft.restart(
                    RetryReason::Ended { end: end.clone() },
                    detail.clone(),
                    policy,
                )
            }
        }
        AttemptEnd::Halted { why } => halted(draft, why, policy),
    }
}

/// The leftovers of approved work are committed: exactly the tree that was shown (T8), or nothing.
fn approved(task: &Task, tree: &str, sealed: &Sealed, now: Now, policy: &Policy) -> Outcome {
    if sealed.loose {
        return Outcome::Ignore("tells of the work as it was before it was approved");
    }
    let mut draft = Draft::new(task, now);
    draft.task.carry.approving = None;
    if let Some(halt) = task.halt.as_ref().filter(|h| h.is_operator()) {
        return draft.obey_halt(halt, policy);
    }
    if sealed.tree != tree {
        return draft.need(
            NeedKind::Drift,
            "the workspace is no longer what was approved".to_owned(),
            "look at it (`longhaul workspace diff`); `longhaul retry` goes on from what is there, `longhaul undo` puts the last snapshot back",
        );
    }
    if let Some(attempt) = &mut draft.task.attempt {
        attempt.sealed = Some(sealed.clone());
    }
    draft.task.carry.end_tree = Some(sealed.tree.clone());
    let data = json!({ "commit": sealed.commit, "tree": sealed.tree });
    draft.finish(Cause::OperatorApprove, Actor::Operator, data)
}

fn halted(mut draft: Draft, why: &Halt, policy: &Policy) -> Outcome {
    match why {
        Halt::Budget => {
            let spent = draft.task.tally.spent;
            let detail = format!(
                "the task's budget is used up: {} tokens{}",
                spent.tokens(),
                spent.cost.map(|c| format!(", {c}")).unwrap_or_default()
            );
            draft.need(
                NeedKind::Budget,
                detail,
                "its work is kept; `longhaul retry --add-budget USD` (or `--add-tokens N`), `approve` or `cancel`",
            )
        }
        Halt::ModeMismatch { wanted, got } => draft.need(
            NeedKind::ModeMismatch,
            format!("the agent runs in permission mode {got:?} although it was given {wanted:?}"),
            "look at the agent's own settings, then `longhaul retry`",
        ),
        Halt::Unanswered { question } => {
            draft.task.tally.unanswered += 1;
            if draft.task.tally.unanswered > 1 {
                return draft.need(
                    NeedKind::Question,
                    format!("the agent asked: {question}"),
                    "answer with `longhaul retry --note TEXT`, or `cancel`",
                );
            }
            let end = AttemptEnd::Halted { why: why.clone() };
            let detail = format!("nobody could answer: {question}");
            draft.restart(RetryReason::Ended { end }, detail, policy)
        }
        Halt::Cancel
        | Halt::Retry
        | Halt::Stop
        | Halt::Drain
        | Halt::Estop
        | Halt::Timeout
        | Halt::Idle => draft.obey_halt(why, policy),
    }
}

/// The built-in checks of a finished turn, then the task's own.
fn completed(mut draft: Draft, sealed: &Sealed, denials: &[Denial], policy: &Policy) -> Outcome {
    draft.task.tally.refusals_in_row = 0;
    draft.task.tally.unanswered = 0;
    if let Some(problem) = &sealed.branch_problem {
        return draft.need(
            NeedKind::Branch,
            problem.clone(),
            "its work is kept under a snapshot; mend the branch, then `longhaul retry`, or `cancel`",
        );
    }
    if !draft.task.carry.messages.is_empty() {
        // The turn is not judged: the agent does not know yet what is wanted.
        draft.task.carry.reason = Some(RetryReason::Said);
        let data = json!({ "messages": draft.task.carry.messages.len() });
        return draft
            .ready(None)
            .change(Cause::NextTurn, Actor::Operator, data);
    }
    if !sealed.protected.is_empty() {
        let reason = format!("changed protected files: {}", sealed.protected.join(", "));
        return verify::built_in_fail(draft, "protect", &reason, policy);
    }
    if draft.task.terms.expect_change && sealed.changed_files == 0 {
        if let Some(denial) = denials.first() {
            let detail = format!(
                "nothing was changed, and the agent was denied {}: {}",
                denial.tool, denial.detail
            );
            return draft.need(
                NeedKind::PermissionDenied,
                detail,
                &permission_remedy(denials),
            );
        }
        return verify::built_in_fail(draft, "change", "no change", policy);
    }
    if sealed.uncommitted {
        let reason = "files were left uncommitted, and `commit = \"agent\"`";
        return verify::built_in_fail(draft, "commit", reason, policy);
    }
    let data = json!({ "commit": sealed.commit, "changed_files": sealed.changed_files });
    if draft.task.terms.flaky_reruns.is_empty() {
        return draft.finish(Cause::Finished, Actor::Daemon, data);
    }
    draft.task.state = State::Verifying {
        check: 0,
        run: 0,
        flaky: 0,
    };
    draft.change(Cause::TurnSealed, Actor::Daemon, data)
}

/// The `allow` line for all commands that were denied (T27); other tools have none.
fn permission_remedy(denials: &[Denial]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for denial in denials.iter().filter(|d| runs_commands(&d.tool)) {
        for line in allow_lines(&denial.detail) {
            // A JSON string is a TOML string.
            let quoted = serde_json::Value::from(line).to_string();
            if !lines.contains(&quoted) {
                lines.push(quoted);
            }
        }
    }
    if lines.is_empty() {
        return "give the task another `permission` and add it again; or `longhaul retry --note TEXT` with another way".to_owned();
    }
    format!(
        "let it with `allow = [{}]` in the task (or another `permission`), then add the task again; or `longhaul retry --note TEXT`",
        lines.join(", ")
    )
}

/// A provider's refusal of the attempt: the next one learns of it.
fn limited(mut draft: Draft, notice: &LimitNotice, policy: &Policy) -> Outcome {
    draft.task.carry.reason = Some(RetryReason::Ended {
        end: AttemptEnd::Limited {
            notice: notice.clone(),
        },
    });
    let scope = draft.task.limit_scope();
    rest(draft, notice, &scope, policy)
}

/// The reset that was told, as far as it can be believed: one in the far future is cut to the longest
/// rest, one that was over a day ago says nothing.
fn believed(notice: &LimitNotice, now: UnixMs, policy: &Policy) -> Option<UnixMs> {
    let told = notice.reset_at?;
    (told.plus(BELIEVED_PAST) >= now).then(|| told.min(now.plus(policy.longest_rest)))
}

/// A provider's refusal (A4–A7): never burns a retry.
pub(super) fn rest(
    mut draft: Draft,
    notice: &LimitNotice,
    scope: &str,
    policy: &Policy,
) -> Outcome {
    let now = draft.now.wall;
    let harness = scope.to_owned();
    let told = believed(notice, now, policy);
    let until = match notice.class {
        LimitClass::Auth => {
            draft.broken(notice, scope, "login");
            return draft.need(
                NeedKind::LoggedOut,
                format!(
                    "{harness} is logged out or its key is refused: {}",
                    notice.snippet
                ),
                &login_remedy(&harness),
            );
        }
        LimitClass::Billing => {
            draft.broken(notice, scope, "credit");
            return draft.need(
                NeedKind::Billing,
                format!("the provider refuses for billing: {}", notice.snippet),
                &match home::of_scope(scope) {
                    Some(account) => format!(
                        "settle it with the provider, then `longhaul account enable {account}`"
                    ),
                    None => "settle it with the provider, then `longhaul retry`".to_owned(),
                },
            );
        }
        LimitClass::Quota => {
            let reset = told.unwrap_or_else(|| now.plus(policy.quota_unknown_wait));
            if reset > now {
                reset
            } else {
                // Said too late or rounded down: asking again at once would be refused again.
                now.plus(policy.throttle_wait)
            }
        }
        LimitClass::Throttle | LimitClass::Overload => {
            let n = draft.task.tally.refusals_in_row;
            draft.task.tally.refusals_in_row = n + 1;
            if n + 1 >= policy.max_refusals {
                let times = n + 1;
                return draft.need(
                    NeedKind::RestartsExhausted,
                    format!(
                        "the service refused {times} times in a row: {}",
                        notice.snippet
                    ),
                    "look at the provider's status, then `longhaul retry`",
                );
            }
            let wait = if notice.class == LimitClass::Throttle {
                backoff(policy.throttle_wait, policy.overload_max, n)
            } else {
                backoff(policy.overload_min, policy.overload_max, n)
            };
            told.unwrap_or(now).max(now.plus(wait))
        }
    };
    if notice.class == LimitClass::Quota {
        draft.window = Some(Window {
            scope: harness.clone(),
            class: notice.class,
            name: notice.window.clone(),
            until,
            seen_at: now,
            seen_by: draft.task.id,
        });
    }
    let wake = until.plus(draft.jitter(policy.reset_jitter));
    let data = json!({
        "class": notice.class, "until": wake, "window": notice.window, "snippet": notice.snippet,
        "told": notice.reset_at, "scope": harness,
    });
    let cause = ParkCause::Limit {
        class: notice.class,
        scope: harness,
        window: notice.window.clone(),
    };
    draft
        .park(cause, Some(wake))
        .change(Cause::Limit, Actor::Session, data)
}

fn login_remedy(harness: &str) -> String {
    if let Some(account) = home::of_scope(harness) {
        return format!(
            "log in again in its home (`longhaul account show {account}` tells how), then `longhaul account enable {account}`"
        );
    }
    let command = match harness {
        "claude" => "claude /login",
        "codex" => "codex login",
        "gemini" => "gemini (choose a login)",
        "opencode" => "opencode auth login",
        _ => {
            return "log in the way it wants, or give it a valid key, then `longhaul retry`"
                .to_owned();
        }
    };
    format!("log in with `{command}` or give it a valid key, then `longhaul retry`")
}
