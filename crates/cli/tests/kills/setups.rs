//! A `setup` that fails: its output can be read, and its workspace is the task's.

use longhaul_core::task::{NeedKind, State, StateWord};

use crate::scene::{START, Scene};

#[test]
fn l21_a_failed_setup_shows_its_output_and_its_workspace_can_be_let_go() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "[[task]]\nname = \"fails\"\nsetup = \"echo the begin; echo 'ERROR: the cause' >&2; seq 1 900; exit 3\"\nprompt = '''\n{START}\nwrite a.txt a\ndone\n'''\n"
    ));
    scene.start();
    let task = scene.until_state("fails", StateWord::NeedsHuman);
    let State::NeedsHuman { need } = &task.state else {
        unreachable!()
    };
    assert_eq!(need.kind, NeedKind::SetupFailed);
    let shown = scene.longhaul(&["show", "fails"]).expect_code(0).stdout;
    for wanted in ["(exit 3): ERROR: the cause", "900"] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    for wanted in ["longhaul logs fails", "out.log"] {
        assert!(need.remedy.contains(wanted), "{wanted}: {need:?}");
    }
    let whole = |args: &[&str]| {
        let said = scene.longhaul(args).expect_code(0).stdout;
        for wanted in ["the begin\n", "ERROR: the cause\n", "\n450\n", "\n900\n"] {
            assert!(said.contains(wanted), "{wanted:?} {args:?}: {said}");
        }
    };
    whole(&["logs", "fails"]);
    whole(&["logs", "fails", "--err"]);
    whole(&["logs", "fails", "--attempt", "1", "--raw"]);

    let workspace = scene.workspace("fails");
    let listed = scene.longhaul(&["workspace", "list"]).expect_code(0).stdout;
    assert!(listed.contains("fails"), "{listed}");
    scene
        .longhaul(&["workspace", "show", "fails"])
        .expect_code(0);
    scene
        .longhaul(&["workspace", "remove", "fails", "--yes"])
        .expect_code(7);
    scene.longhaul(&["cancel", "fails", "--yes"]).expect_code(0);
    scene
        .longhaul(&["workspace", "remove", "fails", "--yes"])
        .expect_code(0);
    assert!(!workspace.exists());
    assert_eq!(scene.git(&["worktree", "list"]).lines().count(), 1);
    let branch = task.carry.workspace.unwrap().branch.unwrap();
    scene.git(&["branch", "-D", &branch]);
    scene.audit(&[("fails", StateWord::Cancelled)]);
    // Also without a daemon.
    scene.longhaul(&["daemon", "stop"]).expect_code(0);
    whole(&["logs", "fails"]);
}
