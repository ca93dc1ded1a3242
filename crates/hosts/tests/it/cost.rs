//! What a job costs beside itself.

use std::time::{Duration, Instant};

use longhaul_hosts::CgroupMode;

use crate::world::{World, exit_of};

/// Goal of the design: at most 3 MB that no other process shares, for each shim.
#[test]
fn a_shim_is_small() {
    let world = World::new();
    let handle = world.live(&world.sh("k", "head -c 1000000 /dev/zero; exec sleep 600"));
    let shim = handle.identity().unwrap().shim.pid;
    let text = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
    let private_kib: u64 = text
        .lines()
        .filter(|line| line.starts_with("Private_Dirty") || line.starts_with("Private_Hugetlb"))
        .filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
        .sum();
    assert!(private_kib <= 3 * 1024, "{private_kib} KiB");
}

#[test]
#[ignore = "a measurement: depends on what else the machine does"]
fn measure_launches() {
    for cgroup in [CgroupMode::Off, CgroupMode::Auto] {
        let world = World::new();
        let (mut launches, mut whole) = (Vec::new(), Vec::new());
        for round in 0..100 {
            let mut spec = world.sh(&format!("k{round}"), "exec sleep 0.05");
            spec.cgroup = cgroup;
            let begun = Instant::now();
            let handle = world.live(&spec);
            launches.push(begun.elapsed());
            exit_of(&handle);
            whole.push(begun.elapsed());
        }
        let middle = |mut spans: Vec<Duration>| {
            spans.sort();
            (spans[spans.len() / 2], spans[spans.len() * 99 / 100])
        };
        eprintln!("cgroup {cgroup:?}");
        eprintln!("  launch to running: p50, p99 {:?}", middle(launches));
        eprintln!(
            "  launch to end, 50 ms of sleep included: {:?}",
            middle(whole)
        );
    }
}
