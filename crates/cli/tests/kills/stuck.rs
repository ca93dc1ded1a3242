//! Nothing is asked for in vain for ever: what can no longer be watched or judged ends with a person;
//! and what has ended is waited for.

use longhaul_core::task::{NeedKind, State, StateWord};
use longhaul_testkit::world::wait_until;

use crate::scene::{LIMIT, Scene, is_live, kill, process};

#[test]
fn i2_a_live_session_whose_harness_is_gone_is_stopped_and_a_person_asked() {
    let mut scene = Scene::with(
        "[harness.slow]\nprogram = \"/bin/sh\"\nbase_args = [\"-c\", \"echo half > half.txt; sleep 3009\"]\n",
    );
    scene.tasks("[[task]]\nname = \"orphan\"\nharness = \"slow\"\nprompt = \"work\"\n");
    scene.start();
    scene.until("orphan", "live", is_live);
    let half = scene.workspace("orphan").join("half.txt");
    assert!(wait_until(LIMIT, || half.exists()));
    let agent = process(&scene.session("orphan").child);
    let daemon = scene.daemon().unwrap();
    kill(&daemon);
    assert!(wait_until(LIMIT, || !daemon.is_alive()));
    scene.config("");
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let task = scene.until_state("orphan", StateWord::NeedsHuman);
    let State::NeedsHuman { need } = &task.state else {
        panic!("{task:?}")
    };
    assert_eq!(need.kind, NeedKind::CannotLaunch, "{need:?}");
    assert!(need.detail.contains("slow"), "{need:?}");
    assert!(!agent.is_alive(), "nobody watches it");
    let sealed = task.attempt.and_then(|a| a.sealed).unwrap();
    assert!(sealed.snapshot.is_some(), "its work is kept");
}

#[test]
fn i13_a_check_that_takes_the_workspace_away_fails_and_is_not_asked_for_ever() {
    let mut scene = Scene::new();
    scene.tasks(
        "[[task]]\nname = \"eaten\"\nmax_retries = 0\nsandbox = \"off\"\nprompt = '''\nwrite a.txt a\ndone\n'''\n\
         [[task.check]]\nname = \"eats\"\nrun = 'cd / && rm -rf \"$LONGHAUL_WORKSPACE\"'\n\n",
    );
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let task = scene.until_state("eaten", StateWord::NeedsHuman);
    let State::NeedsHuman { need } = &task.state else {
        panic!("{task:?}")
    };
    assert_eq!(need.kind, NeedKind::RetriesExhausted, "{need:?}");
    assert!(need.detail.contains("eats"), "{need:?}");
}

#[test]
fn shims_that_ended_do_not_stay_zombies_while_nothing_is_started() {
    let mut scene = Scene::new();
    scene.tasks(
        "[[task]]\nname = \"one\"\nprompt = '''\nwrite a.txt a\ndone\n'''\n[[task.check]]\nrun = \"true\"\n",
    );
    scene.start();
    scene.until_state("one", StateWord::Done);
    let daemon = scene.daemon().unwrap().pid;
    let gone = wait_until(LIMIT, || zombies_of(daemon).is_empty());
    assert!(gone, "{:?}", zombies_of(daemon));
    scene.audit(&[("one", StateWord::Done)]);
}

/// The dead children of a process that it has not waited for.
fn zombies_of(parent: u32) -> Vec<String> {
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|e| std::fs::read_to_string(e.path().join("stat")).ok());
    let of_parent = format!(") Z {parent} ");
    stats.filter(|s| s.contains(&of_parent)).collect()
}
