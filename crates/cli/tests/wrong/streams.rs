//! Standard streams that are closed, full, or a very small terminal.

use std::fs::File;
use std::process::Stdio;

use longhaul_testkit::world::COMMAND_LIMIT;

use crate::stage::Stage;

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn closed_streams_are_nobodys_files() {
    let stage = Stage::with_tasks(TASK);
    // Whatever the system gives out as number 0, 1 or 2 must not be the database.
    for closed in ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"] {
        for verb in ["run --wait --again", "ls", "show a", "report"] {
            let mut command = stage.world.command("sh");
            command.current_dir(&stage.repo).args([
                "-c",
                &format!("exec \"$0\" {verb} {closed}"),
                env!("CARGO_BIN_EXE_longhaul"),
            ]);
            let ran = stage.world.run_within(COMMAND_LIMIT, command);
            // `show a` may find several tasks of the name.
            assert!(
                matches!(ran.code(), 0 | 6),
                "{verb} {closed}: {} {}",
                ran.code(),
                ran.stderr
            );
        }
    }
    stage.harmless();
}

#[test]
fn a_full_disk_under_every_answer() {
    let stage = Stage::with_tasks(TASK);
    stage.run(["run", "--wait"]).expect_code(0);
    for args in [
        &["ls"][..],
        &["ls", "--json"],
        &["show", "a"],
        &["show", "a", "--json"],
        &["logs", "a"],
        &["logs", "a", "--raw"],
        &["status"],
        &["status", "--json"],
        &["report"],
        &["report", "--json"],
        &["events", "--json"],
        &["config", "list"],
        &["doctor"],
        &["doctor", "--json"],
        &["workspace", "list"],
        &["workspace", "diff", "a"],
        &["workspace", "path", "a"],
        &["workspace", "gc"],
        &["validate", "tasks.toml"],
        &["run", "--dry-run"],
        &["run", "--wait", "--again"],
        &["run", "--wait", "--json"],
        &["schema"],
        &["man"],
        &["completions", "bash"],
        &["--help"],
        &["run", "--help"],
        &["--version"],
    ] {
        let mut command = stage.command(args);
        command.stdout(full()).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {err}");
        assert!(
            err.contains("cannot write to standard output"),
            "{args:?}: {err}"
        );
    }
    // With nobody to complain to the code still tells it.
    for (args, code) in [
        (&["ls"][..], 0),
        (&["run", "nowhere.toml"], 2),
        (&["statsu"], 2),
    ] {
        let mut command = stage.command(args);
        command.stdout(Stdio::null()).stderr(full());
        assert_eq!(command.status().unwrap().code(), Some(code), "{args:?}");
    }
    stage.harmless();
}

#[test]
fn terminals_of_twenty_columns_and_of_one_cell() {
    let stage = Stage::with_tasks(format!(
        "{TASK}[[task.check]]\nname = \"a-check-with-a-long-name\"\nrun = \"echo a long story; true\"\n"
    ));
    for (columns, rows) in [(20, 5), (1, 1), (0, 0)] {
        let screen = stage.world.path("out/screen");
        for verb in ["run --again", "ls --all", "status", "report"] {
            let mut command = stage.world.command("/usr/bin/script");
            command
                .current_dir(&stage.repo)
                .env("SHELL", "/bin/sh")
                .env("TERM", "xterm")
                .args(["--quiet", "--return", "--flush", "--command"])
                .arg(format!(
                    "/usr/bin/stty cols {columns} rows {rows}; exec {} {verb}",
                    env!("CARGO_BIN_EXE_longhaul")
                ))
                .arg(&screen);
            let ran = stage.world.run_within(COMMAND_LIMIT, command);
            let shown = String::from_utf8_lossy(&std::fs::read(&screen).unwrap()).into_owned();
            assert_eq!(ran.code(), 0, "{verb} at {columns}x{rows}: {shown}");
            assert!(
                !shown.contains("panicked"),
                "{verb} at {columns}x{rows}: {shown}"
            );
        }
    }
    stage.harmless();
}
