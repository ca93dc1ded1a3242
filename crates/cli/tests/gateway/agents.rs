//! Real agents: the first key runs out between two steps of a task, and the agent sees nothing of it (A9).

use std::path::Path;
use std::time::Duration;

use longhaul_gateway::api::Provider;
use longhaul_testkit::home::{AgentHome, installed_agents};
use longhaul_testkit::provider::Step;

use crate::stage::{Stage, key, limited};

const LIMIT: Duration = Duration::from_secs(120);

/// Starts an agent on one task in a folder of its own.
fn agent(stage: &Stage, name: &str) -> Option<std::process::Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = installed_agents(&root)?.remove(name).unwrap();
    let home = stage.world.path("home/agent");
    let url = stage.status().url();
    let folder = stage.world.path("src/work");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = match name {
        "claude" => {
            let mut command = AgentHome::claude(&home, &url).unwrap().command(program);
            command.env("IS_SANDBOX", "1").args([
                "-p",
                "write q.txt",
                "--output-format",
                "stream-json",
                "--verbose",
                "--dangerously-skip-permissions",
            ]);
            command
        }
        _ => {
            let mut command = AgentHome::codex(&home, &url).unwrap().command(program);
            command.args([
                "exec",
                "--json",
                "--skip-git-repo-check",
                "--dangerously-bypass-approvals-and-sandbox",
                "write q.txt",
            ]);
            command
        }
    };
    command
        .current_dir(folder)
        .stdin(std::process::Stdio::null());
    Some(command)
}

fn key_runs_out(of: Provider, name: &str) {
    let stage = Stage::new(of);
    let Some(command) = agent(&stage, name) else {
        return;
    };
    stage
        .provider
        .script("k1", [Step::shell("echo q > q.txt"), limited(of)]);
    stage
        .provider
        .script("k2", [Step::text("Done, with the second key.")]);
    let ran = stage.world.run_within(LIMIT, command).expect_code(0);
    assert!(ran.stdout.contains("with the second key"), "{ran:?}");
    assert!(stage.world.path("src/work/q.txt").exists());
    // No word of a limit, no retry, nothing started anew.
    for word in ["rate_limit", "api_retry", "429", "reconnecting"] {
        assert!(!ran.stdout.to_lowercase().contains(word), "{word}: {ran:?}");
    }
    assert_eq!((stage.turns("k1"), stage.turns("k2")), (2, 1));
    let last = &stage.provider.turns("k2")[0];
    assert!(
        last.says("echo q > q.txt") || last.says("write q.txt"),
        "the whole conversation moved"
    );
    let turns = stage.charged();
    assert_eq!(
        turns.iter().filter(|account| *account == "k1").count(),
        1,
        "{turns:?}"
    );
    assert!(turns.iter().any(|account| account == "k2"), "{turns:?}");
    // The agent's own words hold no key of ours.
    for id in ["k1", "k2"] {
        assert!(!ran.stdout.contains(&key(id)) && !ran.stderr.contains(&key(id)));
    }
}

#[test]
fn a9_claude_goes_on_with_the_second_key() {
    key_runs_out(Provider::Anthropic, "claude");
}

#[test]
fn a9_codex_goes_on_with_the_second_key() {
    key_runs_out(Provider::Openai, "codex");
}

/// The gateway is killed while Claude runs a tool; it comes back with its port and its sessions, and Claude, which only
/// saw a connection refused, finishes its turn.
#[test]
fn a8_claude_outlives_a_kill_of_the_gateway() {
    let stage = Stage::new(Provider::Anthropic);
    let Some(command) = agent(&stage, "claude") else {
        return;
    };
    let started = stage.world.path("src/work/started");
    stage.provider.script(
        "k1",
        [Step::shell("touch started; sleep 2; echo q > q.txt")],
    );
    stage.provider.script("k2", [Step::text("never asked")]);
    let running = stage.world.spawn(command);
    assert!(longhaul_testkit::world::wait_until(LIMIT, || started.exists()));
    let before = stage.status();
    stage.kill();
    stage
        .provider
        .script("k1", [Step::text("Done, after a kill.")]);
    stage.start();
    assert_eq!(stage.status().port, before.port);
    stage.put_accounts();
    let ran = running.finish(LIMIT).expect_code(0);
    assert!(ran.stdout.contains("after a kill"), "{ran:?}");
    // The conversation is still pinned to its account, and both turns were counted.
    assert_eq!((stage.turns("k1"), stage.turns("k2")), (2, 0));
    assert!(stage.charged().len() >= 2, "{:?}", stage.charged());
}
