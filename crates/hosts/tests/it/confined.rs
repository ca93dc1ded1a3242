//! Confinement (T25), with real processes. Needs a kernel with Landlock.

use std::process::Command;

use camino::Utf8Path;
use longhaul_hosts::{Confinement, ConfinementLevel, Stdin, Stream, confinement_support};

use crate::world::World;

/// Loud where it cannot run, an error in CI.
fn enforced() -> bool {
    let there = confinement_support() != ConfinementLevel::None;
    if !there {
        assert!(std::env::var_os("CI").is_none(), "CI must have Landlock");
        eprintln!("SKIPPED: this kernel has no Landlock");
    }
    there
}

/// Runs a script confined and gives its output.
fn confined(world: &World, lists: Confinement, script: &str) -> String {
    let mut spec = world.sh("k", script);
    spec.env
        .push(("HOME".to_owned(), world.path("home").to_string()));
    spec.cwd = world.path("work");
    spec.sandbox = Some(lists);
    world.run(&spec);
    let mut text = world.output("k", Stream::Out);
    text.extend(world.output("k", Stream::Err));
    String::from_utf8(text).unwrap()
}

fn folders(world: &World, names: &[&str]) {
    for name in names {
        std::fs::create_dir_all(world.path(name)).unwrap();
    }
}

#[test]
fn t25_writes_outside_the_list_are_refused() {
    if !enforced() {
        return;
    }
    let world = World::new();
    folders(&world, &["work", "other"]);
    std::fs::write(world.path("other/file"), "old").unwrap();
    let lists = Confinement {
        writable: vec![world.path("work"), world.path("missing")],
        ..Confinement::default()
    };
    let text = confined(
        &world,
        lists,
        "try() { if sh -c \"$1\" 2>/dev/null; then echo \"yes $1\"; else echo \"no $1\"; fi; }
         try 'echo a > in; mkdir d; mv in d/in; rm -r d; ln -s x y'
         try 'echo a > ../other/new'
         try 'echo a > ../other/file'
         try ': > ../other/file'
         try 'rm ../other/file'
         try 'mkdir ../other/d'
         try 'mv ../other/file moved'
         try 'cat ../other/file >/dev/null'
         try 'echo x > /dev/null; ls / >/dev/null'",
    );
    let answers: String = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(|word| if word == "yes" { 'y' } else { 'n' })
        .collect();
    assert_eq!(answers, "ynnnnnnyy", "{text}");
    assert_eq!(world.read("other/file").as_deref(), Some("old"));
    assert!(!world.path("other/new").exists() && !world.path("other/d").exists());
}

#[test]
fn t25_closed_folders_can_be_neither_read_nor_written_but_for_holes() {
    if !enforced() {
        return;
    }
    let world = World::new();
    folders(
        &world,
        &[
            "home/state/db",
            "home/state/work",
            "home/state/ro",
            "home/open",
            "work",
        ],
    );
    for file in [
        "home/state/db/secret",
        "home/state/ro/file",
        "home/open/file",
        "home/state/top",
    ] {
        std::fs::write(world.path(file), "content").unwrap();
    }
    let lists = Confinement {
        // The whole home is writable, the state in it closed, a workspace in the state open.
        writable: vec![
            world.path("home"),
            world.path("home/state/work"),
            world.path("work"),
        ],
        readable: vec![world.path("home/state/ro")],
        closed: vec![world.path("home/state"), world.path("jobs")],
    };
    let text = confined(
        &world,
        lists,
        "try() { if sh -c \"$1\" >/dev/null 2>&1; then echo \"yes $1\"; else echo \"no $1\"; fi; }
         try 'cat ~/state/db/secret'
         try 'cat ~/state/top'
         try 'echo x > ~/state/top'
         try 'echo x > ~/state/new'
         try 'rm ~/state/db/secret'
         try 'cat ~/../jobs/*/identity.json'
         try 'cat ~/state/ro/file'
         try 'echo x > ~/state/ro/file'
         try 'echo x > ~/state/work/f; cat ~/state/work/f'
         try 'cat ~/open/file; echo x > ~/open/g; cat ~/open/g'
         try 'ls ~/state'
         try 'cat /etc/passwd'",
    );
    let answers: String = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(|word| if word == "yes" { 'y' } else { 'n' })
        .collect();
    assert_eq!(answers, "nnnnnnynyyyy", "{text}");
    assert_eq!(world.read("home/state/top").as_deref(), Some("content"));
}

#[test]
fn t25_a_confined_job_can_open_its_input_although_the_file_is_closed() {
    if !enforced() {
        return;
    }
    let world = World::new();
    folders(&world, &["work", "state"]);
    std::fs::write(world.path("state/prompt"), "hello").unwrap();
    let mut spec = world.sh("k", "cat /dev/stdin");
    spec.stdin = Stdin::File(world.path("state/prompt"));
    spec.sandbox = Some(Confinement {
        closed: vec![world.path("state"), world.path("jobs")],
        ..Confinement::default()
    });
    assert!(world.run(&spec).is_zero());
    assert_eq!(world.output("k", Stream::Out), b"hello");
}

#[test]
fn t25_a_confined_job_cannot_signal_strangers() {
    if confinement_support() != (ConfinementLevel::Landlock { abi: 6 }) {
        assert!(std::env::var_os("CI").is_none(), "CI must have Landlock 6");
        eprintln!("SKIPPED: this kernel's Landlock does not cover signals");
        return;
    }
    let world = World::new();
    folders(&world, &["work"]);
    let mut bystander = Command::new("sleep").arg("600").spawn().unwrap();
    let script = format!(
        "kill -0 {} 2>/dev/null && echo reached; sleep 600 & kill $! && echo own",
        bystander.id()
    );
    let text = confined(&world, Confinement::default(), &script);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert_eq!(text, "own\n");
}

fn git(dir: &Utf8Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn t25_git_commits_in_a_linked_worktree_and_not_elsewhere() {
    if !enforced() {
        return;
    }
    let world = World::new();
    folders(&world, &["repo", "state"]);
    let repo = world.path("repo");
    git(&repo, &["init", "-q"]);
    git(&repo, &["commit", "-q", "--allow-empty", "-m", "first"]);
    git(
        &repo,
        &["worktree", "add", "-q", "-b", "task", "../state/tree"],
    );
    let admin = repo.join(".git");
    let mut spec = world.sh(
        "k",
        "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
         echo text > file && git add file &&
         git -c user.name=a -c user.email=a@a commit -q -m second && git log --format=%s
         git config core.editor evil 2>/dev/null || echo config refused
         echo x > $W/repo/file 2>/dev/null || echo checkout refused
         echo x > $W/repo/.git/hooks/pre-commit 2>/dev/null || echo hook refused",
    );
    spec.cwd = world.path("state/tree");
    spec.sandbox = Some(Confinement {
        writable: vec![
            world.path("state/tree"),
            admin.join("worktrees/tree"),
            admin.join("objects"),
            admin.join("refs"),
            admin.join("logs"),
        ],
        readable: Vec::new(),
        closed: vec![world.path("state"), world.path("jobs")],
    });
    world.run(&spec);
    let text = String::from_utf8(world.output("k", Stream::Out)).unwrap();
    let complaints = String::from_utf8_lossy(&world.output("k", Stream::Err)).into_owned();
    assert_eq!(
        text, "second\nfirst\nconfig refused\ncheckout refused\nhook refused\n",
        "{complaints}"
    );
}
