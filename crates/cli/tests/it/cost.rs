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
    until_done(&world, "one");
    let mut all = runs(&world);
    // The commands that look ask for it, too.
    all.retain(|run| run != "version");
    assert!(
        all.len() <= MOST,
        "{} runs of git:\n{}",
        all.len(),
        all.join("\n")
    );
}

/// For a worktree task with one attempt and one check: workspace, seal, check and their guards.
const MOST: usize = 80;

/// For the first task ever in a folder, before its program starts.
const MOST_FIRST: usize = 9;

#[test]
fn in_place_no_git_stands_before_the_program_where_nobody_touched_the_folder() {
    let world = World::with_repo();
    counted(&world);
    world.write("place/a.txt", "one\n");
    let started = world.run(&["daemon", "start"]);
    assert_eq!(started.code, Some(0), "{started:?}");
    let log = world.path("git.log");
    // In a repository the refs are listed, to see later who moved them (L20).
    for (place, again) in [(world.path("place"), 0), (world.repo(), 1)] {
        let mut before = Vec::new();
        for n in ["first", "second"] {
            let name = format!("{n}-{}", place.file_name().unwrap().to_string_lossy());
            let seen = place.join(format!("seen-{n}"));
            let script = format!("run cat {} > {}", log.display(), seen.display());
            std::fs::write(&log, "").unwrap();
            let place = place.to_string_lossy();
            let args = [
                "--harness",
                "script",
                "--workspace",
                "in-place",
                "--expect",
                "any",
            ];
            let own = ["add", "--name", &name, "--repo", &place, "-p", &script];
            let added = world.run(&[&own[..], &args].concat());
            assert_eq!(added.code, Some(0), "{added:?}");
            until_done(&world, &name);
            let seen = std::fs::read_to_string(&seen).unwrap();
            // A command of ours asks for it, too.
            let runs = seen.lines().filter(|run| *run != "version");
            before.push(runs.map(str::to_owned).collect::<Vec<_>>());
        }
        let first = &before[0];
        assert!((1..=MOST_FIRST).contains(&first.len()), "{first:#?}");
        assert_eq!(before[1].len(), again, "{:#?}", before[1]);
    }
}

fn until_done(world: &World, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let done = |out: &str| {
        let shown: serde_json::Value = serde_json::from_str(out).unwrap_or_default();
        shown
            .pointer("/data/task/state")
            .is_some_and(|s| s == "done")
    };
    while !done(&world.run(&["show", name, "--json"]).out) {
        assert!(Instant::now() < deadline, "`{name}` does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}
