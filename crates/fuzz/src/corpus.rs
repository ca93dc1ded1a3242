//! Known inputs: what once failed, and what the tests of other crates hold.

use std::path::{Path, PathBuf};

/// Largest file that is taken for an input.
const MOST_BYTES: usize = 256 << 10;

/// Inputs of a target that once failed.
#[must_use]
pub fn kept(target: &str) -> Vec<Vec<u8>> {
    files(&here().join("corpus").join(target), |_| true)
}

/// The samples of real agents whose path below the samples holds one of these words.
#[must_use]
pub fn samples(words: &[&str]) -> Vec<Vec<u8>> {
    let top = here().join("../agents/tests/samples");
    files(&top, |path| {
        let path = path
            .strip_prefix(&top)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
        words.iter().any(|word| path.contains(word))
    })
}

/// The code blocks of a kind (`toml`, `sh` …) in the pages of `docs/` and the README.
#[must_use]
pub fn blocks(kind: &str) -> Vec<Vec<u8>> {
    let docs = here().join("../..");
    let mut pages = files(&docs.join("docs"), |path| {
        path.extension().is_some_and(|e| e == "md")
    });
    pages.extend(std::fs::read(docs.join("README.md")));
    let fence = format!("```{kind}");
    let mut blocks = Vec::new();
    for page in pages {
        let text = String::from_utf8_lossy(&page).into_owned();
        for part in text.split("\n```").map(|p| format!("```{p}")) {
            if let Some(body) = part.strip_prefix(&fence)
                && let Some((_, body)) = body.split_once('\n')
            {
                blocks.push(body.as_bytes().to_vec());
            }
        }
    }
    blocks
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder, in order of their paths; none if there is no such folder.
fn files(top: &Path, take: impl Fn(&Path) -> bool) -> Vec<Vec<u8>> {
    let mut folders = vec![top.to_owned()];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if take(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    let read = found.iter().filter_map(|path| std::fs::read(path).ok());
    read.filter(|bytes| bytes.len() <= MOST_BYTES).collect()
}
