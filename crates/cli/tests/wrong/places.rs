//! Repositories and folders that cannot be worked in (T30).

use std::os::unix::ffi::OsStrExt as _;

use crate::stage::Stage;

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

fn with_repo(line: &str) -> Stage {
    Stage::with_tasks(format!("{TASK}{line}\n"))
}

#[test]
fn a_repository_that_is_not_there_and_a_folder_without_git() {
    let stage = with_repo("repo = \"../nowhere\"");
    stage.tells("repo_missing", 2, &["run"]);
    stage.write("../plain/readme", "x");
    stage.write("tasks.toml", &format!("{TASK}repo = \"../plain\"\n"));
    stage.tells("repo_not_git", 2, &["run"]);
    let plain = stage.world.path("src/plain");
    std::fs::write(plain.join("tasks.toml"), TASK).unwrap();
    stage.tells_in(&plain, "folder_not_git", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn every_task_says_its_own_reason() {
    let stage = Stage::with_tasks(format!(
        "{TASK}repo = \"../nowhere\"\n{}base = \"trunk\"\n",
        TASK.replace("\"a\"", "\"b\"")
    ));
    stage.tells("two_reasons", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_detached_head() {
    let stage = with_repo("");
    stage.git(&["checkout", "-q", "--detach"]);
    stage.tells("head_detached", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_repository_without_a_commit() {
    let stage = Stage::new();
    let path = stage.world.path("src/fresh");
    std::fs::create_dir(&path).unwrap();
    stage.git(&["init", "-q", path.to_str().unwrap()]);
    std::fs::write(path.join("tasks.toml"), TASK).unwrap();
    stage.tells_in(&path, "head_unborn", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_bare_repository() {
    let stage = Stage::new();
    let path = stage.world.path("src/bare.git");
    stage.git(&["init", "-q", "--bare", path.to_str().unwrap()]);
    stage.write("tasks.toml", &format!("{TASK}repo = \"../bare.git\"\n"));
    stage.tells("repo_bare", 2, &["run"]);
    std::fs::write(path.join("tasks.toml"), TASK).unwrap();
    stage.tells_in(&path, "folder_bare", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_branch_in_the_way_and_a_base_that_is_not_there() {
    let stage = with_repo("");
    stage.git(&["branch", "longhaul"]);
    stage.tells("branch_named_longhaul", 2, &["run"]);
    stage.git(&["branch", "-D", "longhaul"]);
    stage.write("tasks.toml", &format!("{TASK}base = \"trunk\"\n"));
    stage.tells("base_missing", 2, &["run"]);
    stage.nothing_stored();
}

#[test]
fn git_that_is_missing_old_or_strange() {
    let stage = with_repo("");
    let git = stage.world.path("bin/git");
    std::fs::remove_file(&git).unwrap();
    stage.tells("git_missing", 1, &["run"]);
    stage
        .world
        .program("git", "echo 'git version 2.30.2'")
        .unwrap();
    stage.tells("git_too_old", 1, &["run"]);
    stage.world.program("git", "echo 'gitt 3'").unwrap();
    stage.tells("git_strange", 1, &["run"]);
    stage
        .world
        .program("git", "echo 'no luck' >&2; exit 3")
        .unwrap();
    stage.tells("git_broken", 1, &["run"]);
    stage.nothing_stored();
}

#[test]
fn a_repository_of_someone_else() {
    let stage = with_repo("");
    if given_away(&stage.repo) {
        stage.tells("repo_of_another_user", 2, &["run"]);
        stage.nothing_stored();
    }
}

#[test]
fn paths_with_spaces_quotes_and_newlines() {
    let stage = Stage::new();
    let odd = stage.world.path("src/a b'\"\n$(touch pwned) ü");
    std::fs::create_dir(&odd).unwrap();
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["commit", "-q", "--allow-empty", "-m", "Start"],
    ] {
        let mut git = stage.world.command("git");
        git.current_dir(&odd).args(args);
        stage
            .world
            .run_within(longhaul_testkit::world::COMMAND_LIMIT, git)
            .expect_code(0);
    }
    std::fs::write(
        odd.join("tasks.toml"),
        format!("{TASK}[[task.check]]\nrun = \"test -f a.txt\"\n"),
    )
    .unwrap();
    stage.tells_in(&odd, "odd_path_dry_run", 0, &["run", "--dry-run"]);
    let ran = stage.world.longhaul(&odd, ["run", "--wait"]).expect_code(0);
    assert!(ran.stdout.contains("1 of 1 task done"), "{}", ran.stdout);
    stage.world.longhaul(&odd, ["show", "a"]).expect_code(0);
    stage
        .world
        .longhaul(&odd, ["workspace", "diff", "a"])
        .expect_code(0);
}

#[test]
fn a_folder_whose_name_is_not_utf8() {
    let stage = Stage::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let folder = stage.world.path("src").join(name);
    std::fs::create_dir(&folder).unwrap();
    stage.tells_in(&folder, "folder_not_utf8", 2, &["ls"]);
}

#[test]
fn a_working_folder_that_is_gone() {
    let stage = Stage::new();
    let folder = stage.world.path("src/gone");
    std::fs::create_dir(&folder).unwrap();
    let mut command = stage.world.command("sh");
    command.current_dir(&folder).args([
        "-c",
        "rm -r \"$PWD\"; exec \"$0\" ls",
        env!("CARGO_BIN_EXE_longhaul"),
    ]);
    let ran = stage
        .world
        .run_within(longhaul_testkit::world::COMMAND_LIMIT, command);
    stage.snapshot("folder_gone", "longhaul ls", 1, &ran);
    stage.tells("folder_flag_missing", 2, &["-C", "nowhere", "ls"]);
}

#[test]
fn home_is_not_set() {
    let stage = with_repo("");
    let mut command = stage.command(&["run"]);
    command.env_remove("HOME");
    let ran = stage
        .world
        .run_within(longhaul_testkit::world::COMMAND_LIMIT, command);
    stage.snapshot("home_missing", "longhaul run", 2, &ran);
    stage.nothing_stored();
}

#[test]
fn a_state_folder_that_is_not_ours() {
    let stage = with_repo("");
    let state = stage.world.state();
    std::fs::create_dir(&state).unwrap();
    if given_away(&state) {
        stage.tells("state_of_another_user", 1, &["run"]);
        return;
    }
    // A folder of root's, then.
    let mut command = stage.command(&["run"]);
    command.env("LONGHAUL_STATE_DIR", "/usr");
    let ran = stage
        .world
        .run_within(longhaul_testkit::world::COMMAND_LIMIT, command)
        .expect_code(1);
    assert!(
        ran.stderr.contains("/usr belongs to user 0"),
        "{}",
        ran.stderr
    );
}

/// Makes a folder another user's, which only root can; else says so.
#[expect(clippy::print_stderr, reason = "a skip is loud")]
fn given_away(path: &std::path::Path) -> bool {
    let given = std::os::unix::fs::chown(path, Some(12_345), None).is_ok();
    if !given {
        assert!(!is_root(), "root can give files away");
        eprintln!("SKIPPED: only root can give {} away", path.display());
    }
    given
}

#[test]
fn a_state_folder_that_cannot_be_made_or_is_no_folder() {
    let stage = with_repo("");
    std::fs::write(stage.world.state(), "x").unwrap();
    stage.tells("state_is_a_file", 1, &["run"]);
    let mut command = stage.command(&["run"]);
    // Nobody can make folders there, whoever they are.
    command.env("LONGHAUL_STATE_DIR", "/proc/longhaul/state");
    let ran = stage
        .world
        .run_within(longhaul_testkit::world::COMMAND_LIMIT, command);
    stage.snapshot("state_unwritable", "longhaul run", 1, &ran);
    let mut command = stage.command(&["ls"]);
    command.env("LONGHAUL_STATE_DIR", "here/state");
    let ran = stage
        .world
        .run_within(longhaul_testkit::world::COMMAND_LIMIT, command);
    stage.snapshot("state_relative", "longhaul ls", 2, &ran);
}

#[test]
fn t30_a_socket_path_that_is_too_long() {
    let stage = with_repo("");
    let mut command = stage.command(&["run"]);
    command.env("LONGHAUL_RUNTIME_DIR", format!("/tmp/{}", "d".repeat(120)));
    let ran = stage
        .world
        .run_within(longhaul_testkit::world::COMMAND_LIMIT, command);
    stage.snapshot("socket_path_too_long", "longhaul run", 2, &ran);
    stage.nothing_stored();
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
