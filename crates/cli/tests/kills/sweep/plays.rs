//! The plays that the sweep disturbs, cheapest first. What their scripts do does not depend on how
//! often they are begun, so that every way through crashes leads to the same end.

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{read, write};

use super::driver::Driver;
use crate::scene::Scene;

/// One of them.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) name: &'static str,
    pub(super) tasks: &'static str,
    pub(super) prepare: fn(&Scene),
    pub(super) act: fn(&Driver),
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
        ends: &[
            ("stopped", StateWord::Done),
            ("gone", StateWord::Cancelled),
            ("undone", StateWord::Done),
            ("tidied", StateWord::Done),
        ],
    },
];

/// Whether the file of a task's session is there: its work has begun.
fn said(scene: &Scene, name: &str, file: &str) -> bool {
    let workspace = scene.try_task(name).and_then(|t| t.carry.workspace);
    workspace.is_some_and(|w| std::path::Path::new(&w.path).join(file).exists())
}
