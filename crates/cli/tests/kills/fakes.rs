//! The four agents' own wire formats under kills and misbehaviour, spoken by the fake agent.

use std::path::{Path, PathBuf};

use longhaul_core::task::{NeedKind, State, StateWord};
use longhaul_testkit::fake::starts;
use longhaul_testkit::world::{wait_until, write};

use crate::scene::{LIMIT, Scene, is_live, kill, process};

const AGENTS: [&str; 4] = ["claude", "codex", "gemini", "opencode"];

/// The fake agent, built beside the binary.
#[track_caller]
pub(crate) fn fake_agent() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_longhaul")).with_file_name("fake-agent");
    assert!(
        path.exists(),
        "{} is not built: run `cargo build -p longhaul-testkit --bins` first (scripts/test does)",
        path.display()
    );
    path
}

/// A scene in which all four agents are the fake one.
#[track_caller]
fn scene() -> Scene {
    let scene = Scene::new();
    for name in AGENTS {
        scene.world.link_agent(name, &fake_agent()).unwrap();
    }
    scene
}

/// A task of this agent that plays this script.
#[track_caller]
fn task(scene: &Scene, agent: &str, name: &str, script: &str) -> String {
    let path = scene.world.path("scripts").join(name);
    write(&path, script).unwrap();
    format!(
        "[[task]]\nname = \"{name}\"\nharness = \"{agent}\"\nprompt = \"the prompt of {name}\"\nenv = {{ FAKE_AGENT_SCRIPT = {:?} }}\n\
         [[task.check]]\nrun = \"test -e whole.txt\"\n\n",
        path.to_str().unwrap()
    )
}

/// What the fake agent that plays a script was started with.
fn record(scene: &Scene, name: &str) -> Vec<longhaul_testkit::fake::Start> {
    let end = format!("scripts-{name}.jsonl");
    let mut found = Vec::new();
    let mut folders = vec![scene.world.home(), scene.world.path("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().ends_with(&end) {
                found = starts(&entry.path());
            }
        }
    }
    found
}

#[test]
fn t7_every_agent_killed_in_mid_tool_goes_on_with_its_conversation() {
    let mut scene = scene();
    let gate = scene.wait_for("never");
    let script = format!(
        "@attempt 1\nsay half of it\nwrite half.txt half\nrun {gate}\nfail nobody killed me\n\
         @attempt 2..\nrun cat half.txt\nwrite whole.txt whole\nusage input=10 output=1\ndone\n"
    );
    let text: String = AGENTS.iter().map(|a| task(&scene, a, a, &script)).collect();
    scene.tasks(&text);
    scene.start();
    for name in AGENTS {
        scene.until(name, "live", is_live);
        let half = scene.workspace(name).join("half.txt");
        assert!(
            wait_until(LIMIT, || half.exists()),
            "{name}\n{}",
            scene.daemon_log()
        );
        kill(&process(&scene.session(name).child));
    }
    for name in AGENTS {
        let task = scene.until_state(name, StateWord::Done);
        assert_eq!((task.tally.attempts, task.tally.retries), (2, 0), "{name}");
        let starts = record(&scene, name);
        assert_eq!(starts.len(), 2, "{name}: {starts:#?}");
        let second = starts[1].prompt.clone().unwrap_or_default();
        assert!(
            second.contains("interrupted") && second.contains("the prompt of"),
            "{name}: {second}"
        );
        let attempts = scene.show(name)["attempts"].clone();
        assert_eq!(attempts[0]["outcome"], "crashed", "{name}");
        assert_eq!(
            attempts[0]["conversation"], attempts[1]["conversation"],
            "{name}"
        );
        assert_eq!(attempts[1]["resumed"], true, "{name}");
    }
    scene.audit(&AGENTS.map(|name| (name, StateWord::Done)));
}

#[test]
fn t23_a_mode_that_was_not_asked_for_ends_the_session_and_a_deaf_agent_holds_nothing_up() {
    let mut scene = scene();
    let text = [
        task(
            &scene,
            "claude",
            "bold",
            "%mode bypassPermissions\nsay hello\nhang\n",
        ),
        task(
            &scene,
            "claude",
            "deaf",
            "%deaf\nwrite whole.txt whole\ndone\n",
        ),
        task(&scene, "codex", "logged-out", "limit auth\n"),
        task(
            &scene,
            "claude",
            "torn",
            "@attempt 1\nsay a\ndie-midline\n@attempt 2..\nwrite whole.txt whole\ndone\n",
        ),
    ];
    scene.tasks(&text.concat());
    scene.start();
    for (name, kind) in [
        ("bold", NeedKind::ModeMismatch),
        ("logged-out", NeedKind::LoggedOut),
    ] {
        let task = scene.until_state(name, StateWord::NeedsHuman);
        let State::NeedsHuman { need } = &task.state else {
            unreachable!()
        };
        assert_eq!(need.kind, kind, "{need:?}");
        assert_eq!((task.tally.attempts, task.tally.retries), (1, 0));
    }
    scene.until_state("deaf", StateWord::Done);
    let torn = scene.until_state("torn", StateWord::Done);
    assert_eq!((torn.tally.attempts, torn.tally.retries), (2, 0));
    scene.audit(&[("deaf", StateWord::Done), ("torn", StateWord::Done)]);
}
