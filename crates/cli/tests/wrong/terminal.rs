//! Questions and refusals on a real terminal: `script` (util-linux) gives one.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use longhaul_testkit::world::wait_until;

use crate::stage::Stage;

/// Runs `longhaul ARGS` on a terminal, types `keys` once `wanted` is on the screen, and gives the
/// screen's text and the exit code.
fn on_terminal(stage: &Stage, args: &str, wanted: &str, keys: &[u8]) -> (String, i32) {
    let screen = stage.world.path("out/screen");
    drop(std::fs::remove_file(&screen));
    let mut command: Command = stage.world.command("/usr/bin/script");
    command
        .current_dir(&stage.repo)
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .args(["--quiet", "--return", "--flush", "--command"])
        .arg(format!("{} {args}", env!("CARGO_BIN_EXE_longhaul")))
        .arg(&screen)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command
        .spawn()
        .expect("`script` of util-linux is needed for a terminal: apt-get install bsdutils");
    let read = || String::from_utf8_lossy(&std::fs::read(&screen).unwrap_or_default()).into_owned();
    let seen = wait_until(Duration::from_secs(20), || read().contains(wanted));
    let mut stdin = child.stdin.take().unwrap();
    assert!(seen, "never saw {wanted:?} in {:?}", read());
    stdin.write_all(keys).unwrap();
    stdin.flush().unwrap();
    let mut status = None;
    let ended = wait_until(Duration::from_secs(20), || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("did not end after {keys:?}: {:?}", read());
    }
    drop(stdin);
    (read(), status.and_then(|s| s.code()).unwrap_or(-1))
}

fn slow() -> Stage {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"slow\"\nprompt = \"sleep 60s\"\nharness = \"script\"\n",
    );
    stage.run(["run", "--detach"]).expect_code(0);
    stage
}

fn state(stage: &Stage) -> String {
    let shown = stage.run(["show", "slow", "--json"]).expect_code(0).json();
    shown["data"]["task"]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_question_answered_by_no_by_nothing_and_by_ctrl_c() {
    let stage = slow();
    let (screen, code) = on_terminal(&stage, "cancel slow", "[y/N]", b"n\n");
    assert_eq!(code, 4, "{screen}");
    assert!(screen.contains("nothing was changed"), "{screen}");
    let (screen, code) = on_terminal(&stage, "cancel slow", "[y/N]", b"\x04");
    assert_eq!(code, 4, "{screen}");
    let (screen, code) = on_terminal(&stage, "cancel slow", "[y/N]", b"\x03");
    assert_eq!(code, 130, "{screen}");
    assert_ne!(state(&stage), "cancelled");
    let (screen, code) = on_terminal(&stage, "cancel slow", "[y/N]", b"y\n");
    assert_eq!(code, 0, "{screen}");
}

#[test]
fn ctrl_c_on_a_terminal_leaves_the_work() {
    let stage = slow();
    let (screen, code) = on_terminal(&stage, "run", "slow", b"\x03");
    assert_eq!(code, 130, "{screen}");
    assert!(screen.contains("the work goes on"), "{screen}");
    assert!(
        matches!(state(&stage).as_str(), "running" | "assigned"),
        "{screen}"
    );
}

#[test]
fn a_dumb_terminal_gets_no_sequences() {
    let stage =
        Stage::with_tasks("[[task]]\nname = \"a\"\nprompt = \"write a x\"\nharness = \"script\"\n");
    let (screen, code) = on_terminal(&stage, "run", "1 of 1", b"");
    assert_eq!(code, 0, "{screen}");
}
