//! Sessions that reach for what is another task's: branches, refs, git's settings (L4, L20), and what
//! checks leave behind (T9). What was verified stays what is done.

use longhaul_core::task::{NeedKind, State, StateWord, Task};
use longhaul_hosts::{ConfinementLevel, confinement_support};
use longhaul_testkit::world::read;

use crate::scene::{START, Scene};

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn landlock() -> bool {
    if confinement_support() == ConfinementLevel::None {
        assert!(
            std::env::var_os("CI").is_none(),
            "this kernel confines nothing"
        );
        eprintln!("SKIPPED: this kernel has no Landlock");
        return false;
    }
    true
}

#[track_caller]
fn escaped(task: &Task) -> &str {
    let State::NeedsHuman { need } = &task.state else {
        panic!("{:?}", task.state);
    };
    assert_eq!(need.kind, NeedKind::Escaped, "{need:?}");
    &need.detail
}

/// The victim's branch in a session's shell.
const VICTIM: &str =
    "V=$(git for-each-ref --format='%(refname)' refs/heads/longhaul | grep victim)";

#[test]
fn l4_a_branch_of_another_task_goes_back_to_its_verified_commit() {
    if !landlock() {
        return;
    }
    let mut scene = Scene::new();
    // Each alone with the victim's branch, so that it is shown who did it.
    scene.config("concurrency = 1\n");
    let attack = |name: &str, line: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\ndepends_on = [\"victim\"]\nmax_retries = 0\nprompt = '''\nrun {VICTIM}; {line}\nwrite {name}.txt x\ndone\n'''\n\n"
        )
    };
    let attacks = [
        ("moves", "git update-ref $V HEAD~1"),
        ("deletes", "git update-ref -d $V"),
        ("unlinks", "rm $(git rev-parse --git-common-dir)/$V"),
        (
            "breaks",
            "echo rubbish > $(git rev-parse --git-common-dir)/$V",
        ),
        ("redirects", "git symbolic-ref $V refs/heads/main"),
        (
            "forges",
            "git update-ref $V $(echo forged | git commit-tree HEAD^{tree} -p HEAD); git reflog expire --expire=now --all; rm -f $(git rev-parse --git-common-dir)/logs/$V",
        ),
    ];
    let text: String = attacks.iter().map(|(n, l)| attack(n, l)).collect();
    scene.tasks(&format!(
        "[[task]]\nname = \"victim\"\nprompt = '''\n{START}\nwrite v.txt v\ndone\n'''\n\n{text}"
    ));
    scene.start();
    for (name, _) in attacks {
        if name == "deletes" {
            // Git wants `packed-refs` for that, which is closed to it.
            scene.until_state(name, StateWord::Done);
            continue;
        }
        let task = scene.until_state(name, StateWord::NeedsHuman);
        let told = escaped(&task);
        assert!(told.contains("longhaul/victim-"), "{name}: {told}");
        assert!(told.contains("(put back)"), "{name}: {told}");
    }
    let victim = scene.task("victim");
    let sealed = victim.attempt.unwrap().sealed.unwrap().commit;
    let branch = victim.carry.workspace.unwrap().branch.unwrap();
    assert_eq!(
        scene.git(&["rev-parse", &format!("refs/heads/{branch}")]),
        sealed
    );
    assert_eq!(
        scene.git(&["symbolic-ref", "-q", "HEAD"]),
        "refs/heads/main"
    );
    // What an attacker put there is kept, too (I5).
    let kept = scene.git(&[
        "for-each-ref",
        "--format=%(contents:subject)",
        "refs/longhaul/displaced",
    ]);
    assert!(kept.contains("forged"), "{kept}");
    scene.audit(&[("victim", StateWord::Done)]);
}

#[test]
fn l4_a_confined_session_reaches_nothing_else_of_git() {
    if !landlock() {
        return;
    }
    let mut scene = Scene::new();
    scene.git(&["tag", "release"]);
    scene.git(&["gc", "-q"]);
    let lines = [
        "git gc -q --prune=now",
        "git update-ref refs/heads/main HEAD",
        "git update-ref refs/longhaul/snap/x HEAD",
        "git update-ref -d refs/tags/release",
        "git replace HEAD HEAD~1",
        "git pack-refs --all",
        "echo > $C/packed-refs",
        "echo x > $C/info/grafts",
        "echo x > $C/shallow",
        "echo /tmp > $C/objects/info/alternates",
        "rm -f $C/objects/pack/*.pack",
        "echo x > $C/HEAD",
    ];
    let runs: String = lines
        .iter()
        .map(|line| format!("run C=$(git rev-parse --git-common-dir); {line}; echo outcome $?\n"))
        .collect();
    scene.tasks(&format!(
        "[[task]]\nname = \"reaches\"\nprompt = '''\n{START}\nrun git commit -q --allow-empty -m one\n{runs}write in.txt in\ndone\n'''\n"
    ));
    scene.start();
    let task = scene.until_state("reaches", StateWord::Done);
    let said = scene.output(&crate::scene::session_key(&task));
    assert!(!said.contains("outcome 0"), "{said}");
    scene.git(&["fsck", "--full", "--strict", "--no-dangling"]);
    assert_eq!(scene.git(&["tag"]), "release");
    scene.audit(&[("reaches", StateWord::Done)]);
}

#[test]
fn l4_what_an_unconfined_session_does_to_refs_is_undone_or_left_to_the_user() {
    let mut scene = Scene::new();
    scene.config("concurrency = 1\n");
    let off = "sandbox = \"off\"\nmax_retries = 0\ndepends_on = [\"victim\"]";
    scene.tasks(&format!(
        "[[task]]\nname = \"victim\"\nprompt = '''\n{START}\nwrite v.txt v\ndone\n'''\n\n\
         [[task]]\nname = \"snaps\"\n{off}\nprompt = '''\nrun git for-each-ref --format='delete %(refname)' refs/longhaul/snap | git update-ref --stdin\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"replaces\"\n{off}\nprompt = '''\nrun git replace HEAD HEAD~1\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"lends\"\n{off}\nprompt = '''\nrun echo $PWD > $(git rev-parse --git-common-dir)/objects/info/alternates\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"packs\"\n{off}\nprompt = '''\nrun {VICTIM}; git pack-refs --all; sed -i \"s#^[0-9a-f]* $V#$(git rev-parse HEAD~1) $V#\" $(git rev-parse --git-common-dir)/packed-refs\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"tags\"\n{off}\nprompt = '''\nrun git tag made\nwrite a.txt a\ndone\n'''\n"
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    for (name, thing) in [
        ("snaps", "refs/longhaul/snap/"),
        ("replaces", "refs/replace/"),
        ("lends", "alternates"),
        ("packs", "longhaul/victim-"),
    ] {
        let task = scene.until_state(name, StateWord::NeedsHuman);
        assert!(escaped(&task).contains(thing), "{name}: {:?}", task.state);
    }
    scene.until_state("tags", StateWord::Done);
    assert_eq!(
        scene.git(&["tag"]),
        "made",
        "the user's refs are the user's"
    );
    assert_eq!(scene.git(&["replace", "-l"]), "");
    let victim = scene.task("victim");
    let sealed = victim.attempt.unwrap().sealed.unwrap().commit;
    let branch = victim.carry.workspace.unwrap().branch.unwrap();
    assert_eq!(
        scene.git(&["rev-parse", &format!("refs/heads/{branch}")]),
        sealed
    );
    scene.audit(&[("victim", StateWord::Done)]);
}

#[test]
fn a_branch_that_left_its_verified_commit_is_said_and_not_followed() {
    let mut scene = Scene::new();
    let gate = scene.wait_for("go");
    scene.tasks(&format!(
        "[[task]]\nname = \"first\"\nprompt = '''\n{START}\nwrite v.txt verified\ndone\n'''\n\n\
         [[task]]\nname = \"hold\"\nprompt = '''\nrun {gate}\nwrite h.txt h\ndone\n'''\n\n\
         [[task]]\nname = \"heir\"\ndepends_on = [\"first\", \"hold\"]\nprompt = '''\nrun cat v.txt\nwrite w.txt w\ndone\n'''\n"
    ));
    scene.start();
    let first = scene.until_state("first", StateWord::Done);
    let sealed = first.attempt.unwrap().sealed.unwrap().commit;
    let branch = first.carry.workspace.unwrap().branch.unwrap();
    let shown = scene.longhaul(&["show", "first"]).expect_code(0);
    assert!(
        !shown.stdout.contains("since it was verified"),
        "{}",
        shown.stdout
    );
    // The user's own branch now: a person works on with it, from the checkout.
    scene.git(&["checkout", "-q", "--ignore-other-worktrees", &branch]);
    scene.git(&["commit", "-q", "--allow-empty", "-m", "mine"]);
    let mine = scene.git(&["rev-parse", "HEAD"]);
    scene.git(&["checkout", "-q", "main"]);
    scene.open("go");
    let heir = scene.until_state("heir", StateWord::Done);
    let start = heir.carry.workspace.unwrap().start;
    let held = scene.git(&["log", "--format=%H", &start]);
    assert!(held.contains(&sealed) && !held.contains(&mine), "{held}");
    assert_eq!(
        scene.git(&["rev-parse", &branch]),
        mine,
        "a person's doing stays"
    );
    let words = format!(
        "branch moved since it was verified: {} → {}",
        &sealed[..10],
        &mine[..10]
    );
    for verb in [&["show", "first"][..], &["report"]] {
        let said = scene.longhaul(verb).expect_code(0).stdout;
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(&words), "{verb:?}: {said}");
    }
    assert_eq!(scene.show("first")["workspace"]["moved_to"], mine.as_str());
    scene.audit(&[("first", StateWord::Done), ("heir", StateWord::Done)]);
}

#[test]
fn t9_files_that_a_check_leaves_are_no_work_of_the_agents() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "[[task]]\nname = \"left\"\nprompt = '''\n@attempt 1\n{START}\nwrite half.txt half\ndone\n@attempt 2..\nrun ls; cat out/log.txt; git status --short\nwrite whole.txt whole\ndone\n'''\n\
         [[task.check]]\nname = \"build\"\nrun = \"mkdir -p out && echo built > out/log.txt && echo b > half.bin\"\n\
         [[task.check]]\nname = \"test\"\nrun = \"test -e half.bin && test -e whole.txt\"\n"
    ));
    scene.start();
    let task = scene.until_state("left", StateWord::Done);
    assert_eq!(task.tally.attempts, 2);
    let said = scene.output(&crate::scene::session_key(&task));
    assert!(
        !said.contains("built") && !said.contains("half.bin"),
        "{said}"
    );
    // Neither a drift that the agent is told of, nor part of any commit.
    let workspace = task.carry.workspace.unwrap();
    let branch = workspace.branch.unwrap();
    let files = scene.git(&[
        "log",
        "--name-only",
        "--format=",
        &format!("main..{branch}"),
    ]);
    assert!(
        files.contains("whole.txt") && files.contains("half.txt"),
        "{files}"
    );
    assert!(
        !files.contains("out/log.txt") && !files.contains("half.bin"),
        "{files}"
    );
    let verdicts = scene.show("left")["verdicts"].clone();
    let reason = verdicts[0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("2 untracked files") && reason.contains("out/log.txt"),
        "{reason}"
    );
    // Taken away after the last check as well, and kept in a snapshot.
    let folder = std::path::Path::new(&workspace.path);
    assert!(!folder.join("out").exists() && !folder.join("half.bin").exists());
    assert_eq!(read(&folder.join("whole.txt")).trim(), "whole");
    let kept = scene.git(&[
        "for-each-ref",
        "--format=%(refname)",
        &format!("refs/longhaul/snap/{}", task.id),
    ]);
    let by_order: Vec<&str> = kept.lines().filter(|l| l.contains('.')).collect();
    assert_eq!(by_order.len(), 2, "{kept}");
    assert_eq!(
        scene.git(&["show", &format!("{}:out/log.txt", by_order[0])]),
        "built"
    );
    scene.audit(&[("left", StateWord::Done)]);
}

#[test]
fn l20_a_check_that_plants_commands_fails_and_they_are_gone() {
    let mut scene = Scene::new();
    let hook = scene.repo.join(".git/hooks/pre-commit");
    scene.tasks(&format!(
        "[[task]]\nname = \"plants\"\nsandbox = \"off\"\nmax_retries = 0\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n[[task.check]]\nrun = \"echo evil > {}\"\n",
        hook.display()
    ));
    scene.longhaul(&["trust", "--yes"]).expect_code(0);
    scene.start();
    scene.until_state("plants", StateWord::NeedsHuman);
    let reason = scene.show("plants")["verdicts"][0]["reason"].to_string();
    assert!(reason.contains("hooks/pre-commit"), "{reason}");
    assert!(!hook.exists());
}
