//! Accounts with a key, by the real clients: they go on with another key without noticing, wait where none is left,
//! and never see a key (A1, A3, A4, A8, A9, I12, I15).

use std::time::Duration;

use longhaul_testkit::provider::Step;
use longhaul_testkit::world::wait_until;

use crate::limits::now_s;
use crate::stage::{Agent, RUN_LIMIT, Stage};

/// Two keys of one provider, each with a mock session of its own.
fn two_keys(agent: Agent) -> Option<Stage> {
    let mut stage = Stage::new(agent)?;
    let (provider, own, path) = match agent {
        Agent::Claude => ("anthropic", "ANTHROPIC_API_KEY", ""),
        _ => ("openai", "MOCK_KEY", ""),
    };
    stage.world.set_env(own, "");
    let mut config = String::new();
    for key in ["one", "two"] {
        let variable = format!("KEY_{}", key.to_uppercase());
        stage.world.set_env(&variable, secret(key));
        let url = stage.provider.url(key);
        config.push_str(&format!(
            "[account.{key}]\nprovider = \"{provider}\"\nkey.env = \"{variable}\"\nbase_url = \"{url}{path}\"\n"
        ));
    }
    // The first by the user's order, so that the test knows which one answers.
    stage.config(&format!("accounts.strategy = \"priority\"\n{config}"));
    Some(stage)
}

fn secret(key: &str) -> String {
    format!("sk-very-secret-of-{key}")
}

/// A refusal that rests the key until then.
fn used_up(agent: Agent, until_s: i64) -> Step {
    match agent {
        Agent::Claude => Step::error(429)
            .header("anthropic-ratelimit-requests-limit", "50")
            .header("anthropic-ratelimit-requests-remaining", "0")
            .header("retry-after", (until_s - now_s()).to_string()),
        _ => Step::codex_quota(until_s),
    }
}

fn account_states(stage: &Stage) -> Vec<(String, String)> {
    let home = stage.world.home();
    let listed = stage.world.longhaul(&home, ["account", "list", "--json"]);
    let listed = listed.expect_code(0).json();
    let all = listed["data"]["accounts"].as_array().unwrap().clone();
    let text = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    all.iter()
        .map(|a| (text(&a["name"]), text(&a["state"])))
        .collect()
}

/// No file of Longhaul's and no process but the daemon and the gateway holds a key (I12).
fn no_key_anywhere(stage: &Stage) {
    let found = std::process::Command::new("grep")
        .args(["-rl", "sk-very-secret"])
        .arg(stage.world.state())
        .output()
        .unwrap();
    let files = String::from_utf8_lossy(&found.stdout);
    assert_eq!(files, "", "a key is in a file");
}

/// Nothing but the daemon lives, and the gateway goes with it once no session needs it.
fn nothing_left(stage: &Stage) {
    let home = stage.world.home();
    stage
        .world
        .longhaul(&home, ["daemon", "stop"])
        .expect_code(0);
    stage.world.expect_quiet(Duration::from_secs(15));
}

fn goes_on_with_the_next_key(agent: Agent) {
    let Some(stage) = two_keys(agent) else {
        return;
    };
    let repo = stage.repo();
    let tasks = stage.task_of_accounts(
        "t",
        "prompt = \"make both\"\nallow = [\"env\", \"grep\", \"echo\"]",
        &["test -f b.txt"],
    );
    // The company's proxy cannot reach the gateway, and nobody asks it to.
    let proxies =
        "[task.env]\nHTTPS_PROXY = \"http://127.0.0.1:1\"\nHTTP_PROXY = \"http://127.0.0.1:1\"\n";
    let tasks = tasks.replace("[task.env]\n", proxies);
    assert!(tasks.contains(proxies));
    let leak = "env | grep -c very-secret > leak.txt";
    stage.script(
        "one",
        [
            Step::shell(format!("echo a > a.txt; {leak}")),
            used_up(agent, now_s() + 3600),
        ],
    );
    stage.script("two", [Step::shell("echo b > b.txt"), Step::text("Done.")]);
    let ran = stage.run(&repo, &tasks);
    let shown = stage.show("t");
    assert_eq!(ran.code(), 0, "{ran:?}\n{shown:#}\n{}", stage.daemon_log());
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
    assert_eq!(stage.provider.steps_left("one"), 0);
    assert_eq!(stage.provider.steps_left("two"), 0);
    // The same conversation, with what the first key's tool had done.
    assert!(stage.provider.turns("two")[0].says("echo a > a.txt"));
    let branch = shown["workspace"]["branch"].as_str().unwrap();
    let leaked = repo.git(["show", &format!("{branch}:leak.txt")]);
    assert_eq!(leaked.trim(), "0", "the agent saw a key");
    let states = account_states(&stage);
    assert!(states[0].1.starts_with("resting"), "{states:?}");
    assert_eq!(states[1].1, "serving", "{states:?}");
    no_key_anywhere(&stage);
    nothing_left(&stage);
}

#[test]
fn a9_claude_goes_on_with_the_next_key_in_mid_task_without_noticing() {
    goes_on_with_the_next_key(Agent::Claude);
}

#[test]
fn a9_codex_goes_on_with_the_next_key_in_mid_task_without_noticing() {
    goes_on_with_the_next_key(Agent::Codex);
}

fn waits_for_the_soonest_reset(agent: Agent) {
    let Some(stage) = two_keys(agent) else {
        return;
    };
    let repo = stage.repo();
    let tasks = stage.task_of_accounts("t", "prompt = \"make it\"", &["test -f a.txt"]);
    // It waits a few seconds by itself, and that is left to it; here it gives up at once.
    let gives_up = "[task.env]\nCLAUDE_CODE_MAX_RETRIES = \"0\"\n";
    let tasks = tasks.replace("[task.env]\n", gives_up);
    let reset = now_s() + 15;
    stage.script("one", [used_up(agent, reset + 3600)]);
    let work = [Step::shell("echo a > a.txt"), Step::text("Done.")];
    stage.script("two", std::iter::once(used_up(agent, reset)).chain(work));
    let (running, _) = stage.start(&repo, &tasks);
    let parked = wait_until(Duration::from_secs(30), || {
        stage
            .try_show("t")
            .is_some_and(|s| s["task"]["state"] == "parked")
    });
    let resting = stage.show("t");
    assert!(parked, "{resting:#}\n{}", stage.daemon_log());
    let until = resting["task"]["until_ms"].as_i64().unwrap();
    assert!(
        (reset * 1000..=reset * 1000 + 20_000).contains(&until),
        "{until} {reset} {}
{}",
        resting["ledger"],
        stage.daemon_log()
    );
    let ran = running.finish(RUN_LIMIT).expect_code(0);
    let shown = stage.show("t");
    assert_eq!(shown["task"]["state"], "done", "{ran:?}");
    assert_eq!(shown["task"]["retries"], 0);
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 2, "{shown:#}");
    // I15: nothing was asked of the first key again.
    assert_eq!(stage.provider.turns("one").len(), 1);
    nothing_left(&stage);
}

#[test]
fn a4_claude_is_parked_until_the_soonest_reset_of_two_used_up_keys() {
    waits_for_the_soonest_reset(Agent::Claude);
}

#[test]
fn a4_codex_is_parked_until_the_soonest_reset_of_two_used_up_keys() {
    waits_for_the_soonest_reset(Agent::Codex);
}

#[test]
fn a8_a_session_goes_on_through_the_death_of_the_daemon_and_the_gateway() {
    let Some(stage) = two_keys(Agent::Claude) else {
        return;
    };
    let repo = stage.repo();
    repo.write("slow.sh", "sleep 6\necho a > a.txt\n").unwrap();
    repo.commit("slow");
    let keys = "prompt = \"make it\"\nallow = [\"sh slow.sh\"]";
    let tasks = stage.task_of_accounts("t", keys, &["test -f a.txt"]);
    stage.script("one", [Step::shell("sh slow.sh"), Step::text("Done.")]);
    let (running, _) = stage.start(&repo, &tasks);
    assert!(wait_until(Duration::from_secs(60), || {
        !stage.provider.turns("one").is_empty()
    }));
    let doomed = ["daemon run", "__gateway"];
    for process in stage.world.processes() {
        if doomed.iter().any(|name| process.command.contains(name)) {
            let pid = rustix::process::Pid::from_raw(process.pid.cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
    let home = stage.world.home();
    stage.world.longhaul(&home, ["undrain"]).expect_code(0);
    running.finish(RUN_LIMIT);
    let settled = wait_until(Duration::from_secs(60), || {
        stage.show("t")["task"]["state"] == "done"
    });
    let shown = stage.show("t");
    assert!(settled, "{shown:#}\n{}", stage.daemon_log());
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
    assert_eq!(stage.provider.steps_left("one"), 0);
    no_key_anywhere(&stage);
    nothing_left(&stage);
}
