//! SIGKILL of the daemon at each step of the merge queue, and of git under it: everything lands once, and
//! the repository is sound (L18). The sweep does the same at every point there is.

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{read, wait_until};

use crate::landing::{INTEGRATION, audit, commit, landed, task};
use crate::scene::{LIMIT, Scene};

/// Two tasks that land on a base branch whose clean checkout follows.
fn scene() -> Scene {
    let mut scene = Scene::with("[queue]\nadvance_checkout = \"clean\"\n");
    commit(&scene, "README", "x\n", "Have a file");
    let check = |name: &str| {
        format!(
            "[[task.check]]\nname = \"own\"\nrun = \"test ! -e {name} || grep -q x {name}\"\n\n"
        )
    };
    let one = |name: &str| task(name, &format!("write {name} x\ndone"), "") + &check(name);
    scene.tasks(&format!("{}{}", one("a"), one("b")));
    scene
}

/// Both landed, once, and the checkout holds them.
#[track_caller]
fn ends_well(scene: &Scene) {
    let base = scene.git(&["rev-list", "--max-parents=0", "main"]);
    for name in ["a", "b"] {
        landed(scene, name);
    }
    let followed = || scene.git(&["rev-parse", "main"]) == scene.git(&["rev-parse", INTEGRATION]);
    assert!(
        wait_until(LIMIT, followed),
        "{}\n{}",
        scene.longhaul(&["queue"]).stdout,
        scene.daemon_log()
    );
    for name in ["a", "b"] {
        assert_eq!(read(&scene.repo.join(name)), "x\n");
    }
    audit(scene, &base);
    scene.audit(&[("a", StateWord::Done), ("b", StateWord::Done)]);
}

#[test]
fn l18_a_daemon_killed_at_any_step_of_the_queue_lands_everything_once() {
    let points = [
        "engine.queue.trial.after",
        "engine.queue.temp.after",
        "engine.queue.land.before",
        "engine.queue.land.after",
        "vcs.follow.files.before",
        "vcs.follow.files.after",
        "vcs.follow.base.before",
        "vcs.follow.base.after",
        "engine.queue.forget-journal.before",
    ];
    for point in points {
        let scene = scene();
        scene.dies_once_at(point);
        ends_well(&scene);
    }
}

#[test]
fn l18_git_killed_under_the_queue_costs_time_and_nothing_else() {
    let scene = scene();
    let path = std::env::var_os("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("git"));
    let real = real.into_iter().find(|git| git.is_file()).unwrap();
    let (real, log) = (real.display(), scene.world.path("runs"));
    // Every third of the first runs that write something is killed a moment after it began.
    let program = format!(
        "case \" $* \" in *' merge-tree '*|*' commit-tree '*|*' update-ref '*|*' read-tree '*)\n\
         echo run >> {log}\nn=$(wc -l < {log})\n\
         if [ $n -le 15 ] && [ $((n % 3)) = 1 ]; then\n\
         {real} \"$@\" <&0 & p=$!\nsleep 0.00$((n % 7))\nkill -9 $p\nkill -9 $$\nfi ;; esac\n\
         exec {real} \"$@\"",
        log = log.display(),
    );
    scene.world.program("git", &program).unwrap();
    scene.start();
    ends_well(&scene);
    assert!(
        read(&log).lines().count() > 15,
        "no git was killed in the end"
    );
}
