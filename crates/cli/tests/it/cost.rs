//! What handing in and running a task costs, counted and not timed: processes of git.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::world::World;

/// Puts a `git` in front that writes down each of its runs.
fn counted(world: &World) {
    let real = ["/usr/local/bin/git", "/usr/bin/git", "/bin/git"]
        .into_iter()
        .find(|p| std::path::Path::new(p).exists())
        .expect("git is installed");
    let log = world.path("git.log");
    let log = log.display();
    world.write(
        "bin/git",
        &format!("#!/bin/sh\necho \"$@\" >> {log}\nexec {real} \"$@\"\n"),
    );
    let file = world.path("bin/git");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The runs since the last call.
fn runs(world: &World) -> Vec<String> {
    let log = world.path("git.log");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    std::fs::remove_file(&log).ok();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn handing_in_needs_no_git_and_a_task_few_runs_of_it() {
    let world = World::with_repo();
    counted(&world);
    let started = world.run(&["daemon", "start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    world.run(&["drain"]);
    runs(&world);

    let args = [
        "add",
        "--name",
        "one",
        "--harness",
        "script",
        "-p",
        "write a.txt hello",
        "--check-run",
        "grep -q hello a.txt",
    ];
    let added = world.run(&args);
    assert_eq!(added.code, Some(0), "{added:?}");
    assert_eq!(runs(&world), [""; 0], "`add` in an ordinary repository");

    world.run(&["undrain"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !world.run(&["show", "one"]).out.contains("done") {
        assert!(Instant::now() < deadline, "the task does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let all = runs(&world);
    assert!(
        all.len() <= MOST,
        "{} runs of git:\n{}",
        all.len(),
        all.join("\n")
    );
}

/// For a worktree task with one attempt and one check: workspace, seal, check and their guards.
const MOST: usize = 60;
