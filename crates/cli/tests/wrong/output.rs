//! Output that nobody reads, that is no text, or that must fit a strange terminal.

use std::process::Stdio;
use std::time::Duration;

use longhaul_testkit::world::{ProcessIdentity, wait_until};

use crate::stage::Stage;

#[test]
fn t31_a_check_whose_output_is_no_text() {
    let stage = Stage::with_tasks(
        "[defaults]\nharness = \"script\"\nmax_retries = 0\n[[task]]\nname = \"a\"\nprompt = \"write a x\"\n\
         [[task.check]]\nname = \"odd\"\nrun = '''printf 'caf\\351 \\033[31mred\\033[0m \\033]0;owned\\007 \\000 end\\n'; false'''\n",
    );
    stage.tells("output_not_utf8", 3, &["run", "--wait"]);
    let shown = stage.run(["show", "a"]).expect_code(0);
    assert!(shown.stdout.contains("red"), "{}", shown.stdout);
    assert!(
        !shown
            .stdout
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t'),
        "{:?}",
        shown.stdout
    );
}

/// The most memory a process ever had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.trim().parse().ok())
        .unwrap_or(0)
}

#[test]
fn t9_a_check_that_prints_a_gigabyte() {
    const LINE: &str = "the quick brown fox jumps over the lazy dog, again and again";
    let stage = Stage::with_tasks(format!(
        "[defaults]\nharness = \"script\"\nmax_retries = 0\n\
         [[task]]\nname = \"pass\"\nprompt = \"write a x\"\n\
         [[task.check]]\nname = \"flood\"\nrun = \"yes '{LINE}' | head -c 1000000000; echo; echo the end; exit 0\"\n\
         [[task]]\nname = \"fail\"\nprompt = \"write a x\"\n\
         [[task.check]]\nname = \"flood\"\nrun = \"yes '{LINE}' | head -c 200000000; echo; echo the end; exit 3\"\n"
    ));
    stage.run(["daemon", "start"]).expect_code(0);
    let daemon: u32 = std::fs::read_to_string(stage.world.state().join("daemon.lock"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let running = stage.world.spawn(stage.command(&["run", "--wait"]));
    let mut shims = 0;
    let ended = wait_until(Duration::from_secs(60), || {
        for process in stage.world.processes() {
            if process.command.contains("__shim") {
                shims = shims.max(peak_kib(process.pid));
            }
        }
        ProcessIdentity::of(running.pid()).is_none()
    });
    assert!(ended, "{}", running.stderr());
    running.finish(Duration::from_secs(5)).expect_code(3);
    let daemon = peak_kib(daemon);
    assert!(
        daemon > 0 && daemon < 150 << 10,
        "the daemon took {daemon} KiB"
    );
    assert!(shims > 0 && shims < 64 << 10, "a shim took {shims} KiB");
    println!("peaks: daemon {daemon} KiB, shim {shims} KiB");
    for (name, grade, exit) in [("pass", "pass", 0), ("fail", "fail", 3)] {
        let shown = stage.run(["show", name, "--json"]).expect_code(0).json();
        let verdict = &shown["data"]["verdicts"][0];
        assert_eq!(verdict["grade"], grade, "{verdict:#}");
        assert_eq!(verdict["exit"], exit, "{verdict:#}");
        let tail = verdict["tail"].as_str().unwrap();
        assert!(
            tail.len() <= 16 << 10 && tail.ends_with("the end\n"),
            "{}",
            tail.len()
        );
        assert!(tail.contains(LINE));
    }
    // The output is kept whole up to 64 MiB; beyond that its middle is left out.
    for folder in std::fs::read_dir(stage.world.state().join("jobs")).unwrap() {
        let bytes = size(&folder.unwrap().path());
        assert!(
            bytes <= (64 << 20) + (1 << 20),
            "{bytes} bytes kept of one job"
        );
    }
}

fn size(folder: &std::path::Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                size(&entry.path())
            } else {
                entry.metadata().unwrap().len()
            }
        })
        .sum()
}

#[test]
fn a_reader_that_goes_away() {
    let stage = Stage::with_tasks(
        "[defaults]\nharness = \"script\"\n[[task]]\nname = \"a\"\nprompt = \"write a x\"\n",
    );
    stage.run(["run", "--wait"]).expect_code(0);
    for args in [
        &["ls"][..],
        &["ls", "--json"],
        &["show", "a"],
        &["logs", "a"],
        &["report"],
        &["events", "--json"],
        &["--help"],
        &["schema"],
        &["run", "--wait", "--again"],
    ] {
        let mut command = stage.command(args);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(Stdio::from(writer)).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {err}");
        assert!(
            !err.contains("error") && !err.contains("panicked"),
            "{args:?}: {err}"
        );
    }
}

#[test]
fn a_full_disk_under_standard_output() {
    let stage = Stage::new();
    let mut command = stage.command(&["ls"]);
    command.stdout(OpenFull::file()).stderr(Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("cannot write to standard output"), "{err}");
}

struct OpenFull;

impl OpenFull {
    fn file() -> std::fs::File {
        std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    }
}

#[test]
fn other_locales_and_narrow_terminals() {
    let stage = Stage::with_tasks(
        "[defaults]\nharness = \"script\"\nmax_retries = 0\n[[task]]\nname = \"a\"\n\
         prompt = \"write ünïcode.txt grüße 🚀\"\n[[task.check]]\nname = \"größe\"\nrun = \"echo zu groß: 火; false\"\n",
    );
    let with = |args: &[&str], vars: &[(&str, &str)]| {
        let mut command = stage.command(args);
        command.envs(vars.iter().copied());
        stage
            .world
            .run_within(longhaul_testkit::world::COMMAND_LIMIT, command)
    };
    let ran = with(&["run", "--wait"], &[("LANG", "C"), ("TERM", "dumb")]);
    stage.snapshot("locale_c", "LANG=C TERM=dumb longhaul run --wait", 3, &ran);
    for vars in [
        &[("COLUMNS", "20")][..],
        &[("COLUMNS", "1")],
        &[("COLUMNS", "-3")],
        &[("COLUMNS", "99999999999")],
        &[("TERM", "")],
        &[("LANG", "C"), ("LC_ALL", "C")],
        &[("TZ", "Nowhere/Land")],
    ] {
        for args in [&["ls"][..], &["show", "a"], &["status"], &["report"]] {
            let ran = with(args, vars).expect_code(0);
            assert!(
                !ran.stdout.is_empty() && !ran.stdout.contains('\u{1b}'),
                "{args:?} {vars:?}"
            );
        }
    }
    let narrow = with(&["ls"], &[("COLUMNS", "20")]);
    assert!(narrow.stdout.contains('a'));
}
