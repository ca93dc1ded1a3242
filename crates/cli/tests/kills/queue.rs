//! What the verbs of the merge queue do and say, with the real binary and real landings.

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{read, wait_until, write};
use serde_json::Value;

use crate::landing::{INTEGRATION, audit, commit, landed, task};
use crate::scene::{LIMIT, Scene};

/// Text with what differs from run to run taken out: the repository's path, ids, commits and times.
pub(crate) fn told(scene: &Scene, text: &str) -> String {
    let text = text.replace(&scene.repo.display().to_string(), "/repo");
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() || c == '-' || c == ':' && is_time(&word) {
            word.push(c);
            continue;
        }
        out.push_str(&redacted(&word));
        word.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

fn is_time(word: &str) -> bool {
    word.len() >= 2 && word[word.len() - 2..].bytes().all(|b| b.is_ascii_digit())
}

fn redacted(word: &str) -> String {
    let hex = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = |w: &str| w.bytes().all(|b| b.is_ascii_digit());
    let word = word.to_owned();
    if word.len() == 36 && word.split('-').all(hex) {
        "<id>".to_owned()
    } else if matches!(word.len(), 5 | 8) && word.as_bytes()[2] == b':' {
        "<time>".to_owned()
    } else if word.len() == 13 && digits(&word) {
        "<ms>".to_owned()
    } else if hex(&word) && matches!(word.len(), 12 | 40) {
        "<commit>".to_owned()
    } else if hex(&word) && word.len() == 8 {
        "<short>".to_owned()
    } else {
        word
    }
}

fn json(scene: &Scene, args: &[&str]) -> String {
    let value: Value = scene.longhaul(args).expect_code(0).json();
    told(
        scene,
        &serde_json::to_string_pretty(&value["data"]).unwrap(),
    )
}

fn text(scene: &Scene, args: &[&str]) -> String {
    told(scene, &scene.longhaul(args).expect_code(0).stdout)
}

/// Waits until the newest landing has this title.
fn until_landed(scene: &Scene, title: &str) {
    let reached = wait_until(LIMIT, || {
        let queue = scene.longhaul(&["queue", "--json"]).json();
        queue["data"]["lines"][0]["landed"][0]["title"] == title
            && queue["data"]["lines"][0]["stage"] == "rest"
    });
    assert!(reached, "{}", scene.longhaul(&["queue"]).stdout);
}

fn files(scene: &Scene) -> String {
    scene.git(&["ls-tree", "-r", "--name-only", INTEGRATION])
}

#[test]
fn a_landing_is_taken_back_through_the_queue_and_brought_in_again() {
    let mut scene = Scene::new();
    commit(&scene, "f.txt", "base\n", "Have a file");
    let base = scene.git(&["rev-parse", "main"]);
    write(&scene.repo.join("f.txt"), "base\nmy own edit\n").unwrap();
    let sound = "land_check = [\"test -e f.txt\"]";
    let own = "[[task.check]]\nname = \"own\"\nrun = \"true\"\n\n";
    let one = task("one", "write a.txt a\ndone", sound);
    let two = task(
        "two",
        "write b.txt b\ndone",
        &format!("depends_on = [\"one\"]\n{sound}"),
    );
    let more = task(
        "more",
        "run echo more >> b.txt\ndone",
        &format!("depends_on = [\"two\"]\n{sound}"),
    );
    scene.tasks(&format!("{one}{own}{two}{own}{more}{own}"));
    scene.start();
    for name in ["one", "two", "more"] {
        landed(&scene, name);
    }
    until_landed(&scene, "more");

    // What never landed, or has something built on it, is refused with the reason; nothing is queued.
    let refused = scene.longhaul(&["queue", "undo", "two"]).expect_code(7);
    assert!(
        refused.stderr.contains("b.txt (content)")
            || refused.stderr.contains("b.txt (modify/delete)"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("what landed later builds on it"),
        "{}",
        refused.stderr
    );
    scene.longhaul(&["queue", "undo", "nobody"]).expect_code(6);
    assert_eq!(files(&scene), "README.md\na.txt\nb.txt\nf.txt");

    // A paused queue shows it waiting, like any entry.
    scene.longhaul(&["queue", "pause"]).expect_code(0);
    insta::assert_snapshot!("undo_said", text(&scene, &["queue", "undo", "one"]));
    insta::assert_snapshot!("undo_waits", text(&scene, &["queue"]));
    insta::assert_snapshot!("undo_waits_json", json(&scene, &["queue", "--json"]));
    let again = scene.longhaul(&["queue", "undo", "one"]).expect_code(0);
    assert!(
        again.stdout.contains("it is in the queue"),
        "{}",
        again.stdout
    );
    scene.longhaul(&["queue", "resume"]).expect_code(0);
    until_landed(&scene, "undo of one");
    assert_eq!(
        files(&scene),
        "README.md\nb.txt\nf.txt",
        "only its own change went"
    );
    insta::assert_snapshot!("undo_landed", text(&scene, &["queue"]));
    insta::assert_snapshot!(
        "undo_explained",
        text(&scene, &["queue", "explain", "undo of one"])
    );
    insta::assert_snapshot!(
        "undo_json",
        json(&scene, &["queue", "undo", "more", "--json"])
    );
    until_landed(&scene, "undo of more");
    assert_eq!(scene.git(&["show", &format!("{INTEGRATION}:b.txt")]), "b");

    let twice = scene.longhaul(&["queue", "undo", "one"]).expect_code(7);
    assert!(
        twice.stderr.contains("taken back already"),
        "{}",
        twice.stderr
    );
    scene
        .longhaul(&["queue", "undo", "undo of one"])
        .expect_code(0);
    until_landed(&scene, "redo of one");
    assert_eq!(files(&scene), "README.md\na.txt\nb.txt\nf.txt");

    // A red one does not land, and says what helps.
    scene
        .longhaul(&["queue", "undo", "one", "--check", "test -e a.txt"])
        .expect_code(0);
    let red = || {
        scene
            .longhaul(&["queue"])
            .stdout
            .contains("is red on the merged tree")
    };
    assert!(
        wait_until(LIMIT, red),
        "{}",
        scene.longhaul(&["queue"]).stdout
    );
    insta::assert_snapshot!("undo_red", text(&scene, &["queue"]));
    assert!(files(&scene).contains("a.txt"));
    let report = text(&scene, &["report"]);
    let queue = report.split("Merge queue\n").nth(1).unwrap_or_default();
    insta::assert_snapshot!("report", queue);
    let html = scene.world.path("report.html");
    let html = html.to_str().unwrap();
    scene.longhaul(&["report", "--html", html]).expect_code(0);
    let page = read(std::path::Path::new(html));
    assert!(page.contains("Merge queue") && page.contains("taken back since"));
    assert_eq!(read(&scene.repo.join("f.txt")), "base\nmy own edit\n");
    audit(&scene, &base);
    scene.audit(&[
        ("one", StateWord::Done),
        ("two", StateWord::Done),
        ("more", StateWord::Done),
    ]);
}

/// Loose and packed objects of the user's repository.
fn objects(scene: &Scene) -> String {
    let count = scene.git(&["count-objects", "-v"]);
    let own = |l: &&str| l.starts_with("count:") || l.starts_with("in-pack:");
    count.lines().filter(own).collect()
}

#[test]
fn l10_l13_status_foresees_conflicts_and_writes_nothing_to_the_repository() {
    let mut scene = Scene::new();
    commit(&scene, "f.txt", "base\n", "Have a file");
    commit(&scene, "g.txt", "base\n", "Have another");
    scene.git(&["branch", "empty"]);
    let said = scene.wait_for("go");
    let lands = "land_unverified = true";
    let one = task("one", "write f.txt one\ndone", lands);
    let second = format!("run {}\nwrite f.txt two\ndone", scene.wait_for("one"));
    let two = task("two", &second, lands);
    let done = "[[task]]\nname = \"finished\"\nprompt = \"write g.txt finished\"\n\n";
    let live = format!(
        "[[task]]\nname = \"live\"\nprompt = '''\nwrite g.txt live\nrun git commit -qam live\nrun {said}\ndone\n'''\n\n"
    );
    // There is a line before there is work, so that it can be paused.
    scene.tasks(&format!("{one}{two}{done}{live}"));
    scene
        .longhaul(&["queue", "add", "empty", "--branch", "--unverified"])
        .expect_code(0);
    scene.longhaul(&["queue", "pause"]).expect_code(0);
    scene.start();
    let entries = |n: usize| {
        let queue = scene
            .longhaul(&["queue", "status", "--brief", "--json"])
            .json();
        let entries = queue["data"]["lines"][0]["entries"]
            .as_array()
            .map(Vec::len);
        entries == Some(n)
    };
    assert!(wait_until(LIMIT, || entries(1)));
    scene.open("one");
    assert!(wait_until(LIMIT, || entries(2)));
    scene.until_state("finished", StateWord::Done);
    let committed = || {
        let branch = scene
            .try_task("live")
            .and_then(|t| t.carry.workspace?.branch);
        branch.is_some_and(|b| scene.git(&["log", "-1", "--format=%s", &b]) == "live")
    };
    assert!(wait_until(LIMIT, committed));

    let before = objects(&scene);
    insta::assert_snapshot!("forecast", text(&scene, &["queue", "status"]));
    insta::assert_snapshot!(
        "forecast_json",
        json(&scene, &["queue", "status", "--json"])
    );
    insta::assert_snapshot!("brief", text(&scene, &["queue", "status", "--brief"]));
    assert_eq!(
        objects(&scene),
        before,
        "prediction wrote to the repository"
    );
    // Without a daemon the same is told, and nothing of it stays.
    let with = scene.longhaul(&["queue"]).stdout;
    scene.longhaul(&["daemon", "stop"]).expect_code(0);
    assert_eq!(scene.longhaul(&["queue"]).expect_code(0).stdout, with);
    assert_eq!(objects(&scene), before);
    scene.open("go");
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    scene.until_state("live", StateWord::Done);
}

#[test]
fn l16_what_has_landed_is_pushed_with_what_others_pushed_merged_and_checked() {
    let mut scene = Scene::with("queue.push = true");
    commit(&scene, "f.txt", "base\n", "Have a file");
    let base = scene.git(&["rev-parse", "main"]);
    let (bare, others) = (scene.world.path("bare"), scene.world.path("others"));
    let folders = [&bare, &others].map(|f| f.to_str().unwrap().to_owned());
    scene.git(&["clone", "-q", "--bare", ".", &folders[0]]);
    scene.git(&["clone", "-q", &folders[0], &folders[1]]);
    scene.git(&["remote", "add", "origin", &folders[0]]);
    let check = format!("land_check = [\"test -e f.txt; {}\"]", scene.wait_for("go"));
    let own = "[[task.check]]\nname = \"own\"\nrun = \"true\"\n\n";
    let work = task("work", "write a.txt a\ndone", &check);
    scene.tasks(&format!("{work}{own}"));
    let there = |args: &[&str]| crate::scene::git(&scene.world, &bare, args);
    scene.start();
    scene.until_state("work", StateWord::Landing);
    // Others push while its merged tree is checked.
    write(&others.join("theirs.txt"), "theirs\n").unwrap();
    let other = |args: &[&str]| crate::scene::git(&scene.world, &others, args);
    other(&["add", "theirs.txt"]);
    other(&["commit", "-qm", "Theirs"]);
    other(&["push", "-q", "origin", "HEAD:main"]);
    scene.open("go");
    landed(&scene, "work");
    let pushed = || {
        let files = there(&["ls-tree", "--name-only", "main"]);
        files.contains("a.txt") && files.contains("theirs.txt")
    };
    assert!(
        wait_until(LIMIT, pushed),
        "{}",
        scene.longhaul(&["queue"]).stdout
    );
    let tip = scene.git(&["rev-parse", INTEGRATION]);
    assert_eq!(
        there(&["rev-parse", "main"]),
        tip,
        "what was pushed is what landed"
    );
    let parents = there(&["rev-list", "--count", "--merges", "main"]);
    assert_eq!(parents, "2", "the landing, and the merge with theirs");
    assert_eq!(
        scene.git(&["rev-parse", "main"]),
        base,
        "the checkout is the user's"
    );
    audit(&scene, &base);
    scene.audit(&[("work", StateWord::Done)]);
}
