//! What was learnt from git and holds until a file changes that it was learnt from: the settings of a
//! repository, and the tree of a folder. Kept in memory, bounded, by the stamps of those files (`stamp`),
//! so a change by whomever is seen; where stamps cannot be relied on nothing is remembered.

use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::Hash;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::{Call, ConfigList, Git, GitError, overrides};
use crate::snapshot::Seen;
use crate::stamp::{self, Stamps, Taker};

/// The most answers of a kind that are kept.
const MOST: usize = 256;
/// The longest that a tree is remembered: it is kept by no ref, and two weeks later git may prune it.
const KEPT: Duration = Duration::from_secs(60 * 60);

/// What is remembered by one [`Git`].
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    settings: Shelf<(PathBuf, PathBuf, bool), Arc<Settings>>,
    pub(crate) trees: Shelf<PathBuf, Arc<Seen>>,
    system: OnceLock<Option<PathBuf>>,
}

/// Answers by question, each with the stamps of what it was learnt from.
#[derive(Debug)]
pub(crate) struct Shelf<Q, A> {
    answers: Mutex<HashMap<Q, (Stamps, Instant, A)>>,
}

impl<Q, A> Default for Shelf<Q, A> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
        }
    }
}

impl<Q: Hash + Eq, A: Clone> Shelf<Q, A> {
    /// The answer, if it was learnt from the same.
    pub(crate) fn get(&self, question: &Q, stamps: &Stamps) -> Option<A> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, at, answer) = answers.get(question)?;
        (of == stamps && at.elapsed() < KEPT).then(|| answer.clone())
    }

    /// Keeps an answer. The stamps must be those from before it was asked for and from after it.
    pub(crate) fn put(&self, question: Q, stamps: Stamps, answer: A) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.insert(question, (stamps, Instant::now(), answer));
    }
}

/// What the config of a repository comes to.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// For every call there.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// git knows who the user is.
    pub(crate) identity: bool,
    /// Files outside of the patterns of a sparse checkout are missing on purpose.
    pub(crate) sparse: bool,
    /// Nothing here changes how commits and refs are written: no logs of all refs, shared permissions,
    /// other encodings or stores of refs.
    pub(crate) usual_writes: bool,
    /// The files that it was learnt from, and those that say which files of the work tree are ignored or
    /// converted, there or not; `None` where not all of them are known.
    pub(crate) sources: Option<Vec<PathBuf>>,
}

impl Settings {
    /// As they are now: read, or known from before. `call` is one on the repository.
    pub(crate) fn of<'g>(
        git: &'g Git,
        (git_dir, common_dir): (&Path, &Path),
        trusted: bool,
        call: impl Fn() -> Call<'g>,
    ) -> Result<Arc<Self>, GitError> {
        let question = (git_dir.to_owned(), common_dir.to_owned(), trusted);
        let shelf = &git.remembered().settings;
        let files = git.config_files(git_dir, common_dir);
        let stamps = || {
            let mut taker = Taker::new();
            for file in files.as_ref()? {
                taker.file(file).ok()?;
            }
            taker.settled()
        };
        let before = stamps();
        if let Some(known) = before.as_ref().and_then(|s| shelf.get(&question, s)) {
            return Ok(known);
        }
        let listing = call()
            .args(["config", "--list", "--show-scope", "-z"])
            .ok()?;
        let list = ConfigList::parse(&listing.stdout)
            .ok_or_else(|| listing.malformed("config entries with their scope"))?;
        let has = |key| list.get(key).is_some_and(|v| !v.is_empty());
        let not = |key, word: &str| {
            list.get(key)
                .is_none_or(|v| v.eq_ignore_ascii_case(word.as_bytes()))
        };
        let logs = list.get("core.logallrefupdates").unwrap_or_default();
        let sources = files.as_ref().filter(|_| !list.has_includes());
        let rules = git.rule_files(&list, common_dir);
        let settings = Arc::new(Self {
            variables: overrides(&list, trusted, || git.has_lfs()),
            identity: has("user.name") && has("user.email"),
            sparse: list.get("core.sparsecheckout") == Some(b"true"),
            usual_writes: !logs.eq_ignore_ascii_case(b"always")
                && not("core.sharedrepository", "false")
                && not("i18n.commitencoding", "utf-8")
                && !list.has_section("extensions"),
            sources: sources
                .zip(rules)
                .map(|(files, rules)| [files.clone(), rules].concat()),
        });
        if let Some(before) = before.filter(|_| !list.has_includes())
            && stamps().as_ref() == Some(&before)
        {
            shelf.put(question, before, Arc::clone(&settings));
        }
        Ok(settings)
    }
}

impl Git {
    /// The files that git reads for its config there, if none includes others; `None` if they cannot all
    /// be named, or their stamps not be relied on.
    fn config_files(&self, git_dir: &Path, common_dir: &Path) -> Option<Vec<PathBuf>> {
        let system = self.system_config()?;
        let home = self.home()?;
        let user = self.user_folder()?;
        let all_kept = [common_dir, git_dir, &home]
            .into_iter()
            .all(stamp::are_kept);
        all_kept.then(|| {
            vec![
                system,
                home.join(".gitconfig"),
                user.join("config"),
                common_dir.join("config"),
                git_dir.join("config.worktree"),
            ]
        })
    }

    /// The files that say what is ignored and converted, beside those in the work tree.
    fn rule_files(&self, list: &ConfigList, common_dir: &Path) -> Option<Vec<PathBuf>> {
        let user = self.user_folder()?;
        let named = |key: &str, default: &str| match list.get(key) {
            None => Some(user.join(default)),
            Some(path) if path.starts_with(b"/") => {
                Some(PathBuf::from(std::ffi::OsStr::from_bytes(path)))
            }
            Some(path) => {
                let below = path.strip_prefix(b"~/")?;
                Some(self.home()?.join(std::ffi::OsStr::from_bytes(below)))
            }
        };
        Some(vec![
            named("core.excludesfile", "ignore")?,
            named("core.attributesfile", "attributes")?,
            self.system_config()?.with_file_name("gitattributes"),
            common_dir.join("info/exclude"),
            common_dir.join("info/attributes"),
        ])
    }

    /// Where the config of the whole machine is, asked once. Old versions do not tell.
    fn system_config(&self) -> Option<PathBuf> {
        let ask = || {
            let answer = Call::new(self, Path::new("/"))
                .args(["var", "GIT_CONFIG_SYSTEM"])
                .output()
                .ok()?;
            let path = answer.stdout.strip_suffix(b"\n")?;
            let one = answer.code == Some(0) && path.starts_with(b"/") && !path.contains(&b'\n');
            one.then(|| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
        };
        self.remembered().system.get_or_init(ask).clone()
    }

    fn home(&self) -> Option<PathBuf> {
        let home = self.variable("HOME").map(PathBuf::from)?;
        home.is_absolute().then_some(home)
    }

    /// Where the user's files of git are by the XDG rules.
    fn user_folder(&self) -> Option<PathBuf> {
        match self.variable("XDG_CONFIG_HOME").filter(|v| !v.is_empty()) {
            Some(folder) => {
                let folder = PathBuf::from(folder);
                folder.is_absolute().then(|| folder.join("git"))
            }
            None => Some(self.home()?.join(".config/git")),
        }
    }
}
