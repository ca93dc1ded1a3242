//! Inboxes (A20): a file becomes a task once, whatever dies; what is no task goes to `failed` and says why; what an
//! agent could have written is nobody's word.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use longhaul_acts::{CRASH_DIR, CRASH_POINT};
use longhaul_core::task::StateWord;
use longhaul_store::{Reader as _, TaskFilter};
use longhaul_testkit::world::{read, wait_until, write};

use crate::scene::{LIMIT, Scene};

const TASK: &str = "write made.txt made\ndone\n";

/// A scene with an inbox in its repository. No daemon runs yet.
fn scene() -> Scene {
    let scene = Scene::new();
    let project = scene.repo.display();
    scene.config(&format!(
        "default_harness = \"script\"\n[inbox.p]\nproject = \"{project}\""
    ));
    scene
}

fn part(scene: &Scene, name: &str) -> PathBuf {
    scene.repo.join(".agent-queue").join(name)
}

/// Starts the daemon and waits until it has made the folders.
#[track_caller]
fn watch(scene: &Scene) {
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let made = || part(scene, "failed").is_dir() && part(scene, "inbox").is_dir();
    assert!(wait_until(LIMIT, made), "{}", scene.daemon_log());
}

/// Puts a file in that was finished long ago: written elsewhere, renamed into the inbox.
fn put(scene: &Scene, name: &str, text: &str) {
    let beside = scene.world.path("finished");
    write(&beside, text).unwrap();
    let file = OpenOptions::new().append(true).open(&beside).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    drop(file);
    fs::rename(&beside, part(scene, "inbox").join(name)).unwrap();
}

/// Names in one of the folders, without the hidden ones.
fn names(scene: &Scene, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(part(scene, folder)).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|n| !n.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Waits until a folder holds the file that was put in as `own`, and gives its report.
#[track_caller]
fn report(scene: &Scene, folder: &str, own: &str) -> String {
    let ends = format!("_{own}");
    let there = || names(scene, folder).iter().any(|n| n.ends_with(&ends));
    assert!(
        wait_until(LIMIT, there),
        "{own} did not come to {folder}: {:?} {:?}\n{}",
        names(scene, "inbox"),
        names(scene, "accepted"),
        scene.daemon_log()
    );
    let kept = names(scene, folder)
        .into_iter()
        .find(|n| n.ends_with(&ends));
    let report = part(scene, folder).join(format!("{}.report.md", kept.unwrap()));
    assert!(report.is_file(), "{} is missing", report.display());
    read(&report)
}

/// Waits until the daemon has looked into the inbox `n` times: it takes one complete file after the other.
#[track_caller]
fn looks(scene: &Scene, n: usize) {
    for i in 0..n {
        let own = format!("look-{i}-{}.toml", names(scene, "failed").len());
        put(scene, &own, "");
        write(&part(scene, "inbox").join(&own), "x").unwrap();
        report(scene, "failed", &own);
    }
}

fn tasks(scene: &Scene) -> Vec<(String, StateWord)> {
    let filter = TaskFilter {
        limit: 10_000,
        ..TaskFilter::default()
    };
    let listed = scene.reader().unwrap().list(&filter).unwrap();
    let mut all: Vec<_> = listed
        .into_iter()
        .map(|t| (t.task.name, t.task.state.word()))
        .collect();
    all.sort();
    all
}

#[test]
fn a20_a_file_becomes_a_task_and_is_put_away_with_a_report() {
    let scene = scene();
    watch(&scene);
    put(&scene, "Fix it!.md", TASK);
    put(
        &scene,
        "keys.txt",
        &format!(
            "+++\nname = \"other\"\npriority = \"high\"\n[[task.check]]\nname = \"there\"\nrun = \"test -e made.txt\"\n+++\n{TASK}"
        ),
    );
    put(
        &scene,
        "long.md",
        &format!("run {}\ndone\n", scene.wait_for("never")),
    );
    let done = report(&scene, "done", "Fix-it-.md");
    assert!(done.starts_with("# Done: Fix-it\n"), "{done}");
    let id = scene.task("Fix-it").id.to_string();
    assert!(done.contains(&id), "{done}");
    assert!(names(&scene, "done").iter().any(|n| n.starts_with(&id)));
    assert_eq!(scene.on_branch("Fix-it", "made.txt"), "made");
    let done = report(&scene, "done", "keys.txt");
    assert!(done.contains("check there: PASS"), "{done}");
    // A task that has not ended keeps its file in `accepted`; a cancelled one's goes to `failed`.
    scene.until_state("long", StateWord::Running);
    assert_eq!(names(&scene, "accepted").len(), 1);
    let shown = scene
        .longhaul(&["inbox", "status", "--json"])
        .expect_code(0);
    let shown = shown.json()["data"]["inboxes"][0].clone();
    assert_eq!(
        (&shown["accepted"], &shown["done"], &shown["failed"]),
        (&1.into(), &2.into(), &0.into())
    );
    scene.longhaul(&["cancel", "long", "--yes"]).expect_code(0);
    let failed = report(&scene, "failed", "long.md");
    assert!(failed.starts_with("# Cancelled: long\n"), "{failed}");
    for folder in ["inbox", "accepted"] {
        assert_eq!(names(&scene, folder), [""; 0]);
    }
    // Nothing of it is the user's to commit.
    assert_eq!(
        scene.git(&["status", "--porcelain", "--untracked-files=all"]),
        ""
    );
    let none: [(&str, StateWord); 0] = [];
    scene.audit(&none);
}

#[test]
fn a20_a_half_written_file_is_not_taken() {
    let scene = scene();
    watch(&scene);
    let slow = part(&scene, "inbox").join("slow.md");
    let mut writer = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&slow)
        .unwrap();
    std::io::Write::write_all(&mut writer, b"write half.txt half\n").unwrap();
    writer
        .set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
    for name in [".hidden.md", "copy.md~", "more.part", "more.tmp"] {
        write(&part(&scene, "inbox").join(name), TASK).unwrap();
    }
    write(&part(&scene, "inbox").join("empty.md"), "").unwrap();
    looks(&scene, 4);
    assert_eq!(
        names(&scene, "inbox"),
        ["copy.md~", "empty.md", "more.part", "more.tmp", "slow.md"]
    );
    std::io::Write::write_all(&mut writer, b"write whole.txt whole\ndone\n").unwrap();
    drop(writer);
    // A download is done when it gets its name.
    let (from, to) = ("more.part", "more.md");
    fs::rename(
        part(&scene, "inbox").join(from),
        part(&scene, "inbox").join(to),
    )
    .unwrap();
    write(&part(&scene, "inbox").join("empty.md"), TASK).unwrap();
    for own in ["slow.md", "more.md", "empty.md"] {
        report(&scene, "done", own);
    }
    assert_eq!(scene.on_branch("slow", "whole.txt"), "whole");
    assert_eq!(tasks(&scene).len(), 3);
}

#[test]
fn a20_what_is_no_task_goes_to_failed_and_says_why() {
    let scene = scene();
    watch(&scene);
    let inbox = part(&scene, "inbox");
    let secret = scene.world.path("secret");
    write(&secret, TASK).unwrap();
    symlink(&secret, inbox.join("link.md")).unwrap();
    let pipe = inbox.join("pipe.md");
    let mut mkfifo = scene.world.command("mkfifo");
    scene
        .world
        .run_within(LIMIT, {
            mkfifo.arg(&pipe);
            mkfifo
        })
        .expect_code(0);
    let socket = UnixListener::bind(inbox.join("socket.md")).unwrap();
    fs::create_dir(inbox.join("folder")).unwrap();
    put(&scene, "yaml.md", "---\nname: x\n---\nDo it.\n");
    put(&scene, "bad.md", "+++\nprioritty = \"high\"\n+++\nDo it.\n");
    put(
        &scene,
        "bypass.md",
        &format!("+++\npermission = \"bypass\"\n+++\n{TASK}"),
    );
    put(
        &scene,
        "elsewhere.md",
        &format!("+++\nrepo = \"/tmp\"\n+++\n{TASK}"),
    );
    put(
        &scene,
        "tasks.toml",
        "[[task]]\nname = \"x\"\nprompt = \"y\"\n",
    );
    put(
        &scene,
        "waits.md",
        &format!("+++\ndepends_on = [\"nobody\"]\n+++\n{TASK}"),
    );
    fs::write(inbox.join("latin.md"), b"caf\xe9 au lait").unwrap();
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe\n.md");
    fs::write(inbox.join(odd), b"\xff").unwrap();
    let huge = fs::File::create(inbox.join("huge.md")).unwrap();
    huge.set_len(9 << 20).unwrap();
    drop(huge);
    for (own, why) in [
        ("link.md", "a link"),
        ("pipe.md", "a pipe"),
        ("socket.md", "a socket"),
        ("yaml.md", "YAML"),
        ("bad.md", "did you mean `priority`"),
        ("bypass.md", "longhaul trust"),
        ("elsewhere.md", "`repo` may not stand here"),
        ("tasks.toml", "longhaul run"),
        ("waits.md", "nobody"),
        ("latin.md", "UTF-8"),
        ("---.md", "UTF-8"),
        ("huge.md", "larger than"),
    ] {
        let report = report(&scene, "failed", own);
        assert!(report.contains(why), "{own}: {report}");
        assert!(report.starts_with("# Not taken: "), "{report}");
    }
    drop(socket);
    assert_eq!(
        read(&secret),
        TASK,
        "the link was moved, not what it leads to"
    );
    assert_eq!(names(&scene, "inbox"), ["folder"]);
    assert_eq!(tasks(&scene), []);
    let status = scene.longhaul(&["status"]).expect_code(0).stdout;
    assert!(status.contains("inbox p: 12 refused or failed"), "{status}");
    // Put right and put back, under the name that it had.
    let bad = names(&scene, "failed")
        .into_iter()
        .find(|n| n.ends_with("_bad.md"));
    let bad = part(&scene, "failed").join(bad.unwrap());
    write(&bad, TASK).unwrap();
    fs::rename(&bad, inbox.join(bad.file_name().unwrap())).unwrap();
    report(&scene, "done", "bad.md");
    assert_eq!(tasks(&scene), [("bad".to_owned(), StateWord::Done)]);
}

#[test]
fn a20_folders_that_others_may_write_or_that_are_gone() {
    let scene = scene();
    watch(&scene);
    let inbox = part(&scene, "inbox");
    let open_to = |mode| fs::set_permissions(&inbox, fs::Permissions::from_mode(mode)).unwrap();
    open_to(0o777);
    put(&scene, "one.md", TASK);
    let told = || {
        scene
            .daemon_log()
            .contains("others than you may write into")
    };
    assert!(wait_until(LIMIT, told), "{}", scene.daemon_log());
    let status = scene.longhaul(&["inbox", "status"]).expect_code(0).stdout;
    assert!(status.contains("chmod go-w"), "{status}");
    let doctor = scene.longhaul(&["doctor"]).stdout;
    assert!(
        doctor.contains("others than you may write into"),
        "{doctor}"
    );
    assert_eq!(names(&scene, "inbox"), ["one.md"]);
    open_to(0o700);
    report(&scene, "done", "one.md");
    // Removed while it is watched: made again.
    fs::remove_dir_all(scene.repo.join(".agent-queue")).unwrap();
    assert!(wait_until(LIMIT, || inbox.is_dir()));
    assert!(wait_until(LIMIT, || part(&scene, "failed").is_dir()));
    put(&scene, "two.md", TASK);
    report(&scene, "done", "two.md");
    // A link in its place is never followed.
    fs::remove_dir_all(scene.repo.join(".agent-queue")).unwrap();
    let elsewhere = scene.world.path("elsewhere");
    fs::create_dir_all(elsewhere.join("inbox")).unwrap();
    write(&elsewhere.join("inbox/three.md"), TASK).unwrap();
    symlink(&elsewhere, scene.repo.join(".agent-queue")).unwrap();
    let told = || scene.daemon_log().contains("is a link, or no folder");
    assert!(wait_until(LIMIT, told), "{}", scene.daemon_log());
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    assert_eq!(tasks(&scene).len(), 2);
}

#[test]
fn a20_i17_what_git_keeps_in_an_inbox_is_nobodys_word() {
    let scene = scene();
    let inbox = part(&scene, "inbox");
    write(&inbox.join("planted.md"), TASK).unwrap();
    for folder in [".agent-queue", ".agent-queue/inbox"] {
        let own = fs::Permissions::from_mode(0o700);
        fs::set_permissions(scene.repo.join(folder), own).unwrap();
    }
    scene.git(&["add", "--force", ".agent-queue/inbox/planted.md"]);
    scene.git(&["commit", "-q", "-m", "plant"]);
    watch(&scene);
    let told = || {
        scene
            .daemon_log()
            .contains("git keeps files of .agent-queue")
    };
    assert!(wait_until(LIMIT, told), "{}", scene.daemon_log());
    assert_eq!(names(&scene, "inbox"), ["planted.md"]);
    // Out of the index is not enough: a checkout would bring it back.
    scene.git(&["rm", "-q", "--cached", ".agent-queue/inbox/planted.md"]);
    let status = scene.longhaul(&["inbox", "status"]).expect_code(0).stdout;
    assert!(status.contains("git rm -r --cached"), "{status}");
    assert_eq!(tasks(&scene), []);
    scene.git(&["commit", "-q", "-m", "take it out"]);
    report(&scene, "done", "planted.md");
    // Where git does not answer nobody knows.
    let config = scene.repo.join(".git/config");
    let sound = read(&config);
    write(&config, "[broken").unwrap();
    put(&scene, "later.md", TASK);
    let told = || {
        scene
            .daemon_log()
            .contains("git rev-parse --git-path index.lock failed")
    };
    assert!(wait_until(LIMIT, told), "{}", scene.daemon_log());
    assert_eq!(names(&scene, "inbox"), ["later.md"]);
    write(&config, &sound).unwrap();
    report(&scene, "done", "later.md");
}

#[test]
fn a20_i17_what_a_session_in_place_could_have_written_is_nobodys_word() {
    let mut scene = scene();
    watch(&scene);
    let (gate, repo) = (scene.wait_for("go"), scene.repo.display().to_string());
    scene.tasks(&format!(
        "[[task]]\nname = \"in-place\"\nworkspace = \"in-place\"\nrepo = \"{repo}\"\nprompt = '''\nrun printf 'write evil.txt x\\ndone\\n' > .agent-queue/inbox/evil.md\nrun {gate}\nwrite made.txt x\ndone\n'''\n"
    ));
    scene.start();
    let evil = part(&scene, "inbox").join("evil.md");
    assert!(
        wait_until(LIMIT, || evil.exists()),
        "{}",
        scene.daemon_log()
    );
    let held = || {
        scene
            .daemon_log()
            .contains("is at work in the project's own folder")
    };
    assert!(wait_until(LIMIT, held), "{}", scene.daemon_log());
    scene.open("go");
    scene.until_state("in-place", StateWord::Done);
    let why = report(&scene, "failed", "evil.md");
    assert!(why.contains("task `in-place` was at work"), "{why}");
    // A person's word, afterwards.
    put(&scene, "mine.md", TASK);
    report(&scene, "done", "mine.md");
    assert_eq!(tasks(&scene).len(), 2);
}

#[test]
fn a20_many_files_are_as_many_tasks() {
    let scene = scene();
    watch(&scene);
    scene.longhaul(&["drain"]).expect_code(0);
    for i in 0..250 {
        put(&scene, &format!("many-{i}.md"), TASK);
    }
    let all = || tasks(&scene).len() >= 250;
    assert!(wait_until(LIMIT, all), "{}", scene.daemon_log());
    assert_eq!(names(&scene, "accepted").len(), 250);
    assert_eq!(names(&scene, "inbox"), [""; 0]);
    looks(&scene, 1);
    let found = tasks(&scene);
    assert_eq!(found.len(), 250);
    let mut distinct: Vec<_> = found.into_iter().map(|t| t.0).collect();
    distinct.dedup();
    assert_eq!(distinct.len(), 250);
}

/// Every label of the inbox's acts, and those of the store around which a task is handed in.
fn points() -> Vec<String> {
    let registry = include_str!("../../../acts/points.txt");
    let labels = registry
        .lines()
        .filter(|l| l.starts_with("inbox.") && !l.starts_with("inbox.tidy."));
    let labels = labels.map(|l| l.split_whitespace().next().unwrap());
    let mut points: Vec<String> = labels.map(|l| format!("{l}.before")).collect();
    points.extend(
        [
            "store.commit.before",
            "store.commit.after",
            "engine.answer.before",
        ]
        .map(str::to_owned),
    );
    points
}

#[test]
fn a20_a_kill_at_any_step_neither_loses_nor_doubles_a_task() {
    let scene = scene();
    watch(&scene);
    scene.longhaul(&["daemon", "stop"]).expect_code(0);
    let folder = scene.world.path("points");
    let mut wanted = Vec::new();
    let mut died = 0;
    for (round, point) in points().iter().enumerate() {
        for n in 1..=3 {
            let name = format!("r{round}-{n}");
            let (good, bad) = (format!("{name}.md"), format!("{name}-bad.md"));
            put(&scene, &good, TASK);
            put(&scene, &bad, "+++\nno = 1\n+++\nx\n");
            // Folders are made once, so their points are passed where one is missing.
            if point.contains("folder") || point.contains("put") {
                let queue = scene.repo.join(".agent-queue");
                fs::remove_file(queue.join(".gitignore")).unwrap();
                fs::rename(queue.join("done"), scene.world.path(format!("done-{name}"))).unwrap();
            }
            remove_folder(&folder);
            fs::create_dir(&folder).unwrap();
            let mut start = scene.world.longhaul_in(&scene.repo, ["daemon", "start"]);
            start.env(CRASH_DIR, &folder);
            start.env(CRASH_POINT, format!("{point}:{n}"));
            // It may die before it answers.
            let _started = scene.world.run_within(LIMIT, start);
            let away = || {
                let there = |f: &str, own: &str| {
                    names(&scene, f)
                        .iter()
                        .any(|k| k.ends_with(&format!("_{own}")))
                };
                there("done", &good) && there("failed", &bad)
            };
            let mut dead = false;
            let ended = wait_until(LIMIT, || {
                dead = scene.daemon().is_none();
                dead || away()
            });
            assert!(ended, "{point}:{n}\n{}", scene.daemon_log());
            if dead {
                died += 1;
                scene.longhaul(&["daemon", "start"]).expect_code(0);
            }
            assert!(
                wait_until(LIMIT, away),
                "{point}:{n}\n{}",
                scene.daemon_log()
            );
            report(&scene, "done", &good);
            report(&scene, "failed", &bad);
            // It may die of its very answer.
            let _stopped = scene.longhaul(&["daemon", "stop"]);
            assert!(wait_until(LIMIT, || scene.daemon().is_none()));
            assert_eq!(names(&scene, "inbox"), [""; 0], "{point}:{n}");
            assert_eq!(names(&scene, "accepted"), [""; 0], "{point}:{n}");
            wanted.push((name, StateWord::Done));
            // One file of a report for each file: none is left of an act that was cut short.
            for f in ["done", "failed"] {
                let (reports, files): (Vec<_>, Vec<_>) = names(&scene, f)
                    .into_iter()
                    .partition(|n| n.ends_with(".report.md"));
                assert_eq!(
                    reports.len(),
                    files.len(),
                    "{point}:{n} {f}: {reports:?} {files:?}"
                );
            }
            if !dead {
                break;
            }
        }
    }
    wanted.sort();
    assert_eq!(tasks(&scene), wanted, "each file is one task");
    assert!(died >= points().len(), "only {died} kills");
}

fn remove_folder(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
}
