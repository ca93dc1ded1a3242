//! Verbs that need no daemon: what they say, and that reading changes nothing (I7).

use std::process::Stdio;

use crate::world::{Ran, World, ran};

const TASKS: &str = r#"
[[task]]
name = "one"
harness = "script"
prompt = "write a.txt hello"
[[task.check]]
run = "test -f a.txt"

[[task]]
name = "two"
harness = "script"
depends_on = ["one"]
prompt = "write b.txt hello"
"#;

fn failed(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "`{word}` is not in: {}", ran.err);
    }
    assert!(
        !ran.err.contains("panicked") && !ran.err.contains("RUST_BACKTRACE"),
        "{}",
        ran.err
    );
}

#[test]
fn init_writes_a_valid_file_once_and_validate_says_so() {
    let world = World::with_repo();
    let first = world.run(&["init"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    insta::assert_snapshot!(first.out, @r"
    wrote tasks.toml

    Next:
      $EDITOR tasks.toml                  say what you want done
      longhaul validate tasks.toml        look for mistakes
      longhaul run --rehearse tasks.toml  try it without a model
      longhaul run tasks.toml             for real
    ");
    failed(
        &world.run(&["init"]),
        7,
        &["tasks.toml exists already", "night.toml"],
    );
    let valid = world.run(&["validate"]);
    // Where no agent is installed that is said below.
    assert_eq!(valid.code, Some(0), "{valid:?}");
    assert_eq!(
        valid.out.lines().next(),
        Some("✓ tasks.toml is valid: 1 task")
    );
}

#[test]
fn every_mistake_of_a_file_is_said_at_once() {
    let world = World::with_repo();
    world.write("repo/tasks.toml", "[[task]]\nname = \"a b\"\npromt = \"x\"\n\n[[task]]\nname = \"b\"\nprompt = \"y\"\ntimeout = \"45\"\n");
    let ran = world.run(&["validate"]);
    failed(
        &ran,
        2,
        &[
            "did you mean `prompt`",
            "tasks.toml:3",
            "`45s`",
            "nothing was stored",
        ],
    );
    let json = world.run(&["validate", "--json"]);
    assert_eq!(json.code, Some(2));
    assert!(json.out.contains(r#""kind":"error""#), "{json:?}");
}

#[test]
fn a_dry_run_says_what_would_happen_and_stores_nothing() {
    let world = World::with_repo();
    world.write("repo/tasks.toml", TASKS);
    let ran = world.run(&["run", "--dry-run"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    insta::assert_snapshot!(world.redact(&ran.out), @r"
    one
      in [ROOT]/repo from main
      by script, permission edits
      checked by check-1
    two
      in [ROOT]/repo from main
      by script, permission edits
      after one
      no checks: the result will be unverified
    2 tasks would run; nothing was stored
    ");
    assert!(
        !world
            .path("home/.local/state/longhaul/longhaul.db")
            .exists()
    );
    let only = world.run(&["run", "--dry-run", "--only", "two"]);
    assert!(
        only.err.contains("also runs what those depend on: one"),
        "{only:?}"
    );
    failed(
        &world.run(&["run", "-n", "--only", "three"]),
        2,
        &["no task `three`", "one, two"],
    );
}

#[test]
fn t30_every_unusable_repository_is_named_with_its_remedy() {
    let world = World::with_repo();
    world.write("repo/tasks.toml", TASKS);
    world.git(&["branch", "longhaul"]);
    failed(
        &world.run(&["run", "-n"]),
        2,
        &["a branch named `longhaul`", "git branch -m"],
    );
    world.git(&["branch", "-D", "longhaul"]);
    world.git(&["checkout", "--quiet", "--detach"]);
    failed(&world.run(&["run", "-n"]), 2, &["detached", "base = "]);
    let bare = World::new();
    bare.write("repo/tasks.toml", TASKS);
    failed(
        &bare.run(&["run", "-n"]),
        2,
        &["not in a git repository", "git init"],
    );
    bare.git(&["init", "--quiet", "--initial-branch=main"]);
    failed(&bare.run(&["run", "-n"]), 2, &["no commit yet"]);
}

#[test]
fn s9_a_harness_that_is_not_installed_is_said_before_anything_is_made() {
    let world = World::with_repo();
    world.write(
        "repo/tasks.toml",
        "[[task]]\nname = \"a\"\nharness = \"codex\"\nprompt = \"x\"\n",
    );
    failed(
        &world.run(&["run"]),
        2,
        &["`codex` is not installed", "[harness.codex]"],
    );
    assert!(
        !world.path("home/.local/state/longhaul/daemon.log").exists(),
        "a daemon was started for nothing"
    );
}

#[test]
fn i7_reading_without_a_daemon_starts_and_writes_nothing() {
    let world = World::with_repo();
    for args in [
        &["ls"][..],
        &["ls", "--here"],
        &["status"],
        &["report"],
        &["events"],
        &["workspace", "list"],
        &["workspace", "gc"],
        &["config", "list", "--origin"],
        &["config", "path"],
        &["doctor"],
        &["trust", "--list"],
    ] {
        let ran = world.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        let json = world.run(&[args, &["--json"]].concat());
        assert_eq!(json.code, Some(0), "{args:?}: {json:?}");
        for line in json.out.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["longhaul"], 1, "{args:?}");
        }
    }
    failed(
        &world.run(&["show", "nobody"]),
        6,
        &["no task is called `nobody`"],
    );
    failed(&world.run(&["show", "latest"]), 6, &["no task yet"]);
    let left: Vec<_> = std::fs::read_dir(world.path("home")).unwrap().collect();
    assert!(left.is_empty(), "reading left {left:?}");
    assert_eq!(world.run(&["daemon", "status"]).code, Some(5));
}

#[test]
fn mistakes_of_the_command_line_end_with_2() {
    let world = World::with_repo();
    failed(&world.run(&["shwo"]), 2, &["show"]);
    failed(&world.run(&["retry"]), 2, &["TASK"]);
    failed(
        &world.run(&["ls", "--state", "broken"]),
        2,
        &["needs_human"],
    );
    failed(&world.run(&["report", "--since", "12"]), 2, &["12h"]);
    failed(
        &world.run(&["-C", "/nowhere", "ls"]),
        2,
        &["/nowhere is not a folder"],
    );
    failed(
        &world.run(&["run", "nothing.toml"]),
        2,
        &["does not exist", "longhaul init"],
    );
    failed(&world.run(&["status", "--watch"]), 2, &["terminal"]);
    failed(&world.run(&["cancel", "x"]), 2, &["--yes"]);
    failed(
        &world.run(&["add", "--name", "a b"]),
        2,
        &["--name", "prompt"],
    );
}

#[test]
fn without_a_home_or_with_a_bad_folder_the_error_names_the_variable() {
    let world = World::with_repo();
    failed(
        &ran(world.longhaul().env_remove("HOME").arg("ls")),
        2,
        &["HOME is not set"],
    );
    failed(
        &ran(world.longhaul().env("LONGHAUL_STATE_DIR", "here").arg("ls")),
        2,
        &["LONGHAUL_STATE_DIR", "absolute"],
    );
    let long = format!("/tmp/{}", "x".repeat(120));
    failed(
        &ran(world
            .longhaul()
            .env("LONGHAUL_RUNTIME_DIR", &long)
            .arg("ls")),
        2,
        &["107", "LONGHAUL_RUNTIME_DIR"],
    );
}

#[test]
fn colour_only_where_it_is_wanted() {
    let world = World::with_repo();
    let esc = |r: &Ran| r.out.contains('\u{1b}');
    assert!(!esc(&world.run(&["status"])));
    assert!(esc(&world.run(&["status", "--color", "always"])));
    assert!(esc(&ran(world
        .longhaul()
        .env("CLICOLOR_FORCE", "1")
        .arg("status"))));
    assert!(!esc(&ran(world
        .longhaul()
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1")
        .arg("status"))));
    assert!(esc(&world.run(&["run", "--help", "--color=always"])));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::with_repo();
    let mut child = world
        .longhaul()
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn trust_is_pinned_to_the_files_as_they_are() {
    let world = World::with_repo();
    world.write(
        "repo/.longhaul/config.toml",
        "setup = \"make\"\nconcurrency = 9\n",
    );
    let before = world.run(&["config", "list", "--origin"]);
    assert!(!before.out.contains("\"make\""), "{before:?}");
    assert!(before.err.contains("longhaul trust"), "{before:?}");
    failed(&world.run(&["trust"]), 2, &["setup", "--yes"]);
    assert_eq!(world.run(&["trust", "--yes"]).code, Some(0));
    let after = world.run(&["config", "list", "--origin"]).out;
    assert!(
        after.contains("\"make\"") && !after.contains("concurrency  9"),
        "{after}"
    );
    world.write("repo/.longhaul/config.toml", "setup = \"rm -rf /\"\n");
    assert!(!world.run(&["config", "list"]).out.contains("rm -rf"));
    assert_eq!(world.run(&["trust", "--revoke"]).code, Some(0));
}

#[test]
fn the_unit_names_this_program() {
    let world = World::new();
    let unit = world.run(&["daemon", "unit"]).out;
    assert!(
        unit.contains(&format!(
            "ExecStart=\"{}\" daemon run",
            env!("CARGO_BIN_EXE_longhaul")
        )),
        "{unit}"
    );
    assert!(unit.contains("KillMode=process"));
}

#[test]
fn uninstall_shows_its_plan_first() {
    let world = World::with_repo();
    assert!(
        world
            .run(&["uninstall"])
            .out
            .contains("nothing of Longhaul is here")
    );
    world.write("home/.config/longhaul/config.toml", "");
    let plan = world.run(&["uninstall", "--purge", "--dry-run"]);
    assert!(plan.out.contains("home/.config/longhaul"), "{plan:?}");
    failed(&world.run(&["uninstall", "--purge"]), 2, &["--yes"]);
    assert_eq!(world.run(&["uninstall", "--purge", "--yes"]).code, Some(0));
    assert!(!world.path("home/.config/longhaul").exists());
}

#[test]
fn land_by_flag_is_as_good_as_in_the_file_and_as_strict() {
    let world = World::with_repo();
    let own = "[[task]]\nname = \"own\"\nharness = \"script\"\nprompt = \"write c.txt hello\"\nland = false\n";
    world.write(
        "repo/tasks.toml",
        &format!("{TASKS}[[task.check]]\nrun = \"true\"\n{own}"),
    );
    let plain = world.run(&["run", "--dry-run"]);
    assert!(!plain.out.contains("lands on"), "{}", plain.out);
    let landing = world.run(&["run", "--dry-run", "--land"]);
    assert_eq!(landing.code, Some(0), "{landing:?}");
    assert_eq!(
        landing
            .out
            .matches("lands on main through the merge queue")
            .count(),
        2,
        "a task's own word stays: {}",
        landing.out
    );
    // A task that nothing would verify is refused, by its name, with the flag that asks for it.
    world.write("repo/tasks.toml", TASKS);
    failed(
        &world.run(&["run", "--dry-run", "--land"]),
        2,
        &["--land", "nothing would verify the merged tree"],
    );
    failed(
        &world.run(&[
            "add",
            "--name",
            "x",
            "--prompt",
            "write a b",
            "--harness",
            "script",
            "--land",
        ]),
        2,
        &["--land", "nothing would verify the merged tree"],
    );
    failed(
        &world.run(&[
            "add",
            "--name",
            "x",
            "--prompt",
            "y",
            "--land-check",
            "make test",
        ]),
        2,
        &["--land"],
    );
}
