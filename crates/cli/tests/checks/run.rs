//! `run` checks (T9, T12, T26).

use longhaul_testkit::world::wait_until;
use std::time::Duration;

use crate::stage::Stage;

#[test]
fn t9_checks_run_in_order_and_stop_at_the_first_fail() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"t\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nname = \"first\"\nrun = \"echo one\"\n\
         [[task.check]]\nname = \"second\"\nrun = \"echo two; exit 7\"\n\
         [[task.check]]\nname = \"third\"\nrun = \"echo three\"\n",
    );
    stage.run(3);
    assert_eq!(
        stage.told("t"),
        ["first pass: exit 0", "second fail: exit 7"]
    );
    let second = &stage.verdicts("t")[1];
    assert_eq!(second["exit"], 7);
    assert_eq!(second["tail"], "two\n");
    assert_eq!(second["command"], "echo two; exit 7");
    assert_eq!(second["kind"], "run");
    let branch = stage.branch("t");
    assert_eq!(second["commit"], stage.git(&["rev-parse", &branch]));
    // The evidence is shown to people, too, and the whole output is kept.
    let shown = stage.call(&["show", "t"]).stdout;
    for text in ["first", "second", "exit 7", "two", "echo two; exit 7"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let evidence = stage
        .world
        .state()
        .join(second["evidence"].as_str().unwrap());
    assert!(evidence.is_dir(), "{}", evidence.display());
}

#[test]
fn t7_t9_the_next_attempt_is_told_and_long_output_is_cut() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"t\"\nmax_retries = 1\nprompt = '''\n@attempt 1\nwrite a.txt x\n@attempt 2..\n\
         expect-prompt the last line of the check\nexpect-prompt exit 3\nexpect-prompt picky\nwrite ok.txt y\n'''\n\
         [[task.check]]\nname = \"picky\"\n\
         run = \"test -f ok.txt && exit 0; seq 1 100000; echo äöü; echo the last line of the check >&2; exit 3\"\n",
    );
    stage.run(0);
    let all = stage.verdicts("t");
    assert_eq!(all.len(), 2, "{all:#?}");
    let tail = all[0]["tail"].as_str().unwrap();
    assert!(
        tail.len() <= 16 * 1024 && tail.len() > 15 * 1024,
        "{}",
        tail.len()
    );
    assert!(
        tail.ends_with("100000\näöü\nthe last line of the check\n"),
        "{tail}"
    );
    assert!(!tail.contains('\u{fffd}'));
    // People get the end of it, not sixteen kilobytes.
    let shown = stage.call(&["show", "t"]).stdout;
    assert!(shown.len() < 8 * 1024, "{}", shown.len());
}

#[test]
fn t9_i8_a_timeout_ends_the_whole_tree() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"t\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nname = \"slow\"\ntimeout = \"1s\"\n\
         run = \"echo begun; setsid -f sleep 31415; (setsid sleep 31416 &); nohup sleep 31417 & sleep 31418\"\n",
    );
    stage.run(3);
    let verdict = stage.verdict("t");
    assert_eq!(verdict["grade"], "fail");
    assert_eq!(verdict["reason"], "took longer than 1s");
    assert!(
        verdict["tail"].as_str().unwrap().contains("begun"),
        "{verdict:#}"
    );
    assert!(verdict["took_ms"].as_u64().unwrap() < 8_000, "{verdict:#}");
    no_sleeper(&stage);
}

#[test]
fn i8_what_a_check_leaves_running_ends_with_it() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"t\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nrun = \"setsid -f sleep 31415 >/dev/null 2>&1; exit 0\"\n\
         [[task.check]]\nname = \"holds its output open\"\nrun = \"sleep 31416 & exit 0\"\n",
    );
    stage.run(0);
    no_sleeper(&stage);
}

#[track_caller]
fn no_sleeper(stage: &Stage) {
    let sleepers = || {
        let mut all = stage.world.processes();
        all.retain(|p| p.command.contains("sleep 3141"));
        all
    };
    assert!(
        wait_until(Duration::from_secs(5), || sleepers().is_empty()),
        "{:#?}",
        sleepers()
    );
}

#[test]
fn t9_a_check_that_changes_tracked_files_fails_and_names_them() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"edits\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nrun = \"echo more >> README.md; rm sub/inner.txt; chmod +x a.txt\"\n\
         [[task]]\nname = \"commits\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nrun = \"echo new > new.txt; git add new.txt; git -c user.name=x -c user.email=x@x commit -qm sneaky\"\n\
         [[task]]\nname = \"harmless\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nrun = \"touch README.md; touch new.txt; mkdir -p out; touch out/x.ignored\"\n",
    );
    stage.run(3);
    let told = stage.told("edits");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("the check changed files: README.md, a.txt, sub/inner.txt"),
        "{told:?}"
    );
    // What the check added to the branch was never checked itself.
    let branch = stage.branch("commits");
    let moved = format!(
        "check-1 fail: exit 0; the branch {branch} moved while the check ran; it left 1 untracked file that will not be committed: new.txt"
    );
    assert_eq!(stage.told("commits"), [moved]);
    assert_eq!(
        stage.told("harmless"),
        ["check-1 pass: exit 0; it left 1 untracked file that will not be committed: new.txt"]
    );
}

#[test]
fn t9_what_a_check_leaves_is_not_drift() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"t\"\nmax_retries = 2\nprompt = '''\n@attempt 1\nwrite a.txt x\n@attempt 2\nwrite b.txt y\n\
         @attempt 3\nwrite c.txt z\n'''\n\
         [[task.check]]\nname = \"makes a mess\"\n\
         run = \"echo junk > report.log; test -f b.txt || exit 1; test -f c.txt || { echo more >> README.md; exit 1; }\"\n",
    );
    stage.run(0);
    let shown = stage.show("t");
    assert_eq!(shown["task"]["attempt"], 3, "{shown:#}");
    assert_eq!(shown["task"]["retries"], 2);
    let branch = stage.branch("t");
    let files = stage.git(&["ls-tree", "-r", "--name-only", &branch]);
    for own in ["a.txt", "b.txt", "c.txt"] {
        assert!(files.lines().any(|f| f == own), "{files}");
    }
}

#[test]
fn t9_a_flaky_check_passes_and_is_said_to_be_flaky() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"flaky\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nname = \"moody\"\nretry_flaky = 2\nrun = \"test -f seen.ignored || { touch seen.ignored; exit 1; }\"\n\
         [[task]]\nname = \"broken\"\nprompt = \"write a.txt x\"\n\
         [[task.check]]\nname = \"never\"\nretry_flaky = 2\nrun = \"exit 1\"\n",
    );
    stage.run(3);
    let all = stage.verdicts("flaky");
    let of = |key: &str| all.iter().map(|v| v[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("grade"), ["fail", "pass"]);
    assert_eq!(of("run"), [0, 1]);
    assert_eq!(of("flaky"), [false, true]);
    assert!(stage.call(&["show", "flaky"]).stdout.contains("flaky"));
    assert!(stage.call(&["report"]).stdout.contains("flaky"));
    assert_eq!(stage.verdicts("broken").len(), 3);
    assert_eq!(stage.show("broken")["task"]["attempt"], 1);
}

#[test]
fn t26_checks_get_no_account_keys() {
    let mut stage = Stage::new("");
    for name in [
        "ANTHROPIC_API_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "MY_TOKEN",
    ] {
        stage.world.set_env(name, format!("value-of-{name}"));
    }
    let stage = stage.with_reviewer();
    std::fs::write(stage.repo.join("agent.script"), "write a.txt x\n").unwrap();
    stage.tasks(&format!(
        "[[task]]\nname = \"script\"\nprompt = \"write a.txt x\"\nsetup = \"env > setup.ignored\"\n\
         [[task.check]]\nrun = \"env; cat setup.ignored\"\n\
         [[task]]\nname = \"claude\"\nprompt = \"x\"\nharness = \"claude\"\nenv_pass = [\"MY_TOKEN\"]\n\
         [task.env]\nANTHROPIC_API_KEY = {{ from = \"ANTHROPIC_API_KEY\" }}\nFAKE_AGENT_SCRIPT = {:?}\n\
         [[task.check]]\nrun = \"env\"\n",
        stage.repo.join("agent.script")
    ));
    stage.run(0);
    let tail = stage.verdict("script")["tail"].as_str().unwrap().to_owned();
    assert!(
        tail.contains("LONGHAUL_TASK=script\n") && tail.contains("HOME="),
        "{tail}"
    );
    assert!(!tail.contains("value-of-"), "{tail}");
    let tail = stage.verdict("claude")["tail"].as_str().unwrap().to_owned();
    assert!(!tail.contains("value-of-ANTHROPIC_API_KEY"), "{tail}");
    assert!(tail.contains("MY_TOKEN="), "{tail}");
    assert_eq!(
        stage.files_with("value-of-ANTHROPIC_API_KEY"),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn checks_run_in_the_tasks_folder() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"t\"\ndir = \"sub\"\nprompt = \"write new.txt x\"\n\
         [[task.check]]\nrun = \"pwd; test -f inner.txt && test -f new.txt && test -f ../README.md\"\n",
    );
    stage.run(0);
    let pwd = stage.verdict("t")["tail"]
        .as_str()
        .unwrap()
        .trim()
        .to_owned();
    let wanted = stage.workspace("t").join("sub");
    assert_eq!(std::path::Path::new(&pwd), wanted);
}

#[test]
fn a_check_that_cannot_run_is_a_fail() {
    let stage = Stage::new("");
    stage.tasks(
        "[[task]]\nname = \"missing\"\nprompt = \"write a.txt x\"\n[[task.check]]\nrun = \"no-such-program --now\"\n\
         [[task]]\nname = \"signal\"\nprompt = \"write a.txt x\"\n[[task.check]]\nrun = \"kill -SEGV $$\"\n\
         [[task]]\nname = \"syntax\"\nprompt = \"write a.txt x\"\n[[task.check]]\nrun = \"if then\"\n\
         [[task]]\nname = \"gone\"\nprompt = \"write a.txt x\"\n[[task.check]]\nrun = \"rm -rf .git * ; exit 0\"\n",
    );
    stage.run(3);
    assert_eq!(stage.told("missing"), ["check-1 fail: exit 127"]);
    assert_eq!(stage.told("signal"), ["check-1 fail: killed by signal 11"]);
    assert!(
        stage.told("syntax")[0].contains("fail: exit 2"),
        "{:?}",
        stage.told("syntax")
    );
    assert!(stage.told("gone")[0].contains("gone") || stage.told("gone")[0].contains("fail"));
}
