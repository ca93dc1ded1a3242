//! Agents that misbehave (facts/agents.md §3): each ends in the state that the rules name.

use longhaul_core::task::{NeedKind, State, StateWord, Task};
use longhaul_hosts::{ConfinementLevel, confinement_support};
use longhaul_testkit::world::read;
use serde_json::Value;

use crate::scene::{START, Scene, is_live, session_key};

/// The words of how each attempt ended, as `show` has them.
#[track_caller]
fn outcomes(shown: &Value) -> Vec<String> {
    let attempts = shown["attempts"].as_array().unwrap().iter();
    attempts
        .map(|a| a["outcome"].as_str().unwrap_or("none").to_owned())
        .collect()
}

#[track_caller]
fn need(task: &Task, kind: NeedKind) -> &str {
    match &task.state {
        State::NeedsHuman { need } => {
            assert_eq!(need.kind, kind, "{need:?}");
            &need.detail
        }
        other => panic!("{} is {other:?}", task.name),
    }
}

#[test]
fn t14_s2_broken_turns_are_told_apart_and_end_in_done() {
    let mut scene = Scene::new();
    let second = "@attempt 2..\nwrite a.txt a\ndone\n";
    let task = |name: &str, keys: &str, first: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\n{keys}\nprompt = '''\n{START}\n@attempt 1\n{first}\n{second}'''\n\n"
        )
    };
    scene.tasks(
        &[
            task("hangs", "idle_timeout = \"1s\"", "say a\nhang"),
            task("sleeps", "timeout = \"1s\"", "say a\nsleep 50s"),
            task(
                "stubborn",
                "timeout = \"1s\"",
                "ignore-term\nspawn trap '' TERM; sleep 3006\nsleep 50s",
            ),
            task("torn", "", "say a\ndie-midline"),
            task("silent", "", "say a\nexit 0"),
            task("odd-code", "", "say a\nexit 41"),
            task("crashes", "", "crash"),
            task("fails", "", "fail I could not"),
        ]
        .concat(),
    );
    scene.start();
    for (name, outcome, retries, restarts) in [
        ("hangs", "idle", 1, 0),
        ("sleeps", "timed_out", 1, 0),
        ("stubborn", "timed_out", 1, 0),
        ("torn", "crashed", 0, 1),
        ("silent", "crashed", 0, 1),
        ("odd-code", "crashed", 0, 1),
        ("crashes", "crashed", 0, 1),
        ("fails", "agent_error", 1, 0),
    ] {
        let task = scene.until_state(name, StateWord::Done);
        assert_eq!(
            outcomes(&scene.show(name)),
            [outcome, "completed"],
            "{name}"
        );
        assert_eq!(
            (task.tally.retries, task.tally.restarts),
            (retries, restarts),
            "{name}"
        );
    }
    let shown = scene.longhaul(&["show", "odd-code"]).expect_code(0);
    assert!(shown.stdout.contains("41"), "{}", shown.stdout);
    let all = scene.world.processes();
    assert!(
        !all.iter().any(|p| p.command.contains("sleep 3006")),
        "{all:#?}"
    );
    let done = [
        "hangs", "sleeps", "stubborn", "torn", "silent", "odd-code", "crashes", "fails",
    ];
    scene.audit(&done.map(|name| (name, StateWord::Done)));
}

#[test]
fn what_a_person_sends_is_read_in_another_turn_and_uses_up_no_retry() {
    let mut scene = Scene::new();
    let (now, checks) = (scene.wait_for("now"), scene.wait_for("checks"));
    scene.tasks(&format!(
        "[[task]]\nname = \"listens\"\nmax_retries = 0\nprompt = '''\n{START}\n@attempt 1\nwrite a.txt a\nrun {now}\n@attempt 2..\nexpect-prompt mind the gap\nexpect-prompt and the step\nwrite b.txt b\n@all\ndone\n'''\n\
         [[task.check]]\nname = \"both\"\nrun = \"{checks}; test -e a.txt && test -e b.txt\"\n"
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let task = scene.until("listens", "at work", is_live);
    for text in ["mind the gap", "and the step"] {
        let said = scene.longhaul(&["send", "listens", text]).expect_code(0);
        assert!(
            said.stdout.contains("when its turn ends"),
            "{}",
            said.stdout
        );
    }
    // What was said outlives the daemon.
    scene.daemon().unwrap().kill();
    scene.open("now");
    scene.longhaul(&["daemon", "start"]);
    let task = scene.until("listens", "checked", |t| {
        t.fence > task.fence && t.state.word() == StateWord::Verifying
    });
    assert_eq!((task.tally.retries, task.tally.restarts), (0, 0));
    assert!(task.carry.messages.is_empty() && task.carry.note.is_none());
    let late = scene
        .longhaul(&["send", "listens", "one more"])
        .expect_code(7);
    assert!(late.stderr.contains("retry --note"), "{}", late.stderr);
    scene.open("checks");
    scene.until_state("listens", StateWord::Done);
    scene
        .longhaul(&["send", "listens", "too late"])
        .expect_code(7);
    scene.longhaul(&["send", "nobody", "hello"]).expect_code(6);
    scene.longhaul(&["attach", "listens"]).expect_code(7);
    scene.audit(&[("listens", StateWord::Done)]);
}

#[test]
fn s2_a_flood_a_held_pipe_and_an_unread_prompt_hold_nothing_up() {
    let mut scene = Scene::new();
    scene
        .world
        .program("deaf", "echo deaf agent; echo $$ > pid.txt; echo done")
        .unwrap();
    scene.config("");
    longhaul_testkit::world::append(
        &scene.world.config_file(),
        "\n[harness.deaf]\nprogram = \"deaf\"\noutput_format = \"text\"\n",
    )
    .unwrap();
    let long = "Never read. ".repeat(20_000);
    scene.tasks(&format!(
        "[[task]]\nname = \"floods\"\nprompt = '''\n{START}\nflood 50M\nsay the end\nwrite a.txt a\ndone\n'''\n\
         [[task.check]]\nname = \"loud\"\nrun = \"yes check | head -c 3000000; echo last words; test -e a.txt\"\n\n\
         [[task]]\nname = \"holds\"\nprompt = '''\n{START}\nspawn sleep 3005\nwrite b.txt b\ndone\n'''\n\n\
         [[task]]\nname = \"deaf\"\nharness = \"deaf\"\nprompt = '''{long}'''\n"
    ));
    scene.start();
    let begun = std::time::Instant::now();
    scene.until_state("holds", StateWord::Done);
    // The sleeper held its standard output; it is gone with its session.
    let all = scene.world.processes();
    assert!(
        !all.iter().any(|p| p.command.contains("sleep 3005")),
        "{all:#?}"
    );
    let deaf = scene.until_state("deaf", StateWord::Done);
    assert_eq!(deaf.tally.attempts, 1);
    let task = scene.until_state("floods", StateWord::Done);
    assert!(begun.elapsed().as_secs() < 40, "{:?}", begun.elapsed());
    assert_eq!(task.tally.attempts, 1);
    let log = scene
        .jobs()
        .join(session_key(&task).as_str())
        .join("out.log");
    assert!(log.metadata().unwrap().len() >= 50 << 20);
    assert!(scene.output(&session_key(&task)).ends_with("\"}\n"));
    let verdict = &scene.show("floods")["verdicts"][0];
    assert_eq!(verdict["grade"], "pass");
    assert!(verdict["tail"].as_str().unwrap().ends_with("last words\n"));
    scene.audit(&[
        ("floods", StateWord::Done),
        ("holds", StateWord::Done),
        ("deaf", StateWord::Done),
    ]);
}

#[test]
fn i13_t15_liars_askers_and_touchers_of_what_is_protected_end_with_a_person() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "[[task]]\nname = \"lies\"\nmax_retries = 1\nprompt = '''\nsay all done, trust me\ndone\n'''\n\n\
         [[task]]\nname = \"looks\"\nexpect = \"any\"\nprompt = '''\nsay nothing to do\ndone\n'''\n\
         [[task.check]]\nrun = \"true\"\n\n\
         [[task]]\nname = \"asks\"\nanswer_timeout = \"1s\"\nprompt = '''\n{START}\n@attempt 2..\nexpect-prompt may I delete it\nexpect-prompt Nobody watches this session\n@all\nask may I delete it?\n'''\n\n\
         [[task]]\nname = \"touches\"\nmax_retries = 1\nprotect = [\"tests/**\", \"*.lock\"]\nprompt = '''\nwrite tests/a.txt easier\nwrite b.lock x\nwrite c.txt c\ndone\n'''\n\n\
         [[task]]\nname = \"file\"\nmax_retries = 0\nprompt = '''\nwrite tasks.toml nothing\ndone\n'''\n\n\
         [[task]]\nname = \"denied\"\nmax_retries = 2\nprompt = '''\ndeny Bash make test\ndone\n'''\n"
    ));
    scene.start();
    let lies = scene.until_state("lies", StateWord::NeedsHuman);
    assert!(
        need(&lies, NeedKind::RetriesExhausted).contains("no change"),
        "{:?}",
        lies.state
    );
    assert_eq!(lies.tally.attempts, 2);
    scene.until_state("looks", StateWord::Done);
    let asks = scene.until_state("asks", StateWord::NeedsHuman);
    assert!(need(&asks, NeedKind::Question).contains("may I delete it?"));
    // Told once that nobody watches, then a person; no retry burnt.
    assert_eq!((asks.tally.attempts, asks.tally.retries), (2, 0));
    assert_eq!(outcomes(&scene.show("asks")), ["halted", "halted"]);
    for (name, paths) in [
        ("touches", vec!["tests/a.txt", "b.lock"]),
        ("file", vec!["tasks.toml"]),
    ] {
        let task = scene.until_state(name, StateWord::NeedsHuman);
        let detail = need(&task, NeedKind::RetriesExhausted);
        for path in paths {
            assert!(detail.contains(path), "{detail}");
        }
        assert!(!detail.contains("c.txt"), "{detail}");
    }
    let denied = scene.until_state("denied", StateWord::NeedsHuman);
    assert!(need(&denied, NeedKind::PermissionDenied).contains("make test"));
    assert_eq!(denied.tally.attempts, 1);
    let shown = scene.show("lies");
    assert!(
        shown["task"]["need"]["remedy"]
            .as_str()
            .is_some_and(|r| !r.is_empty())
    );
    // A person answers, and it goes on.
    scene
        .longhaul(&["retry", "asks", "--note", "yes you may"])
        .expect_code(0);
    scene.until("asks", "asking again", |t| {
        t.tally.attempts == 3 && is_live(t)
    });
    let prompt = scene
        .jobs()
        .join(session_key(&scene.task("asks")).as_str())
        .join("stdin");
    assert!(read(&prompt).contains("yes you may"));
    scene.longhaul(&["cancel", "asks", "--yes"]).expect_code(0);
    scene.until_state("asks", StateWord::Cancelled);
    scene.audit(&[("lies", StateWord::NeedsHuman), ("looks", StateWord::Done)]);
}

#[test]
fn i10_a_budget_that_runs_out_in_mid_turn_stops_the_task_and_keeps_its_work() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "[[task]]\nname = \"spends\"\nbudget_usd = 0.25\nprompt = '''\n{START}\n@attempt 1\nwrite half.txt half\nusage input=100 output=10 cost=0.21\nsleep 600ms\nusage input=100 output=10 cost=0.10\nhang\n@attempt 2..\nrun cat half.txt\nwrite whole.txt whole\nusage input=10 output=1 cost=0.05\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e half.txt && test -e whole.txt\"\n\n\
         [[task]]\nname = \"counts\"\nbudget_tokens = 100\nprompt = '''\nwrite a.txt a\nusage input=90 output=20\nhang\n'''\n"
    ));
    scene.start();
    let task = scene.until_state("spends", StateWord::NeedsHuman);
    assert!(
        need(&task, NeedKind::Budget).contains("0.31"),
        "{:?}",
        task.state
    );
    let workspace = scene.workspace("spends");
    assert_eq!(read(&workspace.join("half.txt")), "half\n");
    let snapshot = task.carry.snapshot.clone().unwrap();
    assert_eq!(
        scene.git(&["show", &format!("{snapshot}:half.txt")]),
        "half"
    );
    let events = scene.longhaul(&["show", "spends", "--json"]).json();
    let causes = events["data"]["ledger"].to_string();
    assert!(
        causes.contains("80") || causes.contains("budget"),
        "{causes}"
    );
    let counts = scene.until_state("counts", StateWord::NeedsHuman);
    need(&counts, NeedKind::Budget);
    // Not without more money.
    let refused = scene.longhaul(&["retry", "spends"]).expect_code(7);
    assert!(
        format!("{}{}", refused.stdout, refused.stderr).contains("--add-budget"),
        "{refused:?}"
    );
    scene
        .longhaul(&["retry", "spends", "--add-budget", "1"])
        .expect_code(0);
    let task = scene.until_state("spends", StateWord::Done);
    assert_eq!(task.tally.attempts, 2);
    assert_eq!(task.tally.spent.cost.unwrap().0, 360_000);
    scene.audit(&[
        ("spends", StateWord::Done),
        ("counts", StateWord::NeedsHuman),
    ]);
}

#[test]
fn t25_a_confined_session_cannot_leave_its_worktree() {
    if confinement_support() == ConfinementLevel::None {
        assert!(
            std::env::var_os("CI").is_none(),
            "this kernel confines nothing"
        );
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    let mut scene = Scene::new();
    let readme = scene.repo.join("README.md");
    scene.tasks(&format!(
        "[[task]]\nname = \"leaves\"\nprompt = '''\n{START}\n\
         run echo bad >> {readme}; echo outcome $?\nrun echo bad > {state}/evil; echo outcome $?\nrun echo bad > {config}; echo outcome $?\n\
         run git -C {repo} stash push -m evil; echo outcome $?\nrun git commit -q --allow-empty -m mine && echo committed\nwrite in.txt in\ndone\n'''\n",
        readme = readme.display(),
        state = scene.world.state().display(),
        config = scene.world.config_file().display(),
        repo = scene.repo.display(),
    ));
    scene.start();
    let task = scene.until_state("leaves", StateWord::Done);
    let said = scene.output(&session_key(&task));
    assert!(!said.contains("outcome 0"), "{said}");
    let branch = task.carry.workspace.unwrap().branch.unwrap();
    let subjects = scene.git(&["log", "--format=%s", &branch]);
    assert!(subjects.contains("mine"), "the branch is its own: {said}");
    assert!(!scene.world.state().join("evil").exists());
    scene.audit(&[("leaves", StateWord::Done)]);
}

#[test]
fn t25_refused_writes_are_shown_as_the_tools_told_them() {
    if confinement_support() == ConfinementLevel::None {
        assert!(
            std::env::var_os("CI").is_none(),
            "this kernel confines nothing"
        );
        eprintln!("SKIPPED: this kernel has no Landlock");
        return;
    }
    let mut scene = Scene::new();
    let readme = scene.repo.join("README.md").display().to_string();
    let made = scene.repo.join("made.txt").display().to_string();
    scene.tasks(&format!(
        "[[task]]\nname = \"tries\"\nprompt = '''\n{START}\n\
         say touch: cannot touch '/etc/said': Permission denied\n\
         run echo bad >> {readme}\nwrite {made} bad\n\
         write run.sh echo never\nrun ./run.sh\ndone\n'''\n\n\
         [[task]]\nname = \"free\"\nsandbox = \"off\"\nprompt = '''\n\
         run echo \"touch: cannot touch '/etc/x': Permission denied\"\nwrite in.txt in\ndone\n'''\n"
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    scene.until_state("tries", StateWord::Done);
    scene.until_state("free", StateWord::Done);
    let shown = scene.show("tries");
    let refused = shown["attempts"][0]["refused_writes"].as_array().unwrap();
    let told: Vec<(&str, &str)> = refused
        .iter()
        .map(|r| (r["tool"].as_str().unwrap(), r["path"].as_str().unwrap()))
        .collect();
    // Neither what the agent said, nor a script of the workspace that is not executable.
    assert_eq!(
        told,
        [("run", readme.as_str()), ("write", made.as_str())],
        "{shown}"
    );
    assert!(
        refused[0]["line"]
            .as_str()
            .unwrap()
            .contains("Permission denied")
    );
    for words in [
        &["show", "tries"][..],
        &["report"],
        &["show", "tries", "--history"],
    ] {
        let text = scene.longhaul(words).expect_code(0).stdout;
        // The report wraps its lines.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("as the agent's tool reported it"), "{text}");
        assert!(text.contains("[sandbox] writable"), "{text}");
        assert_eq!(
            text.contains("its tools told of 2 refused writes"),
            words.contains(&"--history"),
            "{text}"
        );
    }
    let free = scene.show("free");
    assert_eq!(
        free["attempts"][0]["refused_writes"],
        serde_json::json!([]),
        "no sandbox refused anything"
    );
    scene.audit(&[("tries", StateWord::Done), ("free", StateWord::Done)]);
}

#[test]
fn l4_an_unconfined_session_that_writes_in_the_users_checkout_is_found_out() {
    let mut scene = Scene::new();
    let (readme, hook) = (
        scene.repo.join("README.md"),
        scene.repo.join(".git/hooks/pre-commit"),
    );
    scene.tasks(&format!(
        "[[task]]\nname = \"leaves\"\nsandbox = \"off\"\nprompt = '''\nrun echo bad >> {readme}\nwrite in.txt in\ndone\n'''\n\n\
         [[task]]\nname = \"hooks\"\nsandbox = \"off\"\ndepends_on = []\nprompt = '''\nrun echo 'touch /evil' > {hook}; chmod +x {hook}\nwrite in.txt in\ndone\n'''\n",
        readme = readme.display(),
        hook = hook.display(),
    ));
    // A user's word is needed to weaken the sandbox from a file of the repository.
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let task = scene.until_state("leaves", StateWord::NeedsHuman);
    assert!(
        need(&task, NeedKind::Escaped).contains("README.md"),
        "{:?}",
        task.state
    );
    let task = scene.until_state("hooks", StateWord::NeedsHuman);
    assert!(
        need(&task, NeedKind::Escaped).contains("hooks"),
        "{:?}",
        task.state
    );
    assert!(!hook.exists(), "what git would run is taken away");
    // The user's file is the user's to mend.
    assert!(read(&readme).contains("bad"));
    scene.git(&["checkout", "README.md"]);
    for name in ["leaves", "hooks"] {
        scene.longhaul(&["approve", name]).expect_code(0);
        assert_eq!(scene.show(name)["task"]["basis"], "approved");
    }
    scene.audit(&[("leaves", StateWord::Done), ("hooks", StateWord::Done)]);
}
