//! Permission modes as the real Claude keeps them, and one that does not (T23, T27).

use longhaul_testkit::provider::Step;

use crate::stage::{Agent, Stage};

/// A command that `edits` does not allow, whose effect a check looks for; agents like to add such tails.
const COMMAND: &str = "make -f rules.mk built 2>&1 | tail -5";
/// Agents judge its parts one by one: a rule of the whole line would never fit.
const ALLOW: &str = r#"allow = ["make -f rules.mk built", "tail -5"]"#;

fn denied_then_allowed(allow: &str) -> Option<(Stage, serde_json::Value, i32)> {
    let stage = Stage::new(Agent::Claude)?;
    let repo = stage.repo();
    repo.write("rules.mk", "built:\n\techo built > built.txt\n")
        .unwrap();
    repo.commit("Add rules");
    stage.script(
        "m",
        [Step::shell(COMMAND), Step::text("I could not run make.")],
    );
    let keys = format!("prompt = \"build it\"\n{allow}");
    let ran = stage.run(&repo, &stage.task("m", &keys, &["test -f built.txt"]));
    let shown = stage.show("m");
    Some((stage, shown, ran.code()))
}

#[test]
fn t27_a_denied_command_needs_a_person_and_the_allow_line_makes_it_work() {
    let Some((stage, shown, code)) = denied_then_allowed("") else {
        return;
    };
    assert_eq!(code, 3, "{shown:#}");
    let need = &shown["task"]["need"];
    assert_eq!(need["kind"], "permission_denied", "{need:#}");
    assert!(need["remedy"].as_str().unwrap().contains(ALLOW), "{need:#}");
    assert_eq!(shown["task"]["retries"], 0);
    assert_eq!(shown["attempts"][0]["denials"][0]["detail"], COMMAND);
    stage.expect_nothing_left();

    // The remedy, word for word.
    let Some((stage, shown, code)) = denied_then_allowed(ALLOW) else {
        return;
    };
    assert_eq!(code, 0, "{shown:#}");
    assert_eq!(shown["attempts"][0]["denials"].as_array().unwrap().len(), 0);
    stage.expect_nothing_left();
}

#[test]
fn t23_an_agent_in_another_mode_is_stopped_and_named() {
    let mut stage = Stage::fake(Agent::Claude);
    let script = stage.world.path("script");
    longhaul_testkit::world::write(
        &script,
        "%mode bypassPermissions\nsay working\nsleep 60s\nwrite x.txt hello\n",
    )
    .unwrap();
    stage.world.set_env("FAKE_AGENT_SCRIPT", script);
    let repo = stage.repo();
    let task = stage.task(
        "mode",
        "prompt = \"anything\"\nenv_pass = [\"FAKE_AGENT_SCRIPT\"]",
        &["true"],
    );
    let ran = stage.run(&repo, &task);
    let shown = stage.show("mode");
    assert_eq!(ran.code(), 3, "{ran:?}\n{shown:#}");
    let need = &shown["task"]["need"];
    assert_eq!(need["kind"], "mode_mismatch", "{need:#}");
    let detail = need["detail"].as_str().unwrap();
    assert!(
        detail.contains("acceptEdits") && detail.contains("bypassPermissions"),
        "{detail}"
    );
    assert_eq!(shown["task"]["retries"], 0);
    stage.expect_nothing_left();
}
