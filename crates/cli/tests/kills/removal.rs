//! Workspaces that go (L5, L6, L21): snapshot, `teardown`, removal, by every order, killed anywhere.

use std::path::{Path, PathBuf};

use longhaul_core::ids::SpawnKey;
use longhaul_core::task::{StateWord, Task};
use longhaul_hosts::{ConfinementLevel, confinement_support};
use longhaul_testkit::world::{read, wait_until, write};

use crate::scene::{LIMIT, START, Scene, kill, process};

/// The key of a task's n-th teardown.
fn teardown(task: &Task, run: u32) -> SpawnKey {
    SpawnKey::teardown(task.id, task.fence, run)
}

/// The files of a snapshot.
fn files_of(scene: &Scene, reference: &str) -> String {
    scene.git(&["ls-tree", "-r", "--name-only", reference])
}

/// The snapshots of a task with their reasons, oldest first.
fn snapshots(scene: &Scene, task: &Task) -> Vec<(String, String)> {
    let prefix = format!("refs/longhaul/snap/{}/", task.id);
    let all = scene.git(&["for-each-ref", "--format=%(refname) %(subject)", &prefix]);
    let pairs = all.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(r, s)| (r.to_owned(), s.to_owned())).collect()
}

/// Everything of git that names the workspace is gone; its branch is not.
#[track_caller]
fn gone(scene: &Scene, workspace: &Path, task: &Task) {
    assert!(!workspace.exists());
    let list = scene.git(&["worktree", "list"]);
    assert!(!list.contains(workspace.to_str().unwrap()), "{list}");
    let branch = task.carry.workspace.clone().unwrap().branch.unwrap();
    scene.git(&["rev-parse", "--verify", &branch]);
    scene.git(&["fsck", "--no-progress"]);
}

#[test]
fn l21_teardown_runs_confined_and_without_keys_before_a_workspace_goes() {
    let mut scene = Scene::new();
    scene
        .world
        .set_env("ANTHROPIC_API_KEY", "sk-ant-of-the-user");
    let outside = scene.world.path("outside.txt");
    let cache = scene.world.path("cache");
    std::fs::remove_dir(&cache).unwrap();
    scene.tasks(&format!(
        "[[task]]\nname = \"ends\"\nenv = {{ GREETING = \"hello\" }}\nsetup = \"mkdir -p sub\"\n\
         teardown = '''\npwd; env; cat a.txt; git diff --stat $LONGHAUL_BASE | cat; rm a.txt; echo log > new.txt; echo temp > $TMPDIR/x\nmkdir $XDG_CACHE_HOME/tool && echo cached; echo out > {}; echo outside $?\n'''\n\
         prompt = '''\n{START}\nwrite a.txt the work\ndone\n'''\n",
        outside.display()
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let task = scene.until_state("ends", StateWord::Done);
    let workspace = scene.workspace("ends");
    let removed = scene
        .longhaul(&["workspace", "remove", "ends", "--yes"])
        .expect_code(0);
    assert!(
        removed.stdout.contains("stays on the branch"),
        "{}",
        removed.stdout
    );
    gone(&scene, &workspace, &task);
    let said = scene.output(&teardown(&task, 1));
    let start = task.carry.workspace.clone().unwrap().start;
    for wanted in [
        workspace.to_str().unwrap(),
        "GREETING=hello",
        "LONGHAUL_TASK=ends",
        "the work",
        "cached",
        &format!("LONGHAUL_BASE={start}"),
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("sk-ant"), "{said}");
    if confinement_support() == ConfinementLevel::None {
        assert!(
            std::env::var_os("CI").is_none(),
            "this kernel confines nothing"
        );
        eprintln!("SKIPPED in part: this kernel has no Landlock");
    } else {
        assert!(!said.contains("outside 0") && !outside.exists(), "{said}");
    }
    // The work as it was before, and what the teardown made of it, are both kept.
    let kept = snapshots(&scene, &task);
    let of = |reason: &str| {
        let found = kept.iter().find(|(_, subject)| subject.contains(reason));
        files_of(&scene, &found.unwrap().0)
    };
    let (before, after) = (of("before removal"), of("after teardown"));
    assert!(
        before.contains("a.txt") && !before.contains("new.txt"),
        "{before}"
    );
    assert!(
        !after.contains("a.txt") && after.contains("new.txt"),
        "{after}"
    );
    // Asked again there is nothing left to do.
    scene
        .longhaul(&["workspace", "remove", "ends", "--yes"])
        .expect_code(6);
    scene.audit(&[("ends", StateWord::Done)]);
}

#[test]
fn l21_a_failing_teardown_keeps_the_workspace_with_the_reason_until_forced() {
    let mut scene = Scene::with("stop_grace = \"1s\"\n");
    let allowed = scene.gate("allowed");
    scene.tasks(&format!(
        "[[task]]\nname = \"fails\"\nteardown = \"echo changed > mine.txt; echo the cause of it >&2; test -e {}\"\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"forced\"\nteardown = \"echo no way; exit 7\"\nprompt = '''\n{START}\nwrite b.txt b\ndone\n'''\n",
        allowed.display()
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let fails = scene.until_state("fails", StateWord::Done);
    let forced = scene.until_state("forced", StateWord::Done);
    let (one, two) = (scene.workspace("fails"), scene.workspace("forced"));
    let remove = |args: &[&str]| {
        let mut all = vec!["workspace", "remove", "--yes"];
        all.extend_from_slice(args);
        scene.longhaul(&all)
    };
    let refused = remove(&["fails"]).expect_code(7);
    for wanted in ["the cause of it", "exit 1", "--force", "out.log"] {
        assert!(
            refused.stderr.contains(wanted),
            "{wanted}: {}",
            refused.stderr
        );
    }
    assert!(one.join("a.txt").exists());
    // A plan leaves it alone and says why, also once it has landed.
    let branch = fails.carry.workspace.clone().unwrap().branch.unwrap();
    scene.git(&["merge", "--quiet", "--no-edit", &branch]);
    let plan = scene
        .longhaul(&["workspace", "gc", "--apply"])
        .expect_code(0);
    assert!(
        plan.stdout
            .contains("kept because its `teardown` failed (exit 1)"),
        "{}",
        plan.stdout
    );
    let shown = scene
        .longhaul(&["workspace", "show", "fails"])
        .expect_code(0);
    assert!(shown.stdout.contains("the cause of it"), "{}", shown.stdout);
    // By name it runs again; what the first run left behind is nobody's uncommitted work.
    scene.open("allowed");
    remove(&["fails"]).expect_code(0);
    gone(&scene, &one, &fails);
    assert!(
        scene
            .output(&teardown(&fails, 1))
            .contains("the cause of it")
    );
    assert!(scene.jobs().join(teardown(&fails, 2).as_str()).exists());

    remove(&["forced"]).expect_code(7);
    remove(&["forced", "--force"]).expect_code(0);
    gone(&scene, &two, &forced);
    assert!(!scene.jobs().join(teardown(&forced, 2).as_str()).exists());
}

#[test]
fn l21_a_removal_killed_in_its_teardown_is_gone_on_with() {
    let mut scene = Scene::new();
    let (asked, shim) = (scene.wait_for("asked"), scene.wait_for("shim"));
    let ran = |n: &str, wait: &str| {
        format!(
            "[[task]]\nname = \"{n}\"\nteardown = \"rm -f a.txt; echo began; {wait}; echo ended\"\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n\n"
        )
    };
    scene.tasks(&(ran("asked", &asked) + &ran("shim", &shim)));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let begin = |name: &str| {
        let task = scene.until_state(name, StateWord::Done);
        let command = scene
            .world
            .longhaul_in(&scene.repo, ["workspace", "remove", name, "--yes"]);
        let removing = scene.world.spawn(command);
        assert!(wait_until(LIMIT, || scene
            .output(&teardown(&task, 1))
            .contains("began")));
        (task, removing)
    };
    // Who asked is killed: the teardown goes on by itself, and is not run a second time.
    let (task, removing) = begin("asked");
    let workspace = scene.workspace("asked");
    removing.kill();
    assert!(workspace.exists());
    scene.open("asked");
    scene
        .longhaul(&["workspace", "remove", "asked", "--yes"])
        .expect_code(0);
    gone(&scene, &workspace, &task);
    assert_eq!(scene.output(&teardown(&task, 1)), "began\nended\n");
    assert!(!scene.jobs().join(teardown(&task, 2).as_str()).exists());

    // Its shim and who asked are killed: nothing of it lives on, and it runs again.
    let (task, removing) = begin("shim");
    let workspace = scene.workspace("shim");
    removing.kill();
    let job = scene.job(&teardown(&task, 1));
    kill(&process(&job.shim));
    scene.open("shim");
    scene
        .longhaul(&["workspace", "remove", "shim", "--yes"])
        .expect_code(0);
    gone(&scene, &workspace, &task);
    assert_eq!(scene.output(&teardown(&task, 2)), "began\nended\n");
}

#[test]
fn l21_a_stopped_task_loses_its_workspace_and_gets_it_anew_with_its_setup() {
    let mut scene = Scene::new();
    let hold = scene.wait_for("go");
    scene.tasks(&format!(
        "[[task]]\nname = \"goes\"\nsetup = \"echo up >> up.txt\"\nteardown = \"echo down\"\n\
         prompt = '''\n{START}\n@attempt 1\nwrite half.txt half\nrun {hold}\n@attempt 2..\nwrite whole.txt whole\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e half.txt && test -e whole.txt && test $(wc -l < up.txt) = 2\"\n",
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    let half = scene.until("goes", "at work", |task| {
        let path = task
            .carry
            .workspace
            .as_ref()
            .map(|w| PathBuf::from(&w.path));
        path.is_some_and(|path| path.join("half.txt").exists())
    });
    let workspace = scene.workspace("goes");
    // Not while it is at work.
    let refused = scene
        .longhaul(&["workspace", "remove", "goes", "--yes", "--force"])
        .expect_code(7);
    assert!(refused.stderr.contains("at work"), "{}", refused.stderr);
    let stopped = scene
        .longhaul(&["stop", "--cleanup", "goes"])
        .expect_code(0);
    assert!(
        stopped.stdout.contains("removed the workspace of goes"),
        "{}",
        stopped.stdout
    );
    gone(&scene, &workspace, &scene.task("goes"));
    assert_eq!(scene.output(&teardown(&half, 1)), "down\n");
    scene.longhaul(&["retry", "goes"]).expect_code(0);
    scene.until_state("goes", StateWord::Done);
    assert_eq!(scene.workspace("goes"), workspace);
    assert_eq!(scene.on_branch("goes", "half.txt"), "half");
    scene.audit(&[("goes", StateWord::Done)]);
}

#[test]
fn l6_a_plan_takes_what_landed_and_leaves_what_is_kept_unlanded_or_dirty() {
    let mut scene = Scene::new();
    let names = ["landed", "kept", "unlanded", "dirty"];
    let tasks: String = names
        .iter()
        .map(|n| format!("[[task]]\nname = \"{n}\"\nprompt = '''\n{START}\nrun mv starts.txt {n}.txt\ndone\n'''\n\n"))
        .collect();
    scene.tasks(&tasks);
    scene.start();
    for name in names {
        scene.until_state(name, StateWord::Done);
    }
    for name in ["landed", "kept", "dirty"] {
        let branch = scene.task(name).carry.workspace.unwrap().branch.unwrap();
        scene.git(&["merge", "--quiet", "--no-edit", &branch]);
    }
    write(&scene.workspace("dirty").join("mine.txt"), "by hand").unwrap();
    scene
        .longhaul(&["workspace", "keep", "kept"])
        .expect_code(0);
    let of = |args: &[&str]| scene.longhaul(args).expect_code(0).json()["data"].clone();
    let plan = of(&["workspace", "gc", "--json"]);
    let because = |name: &str| {
        let all = plan["workspaces"].as_array().unwrap();
        let one = all.iter().find(|w| w["task"] == name).unwrap();
        (one["safe"].as_bool().unwrap(), one["because"].to_string())
    };
    assert!(because("landed").0, "{plan}");
    for (name, why) in [
        ("kept", "workspace keep"),
        ("unlanded", "has not landed"),
        ("dirty", "uncommitted work"),
    ] {
        let (safe, said) = because(name);
        assert!(!safe && said.contains(why), "{name}: {said}");
    }
    for name in names {
        assert!(scene.workspace(name).exists(), "a plan removes nothing");
    }
    of(&["workspace", "gc", "--apply", "--json"]);
    for name in names {
        assert_eq!(scene.workspace(name).exists(), name != "landed", "{name}");
    }
    // By name: not with uncommitted work, but for its word that is meant.
    let refused = scene
        .longhaul(&["workspace", "remove", "dirty", "--yes"])
        .expect_code(7);
    assert!(refused.stderr.contains("uncommitted"), "{}", refused.stderr);
    scene
        .longhaul(&["workspace", "remove", "dirty", "--yes", "--force"])
        .expect_code(0);
    let dirty = scene.task("dirty");
    let last = snapshots(&scene, &dirty).pop().unwrap();
    assert!(files_of(&scene, &last.0).contains("mine.txt"), "{last:?}");
    scene
        .longhaul(&["workspace", "keep", "kept", "--undo"])
        .expect_code(0);
    of(&["workspace", "gc", "--apply", "--json"]);
    assert!(!scene.workspace("kept").exists());
    assert!(scene.workspace("unlanded").exists());
    // A retention time lets go what has not landed.
    scene.config("workspace_retention = \"1s\"\n");
    assert!(wait_until(LIMIT, || {
        of(&["workspace", "gc", "--apply", "--json"]);
        !scene.workspace("unlanded").exists()
    }));
    assert_eq!(read(&scene.repo.join("landed.txt")).lines().count(), 1);
}

#[test]
fn l21_a_file_that_no_snapshot_takes_is_told_and_keeps_its_workspace() {
    let mut scene = Scene::with("snapshot_max = \"1MiB\"\n");
    scene.tasks(&format!(
        "[[task]]\nname = \"big\"\nprompt = '''\n{START}\n@attempt 1\nrun head -c 3000000 /dev/urandom > big.bin\n@attempt 2..\nrun rm big.bin\n@attempt 1..\ndone\n'''\n"
    ));
    scene.start();
    let task = scene.until_state("big", StateWord::NeedsHuman);
    let shown = scene.longhaul(&["show", "big"]).expect_code(0);
    let lines: Vec<&str> = shown.stdout.split_whitespace().collect();
    let text = lines.join(" ");
    assert!(
        text.contains("big.bin (3000000 bytes)") && text.contains("snapshot_max"),
        "{text}"
    );
    scene.longhaul(&["cancel", "big", "--yes"]).expect_code(0);
    scene.until_state("big", StateWord::Cancelled);
    let workspace = scene.workspace("big");
    let refused = scene
        .longhaul(&["workspace", "remove", "big", "--yes", "--force"])
        .expect_code(7);
    assert!(refused.stderr.contains("too large"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("--force"), "{}", refused.stderr);
    std::fs::remove_file(workspace.join("big.bin")).unwrap();
    scene
        .longhaul(&["workspace", "remove", "big", "--yes", "--force"])
        .expect_code(0);
    gone(&scene, &workspace, &task);
    let list = scene.longhaul(&["undo", "big", "--list"]).expect_code(0);
    assert!(list.stdout.contains("before removal"), "{}", list.stdout);
}
