//! The docs say what the code does: one page is made from it, the examples of both are read by it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use camino::Utf8Path;
use longhaul_config::settings::{FileLayer, Layer, Layers, markdown, resolve};
use longhaul_config::taskfile::{CHECK_KEYS, TASK_KEYS};

use super::world::World;

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

/// The TOML blocks of a page.
fn blocks(text: &str) -> Vec<&str> {
    text.split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

#[test]
fn configuration_md_is_made_from_the_keys() {
    let path = page("configuration.md");
    let wanted = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "docs/configuration.md is out of date: run this test with UPDATE_DOCS=1"
    );
}

#[test]
fn the_examples_of_configuration_md_are_valid() {
    for text in blocks(&markdown()) {
        let file = FileLayer {
            layer: Layer::User,
            path: Utf8Path::new("config.toml"),
            bytes: text.as_bytes(),
        };
        let layers = Layers {
            files: &[file],
            repo_trusted: false,
            env: &BTreeMap::new(),
            flags: &[],
            built_in_harnesses: &["claude"],
        };
        let resolved = resolve(&layers).unwrap_or_else(|d| panic!("{d}"));
        assert!(resolved.notes.is_empty());
    }
}

#[test]
fn the_examples_of_task_file_md_are_valid() {
    let text = std::fs::read_to_string(page("task-file.md")).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.len() >= 6, "the page has examples");
    for block in blocks {
        let parsed = World::default().parse(block.as_bytes());
        let parsed = parsed.unwrap_or_else(|d| panic!("{d}\n{block}"));
        assert!(parsed.notes.is_empty(), "{}", parsed.notes);
    }
}

#[test]
fn task_file_md_explains_every_key() {
    let text = std::fs::read_to_string(page("task-file.md")).unwrap();
    for key in TASK_KEYS.iter().chain(&CHECK_KEYS) {
        assert!(
            text.contains(&format!("`{}`", key.name)),
            "{} is not explained",
            key.name
        );
    }
}

#[test]
fn every_key_of_the_table_is_known_to_the_reader() {
    for key in TASK_KEYS {
        let text = format!(
            "[[task]]\nname = \"a\"\nprompt = \"x\"\n{} = 2020-01-01\n",
            key.name
        );
        let found = World::default()
            .parse(text.as_bytes())
            .expect_err("no key is a date");
        assert!(!found.render(false).contains("unknown key"), "{}", key.name);
    }
    for key in CHECK_KEYS {
        let text = format!(
            "[[task]]\nname = \"a\"\nprompt = \"x\"\n[[task.check]]\n{} = 2020-01-01\n",
            key.name
        );
        let found = World::default()
            .parse(text.as_bytes())
            .expect_err("no key is a date");
        assert!(!found.render(false).contains("unknown key"), "{}", key.name);
    }
}
