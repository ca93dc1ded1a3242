//! Limits that a shell hands down: open files, file sizes, rights of new files, stack.

use longhaul_testkit::world::{Ran, read};

use crate::stage::{Stage, settled};

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

/// `longhaul ARGS` below these words of the shell.
fn below(stage: &Stage, words: &str, args: &str) -> Ran {
    let mut command = stage.world.command("/bin/bash");
    command.current_dir(&stage.repo).args([
        "-c",
        &format!("{words} && exec \"$0\" {args}"),
        env!("CARGO_BIN_EXE_longhaul"),
    ]);
    stage.world.run_within(settled(), command)
}

#[test]
fn a_daemon_that_may_open_too_few_files_does_not_stay_deaf() {
    let stage = Stage::with_tasks(TASK);
    let ran = below(&stage, "ulimit -n 64", "run --wait");
    stage.snapshot(
        "open_files_64",
        "ulimit -n 64; longhaul run --wait",
        5,
        &ran,
    );
    // Nothing holds the state folder.
    stage.run(["run", "--wait"]).expect_code(0);
    let ran = below(&stage, "ulimit -n 12", "ls");
    assert!(matches!(ran.code(), 0 | 1), "{}", ran.stderr);
    let ran = below(&stage, "ulimit -n 4", "ls");
    assert_ne!(ran.code(), 0);
    assert!(!ran.stderr.contains("install git"), "{}", ran.stderr);
    stage.harmless();
}

#[test]
fn a_low_soft_limit_of_open_files_is_raised_for_the_daemon_and_kept_for_sessions() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nharness = \"script\"\nprompt = '''\nrun ulimit -Sn > soft.txt\ndone\n'''\n",
    );
    let ran = below(&stage, "ulimit -Sn 48", "run --wait");
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let path = stage.run(["workspace", "path", "a"]).expect_code(0);
    assert_eq!(
        read(&std::path::Path::new(path.stdout.trim()).join("soft.txt")).trim(),
        "48"
    );
    stage.harmless();
}

#[test]
fn files_that_may_not_grow_fail_like_a_full_disk() {
    let stage = Stage::with_tasks(TASK);
    let ran = below(&stage, "ulimit -f 10", "run --wait");
    stage.snapshot("file_size_10", "ulimit -f 10; longhaul run --wait", 5, &ran);
    stage.run(["run", "--wait"]).expect_code(0);
    stage.harmless();
}

#[test]
fn a_session_that_prints_more_than_a_file_may_hold() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nharness = \"script\"\nmax_retries = 0\nmax_restarts = 1\nprompt = '''\nflood 6M\nwrite a.txt x\ndone\n'''\n",
    );
    stage.quick();
    let ran = below(&stage, "ulimit -f 4096", "run --wait");
    // The end of what it said is lost with the output, so nobody knows that it was done.
    assert!(matches!(ran.code(), 0 | 3), "{}", ran.stderr);
    let shown = stage.run(["show", "a"]).expect_code(0);
    assert!(
        !shown.stdout.contains("killed by signal 25"),
        "{}",
        shown.stdout
    );
    stage.harmless();
}

#[test]
fn an_open_umask_leaves_the_state_folder_closed() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::with_tasks(TASK);
    let ran = below(&stage, "umask 000", "run --wait");
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let state = stage.world.state();
    assert_eq!(mode(&state), 0o700);
    for file in ["longhaul.db", "daemon.log", "daemon.lock"] {
        assert_eq!(mode(&state.join(file)), 0o600, "{file}");
    }
    stage.harmless();
}

#[test]
fn a_small_stack_is_enough() {
    let stage = Stage::with_tasks(TASK);
    let ran = below(&stage, "ulimit -s 1024", "run --wait");
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    stage.harmless();
}
