//! What the dispatcher guarantees, whatever carries out its effects.

use longhaul_core::effect::Act;
use longhaul_core::fact::Order;
use longhaul_core::overlap::{OverlapStrategy, Touched};
use longhaul_core::queue::{
    Candidate, Entry, EntryId, LandCheck, LineId, MergeStyle, Origin, Point, QueueAct, QueueEffect,
    QueueFact, QueueNews, QueueOrder, Subject, TrialEnd, TrialReport, outstanding,
};
use longhaul_core::schedule::Capacity;
use longhaul_core::spec::Priority;
use longhaul_core::task::StateWord;
use longhaul_core::time::{SpanMs, UnixMs};
use longhaul_engine::event::Event;
use longhaul_engine::handle::{Command, OrderResult, RefusalClass, Reply};
use longhaul_engine::machine::{Limits, Step};
use longhaul_store::Store;

use crate::moody::{Mood, Moody};
use crate::pretend::{Pretend, Script, id, ledger, spec, submit};

fn world() -> Pretend {
    Pretend::new(Moody::default(), Limits::default())
}

fn state(world: &mut Pretend, n: u8) -> StateWord {
    let reader = world.machine.store_mut().reader().unwrap();
    reader.task(id(n)).unwrap().unwrap().task.state.word()
}

#[test]
fn tasks_run_to_done_in_the_order_of_their_dependencies() {
    let mut w = world();
    let tasks = [
        (id(1), spec("a", &[])),
        (id(2), spec("b", &[id(1)])),
        (id(3), spec("c", &[id(1), id(2)])),
    ];
    w.scripts.insert(
        id(1),
        Script {
            failing_checks: 1,
            ..Script::default()
        },
    );
    w.scripts.insert(
        id(2),
        Script {
            lost_sessions: 2,
            ..Script::default()
        },
    );
    assert!(matches!(
        w.command(submit(&tasks)),
        Reply::Submitted {
            reattached: false,
            ..
        }
    ));
    w.settle();
    for n in 1..=3 {
        assert_eq!(state(&mut w, n), StateWord::Done);
    }
    assert_eq!(
        w.launches,
        [
            (id(1), 1),
            (id(1), 2),
            (id(2), 1),
            (id(2), 2),
            (id(2), 3),
            (id(3), 1)
        ]
    );
}

#[test]
fn t4_slots_are_never_exceeded() {
    let limits = Limits {
        capacity: Capacity {
            total: 3,
            ..Capacity::default()
        },
        ..Limits::default()
    };
    let mut w = Pretend::new(Moody::default(), limits);
    let tasks: Vec<_> = (1..=20)
        .map(|n| (id(n), spec(&format!("t{n}"), &[])))
        .collect();
    w.command(submit(&tasks));
    w.settle();
    assert_eq!(w.most_live, 3);
    assert!((1..=20).all(|n| state(&mut w, n) == StateWord::Done));
}

#[test]
fn a4_a_limit_rests_the_harness_and_one_probe_proves_that_it_is_over() {
    let limits = Limits {
        capacity: Capacity {
            total: 2,
            ..Capacity::default()
        },
        ..Limits::default()
    };
    let mut w = Pretend::new(Moody::default(), limits);
    let tasks: Vec<_> = (1..=4)
        .map(|n| (id(n), spec(&format!("t{n}"), &[])))
        .collect();
    for n in 1..=2 {
        let script = Script {
            quota_until: Some(500_000),
            ..Script::default()
        };
        w.scripts.insert(id(n), script);
    }
    w.command(submit(&tasks));
    w.settle();
    assert!((1..=4).all(|n| state(&mut w, n) == StateWord::Done));
    let Reply::Status(status) = w.command(Command::Status) else {
        panic!()
    };
    assert!(
        status.resting.is_empty(),
        "the window is closed once the harness was seen to work"
    );
    assert!(w.now.wall.0 >= 500_000);
}

#[test]
fn the_same_file_is_re_attached_while_it_is_live_and_a_changed_one_is_refused() {
    let mut w = world();
    let tasks = [(id(1), spec("a", &[]))];
    w.command(Command::Drain { stop: false });
    w.command(submit(&tasks));
    let again = [(id(7), spec("a", &[]))];
    let Reply::Submitted {
        tasks: ids,
        reattached,
        ..
    } = w.command(submit(&again))
    else {
        panic!()
    };
    assert!(reattached);
    assert_eq!(ids, [id(1)]);
    let changed = [(id(8), spec("a", &[])), (id(9), spec("b", &[]))];
    let Reply::Refused { class, message } = w.command(submit(&changed)) else {
        panic!()
    };
    assert_eq!(class, RefusalClass::Conflict);
    assert!(message.contains("a (ready)"), "{message}");
}

#[test]
fn a_repeated_request_with_the_same_ids_adds_nothing() {
    let mut w = world();
    let tasks = [(id(1), spec("a", &[]))];
    w.command(submit(&tasks));
    w.settle();
    let Reply::Submitted { reattached, .. } = w.command(submit(&tasks)) else {
        panic!()
    };
    assert!(reattached);
    assert_eq!(w.launches.len(), 1);
}

#[test]
fn t16_drain_starts_nothing_new_and_survives_a_restart() {
    let mut w = world();
    w.command(Command::Drain { stop: false });
    w.command(submit(&[(id(1), spec("a", &[]))]));
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Ready);
    let store = w.machine.store_mut().clone();
    let mut w = Pretend::new(store, Limits::default());
    w.step(vec![Event::Tick]);
    assert_eq!(state(&mut w, 1), StateWord::Ready);
    w.command(Command::Undrain);
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

#[test]
fn t16_estop_stops_everything_keeps_it_and_thaw_goes_on() {
    let mut w = world();
    w.command(submit(&[(id(1), spec("a", &[])), (id(2), spec("b", &[]))]));
    w.command(Command::Estop);
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Parked);
    assert_eq!(state(&mut w, 2), StateWord::Parked);
    w.command(Command::Thaw);
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

#[test]
fn cancel_of_a_dependency_keeps_its_dependents_pending() {
    let mut w = world();
    w.command(Command::Drain { stop: false });
    w.command(submit(&[
        (id(1), spec("a", &[])),
        (id(2), spec("b", &[id(1)])),
    ]));
    let Reply::Orders(done) = w.command(Command::Order {
        tasks: vec![id(1), id(99)],
        order: Order::Cancel,
    }) else {
        panic!()
    };
    assert_eq!(done[0].1, OrderResult::Done("cancelled".into()));
    assert_eq!(done[1].1, OrderResult::NotFound);
    w.command(Command::Undrain);
    w.settle();
    assert_eq!(state(&mut w, 2), StateWord::Pending);
}

#[test]
fn t20_below_a_floor_nothing_new_starts_and_it_goes_on_by_itself() {
    let mut w = world();
    w.step(vec![Event::Floors {
        lacking: Some("1 GiB free, 2 GiB wanted".into()),
    }]);
    w.command(submit(&[(id(1), spec("a", &[]))]));
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Ready);
    w.step(vec![Event::Floors { lacking: None }]);
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

#[test]
fn t18_a_restart_at_any_step_ends_the_same() {
    let tasks = [(id(1), spec("a", &[])), (id(2), spec("b", &[id(1)]))];
    let mut undisturbed = world();
    undisturbed.command(submit(&tasks));
    undisturbed.settle();
    let rows = ledger(undisturbed.machine.store_mut());
    // The daemon dies after every n-th commit; the next one starts from the store alone.
    for cut in 1..rows.len() {
        let mut w = world();
        w.command(submit(&tasks));
        while ledger(w.machine.store_mut()).len() < cut + tasks.len() {
            if !w.one() {
                break;
            }
        }
        let store = w.machine.store_mut().clone();
        let mut w = Pretend::new(store, Limits::default());
        w.recover();
        w.settle();
        assert_eq!(state(&mut w, 1), StateWord::Done, "cut after {cut}");
        assert_eq!(state(&mut w, 2), StateWord::Done, "cut after {cut}");
        let ends = |rows: &[String]| rows.iter().filter(|r| r.ends_with("finished")).count();
        assert_eq!(ends(&ledger(w.machine.store_mut())), ends(&rows));
    }
}

/// A task of the world whose session was just started.
fn launched(w: &mut Pretend) -> longhaul_core::effect::Effect {
    w.command(submit(&[(id(1), spec("a", &[]))]));
    w.one();
    let launch = w.todo.last().unwrap().effect.clone();
    assert_eq!(launch.act, Act::Launch);
    w.one();
    assert_eq!(state(w, 1), StateWord::Running);
    launch
}

#[test]
fn t18_a_session_whose_watcher_broke_is_watched_again_although_it_runs_by_now() {
    let mut w = world();
    let launch = launched(&mut w);
    // The thread that launched is still at work, so the executor passed the next effect over.
    w.todo.clear();
    w.step(vec![Event::Again {
        effect: launch,
        after_ms: 3_000,
        why: "its thread broke".into(),
    }]);
    assert!(w.todo.is_empty());
    w.now.mono_ms += 3_000;
    w.step(vec![Event::Tick]);
    assert_eq!(w.todo.last().map(|d| &d.effect.act), Some(&Act::Attend));
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

/// An entry with one check, by hand.
fn entry() -> Entry {
    let id = EntryId(uuid::Uuid::from_u128(7));
    Entry {
        id,
        origin: Origin::Branch { name: "b".into() },
        title: "b".into(),
        commit: "1".into(),
        priority: Priority::Normal,
        since: UnixMs(1_000),
        style: MergeStyle::Merge,
        checks: vec![LandCheck {
            name: "test".into(),
            command: "true".into(),
            timeout: SpanMs::from_secs(60),
            key: "k".into(),
            of: id,
        }],
        land_unverified: false,
        held: false,
        wait: None,
    }
}

fn line() -> LineId {
    LineId {
        repo: "/repo".into(),
        base: "main".into(),
    }
}

fn line_event(fact: QueueFact) -> Event {
    Event::Line { line: line(), fact }
}

fn line_news(news: QueueNews) -> Event {
    line_event(QueueFact::Round { round: 1, news })
}

/// A line whose check is asked for.
fn checking() -> (Moody, Pretend) {
    let store = Moody::default();
    let mut w = Pretend::new(store.clone(), Limits::default());
    let entry = Box::new(entry());
    let ends = vec![(entry.id, TrialEnd::Merged)];
    let point = |name: &str| Point {
        commit: name.into(),
        tree: format!("tree of {name}"),
    };
    let candidate = Candidate {
        point: point("merged"),
        onto: point("tip"),
        entries: vec![entry.id],
        checks: vec![],
        flaky: vec![],
        red: None,
    };
    w.step(vec![line_event(QueueFact::Enter { entry })]);
    let step = w.step(vec![line_news(QueueNews::Tried {
        report: Box::new(TrialReport {
            tip: point("tip"),
            ends,
            candidate: Some(candidate),
        }),
    })]);
    asks_for_the_check(&step);
    (store, w)
}

#[track_caller]
fn asks_for_the_check(step: &Step) {
    let asked: Vec<_> = step.lines.iter().map(|d| &d.effect.act).collect();
    assert!(
        matches!(asked[..], [QueueAct::Check { .. }]),
        "nobody is at the check: {asked:?}"
    );
}

#[test]
fn l18_a_check_that_was_lost_is_asked_for_again_although_the_wait_ended_in_the_same_step() {
    let (_store, mut w) = checking();
    // Both came while the store could not write, so one step takes both.
    let step = w.step(vec![
        line_news(QueueNews::CheckLost {
            subject: Subject::Candidate,
            check: 0,
            run: 0,
            detail: "its process was lost".into(),
        }),
        line_event(QueueFact::Order {
            order: QueueOrder::Resume,
        }),
    ]);
    asks_for_the_check(&step);
}

#[test]
fn l18_an_effect_that_falls_due_in_a_step_that_fails_is_asked_for_in_the_next() {
    let (store, mut w) = checking();
    let (round, act) = (
        1,
        w.machine.line(&line()).and_then(outstanding).unwrap().act,
    );
    let line = line();
    w.step(vec![Event::LineAgain {
        effect: QueueEffect { line, round, act },
        after_ms: 3_000,
        why: "its shim is still starting".into(),
    }]);
    w.now.mono_ms += 3_000;
    store.next([Mood::Full]);
    let paused = line_event(QueueFact::Order {
        order: QueueOrder::Pause,
    });
    let step = w.step(vec![paused]);
    assert!(step.store_trouble.is_some() && step.lines.is_empty());
    asks_for_the_check(&w.step(vec![Event::Tick]));
}

#[test]
fn l18_what_falls_due_of_a_line_in_a_step_that_fails_falls_due_in_the_next() {
    let (store, mut w) = checking();
    w.step(vec![line_news(QueueNews::Failed {
        detail: "no room".into(),
        remedy: None,
    })]);
    let due = w.machine.next_due().expect("it is tried again");
    w.now.wall = due;
    store.next([Mood::Full]);
    let reply = w.command(submit(&[(id(1), spec("a", &[]))]));
    assert!(matches!(reply, Reply::Refused { .. }), "{reply:?}");
    asks_for_the_check(&w.step(vec![Event::Tick]));
}

#[test]
fn i3_a_submission_of_unknown_outcome_that_was_stored_runs() {
    let store = Moody::default();
    let mut w = Pretend::new(store.clone(), Limits::default());
    w.command(Command::Drain { stop: false });
    store.next([Mood::UnknownButStored]);
    let reply = w.command(submit(&[(id(1), spec("a", &[]))]));
    assert!(matches!(reply, Reply::Submitted { .. }), "{reply:?}");
    store.next([Mood::UnknownButStored]);
    assert!(matches!(w.command(Command::Undrain), Reply::Ok(_)));
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

#[test]
fn a_request_repeated_in_the_same_step_is_the_same_submission() {
    let mut w = world();
    let (tx, rx) = std::sync::mpsc::channel();
    let request = |n: u8| {
        let tx = tx.clone();
        Event::Request(longhaul_engine::handle::Request {
            command: submit(&[(id(n), spec("a", &[]))]),
            reply: Box::new(move |r| tx.send(r).unwrap()),
        })
    };
    // The same ids again, and the same file from another client.
    let step = w.step(vec![request(1), request(1), request(2)]);
    assert!(!step.shutdown && step.store_trouble.is_none());
    for reattached in [false, true, true] {
        let Reply::Submitted {
            tasks,
            reattached: was,
            ..
        } = rx.try_recv().unwrap()
        else {
            panic!()
        };
        assert_eq!((tasks, was), (vec![id(1)], reattached));
    }
}

#[test]
fn task_ids_that_are_taken_are_refused_and_do_not_end_the_daemon() {
    let mut w = world();
    w.command(submit(&[(id(1), spec("a", &[]))]));
    for tasks in [
        [(id(2), spec("b", &[])), (id(1), spec("c", &[]))],
        [(id(3), spec("b", &[])), (id(3), spec("c", &[]))],
    ] {
        let Command::Submit(mut command) = submit(&tasks) else {
            panic!()
        };
        command.again = true;
        let reply = w.command(Command::Submit(command));
        assert!(
            matches!(
                reply,
                Reply::Refused {
                    class: RefusalClass::Conflict,
                    ..
                }
            ),
            "{reply:?}"
        );
    }
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

#[test]
fn t20_a_move_whose_commit_failed_is_made_later_and_not_at_once_again_and_again() {
    let store = Moody::default();
    let mut w = Pretend::new(store.clone(), Limits::default());
    let script = Script {
        quota_until: Some(500_000),
        ..Script::default()
    };
    w.scripts.insert(id(1), script);
    w.command(submit(&[(id(1), spec("a", &[]))]));
    while state(&mut w, 1) != StateWord::Parked {
        assert!(w.one());
    }
    w.now.wall = w.machine.next_due().unwrap();
    store.next([Mood::Full]);
    let step = w.step(vec![Event::Tick]);
    assert!(step.store_trouble.is_some());
    assert!(
        w.machine.has_backlog(),
        "the dispatcher has to wait before it tries again"
    );
    w.step(vec![Event::Tick]);
    assert!(!w.machine.has_backlog());
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

#[test]
fn t20_what_a_session_used_is_not_forgotten_when_the_commit_fails() {
    let store = Moody::default();
    let mut w = Pretend::new(store.clone(), Limits::default());
    let mut task = spec("a", &[]);
    task.budget_tokens = Some(10);
    w.command(submit(&[(id(1), task)]));
    w.one();
    w.one();
    let live = longhaul_engine::handle::LiveSession {
        usage: longhaul_core::usage::Usage {
            input: 50,
            ..Default::default()
        },
        ..Default::default()
    };
    let fence = w.machine.task(id(1)).unwrap().fence;
    store.next([Mood::Full]);
    w.step(vec![Event::Live {
        task: id(1),
        fence,
        live: Box::new(live),
    }]);
    w.step(vec![Event::Tick]);
    assert_eq!(
        w.machine.task(id(1)).unwrap().halt,
        Some(longhaul_core::attempt::Halt::Budget)
    );
}

#[test]
fn a_refused_write_makes_the_machine_look_anew_and_go_on() {
    let store = Moody::default();
    let mut w = Pretend::new(store.clone(), Limits::default());
    w.command(submit(&[
        (id(1), spec("a", &[])),
        (id(2), spec("b", &[id(1)])),
    ]));
    w.one();
    store.next([Mood::Refuse]);
    w.one();
    assert!(w.machine.has_backlog());
    w.step(vec![Event::Tick]);
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
    assert_eq!(state(&mut w, 2), StateWord::Done);
    // What is refused for ever ends the daemon instead of spinning.
    store.next([Mood::Refuse; 5]);
    w.command(submit(&[(id(3), spec("c", &[]))]));
    let ended = (0..4).any(|_| {
        let (tx, _rx) = std::sync::mpsc::channel();
        w.step(vec![Event::Request(longhaul_engine::handle::Request {
            command: Command::Drain { stop: false },
            reply: Box::new(move |r| drop(tx.send(r))),
        })])
        .shutdown
    });
    assert!(ended);
}

#[test]
fn a4_a_session_from_before_the_reset_does_not_stand_in_the_probes_way() {
    let mut w = world();
    let script = Script {
        quota_until: Some(500_000),
        ..Script::default()
    };
    w.scripts.insert(id(2), script);
    w.command(submit(&[
        (id(1), spec("long", &[])),
        (id(2), spec("b", &[])),
    ]));
    // The first one is launched and goes on through the night; the second meets the limit.
    for _ in 0..6 {
        w.todo
            .retain(|d| d.effect.task != id(1) || d.effect.act != Act::Attend);
        w.todo.sort_by_key(|d| std::cmp::Reverse(d.effect.task));
        w.one();
    }
    assert_eq!(state(&mut w, 1), StateWord::Running);
    assert_eq!(state(&mut w, 2), StateWord::Parked);
    w.todo.retain(|d| d.effect.task != id(1));
    w.settle();
    assert_eq!(state(&mut w, 2), StateWord::Done);
    assert_eq!(state(&mut w, 1), StateWord::Running);
}

#[test]
fn i15_no_session_starts_inside_a_window_that_became_known_after_its_slot() {
    let mut w = world();
    let script = Script {
        quota_until: Some(500_000),
        ..Script::default()
    };
    w.scripts.insert(id(2), script);
    w.command(submit(&[
        (id(1), spec("slow", &[])),
        (id(2), spec("b", &[])),
    ]));
    // The first one's workspace is still being made when the second meets the limit.
    for _ in 0..4 {
        w.todo.sort_by_key(|d| d.effect.task);
        w.one();
    }
    assert_eq!(state(&mut w, 2), StateWord::Parked);
    assert_eq!(state(&mut w, 1), StateWord::Assigned);
    w.one();
    assert_eq!(state(&mut w, 1), StateWord::Parked);
    assert!(w.launches.iter().all(|(task, _)| *task != id(1)));
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Done);
}

#[test]
fn t16_a_task_that_stops_after_thaw_or_undrain_goes_on() {
    for (stop, go) in [
        (Command::Estop, Command::Thaw),
        (Command::Drain { stop: true }, Command::Undrain),
    ] {
        let mut w = world();
        w.command(submit(&[(id(1), spec("a", &[]))]));
        w.command(stop);
        w.command(go);
        w.settle();
        assert_eq!(state(&mut w, 1), StateWord::Done);
    }
}

#[test]
fn t17_estop_and_thaw_do_not_take_a_cancel_back() {
    let mut w = world();
    w.command(submit(&[(id(1), spec("a", &[]))]));
    w.one();
    w.one();
    let cancel = Command::Order {
        tasks: vec![id(1)],
        order: Order::Cancel,
    };
    w.command(cancel);
    // The session ends; its work is still to be secured.
    w.todo.retain(|d| matches!(d.effect.act, Act::Halt { .. }));
    w.one();
    assert_eq!(state(&mut w, 1), StateWord::Running);
    w.command(Command::Estop);
    w.settle();
    assert_eq!(state(&mut w, 1), StateWord::Cancelled);
}

#[test]
fn t3_a_task_resumed_after_its_dependency_ended_goes_on() {
    let mut w = world();
    w.command(submit(&[
        (id(1), spec("a", &[])),
        (id(2), spec("b", &[id(1)])),
    ]));
    for (order, after) in [
        (Order::Stop, StateWord::Parked),
        (Order::Resume, StateWord::Done),
    ] {
        w.command(Command::Order {
            tasks: vec![id(2)],
            order,
        });
        w.settle();
        assert_eq!(state(&mut w, 2), after);
    }
}

/// What a tick costs must not depend on what is stored: it asks for nothing.
#[test]
fn a_tick_with_live_sessions_asks_the_store_nothing() {
    let limits = Limits {
        capacity: Capacity {
            total: 20,
            ..Capacity::default()
        },
        ..Limits::default()
    };
    let store = Moody::default();
    let mut w = Pretend::new(store.clone(), limits);
    let tasks: Vec<_> = (1..=40)
        .map(|n| (id(n), spec(&format!("t{n}"), &[])))
        .collect();
    w.command(submit(&tasks));
    for _ in 0..40 {
        w.one();
    }
    assert_eq!(w.most_live, 20);
    let before = store.asked();
    for _ in 0..100 {
        w.now.mono_ms += 10;
        w.now.wall.0 += 10;
        let step = w.machine.step(vec![Event::Tick], w.now);
        assert!(step.effects.is_empty() && step.advanced.is_none());
    }
    assert_eq!(store.asked(), before);
}

#[test]
fn l19_what_two_sessions_share_is_told_to_both_once_and_survives_a_restart() {
    let store = Moody::default();
    let limits = Limits {
        live_conflicts: OverlapStrategy::Escalate,
        capacity: Capacity {
            total: 4,
            ..Capacity::default()
        },
        ..Limits::default()
    };
    let mut w = Pretend::new(store.clone(), limits.clone());
    w.command(submit(&[(id(1), spec("a", &[])), (id(2), spec("b", &[]))]));
    for _ in 0..8 {
        let attend = |d: &longhaul_engine::machine::Dispatch| d.effect.act == Act::Attend;
        if w.todo.len() == 2 && w.todo.iter().all(attend) {
            break;
        }
        let next = w.todo.iter().position(|d| !attend(d)).unwrap();
        let d = w.todo.remove(next);
        w.todo.push(d);
        w.now.wall.0 += 1;
        w.one();
    }
    let touched = |n: u8, path: &str| Touched {
        task: id(n),
        paths: [path.to_owned()].into(),
    };
    let rows = |w: &mut Pretend, word: &str| {
        let all = ledger(w.machine.store_mut());
        all.iter().filter(|row| row.contains(word)).count()
    };
    for _ in 0..2 {
        w.step(vec![Event::Touched(vec![touched(1, "f"), touched(2, "f")])]);
    }
    assert_eq!(rows(&mut w, "overlap_opened"), 2, "one for each, once");
    let held: Vec<bool> = [1, 2].map(|n| w.machine.task(id(n)).unwrap().hold).into();
    assert_eq!(
        held.iter().filter(|h| **h).count(),
        1,
        "the later one: {held:?}"
    );
    let mut w = Pretend::new(store, limits);
    w.step(vec![Event::Touched(vec![touched(1, "f"), touched(2, "f")])]);
    assert_eq!(rows(&mut w, "overlap_opened"), 2);
    w.step(vec![Event::Touched(vec![touched(1, "f"), touched(2, "g")])]);
    assert_eq!(rows(&mut w, "overlap_closed"), 2);
}
