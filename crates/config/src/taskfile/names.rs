//! What may stand in names, branches, paths, globs and variables. Texts only; nothing is looked up.

use camino::{Utf8Component, Utf8Path};
use globset::{GlobBuilder, GlobSetBuilder};

/// Longest name of a task or a check in characters: it becomes part of branches and folders.
const MAX_NAME: usize = 100;
/// Longest glob in bytes.
const MAX_GLOB: usize = 1024;

/// What is wrong with a task's name.
pub(super) fn bad_name(name: &str) -> Option<String> {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if let Some(c) = name.chars().find(|c| odd(*c)) {
        let c = if c == ' ' {
            "a space".to_owned()
        } else {
            crate::diag::quoted(&c.to_string())
        };
        return Some(format!(
            "contains {c}; only ASCII letters, digits, `.`, `-` and `_` may stand in it"
        ));
    }
    if name.starts_with(['.', '-']) {
        return Some("starts with `.` or `-`, which a branch cannot".to_owned());
    }
    if name.contains("..") {
        return Some("contains `..`, which a branch cannot".to_owned());
    }
    (name.len() > MAX_NAME).then(|| format!("is longer than {MAX_NAME} characters"))
}

/// What is wrong with a one-line text that is shown to people: a label, a group, a check's name.
pub(super) fn bad_label(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("is empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Some("contains a control character or a line break".to_owned());
    }
    (text.chars().count() > MAX_NAME).then(|| format!("is longer than {MAX_NAME} characters"))
}

/// What is wrong with a word that becomes an argument of a program: a model, a role, a profile.
pub(crate) fn bad_argument(text: &str) -> Option<String> {
    if text.starts_with('-') {
        return Some("starts with `-`, so a program would take it for a flag".to_owned());
    }
    if text.chars().any(char::is_whitespace) {
        return Some("contains a space".to_owned());
    }
    bad_label(text)
}

/// What is wrong with a branch's name (the rules of `git check-ref-format --branch`).
pub(crate) fn bad_branch(name: &str) -> Option<String> {
    if let Some(problem) = bad_argument(name) {
        return Some(problem);
    }
    if let Some(c) = name.chars().find(|c| "~^:?*[\\".contains(*c)) {
        return Some(format!("contains `{c}`, which a branch cannot"));
    }
    let part = |p: &str| p.is_empty() || p.starts_with('.') || p.ends_with(".lock");
    let bad = name.split('/').any(part)
        || name.contains("..")
        || name.contains("@{")
        || name.ends_with('.')
        || name == "@";
    bad.then(|| "is not a name that git accepts for a branch".to_owned())
}

/// What is wrong with a folder inside the repository.
pub(super) fn bad_inner_path(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("is empty".to_owned());
    }
    for component in Utf8Path::new(path).components() {
        match component {
            Utf8Component::Normal(".git") => return Some("leads into `.git`".to_owned()),
            Utf8Component::Normal(_) | Utf8Component::CurDir => {}
            Utf8Component::ParentDir => {
                return Some("leaves the repository with `..`".to_owned());
            }
            Utf8Component::Prefix(_) | Utf8Component::RootDir => {
                return Some("is absolute; it is a folder inside the repository".to_owned());
            }
        }
    }
    None
}

/// What is wrong with a path outside, which is resolved against the task file's folder.
pub(super) fn bad_path(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("is empty".to_owned());
    }
    path.starts_with('~')
        .then(|| "starts with `~`, which is not expanded here; write the whole path".to_owned())
}

/// What is wrong with a glob over paths of the repository.
pub(super) fn bad_glob(glob: &str) -> Option<String> {
    if glob.is_empty() {
        return Some("is empty".to_owned());
    }
    if glob.len() > MAX_GLOB {
        return Some(format!("is longer than {MAX_GLOB} bytes"));
    }
    if glob.starts_with('!') {
        return Some("starts with `!`; globs here only add".to_owned());
    }
    if glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
        return Some("leaves the repository; it is relative to its root, without `..`".to_owned());
    }
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    let compiled = built.and_then(|glob| GlobSetBuilder::new().add(glob).build());
    compiled
        .err()
        .map(|error| format!("is not a glob: {}", error.kind()))
}

/// What is wrong with the name of an environment variable.
pub(super) fn bad_variable(name: &str) -> Option<String> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.starts_with(first) || !name.chars().all(rest) {
        return Some(
            "is not a variable's name: ASCII letters, digits and `_`, no digit first".to_owned(),
        );
    }
    name.starts_with("LONGHAUL_")
        .then(|| "is Longhaul's own; `LONGHAUL_` variables cannot be set".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "fix-the.parser_2", "2nd", "_x"] {
            assert_eq!(bad_name(good), None, "{good}");
        }
        for bad in ["", "a b", "ä", ".x", "-x", "a..b", "a/b", &"x".repeat(101)] {
            assert!(bad_name(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn branches() {
        for good in ["main", "feature/x", "release-1.2"] {
            assert_eq!(bad_branch(good), None, "{good}");
        }
        for bad in [
            "", "-x", "a b", "a..b", "a/", "/a", "a//b", "x.lock", "a/.b", "@", "a@{1}", "a~1",
            "a.",
        ] {
            assert!(bad_branch(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn inner_paths_and_globs() {
        for good in ["a", "a/b", "./a", "crates/api"] {
            assert_eq!(bad_inner_path(good), None, "{good}");
        }
        for bad in ["", "/a", "../a", "a/../..", ".git", "a/.git/hooks"] {
            assert!(bad_inner_path(bad).is_some(), "{bad}");
        }
        for good in ["tests/**", "*.lock", "src/{a,b}/*.rs", ".github/**"] {
            assert_eq!(bad_glob(good), None, "{good}");
        }
        for bad in ["", "/etc/*", "a/../b", "[a", "{a", "!x", &"*".repeat(2000)] {
            assert!(bad_glob(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn variables() {
        assert_eq!(bad_variable("RUST_LOG"), None);
        for bad in ["", "1A", "A-B", "A=B", "LONGHAUL_X", "É"] {
            assert!(bad_variable(bad).is_some(), "{bad}");
        }
    }
}
