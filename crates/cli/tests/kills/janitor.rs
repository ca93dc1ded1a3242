//! The janitor (A25): leftovers go by age and size, by plan first; what somebody needs stays, whatever dies.

use std::fs;
use std::path::PathBuf;

use longhaul_acts::CRASH_POINT;
use longhaul_core::task::StateWord;
use longhaul_testkit::world::{read, wait_until, write};

use crate::scene::{LIMIT, Scene, session_key};

fn scene(more: &str) -> Scene {
    let scene = Scene::new();
    let project = scene.repo.display();
    scene.config(&format!(
        "default_harness = \"script\"\nlog_retention = \"1s\"\n[inbox.p]\nproject = \"{project}\"\n{more}"
    ));
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    assert!(wait_until(LIMIT, || part(&scene, "failed").is_dir()));
    scene
}

fn part(scene: &Scene, name: &str) -> PathBuf {
    scene.repo.join(".agent-queue").join(name)
}

fn names(scene: &Scene, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(part(scene, folder)).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Puts files in and waits until they are refused, one after the other.
fn refused(scene: &Scene, files: &[(&str, usize)]) {
    for (name, bytes) in files {
        write(&part(scene, "inbox").join(name), &"x".repeat(*bytes)).unwrap();
        let there = || {
            names(scene, "failed")
                .iter()
                .any(|n| n.ends_with(&format!("_{name}")))
        };
        assert!(wait_until(LIMIT, there), "{}", scene.daemon_log());
    }
}

/// What a plan names.
fn plan(scene: &Scene, args: &[&str]) -> Vec<String> {
    let told = scene.longhaul(args).expect_code(0).json();
    let all = told["data"]["leftovers"].as_array().unwrap().clone();
    all.iter()
        .map(|l| l["what"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a25_files_that_were_put_away_long_ago_go_with_their_reports() {
    let scene = scene("retention = \"1s\"");
    let gate = scene.wait_for("never");
    write(
        &part(&scene, "inbox").join("works.md"),
        &format!("run {gate}\ndone\n"),
    )
    .unwrap();
    // A file of the user's own, older than those that are put away.
    write(&part(&scene, "failed").join("mine.txt"), "mine").unwrap();
    refused(&scene, &[("bad.toml", 3)]);
    scene.until_state("works", StateWord::Running);
    let gc = ["inbox", "gc", "--json"];
    assert!(wait_until(LIMIT, || plan(&scene, &gc).len() == 1));
    assert!(plan(&scene, &gc)[0].ends_with("_bad.toml"));
    // A plan changes nothing.
    assert_eq!(names(&scene, "failed").len(), 3);
    // A kill between the two files leaves the report, and the next one goes on.
    let mut dies = scene
        .world
        .longhaul_in(&scene.repo, ["inbox", "gc", "--apply"]);
    dies.env(CRASH_POINT, "inbox.tidy.report.before:1");
    let _killed = scene.world.run_within(LIMIT, dies);
    let left = names(&scene, "failed");
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].ends_with(".report.md"), "{left:?}");
    scene.longhaul(&["inbox", "gc", "--apply"]).expect_code(0);
    assert_eq!(names(&scene, "failed"), ["mine.txt"]);
    assert_eq!(
        names(&scene, "accepted").len(),
        1,
        "a task that works needs its file"
    );
    assert_eq!(plan(&scene, &gc), [""; 0]);
}

#[test]
fn a25_the_oldest_make_room_for_the_newer() {
    let scene = scene("max_size = \"8KiB\"");
    refused(
        &scene,
        &[("a.toml", 3000), ("b.toml", 3000), ("c.toml", 3000)],
    );
    let goes = plan(&scene, &["inbox", "gc", "--json"]);
    assert_eq!(goes.len(), 1, "{goes:?}");
    assert!(goes[0].ends_with("_a.toml"));
    scene.longhaul(&["inbox", "gc", "--apply"]).expect_code(0);
    let left = names(&scene, "failed");
    assert_eq!(
        left.iter().filter(|n| n.ends_with(".toml")).count(),
        2,
        "{left:?}"
    );
}

#[test]
fn a25_logs_of_ended_tasks_go_and_those_of_live_ones_stay() {
    let scene = scene("");
    let gate = scene.wait_for("never");
    for (name, rest) in [("works", format!("run {gate}")), ("ended", String::new())] {
        let text = format!("run echo heard\n{rest}\nwrite a.txt a\ndone\n");
        write(&part(&scene, "inbox").join(format!("{name}.md")), &text).unwrap();
    }
    let ended = scene.until_state("ended", StateWord::Done);
    let works = scene.until_said("works", "heard");
    let gc = ["pool", "gc", "--json"];
    assert!(wait_until(LIMIT, || plan(&scene, &gc) == ["logs of ended"]));
    let bundle = |task| scene.jobs().join(session_key(task).as_str());
    let log = bundle(&ended).join("out.log");
    assert!(read(&log).contains("heard"));
    scene.longhaul(&["pool", "gc", "--apply"]).expect_code(0);
    assert!(!log.exists());
    assert!(
        bundle(&ended).join("exit.json").exists(),
        "its record stays"
    );
    assert!(read(&bundle(&works).join("out.log")).contains("heard"));
    scene.longhaul(&["logs", "ended"]).expect_code(0);
    scene.longhaul(&["show", "ended"]).expect_code(0);
    assert_eq!(plan(&scene, &gc), [""; 0]);
}
