//! Too little disk: the floor below which nothing starts, and a disk that is really full (T20).

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{World, append, wait_until};

use crate::scene::{LIMIT, START, Scene};

#[test]
fn t20_below_the_floor_nothing_starts_and_it_is_said() {
    let mut scene = Scene::with("min_free = \"900000GiB\"");
    scene.tasks("[[task]]\nname = \"waits\"\nprompt = '''\nwrite a.txt a\ndone\n'''\n");
    scene.start();
    let said = wait_until(LIMIT, || {
        scene.show("waits")["task"]["line"]
            .as_str()
            .is_some_and(|line| line.contains("min_free"))
    });
    assert!(said, "{}", scene.show("waits"));
    let status = scene.longhaul(&["status"]).expect_code(0);
    assert!(status.stdout.contains("min_free"), "{}", status.stdout);
    assert_eq!(scene.task("waits").tally.attempts, 0);
    let log = scene.daemon_log();
    assert_eq!(log.matches("nothing new starts").count(), 1, "{log}");
    scene.config("");
    scene.longhaul(&["daemon", "restart"]).expect_code(0);
    scene.until_state("waits", StateWord::Done);
    scene.audit(&[("waits", StateWord::Done)]);
}

/// A small file system of its own, gone with its owner.
struct Disk {
    at: PathBuf,
}

impl Disk {
    fn mount(at: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let done = std::process::Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={bytes},mode=0700"),
                "tmpfs",
            ])
            .arg(at)
            .status();
        done.is_ok_and(|s| s.success())
            .then(|| Self { at: at.to_owned() })
    }

    /// Fills it to the last block; gives the file that does it.
    fn fill(&self) -> PathBuf {
        let path = self.at.join("ballast");
        let mut file = File::create(&path).unwrap();
        for size in [1 << 20, 64 << 10, 4 << 10, 1] {
            let block = vec![b'x'; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever is still in it goes with the world.
        let done = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.at)
            .status();
        assert!(done.is_ok_and(|s| s.success()) || std::thread::panicking());
    }
}

#[test]
fn t20_a_full_disk_corrupts_nothing_and_the_work_goes_on_when_there_is_room() {
    let mut world = World::new(env!("CARGO_BIN_EXE_longhaul")).unwrap();
    let state = world.path("disk");
    let Some(disk) = Disk::mount(&state, 96 << 20) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "cannot mount a small file system"
        );
        eprintln!("SKIPPED: a small file system cannot be mounted here (not root?)");
        return;
    };
    world.set_env("XDG_STATE_HOME", &state);
    std::fs::remove_dir(world.path("state")).unwrap();
    std::os::unix::fs::symlink(&state, world.path("state")).unwrap();
    let mut scene = Scene::around(world, "min_free = \"1KiB\"");
    let gate = scene.wait_for("go");
    scene.tasks(&format!(
        "[[task]]\nname = \"caught\"\nprompt = '''\n{START}\nsay begun\nrun {gate}\nsay after\nwrite a.txt a\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e a.txt\"\n\n\
         [[task]]\nname = \"before\"\nprompt = '''\n{START}\nwrite b.txt b\ndone\n'''\n"
    ));
    scene.start();
    scene.until_said("caught", "begun");
    scene.until_state("before", StateWord::Done);
    let ballast = disk.fill();
    let refused = scene.longhaul(&[
        "add",
        "--name",
        "late",
        "--harness",
        "script",
        "--prompt",
        "write l.txt l",
    ]);
    assert_ne!(refused.code(), 0, "{refused:?}");
    let said = format!("{}{}", refused.stdout, refused.stderr).to_lowercase();
    assert!(said.contains("room"), "{said}");
    scene.open("go");
    // Reading goes on while nothing can be written.
    scene.longhaul(&["ls"]).expect_code(0);
    let told = wait_until(LIMIT, || {
        let status = scene.longhaul(&["status"]);
        let text = format!("{}{}", status.stdout, status.stderr).to_lowercase();
        text.contains("room")
    });
    assert!(told, "{}", scene.longhaul(&["status"]).stdout);
    std::fs::remove_file(ballast).unwrap();
    scene.until_state("caught", StateWord::Done);
    let added = wait_until(LIMIT, || {
        scene
            .longhaul(&[
                "add",
                "--name",
                "later",
                "--harness",
                "script",
                "--prompt",
                "write l.txt l",
            ])
            .code()
            == 0
    });
    assert!(added);
    scene.until_state("later", StateWord::Done);
    append(&scene.world.path("out/end"), "").unwrap();
    scene.audit(&[("caught", StateWord::Done), ("later", StateWord::Done)]);
    drop(scene);
    drop(disk);
}
