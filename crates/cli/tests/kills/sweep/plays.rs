//! The plays that the sweep disturbs, cheapest first. What their scripts do does not depend on how
//! often they are begun, so that every way through crashes leads to the same end.

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{read, write};

use super::driver::Driver;
use crate::landing::INTEGRATION;
use crate::scene::Scene;

/// One of them.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) name: &'static str,
    pub(super) tasks: &'static str,
    pub(super) prepare: fn(&Scene),
    pub(super) act: fn(&Driver),
    /// Its tasks land: commits of the queue name them, too.
    pub(super) lands: bool,
    pub(super) ends: &'static [(&'static str, StateWord)],
}

fn hand_in(driver: &Driver) {
    driver.order(&["run", "tasks.toml", "--detach"], &[0]);
}

/// Files that are placed into workspaces: one in a folder, one link.
fn included(scene: &Scene) {
    write(&scene.repo.join(".worktreeinclude"), ".env\nlocal/\nlink\n").unwrap();
    write(
        &scene.repo.join(".gitignore"),
        ".env\nlocal/\nlink\nhidden/\n",
    )
    .unwrap();
    scene.git(&["add", "."]);
    scene.git(&["commit", "-qm", "Name files"]);
    write(&scene.repo.join(".env"), "A=1\n").unwrap();
    write(&scene.repo.join("local/x"), "x\n").unwrap();
    std::os::unix::fs::symlink(".env", scene.repo.join("link")).unwrap();
}

pub(super) const PLAYS: &[Play] = &[
    // One task with everything that one attempt can have.
    Play {
        name: "once",
        tasks: r#"
[[task]]
name = "once"
max_restarts = 50
setup = "echo set up > setup.txt; test -e .env"
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
say hello
write a.txt a
run git config user.nickname odd
spawn sleep 3009
done
'''
[[task.check]]
name = "there"
run = "grep -q a a.txt && test -e setup.txt"
"#,
        prepare: included,
        act: hand_in,
        lands: false,
        ends: &[("once", StateWord::Done)],
    },
    // A check that fails first, a limit, what depends on two branches, a setup that never works.
    Play {
        name: "several",
        tasks: r#"
[[task]]
name = "left"
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
run if [ -e first.txt ]; then echo good > left.txt; else echo begun > first.txt; fi
done
'''
[[task.check]]
name = "good"
run = "grep -q good left.txt"

[[task]]
name = "right"
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
write right.txt right
done
'''

[[task]]
name = "both"
max_restarts = 50
depends_on = ["left", "right"]
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
run cat left.txt right.txt > both.txt
done
'''

[[task]]
name = "never"
max_restarts = 50
max_retries = 1
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
write never.txt never
done
'''
[[task.check]]
name = "impossible"
run = "false"
"#,
        prepare: |_| {},
        act: hand_in,
        lands: false,
        ends: &[
            ("left", StateWord::Done),
            ("right", StateWord::Done),
            ("both", StateWord::Done),
            ("never", StateWord::NeedsHuman),
        ],
    },
    // A person's orders: stop, resume, cancel, undo, and the removal of a workspace.
    Play {
        name: "orders",
        tasks: r#"
[[task]]
name = "stopped"
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
write half.txt half
say at the gate
run GATE
write whole.txt whole
done
'''

[[task]]
name = "gone"
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
write gone.txt gone
ignore-term
hang
'''

[[task]]
name = "undone"
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
write kept.txt kept
done
'''

[[task]]
name = "tidied"
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
write work.txt work
done
'''
"#,
        prepare: |_| {},
        act: |driver| {
            hand_in(driver);
            driver.until("the work of gone", |scene| said(scene, "gone", "gone.txt"));
            driver.until("the work of stopped", |scene| {
                said(scene, "stopped", "half.txt")
            });
            driver.order(&["stop", "stopped"], &[0, 7]);
            driver.order(&["cancel", "gone", "--yes"], &[0, 7]);
            driver.until_state("stopped", StateWord::Parked);
            driver.until_state("gone", StateWord::Cancelled);
            driver.scene.open("go");
            driver.order(&["resume", "stopped"], &[0, 7]);
            driver.until_state("undone", StateWord::Done);
            driver.until_state("tidied", StateWord::Done);
            driver.until_state("stopped", StateWord::Done);
            // A later edit by hand, and back to what the last turn left.
            let kept = driver.scene.workspace("undone").join("kept.txt");
            write(&kept, "spoilt").unwrap();
            let last = driver.scene.task("undone").fence.0.to_string();
            driver.order(&["undo", "undone", "--to", &last, "--yes"], &[0]);
            assert_eq!(read(&kept), "kept\n");
            let workspace = driver.scene.workspace("tidied");
            driver.order(&["workspace", "keep", "tidied"], &[0]);
            driver.order(&["workspace", "keep", "tidied", "--undo"], &[0]);
            driver.order(&["workspace", "remove", "tidied", "--yes"], &[0, 6, 7]);
            driver.until("the removal of a workspace", |_| !workspace.exists());
            // What went is in a snapshot made before (I5).
            let list = ["for-each-ref", "--format=%(refname)", "refs/longhaul/snap"];
            let refs = driver.scene.git(&list);
            let kept = refs.lines().any(|name| {
                let files = driver.scene.git(&["ls-tree", "--name-only", name]);
                files.contains("work.txt")
            });
            assert!(kept, "work.txt is in no snapshot");
        },
        lands: false,
        ends: &[
            ("stopped", StateWord::Done),
            ("gone", StateWord::Cancelled),
            ("undone", StateWord::Done),
            ("tidied", StateWord::Done),
        ],
    },
    // Two branches that land together, two that conflict, and one taken back, while the user works in a
    // checkout of the base branch that follows.
    Play {
        name: "lands",
        tasks: r#"
[[task]]
name = "left"
land = true
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
run GATE-both
write left.txt left
done
'''
[[task.check]]
name = "left"
run = "test ! -e left.txt || grep -q left left.txt"

[[task]]
name = "right"
land = true
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
run GATE-both
write right.txt right
done
'''
[[task.check]]
name = "right"
run = "test ! -e right.txt || grep -q right right.txt"

[[task]]
name = "one"
land = true
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
run GATE-one
write f.txt ONE
done
'''
[[task.check]]
name = "one"
run = "grep -q -e ONE -e base f.txt"

[[task]]
name = "two"
land = true
max_restarts = 50
prompt = '''
run echo $LONGHAUL_SESSION >> starts.txt
run GATE-two
run grep -q ONE f.txt && printf 'ONE\nTWO\n' > f.txt || echo TWO > f.txt
done
'''
[[task.check]]
name = "two"
run = "grep -q -e TWO -e ONE -e base f.txt"
"#,
        prepare: |scene| {
            scene.config("[queue]\nadvance_checkout = \"clean\"\n");
            write(&scene.repo.join(".gitignore"), "starts.txt\n.env\n").unwrap();
            write(&scene.repo.join("f.txt"), "base\n").unwrap();
            write(&scene.repo.join("own.txt"), "own\n").unwrap();
            scene.git(&["add", "."]);
            scene.git(&["commit", "-qm", "Have files"]);
            scene.git(&["tag", "begin"]);
            write(&scene.repo.join(".env"), "A=1\n").unwrap();
            scene.append("own.txt", "in the middle of something\n");
        },
        act: lands,
        lands: true,
        ends: &[
            ("left", StateWord::Done),
            ("right", StateWord::Done),
            ("one", StateWord::Done),
            ("two", StateWord::Done),
        ],
    },
];

fn lands(driver: &Driver) {
    let names = ["left", "right", "one", "two"];
    hand_in(driver);
    driver.until("all sessions", |scene| {
        names.iter().all(|name| said(scene, name, "starts.txt"))
    });
    driver.scene.open("both");
    driver.until_state("left", StateWord::Done);
    driver.until_state("right", StateWord::Done);
    driver.scene.open("one");
    driver.until_state("one", StateWord::Done);
    driver.scene.open("two");
    // What is to come, while it is made.
    driver.order(&["queue"], &[0]);
    driver.until_state("two", StateWord::Done);
    driver.order(&["queue", "undo", "left"], &[0, 7]);
    driver.until("what is taken back, in the checkout", |scene| {
        let landed = scene.git(&["ls-tree", "--name-only", INTEGRATION]);
        !landed.contains("left.txt")
            && scene.git(&["rev-parse", "main"]) == scene.git(&["rev-parse", INTEGRATION])
    });
    let file = |name: &str| read(&driver.scene.repo.join(name));
    assert_eq!(file("f.txt"), "ONE\nTWO\n");
    assert_eq!(file("right.txt"), "right\n");
    assert_eq!(file("left.txt"), "");
    assert_eq!(file(".env"), "A=1\n");
    assert_eq!(file("own.txt"), "own\nin the middle of something\n");
    crate::landing::audit(&driver.scene, "begin");
}

/// Whether the file of a task's session is there: its work has begun.
fn said(scene: &Scene, name: &str, file: &str) -> bool {
    let workspace = scene.try_task(name).and_then(|t| t.carry.workspace);
    workspace.is_some_and(|w| std::path::Path::new(&w.path).join(file).exists())
}
