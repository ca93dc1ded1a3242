//! Whole trees: stops, leftovers, what outlives its shim (I8).

use std::time::{Duration, Instant};

use longhaul_hosts::{
    BundleState, CgroupMode, Liveness, Outcome, ProcessIdentity, Signal, SignalOutcome,
    SweepOutcome, Tree,
};

use crate::world::{World, all_gone, end_of, exit_of, identities, kill, wait_for};

/// An orphan in a session of its own with all descriptors closed, which no process group, pipe or chain
/// of parents could find once the shim is gone; and the plain program.
const STRAY: &str = "(setsid sh -c 'exec 0<&- 1>&- 2>&-; echo $$ >> $W/pids; exec sleep 600' &); \
                     echo $$ >> $W/pids; sleep 600";

#[test]
fn i8_stop_ends_strays_in_other_sessions() {
    for cgroup in [CgroupMode::Auto, CgroupMode::Off] {
        let world = World::new();
        let mut spec = world.sh("k", STRAY);
        spec.cgroup = cgroup;
        let handle = world.live(&spec);
        let pids = identities(&world, "pids", 2);
        handle.stop(Duration::from_secs(5)).unwrap();
        let record = exit_of(&handle);
        assert!(record.stop_requested);
        assert_eq!(record.survivors, 0);
        assert!(matches!(
            record.outcome,
            Outcome::Signalled { signal: 15, .. }
        ));
        assert!(all_gone(&pids));
        if let Some(group) = &handle.identity().unwrap().cgroup {
            assert!(!group.exists(), "cgroup left behind");
        }
    }
}

#[test]
fn i8_the_program_is_in_the_group_that_its_identity_names() {
    let world = World::new();
    let script = "cat /proc/self/cgroup > $W/group.part; mv $W/group.part $W/group; exec sleep 600";
    let handle = world.live(&world.sh("k", script));
    let Some(group) = handle.identity().unwrap().cgroup.clone() else {
        // Nothing is claimed where no group can be made.
        return;
    };
    let file = world.root.join("group");
    wait_for("the program's word", || file.exists().then_some(()));
    let said = std::fs::read_to_string(&file).unwrap();
    let name = group.file_name().unwrap().to_str().unwrap();
    assert!(
        said.lines()
            .any(|l| l.starts_with("0::") && l.ends_with(&format!("/{name}"))),
        "{said} is not {}",
        group.display()
    );
}

#[test]
fn i8_a_tree_that_ignores_term_is_killed_after_the_grace() {
    let world = World::new();
    let handle = world.live(&world.sh(
        "k",
        "trap '' TERM; (trap '' TERM; echo $$ >> $W/pids; while :; do sleep 0.05; done) & \
         echo $$ >> $W/pids; while :; do sleep 0.05; done",
    ));
    let pids = identities(&world, "pids", 2);
    let begun = Instant::now();
    handle.stop(Duration::from_millis(300)).unwrap();
    let record = exit_of(&handle);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(matches!(
        record.outcome,
        Outcome::Signalled { signal: 9, .. }
    ));
    assert!(all_gone(&pids));
}

#[test]
fn i8_twenty_children_that_fork_again_are_ended() {
    let world = World::new();
    let mut spec = world.sh(
        "k",
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
           setsid sh -c 'trap \"\" TERM; echo $$ >> $W/pids; \
             while :; do setsid sleep 0.2 & sleep 0.1; done' & \
         done; wait",
    );
    spec.cgroup = CgroupMode::Off;
    let handle = world.live(&spec);
    let pids = identities(&world, "pids", 20);
    handle.stop(Duration::from_millis(100)).unwrap();
    let record = exit_of(&handle);
    assert_eq!(record.survivors, 0);
    assert!(all_gone(&pids));
    // Nobody but the shim itself, which goes right after its record.
    let identity = handle.identity().unwrap();
    let left = identity.tree().members().unwrap();
    assert!(
        left.iter().all(|process| *process == identity.shim),
        "{left:?}"
    );
}

#[test]
fn i8_a_stopped_process_still_gets_its_term() {
    let world = World::new();
    let handle = world.live(&world.sh(
        "k",
        "trap 'echo bye; exit 0' TERM; echo $$ > $W/pids; kill -STOP $$; sleep 600",
    ));
    identities(&world, "pids", 1);
    handle.stop(Duration::from_secs(10)).unwrap();
    exit_of(&handle);
    assert_eq!(world.output("k", longhaul_hosts::Stream::Out), b"bye\n");
}

#[test]
fn concurrent_stops_end_it_once_and_the_shortest_grace_wins() {
    let world = World::new();
    let handle = world.live(&world.sh(
        "k",
        "trap '' TERM; echo $$ > $W/pids; while :; do sleep 0.05; done",
    ));
    identities(&world, "pids", 1);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for grace_ms in [60_000, 50, 30_000, 60_000] {
            let handle = &handle;
            scope.spawn(move || handle.stop(Duration::from_millis(grace_ms)));
        }
    });
    assert!(matches!(
        exit_of(&handle).outcome,
        Outcome::Signalled { signal: 9, .. }
    ));
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn term_to_the_shim_stops_its_job() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "sleep 600 & sleep 600"));
    let shim = &handle.identity().unwrap().shim;
    assert_eq!(shim.signal(Signal::Term), SignalOutcome::Sent);
    assert!(exit_of(&handle).stop_requested);
}

#[test]
fn s2_hangup_and_interrupt_to_the_shim_change_nothing() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "while [ ! -e $W/go ]; do sleep 0.01; done; exit 5"));
    let shim = &handle.identity().unwrap().shim;
    assert_eq!(shim.signal(Signal::Interrupt), SignalOutcome::Sent);
    std::fs::write(world.path("go"), "").unwrap();
    assert_eq!(exit_of(&handle).outcome, Outcome::Exited { code: 5 });
}

#[test]
fn t18_a_shim_killed_with_9_leaves_a_lost_job_that_a_sweep_ends_whole() {
    for cgroup in [CgroupMode::Auto, CgroupMode::Off] {
        let world = World::new();
        let mut spec = world.sh("k", STRAY);
        spec.cgroup = cgroup;
        let handle = world.live(&spec);
        let pids = identities(&world, "pids", 2);
        kill(&handle.identity().unwrap().shim);
        let BundleState::Lost(lost) = end_of(&handle) else {
            panic!("not lost");
        };
        assert_eq!(lost.child, Liveness::Alive);
        assert!(!lost.torn_record);
        let report = lost.tree().sweep(Duration::from_secs(5));
        assert_eq!(report.outcome, SweepOutcome::Clean);
        assert!(report.signalled >= 2, "{report:?}");
        assert!(all_gone(&pids));
        if let Some(group) = &lost.identity.as_ref().unwrap().cgroup {
            assert!(!group.exists(), "cgroup left behind");
        }
        // Once more: harmless.
        assert_eq!(lost.tree().sweep(Duration::ZERO).signalled, 0);
        let again = world.launcher.launch(&spec).unwrap();
        assert!(!again.fresh && matches!(again.state, BundleState::Lost(_)));
    }
}

#[test]
fn i8_a_sweep_with_a_reused_pid_harms_nobody() {
    let mut bystander = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let now = ProcessIdentity::of(bystander.id()).unwrap();
    let before = ProcessIdentity {
        start_ticks: now.start_ticks - 1,
        ..now.clone()
    };
    let tree = Tree::new("no-such-key-anywhere", vec![before], None);
    let report = tree.sweep(Duration::ZERO);
    assert_eq!((report.outcome, report.signalled), (SweepOutcome::Clean, 0));
    assert_eq!(now.liveness(), Liveness::Alive);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn t14_the_trees_cpu_time_grows_while_it_works() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "while :; do :; done & wait"));
    let tree = handle.identity().unwrap().tree();
    wait_for("CPU time", || {
        (tree.cpu_time().unwrap() >= Duration::from_millis(100)).then_some(())
    });
}
