//! Sessions that change the same file while they work, with the real binary (L19).

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{read, wait_until};

use crate::landing::commit;
use crate::scene::{LIMIT, Scene};

fn both(scene: &mut Scene) {
    commit(scene, "f.txt", "base\n", "Have a file");
    let one = |name: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nprompt = '''\nwrite f.txt {name}\nrun {}\ndone\n'''\n[[task.check]]\nname = \"own\"\nrun = \"true\"\n\n",
            scene.wait_for("go"),
        )
    };
    let text = format!("{}{}", one("one"), one("two"));
    scene.tasks(&text);
    scene.start();
    for name in ["one", "two"] {
        let show = || scene.longhaul(&["show", name]).stdout;
        assert!(
            wait_until(LIMIT, || show().contains("changes f.txt, too")),
            "{}\n{}",
            show(),
            scene.daemon_log()
        );
    }
}

#[test]
fn l19_both_tasks_are_told_and_go_on() {
    let mut scene = Scene::new();
    both(&mut scene);
    let objects = || scene.git(&["count-objects", "-v"]);
    let before = objects();
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert_eq!(objects(), before, "a look writes nothing");
    for name in ["one", "two"] {
        assert!(!scene.task(name).hold);
    }
    scene.open("go");
    for name in ["one", "two"] {
        scene.until_state(name, StateWord::Done);
    }
    assert_eq!(read(&scene.repo.join("f.txt")), "base\n");
    scene.audit(&[("one", StateWord::Done), ("two", StateWord::Done)]);
}

#[test]
fn l19_escalate_pauses_the_later_one_after_its_turn_until_a_person_says_otherwise() {
    let mut scene = Scene::with("queue.live_conflicts = \"escalate\"");
    both(&mut scene);
    let held = ["one", "two"].map(|name| scene.task(name).hold);
    assert_eq!(held.iter().filter(|h| **h).count(), 1, "{held:?}");
    let (paused, free) = if held[0] {
        ("one", "two")
    } else {
        ("two", "one")
    };
    let show = scene.longhaul(&["show", paused]).stdout;
    assert!(show.contains("pauses after this turn"), "{show}");
    scene.open("go");
    scene.until_state(free, StateWord::Done);
    let state = scene.until_state(paused, StateWord::Verifying);
    assert!(state.hold, "its checks wait");
    scene.longhaul(&["resume", paused]).expect_code(0);
    scene.until_state(paused, StateWord::Done);
    scene.audit(&[("one", StateWord::Done), ("two", StateWord::Done)]);
}
