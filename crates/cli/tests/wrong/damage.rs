//! Files of the state folder that were damaged, cut, replaced or taken away: it is said, nothing more is
//! broken, and what can go on goes on.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use longhaul_testkit::world::{ProcessIdentity, read, wait_until, write};

use crate::stage::{Stage, settled};

const TASK: &str = "[[task]]\nname = \"a\"\nprompt = \"write a.txt x\"\nharness = \"script\"\n";

/// A world whose daemon did a task and is gone, and its database.
fn with_database() -> (Stage, PathBuf) {
    let stage = Stage::with_tasks(TASK);
    stage.run(["run", "--wait"]).expect_code(0);
    stage.run(["daemon", "stop"]).expect_code(0);
    let database = stage.world.state().join("longhaul.db");
    (stage, database)
}

/// Reading and starting answer in words, with a code of the table; a daemon that starts also ends.
#[track_caller]
fn answers(stage: &Stage, what: &str) {
    for args in [
        &["ls", "--all"][..],
        &["show", "a"],
        &["report"],
        &["daemon", "start"],
    ] {
        let ran = stage.run(args);
        assert!(
            matches!(ran.code(), 0 | 1 | 5 | 6),
            "{what}: {args:?} ended with {}: {}",
            ran.code(),
            ran.stderr
        );
        assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
        assert!(
            ran.code() == 0 || !ran.stderr.is_empty(),
            "{what}: {args:?} says nothing"
        );
    }
    let ran = stage.run(["daemon", "stop"]);
    assert_eq!(ran.code(), 0, "{what}: {}", ran.stderr);
    let log = read(&stage.world.state().join("daemon.log"));
    assert!(!log.contains("panicked"), "{what}: {log}");
}

fn without_log(database: &Path) {
    for end in ["db-wal", "db-shm"] {
        drop(std::fs::remove_file(database.with_extension(end)));
    }
}

#[test]
fn after_an_end_in_order_one_file_holds_everything() {
    let (stage, database) = with_database();
    without_log(&database);
    let list = stage.run(["ls", "--all", "--json"]).expect_code(0).json();
    assert_eq!(list["data"]["tasks"][0]["state"], "done");
    stage.harmless();
}

#[test]
fn a_database_damaged_anywhere() {
    let (stage, database) = with_database();
    let good = std::fs::read(&database).unwrap();
    let size = good.len() as u64;
    let mut at = 0;
    while at < size {
        without_log(&database);
        std::fs::write(&database, &good).unwrap();
        let file = OpenOptions::new().write(true).open(&database).unwrap();
        file.write_all_at(&[0xa5; 64], at).unwrap();
        answers(&stage, &format!("64 bytes at {at}"));
        // Denser at the start, then about every third page.
        at = if at < 128 { at + 40 } else { at + 12_500 };
    }
    without_log(&database);
    std::fs::write(&database, &good).unwrap();
    stage.harmless();
}

#[test]
fn a_database_cut_anywhere() {
    let (stage, database) = with_database();
    let good = std::fs::read(&database).unwrap();
    for cut in [1, 50, 100, 4095, 4096, good.len() / 2] {
        without_log(&database);
        std::fs::write(&database, &good[..cut]).unwrap();
        let ran = stage.run(["ls"]);
        assert_ne!(ran.code(), 0, "cut at {cut}: {}", ran.stdout);
        answers(&stage, &format!("cut at {cut}"));
    }
    without_log(&database);
    std::fs::write(&database, &good).unwrap();
    stage.harmless();
}

#[test]
fn i3_an_empty_database_beside_old_jobs_is_no_first_start() {
    let (stage, database) = with_database();
    let good = std::fs::read(&database).unwrap();
    without_log(&database);
    std::fs::write(&database, "").unwrap();
    stage.tells("database_emptied", 5, &["daemon", "start"]);
    std::fs::remove_file(&database).unwrap();
    stage.tells("database_gone", 5, &["run"]);
    without_log(&database);
    std::fs::write(&database, &good).unwrap();
    stage.run(["show", "a"]).expect_code(0);
    stage.harmless();
}

#[test]
fn a_log_of_the_database_damaged_or_cut_anywhere() {
    let stage = Stage::with_tasks(TASK);
    stage.run(["run", "--wait"]).expect_code(0);
    let state = stage.world.state();
    kill_daemon(&stage);
    let (database, log) = (state.join("longhaul.db"), state.join("longhaul.db-wal"));
    let (good, good_log) = (
        std::fs::read(&database).unwrap(),
        std::fs::read(&log).unwrap(),
    );
    assert!(good_log.len() > 20_000, "{}", good_log.len());
    for n in 0..6 {
        let at = good_log.len() * n / 6;
        for cut in [false, true] {
            without_log(&database);
            std::fs::write(&database, &good).unwrap();
            let mut bytes = good_log.clone();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at..at + 8].copy_from_slice(b"garbage!");
            }
            std::fs::write(&log, &bytes).unwrap();
            // As far as it is whole it counts: the ledger is an older one, and sound.
            answers(&stage, &format!("log at {at}, cut: {cut}"));
            stage.ledgers_are_sound();
        }
    }
    without_log(&database);
    std::fs::write(&database, &good).unwrap();
    std::fs::write(&log, &good_log).unwrap();
    let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
    assert_eq!(shown["data"]["task"]["state"], "done");
    stage.harmless();
}

fn kill_daemon(stage: &Stage) {
    let pid = read(&stage.world.state().join("daemon.lock"));
    let daemon = ProcessIdentity::of(pid.trim().parse().unwrap()).unwrap();
    assert!(daemon.mentions(stage.world.id()));
    daemon.kill();
    assert!(wait_until(settled(), || !daemon.is_alive()));
}

/// Waits until the task is done; tells how often a session began.
#[track_caller]
fn ends_done(stage: &Stage, what: &str) {
    stage.run(["daemon", "start"]).expect_code(0);
    let mut last = String::new();
    let done = wait_until(settled(), || {
        let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
        last = shown["data"]["task"].to_string();
        shown["data"]["task"]["state"] == "done"
    });
    assert!(
        done,
        "{what}: {last}\n{}",
        read(&stage.world.state().join("daemon.log"))
    );
    let path = stage.run(["workspace", "path", "a"]).expect_code(0);
    let starts = read(&Path::new(path.stdout.trim()).join("starts.txt"));
    let mut lines: Vec<&str> = starts.lines().collect();
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), all, "{what}: a session began twice: {starts}");
}

/// A session that waits for a gate; its daemon is killed then.
fn left_alone() -> (Stage, PathBuf, PathBuf) {
    let stage = Stage::new();
    let gate = stage.world.path("gate");
    stage.write(
        "tasks.toml",
        &format!(
            "[[task]]\nname = \"a\"\nharness = \"script\"\nprompt = '''\nrun echo $LONGHAUL_SESSION >> starts.txt\nsay begun\n\
             run while [ ! -e {} ]; do sleep 0.05; done\nwrite a.txt x\ndone\n'''\n[[task.check]]\nrun = \"test -e a.txt\"\n",
            gate.display()
        ),
    );
    stage.run(["run", "--detach"]).expect_code(0);
    assert!(wait_until(settled(), || stage
        .run(["logs", "a"])
        .stdout
        .contains("begun")));
    kill_daemon(&stage);
    let jobs = stage.world.state().join("jobs");
    let job = std::fs::read_dir(jobs)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    (stage, gate, job)
}

/// Ways to spoil a record.
const SPOILT: [(&str, &[u8]); 5] = [
    ("empty", b""),
    ("cut", b"{\"version\":1,\"key\":\"01"),
    ("of another version", b"{\"version\":99}"),
    ("no JSON", b"\x00\xff\xfe garbage \x1b[31m"),
    ("of another kind", b"[1,2,3]"),
];

#[test]
fn t18_exit_records_that_cannot_be_read() {
    for (what, bytes) in SPOILT {
        let (stage, gate, job) = left_alone();
        write(&gate, "").unwrap();
        assert!(wait_until(settled(), || job.join("exit.json").exists()));
        std::fs::write(job.join("exit.json"), bytes).unwrap();
        ends_done(&stage, what);
        stage.harmless();
    }
}

#[test]
fn t18_identity_records_that_cannot_be_read_while_the_session_lives() {
    for (what, bytes) in SPOILT {
        let (stage, gate, job) = left_alone();
        std::fs::write(job.join("identity.json"), bytes).unwrap();
        stage.run(["daemon", "start"]).expect_code(0);
        write(&gate, "").unwrap();
        ends_done(&stage, what);
        stage.harmless();
    }
}

#[test]
fn t18_output_of_a_session_that_was_cut_or_overwritten() {
    for cut in [true, false] {
        let (stage, gate, job) = left_alone();
        write(&gate, "").unwrap();
        assert!(wait_until(settled(), || job.join("exit.json").exists()));
        let file = OpenOptions::new()
            .write(true)
            .open(job.join("out.log"))
            .unwrap();
        if cut {
            file.set_len(30).unwrap();
        } else {
            file.write_all_at(&[0x9b; 4096], 10).unwrap();
        }
        ends_done(&stage, if cut { "cut" } else { "overwritten" });
        stage.run(["logs", "a"]).expect_code(0);
        stage.run(["show", "a"]).expect_code(0);
        stage.harmless();
    }
}

#[test]
fn notes_of_a_task_that_cannot_be_read() {
    for (what, bytes) in SPOILT {
        let (stage, gate, _job) = left_alone();
        let mut spoilt = 0;
        let mut folders = vec![
            stage.world.state().join("tasks"),
            stage.world.state().join("ports"),
        ];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    std::fs::write(entry.path(), bytes).unwrap();
                    spoilt += 1;
                }
            }
        }
        assert!(spoilt > 0, "there are no notes to spoil");
        write(&gate, "").unwrap();
        stage.run(["daemon", "start"]).expect_code(0);
        let mut state = String::new();
        let rests = wait_until(settled(), || {
            let shown = stage.run(["show", "a", "--json"]).expect_code(0).json();
            state = shown["data"]["task"].to_string();
            matches!(
                shown["data"]["task"]["state"].as_str(),
                Some("done" | "needs_human")
            )
        });
        assert!(
            rests,
            "{what}: {state}\n{}",
            read(&stage.world.state().join("daemon.log"))
        );
        stage.harmless();
    }
}

#[test]
fn folders_where_files_should_be_and_files_where_folders_should_be() {
    for (name, folder) in [
        ("daemon.lock", true),
        ("daemon.log", true),
        ("longhaul.db", true),
        ("longhaul.db.lock", true),
        ("jobs", false),
        ("workspaces", false),
        ("tasks", false),
        ("repos", false),
    ] {
        let stage = Stage::with_tasks(TASK);
        stage.quick();
        let path = stage.world.state().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if folder {
            std::fs::create_dir(&path).unwrap();
        } else {
            std::fs::write(&path, "in the way").unwrap();
        }
        let ran = stage
            .world
            .run_within(settled(), stage.command(&["run", "--wait"]));
        assert!(
            matches!(ran.code(), 1 | 2 | 3 | 5),
            "{name}: {} {}",
            ran.code(),
            ran.stderr
        );
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(name), "{name} is not named: {said}");
        drop(stage.run(["daemon", "stop"]));
        if folder {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let ran = stage.run(["run", "--wait", "--again"]);
        assert_eq!(ran.code(), 0, "{name} out of the way: {}", ran.stderr);
        stage.harmless();
    }
}

#[test]
fn sockets_of_the_dead_and_of_others() {
    let stage = Stage::with_tasks(TASK);
    stage.run(["daemon", "start"]).expect_code(0);
    kill_daemon(&stage);
    let base = stage.world.path("run/longhaul");
    let folder = std::fs::read_dir(base)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let socket = folder.join("daemon.sock");
    assert!(socket.exists(), "a killed daemon leaves its socket");
    stage.run(["ls"]).expect_code(0);
    stage.run(["daemon", "start"]).expect_code(0);
    kill_daemon(&stage);
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "no socket").unwrap();
    let ran = stage.run(["daemon", "start"]).expect_code(5);
    assert!(
        ran.stderr
            .contains("daemon.sock is in the way and is no socket"),
        "{}",
        ran.stderr
    );
    assert_eq!(read(&socket), "no socket", "somebody's file is left alone");
    std::fs::remove_file(&socket).unwrap();
    // A lock file that names a live process of somebody else.
    write(&stage.world.state().join("daemon.lock"), "1").unwrap();
    stage.run(["run", "--wait"]).expect_code(0);
    stage.harmless();
}

#[test]
fn a_state_folder_behind_a_link_and_one_that_was_open_to_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::with_tasks(TASK);
    let real = stage.world.path("elsewhere");
    std::fs::create_dir(&real).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(&real, stage.world.state()).unwrap();
    stage.run(["run", "--wait"]).expect_code(0);
    assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(real.join("longhaul.db").exists());
    stage.run(["show", "a"]).expect_code(0);
    stage.harmless();
}
