//! Which changed paths a task may not change (`protect`), judged on bytes. Not a permission.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::path::RepoPath;

/// A pattern that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the protect pattern `{pattern}` cannot be understood")]
pub struct BadPattern {
    /// The pattern as written.
    pub pattern: String,
    /// Why.
    #[source]
    source: globset::Error,
}

/// The protected paths of a task. Always holds `.longhaul/**` and the task file (L20).
///
/// Patterns are written as in `.gitignore`, without negation: one without a slash matches at any
/// depth, one with a slash matches from the top, and a folder protects everything in it.
#[derive(Clone, Debug)]
pub struct Protect {
    set: GlobSet,
    task_file: Option<RepoPath>,
}

impl Protect {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// [`BadPattern`] naming the first that cannot be understood.
    pub fn new(patterns: &[String], task_file: Option<RepoPath>) -> Result<Self, BadPattern> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns.iter().map(String::as_str).chain([".longhaul/"]) {
            let bare = pattern.trim_end_matches('/');
            let rooted = if bare.trim_start_matches('/') != bare || bare.contains('/') {
                bare.trim_start_matches('/').to_owned()
            } else {
                format!("**/{bare}")
            };
            for text in [rooted.clone(), format!("{rooted}/**")] {
                let glob = GlobBuilder::new(&text)
                    .literal_separator(true)
                    .backslash_escape(true)
                    .build()
                    .map_err(|source| BadPattern {
                        pattern: pattern.to_owned(),
                        source,
                    })?;
                set.add(glob);
            }
        }
        let set = set.build().map_err(|source| BadPattern {
            pattern: patterns.join(", "),
            source,
        })?;
        Ok(Self { set, task_file })
    }

    /// True if a task may not change this path.
    #[must_use]
    pub fn covers(&self, path: &RepoPath) -> bool {
        self.task_file.as_ref() == Some(path) || self.set.is_match(path.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protect(patterns: &[&str]) -> Protect {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Protect::new(&patterns, Some(RepoPath::from_bytes("work/tasks.toml"))).unwrap()
    }

    #[test]
    fn l20_config_and_task_file_are_always_protected() {
        let none = protect(&[]);
        for path in [
            ".longhaul/config.toml",
            "sub/.longhaul/x",
            "work/tasks.toml",
        ] {
            assert!(none.covers(&RepoPath::from_bytes(path)), "{path}");
        }
        assert!(!none.covers(&RepoPath::from_bytes("tasks.toml")));
    }

    #[test]
    fn patterns_read_like_gitignore() {
        let some = protect(&["tests/", "/ci.yml", "src/*.lock", "*.snap", "a/**/z"]);
        for path in [
            "tests/a/b",
            "x/tests/y",
            "ci.yml",
            "src/x.lock",
            "q/r.snap",
            "a/z",
            "a/b/c/z",
        ] {
            assert!(some.covers(&RepoPath::from_bytes(path)), "{path}");
        }
        for path in ["x/ci.yml", "src/d/x.lock", "testsuite", "b/a/z"] {
            assert!(!some.covers(&RepoPath::from_bytes(path)), "{path}");
        }
        let odd = RepoPath::from_bytes(*b"tests/\xff\n.rs");
        assert!(some.covers(&odd));
    }

    #[test]
    fn broken_patterns_are_named() {
        let error = Protect::new(&["a[".to_owned()], None).unwrap_err();
        assert_eq!(error.pattern, "a[");
    }
}
