//! Launchers that die, race, and adopt (I4, T18).

use std::process::Command;

use longhaul_hosts::{
    Authority, BundleState, Frame, Launcher, Liveness, Outcome, job_of, peer_authority,
};

use crate::world::{World, exit_of, identities, shim_exe, wait_for};

#[test]
fn i4_launching_a_key_twice_adopts() {
    let world = World::new();
    let spec = world.sh(
        "k",
        "echo $$ >> $W/pids; while [ ! -e $W/go ]; do sleep 0.01; done",
    );
    let handle = world.live(&spec);
    identities(&world, "pids", 1);
    let again = world.launcher.launch(&spec).unwrap();
    assert!(!again.fresh);
    let BundleState::Live(adopted) = again.state else {
        panic!("not adopted: {again:?}");
    };
    assert_eq!(adopted.identity(), handle.identity());
    std::fs::write(world.path("go"), "").unwrap();
    assert!(exit_of(&adopted).is_zero());
    let third = world.launcher.launch(&spec).unwrap();
    assert!(!third.fresh && matches!(third.state, BundleState::Exited(_)));
    assert_eq!(world.read("pids").unwrap().lines().count(), 1);
}

#[test]
fn i4_parallel_launches_of_a_key_start_one_child() {
    for round in 0..5 {
        let world = World::new();
        let spec = world.sh("k", "echo $$ >> $W/pids; sleep 0.2");
        let jobs = world.jobs();
        let fresh = std::thread::scope(|scope| {
            let launches: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        // Launchers of their own, as if they were different daemons.
                        let launcher = Launcher::new(shim_exe(), &jobs).unwrap();
                        let launched = launcher.launch(&spec).unwrap();
                        wait_for("the shims to end", || {
                            launcher.reap();
                            let state = launcher.bundle(&spec.key).unwrap().survey().unwrap();
                            matches!(state, BundleState::Exited(_)).then_some(())
                        });
                        launched.fresh
                    })
                })
                .collect();
            launches
                .into_iter()
                .map(|launch| launch.join().unwrap())
                .filter(|fresh| *fresh)
                .count()
        });
        assert_eq!(fresh, 1, "round {round}");
        assert_eq!(world.read("pids").unwrap().lines().count(), 1);
    }
}

#[test]
fn i2_a_closed_bundle_starts_nothing_even_if_a_shim_has_its_order_already() {
    use std::io::Write as _;
    let world = World::new();
    let spec = world.sh("k", "echo ran >> $W/ran");
    let bundle = world.bundle("k");
    // Its launcher got as far as starting the shim, which has not taken its lock yet.
    std::fs::create_dir_all(bundle.dir()).unwrap();
    let mut shim = Command::new(shim_exe())
        .arg(longhaul_hosts::SHIM_VERB)
        .arg(bundle.dir())
        .env_clear()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let closed = bundle.close().unwrap();
    assert!(
        matches!(&closed, BundleState::Exited(r) if r.never_ran()),
        "{closed:?}"
    );
    let order = serde_json::to_vec(&spec).unwrap();
    shim.stdin.take().unwrap().write_all(&order).unwrap();
    let code = shim.wait().unwrap().code();
    assert_eq!(code, Some(i32::from(longhaul_hosts::shim::ALREADY_RAN)));
    assert_eq!(world.read("ran"), None);
    // Closing again says the same, and a job that lives is left alone.
    assert!(matches!(bundle.close().unwrap(), BundleState::Exited(_)));
    let live = world.sh(
        "live",
        "while [ ! -e $W/go ]; do sleep 0.01; done; echo ran >> $W/ran",
    );
    let handle = world.live(&live);
    assert!(matches!(
        world.bundle("live").close().unwrap(),
        BundleState::Live(_)
    ));
    std::fs::write(world.path("go"), "").unwrap();
    assert!(exit_of(&handle).is_zero());
    assert!(matches!(
        world.bundle("none").close().unwrap(),
        BundleState::Absent
    ));
}

/// This test's own executable, run again as a launcher that dies: see `launcher_that_dies`.
fn run_dying_launcher(world: &World) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adopt::launcher_that_dies", "--ignored"])
        .env("LH_TEST_JOBS", world.jobs())
        .env(
            "LH_TEST_SPEC",
            serde_json::to_string(&world.sh("k", SCRIPT)).unwrap(),
        )
        .output()
        .unwrap();
    assert!(!status.status.success(), "it should have been killed");
}

const SCRIPT: &str = "echo before; while [ ! -e $W/go ]; do sleep 0.01; done; echo after; exit 4";

#[test]
#[ignore = "not a test: the launcher process of another test, which kills itself"]
fn launcher_that_dies() {
    let (Some(jobs), Ok(spec)) = (
        std::env::var_os("LH_TEST_JOBS"),
        std::env::var("LH_TEST_SPEC"),
    ) else {
        return;
    };
    let launcher = Launcher::new(shim_exe(), jobs.as_ref()).unwrap();
    let launched = launcher
        .launch(&serde_json::from_str(&spec).unwrap())
        .unwrap();
    assert!(matches!(launched.state, BundleState::Live(_)));
    let me = longhaul_hosts::ProcessIdentity::current().unwrap();
    assert_eq!(
        me.signal(longhaul_hosts::Signal::Kill),
        longhaul_hosts::SignalOutcome::Sent
    );
}

#[test]
fn t18_a_job_outlives_its_launcher_and_is_adopted_by_another_process() {
    let world = World::new();
    run_dying_launcher(&world);
    let BundleState::Live(handle) = world.bundle("k").survey().unwrap() else {
        panic!("the job died with its launcher");
    };
    assert_eq!(handle.liveness(), Liveness::Alive);
    let mut watch = handle.watch();
    assert!(matches!(
        watch.next_frame(crate::world::PATIENCE).unwrap(),
        Frame::Grew { .. }
    ));
    std::fs::write(world.path("go"), "").unwrap();
    let record = exit_of(&handle);
    assert_eq!(record.outcome, Outcome::Exited { code: 4 });
    assert_eq!(
        world.output("k", longhaul_hosts::Stream::Out),
        b"before\nafter\n"
    );
}

#[test]
fn a_job_whose_socket_is_gone_can_still_be_watched_and_stopped() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "echo hi; sleep 600"));
    std::fs::remove_file(handle.bundle().dir().join("sock")).unwrap();
    let mut watch = handle.watch();
    assert!(matches!(
        watch.next_frame(crate::world::PATIENCE).unwrap(),
        Frame::Grew { .. }
    ));
    handle.stop(std::time::Duration::from_secs(5)).unwrap();
    assert!(exit_of(&handle).stop_requested);
}

/// A shim may refuse a daemon that has just started, or be too busy: it is not looked at for ever.
#[test]
fn a_watch_without_a_socket_gets_one_when_it_can() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "while [ ! -e $W/go ]; do sleep 0.01; done"));
    let socket = handle.bundle().dir().join("sock");
    let aside = handle.bundle().dir().join("aside");
    std::fs::rename(&socket, &aside).unwrap();
    let mut watch = handle.watch();
    assert!(!watch.is_told());
    std::fs::rename(&aside, &socket).unwrap();
    let look = std::time::Duration::from_millis(100);
    wait_for("the socket to be used", || {
        watch.next_frame(look).unwrap();
        watch.is_told().then_some(())
    });
    std::fs::write(world.path("go"), "").unwrap();
    wait_for("the end to be told", || {
        let frame = watch.next_frame(look).unwrap();
        matches!(frame, Frame::Ended(BundleState::Exited(_))).then_some(())
    });
}

#[test]
fn t30_a_deep_folder_is_no_obstacle_for_the_socket() {
    let world = World::new();
    let jobs = world.jobs().join("x".repeat(100)).join("y".repeat(100));
    let launcher = Launcher::new(shim_exe(), &jobs).unwrap();
    let spec = world.sh("k", "while [ ! -e $W/go ]; do sleep 0.01; done");
    let launched = launcher.launch(&spec).unwrap();
    let BundleState::Live(handle) = launched.state else {
        panic!("not live");
    };
    handle.stop(std::time::Duration::from_secs(5)).unwrap();
    assert!(exit_of(&handle).stop_requested);
}

#[test]
fn no_zombie_shims_stay() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "while [ ! -e $W/go ]; do sleep 0.01; done"));
    let shim = handle.identity().unwrap().shim.clone();
    std::fs::write(world.path("go"), "").unwrap();
    exit_of(&handle);
    wait_for("the shim to be reaped", || {
        world.launcher.reap();
        longhaul_hosts::ProcessIdentity::of(shim.pid)
            .is_err()
            .then_some(())
    });
}

#[test]
fn i17_authority_follows_the_process() {
    let world = World::new();
    let spec = world.sh(
        "k",
        "setsid sh -c 'echo $$ >> $W/pids; sleep 600' & \
        env -i sh -c 'echo $$ >> '$W'/pids; sleep 600; :' & wait",
    );
    let handle = world.live(&spec);
    let session = Authority::Session {
        key: spec.key.clone(),
    };
    let jobs = world.jobs();
    let elsewhere = tempfile::tempdir().unwrap();
    for process in identities(&world, "pids", 2) {
        assert_eq!(peer_authority(process.pid), session);
        let key = job_of(process.pid, &jobs).unwrap();
        assert_eq!(key.as_deref(), Some(spec.key.as_str()));
        // Another supervisor's.
        assert_eq!(job_of(process.pid, elsewhere.path()).unwrap(), None);
    }
    assert_eq!(job_of(std::process::id(), &jobs).unwrap(), None);
    let identity = handle.identity().unwrap();
    assert_eq!(peer_authority(identity.child.pid), session);
    assert_eq!(peer_authority(identity.shim.pid), session);
    // Ourselves, our parent, an ordinary child of ours, and nobody.
    assert_eq!(peer_authority(std::process::id()), Authority::Person);
    assert_eq!(
        peer_authority(std::os::unix::process::parent_id()),
        Authority::Person
    );
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    assert_eq!(peer_authority(child.id()), Authority::Person);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(peer_authority(u32::MAX), Authority::Unknown);
}
