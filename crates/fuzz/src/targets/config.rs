//! The task file, the settings, the trust list, durations and sizes.

use std::collections::BTreeMap;

use camino::Utf8Path;
use longhaul_config::files::ReadError;
use longhaul_config::settings::{FileLayer, Guard, Layer, Layers, Origin, SETTING_KEYS, resolve};
use longhaul_config::taskfile::{
    HarnessList, ParsedTaskFile, PromptFiles, TaskContext, TaskDefaults, TaskFileInput, parse,
    to_toml,
};
use longhaul_config::trust::TrustStore;
use longhaul_config::{diag::Diagnostics, duration, size};

pub(super) const UNITS: &[&str] = &["d", "h", "m", "s", "ms", "KiB", "TB", " "];
pub(super) const TASK_WORDS: &[&str] = &[
    "[[task]]\n",
    "[defaults]\n",
    "[[task.check]]\n",
    "[task.env]\n",
    "name = \"a\"\n",
    "prompt = \"p\"\n",
    "run = \"true\"\n",
    "depends_on = [\"a\"]\n",
    "budget_usd = 1.5\n",
    "timeout = \"1h\"\n",
    "land = true\n",
    "workspace = \"in-place\"\n",
    "env = { A = { from = \"B\" } }\n",
    "prompt_file = \"x\"\n",
    "harness = \"claude\"\n",
    "\"\"\"",
    "'''",
    " = ",
    ".",
];
pub(super) const SETTING_WORDS: &[&str] = &[
    "[limits]\n",
    "[harness.mine]\n",
    "[judge.local]\n",
    "[profile.p]\n",
    "program = \"x\"\n",
    "concurrency = 3\n",
    "url = \"https://h/\"\n",
    "[queue]\n",
    "[sandbox]\n",
    "setup = \"make\"\n",
    ".",
    " = ",
    "\"1h\"",
    "[\"a\"]",
];
pub(super) const TRUST_LIST: &str = "version = 1\n\n[[repo]]\npath = \"/home/a/repo\"\nhash = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"\n";

/// No prompt lies in a file.
struct NoFiles;

impl PromptFiles for NoFiles {
    fn read(&self, _path: &Utf8Path) -> Result<Vec<u8>, ReadError> {
        Err(ReadError::Missing)
    }
}

fn read(bytes: &[u8], trusted: bool) -> Result<ParsedTaskFile, Diagnostics> {
    let harnesses = HarnessList::default()
        .with("claude", &["claude-code"], true)
        .with("gemini", &[], false)
        .with("script", &[], true);
    let context = TaskContext {
        harnesses: &harnesses,
        profiles: None,
        judges: None,
        stored: None,
        prompt_files: &NoFiles,
        defaults: &TaskDefaults::default(),
        trusted,
        land: false,
    };
    let input = TaskFileInput {
        bytes,
        path: Utf8Path::new("/repo/tasks.toml"),
        shown_as: "tasks.toml",
    };
    parse(input, &context)
}

/// What is wrong is said in bounded, harmless text (I16, T31).
fn said(diagnostics: &Diagnostics) {
    assert!(diagnostics.items().len() <= 1000);
    let shown = diagnostics.render(false);
    assert!(shown.len() <= 4 << 20, "{} bytes of findings", shown.len());
    let control = |c: char| c.is_control() && c != '\n';
    assert!(
        !shown.contains(control) && !shown.contains('\u{202e}'),
        "T31: {shown:?}"
    );
}

/// A task file: read whole or refused with reasons; what is read can be written and read again.
pub(super) fn task_file(data: &[u8]) {
    for trusted in [true, false] {
        match read(data, trusted) {
            Err(why) => {
                assert!(why.has_errors());
                said(&why);
            }
            Ok(parsed) => {
                assert!(!parsed.notes.has_errors() && !parsed.tasks.is_empty());
                said(&parsed.notes);
                let mut order = parsed.order.clone();
                order.sort_unstable();
                assert!(
                    order.into_iter().eq(0..parsed.tasks.len()),
                    "each task once"
                );
                let text = to_toml(&parsed.tasks);
                match read(text.as_bytes(), trusted) {
                    Ok(again) => assert_eq!(again.tasks, parsed.tasks, "{text}"),
                    Err(why) => panic!("what was read is refused when written:\n{why}\n{text}"),
                }
            }
        }
    }
}

/// Settings: a repository that is not trusted sets nothing that runs, sends or weakens (L20).
pub(super) fn settings(data: &[u8]) {
    let env = BTreeMap::new();
    for layer in [Layer::User, Layer::Repo, Layer::Local] {
        let files = [FileLayer {
            layer,
            path: Utf8Path::new("/c/config.toml"),
            bytes: data,
        }];
        let layers = Layers {
            files: &files,
            repo_trusted: false,
            env: &env,
            flags: &[],
            built_in_harnesses: &["claude", "script"],
        };
        match resolve(&layers) {
            Err(why) => {
                assert!(why.has_errors());
                said(&why);
            }
            Ok(resolved) => {
                said(&resolved.notes);
                let from_file = |o: &Origin| matches!(o, Origin::File { .. });
                for entry in resolved.entries.iter().filter(|e| from_file(&e.origin)) {
                    assert!(
                        layer == Layer::User || guard(&entry.key) == Some(Guard::Anyone),
                        "a repository set {}",
                        entry.key
                    );
                }
            }
        }
    }
}

/// Who may set a key: that of the pattern that it matches.
fn guard(key: &str) -> Option<Guard> {
    let fits = |pattern: &str| {
        let (parts, names): (Vec<_>, Vec<_>) =
            (pattern.split('.').collect(), key.split('.').collect());
        parts.len() == names.len()
            && parts
                .iter()
                .zip(&names)
                .all(|(p, n)| p == n || *p == "NAME")
    };
    SETTING_KEYS
        .iter()
        .find(|k| fits(k.pattern))
        .map(|k| k.guard)
}

/// The trust list.
pub(super) fn trust_list(data: &[u8]) {
    match TrustStore::parse("trust.toml", data) {
        Err(why) => said(&why),
        Ok(list) => {
            let text = list.to_text();
            assert_eq!(
                TrustStore::parse("trust.toml", text.as_bytes()),
                Ok(list),
                "{text}"
            );
        }
    }
}

/// A duration.
pub(super) fn duration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match duration::parse(&text) {
        Ok(span) => {
            assert!(span <= duration::MAX);
            assert_eq!(
                duration::parse(&duration::format(span)),
                Ok(span),
                "{text:?}"
            );
        }
        Err(why) => assert!(!why.help().is_empty() && why.help().len() < 200),
    }
}

/// A size.
pub(super) fn size(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(bytes) = size::parse(&text) {
        assert!(i64::try_from(bytes).is_ok());
        assert_eq!(size::parse(&size::format(bytes)), Ok(bytes), "{text:?}");
    }
}
