//! How a task stands, in a few words, and why a person is needed.

use longhaul_api::NeedView;
use longhaul_core::attempt::AttemptEnd;
use longhaul_core::home::{UNTIL_MENDED, of_scope};
use longhaul_core::limit::LimitClass;
use longhaul_core::spec::Land;
use longhaul_core::task::{
    AssignStep, DoneBasis, ParkCause, RetryReason, RunStep, State, StateWord, Task,
};
use longhaul_core::time::UnixMs;
use longhaul_engine::handle::LiveSession;

use super::{Phrasing, outcome};

/// What a sentence about a task is made from.
pub(crate) struct Scene<'a> {
    /// The task.
    pub(crate) task: &'a Task,
    /// What is known of its live session.
    pub(crate) live: Option<&'a LiveSession>,
    /// Names of its dependencies that are not done.
    pub(crate) waits_for: &'a [String],
    /// The task that blocks its dependencies for good, with its state.
    pub(crate) blocker: Option<(&'a str, StateWord)>,
    /// Name of the check that runs.
    pub(crate) check: Option<&'a str>,
    /// Nothing but a person's word moves it.
    pub(crate) needs_person: bool,
    /// Now.
    pub(crate) now: UnixMs,
    /// Where it stands in the merge queue, if it is there.
    pub(crate) landing: Option<&'a str>,
    /// How to say it.
    pub(crate) phrasing: &'a Phrasing,
}

/// How the task stands.
pub(crate) fn state_line(scene: &Scene<'_>) -> String {
    let task = scene.task;
    let mut line = match &task.state {
        State::Pending => pending(scene),
        State::Ready { not_before, .. } => ready(scene, *not_before),
        State::Assigned {
            step: AssignStep::Workspace,
        } => "prepares its workspace".to_owned(),
        State::Assigned {
            step: AssignStep::Launch,
        } => "starts its session".to_owned(),
        State::Running {
            step: RunStep::Live,
        } => live(scene),
        State::Running {
            step: RunStep::Sealing { .. },
        } => "its work is being secured".to_owned(),
        State::Verifying { check, run, .. } => verifying(scene, *check, *run),
        State::Landing { .. } if task.terms.land == Land::Pr => {
            "its pull request is being opened".to_owned()
        }
        State::Landing { .. } => match scene.landing {
            Some(line) => format!("in the merge queue: {line}"),
            None => "goes to the merge queue".to_owned(),
        },
        State::Parked { cause, until } => parked(scene, cause, *until),
        State::NeedsHuman { need } => scene.phrasing.line(&need.detail),
        State::Done { basis } => done(task, *basis),
        State::Cancelled => "cancelled".to_owned(),
    };
    if let Some(overlap) = task.carry.overlaps.first()
        && !task.state.word().is_final()
    {
        let also = shared(&overlap.name, overlap.paths.iter().map(String::as_str));
        line.push_str(&format!("; {}", scene.phrasing.line(&also)));
    }
    match &task.halt {
        Some(halt) => line.push_str(&format!("; stopping ({})", halt.word())),
        None if task.hold && !task.state.word().is_final() => {
            line.push_str(if scene.needs_person {
                "; paused"
            } else {
                "; pauses after this turn"
            });
        }
        None => {}
    }
    line
}

/// `api-2 changes src/a.rs, too`: who works on the same files (L19).
pub(super) fn shared<'p>(name: &str, paths: impl ExactSizeIterator<Item = &'p str>) -> String {
    let more = match paths.len().saturating_sub(3) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let first = paths.take(3).collect::<Vec<_>>().join(", ");
    format!("{name} changes {first}{more}, too")
}

fn pending(scene: &Scene<'_>) -> String {
    if let Some((name, state)) = scene.blocker {
        return blocked(name, state);
    }
    match scene.waits_for {
        [] => "its dependencies are done; starts at once".to_owned(),
        [one] => format!("waits for {one}"),
        [one, two] => format!("waits for {one} and {two}"),
        [one, two, more @ ..] => format!("waits for {one}, {two} and {} more", more.len()),
    }
}

fn blocked(name: &str, state: StateWord) -> String {
    match state {
        StateWord::Cancelled => format!("waits for {name}, which was cancelled"),
        StateWord::Pending
        | StateWord::Ready
        | StateWord::Assigned
        | StateWord::Running
        | StateWord::Verifying
        | StateWord::Landing
        | StateWord::Parked
        | StateWord::NeedsHuman
        | StateWord::Done => format!("waits for {name}, which needs you"),
    }
}

fn ready(scene: &Scene<'_>, not_before: Option<UnixMs>) -> String {
    let wait = match (not_before, scene.live.and_then(|l| l.hindrance.as_deref())) {
        (Some(at), _) if at > scene.now => {
            format!("starts again at {}", scene.phrasing.at(at, scene.now))
        }
        (_, Some(hindrance)) => scene.phrasing.line(hindrance),
        (_, None) => "waits for a slot".to_owned(),
    };
    match retry_note(scene) {
        Some(note) => format!("{note}; {wait}"),
        None => wait,
    }
}

/// `check tests failed, retry 1 of 2`.
fn retry_note(scene: &Scene<'_>) -> Option<String> {
    let (tally, terms) = (&scene.task.tally, &scene.task.terms);
    let retry = || format!("retry {} of {}", tally.retries, terms.max_retries);
    let restart = || format!("restart {} of {}", tally.restarts, terms.max_restarts);
    Some(match scene.task.carry.reason.as_ref()? {
        RetryReason::CheckFailed { check, .. } => {
            format!("check {} failed, {}", scene.phrasing.line(check), retry())
        }
        RetryReason::Ended { end } => {
            let what = outcome(end, scene.phrasing, scene.now);
            match end {
                AttemptEnd::AgentError { .. } | AttemptEnd::TimedOut | AttemptEnd::Idle => {
                    format!("{what}, {}", retry())
                }
                AttemptEnd::Crashed { .. }
                | AttemptEnd::Lost { .. }
                | AttemptEnd::NotResumable
                | AttemptEnd::LaunchFailed { .. } => format!("{what}, {}", restart()),
                AttemptEnd::Completed { .. }
                | AttemptEnd::Halted { .. }
                | AttemptEnd::Limited { .. } => what,
            }
        }
        RetryReason::Operator => "asked for by a person".to_owned(),
        RetryReason::Said => "a person said something".to_owned(),
        RetryReason::DependencyConflict { .. } => {
            "the results it depends on conflict; the agent resolves that first".to_owned()
        }
        RetryReason::LandConflict {
            report, neutral, ..
        } => {
            let first = report.paths.first().map_or("?", |p| p.path.as_str());
            let more = match report.paths.len().saturating_sub(1) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            format!(
                "conflicts with what has landed ({}{more}); {} session merges it",
                scene.phrasing.line(first),
                if *neutral { "a new" } else { "its" }
            )
        }
        RetryReason::LandRed { check, .. } => format!(
            "{} fails on the merged tree; its session mends it",
            scene.phrasing.line(check)
        ),
    })
}

fn live(scene: &Scene<'_>) -> String {
    let number = scene.task.attempt.as_ref().map_or(0, |a| a.number);
    let text = scene.live.and_then(|live| {
        let p = scene.phrasing;
        if let Some(question) = &live.question {
            Some(format!("asks: {}", p.line(question)))
        } else if let Some(at) = live.retrying_until.filter(|at| *at > scene.now) {
            Some(format!(
                "the agent waits for its provider until {}",
                p.at(at, scene.now)
            ))
        } else {
            Some(p.line(&live.activity)).filter(|a| !a.is_empty())
        }
    });
    match text {
        Some(text) if number > 1 => format!("attempt {number}: {text}"),
        Some(text) => text,
        None => format!("attempt {number} runs"),
    }
}

fn verifying(scene: &Scene<'_>, check: u16, run: u16) -> String {
    let of = scene.task.terms.flaky_reruns.len();
    let name = scene
        .check
        .map_or_else(|| (check + 1).to_string(), |n| scene.phrasing.line(n));
    let again = if run > 0 { ", again" } else { "" };
    format!("check {name} runs ({} of {of}{again})", check + 1)
}

fn parked(scene: &Scene<'_>, cause: &ParkCause, until: Option<UnixMs>) -> String {
    let until = until.map_or_else(
        || "it is over".to_owned(),
        |at| scene.phrasing.at(at, scene.now),
    );
    match cause {
        ParkCause::Limit {
            class,
            scope,
            window,
        } => {
            let scope = scene.phrasing.line(scope);
            let window = window.as_ref().map_or_else(String::new, |w| {
                format!(", {} window", scene.phrasing.line(w))
            });
            match class {
                LimitClass::Quota => format!("waits for {scope} until {until} (limit{window})"),
                LimitClass::Throttle => {
                    format!("waits for {scope} until {until} (asked to slow down)")
                }
                LimitClass::Overload => format!("waits for {scope} until {until} (overloaded)"),
                LimitClass::Billing | LimitClass::Auth => {
                    format!("waits for {scope} until {until} ({})", class.as_str())
                }
            }
        }
        ParkCause::Drained => "parked by a drain".to_owned(),
        ParkCause::Stopped => "stopped by a person".to_owned(),
        ParkCause::Estopped => "stopped by estop".to_owned(),
    }
}

/// ` as 1a2b3c4d5e6f`.
fn landed_at(task: &Task) -> String {
    task.carry.landed.as_ref().map_or_else(String::new, |l| {
        format!(" as {}", l.commit.get(..12).unwrap_or(&l.commit))
    })
}

/// Where the pull request is; cleaned when it was read.
fn proposed_at(task: &Task) -> &str {
    task.carry.pull_request.as_deref().unwrap_or("?")
}

fn done(task: &Task, basis: DoneBasis) -> String {
    match (basis, task.terms.flaky_reruns.len()) {
        (DoneBasis::Verified, 1) => "its check passed".to_owned(),
        (DoneBasis::Verified, n) => format!("all {n} checks passed"),
        (DoneBasis::Unverified, _) => "unverified: it has no checks".to_owned(),
        (DoneBasis::Approved, _) => "approved by a person".to_owned(),
        (DoneBasis::Landed, _) => format!("landed{}", landed_at(task)),
        (DoneBasis::LandedUnverified, _) => format!("landed{}, unverified", landed_at(task)),
        (DoneBasis::Proposed, _) => format!("pull request {}", proposed_at(task)),
        (DoneBasis::ProposedUnverified, _) => {
            format!("pull request {}, unverified", proposed_at(task))
        }
    }
}

/// A remedy whose commands can be pasted: the core names no task in them.
fn with_name(remedy: &str, name: &str) -> String {
    let mut text = remedy.to_owned();
    for verb in [
        "show",
        "logs",
        "retry",
        "approve",
        "cancel",
        "undo",
        "queue add",
        "workspace diff",
    ] {
        for end in ["`", " --"] {
            let bare = format!("`longhaul {verb}{end}");
            text = text.replace(&bare, &format!("`longhaul {verb} {name}{end}"));
        }
    }
    text
}

/// Why a person is needed and what that person can do; `None` where nobody is.
pub(crate) fn need(scene: &Scene<'_>) -> Option<NeedView> {
    let task = scene.task;
    if let State::NeedsHuman { need } = &task.state {
        return Some(NeedView {
            kind: need.kind.word().to_owned(),
            detail: scene.phrasing.line(&need.detail),
            remedy: scene.phrasing.clean(&with_name(&need.remedy, &task.name)),
        });
    }
    if !scene.needs_person {
        return None;
    }
    let name = &task.name;
    let (kind, detail, remedy) = match (&task.state, scene.blocker) {
        (
            State::Parked {
                cause: ParkCause::Stopped,
                ..
            },
            _,
        ) => (
            "stopped",
            "it was stopped; its work is kept".to_owned(),
            if task.carry.resume_checks.is_some() {
                format!(
                    "`longhaul resume {name}` goes on with its checks, `longhaul retry {name}` makes another attempt, `longhaul cancel {name}` gives up"
                )
            } else {
                format!("`longhaul retry {name}` goes on, `longhaul cancel {name}` gives up")
            },
        ),
        (
            State::Parked {
                cause: ParkCause::Drained,
                ..
            },
            _,
        ) => (
            "drained",
            "it was stopped by a drain; its work is kept".to_owned(),
            "`longhaul undrain` goes on".to_owned(),
        ),
        (
            State::Parked {
                cause: ParkCause::Estopped,
                ..
            },
            _,
        ) => (
            "estopped",
            "everything was stopped; its work is kept".to_owned(),
            "`longhaul thaw` goes on".to_owned(),
        ),
        (State::Pending, Some((other, StateWord::Cancelled))) => (
            "dependency",
            blocked(other, StateWord::Cancelled),
            format!("`longhaul cancel {name}`, or add both again"),
        ),
        (State::Pending, Some((other, state))) => (
            "dependency",
            blocked(other, state),
            format!("`longhaul show {other}` says what it needs"),
        ),
        _ => (
            "paused",
            "it was paused".to_owned(),
            format!("`longhaul resume {name}` lets it go on"),
        ),
    };
    Some(NeedView {
        kind: kind.to_owned(),
        detail,
        remedy,
    })
}

/// That a harness or account rests.
pub(crate) fn resting_line(
    scope: &str,
    window: Option<&str>,
    until: UnixMs,
    now: UnixMs,
    p: &Phrasing,
) -> String {
    let scope = p.line(scope);
    let window = window.map_or_else(String::new, |w| format!(" ({})", p.line(w)));
    if until >= UNTIL_MENDED {
        // It rests for a person, not for a time (A7).
        let account = of_scope(&scope).unwrap_or_default();
        format!("{scope} is broken{window}; mend it, then `longhaul account enable {account}`")
    } else if until > now {
        format!("{scope} rests until {}{window}", p.at(until, now))
    } else {
        format!("{scope}: one session proves that its limit is over{window}")
    }
}
