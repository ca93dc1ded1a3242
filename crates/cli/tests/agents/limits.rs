//! Limits, overload and a refused login, as the real clients tell of them (A4, A5, A7, T27).

use std::time::Duration;

use longhaul_testkit::provider::Step;
use longhaul_testkit::world::wait_until;
use serde_json::Value;

use crate::stage::{Agent, RUN_LIMIT, Stage};

/// Seconds from now until a used-up window starts anew: longer than an agent needs to start.
const AHEAD_S: i64 = 12;

pub(crate) fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}

/// The rows of a task's history that have this cause.
fn rows<'v>(shown: &'v Value, cause: &str) -> Vec<&'v Value> {
    let all = shown["ledger"].as_array().unwrap();
    all.iter().filter(|row| row["cause"] == cause).collect()
}

/// A used-up window: the task rests until its reset, then resumes the conversation; no retry is burnt.
fn quota(stage: &Stage, refusal: impl FnOnce(i64) -> Step) {
    let repo = stage.repo();
    let tasks = stage.task("q", "prompt = \"make q.txt\"", &["test -f q.txt"]);
    let reset = now_s() + AHEAD_S;
    let work = [Step::shell("echo q > q.txt"), Step::text("Done.")];
    stage.script("q", std::iter::once(refusal(reset)).chain(work));
    let (running, _) = stage.start(&repo, &tasks);
    let parked = wait_until(Duration::from_secs(30), || {
        stage
            .try_show("q")
            .is_some_and(|s| s["task"]["state"] == "parked")
    });
    let resting = stage.show("q");
    assert!(parked, "{resting:#}");
    assert_eq!(resting["task"]["until_ms"], reset * 1000, "{resting:#}");
    assert_eq!(resting["task"]["bucket"], "working");
    let ran = running.finish(RUN_LIMIT).expect_code(0);

    let shown = stage.show("q");
    assert_eq!(shown["task"]["state"], "done", "{ran:?}");
    assert_eq!(shown["task"]["retries"], 0);
    let limits = rows(&shown, "limit");
    assert_eq!(limits.len(), 1, "{shown:#}");
    assert_eq!(limits[0]["data"]["class"], "quota");
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0]["outcome"], "limited");
    // I15: not before the reset.
    assert!(attempts[1]["started_at_ms"].as_i64().unwrap() >= reset * 1000);
    assert_eq!(attempts[1]["resumed"], true);
    assert_eq!(attempts[0]["conversation"], attempts[1]["conversation"]);
    assert_eq!(stage.provider.steps_left("q"), 0);
    stage.expect_nothing_left();
}

#[test]
fn a5_claude_rests_until_its_window_resets_and_resumes() {
    let Some(mut stage) = Stage::new(Agent::Claude) else {
        return;
    };
    stage.subscription();
    quota(&stage, Step::claude_quota);
}

#[test]
fn a5_codex_rests_until_its_window_resets_and_resumes() {
    let Some(stage) = Stage::new(Agent::Codex) else {
        return;
    };
    quota(&stage, Step::codex_quota);
}

#[test]
fn a7_an_overloaded_service_is_waited_for_and_is_no_retry() {
    let Some(stage) = Stage::new(Agent::Claude) else {
        return;
    };
    let repo = stage.repo();
    let mut tasks = stage.task(
        "o",
        "prompt = \"make o.txt\"\nmax_retries = 0",
        &["test -f o.txt"],
    );
    tasks = tasks.replace(
        "[task.env]\n",
        "[task.env]\nCLAUDE_CODE_MAX_RETRIES = \"0\"\n",
    );
    let work = [Step::shell("echo o > o.txt"), Step::text("Done.")];
    stage.script(
        "o",
        [Step::error(529), Step::error(529)].into_iter().chain(work),
    );
    let ran = stage.run(&repo, &tasks);
    let shown = stage.show("o");
    assert_eq!(ran.code(), 0, "{ran:?}\n{shown:#}");
    assert_eq!(shown["task"]["retries"], 0);
    let limits = rows(&shown, "limit");
    assert!(!limits.is_empty(), "{shown:#}");
    for row in limits {
        assert_eq!(row["data"]["class"], "overload", "{row:#}");
        let waited = row["data"]["until"].as_i64().unwrap() - row["at_ms"].as_i64().unwrap();
        assert!((1000..=2000).contains(&waited), "{row:#}");
    }
    stage.expect_nothing_left();
}

/// A key that the provider refuses: a person is asked at once, with the login command.
fn refused_key(agent: Agent, quick: &str, remedy: &str) {
    let Some(stage) = Stage::new(agent) else {
        return;
    };
    let repo = stage.repo();
    let mut tasks = stage.task("k", "prompt = \"make k.txt\"", &["test -f k.txt"]);
    tasks = tasks.replace("[task.env]\n", &format!("[task.env]\n{quick}"));
    stage.script("k", std::iter::repeat_n(Step::error(401), 30));
    let ran = stage.run(&repo, &tasks);
    let shown = stage.show("k");
    assert_eq!(ran.code(), 3, "{ran:?}\n{shown:#}");
    assert_eq!(shown["task"]["state"], "needs_human");
    let need = &shown["task"]["need"];
    assert_eq!(need["kind"], "logged_out", "{need:#}");
    assert!(
        need["remedy"].as_str().unwrap().contains(remedy),
        "{need:#}"
    );
    assert!(ran.stdout.contains(remedy), "{}", ran.stdout);
    assert_eq!(shown["task"]["retries"], 0);
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1);
    stage.expect_nothing_left();
}

#[test]
fn t27_a_refused_key_of_claude_needs_a_person() {
    refused_key(
        Agent::Claude,
        "CLAUDE_CODE_MAX_RETRIES = \"0\"\n",
        "claude /login",
    );
}

#[test]
fn t27_a_refused_key_of_codex_needs_a_person() {
    refused_key(Agent::Codex, "", "codex login");
}
