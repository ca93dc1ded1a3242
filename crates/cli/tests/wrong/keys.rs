//! Task files whose keys or values make no sense; every mistake is told at once, with its line.

use crate::stage::Stage;

/// A file with mistakes is refused whole.
#[track_caller]
fn refused(name: &str, text: &str) -> Stage {
    let stage = Stage::with_tasks(text);
    stage.tells(name, 2, &["run"]);
    stage.nothing_stored();
    stage
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
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"script\"\nland = true\n\
         [[task]]\nname = \"b\"\nprompt = \"x\"\naccount = \"work\"\nland_check = [\"make\"]\n",
    );
}

#[test]
fn money_that_cannot_be_counted() {
    let stage = Stage::with_tasks(
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"codex\"\nbudget_usd = 5\n",
    );
    stage.world.program("codex", "exit 0").unwrap();
    stage.tells("budget_usd_with_codex", 2, &["run"]);
    stage.nothing_stored();
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
    refused(
        "agent_not_installed",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\nharness = \"claude\"\n",
    );
    refused(
        "no_agent_installed",
        "[[task]]\nname = \"a\"\nprompt = \"x\"\n",
    );
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
    refused(
        "check_reviewer_not_installed",
        "[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\n[[task.check]]\nname = \"review\"\nagent = \"good?\"\nharness = \"codex\"\n",
    );
    refused(
        "check_review_in_place",
        "[[task]]\nname = \"a\"\nprompt = \"say x\"\nharness = \"script\"\nworkspace = \"in-place\"\n[[task.check]]\nname = \"review\"\nagent = \"good?\"\nharness = \"claude\"\n",
    );
}
