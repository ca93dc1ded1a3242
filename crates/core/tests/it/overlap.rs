//! L19: sessions that change the same files.

use longhaul_core::decide::{Outcome, decide};
use longhaul_core::fact::{Fact, Order};
use longhaul_core::ids::TaskId;
use longhaul_core::overlap::{OverlapStrategy, Touched, began_before, shift};
use longhaul_core::policy::Policy;
use longhaul_core::task::{RunStep, State, Task};
use longhaul_core::time::UnixMs;

use crate::world::{NOW, in_state, step};

/// What a task has changed.
fn touched(task: &Task, paths: &[&str]) -> Touched {
    Touched {
        task: task.id,
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
    }
}

/// Two live sessions, the earlier first.
fn two_live() -> (Task, Task) {
    let live = || {
        in_state(State::Running {
            step: RunStep::Live,
        })
    };
    let (mut first, mut second) = (live(), live());
    first.attempt.as_mut().unwrap().started_at = Some(UnixMs(1));
    second.attempt.as_mut().unwrap().started_at = Some(UnixMs(2));
    second.id = TaskId::new(9, [9; 10]);
    first.name = "first".into();
    second.name = "second".into();
    (first, second)
}

fn overlap(of: &Task, paths: &[&str], strategy: OverlapStrategy, pause: bool) -> Fact {
    Fact::Overlap {
        with: of.id,
        name: of.name.clone(),
        now: paths.iter().map(|p| (*p).to_owned()).collect(),
        strategy,
        pause,
    }
}

#[test]
fn l19_an_incident_opens_once_while_both_work_and_closes_when_it_ends() {
    let (mut a, b) = two_live();
    let seen = (touched(&a, &["f", "g"]), touched(&b, &["f", "h"]));
    let both = Some((&seen.0, &seen.1));
    let opened = shift(&a, &b, both).expect("it opens");
    assert_eq!(
        (&opened.opened[..], &opened.closed[..]),
        (&["f".to_owned()][..], &[][..])
    );
    a = step(&a, &overlap(&b, &["f"], OverlapStrategy::Warn, false));
    assert_eq!(shift(&a, &b, both), None, "once");
    // Its session ended, its work is still there: it stays open, and nothing new opens.
    let mut ended = a.clone();
    ended.state = State::Landing { since: UnixMs(0) };
    let more = touched(&b, &["f", "g"]);
    assert_eq!(shift(&ended, &b, Some((&seen.0, &more))), None);
    assert_eq!(shift(&ended, &b, None), None, "not looked at");
    let apart = touched(&b, &["h"]);
    let closed = shift(&a, &b, Some((&seen.0, &apart))).expect("it closes");
    assert_eq!(
        (closed.opened.len(), &closed.closed[..]),
        (0, &["f".to_owned()][..])
    );
    ended.state = State::Cancelled;
    let over = shift(&ended, &b, None).expect("one of them is over");
    assert_eq!(over.closed, ["f"]);
    let (c, d) = (in_state(State::Landing { since: UnixMs(0) }), b);
    assert_eq!(shift(&c, &d, both), None, "only live sessions");
}

#[test]
fn l19_the_strategy_says_who_is_told_and_who_pauses() {
    let (a, b) = two_live();
    assert!(began_before(&a, &b) && !began_before(&b, &a));
    let told = |task: &Task| {
        task.carry
            .overlaps
            .iter()
            .map(|o| o.told)
            .collect::<Vec<_>>()
    };
    let warned = step(&a, &overlap(&b, &["f"], OverlapStrategy::Warn, false));
    assert_eq!((warned.hold, told(&warned)), (false, vec![true]));
    let paused = step(&b, &overlap(&a, &["f"], OverlapStrategy::Escalate, true));
    assert_eq!((paused.hold, told(&paused)), (true, vec![true]));
    let merged = step(&a, &overlap(&b, &["f"], OverlapStrategy::Merge, false));
    assert_eq!((merged.hold, told(&merged)), (false, vec![false]));
    // A person let it go on: what closes, and what is known, pauses it no more.
    let resume = Fact::Operator {
        order: Order::Resume,
    };
    let resumed = step(&paused, &resume);
    let again = overlap(&a, &["f"], OverlapStrategy::Escalate, true);
    let outcome = decide(&resumed, &again, NOW, &Policy::default());
    assert!(matches!(outcome, Outcome::Ignore(_)), "{outcome:?}");
    let closed = step(&resumed, &overlap(&a, &[], OverlapStrategy::Escalate, true));
    assert!(!closed.hold && closed.carry.overlaps.is_empty());
}
