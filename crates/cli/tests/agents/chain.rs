//! Five tasks with dependencies, one failing check and then a pass, to the end (T3, T7, T8, T9, T13).

use longhaul_testkit::provider::{Step, StepUsage};
use serde_json::Value;

use crate::stage::{Agent, Stage};

/// What the failing check prints and the second prompt must hold.
const EVIDENCE: &str = "the second line of b.txt is missing";

fn usage(input: u64) -> StepUsage {
    StepUsage {
        input,
        output: 7,
        cache_read: 30,
        cache_write: 0,
    }
}

/// A turn of one command and a word.
fn turn(command: &str, input: u64) -> [Step; 2] {
    [
        Step::shell(command).usage(usage(input)),
        Step::text("Done.").usage(usage(input + 1)),
    ]
}

/// Every file of a checkout with its bytes; of its git folder what is the user's own: where they are,
/// what is staged, and the settings.
fn everything(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![
        folder.to_owned(),
        folder.join(".git/hooks"),
        folder.join(".git/info"),
    ];
    for name in [
        ".git/HEAD",
        ".git/index",
        ".git/config",
        ".git/refs/heads/main",
    ] {
        found.push((name.to_owned(), std::fs::read(folder.join(name)).unwrap()));
    }
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_name() == ".git" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().to_string_lossy().into_owned();
                found.push((name, std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn five_tasks(agent: Agent) {
    let Some(stage) = Stage::new(agent) else {
        return;
    };
    let repo = stage.repo();
    let tasks = [
        stage.task("a", "prompt = \"make a.txt\"", &["test -f a.txt"]),
        stage.task(
            "b",
            "prompt = \"make b.txt\"\ndepends_on = [\"a\"]",
            &[
                "test -f a.txt",
                &format!("grep -q two b.txt || {{ echo '{EVIDENCE}'; exit 3; }}"),
            ],
        ),
        stage.task(
            "c",
            "prompt = \"make c.txt\"\ndepends_on = [\"b\"]",
            &["test -f c.txt && grep -q two b.txt"],
        ),
        stage.task("d", "prompt = \"make d.txt\"", &["test -f d.txt"]),
        stage.task(
            "e",
            "prompt = \"make e.txt\"\ndepends_on = [\"b\", \"d\"]",
            &["cat a.txt b.txt d.txt e.txt"],
        ),
    ]
    .concat();
    for (number, name) in (1..).zip(["a", "c", "d", "e"]) {
        stage.script(
            name,
            turn(&format!("echo {name} > {name}.txt"), 1000 * number),
        );
    }
    let again = turn("echo two >> b.txt", 6000);
    stage.script("b", turn("echo one > b.txt", 5000).into_iter().chain(again));

    let before = everything(repo.path());
    let head = repo.git(["rev-parse", "HEAD"]);
    let ran = stage.run(&repo, &tasks).expect_code(0);
    assert!(!ran.stdout.contains('\u{1b}'), "no terminal, no colours");

    // The user's checkout is what it was, byte for byte.
    assert_eq!(everything(repo.path()), before);
    assert_eq!(repo.git(["rev-parse", "HEAD"]), head);
    assert_eq!(repo.git(["status", "--porcelain"]), "");

    for name in ["a", "b", "c", "d", "e"] {
        let shown = stage.show(name);
        assert_eq!(shown["task"]["state"], "done", "{name}: {shown:#}");
        assert_eq!(shown["task"]["basis"], "verified", "{name}");
        assert_eq!(stage.provider.steps_left(name), 0, "{name}");
        let branch = shown["task"]["branch"].as_str().unwrap();
        let message = repo.git(["log", "-1", "--format=%B", branch]);
        let id = shown["task"]["id"].as_str().unwrap();
        assert!(
            message.contains(&format!("Longhaul-Task: {id}")),
            "{message}"
        );
        let file = repo.git(["show", &format!("{branch}:{name}.txt")]);
        assert!(!file.is_empty());
        accounts(agent, &stage, name, &shown);
    }

    // One retry of b, in the same conversation, with the evidence.
    let b = stage.show("b");
    assert_eq!(b["task"]["retries"], 1, "{b:#}");
    assert_eq!(b["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(b["attempts"][1]["resumed"], true);
    let conversations = (
        &b["attempts"][0]["conversation"],
        &b["attempts"][1]["conversation"],
    );
    assert!(conversations.0.is_string());
    assert_eq!(conversations.0, conversations.1);
    let turns = stage.provider.turns("b");
    assert_eq!(turns.len(), 4);
    assert!(!turns[1].says(EVIDENCE));
    assert!(turns[2].says(EVIDENCE), "{}", turns[2].conversation());
    assert!(
        turns[2].says("make b.txt") && turns[2].says("exit 3"),
        "{}",
        turns[2].conversation()
    );
    let grades: Vec<&str> = b["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["grade"].as_str().unwrap())
        .collect();
    assert_eq!(grades, ["pass", "fail", "pass", "pass"]);
    // No fault of others: each in one attempt.
    for name in ["a", "c", "d", "e"] {
        assert_eq!(stage.show(name)["task"]["attempt"], 1, "{name}");
    }
    stage.expect_nothing_left();
}

/// Tokens are what the mock sent; the cost is what the agent itself said, if it says one.
fn accounts(agent: Agent, stage: &Stage, name: &str, shown: &Value) {
    let number = match name {
        "a" => 1,
        "c" => 2,
        "d" => 3,
        "e" => 4,
        _ => 0,
    };
    let (turns, input) = match number {
        0 => (4, 5000 + 5001 + 6000 + 6001),
        n => (2, 2 * 1000 * n + 1),
    };
    let used = &shown["task"]["usage"];
    assert_eq!(used["input"], input, "{name}: {used}");
    assert_eq!(used["output"], 7 * turns, "{name}: {used}");
    assert_eq!(used["cache_read"], 30 * turns, "{name}: {used}");
    let parts = shown["attempts"].as_array().unwrap();
    let sum: u64 = parts
        .iter()
        .map(|a| a["usage"]["input"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, input, "{name}: the attempts' parts are the whole");
    match agent {
        Agent::Claude => {
            let said: f64 = (1..=parts.len() as u64)
                .flat_map(|n| stage.stream(name, n))
                .filter(|event| event["type"] == "result")
                .map(|event| event["total_cost_usd"].as_f64().unwrap())
                .sum();
            let cost = used["cost_usd"].as_f64().unwrap();
            assert!(
                said > 0.0 && (said - cost).abs() < 1e-5,
                "{name}: {said} {cost}"
            );
        }
        Agent::Codex | Agent::Gemini | Agent::OpenCode => {
            assert_eq!(used["cost_usd"], Value::Null, "{name}: unknown is never 0");
        }
    }
}

/// One task of one turn, for the agents that are driven less.
fn one_task(agent: Agent, step: Step) {
    let Some(stage) = Stage::new(agent) else {
        return;
    };
    let repo = stage.repo();
    stage.script(
        "only",
        [
            step.usage(usage(100)),
            Step::text("Done.").usage(usage(200)),
        ],
    );
    let tasks = stage.task(
        "only",
        "prompt = \"make only.txt\"",
        &["grep -q hello only.txt"],
    );
    let ran = stage.run(&repo, &tasks);
    let shown = stage.show("only");
    assert_eq!(ran.code(), 0, "{ran:?}\n{shown:#}");
    assert_eq!(shown["task"]["attempt"], 1, "{shown:#}");
    assert!(stage.provider.turns("only")[0].says("make only.txt"));
    let used = &shown["task"]["usage"];
    assert_eq!(used["input"], 300, "{used}");
    assert_eq!(
        (used["output"].clone(), used["cache_read"].clone()),
        (14.into(), 60.into()),
        "{used}"
    );
    assert!(shown["attempts"][0]["conversation"].is_string());
    stage.expect_nothing_left();
}

#[test]
fn one_task_by_gemini_runs_to_done() {
    // In `edits` it is given no shell (facts/agents.md §1): its own tool writes the file.
    one_task(Agent::Gemini, Step::write("only.txt", "hello\n"));
}

#[test]
fn one_task_by_opencode_runs_to_done() {
    one_task(Agent::OpenCode, Step::shell("echo hello > only.txt"));
}

#[test]
fn t7_five_tasks_by_claude_with_a_failed_check_run_to_done() {
    five_tasks(Agent::Claude);
}

#[test]
fn t7_five_tasks_by_codex_with_a_failed_check_run_to_done() {
    five_tasks(Agent::Codex);
}
