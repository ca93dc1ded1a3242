//! Disks that are full, have no inodes left, or cannot be written: in each phase of a task's life.
//! Small file systems are mounted for it, which needs root.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use longhaul_testkit::world::{read, wait_until};

use crate::stage::{Stage, settled};

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

/// A mounted folder; unmounted at the end, lazily.
struct Mount(PathBuf);

impl Mount {
    /// A small file system; `None` (said aloud) where that is not allowed.
    #[expect(clippy::print_stderr, reason = "a skip is loud")]
    fn small(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("{options},mode=0700"),
                "tmpfs",
            ])
            .arg(at)
            .status();
        if done.is_ok_and(|s| s.success()) {
            return Some(Self(at.to_owned()));
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "cannot mount a small file system"
        );
        eprintln!("SKIPPED: a small file system cannot be mounted here (not root?)");
        None
    }

    /// The same folder, which nobody can write to from here on.
    fn frozen(at: &Path) -> Option<Self> {
        let run = |args: &[&str]| {
            let done = Command::new("mount").args(args).arg(at).status();
            done.is_ok_and(|s| s.success())
        };
        if !run(&["--bind", at.to_str().unwrap()]) {
            assert!(std::env::var_os("CI").is_none(), "cannot mount");
            return None;
        }
        let mount = Self(at.to_owned());
        assert!(run(&["-o", "remount,ro,bind"]));
        Some(mount)
    }

    /// Fills it to the last byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 20, 64 << 10, 4 << 10, 1] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|s| s.success()) || std::thread::panicking());
    }
}

#[test]
fn t20_a_daemon_that_starts_on_a_full_disk() {
    let stage = Stage::with_tasks(TASK);
    let Some(disk) = Mount::small(&stage.world.path("state"), "size=64k") else {
        return;
    };
    let ballast = disk.fill();
    stage.tells("disk_full_start", 5, &["run", "--wait"]);
    std::fs::remove_file(ballast).unwrap();
    drop(disk);
    stage.run(["run", "--wait"]).expect_code(0);
    stage.harmless();
}

#[test]
fn t20_a_disk_without_inodes() {
    let stage = Stage::with_tasks(TASK);
    stage.quick();
    let Some(disk) = Mount::small(&stage.world.path("state"), "size=64M,nr_inodes=12") else {
        return;
    };
    let ran = stage
        .world
        .run_within(settled(), stage.command(&["run", "--wait"]));
    assert!(matches!(ran.code(), 3 | 5), "{}", ran.stderr);
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        said.contains("No space left") && said.contains("make room"),
        "{said}"
    );
    stage.ledgers_are_sound();
    drop(stage.run(["daemon", "stop"]));
    stage.quiet();
    drop(disk);
}

/// Runs the task while this folder of the state lies on a disk of its own that is full; makes room, and
/// the task comes to its end.
fn full_below(folder: &str, task: &str, name: &str) {
    let stage = Stage::with_tasks(task);
    stage
        .config("min_free = \"1KiB\"\n[retry]\nbackoff_min = \"100ms\"\nbackoff_max = \"200ms\"\n");
    stage.run(["daemon", "start"]).expect_code(0);
    let Some(disk) = Mount::small(&stage.world.state().join(folder), "size=256k") else {
        return;
    };
    let ballast = disk.fill();
    let ran = stage.run(["run", "--wait"]);
    assert_eq!(ran.code(), 3, "{name}: {}{}", ran.stdout, ran.stderr);
    let shown = stage.run(["show", "a"]).expect_code(0);
    assert!(
        shown.stdout.contains("No space left"),
        "{name}: {}",
        shown.stdout
    );
    std::fs::remove_file(ballast).unwrap();
    stage.run(["retry", "a"]).expect_code(0);
    let done = wait_until(settled(), || {
        let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
        shown["data"]["task"]["state"] == "done"
    });
    assert!(done, "{name}: {}", stage.run(["show", "a"]).stdout);
    drop(stage.run(["daemon", "stop"]));
    stage.harmless();
    drop(disk);
}

#[test]
fn t20_no_room_for_a_workspace() {
    full_below("workspaces", TASK, "workspace");
}

#[test]
fn t20_no_room_for_the_jobs() {
    full_below("jobs", TASK, "launch");
}

#[test]
fn t20_a_setup_waits_for_room() {
    let stage = Stage::with_tasks(format!("{TASK}setup = \"true\"\n"));
    stage.quick();
    stage.run(["daemon", "start"]).expect_code(0);
    let Some(disk) = Mount::small(&stage.world.state().join("jobs"), "size=256k") else {
        return;
    };
    let ballast = disk.fill();
    stage.run(["run", "--detach"]).expect_code(0);
    let log = stage.world.state().join("daemon.log");
    assert!(
        wait_until(settled(), || read(&log).contains("a full disk")),
        "{}",
        read(&log)
    );
    std::fs::remove_file(ballast).unwrap();
    comes_to_rest(&stage, &["done"]);
    drop(stage.run(["daemon", "stop"]));
    stage.harmless();
    drop(disk);
}

#[track_caller]
fn comes_to_rest(stage: &Stage, states: &[&str]) {
    let mut last = String::new();
    let rests = wait_until(settled(), || {
        let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
        last = shown["data"]["task"].to_string();
        shown["data"]["task"]["state"]
            .as_str()
            .is_some_and(|s| states.contains(&s))
    });
    assert!(
        rests,
        "{last}\n{}",
        read(&stage.world.state().join("daemon.log"))
    );
}

#[test]
fn t20_no_room_for_the_output_of_a_session() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nharness = \"script\"\nmax_retries = 0\nmax_restarts = 1\nprompt = '''\nwrite a.txt x\nflood 6M\ndone\n'''\n",
    );
    stage
        .config("min_free = \"1KiB\"\n[retry]\nbackoff_min = \"100ms\"\nbackoff_max = \"200ms\"\n");
    let Some(disk) = Mount::small(&stage.world.state().join("jobs"), "size=2M") else {
        return;
    };
    let ran = stage.run(["run", "--wait"]);
    // What it said at its end is lost, so it may well be that nobody knows that it was done.
    assert!(matches!(ran.code(), 0 | 3), "{}{}", ran.stdout, ran.stderr);
    let diff = stage.run(["workspace", "diff", "a"]).expect_code(0);
    assert!(
        diff.stdout.contains("a.txt"),
        "the work is kept: {}",
        diff.stdout
    );
    stage.run(["logs", "a"]).expect_code(0);
    drop(stage.run(["daemon", "stop"]));
    stage.harmless();
    drop(disk);
}

#[test]
fn t20_no_room_for_the_objects_of_the_repository() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nharness = \"script\"\nprompt = '''\nrun head -c 300000 /dev/urandom > big.bin\nwrite a.txt x\ndone\n'''\n",
    );
    stage
        .config("min_free = \"1KiB\"\n[retry]\nbackoff_min = \"100ms\"\nbackoff_max = \"200ms\"\n");
    stage.git(&["gc", "-q"]);
    let objects = stage.repo.join(".git/objects");
    let kept = stage.world.path("objects");
    std::fs::rename(&objects, &kept).unwrap();
    let Some(disk) = Mount::small(&objects, "size=400k") else {
        std::fs::remove_dir(&objects).unwrap();
        std::fs::rename(&kept, &objects).unwrap();
        return;
    };
    for part in ["pack", "info"] {
        std::fs::create_dir(objects.join(part)).unwrap();
    }
    for entry in std::fs::read_dir(kept.join("pack")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), objects.join("pack").join(entry.file_name())).unwrap();
    }
    let ballast = objects.join("ballast");
    std::fs::write(&ballast, vec![b'x'; 200 << 10]).unwrap();
    stage.run(["run", "--detach"]).expect_code(0);
    let log = stage.world.state().join("daemon.log");
    assert!(
        wait_until(settled(), || read(&log).contains("No space left")),
        "{}",
        read(&log)
    );
    stage.git(&["fsck", "--full", "--strict", "--no-dangling"]);
    let path = stage.run(["workspace", "path", "a"]).expect_code(0);
    assert!(
        Path::new(path.stdout.trim()).join("big.bin").exists(),
        "the work is kept"
    );
    std::fs::remove_file(&ballast).unwrap();
    // What waits for room goes on by itself; what gave up is asked for again.
    comes_to_rest(&stage, &["done", "needs_human"]);
    stage.git(&["fsck", "--full", "--strict", "--no-dangling"]);
    stage.harmless();
    drop(disk);
}

#[test]
fn a_report_on_a_full_disk() {
    let stage = Stage::with_tasks(TASK);
    stage.run(["run", "--wait"]).expect_code(0);
    let Some(disk) = Mount::small(&stage.world.path("full"), "size=16k") else {
        return;
    };
    let ballast = disk.fill();
    let page = stage.world.path("full/morning.html");
    let ran = stage.run(["report", "--html", page.to_str().unwrap()]);
    assert_eq!(ran.code(), 1, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.contains("No space left") && ran.stderr.contains("morning.html"),
        "{}",
        ran.stderr
    );
    assert!(!read(&page).contains("<html"), "half a page is left");
    std::fs::remove_file(ballast).unwrap();
    stage
        .run(["report", "--html", page.to_str().unwrap()])
        .expect_code(0);
    stage.harmless();
}

#[test]
fn a_state_folder_that_cannot_be_written() {
    let stage = Stage::with_tasks(TASK);
    stage.run(["run", "--wait"]).expect_code(0);
    stage.run(["daemon", "stop"]).expect_code(0);
    let Some(frozen) = Mount::frozen(&stage.world.path("state")) else {
        return;
    };
    for args in [
        &["ls"][..],
        &["show", "a"],
        &["logs", "a"],
        &["report"],
        &["status"],
    ] {
        stage.run(args).expect_code(0);
    }
    stage.tells("state_read_only", 1, &["run", "--again"]);
    stage.tells("state_read_only_cancel", 1, &["cancel", "a", "--yes"]);
    drop(frozen);
    stage.harmless();
}

#[test]
fn git_made_read_only_while_a_session_works() {
    let stage = Stage::new();
    let gate = stage.world.path("gate");
    stage.quick();
    stage.write(
        "tasks.toml",
        &format!(
            "[[task]]\nname = \"a\"\nharness = \"script\"\nprompt = '''\nsay begun\nwrite a.txt x\nrun while [ ! -e {} ]; do sleep 0.05; done\ndone\n'''\n",
            gate.display()
        ),
    );
    stage.run(["run", "--detach"]).expect_code(0);
    assert!(wait_until(settled(), || stage
        .run(["logs", "a"])
        .stdout
        .contains("begun")));
    let Some(frozen) = Mount::frozen(&stage.repo.join(".git")) else {
        return;
    };
    std::fs::write(&gate, "").unwrap();
    let ran = stage.run(["run", "--wait"]);
    assert_eq!(ran.code(), 3, "{}{}", ran.stdout, ran.stderr);
    let shown = stage.run(["show", "a"]).expect_code(0);
    assert!(
        shown.stdout.contains("nothing was removed") || shown.stdout.contains("Read-only"),
        "{}",
        shown.stdout
    );
    drop(frozen);
    stage.run(["retry", "a"]).expect_code(0);
    let done = wait_until(settled(), || {
        let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
        shown["data"]["task"]["state"] == "done"
    });
    assert!(done, "{}", stage.run(["show", "a"]).stdout);
    stage.harmless();
}
