//! The merge queue with the real binary: what lands, what goes back, kills in the middle of it, and a
//! user who works in the checkout of the base branch all the while.

use std::collections::BTreeSet;

use longhaul_core::queue::{LineId, QueueCause};
use longhaul_core::task::{DoneBasis, State, StateWord};
use longhaul_store::{Chain, Reader as _};
use longhaul_testkit::world::{read, wait_until, write};

use crate::scene::{LIMIT, Scene};

pub(crate) const INTEGRATION: &str = "refs/longhaul/integration/main";

/// A task that writes a file and wants to land; `more` are further lines of it.
pub(crate) fn task(name: &str, script: &str, more: &str) -> String {
    format!(
        "[[task]]\nname = \"{name}\"\nland = true\nmax_restarts = 50\n{more}\nprompt = '''\n{script}\n'''\n\n"
    )
}

/// A commit of the user's own, before anything else.
pub(crate) fn commit(scene: &Scene, file: &str, text: &str, why: &str) {
    write(&scene.repo.join(file), text).unwrap();
    scene.git(&["add", file]);
    scene.git(&["commit", "-qm", why]);
}

pub(crate) fn landed(scene: &Scene, name: &str) {
    let task = scene.until_state(name, StateWord::Done);
    let basis = DoneBasis::Landed;
    assert_eq!(task.state, State::Done { basis }, "{name}");
    let commit = task.carry.landed.expect("it landed somewhere").commit;
    scene.git(&["merge-base", "--is-ancestor", &commit, INTEGRATION]);
}

/// What must hold of the queue whatever happened: its ledger is whole, each commit on the first-parent line
/// of the integration ref since `base` was checked as that very tree (I9), and nothing landed twice.
pub(crate) fn audit(scene: &Scene, base: &str) {
    let reader = scene.reader().expect("the database opens");
    let line = LineId {
        repo: scene.repo.display().to_string(),
        base: "main".to_owned(),
    };
    let chain = reader.verify_line(&line).unwrap();
    assert!(matches!(chain, Some(Chain::Intact { .. })), "{chain:?}");
    let rows = reader.queue_tail(&line, 10_000).unwrap();
    let text = |cause: QueueCause, key: &str| -> Vec<String> {
        let of = rows.iter().filter(|r| r.row.cause == cause);
        of.filter_map(|r| Some(r.row.data.get(key)?.as_str()?.to_owned()))
            .collect()
    };
    let passed: BTreeSet<String> = text(QueueCause::CheckPassed, "tree").into_iter().collect();
    let range = format!("{base}..{INTEGRATION}");
    let history = scene.git(&[
        "rev-list",
        "--first-parent",
        "--format=%H %T",
        "--no-commit-header",
        &range,
    ]);
    let mine = scene.git(&["rev-list", "--first-parent", &format!("{base}..main")]);
    let mut commits = 0;
    for commit in history.lines() {
        let (commit, tree) = commit.split_once(' ').unwrap();
        commits += 1;
        // What the user committed is the user's own word.
        let by_user = mine.lines().any(|c| c == commit) && !passed.contains(tree);
        assert!(
            passed.contains(tree) || by_user,
            "{commit} was never checked"
        );
    }
    let heads = text(QueueCause::Landed, "head");
    let once: BTreeSet<&String> = heads.iter().collect();
    assert_eq!(once.len(), heads.len(), "something landed twice: {heads:?}");
    assert!(commits > 0, "nothing landed");
}

#[test]
fn l8_l9_l12_of_two_conflicting_tasks_one_lands_and_the_other_is_reworked_and_lands() {
    let mut scene = Scene::new();
    commit(&scene, "f.txt", "base\n", "Have a file");
    let base = scene.git(&["rev-parse", "main"]);
    // The user is in the middle of something.
    write(&scene.repo.join("f.txt"), "base\nmy own edit\n").unwrap();
    write(&scene.repo.join("untracked.txt"), "mine\n").unwrap();
    let check = "[[task.check]]\nname = \"has-it\"\nrun = ";
    let one = task("one", "write f.txt ONE\ndone", "");
    let two = task(
        "two",
        "run grep -q ONE f.txt && printf 'ONE\\nTWO\\n' > f.txt || echo TWO > f.txt\nrun sleep 1\ndone",
        "",
    );
    scene.tasks(&format!(
        "{one}{check}\"grep -q ONE f.txt\"\n\n{two}{check}\"grep -q TWO f.txt\"\n"
    ));
    scene.start();
    landed(&scene, "one");
    landed(&scene, "two");
    let task = scene.task("two");
    assert_eq!(
        (task.tally.attempts, task.tally.returns),
        (2, 1),
        "sent back once"
    );
    assert_eq!(task.tally.retries, 0, "it cost no retry");
    assert_eq!(
        scene.git(&["show", &format!("{INTEGRATION}:f.txt")]),
        "ONE\nTWO"
    );
    // The base branch waits: it is checked out, and it is the user's.
    assert_eq!(scene.git(&["rev-parse", "main"]), base);
    let queue = scene.longhaul(&["queue", "--json"]).expect_code(0).json();
    let line = &queue["data"]["lines"][0];
    assert!(
        line["behind"].as_str().unwrap().contains("checked out"),
        "{line}"
    );
    assert_eq!(line["landed"][0]["verified"], true);
    // `advance` by hand does not touch what the user edits.
    scene.longhaul(&["queue", "advance"]).expect_code(0);
    assert!(wait_until(LIMIT, || {
        let queue = scene.longhaul(&["queue", "--json"]).json();
        queue["data"]["lines"][0]["behind"]
            .as_str()
            .is_some_and(|w| w.contains("f.txt"))
    }));
    audit(&scene, &base);
    scene.audit(&[("one", StateWord::Done), ("two", StateWord::Done)]);
}

#[test]
fn l11_a_red_merge_goes_back_with_its_evidence() {
    let mut scene = Scene::new();
    commit(&scene, "README", "x\n", "Have a file");
    let base = scene.git(&["rev-parse", "main"]);
    // Both pass by themselves; together only if `user` knows version 2.
    let together =
        "land_check = [\"test ! -e lib.txt || test ! -e user.txt || grep -q v2 user.txt\"]";
    let lib = task("lib", "write lib.txt v2\ndone", together);
    let user = task(
        "user",
        &format!(
            "run if [ -e once ]; then rm once; echo v2 > user.txt; else echo > once; echo v1 > user.txt; fi\nrun {}\ndone",
            scene.wait_for("lib-landed")
        ),
        together,
    );
    let check = "[[task.check]]\nname = \"own\"\nrun = \"true\"\n\n";
    scene.tasks(&format!("{lib}{check}{user}{check}"));
    scene.start();
    landed(&scene, "lib");
    scene.open("lib-landed");
    landed(&scene, "user");
    let task = scene.task("user");
    assert_eq!(
        (task.tally.attempts, task.tally.returns),
        (2, 1),
        "sent back once"
    );
    assert_eq!(
        scene.git(&["show", &format!("{INTEGRATION}:user.txt")]),
        "v2"
    );
    let history = scene
        .longhaul(&["queue", "explain", "user"])
        .expect_code(0)
        .stdout;
    assert!(
        history.contains("failed twice on the merged tree: land-1"),
        "{history}"
    );
    audit(&scene, &base);
    scene.audit(&[("lib", StateWord::Done), ("user", StateWord::Done)]);
}

#[test]
fn l15_a_repository_says_how_its_work_lands() {
    let mut scene = Scene::new();
    commit(
        &scene,
        ".longhaul/config.toml",
        "[queue]\nmerge_style = \"squash\"\n",
        "Squash here",
    );
    let base = scene.git(&["rev-parse", "main"]);
    let script = "write a.txt 1\nrun git add a.txt && git commit -qm Half\nwrite b.txt 2\ndone";
    let check = "[[task.check]]\nname = \"own\"\nrun = \"test -e b.txt\"\n\n";
    scene.tasks(&format!("{}{check}", task("whole", script, "")));
    scene.start();
    landed(&scene, "whole");
    let parents = |commit: &str| scene.git(&["log", "-1", "--format=%P", commit]);
    let first = scene.git(&["rev-parse", INTEGRATION]);
    assert_eq!(parents(&first), base, "one commit of all, with one parent");
    // A branch of the user's as well.
    scene.git(&["branch", "mine", &base]);
    let side = scene.world.root().join("side");
    scene.git(&["worktree", "add", "-q", side.to_str().unwrap(), "mine"]);
    for file in ["c.txt", "d.txt"] {
        write(&side.join(file), file).unwrap();
        scene.git(&["-C", side.to_str().unwrap(), "add", file]);
        scene.git(&["-C", side.to_str().unwrap(), "commit", "-qm", file]);
    }
    scene
        .longhaul(&["queue", "add", "mine", "--branch", "--unverified"])
        .expect_code(0);
    assert!(wait_until(LIMIT, || scene.git(&["rev-parse", INTEGRATION]) != first));
    assert_eq!(parents(INTEGRATION), first);
    assert_eq!(
        scene.git(&["show", &format!("{INTEGRATION}:d.txt")]),
        "d.txt"
    );
}

#[test]
fn l18_a_daemon_killed_while_a_merged_tree_is_checked_adopts_the_check() {
    let mut scene = Scene::new();
    commit(&scene, "README", "x\n", "Have a file");
    let base = scene.git(&["rev-parse", "main"]);
    // Ignored files stay in the slot: they count the runs.
    commit(&scene, ".gitignore", "runs\n", "Ignore a file");
    let wait = scene.wait_for("go");
    let check = format!("land_check = [\"echo run >> runs; {wait}\"]");
    let slow = task("slow", "write a.txt a\ndone", &check);
    scene.tasks(&format!(
        "{slow}[[task.check]]\nname = \"own\"\nrun = \"test -e a.txt\"\n"
    ));
    scene.start();
    let runs = || {
        let found = crate::scene::find(&scene.world.state().join("queue"), "runs", 3);
        found.map(|path| read(&path)).unwrap_or_default()
    };
    assert!(wait_until(LIMIT, || runs() == "run\n"), "{:?}", runs());
    for _ in 0..2 {
        scene.kill_daemon();
        assert_eq!(scene.show("slow")["task"]["state"], "landing");
        scene.longhaul(&["daemon", "start"]).expect_code(0);
    }
    scene.open("go");
    landed(&scene, "slow");
    assert_eq!(runs(), "run\n", "it was run again");
    audit(&scene, &base);
    scene.audit(&[("slow", StateWord::Done)]);
}

#[test]
fn l14_what_the_user_commits_meanwhile_is_merged_and_checked_too() {
    let mut scene = Scene::new();
    commit(&scene, "README", "x\n", "Have a file");
    let base = scene.git(&["rev-parse", "main"]);
    let check = format!("land_check = [\"{}; test -e a.txt\"]", scene.wait_for("go"));
    let work = task("work", "write a.txt a\ndone", &check);
    let text = format!("{work}[[task.check]]\nname = \"own\"\nrun = \"test -e a.txt\"\n");
    write(&scene.repo.join(".git/info/exclude"), "tasks.toml\n").unwrap();
    scene.tasks(&text);
    scene.start();
    scene.until_state("work", StateWord::Landing);
    assert!(wait_until(LIMIT, || {
        let queue = scene.longhaul(&["queue", "--json"]).json();
        queue["data"]["lines"][0]["stage"] == "check"
    }));
    commit(&scene, "mine.txt", "mine\n", "Work on main meanwhile");
    let mine = scene.git(&["rev-parse", "main"]);
    // From here on the checkout may only be advanced.
    scene.tasks(&text);
    scene.open("go");
    landed(&scene, "work");
    assert!(
        wait_until(LIMIT, || {
            let files = scene.git(&["ls-tree", "--name-only", INTEGRATION]);
            files.contains("a.txt") && files.contains("mine.txt")
        }),
        "{}",
        scene.longhaul(&["queue"]).stdout
    );
    assert_eq!(
        scene.git(&["rev-parse", "main"]),
        mine,
        "nobody asked for it"
    );
    audit(&scene, &base);
    let advanced = || {
        scene.longhaul(&["queue", "advance"]).expect_code(0);
        scene.git(&["rev-parse", "main"]) == scene.git(&["rev-parse", INTEGRATION])
    };
    assert!(
        wait_until(LIMIT, advanced),
        "{}",
        scene.longhaul(&["queue"]).stdout
    );
    assert_eq!(read(&scene.repo.join("a.txt")), "a\n");
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
}

#[test]
fn i17_a_session_may_not_steer_the_merge_queue() {
    let mut scene = Scene::new();
    commit(&scene, "README", "x\n", "Have a file");
    let binary = env!("CARGO_BIN_EXE_longhaul");
    let script =
        format!("run {binary} queue pause --all > said.txt 2>&1; echo $? >> said.txt\ndone");
    let rogue = task("rogue", &script, "land_unverified = true");
    scene.tasks(&rogue);
    scene.start();
    let task = scene.until_state("rogue", StateWord::Done);
    let basis = DoneBasis::LandedUnverified;
    assert_eq!(task.state, State::Done { basis });
    let said = scene.on_branch("rogue", "said.txt");
    assert!(!said.trim_end().ends_with("\n0"), "{said}");
    let queue = scene.longhaul(&["queue", "--json"]).json();
    assert_eq!(queue["data"]["lines"][0]["paused"], false, "{said}");
    assert_eq!(queue["data"]["lines"][0]["landed"][0]["verified"], false);
    scene.audit(&[("rogue", StateWord::Done)]);
}
