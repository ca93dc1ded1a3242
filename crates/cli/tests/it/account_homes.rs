//! `longhaul account` and config homes: written down, linked, adopted; what is refused, and that a kill at any moment
//! loses nothing (A1, A18).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::world::{World, ran};

const SHARED: &str = "home/.local/share/longhaul/shared/claude";

/// Two homes of Claude Code that are written down; nothing is in them yet.
fn world() -> World {
    let world = World::new();
    for name in ["a", "b"] {
        fs::create_dir_all(world.path(&format!("home/{name}"))).unwrap();
    }
    write_config(&world, "");
    world
}

fn write_config(world: &World, more: &str) {
    let mut config = String::new();
    for name in ["a", "b"] {
        config.push_str(&format!(
            "[account.{name}]\nharness = \"claude\"\nhome = \"~/{name}\"\n"
        ));
    }
    world.write(
        "home/.config/longhaul/config.toml",
        &format!("{more}{config}"),
    );
}

fn link(world: &World, more: &[&str]) -> (Option<i32>, String) {
    let mut command = world.longhaul();
    command.args(["account", "link"]).args(more);
    let ran = ran(&mut command);
    (ran.code, world.redact(&format!("{}{}", ran.out, ran.err)))
}

/// Every path below a folder with what is there: a link's text, a file's, `/` for a folder.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let meta = fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if meta.is_dir() {
                open.push(path);
                "/".to_owned()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            all.insert(name, what);
        }
    }
    all
}

#[test]
fn a18_missing_links_and_targets_are_made_and_doing_it_again_changes_nothing() {
    let world = world();
    let (code, text) = link(&world, &[]);
    assert_eq!(code, Some(0), "{text}");
    for home in ["a", "b"] {
        for entry in ["session-env", "file-history", "projects"] {
            let led = fs::read_link(world.path(&format!("home/{home}/{entry}"))).unwrap();
            assert_eq!(led, world.path(&format!("{SHARED}/{entry}")));
            assert!(led.is_dir());
        }
    }
    let before = tree(&world.path("home"));
    let (code, text) = link(&world, &[]);
    assert_eq!(
        (code, text.contains("6 links were right already")),
        (Some(0), true),
        "{text}"
    );
    assert_eq!(tree(&world.path("home")), before);
    // A target that went away is made again; a relative link of the user's own is as good.
    fs::remove_dir(world.path(&format!("{SHARED}/projects"))).unwrap();
    fs::remove_file(world.path("home/b/projects")).unwrap();
    symlink(
        "../.local/share/longhaul/shared/claude/projects",
        world.path("home/b/projects"),
    )
    .unwrap();
    assert_eq!(link(&world, &[]).0, Some(0));
    assert!(world.path("home/b/projects").is_dir());
}

#[test]
fn a18_every_problem_of_every_home_is_told_at_once_and_nothing_is_done() {
    let world = world();
    symlink("/elsewhere", world.path("home/a/projects")).unwrap();
    fs::write(world.path("home/a/file-history"), "a file").unwrap();
    fs::create_dir(world.path("home/b/projects")).unwrap();
    world.write(&format!("{SHARED}/session-env"), "a file");
    let before = tree(&world.path("home"));
    let (code, text) = link(&world, &[]);
    insta::assert_snapshot!("problems", format!("{text}[{}]", code.unwrap()));
    assert_eq!(tree(&world.path("home")), before);
    // Adoption corrects none of the others.
    let (code, _) = link(&world, &["--adopt", "--yes"]);
    assert_eq!(code, Some(7));
    assert_eq!(tree(&world.path("home")), before);
}

#[test]
fn a18_homes_that_cannot_share_are_told() {
    let world = world();
    fs::remove_dir(world.path("home/a")).unwrap();
    let (_, missing) = link(&world, &[]);
    symlink("b", world.path("home/a")).unwrap();
    let (_, twins) = link(&world, &[]);
    fs::remove_file(world.path("home/a")).unwrap();
    fs::create_dir(world.path("home/a")).unwrap();
    write_config(&world, "accounts.shared_dir = \"~/a/inner\"\n");
    let (_, nested) = link(&world, &[]);
    insta::assert_snapshot!("apart", format!("{missing}\n{twins}\n{nested}"));
}

/// Two homes whose folders hold conversations, one of which both have, and one of which went on in one of them.
fn with_conversations(world: &World) {
    for (path, text) in [
        ("a/projects/-x/1.jsonl", "one\n"),
        ("a/projects/-x/both.jsonl", "begin\nmore\n"),
        ("b/projects/-x/both.jsonl", "begin\n"),
        ("b/projects/-y/2.jsonl", "two\n"),
        ("b/file-history/2/f@v1", "old\n"),
    ] {
        world.write(&format!("home/{path}"), text);
    }
}

fn expect_adopted(world: &World) {
    let shared = tree(&world.path(SHARED));
    let of = |name: &str| shared.get(name).map(String::as_str);
    assert_eq!(of("projects/-x/1.jsonl"), Some("one\n"));
    assert_eq!(of("projects/-x/both.jsonl"), Some("begin\nmore\n"));
    assert_eq!(of("projects/-y/2.jsonl"), Some("two\n"));
    assert_eq!(of("file-history/2/f@v1"), Some("old\n"));
    for (home, entry) in [("a", "projects"), ("b", "projects"), ("b", "file-history")] {
        assert!(world.path(&format!("home/{home}/{entry}")).is_symlink());
        assert!(
            world
                .path(&format!("home/{home}/{entry}.before-link"))
                .is_dir()
        );
    }
    assert_eq!(
        fs::read_to_string(world.path("home/b/projects.before-link/-x/both.jsonl")).unwrap(),
        "begin\n"
    );
}

#[test]
fn a18_adopt_shows_copies_keeps_and_links() {
    let world = world();
    with_conversations(&world);
    let before = tree(&world.path("home"));
    // Without a person's yes: only the preview.
    let (code, preview) = link(&world, &["--adopt"]);
    assert_ne!(code, Some(0), "{preview}");
    assert!(
        preview.contains("[ROOT]/home/a/projects: 2 files"),
        "{preview}"
    );
    assert!(
        preview.contains("[ROOT]/home/b/projects: 1 file"),
        "{preview}"
    );
    assert_eq!(tree(&world.path("home")), before);
    let old = world.path("home/a/projects/-x/1.jsonl");
    let day = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
    fs::File::open(&old).unwrap().set_modified(day).unwrap();
    let (code, text) = link(&world, &["--adopt", "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    expect_adopted(&world);
    let copied = world.path(&format!("{SHARED}/projects/-x/1.jsonl"));
    assert_eq!(fs::metadata(copied).unwrap().modified().unwrap(), day);
}

#[test]
fn a18_what_differs_is_never_overwritten() {
    let world = world();
    with_conversations(&world);
    world.write("home/b/projects/-x/1.jsonl", "another\n");
    let before = tree(&world.path("home"));
    let (code, text) = link(&world, &["--adopt", "--yes"]);
    assert_eq!(code, Some(7), "{text}");
    assert!(text.contains("both there and differ"), "{text}");
    assert_eq!(tree(&world.path("home")), before);
}

/// SIGKILL at every act of an adoption, and the same command once more: everything is there and linked, and nothing
/// was lost on the way.
#[test]
fn a18_a_kill_at_any_step_of_an_adoption_loses_nothing() {
    let kill_at = |n: u32| {
        let world = world();
        with_conversations(&world);
        let mut command = world.longhaul();
        command
            .args(["account", "link", "--adopt", "--yes"])
            .env("LONGHAUL_CRASH_POINT", format!("any:{n}"));
        let died = ran(&mut command).code.is_none();
        // Before anything is put right: each conversation can still be read through its home or beside it.
        for (home, name, text) in [("a", "-x/1.jsonl", "one\n"), ("b", "-y/2.jsonl", "two\n")] {
            let places = ["projects", "projects.before-link"];
            let found = places.iter().any(|place| {
                let path = world.path(&format!("home/{home}/{place}/{name}"));
                fs::read_to_string(path).is_ok_and(|t| t == text)
            });
            assert!(found, "{name} is lost after a kill at {n}");
        }
        let (code, text) = link(&world, &["--adopt", "--yes"]);
        assert_eq!(code, Some(0), "after a kill at {n}: {text}");
        expect_adopted(&world);
        died
    };
    let mut n = 1;
    while kill_at(n) {
        n += 1;
    }
    assert!(n > 30, "only {n} acts were killed");
}

#[test]
fn a1_homes_are_written_down_shown_and_forgotten() {
    let world = World::new();
    fs::create_dir_all(world.path("home/max")).unwrap();
    fs::write(world.path("home/max/.credentials.json"), "sk-secret").unwrap();
    fs::set_permissions(
        world.path("home/max/.credentials.json"),
        std::os::unix::fs::PermissionsExt::from_mode(0o000),
    )
    .unwrap();
    world.write("bin/claude", "#!/bin/sh\nexit 1\n");
    let program = fs::File::open(world.path("bin/claude")).unwrap();
    program
        .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let home = world.path("home/max").display().to_string();
    let mut told = String::new();
    for args in [
        &[
            "account",
            "add",
            "max",
            "--harness",
            "claude",
            "--home",
            &home,
        ][..],
        &[
            "account",
            "add",
            "max",
            "--provider",
            "openai",
            "--env",
            "X",
        ],
        &["account", "add", "work", "--home", "/x"],
        &[
            "account",
            "add",
            "work",
            "--home",
            "/x",
            "--harness",
            "gemini",
        ],
        &[
            "account",
            "add",
            "work",
            "--home",
            "/x",
            "--harness",
            "claude",
            "--provider",
            "openai",
        ],
        &[
            "account",
            "add",
            "later",
            "--harness",
            "codex",
            "--home",
            "nowhere",
            "--priority",
            "2",
        ],
        &["account", "list"],
        &["account", "show", "later"],
        &["account", "test"],
        &["account", "test", "max"],
        &["account", "use", "later"],
        &["account", "use", "max"],
        &["account", "disable", "max"],
        &["account", "list"],
        &["account", "remove", "later", "--yes"],
        &["account", "remove", "max", "--yes"],
        &["account", "switches"],
        &["account", "link"],
    ] {
        let mut command = world.longhaul();
        let ran = ran(command.args(args));
        let text = world.redact(&format!("{}{}", ran.out, ran.err));
        assert!(!text.contains("sk-secret"), "a token is told: {text}");
        let line = world.redact(&args.join(" "));
        told.push_str(&format!(
            "$ longhaul {line}\n{text}[{}]\n\n",
            ran.code.unwrap()
        ));
    }
    told.push_str(&fs::read_to_string(world.path("home/.config/longhaul/config.toml")).unwrap());
    insta::assert_snapshot!(told);
}

#[test]
fn a18_nothing_is_adopted_while_a_session_may_write_into_a_home() {
    let world = World::with_repo();
    for name in ["a", "b"] {
        fs::create_dir_all(world.path(&format!("home/{name}"))).unwrap();
    }
    write_config(&world, "");
    with_conversations(&world);
    world.write(
        "repo/tasks.toml",
        "[[task]]\nname = \"slow\"\nharness = \"script\"\nprompt = \"sleep 600s\"\n",
    );
    assert_eq!(world.run(&["run", "--detach"]).code, Some(0));
    let before = tree(&world.path("home/b"));
    // With the daemon, and without it: sessions outlive it.
    for stops in [false, true] {
        if stops {
            assert_eq!(world.run(&["daemon", "stop"]).code, Some(0));
        }
        let (code, text) = link(&world, &["--adopt", "--yes"]);
        assert_eq!(code, Some(7), "{text}");
        assert!(text.contains("may write into a home"), "{text}");
    }
    assert_eq!(tree(&world.path("home/b")), before);
    assert_eq!(world.run(&["cancel", "slow", "--yes"]).code, Some(0));
    let (code, text) = (0..200)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            link(&world, &["--adopt", "--yes"])
        })
        .find(|(code, _)| *code == Some(0))
        .unwrap_or_default();
    assert_eq!(code, Some(0), "{text}");
    expect_adopted(&world);
}
