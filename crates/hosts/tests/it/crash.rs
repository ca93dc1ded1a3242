//! SIGKILL at every named point of a launch and of an end; then launch again (I4).
//!
//! What must hold whatever dies where: the program runs at most once, and before it does anything
//! its identity is on disk; and repeating the launch settles the job.

use std::process::Command;
use std::time::Duration;

use longhaul_hosts::{BundleState, Launcher, SweepOutcome};

use crate::world::{PATIENCE, World, shim_exe, wait_for};

const SCRIPT: &str = "test -s $B/identity.json && echo ran >> $W/ran; exit 3";

/// Acts; the process dies before each, and after each.
const LABELS: [&str; 24] = [
    "launch.jobs",
    "launch.jobs.folder",
    "launch.bundle",
    "launch.complaints",
    "launch.spawn",
    "launch.jobs.flush",
    "launch.order",
    "shim.lock",
    "shim.exit.create",
    "shim.exit.reserve",
    "shim.log.create",
    "shim.socket",
    "shim.spawn",
    "child.identity.create",
    "child.identity.write",
    "child.identity.rename",
    "child.identity.flush",
    "child.identity.folder",
    "shim.started",
    "shim.exit.write",
    "shim.exit.rename",
    "shim.exit.flush",
    "shim.exit.folder",
    "shim.socket.remove",
];

#[test]
#[ignore = "not a test: the launcher process of another test, with a crash point set"]
fn launcher_with_a_crash_point() {
    let (Some(jobs), Ok(spec)) = (
        std::env::var_os("LH_TEST_JOBS"),
        std::env::var("LH_TEST_SPEC"),
    ) else {
        return;
    };
    let launcher = Launcher::new(shim_exe(), jobs.as_ref()).unwrap();
    drop(launcher.launch(&serde_json::from_str(&spec).unwrap()));
}

#[test]
fn i4_from_every_crash_point_the_job_settles_and_runs_at_most_once() {
    let edges = LABELS
        .iter()
        .flat_map(|label| ["before", "after"].map(|edge| format!("{label}.{edge}")));
    for point in edges.chain(["child.exec".to_owned(), "nowhere".to_owned()]) {
        let world = World::new();
        let mut spec = world.sh("k", SCRIPT);
        let dir = world.bundle("k").dir().to_str().unwrap().to_owned();
        spec.env.push(("B".to_owned(), dir));
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::launcher_with_a_crash_point", "--ignored"])
            .env("LH_TEST_JOBS", world.jobs())
            .env("LH_TEST_SPEC", serde_json::to_string(&spec).unwrap())
            .env("LONGHAUL_CRASH_POINT", format!("{point}:1"))
            .output()
            .unwrap();
        let state = settle(&world, &spec);
        let runs = world.read("ran").unwrap_or_default().lines().count();
        match state {
            BundleState::Exited(record) => {
                // SIGKILL of the child itself before its exec counts as an end without a run.
                assert!(runs <= 1, "{point}");
                let code_3 = longhaul_hosts::Outcome::Exited { code: 3 };
                assert_eq!(record.outcome == code_3, runs == 1, "{point}: {record:?}");
            }
            BundleState::Lost(lost) => {
                assert!(runs <= 1, "{point}");
                assert_eq!(
                    lost.tree().sweep(Duration::ZERO).outcome,
                    SweepOutcome::Clean,
                    "{point}"
                );
            }
            other => panic!("{point}: {other:?}"),
        }
    }
}

/// What a daemon does after a restart: launch again until the job has ended one way or the other.
fn settle(world: &World, spec: &longhaul_hosts::JobSpec) -> BundleState {
    let deadline = std::time::Instant::now() + PATIENCE;
    wait_for("the job to settle", || {
        assert!(std::time::Instant::now() < deadline);
        match world.launcher.launch(spec).unwrap().state {
            state @ (BundleState::Exited(_) | BundleState::Lost(_)) => Some(state),
            _ => None,
        }
    })
}
