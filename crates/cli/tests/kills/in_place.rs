//! Work in the user's own folder: what was there before is never lost (I5).

use std::path::Path;

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{append, read, wait_until, write};

use crate::scene::{LIMIT, START, Scene, git};

/// A folder with a file of the user's; a repository with an edit of theirs, or a plain one.
fn folder(scene: &Scene, name: &str, with_git: bool) -> std::path::PathBuf {
    let folder = scene.world.path("src").join(name);
    if with_git {
        scene.world.repo(name).unwrap();
        write(&folder.join("README.md"), "edited by hand\n").unwrap();
    }
    write(&folder.join("mine.txt"), "mine\n").unwrap();
    folder
}

/// Names and reasons of a task's snapshots, as `undo --list` tells them.
fn snapshots(scene: &Scene, name: &str) -> Vec<(String, String)> {
    let listed = scene.longhaul(&["undo", name, "--list", "--json"]);
    let listed = listed.expect_code(0).json();
    let all = listed["data"]["snapshots"].as_array().unwrap().iter();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    all.map(|s| (text(&s["name"]), text(&s["reason"])))
        .collect()
}

fn names(scene: &Scene, name: &str) -> Vec<String> {
    let all = snapshots(scene, name);
    all.into_iter().map(|(name, _)| name).collect()
}

fn task(name: &str, repo: &Path, keys: &str, prompt: &str) -> String {
    let repo = repo.display();
    format!(
        "[[task]]\nname = \"{name}\"\nworkspace = \"in-place\"\nrepo = \"{repo}\"\n{keys}\nprompt = '''\n{START}\n{prompt}\ndone\n'''\n\n"
    )
}

#[test]
fn i5_what_was_there_before_the_first_attempt_in_place_can_be_brought_back() {
    let mut scene = Scene::new();
    let plain = folder(&scene, "plain", false);
    let with_git = folder(&scene, "with-git", true);
    let work = "write mine.txt theirs\nwrite new.txt new\nwrite README.md theirs";
    scene.tasks(&(task("p", &plain, "", work) + &task("g", &with_git, "", work)));
    scene
        .longhaul(&["run", "tasks.toml", "--wait"])
        .expect_code(0);
    for (name, folder) in [("p", &plain), ("g", &with_git)] {
        let kept = snapshots(&scene, name);
        assert_eq!(names(&scene, name), ["0", "1"], "{kept:?}");
        assert!(kept[0].1.contains("before the first attempt"), "{kept:?}");
        let diff = scene
            .longhaul(&["workspace", "diff", name])
            .expect_code(0)
            .stdout;
        for wanted in ["-mine", "+theirs", "new.txt"] {
            assert!(diff.contains(wanted), "{wanted}: {diff}");
        }
        assert_eq!(read(&folder.join("mine.txt")), "theirs\n");
        scene.longhaul(&["undo", name, "--yes"]).expect_code(0);
        assert_eq!(read(&folder.join("mine.txt")), "mine\n");
        assert!(!folder.join("new.txt").exists());
        scene
            .longhaul(&["undo", name, "--to", "1", "--yes"])
            .expect_code(0);
        assert_eq!(read(&folder.join("new.txt")), "new\n");
        scene
            .longhaul(&["undo", name, "--to", "0", "--yes"])
            .expect_code(0);
        assert!(!folder.join("new.txt").exists());
    }
    assert!(!plain.join("README.md").exists() && !plain.join(".git").exists());
    assert_eq!(read(&with_git.join("README.md")), "edited by hand\n");
    let staged = git(
        &scene.world,
        &with_git,
        &["diff", "--cached", "--name-only"],
    );
    assert_eq!(staged, "", "the user's index is the user's");
    scene.audit(&[("p", StateWord::Done), ("g", StateWord::Done)]);
}

#[test]
fn i5_a_setup_that_fails_or_is_cut_short_in_place_never_hides_what_it_found() {
    let mut scene = Scene::new();
    let (fails, cut) = (folder(&scene, "fails", true), folder(&scene, "cut", false));
    let (allowed, gate) = (scene.gate("allowed"), scene.wait_for("gate"));
    let setup = format!(
        "setup = \"echo half > made.txt; test -e {}\"",
        allowed.display()
    );
    let waits = format!("setup = \"echo half > made.txt; {gate}\"");
    let work = "write mine.txt theirs";
    scene.tasks(&(task("fails", &fails, &setup, work) + &task("cut", &cut, &waits, work)));
    scene.start();
    assert!(wait_until(LIMIT, || cut.join("made.txt").exists()));
    scene.until_state("fails", StateWord::NeedsHuman);
    scene.kill_daemon();
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    scene.open("gate");
    scene.until_state("cut", StateWord::Done);
    // The same preparation went on: what its set-up had made by then is no state of the user's.
    assert_eq!(names(&scene, "cut"), ["0", "1"]);
    // Each further try finds what the one before left, and holds it once.
    assert_eq!(names(&scene, "fails"), ["0", "0.1"]);
    append(&fails.join("mine.txt"), "by hand\n").unwrap();
    scene.open("allowed");
    scene.longhaul(&["retry", "fails"]).expect_code(0);
    let done = scene.until_state("fails", StateWord::Done);
    let kept = names(&scene, "fails");
    assert_eq!(kept[..3], ["0", "0.1", "0.2"]);
    let show = |name: &str, file: &str| {
        let object = format!("refs/longhaul/snap/{}/{name}:{file}", done.id);
        git(&scene.world, &fails, &["show", &object])
    };
    assert_eq!(show("0", "mine.txt"), "mine");
    assert_eq!(show("0.2", "mine.txt"), "mine\nby hand");
    let first = format!("refs/longhaul/snap/{}/0", done.id);
    let files = git(
        &scene.world,
        &fails,
        &["ls-tree", "-r", "--name-only", &first],
    );
    assert!(!files.contains("made.txt"), "{files}");
    scene
        .longhaul(&["undo", "cut", "--to", "0", "--yes"])
        .expect_code(0);
    assert_eq!(read(&cut.join("mine.txt")), "mine\n");
    assert!(!cut.join("made.txt").exists());
    scene.audit(&[("fails", StateWord::Done), ("cut", StateWord::Done)]);
}
