//! Every `--help`, held still.

use crate::world::World;

fn verbs(world: &World) -> Vec<Vec<String>> {
    // The completion script names every verb there is, hidden ones aside.
    let mut found = Vec::new();
    let mut todo = vec![Vec::<String>::new()];
    while let Some(path) = todo.pop() {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let help = world.run(&args).out;
        let mut listing = false;
        for line in help.lines() {
            if line == "Commands:" {
                listing = true;
            } else if line.is_empty() {
                listing = false;
            } else if listing && line.starts_with("  ") && !line.starts_with("   ") {
                let name = line.split_whitespace().next().unwrap();
                todo.push([path.clone(), vec![name.to_owned()]].concat());
            }
        }
        found.push(path);
    }
    found.sort();
    found
}

const TOP: [&str; 37] = [
    "add",
    "approve",
    "cancel",
    "completions",
    "config",
    "daemon",
    "demo",
    "doctor",
    "drain",
    "estop",
    "events",
    "gateway",
    "init",
    "logs",
    "attach",
    "limits",
    "ls",
    "man",
    "pause",
    "queue",
    "report",
    "resume",
    "retry",
    "run",
    "schema",
    "send",
    "show",
    "status",
    "stop",
    "supervise",
    "thaw",
    "trust",
    "undo",
    "undrain",
    "uninstall",
    "validate",
    "workspace",
];

#[test]
fn every_help_is_held_still() {
    let world = World::new();
    insta::assert_snapshot!("longhaul", world.run(&[]).out);
    assert_eq!(world.run(&[]).out, world.run(&["--help"]).out);
    assert_eq!(verbs(&world), [Vec::<String>::new()]);
    for verb in TOP {
        let ran = world.run(&[verb, "--help"]);
        assert_eq!(ran.code, Some(0), "{verb}: {}", ran.err);
        assert!(ran.out.contains("Examples:\n"), "{verb} has no examples");
        assert!(
            ran.out.lines().all(|l| l.chars().count() <= 100),
            "{verb} is too wide"
        );
        insta::assert_snapshot!(verb, ran.out);
    }
}

#[test]
fn the_pages_and_completions_cover_every_verb() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&["completions", shell]).out;
        for verb in TOP {
            assert!(script.contains(verb), "{shell} does not know {verb}");
        }
        assert!(!script.is_empty());
    }
    let ran = world.run(&["man", "pages"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for verb in TOP {
        assert!(
            world
                .repo()
                .join(format!("pages/longhaul-{verb}.1"))
                .exists(),
            "{verb}"
        );
    }
    assert!(world.run(&["man"]).out.contains(".TH longhaul 1"));
}
