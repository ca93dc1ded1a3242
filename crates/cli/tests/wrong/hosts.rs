//! Odd machines: no `/proc`, a clock that is wrong or jumps, homes and temporary folders that are not
//! there, foreign locales.

use std::path::PathBuf;
use std::process::Command;

use longhaul_testkit::world::{COMMAND_LIMIT, Ran, read, write};

use crate::stage::{Stage, settled};

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

/// `longhaul ARGS` in a mount namespace that was changed first; `None` (said aloud) where that is not
/// allowed.
#[expect(clippy::print_stderr, reason = "a skip is loud")]
fn in_namespace(stage: &Stage, change: &str, args: &str) -> Option<Ran> {
    let allowed = Command::new("unshare").args(["-m", "true"]).status();
    if !allowed.is_ok_and(|s| s.success()) {
        assert!(std::env::var_os("CI").is_none(), "no mount namespaces here");
        eprintln!("SKIPPED: no mount namespaces here (not root?)");
        return None;
    }
    let mut command = stage.world.command("/usr/bin/unshare");
    command.current_dir(&stage.repo).args([
        "-m",
        "/bin/sh",
        "-c",
        &format!(
            "PATH=/usr/bin:/bin:/usr/sbin:/sbin; {change} && PATH={} && exec \"$0\" {args}",
            stage.world.path("bin").display()
        ),
        env!("CARGO_BIN_EXE_longhaul"),
    ]);
    Some(stage.world.run_within(settled(), command))
}

#[test]
fn a_machine_without_proc() {
    let stage = Stage::with_tasks(TASK);
    const GONE: &str = "mount -t tmpfs none /proc";
    let Some(ran) = in_namespace(&stage, GONE, "daemon start") else {
        return;
    };
    stage.snapshot("no_proc", "longhaul daemon start", 8, &ran);
    let run = in_namespace(&stage, GONE, "run --wait").unwrap();
    assert_ne!(run.code(), 0);
    assert!(ran.stderr.contains("/proc is not there"), "{}", ran.stderr);
    let ran = in_namespace(&stage, GONE, "doctor").unwrap();
    assert!(
        !ran.stdout.is_empty() && !ran.stderr.contains("panicked"),
        "{}",
        ran.stderr
    );
    let ran = in_namespace(&stage, GONE, "validate tasks.toml").unwrap();
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    stage.nothing_stored();
}

#[test]
fn a_machine_that_hides_processes() {
    let stage = Stage::with_tasks(TASK);
    let hide = "mount -t proc -o hidepid=2 proc /proc";
    let Some(ran) = in_namespace(&stage, hide, "run --wait") else {
        return;
    };
    assert_eq!(ran.code(), 0, "{}{}", ran.stdout, ran.stderr);
    stage.harmless();
}

/// A library that moves the wall clock by as many seconds as a file says.
fn moved_clock(stage: &Stage) -> Option<PathBuf> {
    let source = stage.world.path("clock.c");
    write(
        &source,
        "#define _GNU_SOURCE\n#include <time.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
         int clock_gettime(clockid_t id, struct timespec *ts) {\n\
         int rc = (int)syscall(SYS_clock_gettime, id, ts);\n\
         if (rc == 0 && id == CLOCK_REALTIME) { const char *path = getenv(\"CLOCK_MOVED\"); FILE *f = path ? fopen(path, \"re\") : NULL; long by = 0;\n\
         if (f) { if (fscanf(f, \"%ld\", &by) != 1) by = 0; fclose(f); } ts->tv_sec += by; }\n return rc; }\n",
    )
    .unwrap();
    let library = stage.world.path("clock.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    built.is_ok_and(|s| s.success()).then_some(library)
}

fn with_clock(stage: &mut Stage) -> PathBuf {
    let library = moved_clock(stage).expect("a C compiler, which building needed, too");
    let by = stage.world.path("moved-by");
    stage.world.set_env("LD_PRELOAD", library);
    stage.world.set_env("CLOCK_MOVED", &by);
    by
}

const YEAR: i64 = 365 * 24 * 3600;

#[test]
fn t21_clocks_before_2000_and_after_2200() {
    for by in [-40 * YEAR, -56 * YEAR, 200 * YEAR] {
        let mut stage = Stage::with_tasks(format!("{TASK}[[task.check]]\nrun = \"true\"\n"));
        let moved = with_clock(&mut stage);
        write(&moved, &by.to_string()).unwrap();
        let ran = stage.run(["run", "--wait"]);
        assert_eq!(ran.code(), 0, "{by}: {}{}", ran.stdout, ran.stderr);
        for args in [
            &["ls", "--all"][..],
            &["show", "a"],
            &["report"],
            &["status"],
            &["doctor"],
            &["logs", "a"],
        ] {
            let ran = stage.run(args);
            assert!(
                ran.code() == 0 || args[0] == "doctor",
                "{by} {args:?}: {}",
                ran.stderr
            );
            assert!(
                !ran.stderr.contains("panicked"),
                "{by} {args:?}: {}",
                ran.stderr
            );
        }
        stage.harmless();
    }
}

#[test]
fn t21_a_clock_that_is_set_back_and_forth_between_and_under_daemons() {
    let mut stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nharness = \"script\"\nprompt = '''\nsay begun\nsleep 2s\nwrite a.txt x\ndone\n'''\n[[task.check]]\nrun = \"true\"\n",
    );
    let moved = with_clock(&mut stage);
    stage.run(["run", "--wait"]).expect_code(0);
    stage.run(["daemon", "stop"]).expect_code(0);
    // A year back, between two daemons: new ids, times and waits still make sense.
    write(&moved, &(-YEAR).to_string()).unwrap();
    stage.run(["run", "--wait", "--again"]).expect_code(0);
    // Ten years ahead and back under a running session: nothing is killed for it.
    write(&moved, "0").unwrap();
    let running = stage
        .world
        .spawn(stage.command(&["run", "--wait", "--again"]));
    for by in [10 * YEAR, -YEAR, 0] {
        write(&moved, &by.to_string()).unwrap();
        stage.run(["status"]).expect_code(0);
    }
    running.finish(settled()).expect_code(0);
    let list = stage.run(["ls", "--all", "--json"]).expect_code(0).json();
    let tasks = list["data"]["tasks"].as_array().unwrap().clone();
    assert_eq!(tasks.len(), 3);
    for task in &tasks {
        assert_eq!(
            (&task["state"], &task["attempt"]),
            (&"done".into(), &1.into()),
            "{task}"
        );
    }
    assert!(!read(&stage.world.state().join("daemon.log")).contains("panicked"));
    stage.harmless();
}

#[test]
fn homes_and_temporary_folders_that_are_not_there() {
    let stage = Stage::with_tasks(TASK);
    let with = |vars: &[(&str, &str)], args: &[&str]| {
        let mut command = stage.command(args);
        command.envs(vars.iter().copied());
        stage.world.run_within(COMMAND_LIMIT, command)
    };
    write(&stage.world.path("a-file"), "x").unwrap();
    let file = stage.world.path("a-file").display().to_string();
    for (vars, code) in [
        (&[("HOME", "relative/home")][..], 2),
        (&[("HOME", "")], 2),
        (&[("HOME", "/nonexistent/home")], 0),
        (&[("TMPDIR", "/nonexistent/tmp")], 0),
        (&[("XDG_RUNTIME_DIR", "/nonexistent/run")], 0),
        (&[("XDG_CONFIG_HOME", "relative")], 0),
        (&[("XDG_CACHE_HOME", "/nonexistent/cache")], 0),
        (&[("PATH", "")], 1),
    ] {
        let ran = with(vars, &["run", "--dry-run"]);
        assert_eq!(ran.code(), code, "{vars:?}: {}", ran.stderr);
        assert!(
            code == 0 || ran.stderr.contains("help:"),
            "{vars:?}: {}",
            ran.stderr
        );
    }
    for name in [
        "LONGHAUL_STATE_DIR",
        "LONGHAUL_RUNTIME_DIR",
        "XDG_STATE_HOME",
    ] {
        let ran = with(&[(name, &file)], &["run", "--detach"]);
        assert!(matches!(ran.code(), 1 | 5), "{name}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("a-file") && ran.stderr.contains("help:"),
            "{name}: {}",
            ran.stderr
        );
    }
    stage.nothing_stored();
}

#[test]
fn foreign_locales_and_names_that_are_not_ascii() {
    let stage = Stage::with_tasks(
        "[defaults]\nharness = \"script\"\n[[task]]\nname = \"INSIDE-item\"\nprompt = \"write 'ıİ ünï 文.txt' x\"\n\
         [[task.check]]\nname = \"ışık\"\nrun = \"echo 'ıŞ文'; exit 0\"\n",
    );
    for locale in [
        "tr_TR.UTF-8",
        "C",
        "POSIX",
        "xx_YY.nonsense",
        "de_DE@euro",
        "ja_JP.SJIS",
    ] {
        let with = |args: &[&str]| {
            let mut command = stage.command(args);
            command
                .env("LC_ALL", locale)
                .env("LANG", locale)
                .env("LANGUAGE", "tr:de");
            stage.world.run_within(settled(), command)
        };
        let ran = with(&["run", "--wait", "--again"]);
        assert_eq!(ran.code(), 0, "{locale}: {}{}", ran.stdout, ran.stderr);
        let list = with(&["ls", "--all"]).expect_code(0);
        assert!(
            list.stdout.contains("INSIDE-item"),
            "{locale}: {}",
            list.stdout
        );
        drop(with(&["workspace", "list"]).expect_code(0));
    }
    stage.harmless();
}
