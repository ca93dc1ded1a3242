//! Task files whose keys or values make no sense; every mistake is told at once, with its line.

use crate::stage::Stage;

/// A file with mistakes is refused whole.
#[track_caller]
fn refused(name: &str, text: &str) -> Stage {
    let stage = Stage::with_tasks(text);
    refused_on(&stage, name);
    stage
}

/// The stage's file is refused whole, in the same words by everything that looks at it.
#[track_caller]
fn refused_on(stage: &Stage, name: &str) {
    let told = stage.tells(name, 2, &["run"]);
    for others in [
        &["validate"][..],
        &["run", "--dry-run"],
        &["run", "--detach"],
    ] {
        let ran = stage.run(others);
        assert_eq!(ran.code(), 2, "{others:?}: {}", ran.stderr);
        assert_eq!(ran.stderr, told.stderr, "{others:?}");
    }
    stage.nothing_stored();
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    refused(
        "keys_unknown",
        "[defaults]\nharnes = \"script\"\n[[task]]\nname = \"a\"\nprompt = \"x\"\nmax_retry = 3\n\
         [[task.check]]\nrunn = \"make\"\n[[tasks]]\nname = \"b\"\n",
    );
}

#[test]
fn a_circle_is_printed() {
    refused(
        "cycle",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\ndepends_on = [\"c\"]\n\
         [[task]]\nname = \"b\"\nprompt = \"x\"\ndepends_on = [\"a\"]\n\
         [[task]]\nname = \"c\"\nprompt = \"x\"\ndepends_on = [\"b\"]\n\
         [[task]]\nname = \"self\"\nprompt = \"x\"\ndepends_on = [\"self\"]\n",
    );
}

#[test]
fn names() {
    refused(
        "names",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\n[[task]]\nname = \"a\"\nprompt = \"y\"\n\
         [[task]]\nname = \"fix/parser\"\nprompt = \"x\"\n[[task]]\nname = \"\"\nprompt = \"x\"\n\
         [[task]]\nname = \"..\"\nprompt = \"x\"\n[[task]]\nname = \"-rf\"\nprompt = \"x\"\n\
         [[task]]\nname = \"naïve plan\"\nprompt = \"x\"\n[[task]]\nprompt = \"x\"\n",
    );
}

#[test]
fn dependencies_that_nobody_has() {
    refused(
        "dependency_unknown",
        "[[task]]\nname = \"parser\"\nprompt = \"x\"\n\
         [[task]]\nname = \"b\"\nprompt = \"x\"\ndepends_on = [\"parsr\", \"elsewhere\", \"parsr\"]\n",
    );
}

#[test]
fn durations_and_counts() {
    refused(
        "durations",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\ntimeout = 0\nidle_timeout = \"0s\"\nanswer_timeout = \"5 parsecs\"\n\
         max_retries = -1\nmax_restarts = 2.5\nbudget_usd = -1\nbudget_tokens = \"many\"\n\
         [[task.check]]\nrun = \"make\"\ntimeout = \"30m1h\"\nretry_flaky = 21\n",
    );
}

#[test]
fn what_this_version_does_not_have() {
    refused(
        "not_in_this_version",
        "[[task]]\nname = \"b\"\nprompt = \"x\"\naccount = \"work\"\n",
    );
}

#[test]
fn money_that_cannot_be_counted() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"codex\"\nbudget_usd = 5\n",
    );
    stage.world.program("codex", "exit 0").unwrap();
    refused_on(&stage, "budget_usd_with_codex");
    // Nor with the one that `auto` finds.
    stage.write(
        "tasks.toml",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nbudget_usd = 5\n",
    );
    refused_on(&stage, "budget_usd_with_auto");
}

#[test]
fn s12_profiles_that_a_task_cannot_have() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\nprofile = \"carefull\"\n\
         [[task]]\nname = \"b\"\nprompt = \"say x\"\nprofile = \"nobody\"\n\
         [[task]]\nname = \"c\"\nprompt = \"say x\"\nharness = \"script\"\nprofile = \"wild\"\n\
         [[task]]\nname = \"d\"\nprompt = \"say x\"\nharness = \"codex\"\nprofile = \"careful\"\n",
    );
    stage.config(
        "[profile.careful]\nmax_budget_usd = 1\n[profile.nobody]\nagent = \"cluade\"\n\
         [profile.wild]\npermission_mode = \"bypass\"\n",
    );
    refused_on(&stage, "profiles");
}

#[test]
fn t25_bypass_as_root_without_a_sandbox() {
    let flags = [
        "add",
        "--name",
        "a",
        "--prompt",
        "x",
        "--harness",
        "claude",
        "--permission",
        "bypass",
        "--sandbox",
        "off",
    ];
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"claude\"\npermission = \"bypass\"\nsandbox = \"off\"\n",
    );
    stage.world.program("claude", "exit 0").unwrap();
    assert_eq!(stage.run(["trust", "--yes"]).code(), 0);
    if !rustix::process::geteuid().is_root() {
        // Anyone else may: their rights are their own.
        assert_eq!(stage.run(["validate"]).code(), 0);
        return;
    }
    refused_on(&stage, "bypass_as_root");
    stage.tells("bypass_as_root_add", 2, &flags);
    stage.nothing_stored();
    // The user's own word about the machine.
    stage.config("sandboxed = true\n");
    assert_eq!(stage.run(["validate"]).code(), 0);
}

#[test]
fn t7_a_prompt_that_no_command_line_takes() {
    let stage = Stage::with_tasks(format!(
        "[[task]]\nname = \"a\"\nprompt = \"{}\"\nharness = \"mine\"\n",
        "x".repeat(70_000)
    ));
    stage.world.program("mine", "exit 0").unwrap();
    stage.config("[harness.mine]\nprogram = \"mine\"\ntask_flag = \"--task\"\n");
    refused_on(&stage, "prompt_too_long_for_a_flag");
}

#[test]
fn secrets_do_not_belong_into_a_file() {
    let stage = refused(
        "secret_literal",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\n[task.env]\n\
         ANTHROPIC_API_KEY = \"sk-ant-api03-0123456789abcdefghijklmnopqrstuvwxyz\"\n\
         GITHUB_TOKEN = \"ghp_0123456789abcdefghijklmnopqrstuvwxyz\"\nRUST_LOG = \"info\"\n",
    );
    let ran = stage.run(["run"]);
    for secret in ["sk-ant-api03-0123", "ghp_0123"] {
        assert!(!ran.stderr.contains(secret), "{}", ran.stderr);
    }
}

#[test]
fn paths_and_patterns_that_lead_out() {
    refused(
        "paths_and_globs",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\ndir = \"../other\"\nprotect = [\"tests/[a\", \"\", \"/etc/**\"]\n\
         keep = [\"../**\"]\n[[task]]\nname = \"b\"\nprompt = \"x\"\ndir = \"/etc\"\n\
         [[task]]\nname = \"c\"\nprompt = \"x\"\nprotect = \"tests/**\"\n",
    );
}

#[test]
fn checks_that_say_too_much_or_nothing() {
    refused(
        "checks",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\n\
         [[task.check]]\nrun = \"make\"\nmodel = \"is it good?\"\n\
         [[task.check]]\nname = \"nothing\"\n\
         [[task.check]]\nrun = \"\"\n\
         [[task.check]]\nname = \"twice\"\nrun = \"make\"\n\
         [[task.check]]\nname = \"twice\"\nrun = \"make\"\n\
         [[task.check]]\nmodel = \"is it good?\"\njudge = \"nobody\"\n\
         [[task.check]]\nagent = \"review\"\nharness = \"nobody\"\n\
         [[task.check]]\nrun = \"make\"\nbudget_usd = 1\n",
    );
}

#[test]
fn values_of_the_wrong_kind() {
    refused(
        "wrong_kinds",
        "[defaults]\npriority = \"urgent\"\n[[task]]\nname = 7\nprompt = [\"x\"]\nworkspace = \"tree\"\n\
         permission = \"yolo\"\nsandbox = \"maybe\"\nexpect = \"miracle\"\non_drift = 1\nlabels = \"a\"\n\
         env = \"A=B\"\n[task.check]\nrun = \"make\"\n",
    );
}

#[test]
fn an_unknown_harness() {
    refused(
        "harness_unknown",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"cluade\"\n",
    );
}

#[test]
fn an_agent_that_is_not_installed() {
    let stage = Stage::with_tasks("[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"claude\"\n");
    stage.tells("agent_not_installed", 2, &["run"]);
    // The file is no worse for it: it may be meant for another machine.
    stage.tells("agent_not_installed_validate", 0, &["validate"]);
    stage.nothing_stored();
    stage.write("tasks.toml", "[[task]]\nname = \"a\"\nprompt = \"x\"\n");
    stage.tells("no_agent_installed", 2, &["run"]);
    stage.tells("no_agent_installed_validate", 0, &["validate"]);
    stage.nothing_stored();
}

#[test]
fn the_users_own_words_need_trust() {
    refused(
        "bypass_untrusted",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"script\"\npermission = \"bypass\"\nsandbox = \"off\"\n",
    );
}

#[test]
fn a_script_with_a_mistake() {
    refused(
        "script_mistake",
        "[[task]]\nname = \"a\"\nharness = \"script\"\nprompt = \"\"\"\nsay on my way\nfly to the moon\n\"\"\"\n",
    );
}

#[test]
fn checks_that_nobody_here_can_judge() {
    refused(
        "check_without_judge",
        "[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\n[[task.check]]\nname = \"tone\"\nmodel = \"friendly?\"\n",
    );
    refused(
        "check_reviewed_by_script",
        "[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\n[[task.check]]\nname = \"review\"\nagent = \"good?\"\n",
    );
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\n[[task.check]]\nname = \"review\"\nagent = \"good?\"\nharness = \"codex\"\n",
    );
    stage.tells("check_reviewer_not_installed", 2, &["run"]);
    assert_eq!(stage.run(["validate"]).code(), 0);
    stage.nothing_stored();
    refused(
        "check_review_in_place",
        "[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\nworkspace = \"in-place\"\n[[task.check]]\nname = \"review\"\nagent = \"good?\"\nharness = \"claude\"\n",
    );
}
