//! What a turn used that was killed in the middle of a tool call: no terminal event tells it, the
//! agent's own record does (T13).

use longhaul_testkit::provider::{Step, StepUsage};

use crate::stage::{Agent, Stage};

/// Ends the agent that runs it, as the kernel does when memory is short.
const DIE: &str = "sleep 3\np=$PPID\nwhile [ \"$p\" -gt 1 ]; do\n  read -r name < /proc/$p/comm\n  \
    case $name in claude|codex) kill -9 \"$p\"; exit ;; esac\n  \
    while read -r key value; do case $key in PPid:) p=$value ;; esac; done < /proc/$p/status\ndone\n";

fn usage(input: u64, output: u64) -> StepUsage {
    StepUsage {
        input,
        output,
        cache_read: 30,
        cache_write: 0,
    }
}

fn killed_in_a_tool(agent: Agent) {
    let Some(stage) = Stage::new(agent) else {
        return;
    };
    let repo = stage.repo();
    repo.write("die.sh", DIE).unwrap();
    repo.commit("die");
    stage.script(
        "k",
        [
            Step::shell("ls").usage(usage(500, 11)),
            Step::shell("sh die.sh").usage(usage(1000, 70)),
            Step::text("Done.").usage(usage(2000, 7)),
        ],
    );
    let tasks = stage.task(
        "k",
        "prompt = \"go on\"\nexpect = \"any\"\nallow = [\"sh die.sh\"]",
        &["true"],
    );
    let ran = stage.run(&repo, &tasks);
    let shown = stage.show("k");
    assert_eq!(ran.code(), 0, "{ran:?}\n{shown:#}");
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{shown:#}");
    let numbers = |n: usize| {
        let used = &attempts[n]["usage"];
        ["input", "output", "cache_read"].map(|key| used[key].as_u64().unwrap())
    };
    // Killed: its calls, each once. Then the one that came after, and nothing twice.
    let told = match agent {
        // Codex notes what a call used when its tools have ended: nobody tells of the last one.
        Agent::Codex => [500, 11, 30],
        _ => [1500, 81, 60],
    };
    assert_eq!(numbers(0), told, "{shown:#}");
    assert_eq!(numbers(1), [2000, 7, 30], "{shown:#}");
    // Nobody knows what the killed turn cost, and that is not nothing.
    assert_eq!(attempts[0]["usage"]["cost_usd"], serde_json::Value::Null);
    let input = told[0] + 2000;
    assert_eq!(shown["task"]["usage"]["input"], input, "{shown:#}");
    stage.expect_nothing_left();
}

#[test]
fn t13_what_a_killed_claude_used_is_counted_from_its_transcript() {
    killed_in_a_tool(Agent::Claude);
}

#[test]
fn t13_what_a_killed_codex_used_is_counted_from_its_rollout() {
    killed_in_a_tool(Agent::Codex);
}
