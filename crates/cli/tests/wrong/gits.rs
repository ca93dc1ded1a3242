//! Git that hangs, fails or is killed, and repositories that change under a running task.

use std::path::{Path, PathBuf};

use longhaul_testkit::world::wait_until;

use crate::stage::{Stage, settled};

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

/// Puts this in front of the real git: a shell's `case` arms over the whole command line.
fn git_but(stage: &Stage, arms: &str) {
    let link = stage.world.path("bin/git");
    let real = std::fs::read_link(&link).unwrap_or_else(|_| stage.world.path("real-git"));
    if !stage.world.path("real-git").exists() {
        std::os::unix::fs::symlink(&real, stage.world.path("real-git")).unwrap();
    }
    std::fs::remove_file(&link).unwrap();
    stage
        .world
        .program(
            "git",
            &format!(
                "case \" $* \" in {arms} esac\nexec {} \"$@\"",
                stage.world.path("real-git").display()
            ),
        )
        .unwrap();
}

fn git_as_it_is(stage: &Stage) {
    let link = stage.world.path("bin/git");
    std::fs::remove_file(&link).unwrap();
    let real = std::fs::read_link(stage.world.path("real-git")).unwrap();
    std::os::unix::fs::symlink(real, link).unwrap();
}

#[track_caller]
fn becomes(stage: &Stage, state: &str) {
    let mut last = String::new();
    let reached = wait_until(settled(), || {
        let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
        last = shown["data"]["task"].to_string();
        shown["data"]["task"]["state"] == state
    });
    assert!(reached, "not {state}: {last}");
}

fn quick(stage: &Stage) {
    stage.quick();
}

#[test]
fn a_git_that_never_answers() {
    let stage = Stage::with_tasks(TASK);
    git_but(&stage, "*\" version \"*) exec sleep 3600;;");
    stage.tells("git_hangs", 1, &["run"]);
    git_as_it_is(&stage);
    stage.nothing_stored();
    stage.quiet();
}

#[test]
fn the_last_git_too_old_and_the_first_new_enough() {
    let stage = Stage::with_tasks(TASK);
    git_but(&stage, "*\" version \"*) echo git version 2.39.5; exit 0;;");
    stage.tells("git_2_39", 1, &["run"]);
    git_as_it_is(&stage);
    git_but(
        &stage,
        "*\" version \"*) echo 'git version 2.40.0 (vendor 1)'; exit 0;;",
    );
    stage.run(["run", "--wait"]).expect_code(0);
    stage.harmless();
}

#[test]
fn a_git_that_makes_no_worktree() {
    let stage = Stage::with_tasks(TASK);
    quick(&stage);
    git_but(
        &stage,
        "*\" worktree add \"*) echo 'fatal: no luck today' >&2; exit 128;;",
    );
    stage.tells("git_makes_no_worktree", 3, &["run", "--wait"]);
    git_as_it_is(&stage);
    stage.run(["retry", "a"]).expect_code(0);
    becomes(&stage, "done");
    stage.harmless();
}

#[test]
fn a_git_that_is_killed() {
    let stage = Stage::with_tasks(TASK);
    quick(&stage);
    git_but(&stage, "*\" worktree add \"*) kill -9 $$;;");
    stage.tells("git_is_killed", 3, &["run", "--wait"]);
    git_as_it_is(&stage);
    stage.run(["retry", "a"]).expect_code(0);
    becomes(&stage, "done");
    stage.harmless();
}

#[test]
fn i5_work_that_cannot_be_secured_stays_where_it_is() {
    let stage = Stage::with_tasks(TASK);
    quick(&stage);
    git_but(
        &stage,
        "*\" commit-tree \"*) echo 'fatal: cannot' >&2; exit 128;;",
    );
    stage.tells("git_secures_nothing", 3, &["run", "--wait"]);
    let path = stage.run(["workspace", "path", "a"]).expect_code(0);
    assert!(Path::new(path.stdout.trim()).join("a.txt").exists());
    git_as_it_is(&stage);
    stage.run(["retry", "a"]).expect_code(0);
    becomes(&stage, "done");
    stage.harmless();
}

/// A session that waits for a gate.
fn at_work() -> (Stage, PathBuf) {
    let stage = Stage::new();
    quick(&stage);
    let gate = stage.world.path("gate");
    stage.write(
        "tasks.toml",
        &format!(
            "[[task]]\nname = \"a\"\nharness = \"script\"\nmax_retries = 0\nprompt = '''\nsay begun\nwrite a.txt x\n\
             run while [ ! -e {} ]; do sleep 0.05; done\ndone\n'''\n",
            gate.display()
        ),
    );
    stage.run(["run", "--detach"]).expect_code(0);
    assert!(wait_until(settled(), || stage
        .run(["logs", "a"])
        .stdout
        .contains("begun")));
    (stage, gate)
}

#[test]
fn a_repository_that_is_deleted_under_a_session() {
    let (stage, gate) = at_work();
    let away = stage.world.path("away");
    std::fs::rename(&stage.repo, &away).unwrap();
    std::fs::write(&gate, "").unwrap();
    let home = stage.world.home();
    let mut last = String::new();
    let rests = wait_until(settled(), || {
        let shown = stage
            .world
            .longhaul(&home, ["show", "a", "--json"])
            .expect_code(0)
            .json();
        last = shown["data"]["task"].to_string();
        shown["data"]["task"]["state"] == "needs_human"
    });
    assert!(rests, "{last}");
    assert!(last.contains("nothing was removed"), "{last}");
    // Put back, it goes on, and nothing is lost.
    std::fs::rename(&away, &stage.repo).unwrap();
    stage.run(["retry", "a"]).expect_code(0);
    becomes(&stage, "done");
    stage.harmless();
}

#[test]
fn a_worktree_that_is_deleted_under_a_session() {
    let (stage, gate) = at_work();
    let path = stage.run(["workspace", "path", "a"]).expect_code(0);
    std::fs::remove_dir_all(path.stdout.trim()).unwrap();
    std::fs::write(&gate, "").unwrap();
    let mut last = String::new();
    let rests = wait_until(settled(), || {
        let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
        last = shown["data"]["task"].to_string();
        matches!(
            shown["data"]["task"]["state"].as_str(),
            Some("needs_human" | "done")
        )
    });
    assert!(rests, "{last}");
    stage.harmless();
}

#[test]
fn a_branch_that_is_checked_out_elsewhere() {
    let (stage, gate) = at_work();
    let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
    let branch = shown["data"]["workspace"]["branch"]
        .as_str()
        .unwrap()
        .to_owned();
    let other = stage.world.path("src/other");
    stage.git(&[
        "worktree",
        "add",
        "-f",
        "-q",
        other.to_str().unwrap(),
        &branch,
    ]);
    std::fs::write(&gate, "").unwrap();
    let mut last = String::new();
    let rests = wait_until(settled(), || {
        let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
        last = shown["data"]["task"].to_string();
        matches!(
            shown["data"]["task"]["state"].as_str(),
            Some("needs_human" | "done")
        )
    });
    assert!(rests, "{last}");
    assert!(
        other.join("README.md").exists(),
        "somebody's worktree is left alone"
    );
    stage.harmless();
}

#[test]
fn locks_that_a_dead_git_left() {
    let stage = Stage::with_tasks(TASK);
    quick(&stage);
    for lock in ["index.lock", "packed-refs.lock", "HEAD.lock", "config.lock"] {
        std::fs::write(stage.repo.join(".git").join(lock), "").unwrap();
    }
    let ran = stage.run(["run", "--wait"]);
    assert!(matches!(ran.code(), 0 | 3), "{}{}", ran.stdout, ran.stderr);
    for lock in ["index.lock", "packed-refs.lock", "HEAD.lock", "config.lock"] {
        let path = stage.repo.join(".git").join(lock);
        assert!(path.exists(), "{lock} is the user's to remove");
        std::fs::remove_file(path).unwrap();
    }
    if ran.code() == 3 {
        stage.run(["retry", "a"]).expect_code(0);
        becomes(&stage, "done");
    }
    stage.harmless();
}

#[test]
fn ten_thousand_files_to_place_and_odd_ones_among_them() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nharness = \"script\"\nprompt = '''\nrun set -- many/*; echo $# > count.txt\ndone\n'''\n",
    );
    stage.write(".gitignore", "many/\nodd/\n");
    stage.write(".worktreeinclude", "many/\nodd/\n");
    stage.git(&["add", ".gitignore", ".worktreeinclude"]);
    stage.git(&["commit", "-q", "-m", "Include"]);
    std::fs::create_dir(stage.repo.join("many")).unwrap();
    for n in 0..10_000 {
        std::fs::write(stage.repo.join(format!("many/{n}")), "x").unwrap();
    }
    std::fs::create_dir(stage.repo.join("odd")).unwrap();
    std::os::unix::fs::symlink("loop", stage.repo.join("odd/loop")).unwrap();
    std::os::unix::fs::symlink("../../../../../etc/passwd", stage.repo.join("odd/out")).unwrap();
    std::os::unix::fs::symlink("..", stage.repo.join("odd/up")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(stage.repo.join("odd/pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    stage.run(["run", "--wait"]).expect_code(0);
    let path = stage.run(["workspace", "path", "a"]).expect_code(0);
    let place = Path::new(path.stdout.trim());
    assert_eq!(
        std::fs::read_to_string(place.join("count.txt"))
            .unwrap()
            .trim(),
        "10000"
    );
    assert!(!place.join("odd/pipe").exists());
    assert!(
        std::fs::symlink_metadata(place.join("odd/out")).is_err(),
        "a link that leads out was placed"
    );
    stage.harmless();
}
