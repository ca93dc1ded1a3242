//! Command lines that make no sense, and orders for what is not there.

use longhaul_testkit::world::wait_until;

use crate::stage::{Stage, settled};

#[test]
fn verbs_and_flags_nobody_knows() {
    let stage = Stage::new();
    stage.tells("verb_unknown", 2, &["statsu"]);
    stage.tells("flag_unknown", 2, &["run", "--detatch"]);
    stage.tells("flags_conflict", 2, &["run", "--detach", "--wait"]);
    stage.tells("argument_missing", 2, &["show"]);
    stage.tells("value_wrong", 2, &["report", "--since", "yesterday-ish"]);
    stage.tells("state_unknown", 2, &["ls", "--state", "runing"]);
    stage.tells("color_wrong", 2, &["ls", "--color", "pink"]);
    stage.tells("check_flag_empty", 2, &["add", "--name", "x"]);
    stage.nothing_stored();
}

#[test]
fn with_json_errors_are_envelopes() {
    let stage = Stage::new();
    let ran = stage.tells("json_not_found", 6, &["show", "nobody", "--json"]);
    assert_eq!(ran.json()["kind"], "error");
    let ran = stage.tells("json_usage", 2, &["run", "nowhere.toml", "--json"]);
    assert_eq!(ran.json()["kind"], "error");
    // What the command line's own parser refuses is an answer, too.
    let ran = stage.tells("json_verb_unknown", 2, &["--json", "statsu"]);
    assert_eq!(ran.json()["kind"], "error");
}

#[test]
fn tasks_that_are_not_there() {
    let stage = Stage::with_tasks(
        "[defaults]\nharness = \"script\"\n[[task]]\nname = \"parser\"\nprompt = \"write a x\"\n\
         [[task]]\nname = \"lexer\"\nprompt = \"write b x\"\n",
    );
    stage.tells("not_found_no_store", 6, &["show", "parser"]);
    stage.run(["run", "--wait"]).expect_code(0);
    stage.tells("not_found_similar", 6, &["show", "parsr"]);
    stage.tells("not_found_id", 6, &["logs", "ffffffff"]);
    stage.tells(
        "not_found_attempt",
        6,
        &["logs", "parser", "--attempt", "7"],
    );
    stage.tells("order_not_found", 6, &["retry", "parsr", "lexer"]);
    stage.tells("order_not_now", 7, &["stop", "parser"]);
    stage.tells("send_to_nobody", 7, &["send", "parser", "hello"]);
    // Both ids begin with the time of the same second.
    let list = stage.run(["ls", "--all", "--json"]).json();
    let id = list["data"]["tasks"][0]["id"].as_str().unwrap().to_owned();
    let other = list["data"]["tasks"][1]["id"].as_str().unwrap().to_owned();
    let same = id
        .bytes()
        .zip(other.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let prefix = &id[..same.min(6)];
    let ran = stage.run(["show", prefix]);
    assert_eq!(ran.code(), 6, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("fits 2 tasks")
            && ran.stderr.contains("parser")
            && ran.stderr.contains("lexer")
            && ran.stderr.contains("more digits"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_same_name_twice_in_the_store() {
    let stage = Stage::with_tasks(
        "[defaults]\nharness = \"script\"\n[[task]]\nname = \"parser\"\nprompt = \"write a x\"\n",
    );
    stage.run(["run", "--wait"]).expect_code(0);
    stage.run(["run", "--wait", "--again"]).expect_code(0);
    let ran = stage.run(["show", "parser"]);
    // The newest one of a name, or a question: never the wrong one silently.
    assert!(matches!(ran.code(), 0 | 6), "{}", ran.stderr);
    if ran.code() == 6 {
        assert!(ran.stderr.contains("fits 2 tasks"), "{}", ran.stderr);
    }
}

#[test]
fn only_names_that_the_file_does_not_have() {
    let stage =
        Stage::with_tasks("[[task]]\nname = \"parser\"\nprompt = \"x\"\nharness = \"script\"\n");
    stage.tells("only_unknown", 2, &["run", "--only", "lexer"]);
    stage.nothing_stored();
}

#[test]
fn questions_nobody_can_answer() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"slow\"\nprompt = \"sleep 60s\"\nharness = \"script\"\n",
    );
    stage.run(["run", "--detach"]).expect_code(0);
    stage.tells("cancel_without_yes", 2, &["cancel", "slow"]);
    let shown = stage.run(["show", "slow", "--json"]).json();
    assert_ne!(shown["data"]["task"]["state"], "cancelled");
    stage.run(["cancel", "slow", "--yes"]).expect_code(0);
    let cancelled = || {
        let shown = stage.run(["show", "slow", "--json"]).json();
        shown["data"]["task"]["state"] == "cancelled"
    };
    assert!(wait_until(settled(), cancelled));
    stage.tells("uninstall_without_yes", 2, &["uninstall"]);
}

#[test]
fn nothing_to_talk_to() {
    let stage = Stage::new();
    stage.tells("daemon_not_running", 5, &["daemon", "status"]);
    stage.tells("ls_without_tasks", 0, &["ls"]);
    stage.tells("latest_without_tasks", 6, &["show", "latest"]);
    stage.nothing_stored();
}
