//! A workspace brought up to what has landed by its person (L21): merged, made anew, refused.

use longhaul_core::task::StateWord;
use longhaul_testkit::world::write;

use crate::scene::{START, Scene};

/// Commits a file on the user's branch.
fn commit(scene: &Scene, file: &str, text: &str) {
    write(&scene.repo.join(file), text).unwrap();
    scene.git(&["add", file]);
    scene.git(&["commit", "--quiet", "-m", &format!("Change {file}")]);
}

#[test]
fn l21_a_workspace_is_brought_up_to_base_and_the_next_attempt_goes_on_in_it() {
    let mut scene = Scene::new();
    let running = scene.wait_for("running");
    scene.tasks(&format!(
        "[[task]]\nname = \"late\"\nmax_retries = 0\nprompt = '''\n{START}\n@attempt 1\nwrite mine.txt one\n\
         @attempt 2..\nrun cat landed.txt > seen.txt\n@attempt 1..\ndone\n'''\n\
         [[task.check]]\nrun = \"test -e seen.txt\"\n\n\
         [[task]]\nname = \"other\"\nprompt = '''\n{START}\nwrite mine.txt other\ndone\n'''\n\n\
         [[task]]\nname = \"busy\"\nprompt = '''\n{START}\nrun {running}\ndone\n'''\n"
    ));
    scene.start();
    scene.until_state("late", StateWord::NeedsHuman);
    scene.until_state("other", StateWord::Done);
    commit(&scene, "landed.txt", "from base\n");

    let rebased = scene
        .longhaul(&["workspace", "rebase", "late", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(rebased["kind"], "workspace_brought_up");
    assert_eq!(rebased["data"]["end"], "done");
    let again = scene
        .longhaul(&["workspace", "rebase", "late"])
        .expect_code(0);
    assert!(again.stdout.contains("already"), "{}", again.stdout);
    let base = scene.git(&["rev-parse", "main"]);
    let branch = scene.task("late").carry.workspace.unwrap().branch.unwrap();
    assert_eq!(scene.git(&["merge-base", "main", &branch]), base);
    let diff = scene
        .longhaul(&["workspace", "diff", "late", "--stat"])
        .expect_code(0);
    assert!(!diff.stdout.contains("landed.txt"), "{}", diff.stdout);

    let merged = scene
        .longhaul(&["workspace", "merge", "other"])
        .expect_code(0);
    assert!(merged.stdout.contains("have not seen"), "{}", merged.stdout);
    assert_eq!(scene.on_branch("other", "landed.txt"), "from base");
    let refused = scene
        .longhaul(&["workspace", "merge", "busy"])
        .expect_code(7);
    assert!(refused.stderr.contains("at work"), "{}", refused.stderr);
    scene.open("running");
    scene.until_state("busy", StateWord::Done);

    commit(&scene, "mine.txt", "the user's\n");
    for verb in ["merge", "rebase"] {
        let refused = scene.longhaul(&["workspace", verb, "late"]).expect_code(7);
        for part in ["nothing was changed", "mine.txt (content)"] {
            assert!(refused.stderr.contains(part), "{}", refused.stderr);
        }
    }
    let unknown = scene
        .longhaul(&["workspace", "merge", "late", "--to", "nowhere"])
        .expect_code(6);
    assert!(unknown.stderr.contains("nowhere"), "{}", unknown.stderr);

    // What was brought in is no drift that somebody would have to look at.
    scene.longhaul(&["retry", "late"]).expect_code(0);
    scene.until("late", "settled again", |task| {
        task.fence.0 > 1 && matches!(task.state.word(), StateWord::Done | StateWord::NeedsHuman)
    });
    let late = scene.task("late");
    assert_eq!(late.state.word(), StateWord::Done, "{:?}", late.state);
    assert_eq!(scene.on_branch("late", "seen.txt"), "from base");
    scene.git(&["fsck", "--no-progress"]);
}
