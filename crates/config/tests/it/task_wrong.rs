//! Wrong task files and what is said about them: each a reviewed snapshot.

use super::world::World;

fn said(world: &World, text: impl AsRef<[u8]>) -> String {
    let diagnostics = world.parse(text.as_ref()).expect_err("the text is wrong");
    assert!(diagnostics.has_errors());
    let colored = diagnostics.render(true);
    assert!(
        colored.contains("\u{1b}[1;31m"),
        "colour is used where asked for"
    );
    diagnostics.render(false)
}

macro_rules! wrong {
    ($($name:ident: $text:expr;)+) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(said(&World::default(), $text));
        })+
    };
}

/// A task that is right so far, with more lines.
fn task(lines: &str) -> String {
    format!("[[task]]\nname = \"a\"\nprompt = \"Do it.\"\n{lines}\n")
}

wrong! {
    unknown_key: task("promt = \"x\"\nbanana = 1");
    unknown_top_level: "[default]\n[tasks]\nname = \"a\"\n";
    key_outside_a_task: "name = \"a\"\nprompt = \"x\"\n";
    no_task_at_all: "# nothing\n";
    single_bracket_task: "[task]\nname = \"a\"\n";
    every_problem_at_once: "[[task]]\nname = \"a b\"\ntimeout = \"45\"\nmax_retries = -1\n\n[[task]]\nprompt = \"x\"\nkeep = [\"[\"]\n";
    syntax_errors: "[[task]]\nname = \"a\nprompt = \n[[task\nname = 'b'\nname = 'b'\n";
    duplicate_key: task("name = \"b\"");
    not_utf8: b"[[task]]\nname = \"caf\xe9\"\n";
    utf16: b"\xff\xfe[\0[\0";
    wrong_types: task("base = 1\nlabels = \"x\"\nallow = [\"ok\", 2]\nmax_retries = 2.0\nbudget_tokens = 1.5\nenv = \"A=B\"\ndir = 1979-05-27\nland = 3\ncheck = \"cargo test\"");
    empty_and_long_names: format!("[[task]]\nname = \"\"\nprompt = \"x\"\n[[task]]\nname = \"{}\"\nprompt = \"x\"\n", "n".repeat(101));
    invalid_names: "[[task]]\nname = \"fix it\"\nprompt = \"x\"\n[[task]]\nname = \"a/b\"\nprompt = \"x\"\n[[task]]\nname = \"-x\"\nprompt = \"x\"\n[[task]]\nname = \"a..b\"\nprompt = \"x\"\n";
    duplicate_names: format!("{}\n{}", task(""), task(""));
    mistyped_required_keys: "[[task]]\nnmae = \"a\"\npromt = \"x\"\n[[task.check]]\nrnu = \"make\"\n";
    missing_name_and_prompt: "[[task]]\nrepo = \".\"\n";
    both_prompts: task("prompt_file = \"prompts/ok.md\"");
    empty_prompt: "[[task]]\nname = \"a\"\nprompt = \"  \\n\"\n";
    prompt_file_missing: "[[task]]\nname = \"a\"\nprompt_file = \"prompts/no.md\"\n";
    prompt_file_not_utf8: "[[task]]\nname = \"a\"\nprompt_file = \"prompts/latin1.md\"\n";
    prompt_file_too_big: "[[task]]\nname = \"a\"\nprompt_file = \"prompts/big.md\"\n";
    prompt_file_empty: "[[task]]\nname = \"a\"\nprompt_file = \"prompts/empty.md\"\n";
    unknown_dependency: "[[task]]\nname = \"build\"\nprompt = \"x\"\n[[task]]\nname = \"test\"\nprompt = \"x\"\ndepends_on = [\"biuld\"]\n";
    self_dependency: task("depends_on = [\"a\"]");
    cycle: "[[task]]\nname = \"a\"\nprompt = \"x\"\ndepends_on = [\"b\"]\n[[task]]\nname = \"b\"\nprompt = \"x\"\ndepends_on = [\"old-task\", \"c\"]\n[[task]]\nname = \"c\"\nprompt = \"x\"\ndepends_on = [\"a\"]\n";
    check_none_of_three: task("[[task.check]]\nname = \"x\"\n");
    check_two_of_three: task("[[task.check]]\nrun = \"make\"\nmodel = \"is it good?\"\n[[task.check]]\nagent = \"look\"\nmodel = \"is it good?\"\n");
    check_duplicate_names: task("[[task.check]]\nname = \"t\"\nrun = \"make\"\n[[task.check]]\nname = \"t\"\nrun = \"make test\"\n");
    check_unknown_key: task("[[task.check]]\nrun = \"make\"\ntimout = \"1m\"\njudge = \"lokal\"\n");
    negative_numbers: task("max_retries = -1\nbudget_tokens = -5\nbudget_usd = -1.5\nmax_restarts = 99999999999");
    nan_and_infinite_budget: format!("{}{}", task("budget_usd = nan"), "[[task]]\nname = \"b\"\nprompt = \"x\"\nbudget_usd = inf\n");
    i10_budget_without_known_cost: task("harness = \"gemini-cli\"\nbudget_usd = 5");
    i10_reviewer_budget_without_known_cost: task("[[task.check]]\nagent = \"look\"\nharness = \"aider\"\nbudget_usd = 1\n");
    unknown_harness: task("harness = \"cluade\"");
    s12_profile_that_cannot_be_kept: task("profile = \"odd\"\n[[task]]\nname = \"b\"\nprompt = \"x\"\nprofile = \"cheap\"\nharness = \"gemini\"\n");
    unknown_profile_and_judge: task("profile = \"carefull\"\n[[task.check]]\nmodel = \"good?\"\njudge = \"lokal\"\n");
    landing_unverified_or_with_what_means_nothing: format!("{}[[task]]\nname = \"b\"\nprompt = \"x\"\nland = \"pr\"\nland_check = [\"make\"]\n[[task]]\nname = \"c\"\nprompt = \"x\"\nland = \"PR\"\n", task("land = true"));
    account_is_refused_by_name: task("account = \"work\"");
    t26_secrets_are_refused_and_not_shown: task("[task.env]\nA = \"sk-ant-api03-verysecret123\"\nB = \"ghp_0123456789abcdefghij0123456789abcdef\"\nC = { from = \"C\" }\nDB_PASSWORD = \"a8f5f167f44f4964e6c998dee827110c\"\n");
    i12_a_syntax_error_does_not_show_a_secret: "[task.env]\nA = \"sk-ant-api03-verysecret123\nB = ghp_0123456789abcdefghij0123456789abcdef\n";
    bad_env: task("env_pass = [\"OK\", \"A-B\", \"OK2\"]\n[task.env]\n1A = \"x\"\nPORT = 3000\nLONGHAUL_X = \"y\"\nE = {}\nF = { form = \"X\" }\nOK2 = \"x\"\n");
    bad_globs: task("protect = [\"tests/**\", \"[a\", \"../x\", \"/etc/*\"]\nkeep = [\"{a\"]");
    dir_leaves_the_repository: format!("{}[[task]]\nname = \"b\"\nprompt = \"x\"\ndir = \"a/../../b\"\n", task("dir = \"/etc\""));
    durations: task("timeout = 45\nidle_timeout = \"45\"\nanswer_timeout = \"1.5m\"\n[[task.check]]\nrun = \"make\"\ntimeout = \"0s\"\n[[task.check]]\nrun = \"make\"\ntimeout = \"99999999999d\"\n");
    words: task("workspace = \"inplace\"\npriority = \"urgent\"\npermission = \"Edits\"\nsandbox = \"on\"\nexpect = \"changes\"\non_drift = \"stop\"");
    bad_base_and_model: task("base = \"--upload-pack=x\"\nmodel = \"--dangerously-skip-permissions\"\nrepo = \"~/src\"");
    in_place_contradictions: task("workspace = \"in-place\"\nbase = \"main\"\nteardown = \"rm -r x\"");
    plan_never_changes: task("permission = \"plan\"\nexpect = \"change\"");
    both_spellings: task("dir = \"x\"\ncwd = \"y\"\ntimeout_min = 0");
    name_in_defaults: format!("[defaults]\nname = \"x\"\ntimeuot = \"1m\"\n{}", task(""));
    nul_in_a_string: task("setup = \"a\\u0000b\"");
    t31_terminal_sequences_are_not_echoed: task("harness = \"\\u001b[31mred\"\n\"\\u001b]0;x\" = 1");
}

#[test]
fn t23_t25_the_users_own_words_need_trust() {
    let world = World {
        trusted: false,
        ..World::default()
    };
    let text = task("permission = \"bypass\"\nsandbox = \"off\"");
    insta::assert_snapshot!(said(&world, &text));
    assert!(World::default().parse(text.as_bytes()).is_ok());
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let text = vec![b'#'; (16 << 20) + 1];
    insta::assert_snapshot!(said(&World::default(), text));
}

#[test]
fn i16_findings_are_bounded() {
    let text = task(&(0..1000).map(|n| format!("k{n} = 1\n")).collect::<String>());
    let diagnostics = World::default()
        .parse(text.as_bytes())
        .expect_err("unknown keys");
    assert_eq!(diagnostics.items().len(), 200);
    assert_eq!(diagnostics.omitted(), 800);
}

#[test]
fn i16_a_hostile_chain_or_nest_neither_overflows_nor_hangs() {
    let chain: String = (0..9_000)
        .map(|n| {
            format!(
                "[[task]]\nname = \"t{n}\"\nprompt = \"x\"\ndepends_on = [\"t{}\"]\n",
                (n + 1) % 9_000
            )
        })
        .collect();
    let diagnostics = World::default()
        .parse(chain.as_bytes())
        .expect_err("a circle");
    assert_eq!(diagnostics.items().len(), 1);
    let unknown: String = (0..9_000)
        .map(|n| format!("[[task]]\nname = \"t{n}\"\nprompt = \"x\"\ndepends_on = [\"u{n}\"]\n"))
        .collect();
    assert!(World::default().parse(unknown.as_bytes()).is_err());
    let nest = format!("x = {}", "[".repeat(100_000));
    assert!(World::default().parse(nest.as_bytes()).is_err());
}

#[test]
fn i16_defaults_are_not_multiplied_without_bound() {
    let tasks = |n: usize| -> String {
        (0..n)
            .map(|n| format!("[[task]]\nname = \"t{n}\"\n"))
            .collect()
    };
    let setup = format!(
        "[defaults]\nprompt = \"x\"\nsetup = \"{}\"\n{}",
        "y".repeat(1 << 20),
        tasks(300)
    );
    insta::assert_snapshot!(said(&World::default(), setup));
    let prompt = format!(
        "[defaults]\nprompt = \"{}\"\n{}",
        "y".repeat(1 << 20),
        tasks(300)
    );
    let said = said(&World::default(), prompt);
    assert!(said.contains("the prompts of this file exceed"));
}

#[test]
fn i16_long_lines_are_shown_in_part_and_quickly() {
    let keys: String = (0..150_000)
        .map(|n| format!("k{n} = \"sk-ant-api03-verysecret{n}\", "))
        .collect();
    let said = said(
        &World::default(),
        task(&format!("x = {{ {keys} a = 1 }}\ny = {{ a = 1, a = 2 }}")),
    );
    assert!(said.len() < 2_000);
}
