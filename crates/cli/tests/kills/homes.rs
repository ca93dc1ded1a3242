//! The switch of an account home under SIGKILL: the daemon and the shims die at acts all along the way from one home
//! to the other. The task goes on at the other home, once, with one session per fence and nothing left (A23, I2).

use std::sync::atomic::{AtomicU32, Ordering};

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{ProcessIdentity, read, wait_until, write};

use crate::fakes::fake_agent;
use crate::scene::{LIMIT, Scene};

/// Cases at a time.
const WORKERS: u32 = 3;
/// Every so many acts one is killed; another stride sweeps others.
const STRIDE: u32 = 19;
/// More acts than a switch has.
const ACTS: u32 = 420;

/// Two homes that share their conversations, and an agent that is refused in the first one.
fn scene() -> Scene {
    let scene = Scene::new();
    let root = scene.world.path("");
    for (name, script) in [
        (
            "a",
            "say half of it\nwrite half.txt half\nlimit quota in 3h\n",
        ),
        (
            "b",
            "write whole.txt whole\nusage input=10 output=1\ndone\n",
        ),
    ] {
        write(&scene.world.path("scripts").join(name), script).unwrap();
        std::fs::create_dir_all(scene.world.home().join(name)).unwrap();
    }
    let real = scene.world.path("real");
    std::fs::create_dir_all(&real).unwrap();
    std::os::unix::fs::symlink(fake_agent(), real.join("claude")).unwrap();
    let body = format!(
        "home=${{CLAUDE_CONFIG_DIR##*/}}\necho $LONGHAUL_SESSION >> $CLAUDE_CONFIG_DIR/launches\n\
         FAKE_AGENT_SCRIPT={root}/scripts/$home exec {root}/real/claude \"$@\"",
        root = root.display()
    );
    scene.world.program("claude", &body).unwrap();
    scene.config(
        "accounts.rotate_homes = true\n\
         [account.a]\nharness = \"claude\"\nhome = \"~/a\"\n\
         [account.b]\nharness = \"claude\"\nhome = \"~/b\"",
    );
    scene
}

/// Kills whoever passes its `n`-th act; true if a daemon died of it.
fn killed_at(n: u32) -> bool {
    let mut scene = scene();
    scene.tasks(
        "[[task]]\nname = \"moves\"\nharness = \"claude\"\nprompt = \"make it whole\"\nmax_restarts = 50\n\
         [[task.check]]\nrun = \"test -e half.txt && test -e whole.txt\"\n",
    );
    let mut start = scene.world.longhaul_in(&scene.repo, ["daemon", "start"]);
    start.env(longhaul_acts::CRASH_POINT, format!("any:{n}"));
    scene.world.run_within(LIMIT, start);
    let first: Option<ProcessIdentity> = scene.daemon();
    let accepted = wait_until(LIMIT, || {
        scene.longhaul(&["run", "tasks.toml", "--detach"]).code() == 0
    });
    assert!(
        accepted,
        "{n}: {:?} {}",
        scene.longhaul(&["validate", "tasks.toml"]),
        scene.daemon_log()
    );
    let done = wait_until(LIMIT * 2, || {
        if scene.daemon().is_none() {
            scene.longhaul(&["daemon", "start"]);
        }
        let task = scene.try_task("moves");
        task.is_some_and(|t| t.state.word() == StateWord::Done)
    });
    let shown = scene.show("moves");
    assert!(done, "{n}: {shown:#}\n{}", scene.daemon_log());

    let switches = scene.longhaul(&["account", "switches", "--json"]).json();
    let switches = switches["data"]["switches"].as_array().unwrap().clone();
    assert_eq!(switches.len(), 1, "{n}: {switches:#?}");
    assert_eq!(
        (&switches[0]["from"], &switches[0]["to"]),
        (&"a".into(), &"b".into())
    );
    assert_eq!(switches[0]["reason"]["why"], "limit", "{n}");
    // One session per fence, first at the one home, then at the other, never back.
    let fences = |home: &str| -> Vec<u64> {
        let text = read(&scene.world.home().join(home).join("launches"));
        let fence = |key: &str| key.rsplit('-').next().unwrap().parse().unwrap();
        text.lines().map(fence).collect()
    };
    let launches = [fences("a"), fences("b")].concat();
    assert!(
        launches.is_sorted_by(|a, b| a < b) && launches.len() >= 2,
        "{n}: {launches:?}"
    );
    let attempts = shown["attempts"].as_array().unwrap();
    if let [refused, last] = attempts.as_slice() {
        assert_eq!(refused["outcome"], "limited", "{n}");
        assert_eq!(last["resumed"], true, "{n}: {shown:#}");
        assert_eq!(refused["conversation"], last["conversation"], "{n}");
    }
    let died = first.is_some() && scene.daemon() != first;
    scene.audit(&[("moves", StateWord::Done)]);
    died
}

#[test]
fn a23_a_switch_of_a_home_survives_a_kill_at_any_act() {
    let (next, died) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let n = 7 + STRIDE * next.fetch_add(1, Ordering::Relaxed);
                    if n > ACTS {
                        return;
                    }
                    died.fetch_add(u32::from(killed_at(n)), Ordering::Relaxed);
                }
            });
        }
    });
    let died = died.into_inner();
    assert!(died >= 5, "only {died} daemons died");
}
