//! What pretended programs do: sessions, set-ups and checks, as a function of seed and job alone.

use longhaul_core::attempt::{AttemptEnd, Denial, Sealed};
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::usage::{MicroUsd, Usage};

use crate::disk::{JobId, JobKind};
use crate::rng::Rng;
use crate::scenario::number_of;

/// A line of a job's output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// The conversation's id.
    Conversation(String),
    /// The permission mode is another one.
    WrongMode,
    /// What was used so far.
    Used(Usage),
    /// A question.
    Question,
    /// The terminal event; a limit's reset counts from the wall clock then.
    End(End),
}

/// A terminal event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// Finished.
    Completed { denied: bool },
    /// An error of the agent.
    Error,
    /// A limit, with the span to its reset.
    Limit(LimitClass, Option<SpanMs>),
    /// The conversation is unknown.
    NotResumable,
}

/// A program's course.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Lines, each so many milliseconds after the start.
    pub(crate) lines: Vec<(u64, Line)>,
    /// When it ends by itself, and whether with success; `None` = never.
    pub(crate) exit: Option<(u64, bool)>,
    /// How long it takes to end after TERM.
    pub(crate) dies_in: u64,
}

fn keyed(seed: u64, what: u64, id: &JobId) -> Rng {
    let (check, run) = match id.kind {
        JobKind::Check { check, run } => (u64::from(check), u64::from(run)),
        JobKind::Session | JobKind::Setup => (0, 0),
    };
    Rng::keyed(&[seed, what, number_of(id.task), id.fence.0, check, run])
}

pub(crate) fn script(seed: u64, id: &JobId, benign: bool) -> Script {
    let mut rng = keyed(seed, 10, id);
    let dies_in = rng.within(0, 10_000);
    match id.kind {
        JobKind::Session => session(&mut rng, id, benign, dies_in),
        JobKind::Setup => {
            let fine = rng.permille(850);
            Script {
                lines: Vec::new(),
                exit: Some((rng.within(100, 30_000), fine)),
                dies_in,
            }
        }
        JobKind::Check { .. } => {
            let fine = rng.permille(700);
            let hangs = rng.permille(30) && !benign;
            let took = rng.within(50, 40_000);
            Script {
                lines: Vec::new(),
                exit: (!hangs).then_some((took, fine)),
                dies_in,
            }
        }
    }
}

fn session(rng: &mut Rng, id: &JobId, benign: bool, dies_in: u64) -> Script {
    let length = rng.within(500, 400_000);
    let mut lines = vec![(
        rng.below(400),
        Line::Conversation(format!("c{}-{}", number_of(id.task), id.fence)),
    )];
    if rng.permille(30) {
        lines.push((450, Line::WrongMode));
    }
    let (tokens, cost) = (rng.within(10, 900), rng.within(10, 900));
    let used = |part: u64| Usage {
        input: tokens * part / 3,
        output: 1,
        cost: Some(MicroUsd(cost * part / 3)),
        ..Usage::default()
    };
    for part in 1..=3 {
        lines.push((length * part / 4 + 500, Line::Used(used(part))));
    }
    let end = |lines: &mut Vec<(u64, Line)>, end: End| {
        lines.push((length + 1_000, Line::End(end)));
        Some((length + 1_200, true))
    };
    let exit = match rng.below(100) {
        0..=54 => end(
            &mut lines,
            End::Completed {
                denied: rng.permille(100),
            },
        ),
        55..=62 => end(&mut lines, End::Error),
        63..=69 => Some((length + 1_000, false)),
        70..=74 => {
            let reset = rng
                .permille(700)
                .then(|| SpanMs(rng.within(0, 5 * 3_600_000)));
            end(&mut lines, End::Limit(LimitClass::Quota, reset))
        }
        75..=78 => end(&mut lines, End::Limit(LimitClass::Throttle, None)),
        79..=82 => {
            let reset = rng.permille(300).then(|| SpanMs(rng.within(0, 600_000)));
            end(&mut lines, End::Limit(LimitClass::Overload, reset))
        }
        83 => end(&mut lines, End::Limit(LimitClass::Auth, None)),
        84 => end(&mut lines, End::Limit(LimitClass::Billing, None)),
        85..=87 => end(&mut lines, End::NotResumable),
        88..=91 => {
            lines.push((length + 1_000, Line::Question));
            None
        }
        // Hangs, or works on for longer than any timeout.
        92..=94 if !benign => None,
        _ => end(&mut lines, End::Completed { denied: false }),
    };
    lines.sort_by_key(|(at, _)| *at);
    Script {
        lines,
        exit,
        dies_in,
    }
}

/// The attempt's end for a terminal event that was written at `at`.
pub(crate) fn attempt_end(end: &End, at: UnixMs) -> AttemptEnd {
    match end {
        End::Completed { denied } => AttemptEnd::Completed {
            summary: "did it".to_owned(),
            denials: denied
                .then(|| Denial {
                    tool: "Bash".to_owned(),
                    detail: "make".to_owned(),
                })
                .into_iter()
                .collect(),
        },
        End::Error => AttemptEnd::AgentError {
            message: "it broke".to_owned(),
        },
        End::Limit(class, reset) => AttemptEnd::Limited {
            notice: LimitNotice {
                class: *class,
                reset_at: reset.map(|span| at.plus(span)),
                window: None,
                snippet: "limit".to_owned(),
            },
        },
        End::NotResumable => AttemptEnd::NotResumable,
    }
}

/// What securing an attempt's work finds.
pub(crate) fn sealed(seed: u64, id: &JobId) -> Sealed {
    let mut rng = keyed(seed, 11, id);
    let text = format!("{}-{}", number_of(id.task), id.fence);
    Sealed {
        commit: format!("c{text}"),
        tree: format!("t{text}"),
        snapshot: Some(format!("s{text}")),
        changed_files: u32::from(rng.permille(920)),
        diffstat: String::new(),
        protected: rng
            .permille(30)
            .then(|| "tests/a".to_owned())
            .into_iter()
            .collect(),
        uncommitted: rng.permille(20),
        loose: false,
        branch_problem: rng.permille(15).then(|| "rewritten".to_owned()),
        escaped: rng
            .permille(15)
            .then(|| "/etc".to_owned())
            .into_iter()
            .collect(),
    }
}

/// Trouble that belongs to a start: `None` = it works, else whether trying again can help.
pub(crate) fn launch_trouble(seed: u64, id: &JobId) -> Option<bool> {
    let mut rng = keyed(seed, 12, id);
    match rng.below(100) {
        0 => Some(false),
        1..=3 => Some(true),
        _ => None,
    }
}

/// Trouble that belongs to a workspace: drift, a conflict, or a fault (permanent or not).
pub(crate) fn workspace_trouble(seed: u64, id: &JobId) -> WorkspaceTrouble {
    let mut rng = keyed(seed, 13, id);
    match rng.below(100) {
        0 => WorkspaceTrouble::Fault { permanent: true },
        1..=4 => WorkspaceTrouble::Fault { permanent: false },
        5..=9 => WorkspaceTrouble::Drift,
        10..=12 => WorkspaceTrouble::Conflict,
        _ => WorkspaceTrouble::None,
    }
}

/// See [`workspace_trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkspaceTrouble {
    None,
    Drift,
    Conflict,
    Fault { permanent: bool },
}
