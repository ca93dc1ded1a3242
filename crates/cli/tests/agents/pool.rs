//! The real Claude Code in a session of the pool (A19, A21, A22, A24): what it is given, what it is asked, and that a
//! person's session beside it is left alone.

use std::time::Duration;

use longhaul_testkit::provider::Step;
use longhaul_testkit::world::wait_until;
use serde_json::Value;

use crate::limits::now_s;
use crate::stage::{Agent, RUN_LIMIT, Stage};

const POOL: &str = "[harness.claude]\nhost = \"tmux\"\n[pool]\nmin = 1\nmax = 2\n";

/// The stage with Claude in terminals. Its tmux server ends with the world.
fn stage(more: &str) -> Option<Stage> {
    let stage = Stage::new(Agent::Claude)?;
    stage.config(&format!("{POOL}{more}"));
    Some(stage)
}

/// Where Longhaul's own tmux server listens, if it was ever started.
fn socket(stage: &Stage) -> Option<std::path::PathBuf> {
    let folders = std::fs::read_dir(stage.world.path("run/longhaul")).ok()?;
    let mut sockets = folders.flatten().map(|f| f.path().join("tmux.sock"));
    sockets.find(|s| s.exists())
}

/// What `longhaul pool status --json` says of a session.
pub(crate) fn session(stage: &Stage, name: &str) -> Value {
    let home = stage.world.home();
    let ran = stage.world.longhaul(&home, ["pool", "status", "--json"]);
    let all = ran.expect_code(0).json()["data"]["sessions"].clone();
    let found = all.as_array().unwrap().iter().find(|s| s["name"] == name);
    found.cloned().unwrap_or_default()
}

/// A tmux command on Longhaul's own server.
pub(crate) fn tmux(stage: &Stage, args: &[&str]) -> String {
    let socket = socket(stage).unwrap();
    let done = std::process::Command::new("tmux")
        .args(["-u", "-N", "-S"])
        .arg(socket)
        .args(args)
        .env_remove("TMUX")
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn end(stage: &Stage) {
    let home = stage.world.home();
    stage.world.longhaul(&home, ["pool", "stop"]).expect_code(0);
    stage.expect_nothing_left();
}

#[test]
fn a21_a_prompt_of_many_lines_arrives_whole_and_its_work_is_checked_and_sealed() {
    let Some(stage) = stage("") else { return };
    let repo = stage.repo();
    let keys = "prompt = '''\nMake two files.\n\n  first: a.txt\n\tthen: b.txt; \"quoted\" $HOME `id` 'x'\n\n/exit is no command here\n'''\npermission = \"edits\"";
    stage.script(
        "m",
        [
            Step::shell("echo a > a.txt"),
            Step::shell("echo b > b.txt"),
            Step::text("Both are there."),
        ],
    );
    let tasks = stage.task("m", keys, &["test -f a.txt && test -f b.txt"]);
    let ran = stage.run(&repo, &tasks);
    let shown = stage.show("m");
    assert_eq!(ran.code(), 0, "{ran:?}\n{shown:#}\n{}", stage.daemon_log());
    assert_eq!(shown["task"]["state"], "done");
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    let lines = stage.stream("m", 1);
    let last = lines.last().unwrap();
    assert_eq!(
        (last["type"].as_str(), last["result"].as_str()),
        (Some("result"), Some("Both are there."))
    );
    // Claude's own input box turns a tab into four blanks; all else arrives as it was.
    let whole = "Make two files.\n\n  first: a.txt\n    then: b.txt; \"quoted\" $HOME `id` 'x'\n\n/exit is no command here";
    let turns = stage.provider.turns("m");
    assert!(turns[0].says(whole), "{:#}", turns[0].body);
    assert_eq!(turns.len(), 3, "it was submitted once");
    assert_eq!(session(&stage, "lh-0")["state"], "free");
    assert_eq!(shown["attempts"][0]["usage"]["output"], 150, "{shown:#}");
    end(&stage);
}

/// Waits until the session's screen shows this.
#[track_caller]
fn see(stage: &Stage, name: &str, words: &str) {
    let target = format!("={name}:0.0");
    let seen = || tmux(stage, &["capture-pane", "-p", "-t", &target]);
    let shown = wait_until(Duration::from_secs(30), || {
        socket(stage).is_some()
            && session(stage, name)["state"] != "missing"
            && seen().contains(words)
    });
    assert!(shown, "{words}\n{}", seen());
}

#[test]
fn a22_a_permission_prompt_is_a_question_that_a_person_answers_in_the_terminal() {
    let Some(stage) = stage("") else { return };
    let repo = stage.repo();
    stage.script(
        "p",
        [Step::shell("sh -c 'echo p > p.txt'"), Step::text("Done.")],
    );
    let tasks = stage.task(
        "p",
        "prompt = \"make p.txt\"\npermission = \"edits\"",
        &["test -f p.txt"],
    );
    let (running, _) = stage.start(&repo, &tasks);
    see(&stage, "lh-0", "Do you want to proceed?");
    let told = || {
        stage.show("p")["live"]["question"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    assert!(
        wait_until(Duration::from_secs(10), || !told().is_empty()),
        "{:#}",
        stage.show("p")
    );
    assert_eq!(
        told(),
        "Do you want to proceed? (`longhaul pool attach lh-0` to answer)"
    );
    // Nothing answers it by itself.
    std::thread::sleep(Duration::from_secs(3));
    see(&stage, "lh-0", "Do you want to proceed?");
    tmux(&stage, &["send-keys", "-t", "=lh-0:0.0", "Enter"]);
    running.finish(RUN_LIMIT).expect_code(0);
    assert_eq!(stage.show("p")["task"]["state"], "done");
    end(&stage);
}

#[test]
fn a6_a_limit_menu_is_recognised_and_the_conversation_goes_on_after_the_reset() {
    let Some(mut stage) = stage("") else { return };
    stage.subscription();
    let repo = stage.repo();
    // Claude names the minute only: beyond the next one.
    let reset = (now_s() / 60 + 2) * 60;
    let work = [Step::shell("echo q > q.txt"), Step::text("Done.")];
    stage.script("q", std::iter::once(Step::claude_quota(reset)).chain(work));
    let tasks = stage.task(
        "q",
        "prompt = \"make q.txt\"\npermission = \"edits\"",
        &["test -f q.txt"],
    );
    let (running, _) = stage.start(&repo, &tasks);
    let parked = wait_until(Duration::from_secs(40), || {
        stage
            .try_show("q")
            .is_some_and(|s| s["task"]["state"] == "parked")
    });
    let resting = stage.show("q");
    assert!(parked, "{resting:#}");
    assert_eq!(resting["task"]["until_ms"], reset * 1000, "{resting:#}");
    // The menu was left alone, and its session is free again.
    assert!(wait_until(Duration::from_secs(10), || session(
        &stage, "lh-0"
    )["state"]
        == "free"));
    running.finish(Duration::from_secs(200)).expect_code(0);
    let shown = stage.show("q");
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(
        (attempts.len(), &attempts[0]["outcome"]),
        (2, &Value::from("limited")),
        "{shown:#}"
    );
    assert_eq!(attempts[1]["resumed"], true);
    assert_eq!(attempts[0]["conversation"], attempts[1]["conversation"]);
    end(&stage);
}

#[test]
fn i11_a_dedicated_session_and_one_that_somebody_works_in_are_left_alone() {
    let Some(stage) = stage("[dedicated.mine]\ndir = \"/\"\n") else {
        return;
    };
    let repo = stage.repo();
    let home = stage.world.home();
    stage
        .world
        .longhaul(&home, ["pool", "ensure"])
        .expect_code(0);
    assert_eq!(session(&stage, "mine")["kind"], "dedicated");
    tmux(
        &stage,
        &["send-keys", "-t", "=mine:0.0", "-l", "echo half typed"],
    );
    tmux(
        &stage,
        &["respawn-pane", "-t", "=lh-0:0.0", "sleep", "1000"],
    );
    let pids = || {
        tmux(
            &stage,
            &[
                "list-panes",
                "-a",
                "-F",
                "#{session_name} #{pane_pid} #{pane_dead}",
            ],
        )
    };
    let before: Vec<String> = pids()
        .lines()
        .filter(|l| !l.starts_with("lh-1"))
        .map(str::to_owned)
        .collect();
    assert_eq!(session(&stage, "lh-0")["state"], "occupied");

    stage.script("d", [Step::shell("echo d > d.txt"), Step::text("Done.")]);
    let tasks = stage.task(
        "d",
        "prompt = \"make d.txt\"\npermission = \"edits\"",
        &["test -f d.txt"],
    );
    let ran = stage.run(&repo, &tasks);
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert_eq!(session(&stage, "lh-1")["last"]["what"], "done");
    let stopped = stage.world.longhaul(&home, ["pool", "stop"]).expect_code(0);
    assert!(stopped.stdout.contains("removed lh-1"), "{stopped:?}");
    let after: Vec<String> = pids().lines().map(str::to_owned).collect();
    assert_eq!(
        before, after,
        "the same processes live in the same sessions"
    );
    let screen = tmux(&stage, &["capture-pane", "-p", "-t", "=mine:0.0"]);
    assert_eq!(screen.matches("half typed").count(), 1, "{screen}");
    assert!(!screen.contains("d.txt"));
}

/// The process of the driver of a session.
fn driver(stage: &Stage) -> longhaul_testkit::world::ProcessIdentity {
    let all = stage.world.processes();
    let found = all.iter().find(|p| p.command.contains("__drive"));
    found.unwrap_or_else(|| panic!("{all:#?}")).clone()
}

/// A run whose agent is at work for a while.
fn at_work(stage: &Stage) -> longhaul_testkit::world::Running {
    let repo = stage.repo();
    let steps = [
        Step::shell("echo k > k.txt").delay_ms(6_000),
        Step::text("Done."),
        Step::text("Done."),
    ];
    stage.script("k", steps);
    let keys = "prompt = \"make k.txt\\nin two lines\"\npermission = \"edits\"\nexpect = \"any\"";
    let tasks = stage.task("k", keys, &["true"]);
    stage.start(&repo, &tasks).0
}

fn busy(stage: &Stage) {
    let busy = || session(stage, "lh-0")["state"] == "busy";
    assert!(
        wait_until(Duration::from_secs(20), busy),
        "{:#}",
        session(stage, "lh-0")
    );
}

/// Whenever the daemon is killed (the prompt is about to be pasted, to be acknowledged, is being worked on), the next one
/// adopts the session, and what the provider was asked is one conversation.
#[test]
fn a21_the_daemon_is_killed_at_any_moment_and_nothing_is_typed_twice() {
    for wait_ms in [0, 1_500, 3_000, 5_000] {
        let Some(stage) = stage("") else { return };
        let running = at_work(&stage);
        busy(&stage);
        std::thread::sleep(Duration::from_millis(wait_ms));
        let daemon = stage
            .world
            .processes()
            .into_iter()
            .find(|p| p.command.contains("daemon run"));
        assert!(daemon.expect("there is a daemon").kill());
        drop(running.kill());
        let home = stage.world.home();
        stage
            .world
            .longhaul(&home, ["daemon", "start"])
            .expect_code(0);
        let over = || stage.show("k")["task"]["state"] == "done";
        assert!(
            wait_until(RUN_LIMIT, over),
            "{wait_ms}: {:#}",
            stage.show("k")
        );
        let shown = stage.show("k");
        assert_eq!(
            shown["attempts"].as_array().unwrap().len(),
            1,
            "{wait_ms}: {shown:#}"
        );
        let turns = stage.provider.turns("k");
        assert_eq!(turns.len(), 2, "{wait_ms}");
        let said = turns[1].conversation();
        assert_eq!(
            said.matches("make k.txt\nin two lines").count(),
            1,
            "{wait_ms}: {said}"
        );
        end(&stage);
    }
}

/// The driver is killed: the shim ends the agent with it, and the next attempt begins with an agent of its own.
#[test]
fn a21_a_killed_driver_takes_its_agent_with_it() {
    let Some(stage) = stage("") else { return };
    let running = at_work(&stage);
    busy(&stage);
    assert!(
        stage
            .provider
            .wait_turns("k", 1, Duration::from_secs(20))
            .is_some()
    );
    let agent = session(&stage, "lh-0")["last"]["pid"].as_u64().unwrap();
    assert!(driver(&stage).kill());
    running.finish(RUN_LIMIT).expect_code(0);
    let shown = stage.show("k");
    let attempts = shown["attempts"].as_array().unwrap();
    // One more where the killed agent had not written down yet what could be resumed.
    assert!((2..=3).contains(&attempts.len()), "{shown:#}");
    assert_eq!(shown["task"]["retries"], 0);
    assert!(!std::path::Path::new(&format!("/proc/{agent}")).exists());
    end(&stage);
}

/// The terminals themselves go: the attempt crashed, the next one has a new server.
#[test]
fn a19_a_tmux_server_that_dies_is_made_anew_and_the_task_goes_on() {
    let Some(stage) = stage("") else { return };
    let running = at_work(&stage);
    busy(&stage);
    assert!(
        stage
            .provider
            .wait_turns("k", 1, Duration::from_secs(20))
            .is_some()
    );
    tmux(&stage, &["kill-server"]);
    running.finish(RUN_LIMIT).expect_code(0);
    let attempts = stage.show("k")["attempts"].as_array().unwrap().len();
    assert!((2..=3).contains(&attempts), "{:#}", stage.show("k"));
    end(&stage);
}
