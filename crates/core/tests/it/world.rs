//! Sample tasks and facts that the other tests share.

use longhaul_core::attempt::{AttemptEnd, BootMs, Denial, Halt, LostWhy, Sealed};
use longhaul_core::decide::{Outcome, decide};
use longhaul_core::fact::{Fact, News, Order, Refusal, Release, WorkspaceFault};
use longhaul_core::home::MoveReason;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::overlap::OverlapStrategy;
use longhaul_core::policy::Policy;
use longhaul_core::queue::{
    ConflictKind, ConflictPath, ConflictReport, Judgement, LandNews, Subject,
};
use longhaul_core::spec::{Land, OnDrift, Priority};
use longhaul_core::task::{
    AssignStep, DoneBasis, Need, NeedKind, ParkCause, ResumeChecks, RunStep, State, Task, Terms,
    WorkspaceRef,
};
use longhaul_core::time::{Now, SpanMs, UnixMs};
use longhaul_core::usage::{MicroUsd, Usage};
use longhaul_core::verdict::{Grade, Verdict};
use longhaul_core::window::Window;

pub(crate) const NOW: Now = Now {
    wall: UnixMs(1_000_000),
    mono_ms: 500,
};

pub(crate) fn at(wall: i64) -> Now {
    Now {
        wall: UnixMs(wall),
        mono_ms: 500,
    }
}

pub(crate) fn terms() -> Terms {
    Terms {
        priority: Priority::Normal,
        depends_on: vec![],
        repo: "/repo".into(),
        exclusive_folder: None,
        harness: "claude".into(),
        timeout: SpanMs::from_secs(60),
        idle_timeout: SpanMs::from_secs(10),
        max_retries: 2,
        max_restarts: 2,
        budget: Some(MicroUsd(1_000_000)),
        budget_tokens: None,
        expect_change: true,
        on_drift: OnDrift::Ask,
        flaky_reruns: vec![0, 1],
        land: Land::No,
        variables: Vec::new(),
    }
}

pub(crate) fn fresh() -> Task {
    Task::accept(TaskId::new(1, [7; 10]), "a".into(), terms(), UnixMs(0))
}

/// A task in its first attempt, in the given state.
pub(crate) fn in_state(state: State) -> Task {
    let mut task = step(&fresh(), &Fact::SlotGranted);
    if let Some(a) = &mut task.attempt {
        a.started_at = Some(UnixMs(10));
        a.conversation = Some("c1".into());
        if !matches!(state, State::Assigned { .. } | State::Running { .. }) {
            a.end = Some(AttemptEnd::Completed {
                summary: String::new(),
                denials: vec![],
            });
            a.sealed = Some(sealed());
        }
    }
    task.state = state;
    task
}

pub(crate) fn step(task: &Task, fact: &Fact) -> Task {
    step_at(task, fact, NOW)
}

pub(crate) fn step_at(task: &Task, fact: &Fact, now: Now) -> Task {
    match decide(task, fact, now, &Policy::default()) {
        Outcome::Change(c) => c.task,
        other => panic!("{:?} + {fact:?} -> {other:?}", task.state),
    }
}

pub(crate) fn news(task: &Task, news: News) -> Fact {
    Fact::Attempt {
        fence: task.fence,
        news,
    }
}

pub(crate) fn sealed() -> Sealed {
    Sealed {
        commit: "c0ffee".into(),
        tree: "beef".into(),
        changed_files: 1,
        ..Sealed::default()
    }
}

pub(crate) fn completed() -> AttemptEnd {
    AttemptEnd::Completed {
        summary: "did it".into(),
        denials: vec![],
    }
}

pub(crate) fn notice(class: LimitClass, reset_at: Option<i64>) -> LimitNotice {
    LimitNotice {
        class,
        reset_at: reset_at.map(UnixMs),
        window: None,
        snippet: "limit".into(),
    }
}

pub(crate) fn usage(cost: u64) -> Usage {
    Usage {
        input: 10,
        output: 5,
        cost: Some(MicroUsd(cost)),
        ..Usage::default()
    }
}

pub(crate) fn verdict(task: &Task, check: u16, run: u16, grade: Grade) -> Verdict {
    Verdict {
        fence: task.fence,
        check: Some(check),
        name: format!("check-{check}"),
        kind: "run".into(),
        run,
        grade,
        flaky: false,
        reason: "exit 1".into(),
        command: "make test".into(),
        commit: "c0ffee".into(),
        exit: Some(1),
        took: SpanMs(5),
        at: UnixMs(0),
        tail: "boom".into(),
        evidence: None,
        usage: Usage::default(),
    }
}

pub(crate) fn workspace() -> WorkspaceRef {
    WorkspaceRef {
        path: "/ws".into(),
        branch: Some("longhaul/a".into()),
        base: "b".into(),
        start: "b".into(),
        start_tree: "t".into(),
        port_base: None,
    }
}

/// A task whose checks were cut short at the second run of the first.
pub(crate) fn cut_short(state: State) -> Task {
    let mut task = in_state(State::Verifying {
        check: 0,
        run: 0,
        flaky: 0,
    });
    task.carry.resume_checks = Some(RESUMES);
    task.state = state;
    task
}

pub(crate) const RESUMES: ResumeChecks = ResumeChecks {
    check: 0,
    run: 1,
    flaky: 0,
    round: 1,
};

/// A task whose attempt left uncommitted work.
pub(crate) fn loose(state: State) -> Task {
    let mut task = in_state(State::Parked {
        cause: ParkCause::Stopped,
        until: None,
    });
    if let Some(attempt) = &mut task.attempt {
        attempt.end = Some(AttemptEnd::TimedOut);
        attempt.sealed = Some(Sealed {
            loose: true,
            ..sealed()
        });
    }
    task.state = state;
    task
}

/// A task that wants to land, in the given state.
pub(crate) fn to_land(state: State) -> Task {
    let mut task = in_state(state);
    task.terms.land = Land::Yes;
    task
}

pub(crate) fn conflict_report() -> ConflictReport {
    ConflictReport {
        paths: vec![ConflictPath {
            path: "a.txt".into(),
            kind: ConflictKind::Content,
        }],
        hunks: "<<< tip".into(),
        others: vec!["other (2c0ffee2)".into()],
        reproduce: "git merge-tree tip c0ffee".into(),
    }
}

/// The verdict of a red merged tree.
pub(crate) fn red() -> Judgement {
    Judgement {
        subject: Subject::Candidate,
        check: 0,
        run: 1,
        pass: false,
        cached: false,
        reason: "exit 1".into(),
        tail: "boom".into(),
        evidence: None,
    }
}

/// Every state, with the sub-states that decide differently.
pub(crate) fn states() -> Vec<(&'static str, Task)> {
    let hold = |mut t: Task| {
        t.hold = true;
        t
    };
    let halted = |mut t: Task, why: Halt| {
        t.halt = Some(why);
        t
    };
    let live = || {
        in_state(State::Running {
            step: RunStep::Live,
        })
    };
    let need = |kind| State::NeedsHuman {
        need: Need {
            kind,
            detail: "d".into(),
            remedy: "r".into(),
        },
    };
    let sealing = |end| {
        in_state(State::Running {
            step: RunStep::Sealing { end },
        })
    };
    let limit = |class| ParkCause::Limit {
        class,
        scope: "claude".into(),
        window: None,
    };
    let at_home = |mut t: Task| {
        t.carry.account = Some("work".into());
        t
    };
    let mut pending = fresh();
    pending.terms.depends_on = vec![TaskId::new(1, [9; 10])];
    pending.state = State::Pending;
    let ready = fresh();
    let mut later = fresh();
    later.state = State::Ready {
        not_before: Some(UnixMs(9_000_000)),
        since: UnixMs(0),
    };
    let mut broke = fresh();
    broke.tally.spent = usage(1_000_000);
    let mut retried = sealing(AttemptEnd::TimedOut);
    retried.tally.retries = 2;
    vec![
        ("pending", pending),
        ("ready", ready.clone()),
        ("ready/paused", hold(ready)),
        ("ready/later", later),
        ("ready/broke", broke),
        (
            "assigned/workspace",
            in_state(State::Assigned {
                step: AssignStep::Workspace,
            }),
        ),
        (
            "assigned/workspace+cancel",
            halted(
                in_state(State::Assigned {
                    step: AssignStep::Workspace,
                }),
                Halt::Cancel,
            ),
        ),
        (
            "assigned/launch",
            in_state(State::Assigned {
                step: AssignStep::Launch,
            }),
        ),
        (
            "assigned/launch+stop",
            halted(
                in_state(State::Assigned {
                    step: AssignStep::Launch,
                }),
                Halt::Stop,
            ),
        ),
        ("running/live", live()),
        ("running/live+cancel", halted(live(), Halt::Cancel)),
        ("running/live+timeout", halted(live(), Halt::Timeout)),
        ("running/live+budget", halted(live(), Halt::Budget)),
        ("running/sealing completed", sealing(completed())),
        ("running/sealing timed out, last retry used", retried),
        (
            "running/sealing quota",
            sealing(AttemptEnd::Limited {
                notice: notice(LimitClass::Quota, Some(2_000_000)),
            }),
        ),
        (
            "running/sealing lost",
            sealing(AttemptEnd::Lost {
                why: LostWhy::Reboot,
            }),
        ),
        (
            "verifying",
            in_state(State::Verifying {
                check: 0,
                run: 0,
                flaky: 0,
            }),
        ),
        (
            "verifying/last",
            in_state(State::Verifying {
                check: 1,
                run: 0,
                flaky: 0,
            }),
        ),
        (
            "verifying+retry",
            halted(
                in_state(State::Verifying {
                    check: 0,
                    run: 0,
                    flaky: 0,
                }),
                Halt::Retry,
            ),
        ),
        (
            "parked/limit",
            in_state(State::Parked {
                cause: limit(LimitClass::Quota),
                until: Some(UnixMs(2_000_000)),
            }),
        ),
        (
            "parked/limit over",
            in_state(State::Parked {
                cause: limit(LimitClass::Quota),
                until: Some(UnixMs(5)),
            }),
        ),
        (
            "parked/limit of a home",
            at_home(in_state(State::Parked {
                cause: ParkCause::Limit {
                    class: LimitClass::Quota,
                    scope: "account work".into(),
                    window: None,
                },
                until: Some(UnixMs(9_000_000)),
            })),
        ),
        (
            "needs/login of a home",
            at_home(in_state(need(NeedKind::LoggedOut))),
        ),
        (
            "parked/stopped",
            in_state(State::Parked {
                cause: ParkCause::Stopped,
                until: None,
            }),
        ),
        (
            "parked/drained",
            in_state(State::Parked {
                cause: ParkCause::Drained,
                until: None,
            }),
        ),
        (
            "parked/estopped",
            in_state(State::Parked {
                cause: ParkCause::Estopped,
                until: None,
            }),
        ),
        (
            "needs_human/retries",
            in_state(need(NeedKind::RetriesExhausted)),
        ),
        ("needs_human/drift", in_state(need(NeedKind::Drift))),
        (
            "parked/stopped, checks cut short",
            cut_short(State::Parked {
                cause: ParkCause::Stopped,
                until: None,
            }),
        ),
        (
            "ready, checks cut short",
            cut_short(State::Ready {
                not_before: None,
                since: UnixMs(0),
            }),
        ),
        (
            "assigned/workspace, checks cut short",
            cut_short(State::Assigned {
                step: AssignStep::Workspace,
            }),
        ),
        (
            "needs_human/judge, checks cut short",
            cut_short(need(NeedKind::Judge)),
        ),
        (
            "needs_human/retries, uncommitted work",
            loose(need(NeedKind::RetriesExhausted)),
        ),
        ("running/sealing approved", {
            let mut task = loose(State::Running {
                step: RunStep::Sealing {
                    end: AttemptEnd::TimedOut,
                },
            });
            task.carry.approving = Some("beef".into());
            task
        }),
        (
            "verifying/last, to land",
            to_land(State::Verifying {
                check: 1,
                run: 0,
                flaky: 0,
            }),
        ),
        (
            "verifying/last+stop, to land",
            halted(
                to_land(State::Verifying {
                    check: 1,
                    run: 0,
                    flaky: 0,
                }),
                Halt::Stop,
            ),
        ),
        ("assigned/workspace, all checks passed, to land", {
            let mut task = to_land(State::Assigned {
                step: AssignStep::Workspace,
            });
            // It has fewer checks than those that were done.
            task.carry.resume_checks = Some(RESUMES);
            task.terms.flaky_reruns = vec![];
            task
        }),
        ("landing", to_land(State::Landing { since: UnixMs(0) })),
        ("landing, as a pull request", {
            let mut task = in_state(State::Landing { since: UnixMs(0) });
            task.terms.land = Land::Pr;
            task
        }),
        ("landing, sent back twice", {
            let mut task = to_land(State::Landing { since: UnixMs(0) });
            task.tally.returns = 2;
            task
        }),
        (
            "needs_human/retries, to land",
            to_land(need(NeedKind::RetriesExhausted)),
        ),
        ("needs_human/landing", to_land(need(NeedKind::Landing))),
        (
            "done",
            in_state(State::Done {
                basis: DoneBasis::Verified,
            }),
        ),
        ("cancelled", in_state(State::Cancelled)),
    ]
}

/// Every kind of fact; attempt news carry fence 1, the fence of [`in_state`] tasks.
pub(crate) fn facts() -> Vec<(&'static str, Fact)> {
    let t = in_state(State::Running {
        step: RunStep::Live,
    });
    let n = |news| Fact::Attempt {
        fence: Fence(1),
        news,
    };
    let order = |order| Fact::Operator { order };
    let land = |fence, news| Fact::Landing {
        fence: Fence(fence),
        news: Box::new(news),
    };
    let landed = |verified| LandNews::Landed {
        commit: "3e3e".into(),
        tree: "7ee".into(),
        verified,
    };
    vec![
        ("cancel", order(Order::Cancel)),
        ("stop", order(Order::Stop)),
        (
            "retry",
            order(Order::Retry {
                note: None,
                add_budget: None,
                add_tokens: None,
            }),
        ),
        ("approve", order(Order::Approve)),
        (
            "send",
            order(Order::Send {
                text: "mind the gap".into(),
            }),
        ),
        ("land", order(Order::Land)),
        ("pause", order(Order::Pause)),
        ("resume", order(Order::Resume)),
        ("drain", order(Order::Drain)),
        ("estop", order(Order::Estop)),
        ("dependencies met", Fact::DependenciesMet),
        (
            "another home",
            Fact::Account {
                account: Some("spare".into()),
                why: MoveReason::Strategy,
            },
        ),
        ("slot", Fact::SlotGranted),
        ("due", Fact::Due),
        (
            "limit known",
            Fact::ScopeRests {
                window: Window {
                    scope: "claude".into(),
                    class: LimitClass::Quota,
                    name: None,
                    until: UnixMs(5_000_000),
                    seen_at: UnixMs(1),
                    seen_by: TaskId::new(1, [9; 10]),
                },
            },
        ),
        (
            "undrain",
            Fact::Released {
                by: Release::Undrain,
            },
        ),
        ("thaw", Fact::Released { by: Release::Thaw }),
        ("limit cleared", Fact::Released { by: Release::Limit }),
        (
            "home free",
            Fact::Released {
                by: Release::Account,
            },
        ),
        (
            "workspace ready",
            n(News::WorkspaceReady {
                workspace: workspace(),
                drift: None,
                conflict: None,
                tree: None,
                resumes: None,
            }),
        ),
        (
            "workspace drifted",
            n(News::WorkspaceReady {
                workspace: workspace(),
                drift: Some("x".into()),
                conflict: None,
                tree: None,
                resumes: None,
            }),
        ),
        (
            "workspace ready for checks",
            n(News::WorkspaceReady {
                workspace: workspace(),
                drift: None,
                conflict: None,
                tree: None,
                resumes: Some(RESUMES),
            }),
        ),
        (
            "workspace drifted under checks",
            n(News::WorkspaceReady {
                workspace: workspace(),
                drift: Some("x".into()),
                conflict: None,
                tree: None,
                resumes: Some(RESUMES),
            }),
        ),
        (
            "judge overloaded",
            n(News::CheckUnanswered {
                verdict: Box::new(verdict(&t, 0, 0, Grade::Fail)),
                refusal: Refusal::Limited {
                    scope: "judge x".into(),
                    notice: notice(LimitClass::Overload, None),
                },
                tree: None,
            }),
        ),
        (
            "reviewer limited",
            n(News::CheckUnanswered {
                verdict: Box::new(verdict(&t, 0, 0, Grade::Fail)),
                refusal: Refusal::Limited {
                    scope: "claude".into(),
                    notice: notice(LimitClass::Quota, Some(3_000_000)),
                },
                tree: None,
            }),
        ),
        (
            "judge's key is wrong",
            n(News::CheckUnanswered {
                verdict: Box::new(verdict(&t, 0, 0, Grade::Pass)),
                refusal: Refusal::Wrong {
                    remedy: "mend".into(),
                },
                tree: None,
            }),
        ),
        (
            "longhaul broke",
            n(News::Broke {
                detail: "index out of bounds".into(),
            }),
        ),
        (
            "setup failed",
            n(News::WorkspaceFailed {
                fault: WorkspaceFault::Setup,
                detail: "exit 1".into(),
                remedy: "mend".into(),
                workspace: Some(workspace()),
                conflict: None,
                resumes: None,
            }),
        ),
        (
            "workspace impossible",
            n(News::WorkspaceFailed {
                fault: WorkspaceFault::Permanent,
                detail: "no repo".into(),
                remedy: "mend".into(),
                workspace: None,
                conflict: None,
                resumes: None,
            }),
        ),
        (
            "session started",
            n(News::SessionStarted {
                pid: 5,
                mono: BootMs {
                    boot: "b".into(),
                    ms: 1,
                },
                resumed: false,
                conversation: None,
            }),
        ),
        (
            "launch failed",
            n(News::LaunchFailed {
                detail: "d".into(),
                remedy: "r".into(),
                transient: false,
            }),
        ),
        (
            "launch failed, transient",
            n(News::LaunchFailed {
                detail: "d".into(),
                remedy: "r".into(),
                transient: true,
            }),
        ),
        ("conversation", n(News::Conversation { id: "c2".into() })),
        ("spent a little", n(News::Spent { usage: usage(1) })),
        (
            "spent 80 %",
            n(News::Spent {
                usage: usage(800_000),
            }),
        ),
        (
            "spent all",
            n(News::Spent {
                usage: usage(1_000_000),
            }),
        ),
        ("timeout", n(News::TimeoutReached)),
        ("idle", n(News::IdleReached)),
        (
            "unanswered",
            n(News::Unanswered {
                question: "q?".into(),
            }),
        ),
        (
            "wrong mode",
            n(News::ModeMismatch {
                wanted: "edits".into(),
                got: "bypass".into(),
            }),
        ),
        (
            "ended well",
            n(News::SessionEnded {
                end: completed(),
                usage: usage(3),
                conversation_usage: None,
                refused_writes: Vec::new(),
            }),
        ),
        (
            "ended limited",
            n(News::SessionEnded {
                end: AttemptEnd::Limited {
                    notice: notice(LimitClass::Quota, None),
                },
                usage: usage(0),
                conversation_usage: None,
                refused_writes: Vec::new(),
            }),
        ),
        (
            "crashed",
            n(News::SessionEnded {
                end: AttemptEnd::Crashed {
                    detail: "signal 9".into(),
                },
                usage: usage(0),
                conversation_usage: None,
                refused_writes: Vec::new(),
            }),
        ),
        ("sealed", n(News::Sealed { sealed: sealed() })),
        (
            "sealed, no change",
            n(News::Sealed {
                sealed: Sealed {
                    changed_files: 0,
                    ..sealed()
                },
            }),
        ),
        (
            "sealed, escaped",
            n(News::Sealed {
                sealed: Sealed {
                    escaped: vec!["HEAD".into()],
                    ..sealed()
                },
            }),
        ),
        (
            "seal failed",
            n(News::SealFailed {
                detail: "d".into(),
                transient: false,
            }),
        ),
        (
            "seal failed, transient",
            n(News::SealFailed {
                detail: "d".into(),
                transient: true,
            }),
        ),
        (
            "check 0 passed",
            n(News::Judged {
                verdict: Box::new(verdict(&t, 0, 0, Grade::Pass)),
                tree: None,
            }),
        ),
        (
            "check 0 failed",
            n(News::Judged {
                verdict: Box::new(verdict(&t, 0, 0, Grade::Fail)),
                tree: None,
            }),
        ),
        (
            "check 1 passed",
            n(News::Judged {
                verdict: Box::new(verdict(&t, 1, 0, Grade::Pass)),
                tree: None,
            }),
        ),
        (
            "check 1 failed",
            n(News::Judged {
                verdict: Box::new(verdict(&t, 1, 0, Grade::Fail)),
                tree: None,
            }),
        ),
        (
            "check 0 lost",
            n(News::CheckLost {
                check: 0,
                run: 0,
                detail: "d".into(),
                tree: None,
            }),
        ),
        (
            "old fence: sealed",
            Fact::Attempt {
                fence: Fence(0),
                news: News::Sealed { sealed: sealed() },
            },
        ),
        (
            "old fence: timeout",
            Fact::Attempt {
                fence: Fence(0),
                news: News::TimeoutReached,
            },
        ),
        (
            "another session changes the same file",
            Fact::Overlap {
                with: TaskId::new(9, [9; 10]),
                name: "other".into(),
                now: ["src/a.rs".to_owned()].into(),
                strategy: OverlapStrategy::Escalate,
                pause: true,
            },
        ),
        ("landed", land(1, landed(true))),
        ("landed unverified", land(1, landed(false))),
        (
            "pull request",
            land(
                1,
                LandNews::Proposed {
                    commit: "3e3e".into(),
                    url: "https://h.example/7".into(),
                },
            ),
        ),
        (
            "landing conflicts",
            land(
                1,
                LandNews::Conflict {
                    tip: "71b".into(),
                    report: conflict_report(),
                },
            ),
        ),
        (
            "landing is red",
            land(
                1,
                LandNews::Red {
                    check: "check-1".into(),
                    command: "make test".into(),
                    commit: "3e3e".into(),
                    judgement: red(),
                },
            ),
        ),
        (
            "landing refused",
            land(
                1,
                LandNews::Refused {
                    detail: "d".into(),
                    remedy: "r".into(),
                },
            ),
        ),
        ("old fence: landed", land(0, landed(true))),
        (
            "fence never given",
            Fact::Attempt {
                fence: Fence(9),
                news: News::TimeoutReached,
            },
        ),
    ]
}

pub(crate) fn denied() -> AttemptEnd {
    AttemptEnd::Completed {
        summary: "could not".into(),
        denials: vec![Denial {
            tool: "Bash".into(),
            detail: "npm test".into(),
        }],
    }
}
