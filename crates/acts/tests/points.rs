//! What holds the crash points together: clippy's list is proved, the product crates are under it, and
//! the registry names every act there is. That each is reached is the sweep's business
//! (`crates/cli/tests/kills/sweep`).

#![expect(
    clippy::unwrap_used,
    reason = "helpers fail the test they help; the exception for tests covers test functions only"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Crates whose code may act on the world only through this one. Not `script`, which plays an agent.
const PRODUCT: [&str; 13] = [
    "acts", "agents", "api", "cli", "config", "core", "engine", "gateway", "hosts", "pool",
    "server", "store", "vcs",
];

/// Refused calls that the probe cannot make.
const NOT_IN_THE_PROBE: [&str; 7] = [
    // Unsafe, which only `hosts` may be.
    "libc::kill",
    "libc::killpg",
    // Used, under an expectation, in `store`; the first would need a database here.
    "rusqlite::Connection::execute",
    "rusqlite::Connection::execute_batch",
    "rusqlite::Statement::execute",
    "rusqlite::Transaction::commit",
    "tokio::net::UnixListener::bind",
];

/// Files that make refused calls themselves, and how many expectations each has.
const EXCEPTIONS: [(&str, usize); 22] = [
    ("acts/src/files.rs", 1),
    ("acts/src/point.rs", 2),
    ("acts/src/process.rs", 1),
    ("cli/src/inbox/folders.rs", 2),
    ("cli/src/settings.rs", 1),
    ("cli/src/verbs/report.rs", 1),
    ("hosts/src/join.rs", 1),
    ("hosts/src/shim/child.rs", 1),
    ("hosts/src/shim/fork.rs", 2),
    ("hosts/src/shim/mod.rs", 1),
    ("hosts/src/shim/run.rs", 1),
    ("hosts/src/watch.rs", 1),
    ("store/src/sqlite/commit.rs", 1),
    ("store/src/sqlite/insert.rs", 1),
    ("store/src/sqlite/migrate.rs", 1),
    ("store/src/sqlite/open.rs", 1),
    ("store/src/sqlite/queue.rs", 1),
    ("store/src/sqlite/reader.rs", 1),
    ("store/src/sqlite/store.rs", 1),
    ("vcs/src/fsx.rs", 1),
    ("vcs/src/git/run.rs", 1),
    ("vcs/src/include.rs", 2),
];

fn crates() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap().to_owned()
}

/// Every source file of a crate with its text, without its tests.
fn sources(name: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![crates().join(name).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
                let below = path.strip_prefix(crates()).unwrap();
                found.insert(below.display().to_string(), code.to_owned());
            }
        }
    }
    found
}

#[test]
fn the_probe_holds_every_refused_call() {
    let list = std::fs::read_to_string(crates().join("../clippy.toml")).unwrap();
    let probe = std::fs::read_to_string(crates().join("acts/examples/probe.rs")).unwrap();
    let refused: Vec<_> = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .collect();
    assert!(refused.len() > 50, "{refused:?}");
    for path in refused {
        let (scope, name) = path.rsplit_once("::").unwrap();
        let kind = scope.rsplit("::").next().unwrap();
        let is_method = kind.starts_with(|c: char| c.is_uppercase());
        // Its namesake in the standard library is there.
        let here = if path.starts_with("tokio::") {
            false
        } else if is_method {
            let forms = [format!(".{name}("), format!("{kind}::{name}(")];
            forms.iter().any(|form| probe.contains(form))
        } else {
            probe.contains(&format!("{path}("))
        };
        assert_ne!(here, NOT_IN_THE_PROBE.contains(&path), "{path}");
    }
}

#[test]
fn product_crates_are_under_the_list_and_exceptions_are_counted() {
    let mut counted = BTreeMap::new();
    for name in PRODUCT {
        let sources = sources(name);
        let root = sources
            .get(&format!("{name}/src/lib.rs"))
            .or_else(|| sources.get(&format!("{name}/src/main.rs")))
            .unwrap();
        assert!(root.contains("deny(clippy::disallowed_methods)"), "{name}");
        for (path, text) in sources {
            let denied = text.matches("deny(clippy::disallowed_methods)").count();
            let times = text.matches("clippy::disallowed_methods").count() - denied;
            if times > 0 {
                counted.insert(path, times);
            }
        }
    }
    let known = EXCEPTIONS.map(|(path, n)| (path.to_owned(), n));
    assert_eq!(counted, BTreeMap::from(known));
}

/// The labels in the sources: the first argument of every act.
fn labels() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in PRODUCT.into_iter().filter(|name| *name != "acts") {
        for (path, text) in sources(name) {
            for (at, _) in text.match_indices('"') {
                let before = &text[..at].trim_end_matches(|c: char| c.is_whitespace() || c == '(');
                let Some((label, _)) = text[at + 1..].split_once('"') else {
                    continue;
                };
                if is_label(label) && text[before.len()..at].contains('(') && is_act(before) {
                    found
                        .entry(label.to_owned())
                        .or_default()
                        .push(path.clone());
                }
            }
        }
    }
    found
}

fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c == '.' || c == '-';
    (text.contains('.') || text == "signal") && text.chars().all(fits)
}

/// Whether the text ends with the name of a function that takes a label.
fn is_act(before: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let path = before.rsplit(|c| !part(c)).next().unwrap_or_default();
    let modules = ["files::", "process::", "longhaul_acts::"];
    modules.iter().any(|module| path.contains(module))
        || ["make_folder", "private_file", "persist"].contains(&path)
}

/// Acts whose label is put together: what `durable` writes, the verbs of git and of tmux.
const COMPOSED: [&str; 4] = ["child.identity.", "shim.exit.", "pool.tmux.", "vcs.git"];

#[test]
fn the_registry_names_every_act_once() {
    let text = std::fs::read_to_string(crates().join("acts/points.txt")).unwrap();
    let listed: Vec<_> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect();
    let mut sorted = listed.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(listed, sorted, "sorted, each once");
    let composed = |label: &String| COMPOSED.iter().any(|stem| label.starts_with(stem));
    let found = labels();
    for (label, places) in &found {
        let usual = ["cli.say", "signal"].contains(&label.as_str());
        assert!(usual || places.len() == 1, "{label} is in {places:?}");
    }
    let plain: BTreeSet<_> = listed.into_iter().filter(|l| !composed(l)).collect();
    let there: BTreeSet<_> = found.into_keys().filter(|l| !composed(l)).collect();
    if plain != there {
        let new: Vec<_> = there.difference(&plain).collect();
        let gone: Vec<_> = plain.difference(&there).collect();
        panic!("not in points.txt: {new:#?}; only there: {gone:#?}");
    }
}
