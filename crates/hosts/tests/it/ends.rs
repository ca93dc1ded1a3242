//! How jobs end: codes, signals, failures to start.

use std::time::{Duration, Instant};

use longhaul_hosts::{BundleState, Frame, LaunchError, Outcome, SpawnStep, Stream};

use crate::world::{PATIENCE, World, exit_of};

#[test]
fn a_job_ends_with_its_code_and_its_output() {
    let world = World::new();
    let record = world.run(&world.sh("k", "echo out; echo err >&2; exit 7"));
    assert_eq!(record.outcome, Outcome::Exited { code: 7 });
    assert!(!record.is_zero() && !record.stop_requested && !record.output_incomplete());
    assert_eq!((record.out.bytes, record.err.bytes), (4, 4));
    assert_eq!(world.output("k", Stream::Out), b"out\n");
    assert_eq!(world.output("k", Stream::Err), b"err\n");
    assert!(record.ended_ms >= record.started_ms);
    assert!(record.usage.max_rss_kib > 0);
}

#[test]
fn a_signal_is_told_from_a_code() {
    let world = World::new();
    let record = world.run(&world.sh("k", "kill -9 $$"));
    assert_eq!(
        record.outcome,
        Outcome::Signalled {
            signal: 9,
            core: false
        }
    );
}

#[test]
fn the_environment_is_the_one_given_and_the_spawn_key() {
    let world = World::new();
    let mut spec = world.sh("the-key", "exec env");
    spec.env.retain(|(name, _)| name == "PATH");
    assert!(world.run(&spec).is_zero());
    let text = String::from_utf8(world.output("the-key", Stream::Out)).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|l| l.split('=').next()).collect();
    assert!(text.contains(&format!("LONGHAUL_SPAWN_KEY={}\n", spec.key)));
    for name in names {
        assert!(
            ["PATH", "LONGHAUL_SPAWN_KEY", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name),
            "{name} leaked"
        );
    }
}

#[test]
fn signals_are_not_blocked_and_the_session_is_its_own() {
    let world = World::new();
    let record = world.run(&world.sh(
        "k",
        "grep SigBlk /proc/self/status; cut -d' ' -f1,6 /proc/$$/stat; pwd",
    ));
    assert!(record.is_zero());
    let text = String::from_utf8(world.output("k", Stream::Out)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "SigBlk:\t0000000000000000");
    let (pid, session) = lines[1].split_once(' ').unwrap();
    assert_eq!(pid, session);
    assert_eq!(lines[2], world.root);
}

#[test]
fn s2_a_program_that_is_not_there_is_a_typed_record() {
    let world = World::new();
    let mut spec = world.sh("k", "");
    spec.argv = vec!["no-such-program-here".to_owned()];
    let record = world.run(&spec);
    assert!(matches!(
        record.outcome,
        Outcome::SpawnFailed {
            step: SpawnStep::Exec,
            errno: Some(2),
            ..
        }
    ));
    // Never tried a second time under the same key.
    let again = world.launcher.launch(&spec).unwrap();
    assert!(!again.fresh);
}

#[test]
fn a_file_that_may_not_be_run_and_a_folder_that_is_not_there_are_told_apart() {
    let world = World::new();
    std::fs::write(world.path("plain"), "text").unwrap();
    let mut spec = world.sh("a", "");
    spec.argv = vec![world.path("plain").to_string()];
    assert!(matches!(
        world.run(&spec).outcome,
        Outcome::SpawnFailed {
            step: SpawnStep::Exec,
            errno: Some(13),
            ..
        }
    ));
    let mut spec = world.sh("b", "true");
    spec.cwd = world.path("nowhere");
    assert!(matches!(
        world.run(&spec).outcome,
        Outcome::SpawnFailed {
            step: SpawnStep::Cwd,
            errno: Some(2),
            ..
        }
    ));
}

#[test]
fn a_bad_spec_is_refused_before_anything_is_made() {
    let world = World::new();
    let mut spec = world.sh("k", "true");
    spec.key = "../k".to_owned();
    assert!(matches!(
        world.launcher.launch(&spec),
        Err(LaunchError::Spec(_))
    ));
    assert!(!world.jobs().exists());
}

#[test]
fn s2_a_background_child_with_an_open_pipe_does_not_keep_a_job() {
    let world = World::new();
    let begun = Instant::now();
    let record = world.run(&world.sh("k", "sleep 600 & echo $! > $W/pids; echo done"));
    assert!(record.is_zero());
    assert_eq!(record.leftovers_stopped, 1);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(world.output("k", Stream::Out), b"done\n");
    let pid: u32 = world.read("pids").unwrap().trim().parse().unwrap();
    assert!(longhaul_hosts::ProcessIdentity::of(pid).is_err());
}

#[test]
fn a_watch_sees_growth_and_the_end() {
    let world = World::new();
    let handle = world.live(&world.sh(
        "k",
        "echo one; while [ ! -e $W/gate ]; do sleep 0.01; done; echo two",
    ));
    let mut watch = handle.watch();
    let mut seen = Vec::new();
    loop {
        match watch.next_frame(PATIENCE).unwrap() {
            Frame::Grew { out, .. } => {
                seen.push(out);
                if out == 4 {
                    std::fs::write(world.path("gate"), "").unwrap();
                }
            }
            Frame::Quiet => panic!("no news"),
            Frame::Ended(state) => {
                assert!(matches!(state, BundleState::Exited(_)));
                break;
            }
        }
    }
    assert_eq!(seen.last(), Some(&8));
    assert!(seen.is_sorted());
}

#[test]
fn stopping_an_ended_job_is_harmless() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "while [ ! -e $W/go ]; do sleep 0.01; done; exit 3"));
    std::fs::write(world.path("go"), "").unwrap();
    exit_of(&handle);
    handle.stop(Duration::ZERO).unwrap();
    assert_eq!(exit_of(&handle).outcome, Outcome::Exited { code: 3 });
}
