//! Two daemons, many clients, the client's own death, orderly ends, and `run`'s exit codes
//! (T19, T28, I7).

use longhaul_core::task::StateWord;
use longhaul_testkit::world::{read, wait_until, write};
use rustix::process::Signal;

use crate::scene::{LIMIT, START, Scene, is_live, kill, signal};

fn quick(name: &str) -> String {
    format!(
        "[[task]]\nname = \"{name}\"\nprompt = '''\n{START}\nwrite {name}.txt x\ndone\n'''\n[[task.check]]\nrun = \"test -e {name}.txt\"\n\n"
    )
}

#[test]
fn t19_a_second_daemon_refuses_and_a_stale_lock_is_taken_over() {
    let scene = Scene::new();
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let first = scene.daemon().unwrap();
    let second = scene.longhaul(&["daemon", "run"]).expect_code(7);
    assert!(
        second.stderr.contains(&format!("pid {}", first.pid)),
        "{}",
        second.stderr
    );
    assert!(first.is_alive());
    kill(&first);
    assert_eq!(
        read(&scene.world.state().join("daemon.lock")),
        first.pid.to_string()
    );
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    let next = scene.daemon().unwrap();
    assert_ne!(next.pid, first.pid);
    // TERM ends it in order.
    signal(next.pid, Signal::TERM);
    assert!(wait_until(LIMIT, || !next.is_alive()));
    assert!(
        scene
            .daemon_log()
            .contains("the daemon ends; sessions go on"),
        "{}",
        scene.daemon_log()
    );
    // Also with a lock that names a process of somebody else.
    write(&scene.world.state().join("daemon.lock"), "1").unwrap();
    scene.longhaul(&["daemon", "start"]).expect_code(0);
    scene.audit(&[]);
}

#[test]
fn t19_eight_clients_at_once_start_one_daemon() {
    let scene = Scene::new();
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let name = format!("c{n}");
            let prompt = format!("write {name}.txt x");
            let args = [
                "add",
                "--name",
                &name,
                "--harness",
                "script",
                "--prompt",
                &prompt,
            ];
            let command = scene.world.longhaul_in(&scene.repo, args);
            scene.world.spawn(command)
        })
        .collect();
    let mut said = 0;
    for client in clients {
        let ran = client.finish(LIMIT).expect_code(0);
        said += usize::from(ran.stderr.contains("started the daemon"));
    }
    assert_eq!(said, 1);
    // A child of the daemon has its command line until it runs its own program.
    let daemons = || {
        let all = scene.world.processes().into_iter();
        all.filter(|p| p.command.contains("daemon run")).count()
    };
    assert!(
        wait_until(LIMIT, || daemons() == 1),
        "{:#?}",
        scene.world.processes()
    );
    let names: Vec<String> = (0..8).map(|n| format!("c{n}")).collect();
    for name in &names {
        scene.until_state(name, StateWord::Done);
    }
    scene.audit(&[]);
}

#[test]
fn t28_ctrl_c_and_kill_of_the_client_detach_and_the_work_goes_on() {
    let mut scene = Scene::new();
    let gate = scene.wait_for("go");
    scene.tasks(&format!(
        "[[task]]\nname = \"long\"\nprompt = '''\n{START}\nsay begun\nrun {gate}\nwrite a.txt a\ndone\n'''\n"
    ));
    let first = scene
        .world
        .spawn(scene.world.longhaul_in(&scene.repo, ["run"]));
    scene.until_said("long", "begun");
    scene.until("long", "live", is_live);
    signal(first.pid(), Signal::INT);
    let left = first.finish(LIMIT).expect_code(130);
    assert!(
        format!("{}{}", left.stdout, left.stderr).contains("the work goes on"),
        "{left:?}"
    );
    // The same again comes back to it; killed, it leaves nothing behind either.
    let second = scene
        .world
        .spawn(scene.world.longhaul_in(&scene.repo, ["run"]));
    assert!(
        wait_until(LIMIT, || second.stderr().contains("at work already")),
        "{}",
        second.stderr()
    );
    second.kill();
    assert!(is_live(&scene.task("long")));
    // A daemon that dies under a follow is started again by it.
    let third = scene
        .world
        .spawn(scene.world.longhaul_in(&scene.repo, ["run", "--wait"]));
    assert!(wait_until(LIMIT, || third
        .stderr()
        .contains("at work already")));
    scene.kill_daemon();
    assert!(
        wait_until(LIMIT, || scene.daemon().is_some()),
        "{}",
        third.stderr()
    );
    scene.open("go");
    third.finish(LIMIT).expect_code(0);
    assert_eq!(scene.task("long").tally.attempts, 1);
    scene.audit(&[("long", StateWord::Done)]);
}

#[test]
fn t28_exit_codes_of_run_tell_how_it_ended() {
    let mut scene = Scene::new();
    scene.tasks(&format!(
        "{}{}",
        quick("a"),
        quick("b").replace("prompt", "depends_on = [\"a\"]\nprompt")
    ));
    let dry = scene.longhaul(&["run", "--dry-run"]).expect_code(0);
    assert!(dry.stdout.contains("2 tasks would run"), "{}", dry.stdout);
    assert!(scene.daemon().is_none(), "a dry run starts nothing");
    let done = scene.longhaul(&["run"]).expect_code(0);
    assert!(done.stdout.contains("2 of 2 tasks done"), "{}", done.stdout);

    scene.tasks(&format!(
        "{}[[task]]\nname = \"never\"\nmax_retries = 0\nprompt = '''\nwrite n.txt n\ndone\n'''\n[[task.check]]\nrun = \"false\"\n",
        quick("c")
    ));
    let needs = scene.longhaul(&["run"]).expect_code(3);
    assert!(
        needs.stdout.contains("1 needs you") && needs.stdout.contains("longhaul"),
        "{}",
        needs.stdout
    );
    // Called again it tells the same, and runs nothing twice.
    scene.longhaul(&["run", "--wait"]).expect_code(3);
    scene.longhaul(&["cancel", "never", "--yes"]).expect_code(0);

    let gate = scene.wait_for("go");
    scene.tasks(&format!(
        "{}[[task]]\nname = \"goes\"\nprompt = '''\nsay hi\nrun {gate}\n'''\n",
        quick("d")
    ));
    scene.start();
    scene.until_said("goes", "hi");
    // The same file changed while its tasks live: refused, naming the way.
    let text = read(&scene.repo.join("tasks.toml"));
    write(
        &scene.repo.join("tasks.toml"),
        &format!("{text}\n# changed\n"),
    )
    .unwrap();
    let refused = scene.longhaul(&["run", "--detach"]).expect_code(7);
    assert!(
        refused.stderr.contains("goes") || refused.stderr.contains("live"),
        "{}",
        refused.stderr
    );
    write(&scene.repo.join("tasks.toml"), &text).unwrap();
    let back = scene.longhaul(&["run", "--detach"]).expect_code(0);
    assert!(back.stdout.contains("at work already"), "{back:?}");
    scene.longhaul(&["cancel", "goes", "--yes"]).expect_code(0);
    scene.longhaul(&["run", "--wait"]).expect_code(4);

    // A part of a file, with what it depends on.
    scene.tasks(&format!(
        "{}{}{}",
        quick("base"),
        quick("leaf").replace("prompt", "depends_on = [\"base\"]\nprompt"),
        quick("unwanted")
    ));
    scene
        .longhaul(&["run", "--wait", "--only", "leaf"])
        .expect_code(0);
    for name in ["base", "leaf"] {
        scene.until_state(name, StateWord::Done);
    }
    assert!(scene.try_task("unwanted").is_none());

    // Mistakes: nothing is stored, all of them are said.
    write(
        &scene.repo.join("wrong.toml"),
        "[[task]]\nname = \"x y\"\npromt = \"p\"\n",
    )
    .unwrap();
    let wrong = scene.longhaul(&["run", "wrong.toml"]).expect_code(2);
    assert!(
        wrong.stderr.contains("promt") && wrong.stderr.contains("nothing was stored"),
        "{}",
        wrong.stderr
    );
    scene.longhaul(&["run", "--no-such-flag"]).expect_code(2);
    std::fs::remove_file(scene.repo.join("wrong.toml")).unwrap();
    scene.audit(&[
        ("a", StateWord::Done),
        ("b", StateWord::Done),
        ("never", StateWord::Cancelled),
    ]);
}

#[test]
fn a_file_runs_again_only_when_that_is_said() {
    let mut scene = Scene::new();
    let gate = scene.wait_for("go");
    scene.tasks(&format!("[[task]]\nname = \"twice\"\nprompt = '''\n{START}\nsay hi\nrun {gate}\nwrite a.txt a\ndone\n'''\n"));
    scene.start();
    scene.until_said("twice", "hi");
    let again = scene
        .longhaul(&["run", "--detach", "--again"])
        .expect_code(0);
    assert!(!again.stderr.contains("at work already"), "{again:?}");
    let listed = scene.longhaul(&["ls", "--json"]).expect_code(0).json();
    assert_eq!(listed["data"]["tasks"].as_array().unwrap().len(), 2);
    scene.open("go");
    scene.longhaul(&["run", "--wait"]).expect_code(0);
    let over = wait_until(LIMIT, || {
        let listed = scene
            .longhaul(&["ls", "--json", "--all"])
            .expect_code(0)
            .json();
        let tasks = listed["data"]["tasks"].as_array().unwrap().clone();
        tasks.len() == 2 && tasks.iter().all(|t| t["state"] == "done")
    });
    assert!(
        over,
        "{}\n{}",
        scene.longhaul(&["ls", "--all"]).stdout,
        scene.daemon_log()
    );
    scene.audit(&[]);
}
