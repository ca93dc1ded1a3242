//! Sessions of the pool killed at their own crash points (A21, I3): whichever process passes one, the daemon that makes
//! the sessions or the driver that types, the task comes to the same end, and no agent is typed to twice.

use std::time::Duration;

use longhaul_acts::{CRASH_DIR, CRASH_POINT};
use longhaul_testkit::world::wait_until;

use crate::pool::session;
use crate::pool_fake::{Fake, PROMPT};
use crate::stage::RUN_LIMIT;

/// A task in a terminal, killed at the n-th passage of a point.
#[track_caller]
fn dies_at(point: &str, n: usize) {
    let at = format!("{point}:{n}");
    let fake = Fake::new("%slow 200\nwrite f.txt yes\ndone fine\n");
    let (stage, repo) = (&fake.stage, fake.stage.repo());
    let counts = stage.world.path("points");
    std::fs::create_dir(&counts).unwrap();
    repo.write("tasks.toml", &fake.tasks).unwrap();
    let mut start = stage
        .world
        .longhaul_in(repo.path(), ["run", "tasks.toml", "--detach"]);
    start.env(CRASH_DIR, &counts).env(CRASH_POINT, &at);
    let handed_in = stage.world.run_within(RUN_LIMIT, start);
    let passed = || std::fs::metadata(counts.join(point)).map_or(0, |m| m.len());
    let died = wait_until(RUN_LIMIT, || passed() >= n as u64);
    assert!(died, "{at} was not passed\n{}", stage.daemon_log());
    let daemon = || {
        let all = stage.world.processes();
        all.iter().any(|p| p.command.contains("daemon run"))
    };
    let home = stage.world.home();
    if handed_in.code() != 0 {
        // The daemon died before it answered: the same again finds what was stored.
        let again = ["run", "tasks.toml", "--detach"];
        stage.world.longhaul(repo.path(), again).expect_code(0);
    }
    let over = wait_until(RUN_LIMIT, || {
        // The daemon was the one that died: the next one dies of nothing.
        if !daemon() {
            stage
                .world
                .longhaul(&home, ["daemon", "start"])
                .expect_code(0);
        }
        stage
            .try_show("f")
            .is_some_and(|s| s["task"]["state"] == "done")
    });
    let shown = stage.show("f");
    assert!(over, "{at}: {shown:#}\n{}", stage.daemon_log());
    assert_eq!(
        shown["task"]["retries"], 0,
        "{at}: no failure of the agent's: {shown:#}"
    );
    for start in fake.starts() {
        let told = start.prompt.as_deref().unwrap_or_default();
        assert!(
            told.matches(PROMPT).count() <= 1,
            "{at}: typed twice: {told}"
        );
        // One that was started for a driver that died is found by its key, or finds out itself (I8).
        let lives = || stage.world.processes().iter().any(|p| p.pid == start.pid);
        assert!(
            wait_until(Duration::from_secs(10), || !lives()),
            "{at}: an agent is left: {start:?}\n{:#?}",
            stage.world.processes()
        );
    }
    for name in ["lh-0", "lh-1"] {
        let free = || session(stage, name)["state"] == "free";
        assert!(
            wait_until(Duration::from_secs(40), free),
            "{at}: {:#}",
            session(stage, name)
        );
    }
    fake.end();
}

#[test]
fn a19_killed_while_the_sessions_are_made() {
    for (point, n) in [
        ("engine.pool.folder.before", 1),
        ("pool.folder.before", 1),
        ("pool.tmux.start.before", 1),
        ("pool.tmux.start.after", 1),
        ("pool.tmux.session.before", 1),
        ("pool.tmux.session.after", 1),
        ("pool.tmux.session.after", 2),
    ] {
        dies_at(point, n);
    }
}

#[test]
fn a21_killed_while_a_session_is_taken() {
    for (point, n) in [
        ("pool.order.before", 1),
        ("pool.order.after", 1),
        ("pool.tmux.take.before", 1),
        ("pool.tmux.take.after", 1),
        ("pool.note.write.before", 1),
        ("pool.note.rename.before", 1),
        ("pool.note.rename.after", 1),
    ] {
        dies_at(point, n);
    }
}

#[test]
fn a21_killed_while_the_prompt_is_typed() {
    for (point, n) in [
        ("pool.tmux.paste.before", 1),
        ("pool.text.before", 1),
        ("pool.text.after", 1),
        ("pool.tmux.key.before", 1),
        ("pool.tmux.key.after", 1),
        ("pool.tmux.look.before", 8),
    ] {
        dies_at(point, n);
    }
}

#[test]
fn a22_killed_while_the_turn_ends() {
    for (point, n) in [
        ("pool.say.before", 1),
        ("pool.say.before", 3),
        ("pool.tmux.key.before", 2),
        ("pool.tmux.key.after", 2),
        ("pool.note.write.before", 2),
        ("pool.note.rename.after", 2),
    ] {
        dies_at(point, n);
    }
}
