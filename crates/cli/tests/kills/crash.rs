//! SIGKILL of the agent, the shim, the daemon, and of all at once (T18, I2, I8).

use std::time::Duration;

use longhaul_core::attempt::{AttemptEnd, LostWhy};
use longhaul_core::ids::SpawnKey;
use longhaul_core::task::{RunStep, State, StateWord};
use longhaul_store::Reader as _;
use longhaul_testkit::world::{ProcessIdentity, processes_mentioning, read, wait_until, write};

use crate::scene::{LIMIT, START, Scene, find, is_live, kill, process, session_key, signal};

/// Attempt 1 is in a tool with two background processes in sessions of their own; the next one is
/// done.
fn in_mid_tool(name: &str) -> String {
    in_mid_tool_with(name, "sleep 3002")
}

fn in_mid_tool_with(name: &str, stubborn: &str) -> String {
    format!(
        "[[task]]\nname = \"{name}\"\nprompt = '''\n{START}\n@attempt 1\nwrite half.txt first\n\
         spawn sleep 3001\nspawn {stubborn}\nrun echo deep; echo in-tool >&2; touch deep.txt; sleep 3003\n\
         fail nobody killed me\n@attempt 2..\nrun cat half.txt\nappend half.txt second\ndone\n'''\n\
         [[task.check]]\nname = \"both\"\nrun = \"grep -q first half.txt && grep -q second half.txt\"\n\n"
    )
}

/// Waits until the tool call of [`in_mid_tool`] and both grandchildren run.
#[track_caller]
fn until_deep(scene: &Scene, name: &str) {
    scene.until(name, "live", is_live);
    let workspace = scene.workspace(name);
    let deep = wait_until(LIMIT, || {
        workspace.join("deep.txt").exists() && sleepers(scene) >= 3
    });
    assert!(deep, "{name}: {:#?}", scene.world.processes());
}

fn sleepers(scene: &Scene) -> usize {
    let all = scene.world.processes();
    all.iter()
        .filter(|p| p.command.contains("sleep 300"))
        .count()
}

/// How each attempt of a task ended.
fn ends(scene: &Scene, name: &str) -> Vec<Option<AttemptEnd>> {
    let reader = scene.reader().unwrap();
    let attempts = reader.attempts(scene.task(name).id).unwrap();
    attempts.into_iter().map(|a| a.attempt.end).collect()
}

#[test]
fn i8_an_agent_killed_in_mid_tool_takes_its_whole_tree_along_and_the_work_goes_on() {
    let mut scene = Scene::new();
    scene.tasks(&in_mid_tool("deep"));
    scene.start();
    until_deep(&scene, "deep");
    let session = scene.session("deep");
    kill(&process(&session.child));
    let task = scene.until_state("deep", StateWord::Done);
    assert_eq!((task.tally.attempts, task.tally.retries), (2, 0));
    let ends = ends(&scene, "deep");
    assert!(
        matches!(&ends[0], Some(AttemptEnd::Crashed { detail }) if detail.contains('9')),
        "{ends:?}"
    );
    assert_eq!(sleepers(&scene), 0, "{:#?}", scene.world.processes());
    assert_eq!(scene.on_branch("deep", "half.txt"), "first\nsecond");
    scene.audit(&[("deep", StateWord::Done)]);
}

#[test]
fn t18_a_killed_shim_is_a_lost_session_whose_tree_is_swept() {
    let mut scene = Scene::new();
    scene.tasks(&in_mid_tool_with("deep", "trap \"\" TERM; sleep 3002"));
    scene.start();
    until_deep(&scene, "deep");
    let session = scene.session("deep");
    let agent = process(&session.child);
    kill(&process(&session.shim));
    let task = scene.until_state("deep", StateWord::Done);
    assert_eq!((task.tally.attempts, task.tally.retries), (2, 0));
    let ends = ends(&scene, "deep");
    assert_eq!(ends[0], Some(AttemptEnd::Lost { why: LostWhy::Shim }));
    assert!(!agent.is_alive());
    assert_eq!(sleepers(&scene), 0, "{:#?}", scene.world.processes());
    scene.audit(&[("deep", StateWord::Done)]);
}

#[test]
fn t18_a_killed_daemon_is_followed_by_one_that_adopts_the_session() {
    let mut scene = Scene::new();
    let gate = scene.wait_for("go");
    scene.tasks(&format!(
        "[[task]]\nname = \"adopted\"\nprompt = '''\n{START}\nsay before\nrun {gate}\nsay after\nwrite a.txt a\ndone\n'''\n"
    ));
    scene.start();
    scene.until_said("adopted", "before");
    scene.until("adopted", "live", is_live);
    let (before, session) = (scene.task("adopted"), scene.session("adopted"));
    let first = scene.kill_daemon();
    // Reading works without a daemon, and starts none (I7).
    assert_eq!(scene.show("adopted")["task"]["state"], "running");
    assert!(scene.daemon().is_none());
    let started = scene.longhaul(&["daemon", "start"]).expect_code(0);
    assert!(started.stderr.contains("started the daemon"), "{started:?}");
    let second = scene.daemon().unwrap();
    assert_ne!(first.pid, second.pid);
    assert_eq!(scene.session("adopted").child, session.child);
    scene.open("go");
    let after = scene.until_state("adopted", StateWord::Done);
    assert_eq!((before.fence, after.tally.attempts), (after.fence, 1));
    assert_eq!(after.attempt.unwrap().pid, Some(session.child.pid));
    let said = scene.longhaul(&["logs", "adopted"]).expect_code(0);
    assert!(
        said.stdout.contains("before") && said.stdout.contains("after"),
        "{said:?}"
    );
    scene.audit(&[("adopted", StateWord::Done)]);
}

#[test]
fn i3_agent_shim_and_daemon_killed_at_once_lose_nothing() {
    let mut scene = Scene::new();
    scene.tasks(&format!("{}{}", in_mid_tool("one"), in_mid_tool("two")));
    scene.start();
    for name in ["one", "two"] {
        until_deep(&scene, name);
    }
    let mut doomed: Vec<ProcessIdentity> = vec![scene.daemon().unwrap()];
    for name in ["one", "two"] {
        let session = scene.session(name);
        doomed.extend([process(&session.shim), process(&session.child)]);
    }
    for process in &doomed {
        process.kill();
    }
    doomed.iter().for_each(kill);
    // The tree outlived everyone who knew of it.
    assert!(sleepers(&scene) > 0);
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    for name in ["one", "two"] {
        let task = scene.until_state(name, StateWord::Done);
        assert_eq!((task.tally.attempts, task.tally.retries), (2, 0), "{name}");
        assert_eq!(scene.on_branch(name, "half.txt"), "first\nsecond");
    }
    assert_eq!(sleepers(&scene), 0, "{:#?}", scene.world.processes());
    scene.audit(&[("one", StateWord::Done), ("two", StateWord::Done)]);
}

#[test]
fn t18_a_daemon_killed_again_and_again_never_starts_a_session_twice() {
    let mut scene = Scene::new();
    let tasks: String = (0..6)
        .map(|n| {
            format!(
                "[[task]]\nname = \"t{n}\"\nsetup = \"echo ready > .git-setup-$$; rm .git-setup-$$\"\nprompt = '''\n{START}\nwrite f{n}.txt {n}\nsleep {}ms\nsay half\nsleep 400ms\ndone\n'''\n\
                 [[task.check]]\nrun = \"sleep 0.3; test -e f{n}.txt\"\n[[task.check]]\nrun = \"test $(wc -l < starts.txt) = 1\"\n\n",
                300 + n * 150
            )
        })
        .collect();
    scene.tasks(&tasks);
    scene.start();
    for _ in 0..15 {
        std::thread::sleep(Duration::from_millis(200));
        if let Some(daemon) = scene.daemon() {
            kill(&daemon);
        }
        scene.longhaul(&["daemon", "start"]).expect_code(0);
    }
    let mut wanted = Vec::new();
    for name in ["t0", "t1", "t2", "t3", "t4", "t5"] {
        let task = scene.until_state(name, StateWord::Done);
        let tally = &task.tally;
        assert_eq!(
            (tally.attempts, tally.retries, tally.restarts),
            (1, 0, 0),
            "{name}"
        );
        wanted.push((name, StateWord::Done));
    }
    scene.audit(&wanted);
}

#[test]
fn t18_a_daemon_killed_during_setup_check_and_park_goes_on_where_it_was() {
    let mut scene = Scene::new();
    let (setup, check) = (scene.wait_for("setup"), scene.wait_for("check"));
    // What a check leaves is cleared after its PASS, unless it is ignored.
    std::fs::write(scene.repo.join(".git/info/exclude"), "check-ran.txt\n").unwrap();
    scene.tasks(&format!(
        "[[task]]\nname = \"setting-up\"\nsetup = \"echo x >> setup-ran.txt; {setup}\"\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"checked\"\nprompt = '''\n{START}\nwrite b.txt b\ndone\n'''\n\
         [[task.check]]\nname = \"slow\"\nrun = \"echo x >> check-ran.txt; {check}\"\n\n\
         [[task]]\nname = \"parked\"\nprompt = '''\n{START}\n@attempt 1\nwrite c.txt c\nlimit quota in 6s\n@attempt 2..\ndone\n'''\n",
    ));
    scene.start();
    scene.until_state("checked", StateWord::Verifying);
    let parked = scene.until_state("parked", StateWord::Parked);
    scene.until_state("setting-up", StateWord::Assigned);
    let check_ran = scene.workspace("checked").join("check-ran.txt");
    assert!(wait_until(LIMIT, || check_ran.exists()));
    let workspaces = scene.world.state().join("workspaces");
    let mut setup_ran = None;
    wait_until(LIMIT, || {
        setup_ran = find(&workspaces, "setup-ran.txt", 4);
        setup_ran.is_some()
    });
    let setup_ran = setup_ran.unwrap();
    scene.kill_daemon();
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    assert_eq!(scene.task("parked").state, parked.state);
    // A session of a resting harness would not be started after its setup (I15).
    scene.until_state("parked", StateWord::Done);
    scene.open("setup");
    scene.open("check");
    for (name, attempts) in [("setting-up", 1), ("checked", 1), ("parked", 2)] {
        let task = scene.until_state(name, StateWord::Done);
        assert_eq!(task.tally.attempts, attempts, "{name}");
        assert_eq!((task.tally.retries, task.tally.restarts), (0, 0), "{name}");
    }
    // Adopted, not run again.
    for file in [setup_ran, check_ran] {
        assert_eq!(read(&file), "x\n", "{}", file.display());
    }
    scene.audit(&[
        ("setting-up", StateWord::Done),
        ("checked", StateWord::Done),
        ("parked", StateWord::Done),
    ]);
}

#[test]
fn i4_a_daemon_killed_while_it_secures_the_work_secures_it_once() {
    let mut scene = Scene::new();
    // Many files make the moment long enough to be met.
    let tasks: String = (0..3)
        .map(|n| {
            format!(
                "[[task]]\nname = \"s{n}\"\nprompt = '''\n{START}\nrun mkdir d; for i in $(seq 1500); do echo $i > d/$i; done\n{}done\n'''\n\n",
                if n == 0 { String::new() } else { format!("run {}\n", scene.wait_for(&format!("g{n}"))) }
            )
        })
        .collect();
    scene.tasks(&tasks);
    scene.start();
    let mut met = 0;
    for n in 0..3 {
        let name = format!("s{n}");
        scene.open(&format!("g{n}"));
        let task = scene.until(&name, "sealing or done", |task| {
            matches!(
                task.state,
                State::Running {
                    step: RunStep::Sealing { .. }
                }
            ) || task.state.word() == StateWord::Done
        });
        scene.kill_daemon();
        met += u32::from(task.state.word() != StateWord::Done);
        scene.longhaul(&["daemon", "start"]).expect_code(0);
        let task = scene.until_state(&name, StateWord::Done);
        assert_eq!(task.tally.attempts, 1);
        let branch = task.carry.workspace.unwrap().branch.unwrap();
        let commits = scene.git(&["rev-list", "--count", &format!("main..{branch}")]);
        assert_eq!(commits, "1", "{name}: the leftovers are committed once");
        let files = scene.git(&["ls-tree", "-r", "--name-only", &branch, "d"]);
        assert_eq!(files.lines().count(), 1500);
    }
    assert!(met > 0, "no daemon was killed while it sealed");
    let wanted = [
        ("s0", StateWord::Done),
        ("s1", StateWord::Done),
        ("s2", StateWord::Done),
    ];
    scene.audit(&wanted);
}

#[test]
fn t18_after_a_reboot_the_session_is_lost_and_the_task_goes_on() {
    let mut scene = Scene::new();
    scene.tasks(&in_mid_tool("deep"));
    scene.start();
    until_deep(&scene, "deep");
    let session = scene.session("deep");
    let key = session_key(&scene.task("deep"));
    scene.kill_daemon();
    kill(&process(&session.shim));
    // A reboot leaves nobody, and another boot id.
    wait_until(LIMIT, || {
        let left = processes_mentioning(scene.world.id());
        for process in &left {
            process.kill();
        }
        left.is_empty()
    });
    let record = scene.jobs().join(key.as_str()).join("identity.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let boot = session.child.boot_id.as_str();
    assert!(text.contains(boot));
    write(
        &record,
        &text.replace(boot, "11111111-2222-3333-4444-555555555555"),
    )
    .unwrap();
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let task = scene.until_state("deep", StateWord::Done);
    assert_eq!((task.tally.attempts, task.tally.retries), (2, 0));
    assert_eq!(
        ends(&scene, "deep")[0],
        Some(AttemptEnd::Lost {
            why: LostWhy::Reboot
        })
    );
    scene.audit(&[("deep", StateWord::Done)]);
}

#[test]
fn i13_a_check_or_set_up_whose_shim_is_killed_is_run_again_and_burns_no_retry() {
    let mut scene = Scene::new();
    let (setup, check) = (scene.wait_for("setup"), scene.wait_for("check"));
    scene.tasks(&format!(
        "[[task]]\nname = \"set\"\nsetup = \"{setup}; echo x >> setup-ran.txt\"\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"checked\"\nprompt = '''\n{START}\nwrite b.txt b\ndone\n'''\n\
         [[task.check]]\nname = \"slow\"\nrun = \"{check}; echo whole\"\n"
    ));
    scene.start();
    let checked = scene.until_state("checked", StateWord::Verifying);
    let set = scene.until_state("set", StateWord::Assigned);
    for key in [
        SpawnKey::setup(set.id, set.fence),
        SpawnKey::check(checked.id, checked.fence, 0, 0),
    ] {
        let job = scene.job(&key);
        let command = process(&job.child);
        kill(&process(&job.shim));
        // What it left is swept before anything is run again.
        assert!(wait_until(LIMIT, || !command.is_alive()), "{key}");
    }
    scene.open("setup");
    scene.open("check");
    let checked = scene.until_state("checked", StateWord::Done);
    let set = scene.until_state("set", StateWord::Done);
    for task in [&set, &checked] {
        assert_eq!(task.tally.retries, 0, "{}", task.name);
    }
    assert_eq!(checked.tally.attempts, 1);
    let verdicts = scene.show("checked")["verdicts"].clone();
    assert_eq!(
        verdicts.as_array().unwrap().len(),
        1,
        "a lost check gave no verdict"
    );
    assert_eq!(scene.on_branch("set", "setup-ran.txt"), "x");
    scene.audit(&[("set", StateWord::Done), ("checked", StateWord::Done)]);
}

#[test]
fn t17_an_order_outlives_the_daemon_that_took_it() {
    let mut scene = Scene::new();
    let names = ["cancelled", "stopped", "again"];
    let text: String = names
        .iter()
        .map(|name| {
            format!(
                "[[task]]\nname = \"{name}\"\nprompt = '''\n{START}\nignore-term\nsay begun\n@attempt 1\nwrite a.txt a\nsleep 300s\n@attempt 2..\ndone\n'''\n\n"
            )
        })
        .collect();
    scene.tasks(&text);
    scene.start();
    let agents = names.map(|name| {
        scene.until_said(name, "begun");
        scene.until(name, "live", is_live);
        process(&scene.session(name).child)
    });
    scene
        .longhaul(&["cancel", "cancelled", "--yes"])
        .expect_code(0);
    scene.longhaul(&["stop", "stopped"]).expect_code(0);
    scene.longhaul(&["retry", "again"]).expect_code(0);
    // They do not go by TERM: the orders are on their way while the daemon dies.
    scene.kill_daemon();
    assert!(agents.iter().all(ProcessIdentity::is_alive));
    assert!(scene.task("stopped").halt.is_some());
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    scene.until_state("cancelled", StateWord::Cancelled);
    scene.until_state("stopped", StateWord::Parked);
    scene.until_state("again", StateWord::Done);
    assert!(!agents.iter().any(ProcessIdentity::is_alive));
    assert_eq!(scene.task("again").tally.attempts, 2);
    scene.longhaul(&["resume", "stopped"]).expect_code(0);
    scene.until_state("stopped", StateWord::Done);
    scene.audit(&[
        ("cancelled", StateWord::Cancelled),
        ("stopped", StateWord::Done),
        ("again", StateWord::Done),
    ]);
}

#[test]
fn t18_a_daemon_that_ends_in_order_leaves_its_sessions_to_the_next() {
    let mut scene = Scene::new();
    let gate = scene.wait_for("go");
    scene.tasks(&format!(
        "[[task]]\nname = \"stays\"\nprompt = '''\n{START}\nsay begun\nrun {gate}\nwrite a.txt a\ndone\n'''\n"
    ));
    scene.start();
    scene.until_said("stays", "begun");
    scene.until("stays", "live", is_live);
    let session = scene.session("stays");
    let daemon = scene.daemon().unwrap();
    signal(daemon.pid, rustix::process::Signal::TERM);
    assert!(wait_until(LIMIT, || !daemon.is_alive()));
    let agent = process(&session.child);
    // It ends meanwhile: its exit record is what the next daemon goes by.
    scene.open("go");
    assert!(wait_until(LIMIT, || !agent.is_alive()));
    assert!(is_live(&scene.task("stays")));
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let task = scene.until_state("stays", StateWord::Done);
    assert_eq!(task.tally.attempts, 1);
    scene.audit(&[("stays", StateWord::Done)]);
}
