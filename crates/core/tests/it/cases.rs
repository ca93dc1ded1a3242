//! Rules that deserve a test of their own beside the table.

use longhaul_core::attempt::{Attempt, AttemptEnd, Halt, RefusedWrite, Sealed};
use longhaul_core::decide::{Outcome, decide};
use longhaul_core::effect::{Act, outstanding};
use longhaul_core::fact::{Fact, News, Order, Refusal, Release};
use longhaul_core::ids::Fence;
use longhaul_core::ledger::Cause;
use longhaul_core::limit::LimitClass;
use longhaul_core::policy::Policy;
use longhaul_core::spec::OnDrift;
use longhaul_core::task::{
    AssignStep, DoneBasis, Need, NeedKind, RetryReason, RunStep, State, StateWord, Task,
};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::verdict::Grade;

use crate::world::{
    NOW, at, completed, denied, fresh, in_state, loose, news, notice, sealed, step, step_at, usage,
    verdict, workspace,
};

fn need_of(task: &Task) -> Option<NeedKind> {
    match &task.state {
        State::NeedsHuman { need } => Some(need.kind),
        _ => None,
    }
}

fn sealing(end: AttemptEnd) -> Task {
    in_state(State::Running {
        step: RunStep::Sealing { end },
    })
}

#[test]
fn t25_refused_writes_stay_with_the_attempt_however_it_ended() {
    let live = in_state(State::Running {
        step: RunStep::Live,
    });
    let ended = |refused_writes: Vec<RefusedWrite>| {
        let ended = News::SessionEnded {
            end: AttemptEnd::TimedOut,
            usage: usage(1),
            conversation_usage: None,
            refused_writes,
        };
        match decide(&live, &news(&live, ended), NOW, &Policy::default()) {
            Outcome::Change(change) => change,
            other => panic!("{other:?}"),
        }
    };
    let refused = RefusedWrite {
        tool: "Bash".to_owned(),
        line: "touch: cannot touch '/etc/x': Permission denied".to_owned(),
        path: Some("/etc/x".to_owned()),
    };
    let change = ended(vec![refused.clone()]);
    let attempt = change.task.attempt.unwrap();
    assert_eq!(attempt.refused_writes, [refused]);
    assert_eq!(change.entry.data["refused_writes"], 1);
    // One that an older version stored has no such field, and one without refusals is stored like it.
    let change = ended(Vec::new());
    assert!(change.entry.data.get("refused_writes").is_none());
    let stored = serde_json::to_value(change.task.attempt.unwrap()).unwrap();
    assert!(stored.get("refused_writes").is_none());
    let read: Attempt = serde_json::from_value(stored).unwrap();
    assert_eq!(read.refused_writes, []);
}

/// Found by the simulator in a million seeds: the start of a session could not be written while the disk was full,
/// and it had ended by the time it could.
#[test]
fn t23_a_wrong_mode_counts_though_the_start_was_never_recorded() {
    let launching = in_state(State::Assigned {
        step: AssignStep::Launch,
    });
    let wrong = News::ModeMismatch {
        wanted: "edits".into(),
        got: "bypass".into(),
    };
    let stopping = step(&launching, &news(&launching, wrong));
    let ended = News::SessionEnded {
        end: completed(),
        usage: usage(1),
        conversation_usage: None,
        refused_writes: Vec::new(),
    };
    let over = step(&stopping, &news(&stopping, ended));
    let State::Running {
        step: RunStep::Sealing { end },
    } = &over.state
    else {
        panic!("{:?}", over.state);
    };
    let why = Halt::ModeMismatch {
        wanted: "edits".into(),
        got: "bypass".into(),
    };
    assert_eq!(*end, AttemptEnd::Halted { why });
}

#[test]
fn a_task_goes_through_its_whole_life() {
    let t = step(&fresh(), &Fact::SlotGranted);
    assert_eq!(t.fence, Fence(1));
    assert_eq!(outstanding(&t).unwrap().act, Act::PrepareWorkspace);
    let ready = News::WorkspaceReady {
        workspace: workspace(),
        drift: None,
        conflict: None,
        tree: None,
        resumes: None,
    };
    let t = step(&t, &news(&t, ready));
    assert_eq!(outstanding(&t).unwrap().act, Act::Launch);
    let started = News::SessionStarted {
        pid: 1,
        mono: longhaul_core::attempt::BootMs {
            boot: "b".into(),
            ms: 1,
        },
        resumed: false,
        conversation: Some("c".into()),
    };
    let t = step(&t, &news(&t, started));
    assert_eq!(outstanding(&t).unwrap().act, Act::Attend);
    let t = step(
        &t,
        &news(
            &t,
            News::SessionEnded {
                end: completed(),
                usage: usage(5),
                conversation_usage: None,
                refused_writes: Vec::new(),
            },
        ),
    );
    assert_eq!(outstanding(&t).unwrap().act, Act::Seal);
    let t = step(&t, &news(&t, News::Sealed { sealed: sealed() }));
    assert_eq!(
        outstanding(&t).unwrap().act,
        Act::Check { check: 0, run: 0 }
    );
    let pass = |t: &Task, c| News::Judged {
        verdict: Box::new(verdict(t, c, 0, Grade::Pass)),
        tree: None,
    };
    let t = step(&t, &news(&t, pass(&t, 0)));
    let t = step(&t, &news(&t, pass(&t, 1)));
    assert_eq!(
        t.state,
        State::Done {
            basis: DoneBasis::Verified
        }
    );
    assert_eq!(outstanding(&t), None);
    assert_eq!(t.tally.spent, usage(5));
}

#[test]
fn i10_work_never_starts_over_budget_and_retry_asks_for_more() {
    let mut t = fresh();
    t.tally.spent = usage(1_000_000);
    let t = step(&t, &Fact::SlotGranted);
    assert_eq!(need_of(&t), Some(NeedKind::Budget));
    let retry = |add| Fact::Operator {
        order: Order::Retry {
            note: None,
            add_budget: add,
            add_tokens: None,
        },
    };
    assert!(matches!(
        decide(&t, &retry(None), NOW, &Policy::default()),
        Outcome::Refuse(_)
    ));
    let t = step(&t, &retry(Some(longhaul_core::usage::MicroUsd(1))));
    assert_eq!(t.state.word(), StateWord::Ready);
}

#[test]
fn t13_a_budget_that_runs_out_stops_the_attempt_once_and_keeps_its_work() {
    let t = in_state(State::Running {
        step: RunStep::Live,
    });
    let t = step(
        &t,
        &news(
            &t,
            News::Spent {
                usage: usage(2_000_000),
            },
        ),
    );
    assert_eq!(t.halt, Some(Halt::Budget));
    assert_eq!(
        outstanding(&t).unwrap().act,
        Act::Halt { why: Halt::Budget }
    );
    let again = decide(
        &t,
        &news(
            &t,
            News::Spent {
                usage: usage(3_000_000),
            },
        ),
        NOW,
        &Policy::default(),
    );
    assert!(matches!(again, Outcome::Ignore(_)));
    let killed = AttemptEnd::Crashed {
        detail: "signal 15".into(),
    };
    let t = step(
        &t,
        &news(
            &t,
            News::SessionEnded {
                end: killed,
                usage: usage(2_000_000),
                conversation_usage: None,
                refused_writes: Vec::new(),
            },
        ),
    );
    let t = step(&t, &news(&t, News::Sealed { sealed: sealed() }));
    assert_eq!(need_of(&t), Some(NeedKind::Budget));
    assert_eq!(t.tally.retries, 0);
}

#[test]
fn limits_crashes_and_stops_burn_no_retry() {
    let ends = [
        AttemptEnd::Limited {
            notice: notice(LimitClass::Quota, Some(2_000_000)),
        },
        AttemptEnd::Limited {
            notice: notice(LimitClass::Throttle, None),
        },
        AttemptEnd::Limited {
            notice: notice(LimitClass::Overload, None),
        },
        AttemptEnd::Crashed { detail: "x".into() },
        AttemptEnd::Halted { why: Halt::Drain },
        AttemptEnd::Halted { why: Halt::Stop },
    ];
    for end in ends {
        let t = sealing(end.clone());
        let t = step(&t, &news(&t, News::Sealed { sealed: sealed() }));
        assert_eq!(t.tally.retries, 0, "{end:?}");
        assert!(
            matches!(t.state, State::Parked { .. } | State::Ready { .. }),
            "{end:?}"
        );
    }
}

#[test]
fn a_quota_parks_until_its_reset_never_earlier_and_names_the_window() {
    let t = sealing(AttemptEnd::Limited {
        notice: notice(LimitClass::Quota, Some(5_000_000)),
    });
    let Outcome::Change(c) = decide(
        &t,
        &news(&t, News::Sealed { sealed: sealed() }),
        NOW,
        &Policy::default(),
    ) else {
        panic!("not a change")
    };
    let State::Parked {
        until: Some(until), ..
    } = c.task.state
    else {
        panic!("not parked")
    };
    assert!(until >= UnixMs(5_000_000) && until <= UnixMs(5_030_000));
    assert_eq!(c.window.unwrap().until, UnixMs(5_000_000));
    let due = decide(
        &c.task.clone_with(until),
        &Fact::Due,
        at(until.0 - 1),
        &Policy::default(),
    );
    assert!(matches!(due, Outcome::Ignore(_)));
}

trait CloneWith {
    fn clone_with(&self, until: UnixMs) -> Task;
}

impl CloneWith for Task {
    fn clone_with(&self, until: UnixMs) -> Task {
        let mut t = in_state(State::Parked {
            cause: longhaul_core::task::ParkCause::Limit {
                class: LimitClass::Quota,
                scope: "claude".into(),
                window: None,
            },
            until: Some(until),
        });
        t.version = self.version;
        t
    }
}

#[test]
fn t27_a_denied_command_without_any_change_asks_a_person_with_the_allow_line() {
    let t = sealing(denied());
    let nothing = Sealed {
        changed_files: 0,
        ..sealed()
    };
    let t = step(&t, &news(&t, News::Sealed { sealed: nothing }));
    assert_eq!(need_of(&t), Some(NeedKind::PermissionDenied));
    let State::NeedsHuman { need } = &t.state else {
        panic!()
    };
    assert!(need.remedy.contains("npm test"), "{}", need.remedy);
    assert_eq!(t.tally.retries, 0);
}

#[test]
fn t8_no_change_is_a_fail_and_protect_names_the_files() {
    let t = sealing(completed());
    let nothing = Sealed {
        changed_files: 0,
        ..sealed()
    };
    let Outcome::Change(c) = decide(
        &t,
        &news(&t, News::Sealed { sealed: nothing }),
        NOW,
        &Policy::default(),
    ) else {
        panic!()
    };
    assert_eq!(c.verdict.unwrap().reason, "no change");
    assert_eq!(c.entry.cause, Cause::Retry);
    let protected = Sealed {
        protected: vec!["tests/a".into()],
        ..sealed()
    };
    let Outcome::Change(c) = decide(
        &t,
        &news(&t, News::Sealed { sealed: protected }),
        NOW,
        &Policy::default(),
    ) else {
        panic!()
    };
    assert_eq!(
        c.verdict.unwrap().reason,
        "changed protected files: tests/a"
    );
}

#[test]
fn t9_flaky_reruns_are_recorded_and_a_fail_after_them_counts_once() {
    let t = in_state(State::Verifying {
        check: 1,
        run: 0,
        flaky: 0,
    });
    let t = step(
        &t,
        &news(
            &t,
            News::Judged {
                verdict: Box::new(verdict(&t, 1, 0, Grade::Fail)),
                tree: None,
            },
        ),
    );
    assert_eq!(
        t.state,
        State::Verifying {
            check: 1,
            run: 1,
            flaky: 1
        }
    );
    let Outcome::Change(pass) = decide(
        &t,
        &news(
            &t,
            News::Judged {
                verdict: Box::new(verdict(&t, 1, 1, Grade::Pass)),
                tree: None,
            },
        ),
        NOW,
        &Policy::default(),
    ) else {
        panic!()
    };
    assert!(pass.verdict.unwrap().flaky);
    let failed = step(
        &t,
        &news(
            &t,
            News::Judged {
                verdict: Box::new(verdict(&t, 1, 1, Grade::Fail)),
                tree: None,
            },
        ),
    );
    assert_eq!(failed.tally.retries, 1);
    assert!(matches!(
        failed.carry.reason,
        Some(RetryReason::CheckFailed { .. })
    ));
    assert_eq!(
        failed.carry.conversation.as_deref(),
        None,
        "no conversation was sealed"
    );
}

#[test]
fn t17_cancel_of_a_live_task_stops_it_first() {
    let cancel = Fact::Operator {
        order: Order::Cancel,
    };
    let t = step(
        &in_state(State::Running {
            step: RunStep::Live,
        }),
        &cancel,
    );
    assert_eq!(t.state.word(), StateWord::Running);
    let end = AttemptEnd::Crashed {
        detail: "signal 15".into(),
    };
    let t = step(
        &t,
        &news(
            &t,
            News::SessionEnded {
                end,
                usage: usage(1),
                conversation_usage: None,
                refused_writes: Vec::new(),
            },
        ),
    );
    assert_eq!(
        outstanding(&t).unwrap().act,
        Act::Seal,
        "its work is secured before it is given up"
    );
    let t = step(&t, &news(&t, News::Sealed { sealed: sealed() }));
    assert_eq!(t.state, State::Cancelled);
}

#[test]
fn a_session_that_finished_before_its_timeout_was_carried_out_counts_as_finished() {
    let mut t = in_state(State::Running {
        step: RunStep::Live,
    });
    t.halt = Some(Halt::Timeout);
    let t = step(
        &t,
        &news(
            &t,
            News::SessionEnded {
                end: completed(),
                usage: usage(1),
                conversation_usage: None,
                refused_writes: Vec::new(),
            },
        ),
    );
    let t = step(&t, &news(&t, News::Sealed { sealed: sealed() }));
    assert_eq!(t.state.word(), StateWord::Verifying);
}

#[test]
fn t15_an_unanswered_question_is_told_to_the_agent_once_then_a_person_is_asked() {
    let mut t = in_state(State::Running {
        step: RunStep::Live,
    });
    for expected in [StateWord::Ready, StateWord::NeedsHuman] {
        t.state = State::Running {
            step: RunStep::Live,
        };
        let u = step(
            &t,
            &news(
                &t,
                News::Unanswered {
                    question: "really?".into(),
                },
            ),
        );
        let end = AttemptEnd::Crashed {
            detail: "signal 15".into(),
        };
        let u = step(
            &u,
            &news(
                &u,
                News::SessionEnded {
                    end,
                    usage: usage(1),
                    conversation_usage: None,
                    refused_writes: Vec::new(),
                },
            ),
        );
        t = step(&u, &news(&u, News::Sealed { sealed: sealed() }));
        assert_eq!(t.state.word(), expected);
    }
}

#[test]
fn i2_a_late_report_is_kept_and_never_obeyed() {
    let mut t = in_state(State::Assigned {
        step: AssignStep::Workspace,
    });
    t.fence = Fence(2);
    let old = Fact::Attempt {
        fence: Fence(1),
        news: News::Sealed { sealed: sealed() },
    };
    let Outcome::Change(c) = decide(&t, &old, NOW, &Policy::default()) else {
        panic!()
    };
    assert_eq!(c.entry.cause, Cause::LateReport);
    let mut same = c.task.clone();
    same.version = t.version;
    same.changed_at = t.changed_at;
    assert_eq!(same, t, "nothing but the version changed");
}

#[test]
fn a_paused_task_keeps_its_checks_waiting() {
    let pause = Fact::Operator {
        order: Order::Pause,
    };
    let t = step(
        &in_state(State::Verifying {
            check: 0,
            run: 0,
            flaky: 0,
        }),
        &pause,
    );
    assert_eq!(outstanding(&t), None);
    let t = step(
        &t,
        &Fact::Operator {
            order: Order::Resume,
        },
    );
    assert!(matches!(
        outstanding(&t).unwrap().act,
        Act::Check { check: 0, run: 0 }
    ));
}

#[test]
fn restarts_are_bounded() {
    let mut t = sealing(AttemptEnd::Crashed { detail: "x".into() });
    for n in 0..3 {
        let next = step(&t, &news(&t, News::Sealed { sealed: sealed() }));
        if n < 2 {
            assert_eq!(next.state.word(), StateWord::Ready);
            t = next;
            t.state = State::Running {
                step: RunStep::Sealing {
                    end: AttemptEnd::Crashed { detail: "x".into() },
                },
            };
        } else {
            assert_eq!(need_of(&next), Some(NeedKind::RestartsExhausted));
        }
    }
}

#[test]
fn approve_accepts_finished_work_only() {
    let approve = Fact::Operator {
        order: Order::Approve,
    };
    let mut t = in_state(State::Running {
        step: RunStep::Live,
    });
    assert!(matches!(
        decide(&t, &approve, NOW, &Policy::default()),
        Outcome::Refuse(_)
    ));
    t.state = State::NeedsHuman {
        need: longhaul_core::task::Need {
            kind: NeedKind::RetriesExhausted,
            detail: String::new(),
            remedy: String::new(),
        },
    };
    assert!(matches!(
        decide(&t, &approve, NOW, &Policy::default()),
        Outcome::Refuse(_)
    ));
    t.attempt.as_mut().unwrap().sealed = Some(sealed());
    assert_eq!(
        step_at(&t, &approve, NOW).state,
        State::Done {
            basis: DoneBasis::Approved
        }
    );
}

#[test]
fn i10_a_cost_that_is_unknown_once_does_not_switch_the_budget_off() {
    let unknown = longhaul_core::usage::Usage {
        input: 1,
        ..Default::default()
    };
    let mut t = in_state(State::Running {
        step: RunStep::Live,
    });
    t.terms.budget = Some(longhaul_core::usage::MicroUsd(1_000_000));
    t.tally.charge(usage(900_000));
    t.tally.charge(unknown);
    assert_eq!(t.tally.spent.cost, None, "the whole is not known");
    let spent = News::Spent {
        usage: usage(100_000),
    };
    assert_eq!(
        step(&t, &news(&t, spent)).halt,
        Some(Halt::Budget),
        "but the known part alone reaches the budget"
    );
    t.tally.charge(usage(100_000));
    t.state = State::Ready {
        not_before: None,
        since: UnixMs(0),
    };
    assert_eq!(
        need_of(&step(&t, &Fact::SlotGranted)),
        Some(NeedKind::Budget)
    );
}

#[test]
fn tasks_stored_before_the_known_cost_was_counted_are_read() {
    let tally = longhaul_core::task::Tally {
        spent: usage(7),
        ..Default::default()
    };
    let mut old = serde_json::to_value(&tally).unwrap();
    old.as_object_mut().unwrap().remove("known_cost");
    let mut read: longhaul_core::task::Tally = serde_json::from_value(old).unwrap();
    assert_eq!(read.least_cost().0, 7);
    read.charge(usage(3));
    assert_eq!(read.least_cost().0, 10);
}

#[test]
fn a_note_is_for_one_attempt_and_survives_a_crash() {
    for (end, kept) in [
        (completed(), false),
        (
            AttemptEnd::Crashed {
                detail: "signal 9".into(),
            },
            true,
        ),
    ] {
        let mut t = sealing(end);
        t.carry.note = Some("use tabs".into());
        let t = step(&t, &news(&t, News::Sealed { sealed: sealed() }));
        assert_eq!(t.carry.note.is_some(), kept);
    }
}

/// A task whose first check was cut short by an order, parked.
fn stopped_at_check(order: Order) -> Task {
    let task = in_state(State::Verifying {
        check: 0,
        run: 0,
        flaky: 0,
    });
    let stopping = step(&task, &Fact::Operator { order });
    let lost = News::CheckLost {
        check: 0,
        run: 0,
        detail: "stopped".into(),
        tree: None,
    };
    step(&stopping, &news(&task, lost))
}

fn ready_for(task: &Task, drift: Option<&str>) -> Fact {
    let ready = News::WorkspaceReady {
        workspace: workspace(),
        drift: drift.map(str::to_owned),
        conflict: None,
        tree: None,
        resumes: task.carry.resume_checks,
    };
    news(task, ready)
}

#[test]
fn t16_checks_that_were_cut_short_go_on_under_the_same_fence() {
    let released = |by| Fact::Released { by };
    let resume = Fact::Operator {
        order: Order::Resume,
    };
    for (order, go) in [
        (Order::Drain, released(Release::Undrain)),
        (Order::Estop, released(Release::Thaw)),
        (Order::Stop, resume),
    ] {
        let parked = stopped_at_check(order);
        assert_eq!(parked.state.word(), StateWord::Parked);
        let ready = step(&parked, &go);
        let preparing = step(&ready, &Fact::SlotGranted);
        assert_eq!(preparing.fence, parked.fence, "no new attempt");
        assert_eq!(preparing.tally.attempts, parked.tally.attempts);
        // News of the attempt's first preparation must not stand in for this one.
        let old = Fact::Attempt {
            fence: parked.fence,
            news: News::WorkspaceReady {
                workspace: workspace(),
                drift: None,
                conflict: None,
                tree: None,
                resumes: None,
            },
        };
        assert!(matches!(
            decide(&preparing, &old, NOW, &Policy::default()),
            Outcome::Ignore(_)
        ));
        let verifying = step(&preparing, &ready_for(&preparing, None));
        let next_run = State::Verifying {
            check: 0,
            run: 1,
            flaky: 0,
        };
        assert_eq!(verifying.state, next_run);
        let sealed = |t: &Task| t.attempt.as_ref().and_then(|a| a.sealed.clone());
        assert_eq!(sealed(&verifying), sealed(&parked), "on the same commit");
        assert_eq!(verifying.carry.resume_checks, None);
    }
}

#[test]
fn a_retry_of_cut_short_checks_is_a_new_attempt() {
    let retry = Fact::Operator {
        order: Order::Retry {
            note: None,
            add_budget: None,
            add_tokens: None,
        },
    };
    let parked = stopped_at_check(Order::Stop);
    let assigned = step(&step(&parked, &retry), &Fact::SlotGranted);
    assert_eq!(assigned.fence, parked.fence.next());
    // As is the retry of a task whose checks wait for their slot.
    let released = step(
        &stopped_at_check(Order::Drain),
        &Fact::Released {
            by: Release::Undrain,
        },
    );
    let assigned = step(&step(&released, &retry), &Fact::SlotGranted);
    assert_eq!(assigned.fence, released.fence.next());
}

#[test]
fn drift_under_cut_short_checks_is_asked_about_or_makes_another_attempt() {
    let mut parked = stopped_at_check(Order::Drain);
    for (on_drift, word) in [
        (OnDrift::Ask, StateWord::NeedsHuman),
        (OnDrift::Warn, StateWord::Ready),
    ] {
        parked.terms.on_drift = on_drift;
        let ready = step(
            &parked,
            &Fact::Released {
                by: Release::Undrain,
            },
        );
        let preparing = step(&ready, &Fact::SlotGranted);
        let after = step(&preparing, &ready_for(&preparing, Some("M a.rs")));
        assert_eq!(after.state.word(), word);
        assert_eq!(after.carry.resume_checks, None, "it is not the sealed tree");
    }
}

#[test]
fn i13_an_unreachable_judge_costs_no_retry_and_never_passes() {
    let policy = Policy {
        max_refusals: 3,
        reset_jitter: SpanMs(0),
        ..Policy::default()
    };
    let mut task = in_state(State::Verifying {
        check: 0,
        run: 0,
        flaky: 0,
    });
    let before = task.tally.clone();
    let mut waits = Vec::new();
    for run in 0..3 {
        let unanswered = News::CheckUnanswered {
            // Whatever it says, it was not judged.
            verdict: Box::new(verdict(&task, 0, run, Grade::Pass)),
            refusal: Refusal::Limited {
                scope: "judge x".into(),
                notice: notice(LimitClass::Overload, None),
            },
            tree: None,
        };
        let Outcome::Change(change) = decide(&task, &news(&task, unanswered), NOW, &policy) else {
            panic!("it has to be dealt with");
        };
        assert_eq!(change.verdict.map(|v| v.grade), Some(Grade::Fail));
        assert_eq!(change.window, None, "the harness does not rest for a judge");
        task = change.task;
        assert_eq!(
            (task.tally.retries, task.tally.restarts, task.tally.attempts),
            (before.retries, before.restarts, before.attempts)
        );
        let State::Parked {
            until: Some(until), ..
        } = task.state
        else {
            break;
        };
        assert!(!task.state.word().is_active(), "it holds no slot");
        waits.push(until.since(NOW.wall).0 / 1000 / 15);
        let woken = step_at(&task, &Fact::Due, at(until.0));
        let preparing = step(&woken, &Fact::SlotGranted);
        task = step(&preparing, &ready_for(&preparing, None));
    }
    assert!(waits.len() == 2 && waits[0] < waits[1], "{waits:?}");
    assert_eq!(task.state.word(), StateWord::NeedsHuman);
    // When the judge is back, `retry` asks it again, not the agent.
    let order = Order::Retry {
        note: None,
        add_budget: None,
        add_tokens: None,
    };
    let again = step(&step(&task, &Fact::Operator { order }), &Fact::SlotGranted);
    assert_eq!(again.fence, task.fence);
}

#[test]
fn a5_a_told_reset_is_bounded_and_kept() {
    let policy = Policy::default();
    let day = 86_400_000;
    let longest = NOW.wall.plus(policy.longest_rest).0;
    for (told, from, to) in [
        (Some(253_402_300_799_000), longest, longest),
        (Some(i64::MAX), longest, longest),
        (Some(longest + 1), longest, longest),
        (Some(longest - day), longest - day, longest - day),
        (
            Some(-5 * day),
            NOW.wall.0 + 1_800_000,
            NOW.wall.0 + 1_800_000,
        ),
        (
            Some(i64::MIN),
            NOW.wall.0 + 1_800_000,
            NOW.wall.0 + 1_800_000,
        ),
        (Some(NOW.wall.0 - 1), NOW.wall.0 + 1, NOW.wall.0 + 60_000),
        (None, NOW.wall.0 + 1_800_000, NOW.wall.0 + 1_800_000),
    ] {
        let end = AttemptEnd::Limited {
            notice: notice(LimitClass::Quota, told),
        };
        let task = in_state(State::Running {
            step: RunStep::Sealing { end },
        });
        let sealed = News::Sealed { sealed: sealed() };
        let Outcome::Change(change) = decide(&task, &news(&task, sealed), NOW, &policy) else {
            panic!("a limit parks");
        };
        let until = change.window.expect("a quota rests its scope").until.0;
        assert!((from..=to).contains(&until), "{told:?} gives {until}");
        assert_eq!(change.entry.data["told"], serde_json::json!(told));
    }
}

#[test]
fn t8_approval_takes_exactly_the_work_that_was_shown() {
    let approve = Fact::Operator {
        order: Order::Approve,
    };
    let need = State::NeedsHuman {
        need: Need {
            kind: NeedKind::RetriesExhausted,
            detail: "d".into(),
            remedy: "r".into(),
        },
    };
    let task = loose(need.clone());
    let committing = step(&task, &approve);
    assert_eq!(committing.state.word(), StateWord::Running);
    // The seal that left files uncommitted, told once more, is not what is approved.
    let old = task
        .attempt
        .as_ref()
        .and_then(|a| a.sealed.clone())
        .unwrap();
    let repeated = news(
        &committing,
        News::Sealed {
            sealed: old.clone(),
        },
    );
    assert!(matches!(
        decide(&committing, &repeated, NOW, &Policy::default()),
        Outcome::Ignore(_)
    ));
    let whole = Sealed {
        commit: "abba".into(),
        loose: false,
        ..old
    };
    let sealed_now = |sealed| news(&committing, News::Sealed { sealed });
    let Outcome::Change(done) = decide(
        &committing,
        &sealed_now(whole.clone()),
        NOW,
        &Policy::default(),
    ) else {
        panic!("approved work is done");
    };
    assert_eq!(done.task.state.word(), StateWord::Done);
    assert_eq!(
        done.entry.data,
        serde_json::json!({ "commit": "abba", "tree": "beef" })
    );
    let commit = done.task.attempt.and_then(|a| a.sealed).map(|s| s.commit);
    assert_eq!(commit.as_deref(), Some("abba"), "dependents start from it");
    // Another tree is not what was shown.
    let other = Sealed {
        tree: "f00".into(),
        ..whole
    };
    let after = step(&committing, &sealed_now(other));
    assert_eq!(after.state.word(), StateWord::NeedsHuman);
    // Nothing sealed: nothing to approve.
    let mut nothing = loose(need);
    if let Some(attempt) = &mut nothing.attempt {
        attempt.sealed = Some(Sealed::default());
    }
    assert!(matches!(
        decide(&nothing, &approve, NOW, &Policy::default()),
        Outcome::Refuse(_)
    ));
}

#[test]
fn i16_an_effect_that_breaks_again_and_again_is_told_to_a_person() {
    let broke = |task: &Task| {
        let detail = "index out of bounds".to_owned();
        step(task, &news(task, News::Broke { detail }))
    };
    let told = |task: &Task| match &task.state {
        State::NeedsHuman { need } => need.detail.contains("index out of bounds"),
        _ => false,
    };
    for state in [
        State::Assigned {
            step: AssignStep::Workspace,
        },
        State::Running {
            step: RunStep::Sealing { end: completed() },
        },
        State::Verifying {
            check: 0,
            run: 0,
            flaky: 0,
        },
    ] {
        assert!(told(&broke(&in_state(state))));
    }
    // A session's work is secured before anything else; its restarts are bounded.
    let mut live = in_state(State::Running {
        step: RunStep::Live,
    });
    live.tally.restarts = live.terms.max_restarts;
    let sealing = broke(&live);
    assert_eq!(sealing.state.word(), StateWord::Running);
    let sealed = News::Sealed { sealed: sealed() };
    assert!(told(&step(&sealing, &news(&sealing, sealed))));
}
