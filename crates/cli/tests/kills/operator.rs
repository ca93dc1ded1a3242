//! A person's orders, and what a person changes by hand.

use longhaul_core::task::{NeedKind, ParkCause, State, StateWord};
use longhaul_testkit::world::{append, read, wait_until, write};

use crate::scene::{LIMIT, START, Scene, is_live, process, session_key};

/// A task that waits at a gate on its first attempt and is done on the next one.
fn gated(scene: &Scene, name: &str) -> String {
    format!(
        "[[task]]\nname = \"{name}\"\nprompt = '''\n{START}\nsay at the gate\n@attempt 1\nwrite half.txt half\nrun {}\ndone\n@attempt 2..\nrun cat half.txt\nwrite whole.txt whole\ndone\n'''\n\n",
        scene.wait_for(name)
    )
}

#[track_caller]
fn parked(scene: &Scene, name: &str, wanted: &ParkCause) {
    let task = scene.until_state(name, StateWord::Parked);
    let State::Parked { cause, .. } = &task.state else {
        unreachable!()
    };
    assert_eq!(cause, wanted, "{name}");
    assert!(!scene.output(&session_key(&task)).is_empty());
}

#[test]
fn a4_a_person_says_that_a_limit_is_over() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "[[task]]\nname = \"meets\"\nprompt = '''\n{START}\n@attempt 1\nlimit quota in 3h\n@attempt 2..\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"waits\"\nprompt = '''\n{START}\nwrite b.txt b\ndone\n'''\n"
    ));
    scene
        .longhaul(&["limits", "clear", "script"])
        .expect_code(6);
    scene.start();
    let parked = scene.until_state("meets", StateWord::Parked);
    let listed = scene.longhaul(&["limits"]).expect_code(0);
    assert!(
        listed.stdout.contains("script rests until"),
        "{}",
        listed.stdout
    );
    scene
        .longhaul(&["limits", "clear", "claude"])
        .expect_code(6);
    let cleared = scene
        .longhaul(&["limits", "clear", "script"])
        .expect_code(0);
    assert!(
        cleared.stdout.contains("1 waiting task may start"),
        "{}",
        cleared.stdout
    );
    let done = scene.until_state("meets", StateWord::Done);
    assert!(done.fence > parked.fence && done.tally.retries == 0);
    scene.until_state("waits", StateWord::Done);
    let listed = scene.longhaul(&["limits"]).expect_code(0);
    assert!(listed.stdout.contains("nothing rests"), "{}", listed.stdout);
    scene.audit(&[("meets", StateWord::Done), ("waits", StateWord::Done)]);
}

#[test]
fn t17_stop_cancel_and_retry_of_live_tasks_end_the_session_first() {
    let mut scene = Scene::new();
    let names = ["stopped", "again", "gone", "noted"];
    let mut text: String = names.iter().map(|n| gated(&scene, n)).collect();
    text.push_str("[[task]]\nname = \"waits\"\ndepends_on = [\"gone\"]\nprompt = '''\nwrite x.txt x\ndone\n'''\n");
    scene.tasks(&text);
    scene.start();
    let agents = names.map(|name| {
        scene.until_said(name, "at the gate");
        scene.until(name, "live", is_live);
        process(&scene.session(name).child)
    });
    scene.longhaul(&["stop", "stopped", "again"]).expect_code(0);
    scene.longhaul(&["cancel", "gone", "--yes"]).expect_code(0);
    scene
        .longhaul(&["retry", "noted", "--note", "mind the gap"])
        .expect_code(0);
    for name in ["stopped", "again"] {
        parked(&scene, name, &ParkCause::Stopped);
    }
    scene.until_state("gone", StateWord::Cancelled);
    scene.until_state("noted", StateWord::Done);
    for agent in &agents {
        assert!(!agent.is_alive(), "{agent:?}");
    }
    // A stopped task needs its person: `run` ends with 3 and says of each what to do.
    let ran = scene
        .longhaul(&["run", "tasks.toml", "--wait"])
        .expect_code(3);
    assert!(
        ran.stdout.contains("was stopped; its work is kept"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("waits for gone, which was cancelled"),
        "{}",
        ran.stdout
    );
    assert_eq!(read(&scene.workspace("stopped").join("half.txt")), "half\n");
    scene.longhaul(&["resume", "stopped"]).expect_code(0);
    scene.longhaul(&["retry", "again"]).expect_code(0);
    for name in ["stopped", "again"] {
        let task = scene.until_state(name, StateWord::Done);
        assert_eq!((task.tally.attempts, task.tally.retries), (2, 0));
        assert_eq!(scene.on_branch(name, "whole.txt"), "whole");
    }
    let prompt = scene
        .jobs()
        .join(session_key(&scene.task("noted")).as_str())
        .join("stdin");
    assert!(read(&prompt).contains("mind the gap"));
    // What is over takes no orders, and says so.
    for order in [
        vec!["stop"],
        vec!["retry"],
        vec!["cancel", "--yes"],
        vec!["approve"],
    ] {
        let verb = order[0];
        let args = [order, vec!["stopped"]].concat();
        let refused = scene.longhaul(&args).expect_code(7);
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(said.contains("final"), "{verb}: {said}");
    }
    scene.longhaul(&["stop", "nobody"]).expect_code(6);
    scene.audit(&[
        ("stopped", StateWord::Done),
        ("again", StateWord::Done),
        ("gone", StateWord::Cancelled),
        ("waits", StateWord::Pending),
    ]);
}

#[test]
fn a_pause_holds_a_task_at_the_end_of_its_turn() {
    let mut scene = Scene::new();
    let gate = scene.wait_for("turn");
    scene.tasks(&format!(
        "[[task]]\nname = \"held\"\nprompt = '''\n{START}\nsay at the gate\n@attempt 1\nwrite a.txt wrong\nrun {gate}\ndone\n@attempt 2..\nwrite a.txt right\ndone\n'''\n\
         [[task.check]]\nrun = \"grep -q right a.txt\"\n"
    ));
    scene.start();
    scene.until_said("held", "at the gate");
    scene.until("held", "live", is_live);
    let agent = process(&scene.session("held").child);
    scene.longhaul(&["pause", "held"]).expect_code(0);
    assert!(agent.is_alive(), "a pause ends nothing");
    scene.open("turn");
    let task = scene.until_state("held", StateWord::Verifying);
    assert!(task.hold);
    // Nothing but a person's word moves it: `run` says so and ends.
    let ran = scene
        .longhaul(&["run", "tasks.toml", "--wait"])
        .expect_code(3);
    assert!(ran.stdout.contains("it was paused"), "{}", ran.stdout);
    assert_eq!(scene.task("held").tally.attempts, 1);
    assert_eq!(scene.show("held")["verdicts"].as_array().unwrap().len(), 0);
    scene.longhaul(&["resume", "held"]).expect_code(0);
    scene.until_state("held", StateWord::Done);
    scene.audit(&[("held", StateWord::Done)]);
}

#[test]
fn t16_drain_and_estop_hold_everything_over_a_restart() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "{}{}",
        gated(&scene, "runs"),
        gated(&scene, "parks")
    ));
    scene.start();
    for name in ["runs", "parks"] {
        scene.until_said(name, "at the gate");
        scene.until(name, "live", is_live);
    }
    scene.longhaul(&["drain"]).expect_code(0);
    scene
        .longhaul(&[
            "add",
            "--name",
            "late",
            "--harness",
            "script",
            "--prompt",
            "write l.txt l",
        ])
        .expect_code(0);
    // What runs goes on.
    scene.open("runs");
    scene.until_state("runs", StateWord::Done);
    scene.longhaul(&["daemon", "restart"]).expect_code(0);
    let late = scene.show("late");
    assert_eq!(late["task"]["state"], "ready");
    assert!(
        late["task"]["line"].as_str().unwrap().contains("undrain"),
        "{late}"
    );
    scene.longhaul(&["drain", "--stop"]).expect_code(0);
    parked(&scene, "parks", &ParkCause::Drained);
    assert_eq!(read(&scene.workspace("parks").join("half.txt")), "half\n");
    scene.kill_daemon();
    scene.longhaul(&["undrain"]).expect_code(0);
    for name in ["parks", "late"] {
        scene.until_state(name, StateWord::Done);
    }
    assert_eq!(scene.task("parks").tally.retries, 0);

    let more = gated(&scene, "halts");
    scene
        .longhaul(&[
            "add",
            "--name",
            "quick",
            "--harness",
            "script",
            "--prompt",
            "write q.txt q",
        ])
        .expect_code(0);
    scene.until_state("quick", StateWord::Done);
    write(
        &scene.world.path("src/more.toml"),
        &format!("[defaults]\nharness = \"script\"\nrepo = \"repo\"\n\n{more}"),
    )
    .unwrap();
    scene
        .longhaul(&["run", "../more.toml", "--detach"])
        .expect_code(0);
    scene.until_said("halts", "at the gate");
    scene.until("halts", "live", is_live);
    let agent = process(&scene.session("halts").child);
    scene.longhaul(&["estop"]).expect_code(0);
    parked(&scene, "halts", &ParkCause::Estopped);
    assert!(!agent.is_alive());
    scene.kill_daemon();
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let status = scene.longhaul(&["status"]).expect_code(0);
    assert!(status.stdout.contains("thaw"), "{}", status.stdout);
    assert_eq!(scene.task("halts").state.word(), StateWord::Parked);
    scene.longhaul(&["thaw"]).expect_code(0);
    scene.until_state("halts", StateWord::Done);
    scene.audit(&[
        ("runs", StateWord::Done),
        ("parks", StateWord::Done),
        ("late", StateWord::Done),
    ]);
}

#[test]
fn i5_undo_brings_back_any_turn_and_can_itself_be_undone() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "[[task]]\nname = \"turns\"\nmax_retries = 1\non_drift = \"warn\"\nprompt = '''\n{START}\n@attempt 1\nwrite a.txt one\nwrite new.txt first\ndone\n@attempt 2\nwrite a.txt two\ndelete new.txt\ndone\n@attempt 3..\nrun cat a.txt\nwrite b.txt three\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e b.txt\"\n"
    ));
    scene.start();
    scene.until_state("turns", StateWord::NeedsHuman);
    let workspace = scene.workspace("turns");
    assert_eq!(read(&workspace.join("a.txt")), "two\n");
    let listed = scene
        .longhaul(&["undo", "turns", "--list", "--json"])
        .expect_code(0)
        .json();
    let names = |v: &serde_json::Value| {
        let all = v["data"]["snapshots"].as_array().unwrap().iter();
        all.map(|s| s["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&listed), ["1", "2"]);
    // Nothing is brought back unasked.
    scene.longhaul(&["undo", "turns", "--to", "1"]);
    assert_eq!(read(&workspace.join("a.txt")), "two\n");
    scene
        .longhaul(&["undo", "turns", "--to", "1", "--yes"])
        .expect_code(0);
    assert_eq!(read(&workspace.join("a.txt")), "one\n");
    assert_eq!(read(&workspace.join("new.txt")), "first\n");
    write(&workspace.join("mine.txt"), "by hand\n").unwrap();
    let listed = scene
        .longhaul(&["undo", "turns", "--list", "--json"])
        .expect_code(0)
        .json();
    let undone = names(&listed).pop().unwrap();
    assert_eq!(undone, "2.1");
    let kept = |n: &str| {
        let id = scene.task("turns").id;
        scene.git(&["rev-parse", &format!("refs/longhaul/snap/{id}/{n}")])
    };
    let before = kept(&undone);
    // The person's edit is drift; the next turn is told and goes on from it.
    scene.longhaul(&["retry", "turns"]).expect_code(0);
    scene.until_state("turns", StateWord::Done);
    // What undo had put aside is still there, beside the later turns.
    assert_eq!(kept(&undone), before);
    assert_eq!(scene.git(&["show", &format!("{before}:a.txt")]), "two");
    assert_eq!(scene.on_branch("turns", "mine.txt"), "by hand");
    scene
        .longhaul(&["undo", "turns", "--to", &undone, "--yes"])
        .expect_code(0);
    assert_eq!(read(&workspace.join("a.txt")), "two\n");
    scene.audit(&[("turns", StateWord::Done)]);
}

#[test]
fn t18_drift_asks_or_is_told_as_the_task_says() {
    let mut scene = Scene::new();
    let task = |name: &str, keys: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nmax_retries = 0\n{keys}\nprompt = '''\n{START}\n@attempt 1\nwrite a.txt one\ndone\n@attempt 2..\nexpect-prompt by-hand.txt\nwrite b.txt two\ndone\n'''\n\
             [[task.check]]\nrun = \"test -e b.txt\"\n\n"
        )
    };
    scene.tasks(&format!(
        "{}{}",
        task("asks", ""),
        task("warns", "on_drift = \"warn\"")
    ));
    scene.start();
    for name in ["asks", "warns"] {
        scene.until_state(name, StateWord::NeedsHuman);
        write(&scene.workspace(name).join("by-hand.txt"), "mine\n").unwrap();
        scene.longhaul(&["retry", name]).expect_code(0);
    }
    scene.until_state("warns", StateWord::Done);
    let asks = scene.until(
        "asks",
        "asking about drift",
        |t| matches!(&t.state, State::NeedsHuman { need } if need.kind == NeedKind::Drift),
    );
    let State::NeedsHuman { need } = &asks.state else {
        unreachable!()
    };
    assert!(need.detail.contains("by-hand.txt"), "{need:?}");
    scene.longhaul(&["approve", "asks"]).expect_code(0);
    scene.until_state("asks", StateWord::Done);
    assert_eq!(scene.on_branch("asks", "by-hand.txt"), "mine");
    scene.audit(&[("asks", StateWord::Done), ("warns", StateWord::Done)]);
}

#[test]
fn t8_commits_checks_and_approval_follow_the_task_and_its_person() {
    let mut scene = Scene::with("commit = \"agent\"");
    scene.tasks(&format!(
        "[[task]]\nname = \"leaves\"\nmax_retries = 1\nprompt = '''\n{START}\n@attempt 1\nwrite a.txt a\ndone\n@attempt 2..\nexpect-prompt uncommitted\nrun git add -A && git commit -q -m mine\ndone\n'''\n\n\
         [[task]]\nname = \"never\"\nmax_retries = 0\nprompt = '''\nwrite a.txt a\nrun git add -A && git commit -q -m mine\ndone\n'''\n\
         [[task.check]]\nname = \"impossible\"\nrun = \"echo no way; false\"\n\n\
         [[task]]\nname = \"meddles\"\nmax_retries = 0\nprompt = '''\nwrite a.txt a\nrun git add -A && git commit -q -m mine\ndone\n'''\n\
         [[task.check]]\nname = \"meddler\"\nrun = \"echo changed > README.md\"\n\n\
         [[task]]\nname = \"flaky\"\nprompt = '''\nwrite a.txt a\nrun git add -A && git commit -q -m mine\ndone\n'''\n\
         [[task.check]]\nname = \"second-time\"\nretry_flaky = 1\nrun = \"test -e .seen || {{ touch .seen; exit 1; }}\"\n"
    ));
    scene.start();
    let task = scene.until_state("leaves", StateWord::Done);
    assert_eq!((task.tally.attempts, task.tally.retries), (2, 1));
    let branch = task.carry.workspace.unwrap().branch.unwrap();
    assert_eq!(scene.git(&["log", "-1", "--format=%s", &branch]), "mine");
    scene.until_state("never", StateWord::NeedsHuman);
    let shown = scene.longhaul(&["show", "never"]).expect_code(0);
    assert!(
        shown.stdout.contains("impossible") && shown.stdout.contains("no way"),
        "{}",
        shown.stdout
    );
    scene.longhaul(&["approve", "never"]).expect_code(0);
    assert_eq!(scene.show("never")["task"]["basis"], "approved");
    scene.until_state("meddles", StateWord::NeedsHuman);
    let reason = scene.show("meddles")["verdicts"][0]["reason"].to_string();
    assert!(reason.contains("README.md"), "{reason}");
    scene.until_state("flaky", StateWord::Done);
    let verdicts = scene.show("flaky")["verdicts"].clone();
    assert_eq!(
        (&verdicts[0]["grade"], &verdicts[1]["grade"]),
        (&"fail".into(), &"pass".into())
    );
    assert_eq!(verdicts[1]["flaky"], true);
    scene.audit(&[
        ("leaves", StateWord::Done),
        ("never", StateWord::Done),
        ("flaky", StateWord::Done),
    ]);
}

#[test]
fn t16_checks_that_were_cut_short_go_on_without_another_session() {
    let mut scene = Scene::new();
    let notes = scene.world.path("ran");
    std::fs::create_dir_all(&notes).unwrap();
    scene.config(&format!(
        "sandbox.writable = [{:?}]",
        notes.display().to_string()
    ));
    let task = |name: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n\
             [[task.check]]\nname = \"quick\"\nrun = \"echo quick >> {1}/{name}\"\n\
             [[task.check]]\nname = \"slow\"\nrun = \"echo slow >> {1}/{name}; {0}\"\n\n",
            scene.wait_for(name),
            notes.display(),
        )
    };
    let names = ["drained", "estopped", "stopped"];
    scene.tasks(&names.map(task).concat());
    scene.start();
    let ran = |name: &str| read(&notes.join(name));
    for name in names {
        scene.until(name, "in its slow check", |t| {
            matches!(t.state, State::Verifying { check: 1, .. }) && ran(name).contains("slow")
        });
    }
    let sealed = |name: &str| scene.task(name).attempt.and_then(|a| a.sealed).unwrap();
    let before = names.map(sealed);
    scene.longhaul(&["stop", "stopped"]).expect_code(0);
    scene.until_state("stopped", StateWord::Parked);
    scene.longhaul(&["drain", "--stop"]).expect_code(0);
    for name in ["drained", "estopped"] {
        scene.until_state(name, StateWord::Parked);
    }
    // Over a restart, too.
    scene.longhaul(&["daemon", "restart"]).expect_code(0);
    scene.longhaul(&["undrain"]).expect_code(0);
    scene.longhaul(&["resume", "stopped"]).expect_code(0);
    for name in names {
        scene.open(name);
    }
    for (name, before) in names.iter().zip(before) {
        let task = scene.until_state(name, StateWord::Done);
        assert_eq!((task.tally.attempts, task.fence.0), (1, 1), "{name}");
        assert_eq!(task.attempt.and_then(|a| a.sealed), Some(before));
        // What had passed is not run again; what was cut short is.
        assert_eq!(ran(name).matches("quick").count(), 1, "{name}");
        assert_eq!(ran(name).matches("slow").count(), 2, "{name}");
        assert_eq!(scene.on_branch(name, "starts.txt").lines().count(), 1);
    }
}

#[test]
fn t8_approval_commits_exactly_what_an_interrupted_attempt_left() {
    let mut scene = Scene::new();
    let task = |name: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\ntimeout = \"2s\"\nmax_retries = 0\nprompt = '''\n{START}\nwrite left.txt over\nsleep 60s\ndone\n'''\n\n"
        )
    };
    scene.tasks(&(task("whole") + &task("changed")));
    scene.start();
    for name in ["whole", "changed"] {
        scene.until_state(name, StateWord::NeedsHuman);
    }
    let shown = scene.show("whole");
    let sealed = &shown["attempts"][0]["sealed"];
    assert_eq!(sealed["uncommitted"], true, "{shown:#}");
    let tree = sealed["tree"].as_str().unwrap().to_owned();
    scene.longhaul(&["approve", "whole"]).expect_code(0);
    let done = scene.until_state("whole", StateWord::Done);
    assert_eq!(scene.on_branch("whole", "left.txt"), "over");
    let branch = done.carry.workspace.and_then(|w| w.branch).unwrap();
    let tip = |format: &str| scene.git(&["log", "-1", format, &branch]);
    assert_eq!(tip("--format=%T"), tree, "what was shown is what was taken");
    let sealed = done.attempt.and_then(|a| a.sealed).unwrap();
    assert_eq!(tip("--format=%H"), sealed.commit);
    assert!(tip("--format=%B").contains("Longhaul-Task: "));
    let told = scene.longhaul(&["events"]).expect_code(0).stdout;
    assert!(
        told.contains(&sealed.commit) && told.contains(&tree),
        "{told}"
    );
    // Another hand's change after it was shown is not approved with it.
    write(&scene.workspace("changed").join("by-hand.txt"), "mine").unwrap();
    scene.longhaul(&["approve", "changed"]).expect_code(0);
    scene.until(
        "changed",
        "told of the change",
        |t| matches!(&t.state, State::NeedsHuman { need } if need.detail.contains("not what was approved")),
    );
}

#[test]
fn t18_what_an_interrupted_setup_changed_in_a_workspace_made_anew_is_no_drift() {
    let mut scene = Scene::new();
    let (hold, notes) = (scene.world.path("hold"), scene.world.path("ran"));
    std::fs::create_dir_all(&notes).unwrap();
    scene.config(&format!(
        "sandbox.writable = [{:?}]",
        notes.display().to_string()
    ));
    let runs = notes.join("setups");
    scene.tasks(&format!(
        "[[task]]\nname = \"t\"\nsetup = \"date +%s%N > made.txt; echo run >> {1}; while [ -e {2} ]; do sleep 0.05; done\"\nprompt = '''\n{START}\n@attempt 1\nwrite a.txt a\nsay at the gate\nrun {0}\n@attempt 2..\nwrite b.txt b\ndone\n'''\n",
        scene.wait_for("t"),
        runs.display(),
        hold.display(),
    ));
    scene.start();
    scene.until_said("t", "at the gate");
    scene.longhaul(&["stop", "t"]).expect_code(0);
    scene.until_state("t", StateWord::Parked);
    std::fs::remove_dir_all(scene.workspace("t")).unwrap();
    write(&hold, "").unwrap();
    scene.longhaul(&["retry", "t"]).expect_code(0);
    let setups = || read(&runs).lines().count();
    assert!(wait_until(std::time::Duration::from_secs(60), || {
        setups() == 2
    }));
    scene.longhaul(&["stop", "t"]).expect_code(0);
    scene.until_state("t", StateWord::Parked);
    std::fs::remove_file(&hold).unwrap();
    scene.longhaul(&["retry", "t"]).expect_code(0);
    scene.until_state("t", StateWord::Done);
    assert_eq!(setups(), 3);
}

#[test]
fn t26_a_workspace_gets_its_files_its_setup_and_its_ports() {
    let mut scene = Scene::new();
    for (file, text) in [
        (".gitignore", ".env\nbuild/\n"),
        (".worktreeinclude", ".env\n"),
        (".env", "SECRET_FILE=1\n"),
        ("crates/a/main.txt", "here\n"),
    ] {
        write(&scene.repo.join(file), text).unwrap();
    }
    scene.git(&["add", "-A"]);
    scene.git(&["commit", "-q", "-m", "Files"]);
    scene.tasks(&format!(
        "[[task]]\nname = \"whole\"\ndir = \"crates/a\"\nsetup = \"echo set up in $PWD >> {0}/setup.txt; test -e \\\"$LONGHAUL_WORKSPACE/.env\\\"\"\nkeep = [\"build/*.log\"]\nenv = {{ GREETING = \"hello\" }}\n\
         prompt = '''\nrun mkdir -p ../../build; echo kept > ../../build/a.log; echo not > ../../build/a.o\nrun pwd > where.txt; cat ../../.env > env.txt; echo $LONGHAUL_PORT_BASE > port.txt; echo $GREETING > greeting.txt\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e main.txt && test $GREETING = hello && test $LONGHAUL_PORT_BASE = $(cat port.txt)\"\n\n\
         [[task]]\nname = \"other\"\nprompt = '''\nrun echo $LONGHAUL_PORT_BASE > port.txt\ndone\n'''\n\n\
         [[task]]\nname = \"unset\"\nsetup = \"echo the cause of it >&2; exit 3\"\nprompt = '''\nwrite a.txt a\ndone\n'''\n",
        "$TMPDIR"
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let task = scene.until_state("whole", StateWord::Done);
    assert!(
        scene
            .on_branch("whole", "crates/a/where.txt")
            .ends_with("/crates/a")
    );
    assert_eq!(
        scene.on_branch("whole", "crates/a/env.txt"),
        "SECRET_FILE=1"
    );
    scene.until_state("other", StateWord::Done);
    let (one, two) = (
        scene.on_branch("whole", "crates/a/port.txt"),
        scene.on_branch("other", "port.txt"),
    );
    assert!(!one.is_empty() && one != two, "{one} {two}");
    // Placed files are never committed or kept; kept ones only in the snapshot.
    let branch = task.carry.workspace.clone().unwrap().branch.unwrap();
    let files = scene.git(&["ls-tree", "-r", "--name-only", &branch]);
    assert!(
        !files.contains(".env\n") && !files.contains("build/"),
        "{files}"
    );
    let kept = scene.git(&[
        "ls-tree",
        "-r",
        "--name-only",
        &task.carry.snapshot.unwrap(),
    ]);
    assert!(
        kept.contains("build/a.log") && !kept.contains("a.o") && !kept.lines().any(|l| l == ".env"),
        "{kept}"
    );
    // A set-up that fails is not the agent's: no session, no retry, its output shown.
    let unset = scene.until_state("unset", StateWord::NeedsHuman);
    assert_eq!(unset.tally.retries, 0);
    let shown = scene.longhaul(&["show", "unset"]).expect_code(0);
    assert!(shown.stdout.contains("the cause of it"), "{}", shown.stdout);
    assert!(!scene.jobs().join(session_key(&unset).as_str()).exists());
    scene.audit(&[("whole", StateWord::Done), ("unset", StateWord::NeedsHuman)]);
}

#[test]
fn t3_dependents_start_from_their_dependencies_and_resolve_their_conflict() {
    let mut scene = Scene::new();
    scene.append("shared.txt", "one\ntwo\nthree\n");
    scene.git(&["add", "-A"]);
    scene.git(&["commit", "-q", "-m", "Shared"]);
    scene.tasks(
        "[[task]]\nname = \"red\"\nprompt = '''\nrun sed -i s/two/red/ shared.txt\ndone\n'''\n\n\
         [[task]]\nname = \"blue\"\nprompt = '''\nrun sed -i s/two/blue/ shared.txt\ndone\n'''\n\n\
         [[task]]\nname = \"green\"\nprompt = '''\nwrite green.txt green\ndone\n'''\n\n\
         [[task]]\nname = \"both\"\ndepends_on = [\"red\", \"green\"]\nprompt = '''\nrun cat green.txt && grep red shared.txt\nwrite both.txt both\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e green.txt && grep -q red shared.txt\"\n\n\
         [[task]]\nname = \"clash\"\ndepends_on = [\"red\", \"blue\"]\nprompt = '''\nexpect-prompt shared.txt\nexpect-prompt git merge\nwrite shared.txt purple\ndone\n'''\n\n\
         [[task]]\nname = \"after\"\ndepends_on = [\"clash\"]\nprompt = '''\nrun cat shared.txt > seen.txt\ndone\n'''\n",
    );
    let ran = scene
        .longhaul(&["run", "tasks.toml", "--wait"])
        .expect_code(0);
    assert!(ran.stdout.contains("6 of 6 tasks done"), "{}", ran.stdout);
    assert_eq!(scene.on_branch("after", "seen.txt"), "purple");
    assert_eq!(scene.task("clash").tally.attempts, 1);
    let all = ["red", "blue", "green", "both", "clash", "after"];
    scene.audit(&all.map(|name| (name, StateWord::Done)));
}

#[test]
fn in_place_work_is_never_committed_and_never_crowds_a_folder() {
    let mut scene = Scene::new();
    let plain = scene.world.path("src/plain");
    write(&plain.join("old.txt"), "old\n").unwrap();
    let with_git = scene.world.path("src/with-git");
    scene.world.repo("with-git").unwrap();
    let head = crate::scene::git(&scene.world, &with_git, &["rev-parse", "HEAD"]);
    // Each one fails if it finds the other at work.
    let alone =
        "run test ! -e busy && touch busy && sleep 0.4 && rm busy || echo crowd >> crowded.txt";
    let task = |name: &str, repo: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nworkspace = \"in-place\"\nrepo = \"../{repo}\"\nprompt = '''\n{alone}\nappend made.txt {name}\nrun echo changed >> old.txt\ndone\n'''\n\n"
        )
    };
    scene.tasks(
        &[
            task("p1", "plain"),
            task("p2", "plain"),
            task("g1", "with-git"),
            task("g2", "with-git"),
        ]
        .concat(),
    );
    scene
        .longhaul(&["run", "tasks.toml", "--wait"])
        .expect_code(0);
    for folder in [&plain, &with_git] {
        assert!(!folder.join("crowded.txt").exists(), "{}", folder.display());
        assert_eq!(read(&folder.join("made.txt")).lines().count(), 2);
    }
    assert!(!plain.join(".git").exists());
    assert_eq!(
        crate::scene::git(&scene.world, &with_git, &["rev-parse", "HEAD"]),
        head
    );
    let index = crate::scene::git(
        &scene.world,
        &with_git,
        &["diff", "--cached", "--name-only"],
    );
    assert_eq!(index, "", "the user's index is the user's");
    // What was there before the second turn can be brought back.
    let listed = scene.longhaul(&["undo", "p1", "--list"]).expect_code(0);
    assert!(!listed.stdout.contains("no snapshots"), "{}", listed.stdout);
    append(&plain.join("made.txt"), "by hand\n").unwrap();
    let restored = scene
        .longhaul(&["undo", "p1", "--to", "1", "--yes"])
        .expect_code(0);
    assert!(
        !read(&plain.join("made.txt")).contains("by hand"),
        "{restored:?}"
    );
    let all = ["p1", "p2", "g1", "g2"];
    let quiet = wait_until(LIMIT, || {
        all.iter()
            .all(|n| scene.task(n).state.word() == StateWord::Done)
    });
    assert!(quiet);
    scene.audit(&all.map(|name| (name, StateWord::Done)));
}

#[test]
fn t28_who_is_called_finds_which_task_and_why() {
    let mut scene = Scene::new();
    let seen = scene.world.path("called");
    scene.world.set_env("MY_TOKEN", "tok-abcdefgh");
    scene.config(&format!(
        "on_needs_human = 'echo \"$LONGHAUL_TASK|$LONGHAUL_TASK_ID|$LONGHAUL_REASON|$LONGHAUL_REMEDY\" >> {}'\n",
        seen.display()
    ));
    scene.tasks(&format!(
        "[[task]]\nname = \"it-fails\"\nmax_retries = 0\nprompt = '''\n{START}\nfail no use for tok-abcdefgh\n'''\n"
    ));
    scene.start();
    let task = scene.until_state("it-fails", StateWord::NeedsHuman);
    assert!(wait_until(LIMIT, || read(&seen).ends_with('\n')));
    let said = read(&seen);
    assert!(
        said.starts_with(&format!("it-fails|{}|", task.id)),
        "{said}"
    );
    assert!(
        said.contains("no use for [MY_TOKEN]") && said.contains("longhaul"),
        "{said}"
    );
}
