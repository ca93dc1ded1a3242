//! Account homes: what rests, what is chosen, who waits for whom (A3–A5, A7, A23).

use longhaul_core::attempt::{AttemptEnd, Sealed};
use longhaul_core::decide::{Change, Outcome, decide};
use longhaul_core::fact::{Fact, News, Release};
use longhaul_core::home::{MoveReason, UNTIL_MENDED};
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::policy::Policy;
use longhaul_core::task::{ParkCause, RunStep, State, StateWord, Task};
use longhaul_core::time::UnixMs;

use crate::world::{NOW, fresh, in_state, news, step};

fn change(task: &Task, fact: &Fact) -> Change {
    match decide(task, fact, NOW, &Policy::default()) {
        Outcome::Change(change) => *change,
        other => panic!("{other:?}"),
    }
}

/// A session at the home `work` that was refused and whose work is secured.
fn refused(class: LimitClass) -> Change {
    let notice = LimitNotice {
        class,
        reset_at: Some(UnixMs(2_000_000)),
        window: Some("five_hour".into()),
        snippet: "no more".into(),
    };
    let mut task = in_state(State::Running {
        step: RunStep::Sealing {
            end: AttemptEnd::Limited { notice },
        },
    });
    task.carry.account = Some("work".into());
    let sealed = Sealed::default();
    change(&task, &news(&task, News::Sealed { sealed }))
}

#[test]
fn a5_a_limit_rests_the_home_and_not_the_harness() {
    let limited = refused(LimitClass::Quota);
    let window = limited.window.unwrap();
    assert_eq!(window.scope, "account work");
    assert_eq!(window.until, UnixMs(2_000_000));
    assert_eq!(window.name.as_deref(), Some("five_hour"));
    let State::Parked {
        cause: ParkCause::Limit { scope, .. },
        ..
    } = &limited.task.state
    else {
        panic!("{:?}", limited.task.state);
    };
    assert_eq!(scope, "account work");
    // Without a home it is the harness that rests.
    assert_eq!(fresh().limit_scope(), fresh().terms.harness);
}

#[test]
fn a7_a_lost_login_breaks_the_home_until_a_person_mends_it() {
    for class in [LimitClass::Auth, LimitClass::Billing] {
        let lost = refused(class);
        assert_eq!(lost.task.state.word(), StateWord::NeedsHuman);
        let window = lost.window.unwrap();
        assert_eq!((window.class, window.until), (class, UNTIL_MENDED));
        let by = Release::Account;
        let freed = step(&lost.task, &Fact::Released { by });
        assert_eq!(freed.state.word(), StateWord::Ready);
    }
}

#[test]
fn a23_another_home_is_recorded_before_anything_starts_there() {
    let mut task = fresh();
    task.carry.account = Some("work".into());
    task.carry.conversation = Some("c".into());
    let why = MoveReason::Limit {
        window: Some("five_hour".into()),
        until: UnixMs(2_000_000),
    };
    let account = Some("spare".to_owned());
    let chosen = change(&task, &Fact::Account { account, why });
    let data = &chosen.entry.data;
    assert_eq!(
        (&data["from"], &data["to"]),
        (&"work".into(), &"spare".into())
    );
    assert_eq!(data["reason"]["why"], "limit");
    assert_eq!(data["conversation"], "c");
    assert_eq!(chosen.entry.from, chosen.entry.to);
    let assigned = step(&chosen.task, &Fact::SlotGranted);
    let attempt = assigned.attempt.as_ref().unwrap();
    assert_eq!(attempt.account.as_deref(), Some("spare"));
}

#[test]
fn a_task_of_an_older_version_has_no_home_and_is_stored_as_it_was() {
    let stored = serde_json::to_value(fresh()).unwrap();
    assert!(stored["carry"].get("account").is_none());
    assert!(stored["terms"].get("variables").is_none());
    let read: Task = serde_json::from_value(stored).unwrap();
    assert_eq!(read, fresh());
}
