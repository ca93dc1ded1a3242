//! What the dispatcher guarantees, whatever carries out its effects.

use longhaul_core::fact::Order;
use longhaul_core::schedule::Capacity;
use longhaul_core::task::StateWord;
use longhaul_engine::event::Event;
use longhaul_engine::handle::{Command, OrderResult, RefusalClass, Reply};
use longhaul_engine::machine::Limits;
use longhaul_store::{MemoryStore, Store};

use crate::pretend::{Pretend, Script, id, ledger, spec, submit};

fn world() -> Pretend {
    Pretend::new(MemoryStore::default(), Limits::default())
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
    let mut w = Pretend::new(MemoryStore::default(), limits);
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
    let mut w = Pretend::new(MemoryStore::default(), limits);
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
