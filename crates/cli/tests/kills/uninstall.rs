//! Longhaul taken away again: nothing goes on unwatched, and nothing of it stays in repositories.

use longhaul_core::task::{ParkCause, State, StateWord};
use longhaul_testkit::world::read;

use crate::scene::{START, Scene, git, is_live, process};

#[test]
fn i7_uninstall_leaves_no_session_running_unwatched() {
    let mut scene = Scene::new();
    let gate = scene.wait_for("never");
    scene.tasks(&format!(
        "[[task]]\nname = \"busy\"\nprompt = '''\n{START}\nsay at the gate\nwrite half.txt half\nrun {gate}\ndone\n'''\n"
    ));
    scene.start();
    scene.until_said("busy", "at the gate");
    scene.until("busy", "live", is_live);
    let agent = process(&scene.session("busy").child);
    let refused = |args: &[&str]| {
        let said = scene.longhaul(args).expect_code(7).stderr;
        for wanted in ["busy", "drain --stop"] {
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
        assert!(agent.is_alive());
    };
    refused(&["uninstall", "--yes"]);
    assert!(scene.daemon().is_some(), "nothing was changed");
    scene.kill_daemon();
    refused(&["uninstall", "--yes"]);
    refused(&["uninstall", "--purge", "--yes"]);
    scene.longhaul(&["drain", "--stop"]).expect_code(0);
    let task = scene.until_state("busy", StateWord::Parked);
    assert!(matches!(
        task.state,
        State::Parked {
            cause: ParkCause::Drained,
            ..
        }
    ));
    let workspace = scene.workspace("busy");
    scene.longhaul(&["uninstall", "--yes"]).expect_code(0);
    assert!(!agent.is_alive() && scene.daemon().is_none());
    assert_eq!(read(&workspace.join("half.txt")), "half\n");
}

#[test]
fn l21_a_purge_leaves_no_registration_and_no_ref_of_ours_behind() {
    let mut scene = Scene::new();
    let in_place = scene.world.repo("in-place").unwrap().path().to_owned();
    scene.tasks(&format!(
        "[[task]]\nname = \"fails\"\nsetup = \"exit 1\"\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n\n\
         [[task]]\nname = \"here\"\nworkspace = \"in-place\"\nrepo = \"{}\"\nprompt = '''\n{START}\nwrite b.txt b\ndone\n'''\n",
        in_place.display()
    ));
    scene.start();
    let task = scene.until_state("fails", StateWord::NeedsHuman);
    scene.until_state("here", StateWord::Done);
    // One that no task was ever told of: killed between making it and saying so.
    let stray = scene.jobs().parent().unwrap().join("workspaces/stray");
    let add = ["worktree", "add", "--quiet", "--lock", "-b", "stray"];
    scene.git(&[&add[..], &[stray.to_str().unwrap()]].concat());
    let refs = |folder| git(&scene.world, folder, &["for-each-ref", "refs/longhaul"]);
    assert_ne!(refs(&in_place), "");
    let plan = scene
        .longhaul(&["uninstall", "--purge", "--dry-run"])
        .expect_code(0);
    for wanted in [in_place.to_str().unwrap(), stray.to_str().unwrap()] {
        assert!(plan.stdout.contains(wanted), "{wanted}: {}", plan.stdout);
    }
    scene
        .longhaul(&["uninstall", "--purge", "--yes"])
        .expect_code(0);
    for folder in [&scene.repo, &in_place] {
        assert_eq!(refs(folder), "", "{}", folder.display());
    }
    assert_eq!(scene.git(&["worktree", "list"]).lines().count(), 1);
    let branch = task.carry.workspace.unwrap().branch.unwrap();
    scene.git(&["branch", "-D", &branch, "stray"]);
    assert_eq!(read(&in_place.join("b.txt")), "b\n");
}

#[test]
fn i5_a_purge_takes_no_landed_commit_that_is_on_no_branch() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "[[task]]\nname = \"lands\"\nland = true\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e a.txt\"\n"
    ));
    scene.start();
    scene.until_state("lands", StateWord::Done);
    // The task's own branch is merged by hand nowhere, and let go.
    let branch = scene.task("lands").carry.workspace.unwrap().branch.unwrap();
    scene.longhaul(&["daemon", "stop"]).expect_code(0);
    let refused = scene
        .longhaul(&["uninstall", "--purge", "--yes"])
        .expect_code(7);
    assert!(
        refused.stderr.contains("on no branch yet"),
        "{}",
        refused.stderr
    );
    assert_ne!(
        scene.git(&["for-each-ref", "refs/longhaul/integration"]),
        ""
    );
    scene.git(&["branch", "landed", "refs/longhaul/integration/main"]);
    scene
        .longhaul(&["uninstall", "--purge", "--yes"])
        .expect_code(0);
    assert_eq!(scene.git(&["for-each-ref", "refs/longhaul"]), "");
    assert_eq!(scene.git(&["show", "landed:a.txt"]), "a");
    scene.git(&["rev-parse", "--verify", &branch]);
}
