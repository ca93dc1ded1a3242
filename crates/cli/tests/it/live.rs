//! The whole program: a daemon, sessions of the script harness, git. Each world ends its own daemon.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{World, ran};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Waits until `look` finds something; level-triggered and bounded.
fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn interrupt(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

fn state(world: &World, task: &str) -> String {
    let shown = world.run(&["show", task, "--json"]);
    json(&shown.out)["data"]["task"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Fast waits, so that retries do not take the test's time.
const SETTINGS: &str = "[retry]\nbackoff_min = \"50ms\"\n[limits]\nwake_jitter = \"0s\"\n";

fn world(tasks: &str) -> World {
    let world = World::with_repo();
    world.write("home/.config/longhaul/config.toml", SETTINGS);
    world.write(
        "repo/tasks.toml",
        &format!("[defaults]\nharness = \"script\"\n{tasks}"),
    );
    world
}

const PAIR: &str = r#"
[[task]]
name = "one"
prompt = "write a.txt hello\nusage input=10 output=5 cost=0.01\ndone wrote it"
[[task.check]]
name = "has-a"
run = "grep -q hello a.txt"

[[task]]
name = "two"
depends_on = ["one"]
prompt = "run cp a.txt b.txt"
[[task.check]]
name = "has-b"
run = "grep -q hello b.txt"
"#;

#[test]
fn run_follows_to_the_end_and_everything_can_be_read_afterwards() {
    let world = world(PAIR);
    let run = world.run(&["run"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.err.contains("started the daemon (pid "), "{run:?}");
    assert!(run.out.contains("2 of 2 tasks done"), "{run:?}");
    let list = json(&world.run(&["ls", "--json"]).out);
    assert_eq!(list["kind"], "task_list");
    let branch = list["data"]["tasks"][0]["branch"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        world
            .git(&["log", "--format=%B", &branch])
            .contains("Longhaul-Task:")
    );
    let show = world.run(&["show", "one"]);
    assert!(
        show.out.contains("has-a") && show.out.contains("done"),
        "{show:?}"
    );
    assert_eq!(world.run(&["show", "latest"]).code, Some(0));
    assert!(world.run(&["logs", "one"]).out.contains("▸ write a.txt"));
    assert!(
        world
            .run(&["logs", "one", "--raw"])
            .out
            .contains(r#""type":"tool""#)
    );
    let diff = world.run(&["workspace", "diff", "two"]);
    assert!(diff.out.contains("+hello"), "{diff:?}");
    let events = world.run(&["events", "--json"]).out;
    assert!(
        events
            .lines()
            .any(|l| json(l)["data"]["cause"] == "finished"),
        "{events}"
    );
    let page = world.run(&["report", "--html", "-"]).out;
    assert!(page.contains("All 2 tasks are done."), "{page}");
    // The daemon gone, the same is read from its store.
    assert_eq!(world.run(&["daemon", "stop"]).code, Some(0));
    assert_eq!(json(&world.run(&["ls", "--json"]).out), list);
    assert!(world.run(&["status"]).out.contains("no daemon runs"));
    assert_eq!(world.run(&["report"]).code, Some(0));
    let logs = world.run(&["logs", "one"]);
    assert!(
        logs.out.contains("▸ write a.txt") && logs.err.is_empty(),
        "{logs:?}"
    );
    assert_eq!(
        world.run(&["daemon", "status"]).code,
        Some(5),
        "reading started a daemon"
    );
    // Everything goes again, but for the branches.
    let purge = world.run(&["uninstall", "--purge", "--yes"]);
    assert_eq!(purge.code, Some(0), "{purge:?}");
    assert!(!world.path("home/.local/state/longhaul").exists());
    assert_eq!(world.git(&["for-each-ref", "refs/longhaul"]), "");
    assert!(world.git(&["for-each-ref", "refs/heads"]).contains(&branch));
    assert_eq!(world.git(&["worktree", "list"]).lines().count(), 1);
}

#[test]
fn t28_a_task_that_needs_a_person_ends_run_with_3_and_can_be_approved() {
    let world = world(
        "max_retries = 0\n[[task]]\nname = \"bad\"\nprompt = \"write a.txt x\"\n[[task.check]]\nname = \"never\"\nrun = \"echo why not; false\"\n",
    );
    let run = world.run(&["run"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(
        run.out.contains("1 needs you") && run.out.contains("→"),
        "{run:?}"
    );
    assert!(world.run(&["show", "bad"]).out.contains("why not"));
    assert_eq!(world.run(&["approve", "bad"]).code, Some(0));
    assert_eq!(state(&world, "bad"), "done");
    let again = world.run(&["approve", "bad"]);
    assert_ne!(again.code, Some(2), "{again:?}");
}

#[test]
fn t28_ctrl_c_leaves_the_work_and_the_same_run_comes_back() {
    let world = world("[[task]]\nname = \"slow\"\nprompt = \"write a.txt x\\nsleep 3s\"\n");
    let mut first = world
        .longhaul()
        .arg("run")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(first.stdout.take().unwrap());
    let started = out
        .lines()
        .map(Result::unwrap)
        .find(|l| l.contains("its session runs"));
    assert!(started.is_some());
    interrupt(first.id());
    let status = first.wait().unwrap();
    let mut err = String::new();
    first
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(status.code(), Some(130), "{err}");
    assert!(err.contains("the work goes on"), "{err}");
    assert_eq!(state(&world, "slow"), "running");
    let second = world.run(&["run"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert!(second.err.contains("at work already"), "{second:?}");
}

#[test]
fn stop_retry_and_cancel_of_a_live_task() {
    let world = world(
        "[[task]]\nname = \"long\"\nprompt = \"\"\"\nwrite half.txt x\n@attempt 1\nsleep 60s\n@attempt 2..\nsay on\n\"\"\"\n[[task]]\nname = \"gone\"\nprompt = \"sleep 60s\"\n",
    );
    assert_eq!(world.run(&["run", "--detach"]).code, Some(0));
    wait("both sessions", || {
        (state(&world, "long") == "running" && state(&world, "gone") == "running").then_some(())
    });
    assert_eq!(world.run(&["cancel", "--yes", "gone"]).code, Some(0));
    assert_eq!(world.run(&["stop", "long"]).code, Some(0));
    wait("the stop", || {
        (state(&world, "long") == "parked").then_some(())
    });
    wait("the cancel", || {
        (state(&world, "gone") == "cancelled").then_some(())
    });
    let path = world.run(&["workspace", "path", "long"]).out;
    assert!(
        std::path::Path::new(path.trim()).join("half.txt").exists(),
        "work was lost"
    );
    assert_eq!(
        world.run(&["retry", "long", "--note", "go on"]).code,
        Some(0)
    );
    let run = world.run(&["run", "--wait"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert_eq!(world.run(&["retry", "nobody"]).code, Some(6));
}

#[test]
fn t29_the_daemon_restarts_under_a_live_session() {
    let world = world("[[task]]\nname = \"slow\"\nprompt = \"write a.txt x\\nsleep 4s\"\n");
    assert_eq!(world.run(&["run", "--detach"]).code, Some(0));
    wait("the session", || {
        (state(&world, "slow") == "running").then_some(())
    });
    let before =
        json(&world.run(&["daemon", "status", "--json"]).out)["data"]["version"]["pid"].clone();
    let restart = world.run(&["daemon", "restart"]);
    assert_eq!(restart.code, Some(0), "{restart:?}");
    assert!(
        restart.out.contains("1 sessions go on without it"),
        "{restart:?}"
    );
    let after =
        json(&world.run(&["daemon", "status", "--json"]).out)["data"]["version"]["pid"].clone();
    assert_ne!(before, after);
    assert_eq!(world.run(&["run", "--wait"]).code, Some(0));
    let shown = json(&world.run(&["show", "slow", "--json"]).out);
    assert_eq!(
        shown["data"]["attempts"].as_array().unwrap().len(),
        1,
        "it was adopted, not begun anew"
    );
}

#[test]
fn clients_that_start_together_end_with_one_daemon() {
    let world = world(PAIR);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            world
                .longhaul()
                .args(["daemon", "start"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut said = 0;
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        said += usize::from(String::from_utf8_lossy(&output.stderr).contains("started the daemon"));
    }
    assert_eq!(said, 1);
}

#[test]
fn undo_brings_back_an_earlier_snapshot_and_can_be_undone() {
    let world = world(
        "[[task]]\nname = \"t\"\nprompt = \"\"\"\n@attempt 1\nwrite a.txt first\nfail not yet\n@attempt 2..\nwrite a.txt second\n\"\"\"\n",
    );
    assert_eq!(world.run(&["run"]).code, Some(0));
    let list = json(&world.run(&["undo", "t", "--list", "--json"]).out);
    let snapshots = list["data"]["snapshots"].as_array().unwrap();
    assert!(!snapshots.is_empty(), "{list}");
    let path =
        std::path::PathBuf::from(world.run(&["workspace", "path", "t"]).out.trim()).join("a.txt");
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), "second");
    let first = snapshots[0]["number"].to_string();
    let undone = world.run(&["undo", "t", "--to", &first, "--yes"]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), "first");
    let back = undone
        .out
        .rsplit("--to ")
        .next()
        .unwrap()
        .trim_end_matches(['`', ')', '\n'])
        .to_owned();
    assert_eq!(
        world.run(&["undo", "t", "--to", &back, "--yes"]).code,
        Some(0)
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), "second");
}

#[test]
fn drain_holds_and_undrain_lets_go() {
    let world = world(PAIR);
    assert_eq!(world.run(&["drain"]).code, Some(0));
    assert_eq!(world.run(&["run", "--detach"]).code, Some(0));
    assert!(world.run(&["status"]).out.contains("nothing new starts"));
    assert_eq!(state(&world, "one"), "ready");
    assert_eq!(world.run(&["undrain"]).code, Some(0));
    assert_eq!(world.run(&["run", "--wait"]).code, Some(0));
}

#[test]
fn add_hands_in_one_task_and_follows_it() {
    let world = world(PAIR);
    let add = world.run(&[
        "add",
        "--name",
        "solo",
        "--harness",
        "script",
        "--prompt",
        "write x.txt y",
        "--check-run",
        "test -f x.txt",
        "--follow",
    ]);
    assert_eq!(add.code, Some(0), "{add:?}");
    assert_eq!(state(&world, "solo"), "done");
}

#[test]
fn a_rehearsal_leaves_nothing_behind() {
    let world = world(PAIR);
    let before = (
        world.git(&["for-each-ref"]),
        world.git(&["worktree", "list"]),
        world.git(&["status", "--porcelain"]),
    );
    let run = world.run(&["run", "--rehearse"]);
    // The checks look for what only real work would leave.
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.err.contains("rehearsal"), "{run:?}");
    let after = (
        world.git(&["for-each-ref"]),
        world.git(&["worktree", "list"]),
        world.git(&["status", "--porcelain"]),
    );
    assert_eq!(before, after);
    assert_eq!(world.run(&["daemon", "status"]).code, Some(5));
    assert_eq!(
        world.run(&["ls", "--all"]).out,
        "no tasks; `longhaul init` writes a task file to start from\n"
    );
}

#[test]
fn the_demo_ends_well_and_leaves_nothing() {
    let world = World::new();
    std::fs::create_dir(world.path("tmp")).unwrap();
    let demo = ran(world
        .longhaul()
        .env("TMPDIR", world.path("tmp"))
        .arg("demo"));
    assert_eq!(demo.code, Some(0), "{demo:?}");
    assert!(demo.out.contains("All 11 tasks are done."), "{demo:?}");
    assert!(demo.out.contains("demo: kill -9"), "{demo:?}");
    for wanted in [
        "the same request went on with key 2",
        "for the first reset, then key 1 answered",
    ] {
        assert!(demo.out.contains(wanted), "{wanted}: {demo:?}");
    }
    assert_eq!(std::fs::read_dir(world.path("tmp")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(world.path("home")).unwrap().count(), 0);
}

#[test]
fn t19_a_daemon_whose_socket_was_removed_is_named_and_not_doubled() {
    let world = world(PAIR);
    assert_eq!(world.run(&["daemon", "start"]).code, Some(0));
    let status = json(&world.run(&["daemon", "status", "--json"]).out);
    let pid = status["data"]["version"]["pid"].as_i64().unwrap();
    let socket = world.run(&["config", "path", "--json"]).out;
    let socket = json(&socket)["data"]["socket"].as_str().unwrap().to_owned();
    std::fs::remove_file(&socket).unwrap();
    let second = world.run(&["ls"]);
    assert_eq!(
        second.code,
        Some(0),
        "reading goes on from the store: {second:?}"
    );
    let start = world.run(&["daemon", "start"]);
    // Either the daemon made its socket anew, or it is named for what it is.
    if start.code != Some(0) {
        assert_eq!(start.code, Some(5), "{start:?}");
        assert!(start.err.contains("another daemon holds"), "{start:?}");
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(world.run(&["daemon", "start"]).code, Some(0));
    }
}

#[test]
fn t28_ctrl_c_ends_the_demo_with_everything_it_started() {
    let world = World::new();
    std::fs::create_dir(world.path("tmp")).unwrap();
    let mut demo = world
        .longhaul()
        .env("TMPDIR", world.path("tmp"))
        .arg("demo")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(demo.stdout.take().unwrap());
    let mut lines = out.lines().map(Result::unwrap);
    assert!(lines.any(|l| l.contains("its session runs")));
    interrupt(demo.id());
    drop(lines.collect::<Vec<_>>());
    let output = demo.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert_eq!(
        std::fs::read_dir(world.path("tmp")).unwrap().count(),
        0,
        "{err}"
    );
}
