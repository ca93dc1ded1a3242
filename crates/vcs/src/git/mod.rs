//! The git program on guarded ground (L20): a scrubbed environment, fixed settings, no prompts, no
//! hooks, and no program that only a repository names. Exit codes, `-z` output and object ids are
//! read; git's English never is.

mod config;
mod error;
mod remembered;
pub(crate) mod run;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) use config::{ConfigList, overrides};
pub use error::{ErrorClass, GitError};
pub(crate) use remembered::{Remembered, Settings};
pub(crate) use run::Call;

/// How git is to be run. The library reads no environment: the caller hands one over.
#[derive(Clone, Debug)]
pub struct GitSettings {
    /// The program, looked up in the given environment's `PATH` if it has no slash.
    pub program: PathBuf,
    /// The environment of the user, usually `std::env::vars_os()`. `GIT_*` and askpass programs are
    /// dropped.
    pub environment: Vec<(OsString, OsString)>,
    /// The longest that one git command may take, large checkouts included.
    pub timeout: Duration,
}

impl GitSettings {
    /// `git` from the given environment's `PATH`, with ten minutes for a command.
    #[must_use]
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self {
            program: PathBuf::from("git"),
            environment: environment.into_iter().collect(),
            timeout: Duration::from_secs(600),
        }
    }
}

/// A git program that was found and is new enough. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Git {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: GitSettings,
    environment: Vec<(OsString, OsString)>,
    /// As it said when it was first asked.
    version: OnceLock<(u32, u32)>,
    lfs: OnceLock<bool>,
    /// What need not be asked twice.
    remembered: Remembered,
}

/// The oldest git whose `merge-tree`, `worktree --lock --reason` and config scopes are known good.
const OLDEST: (u32, u32) = (2, 40);
/// The question that is asked before all others.
pub(crate) const VERSION: &str = "version";

/// How long the program may take to say which it is.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

impl Git {
    /// Finds the program and checks its version (T30).
    ///
    /// # Errors
    /// [`GitError::Spawn`] if there is none, [`GitError::TooOld`] below 2.40.
    pub fn new(settings: GitSettings) -> Result<Self, GitError> {
        let git = Self::on_demand(settings)?;
        git.check()?;
        Ok(git)
    }

    /// Finds the program; its version is checked before it is used for the first time.
    ///
    /// # Errors
    /// [`GitError::Spawn`] if there is none.
    pub fn on_demand(mut settings: GitSettings) -> Result<Self, GitError> {
        // Looked up once and not in every child that is about to run it: with a path of its own it is
        // started without a copy of this process.
        settings.program = find_program(&settings).ok_or_else(|| GitError::Spawn {
            program: settings.program.to_string_lossy().into_owned(),
            source: rustix::io::Errno::NOENT.into(),
        })?;
        let environment = guarded_environment(&settings.environment);
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                environment,
                version: OnceLock::new(),
                lfs: OnceLock::new(),
                remembered: Remembered::default(),
            }),
        })
    }

    /// Asks for the version, once.
    pub(crate) fn check(&self) -> Result<(u32, u32), GitError> {
        if let Some(version) = self.shared.version.get() {
            return Ok(*version);
        }
        let output = Call::new(self, Path::new("/"))
            .within(FIRST_ANSWER)
            .arg(VERSION)
            .ok()?;
        let version =
            parse_version(&output.stdout).ok_or_else(|| output.malformed("`git version N.N`"))?;
        if version < OLDEST {
            return Err(GitError::TooOld {
                found: format!("{}.{}", version.0, version.1),
            });
        }
        Ok(*self.shared.version.get_or_init(|| version))
    }

    /// Major and minor version; zeros if it does not tell.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.check().unwrap_or_default()
    }

    /// Whether `git lfs` can be run.
    #[must_use]
    pub fn has_lfs(&self) -> bool {
        *self.shared.lfs.get_or_init(|| {
            let version = Call::new(self, Path::new("/"))
                .within(FIRST_ANSWER)
                .args(["lfs", "version"]);
            version.ok().is_ok()
        })
    }

    pub(crate) fn remembered(&self) -> &Remembered {
        &self.shared.remembered
    }

    /// A variable of the user's environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let mut all = self.shared.environment.iter().rev();
        all.find(|(key, _)| key == name).map(|(_, v)| v.as_os_str())
    }

    pub(crate) fn settings(&self) -> &GitSettings {
        &self.shared.settings
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.shared.settings.timeout
    }

    pub(crate) fn environment(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let pair = |(k, v): &'static (&str, &str)| (OsStr::new(*k), OsStr::new(*v));
        self.shared
            .environment
            .iter()
            .map(|(k, v)| (k.as_os_str(), v.as_os_str()))
            .chain(FIXED_ENVIRONMENT.iter().map(pair))
    }
}

/// Set on every run; whatever the user has there would change what git prints or does.
static FIXED_ENVIRONMENT: [(&str, &str); 7] = [
    ("GIT_TERMINAL_PROMPT", "0"),
    // An object is what its id says: neither a session's `refs/replace` nor its grafts speak for it.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_GRAFT_FILE", "/dev/null"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_EDITOR", "false"),
    ("LC_ALL", "C"),
];

fn guarded_environment(given: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    let dropped = |key: &OsStr| {
        let key = key.as_bytes();
        key.starts_with(b"GIT_") || matches!(key, b"SSH_ASKPASS" | b"LANGUAGE" | b"LC_ALL")
    };
    given
        .iter()
        .filter(|(key, _)| !dropped(key))
        .cloned()
        .collect()
}

/// The program as an absolute path, by the `PATH` that it would be given.
fn find_program(settings: &GitSettings) -> Option<PathBuf> {
    if settings.program.components().count() > 1 {
        return Some(settings.program.clone());
    }
    let mut path = settings.environment.iter().rev();
    let path = path.find(|(key, _)| key == "PATH").map(|(_, v)| v)?;
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&settings.program))
        .find(|file| {
            file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
        })
}

fn parse_version(stdout: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(stdout).ok()?;
    let mut numbers = text
        .strip_prefix("git version ")?
        .trim()
        .split(['.', ' ', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t30_versions_are_read_from_every_vendor() {
        for (text, version) in [
            ("git version 2.47.3\n", (2, 47)),
            ("git version 2.39.5 (Apple Git-154)\n", (2, 39)),
            ("git version 2.50.0.rc1\n", (2, 50)),
        ] {
            assert_eq!(parse_version(text.as_bytes()), Some(version));
        }
        assert_eq!(parse_version(b"hub version 3"), None);
    }

    #[test]
    fn l20_the_environment_is_scrubbed() {
        let given = [
            ("GIT_DIR", "/x"),
            ("GIT_CONFIG_COUNT", "1"),
            ("PATH", "/bin"),
            ("SSH_ASKPASS", "/x"),
        ]
        .map(|(k, v)| (OsString::from(k), OsString::from(v)));
        let kept = guarded_environment(&given);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].0, "PATH");
    }
}
