//! Worlds: what is in them, and that nothing of them outlives them.

use std::time::Duration;

use longhaul_testkit::world::{
    ProcessIdentity, World, pids_in_locks, processes_mentioning, read, wait_until, write,
};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn the_environment_holds_nothing_of_the_caller_but_path() {
    let world = World::new("/usr/bin/env").unwrap();
    let ran = world.longhaul(&world.home(), ["-0"]).expect_code(0);
    for pair in ran.stdout.split('\0').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        let own = value.contains(world.id())
            || matches!(name, "PATH" | "LANG" | "TZ" | "NO_COLOR" | "PWD")
            || name.starts_with("GIT_");
        assert!(own, "{pair}");
    }
}

#[test]
fn a_repository_is_real_git_of_its_own() {
    let world = World::new("/bin/true").unwrap();
    let repo = world.repo("app").unwrap();
    repo.write("src/a.txt", "one\n").unwrap();
    let commit = repo.commit("Add a");
    assert_eq!(repo.git(["rev-parse", "main"]), commit);
    assert_eq!(repo.git(["log", "-1", "--format=%an"]), "Test Person");
    assert_eq!(repo.git(["status", "--porcelain"]), "");
}

#[test]
fn a_command_that_hangs_is_killed_with_what_it_said() {
    let world = World::new("/bin/sh").unwrap();
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let command = world.longhaul_in(&world.home(), ["-c", "echo so far; exec sleep 60"]);
        world.run_within(Duration::from_millis(300), command)
    }))
    .unwrap_err();
    let text = told.downcast_ref::<String>().unwrap();
    assert!(
        text.contains("did not end") && text.contains("so far"),
        "{text}"
    );
    world.expect_quiet(LIMIT);
}

#[test]
fn the_end_of_a_world_ends_its_stray_processes() {
    let world = World::new("/bin/sh").unwrap();
    let script = "setsid sh -c 'echo $$ > pid; exec env -i HOME=$HOME sleep 60' & exit 0";
    world.longhaul(&world.home(), ["-c", script]).expect_code(0);
    let pid_file = world.home().join("pid");
    assert!(wait_until(LIMIT, || !read(&pid_file).trim().is_empty()));
    let stray = ProcessIdentity::of(read(&pid_file).trim().parse().unwrap()).unwrap();
    assert!(world.processes().contains(&stray) || stray.is_alive());
    let id = world.id().to_owned();
    drop(world);
    assert!(!stray.is_alive());
    assert!(processes_mentioning(&id).is_empty());
}

#[test]
fn a_daemon_is_found_by_its_lock_and_a_stale_lock_harms_nobody() {
    let world = World::new("/bin/sh").unwrap();
    let daemon = world.spawn(world.longhaul_in(&world.home(), ["-c", "exec sleep 60"]));
    let identity = ProcessIdentity::of(daemon.pid()).unwrap();
    let mut stranger = std::process::Command::new("/bin/sleep")
        .arg("60")
        .spawn()
        .unwrap();
    for (name, pid) in [
        ("longhaul.db.lock", daemon.pid()),
        ("old.lock", stranger.id()),
    ] {
        write(&world.state().join(name), &format!("{pid}\n")).unwrap();
    }
    assert_eq!(pids_in_locks(&world.state()).len(), 2);
    drop(world);
    assert!(!identity.is_alive());
    assert!(
        stranger.try_wait().unwrap().is_none(),
        "a stranger was killed"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_linked_fake_agent_is_found_before_any_real_one() {
    let world = World::new("/bin/sh").unwrap();
    let link = world.link_agent("codex", env!("CARGO_BIN_EXE_fake-agent").as_ref());
    assert!(link.unwrap().ends_with("bin/codex"));
    let ran = world
        .longhaul(&world.home(), ["-c", "codex --version"])
        .expect_code(0);
    assert_eq!(ran.stdout, "codex-cli 0.169.0\n");
}
