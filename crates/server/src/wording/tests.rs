//! Sentences about tasks in states that are rare.

use longhaul_core::attempt::{Attempt, AttemptEnd, Halt};
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::limit::LimitClass;
use longhaul_core::spec::{OnDrift, Priority};
use longhaul_core::task::{
    AssignStep, DoneBasis, ParkCause, RetryReason, RunStep, State, Task, Terms,
};
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_core::usage::Usage;
use longhaul_engine::handle::LiveSession;

use super::{Phrasing, Scene, need, state_line};

const NOW: UnixMs = UnixMs(1_795_249_640_000);

fn task(state: State) -> Task {
    let terms = Terms {
        priority: Priority::Normal,
        depends_on: Vec::new(),
        repo: "/repo".to_owned(),
        exclusive_folder: None,
        harness: "claude".to_owned(),
        timeout: SpanMs::from_secs(60),
        idle_timeout: SpanMs::from_secs(10),
        max_retries: 2,
        max_restarts: 5,
        budget: None,
        budget_tokens: None,
        expect_change: true,
        on_drift: OnDrift::Ask,
        flaky_reruns: vec![0, 2],
        land: longhaul_core::spec::Land::No,
        variables: Vec::new(),
    };
    let mut task = Task::accept(TaskId::new(1, [0; 10]), "a".to_owned(), terms, NOW);
    task.state = state;
    task.tally.restarts = 1;
    task.attempt = Some(Attempt {
        number: 2,
        fence: Fence(2),
        assigned_at: NOW,
        started_at: Some(NOW),
        started_mono: None,
        ended_at: None,
        pid: None,
        conversation: None,
        account: None,
        resumed: false,
        usage: Usage::default(),
        refused_writes: Vec::new(),
        sealed: None,
        end: None,
    });
    task
}

fn say(task: &Task, live: Option<&LiveSession>, needs_person: bool) -> String {
    let phrasing = Phrasing::default();
    let scene = Scene {
        task,
        live,
        waits_for: &[],
        blocker: None,
        check: None,
        needs_person,
        now: NOW,
        landing: None,
        phrasing: &phrasing,
    };
    let remedy = need(&scene).map_or_else(String::new, |n| format!(" → {}", n.remedy));
    state_line(&scene) + &remedy
}

#[test]
fn rare_states_have_their_sentences() {
    let later = NOW.plus(SpanMs::from_secs(3_600));
    let parked = |class| State::Parked {
        cause: ParkCause::Limit {
            class,
            scope: "claude".to_owned(),
            window: None,
        },
        until: Some(later),
    };
    let by_person = |cause| State::Parked { cause, until: None };
    let live = |change: fn(&mut LiveSession)| {
        let mut live = LiveSession::default();
        change(&mut live);
        say(
            &task(State::Running {
                step: RunStep::Live,
            }),
            Some(&live),
            false,
        )
    };
    let ready = State::Ready {
        not_before: Some(later),
        since: NOW,
    };
    let mut crashed = task(ready.clone());
    let end = AttemptEnd::Crashed {
        detail: "signal 9".to_owned(),
    };
    crashed.carry.reason = Some(RetryReason::Ended { end });
    let mut conflicting = task(State::Ready {
        not_before: None,
        since: NOW,
    });
    conflicting.carry.reason = Some(RetryReason::DependencyConflict {
        report: "x".to_owned(),
    });
    let mut stopping = task(State::Verifying {
        check: 1,
        run: 1,
        flaky: 1,
    });
    stopping.halt = Some(Halt::Cancel);
    let lines = [
        say(
            &task(State::Assigned {
                step: AssignStep::Workspace,
            }),
            None,
            false,
        ),
        say(
            &task(State::Assigned {
                step: AssignStep::Launch,
            }),
            None,
            false,
        ),
        say(
            &task(State::Running {
                step: RunStep::Sealing {
                    end: AttemptEnd::Idle,
                },
            }),
            None,
            false,
        ),
        live(|l| l.question = Some("may\u{7} I?".to_owned())),
        live(|l| l.retrying_until = Some(NOW.plus(SpanMs(60_000)))),
        live(|_| {}),
        say(&stopping, None, false),
        say(&task(parked(LimitClass::Throttle)), None, false),
        say(&task(parked(LimitClass::Overload)), None, false),
        say(&task(by_person(ParkCause::Drained)), None, true),
        say(&task(by_person(ParkCause::Estopped)), None, true),
        say(
            &task(State::Done {
                basis: DoneBasis::Verified,
            }),
            None,
            false,
        ),
        say(
            &task(State::Done {
                basis: DoneBasis::Unverified,
            }),
            None,
            false,
        ),
        say(
            &task(State::Done {
                basis: DoneBasis::Approved,
            }),
            None,
            false,
        ),
        say(&task(State::Pending), None, false),
        say(&task(ready), None, false),
        say(&crashed, None, false),
        say(&conflicting, None, false),
    ];
    insta::assert_snapshot!("rare_states", lines.join("\n"));
}
