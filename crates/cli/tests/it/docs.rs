//! The documents say what the binary does: recipes are valid, links lead somewhere, verbs exist. The
//! commands in their `sh` blocks are run by scripts/readme-commands, not here.

use std::path::{Path, PathBuf};

use crate::world::World;

const JUDGE: &str = r#"
[judge.local]
kind = "openai"
url = "http://127.0.0.1:11434/v1"
model = "some"
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every page of ours, relative to the root.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
        .map(str::to_owned)
        .to_vec();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|e| e == "md") {
            pages.push(format!("docs/{name}"));
        }
    }
    pages.sort();
    pages
}

/// The blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<(bool, String)> = None;
    for line in text.lines() {
        match (&mut current, line.strip_prefix("```")) {
            (None, Some(info)) => {
                current = Some((
                    info.split_whitespace().next() == Some(language),
                    String::new(),
                ));
            }
            (Some(_), Some("")) => found.extend(
                current
                    .take()
                    .filter(|(wanted, _)| *wanted)
                    .map(|(_, text)| text),
            ),
            (Some((_, text)), _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(current.is_none(), "a code block does not end");
    found
}

#[test]
fn every_recipe_is_a_valid_task_file() {
    let world = World::with_repo();
    world.write("home/.config/longhaul/config.toml", JUDGE);
    world.write("repo/prompts/ok.md", "Make it better.");
    let recipes = blocks(&read("docs/recipes.md"), "toml");
    assert!(recipes.len() >= 10, "{} recipes", recipes.len());
    for recipe in recipes {
        world.write("repo/tasks.toml", &recipe);
        let ran = world.run(&["validate"]);
        assert_eq!(ran.code, Some(0), "{recipe}\n{ran:?}");
    }
}

#[test]
fn every_task_file_of_the_readme_is_valid() {
    let world = World::with_repo();
    let mut seen = 0;
    for block in blocks(&read("README.md"), "sh") {
        let Some((_, rest)) = block.split_once("<<'EOF'\n") else {
            continue;
        };
        let (file, _) = rest.split_once("\nEOF").unwrap();
        world.write("repo/tasks.toml", file);
        let ran = world.run(&["validate"]);
        assert_eq!(ran.code, Some(0), "{file}\n{ran:?}");
        seen += 1;
    }
    assert!(seen > 0, "the README shows no task file");
}

#[test]
fn every_link_leads_to_a_file() {
    for page in pages() {
        let text = read(&page);
        let folder = root().join(&page);
        let folder = folder.parent().unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                root().join(&page)
            } else {
                folder.join(file)
            };
            assert!(
                path.exists(),
                "{page} links to {target}, which is not there"
            );
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&path).unwrap();
                let there = text
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| slug(line.trim_start_matches('#').trim()) == anchor);
                assert!(
                    there,
                    "{page} links to {target}, a heading that is not there"
                );
            }
        }
    }
}

/// A heading as the name of its place.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn every_verb_that_the_pages_name_exists() {
    let world = World::new();
    let help = world.run(&["--help"]).out;
    let known: Vec<&str> = help
        .split(|c: char| !c.is_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    let mut seen = 0;
    for page in pages() {
        for line in read(&page).lines() {
            for part in line.split("`longhaul ").skip(1) {
                let verb: String = part.chars().take_while(char::is_ascii_lowercase).collect();
                let internal = part.starts_with("__");
                if verb.is_empty() || internal {
                    continue;
                }
                assert!(known.contains(&verb.as_str()), "{page}: longhaul {verb}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} verbs were found in the pages");
}

/// The guide's table of needs names every kind that a task can have.
#[test]
fn the_guide_explains_every_need() {
    use longhaul_core::task::NeedKind;
    let guide = read("docs/guide.md");
    for kind in [
        NeedKind::RetriesExhausted,
        NeedKind::RestartsExhausted,
        NeedKind::Budget,
        NeedKind::PermissionDenied,
        NeedKind::Question,
        NeedKind::LoggedOut,
        NeedKind::Billing,
        NeedKind::CannotLaunch,
        NeedKind::SetupFailed,
        NeedKind::Workspace,
        NeedKind::Escaped,
        NeedKind::Drift,
        NeedKind::ModeMismatch,
        NeedKind::Branch,
    ] {
        let word = kind.word();
        assert!(guide.contains(&format!("| `{word}` |")), "{word}");
    }
}
