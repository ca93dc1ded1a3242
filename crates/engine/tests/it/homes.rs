//! Account homes in the dispatcher: who goes where, who moves, who waits, and that a restart at any moment comes to
//! the same (A3, A4, A7, A23, I15).

use std::collections::BTreeMap;

use longhaul_core::account::Strategy;
use longhaul_core::home::{Home, HomeSet, Homes};
use longhaul_core::ids::TaskId;
use longhaul_core::ledger::Cause;
use longhaul_core::limit::LimitClass;
use longhaul_core::schedule::Capacity;
use longhaul_core::task::{NeedKind, State, StateWord};
use longhaul_core::time::UnixMs;
use longhaul_engine::event::Event;
use longhaul_engine::handle::{Command, HomeUse, LiveSession, Reply};
use longhaul_engine::machine::Limits;
use longhaul_store::{LedgerRow, Store as _};

use crate::moody::Moody;
use crate::pretend::{Pretend, id, ledger, spec, submit};

const FOR_EVER: i64 = 1_000_000_000;

fn homes(names: &[&str], rotate: bool) -> Homes {
    let homes = names.iter().map(|name| Home {
        name: (*name).to_owned(),
        priority: 0,
    });
    let set = HomeSet {
        homes: homes.collect(),
        rotate,
        strategy: Strategy::Sticky,
        near_permille: 950,
        own_ways: vec!["OWN_LOGIN".to_owned()],
    };
    Homes(BTreeMap::from([("script".to_owned(), set)]))
}

fn world(store: Moody, names: &[&str], rotate: bool) -> Pretend {
    let limits = Limits {
        capacity: Capacity {
            total: 4,
            ..Capacity::default()
        },
        ..Limits::default()
    };
    let mut w = Pretend::new(store, limits);
    w.machine.use_homes(homes(names, rotate));
    w
}

fn add(w: &mut Pretend, count: u8) {
    let tasks: Vec<_> = (1..=count)
        .map(|n| (id(n), spec(&format!("t{n}"), &[])))
        .collect();
    w.command(submit(&tasks));
}

fn rows(store: &Moody) -> Vec<LedgerRow> {
    store.reader().unwrap().ledger_tail(0, 10_000).unwrap()
}

fn word(store: &Moody, task: TaskId) -> StateWord {
    let found = store.reader().unwrap().task(task).unwrap();
    found.unwrap().task.state.word()
}

fn seats(w: &Pretend, task: TaskId) -> Vec<&str> {
    let own = w.seats.iter().filter(|(t, _)| *t == task);
    own.map(|(_, a)| a.as_deref().unwrap_or("-")).collect()
}

/// What was recorded of a task's homes: from, to, why.
fn moves(store: &Moody, task: TaskId) -> Vec<(String, String, String)> {
    let text = |v: &serde_json::Value| v.as_str().unwrap_or("-").to_owned();
    let chosen = rows(store)
        .into_iter()
        .filter(|r| r.entry.task == task && r.entry.cause == Cause::AccountChosen);
    chosen
        .map(|r| {
            let d = &r.entry.data;
            (text(&d["from"]), text(&d["to"]), text(&d["reason"]["why"]))
        })
        .collect()
}

#[test]
fn a23_only_the_limited_session_moves_and_its_conversation_with_it() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a", "b"], true);
    add(&mut w, 2);
    w.refusing.insert("a".into(), (LimitClass::Quota, FOR_EVER));
    w.settle();
    assert!((1..=2).all(|n| word(&store, id(n)) == StateWord::Done));
    // The two begin on two homes; only one of them moves.
    let mut all = [seats(&w, id(1)), seats(&w, id(2))];
    all.sort();
    assert_eq!(all, [vec!["a", "b"], vec!["b"]]);
    let limited = if seats(&w, id(1)).len() == 2 { 1 } else { 2 };
    let moved = moves(&store, id(limited));
    let of = |from: &str, to: &str, why: &str| (from.to_owned(), to.to_owned(), why.to_owned());
    assert_eq!(moved, [of("-", "a", "first"), of("a", "b", "limit")]);
    assert_eq!(moves(&store, id(3 - limited)), [of("-", "b", "first")]);
    // Before, with what is resumed; and after.
    let own: Vec<LedgerRow> = rows(&store)
        .into_iter()
        .filter(|r| r.entry.task == id(limited))
        .collect();
    let at = |cause, nth| {
        let found = own
            .iter()
            .enumerate()
            .filter(|(_, r)| r.entry.cause == cause);
        found.map(|(n, _)| n).nth(nth).unwrap()
    };
    let (limit, chosen) = (at(Cause::Limit, 0), at(Cause::AccountChosen, 1));
    let started = at(Cause::SessionStarted, 1);
    assert!(limit < chosen && chosen < started);
    assert!(own[chosen].entry.data["conversation"].is_string());
    assert_eq!(own[started].entry.data["resumed"], true);
    assert_eq!(own[limit].entry.data["scope"], "account a");
}

#[test]
fn rotation_is_off_until_the_user_turns_it_on() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a", "b"], false);
    add(&mut w, 2);
    w.refusing.insert("a".into(), (LimitClass::Quota, 500_000));
    w.settle();
    assert!((1..=2).all(|n| word(&store, id(n)) == StateWord::Done));
    assert!(w.seats.iter().all(|(_, a)| a.as_deref() == Some("a")));
    assert!(w.now.wall.0 >= 500_000, "I15");
}

#[test]
fn a4_where_all_homes_rest_a_task_is_parked_until_the_soonest_reset() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a", "b"], true);
    add(&mut w, 1);
    w.refusing.insert("a".into(), (LimitClass::Quota, 900_000));
    w.refusing.insert("b".into(), (LimitClass::Quota, 400_000));
    while word(&store, id(1)) != StateWord::Parked {
        assert!(w.one());
    }
    let task = w.machine.task(id(1)).unwrap().clone();
    let State::Parked { until, .. } = task.state else {
        panic!()
    };
    let soonest = UnixMs(400_000)..UnixMs(440_000);
    assert!(soonest.contains(&until.unwrap()), "{until:?}");
    w.settle();
    assert_eq!(word(&store, id(1)), StateWord::Done);
    assert_eq!(seats(&w, id(1)), ["a", "b", "b"]);
    let last = rows(&store).pop().unwrap().entry.at;
    assert!((400_000..900_000).contains(&last.0), "{last:?}");
}

#[test]
fn a4_one_session_proves_a_home_before_the_others_start_there() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a"], true);
    w.refusing.insert("a".into(), (LimitClass::Quota, 400_000));
    add(&mut w, 4);
    w.settle();
    assert!((1..=4).all(|n| word(&store, id(n)) == StateWord::Done));
    // After the reset one session goes first, and no other starts before it was seen to work.
    let after = rows(&store).into_iter().filter(|r| r.entry.at.0 >= 400_000);
    let told: Vec<_> = after
        .filter(|r| matches!(r.entry.cause, Cause::SessionStarted | Cause::SessionEnded))
        .map(|r| (r.entry.task, r.entry.cause))
        .collect();
    assert_eq!(told[1], (told[0].0, Cause::SessionEnded), "{told:?}");
}

#[test]
fn a2_what_is_used_of_a_home_survives_a_restart() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a", "b"], true);
    add(&mut w, 1);
    while word(&store, id(1)) != StateWord::Running {
        assert!(w.one());
    }
    assert_eq!(seats(&w, id(1)), ["a"]);
    let fence = w.machine.tasks().next().unwrap().fence;
    let told = |permille, reset| Event::Live {
        task: id(1),
        fence,
        live: Box::new(LiveSession {
            home_use: Some(HomeUse {
                permille,
                reset_at: Some(UnixMs(reset)),
            }),
            ..LiveSession::default()
        }),
    };
    w.step(vec![told(960, FOR_EVER)]);
    let kept = |store: &Moody| store.reader().unwrap().flags().unwrap();
    assert_eq!(kept(&store)["home use a"]["permille"], 960);
    // A little more is no news; a window that begins anew is.
    w.step(vec![told(962, FOR_EVER)]);
    assert_eq!(kept(&store)["home use a"]["permille"], 960);
    w.settle();
    drop(w);
    // The next daemon leaves the home that is near its limit for last.
    let mut w = world(store.clone(), &["a", "b"], true);
    w.command(submit(&[(id(2), spec("t2", &[]))]));
    w.settle();
    assert_eq!(seats(&w, id(2)), ["b"]);
    // Until that window is over.
    w.now.wall = UnixMs(FOR_EVER + 1);
    w.command(submit(&[(id(3), spec("t3", &[]))]));
    w.settle();
    assert_eq!(seats(&w, id(3)), ["a"]);
}

#[test]
fn a7_a_lost_login_breaks_the_home_and_the_fleet_goes_on_elsewhere() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a", "b"], true);
    w.refusing.insert("a".into(), (LimitClass::Auth, FOR_EVER));
    add(&mut w, 1);
    let mut told = Vec::new();
    while let Some(d) = w.todo.pop() {
        let events = w.carry(&d);
        told.extend(w.step(events).needs);
    }
    assert_eq!(word(&store, id(1)), StateWord::Done);
    assert_eq!(seats(&w, id(1)), ["a", "b"]);
    // A person is told, though nothing waits.
    let [asking] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(asking.need.kind, NeedKind::LoggedOut);
    assert!(asking.need.remedy.contains("account enable a"));
    // Nothing goes to the broken home any more.
    w.command(submit(&[(id(7), spec("later", &[]))]));
    w.settle();
    assert_eq!(seats(&w, id(7)), ["b"]);
}

#[test]
fn a7_a_task_that_needs_a_login_goes_on_when_its_home_is_mended() {
    for by_retry in [false, true] {
        let store = Moody::default();
        let mut w = world(store.clone(), &["a"], true);
        w.refusing.insert("a".into(), (LimitClass::Auth, FOR_EVER));
        add(&mut w, 1);
        w.settle();
        assert_eq!(word(&store, id(1)), StateWord::NeedsHuman);
        w.refusing.clear();
        let reply = w.command(match by_retry {
            true => Command::Order {
                tasks: vec![id(1)],
                order: longhaul_core::fact::Order::Retry {
                    note: None,
                    add_budget: None,
                    add_tokens: None,
                },
            },
            false => Command::ClearLimit {
                scope: "account a".into(),
            },
        });
        assert!(!matches!(reply, Reply::Refused { .. }), "{reply:?}");
        w.settle();
        assert_eq!(word(&store, id(1)), StateWord::Done, "{by_retry}");
    }
}

#[test]
fn a_task_with_a_login_of_its_own_is_left_to_it() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a"], true);
    let mut own = spec("own", &[]);
    own.env_pass = vec!["OWN_LOGIN".to_owned()];
    w.command(submit(&[(id(1), own), (id(2), spec("homely", &[]))]));
    w.settle();
    assert_eq!(seats(&w, id(1)), ["-"]);
    assert_eq!(seats(&w, id(2)), ["a"]);
}

#[test]
fn a_home_that_the_user_takes_away_is_left_and_one_that_is_added_frees_who_waits() {
    let store = Moody::default();
    let mut w = world(store.clone(), &["a"], true);
    w.refusing.insert("a".into(), (LimitClass::Quota, FOR_EVER));
    add(&mut w, 1);
    while word(&store, id(1)) != StateWord::Parked {
        assert!(w.one());
    }
    let more = homes(&["a", "b"], true);
    w.step(vec![Event::Homes { homes: more }]);
    w.settle();
    assert_eq!(word(&store, id(1)), StateWord::Done);
    assert_eq!(seats(&w, id(1)), ["a", "b"]);
    assert!(w.now.wall.0 < FOR_EVER);
    let without = homes(&["a"], true);
    w.step(vec![Event::Homes { homes: without }]);
    w.refusing.clear();
    let reply = w.command(Command::ClearLimit {
        scope: "account a".into(),
    });
    assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
    w.command(submit(&[(id(2), spec("next", &[]))]));
    w.settle();
    assert_eq!(seats(&w, id(2)), ["a"]);
}

/// Crash after every step of a switch: the next daemon comes to the same end, and no session is started twice.
#[test]
fn a23_a_switch_survives_a_restart_at_every_step() {
    let play = |crash_after: Option<usize>| {
        let store = Moody::default();
        let mut w = world(store.clone(), &["a", "b"], true);
        w.refusing.insert("a".into(), (LimitClass::Quota, FOR_EVER));
        add(&mut w, 1);
        let mut steps = 0;
        loop {
            if crash_after == Some(steps) {
                let mut next = world(store.clone(), &["a", "b"], true);
                next.refusing = w.refusing.clone();
                next.now = w.now;
                next.seats = std::mem::take(&mut w.seats);
                next.recover();
                w = next;
            }
            steps += 1;
            if !w.one() {
                break;
            }
        }
        w.settle();
        assert_eq!(word(&store, id(1)), StateWord::Done);
        assert_eq!(moves(&store, id(1)).len(), 2, "{crash_after:?}");
        let on: Vec<_> = seats(&w, id(1)).into_iter().map(str::to_owned).collect();
        (steps, ledger(&store), on)
    };
    let (steps, whole, on) = play(None);
    assert_eq!(on, ["a", "b"]);
    for crash in 0..steps {
        let (_, ledger, on) = play(Some(crash));
        assert_eq!(ledger, whole, "after step {crash}");
        assert_eq!(on, ["a", "b"], "after step {crash}");
    }
}
