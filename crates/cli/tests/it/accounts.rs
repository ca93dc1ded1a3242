//! `longhaul account`: what is written down, what is found, what is refused, and that no key is ever told (A1, I12).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::world::World;

/// With two keys in the environment and one in a file of the user's alone.
fn world() -> World {
    let world = World::new();
    let key = world.path("key");
    fs::write(&key, "# mine\nsk-secret-3\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    world
}

fn run(world: &World, args: &[&str]) -> (Option<i32>, String) {
    let mut command = world.longhaul();
    command
        .args(args)
        .env("ANTHROPIC_API_KEY", "sk-secret-1")
        .env("ANTHROPIC_API_KEYS", "sk-secret-2,sk-secret-1")
        .env("OPENAI_API_KEY", "sk-secret-1");
    let ran = crate::world::ran(&mut command);
    let text = format!("{}{}", ran.out, ran.err);
    assert!(!text.contains("sk-secret"), "a key is told: {text}");
    (ran.code, world.redact(&text))
}

#[test]
fn a1_accounts_are_found_written_down_and_forgotten() {
    let world = world();
    let file = world.path("key").display().to_string();
    let config = world.path("home/.config/longhaul/config.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "# few at once\nconcurrency = 2\n").unwrap();
    let mut told = String::new();
    for args in [
        &["account", "list"][..],
        &[
            "account",
            "add",
            "work",
            "--provider",
            "anthropic",
            "--file",
            &file,
        ],
        &[
            "account",
            "add",
            "work",
            "--provider",
            "anthropic",
            "--file",
            &file,
        ],
        &[
            "account",
            "add",
            "later",
            "--provider",
            "gemini",
            "--env",
            "NOT_SET",
            "--priority",
            "3",
        ],
        &["account", "list"],
        &["account", "show", "anthropic-keys-2"],
        &["account", "use", "work"],
        &["account", "disable", "work"],
        &["account", "use", "work"],
        &["account", "enable", "anthropic"],
        &["account", "remove", "later", "--yes"],
        &["account", "show", "later"],
        &["account", "use", "--any"],
    ] {
        let (code, text) = run(&world, args);
        let line = args.join(" ").replace(&file, "[ROOT]/key");
        told.push_str(&format!("$ longhaul {line}\n{text}[{}]\n\n", code.unwrap()));
    }
    told.push_str(
        &fs::read_to_string(&config)
            .unwrap()
            .replace(&file, "[ROOT]/key"),
    );
    insta::assert_snapshot!(told);
}

#[test]
fn a1_a_wrong_account_changes_nothing_and_says_why() {
    let world = world();
    let file = world.path("key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let file = file.display().to_string();
    let config = world.path("home/.config/longhaul/config.toml");
    let mut told = String::new();
    for args in [
        &[
            "account",
            "add",
            "a b",
            "--provider",
            "openai",
            "--env",
            "X",
        ][..],
        &["account", "add", "a", "--provider", "cohere", "--env", "X"],
        &["account", "add", "a", "--provider", "openai"],
        &[
            "account",
            "add",
            "a",
            "--provider",
            "openai",
            "--env",
            "X",
            "--file",
            "y",
        ],
        &[
            "account",
            "add",
            "a",
            "--provider",
            "openai",
            "--env",
            "X",
            "--base-url",
            "ftp://x",
        ],
        &["account", "remove", "nobody", "--yes"],
        &["account", "disable", "openai"],
        &["account", "use", "nobody"],
        &["account", "use"],
        &["account", "test", "nobody"],
    ] {
        let (code, text) = run(&world, args);
        assert!(!config.exists(), "{args:?} wrote something");
        let first = text.lines().next().unwrap_or_default();
        told.push_str(&format!(
            "$ longhaul {}\n{first} [{}]\n",
            args.join(" "),
            code.unwrap()
        ));
    }
    // Written down, since the daemon may be allowed to read what this command is not; and told.
    let (code, text) = run(
        &world,
        &[
            "account",
            "add",
            "open",
            "--provider",
            "openai",
            "--file",
            &file,
        ],
    );
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("chmod 600"), "{text}");
    insta::assert_snapshot!(told);
}
