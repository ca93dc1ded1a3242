//! A repository that was found and judged usable: where its parts are, its refs, its state folder.
//! Not the work done in it: see `worktree`, `snapshot`, `seal`.

mod error;
mod glance;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::fsx;
use crate::git::{Call, Git, GitError};
use crate::lock::{self, Held};
use crate::oid::Oid;
use crate::site::Site;
use glance::Glance;

pub use error::{OpenError, StartError};
#[cfg(feature = "fuzzing")]
pub(crate) use glance::{is_plain as is_plain_config, is_simple as is_simple_name};

/// Where a HEAD points.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Head {
    /// At a branch with commits; the name is without `refs/heads/`.
    Branch {
        /// Name of the branch.
        name: String,
        /// Its tip.
        tip: Oid,
    },
    /// At a branch that has no commit yet.
    Unborn {
        /// Name of the branch to be.
        name: String,
    },
    /// At a commit, on no branch.
    Detached {
        /// The commit.
        at: Oid,
    },
    /// Unreadable: the file was destroyed.
    Broken,
}

/// A usable repository.
#[derive(Debug)]
pub struct Repo {
    git: Git,
    common_dir: PathBuf,
    checkout: PathBuf,
    checkout_git_dir: PathBuf,
    state: PathBuf,
    shallow: bool,
    trusted: bool,
    plain: bool,
    /// An ordinary repository, some questions about which its files answer.
    ordinary: bool,
}

/// Where the parts of a repository are.
struct Parts {
    common_dir: PathBuf,
    git_dir: PathBuf,
    checkout: PathBuf,
    shallow: bool,
    ordinary: bool,
}

/// The top of the work tree that a folder lies in; `None` if it lies in none. Remembers nothing (I7).
///
/// # Errors
/// If git cannot be run.
pub fn top_level(git: &Git, path: &Path) -> Result<Option<PathBuf>, GitError> {
    let Ok(path) = path.canonicalize() else {
        return Ok(None);
    };
    match glance::find(&path) {
        Glance::Ordinary(found) => return Ok(Some(found.top)),
        Glance::Nothing => return Ok(None),
        Glance::Unclear => {}
    }
    let answer = Call::new(git, &path)
        .args(["rev-parse", "--path-format=absolute", "--show-toplevel"])
        .output()?;
    if answer.code != Some(0) {
        return Ok(None);
    }
    Ok(one_path(&answer.stdout).canonicalize().ok())
}

impl Repo {
    /// Finds the repository that holds `path`. `state_dir` is Longhaul's own folder for locks,
    /// records and private indexes; it is created.
    ///
    /// # Errors
    /// [`OpenError`], each with a remedy.
    pub fn open(git: &Git, path: &Path, state_dir: &Path) -> Result<Self, OpenError> {
        let named = path.display().to_string();
        let path = path.canonicalize().map_err(|source| OpenError::NoFolder {
            path: named.clone(),
            source,
        })?;
        let parts = match glance::find(&path) {
            Glance::Ordinary(found) => Parts {
                common_dir: found.git_dir.clone(),
                git_dir: found.git_dir,
                checkout: found.top,
                shallow: found.shallow,
                ordinary: true,
            },
            Glance::Nothing => return Err(OpenError::NotARepository { path: named }),
            Glance::Unclear => Parts::ask(git, &path, named)?,
        };
        let mut repo = Self {
            git: git.clone(),
            checkout_git_dir: parts.git_dir,
            checkout: parts.checkout,
            state: PathBuf::new(),
            shallow: parts.shallow,
            trusted: false,
            plain: false,
            ordinary: parts.ordinary,
            common_dir: parts.common_dir,
        };
        repo.take_state_folder(state_dir)?;
        Ok(repo)
    }

    /// A plain folder without a repository, for in-place work: its snapshots live in a repository of
    /// our own in the state folder, which the folder's tools never see.
    ///
    /// # Errors
    /// If the folder cannot be entered or our repository cannot be made.
    pub fn open_plain(git: &Git, folder: &Path, state_dir: &Path) -> Result<Self, OpenError> {
        let named = folder.display().to_string();
        let checkout = folder
            .canonicalize()
            .map_err(|source| OpenError::NoFolder {
                path: named,
                source,
            })?;
        let key = &fsx::digest(checkout.as_os_str().as_bytes())[..16];
        let shadow = state_dir.join("shadow").join(format!("{key}.git"));
        fsx::make_private_folder(&shadow)?;
        if !glance::is_made(&shadow) {
            Call::new(git, &shadow)
                .args(["init", "--quiet", "--bare", "--template="])
                .arg(&shadow)
                .ok()?;
        }
        let common_dir = shadow
            .canonicalize()
            .map_err(GitError::file("find", &shadow))?;
        let mut repo = Self {
            git: git.clone(),
            checkout_git_dir: common_dir.clone(),
            common_dir,
            checkout,
            state: PathBuf::new(),
            shallow: false,
            trusted: false,
            plain: true,
            ordinary: false,
        };
        repo.take_state_folder(state_dir)?;
        Ok(repo)
    }

    /// The same repository after the user's `trust`: filters and merge drivers of its own config
    /// work. Hooks and fsmonitor stay off.
    #[must_use]
    pub fn trusted(mut self, trusted: bool) -> Self {
        self.trusted = trusted;
        self
    }

    fn take_state_folder(&mut self, state_dir: &Path) -> Result<(), GitError> {
        let key = fsx::digest(self.common_dir.as_os_str().as_bytes());
        let state = state_dir.join(&key[..16]);
        for part in ["worktrees", "index"] {
            fsx::make_private_folder(&state.join(part))?;
        }
        self.state = state
            .canonicalize()
            .map_err(GitError::file("find", &state))?;
        Ok(())
    }

    /// The shared git folder (canonical), which identifies the repository.
    #[must_use]
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Top of the work tree that holds the path given to [`Repo::open`]: the user's checkout.
    #[must_use]
    pub fn checkout(&self) -> &Path {
        &self.checkout
    }

    /// History is cut: merges may lack a base, and ancestry beyond the cut is unknown.
    #[must_use]
    pub fn is_shallow(&self) -> bool {
        self.shallow
    }

    /// True for [`Repo::open_plain`].
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Twelve hexadecimal digits that name this repository in folder names (L1).
    #[must_use]
    pub fn short_hash(&self) -> String {
        fsx::digest(self.common_dir.as_os_str().as_bytes())[..12].to_owned()
    }

    pub(crate) const fn git(&self) -> &Git {
        &self.git
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn checkout_git_dir(&self) -> &Path {
        &self.checkout_git_dir
    }

    /// Guarded git on a work tree and its git folder.
    pub(crate) fn site(&self, git_dir: &Path, work_tree: &Path) -> Result<Site<'_>, GitError> {
        if git_dir != self.common_dir && git_dir != self.checkout_git_dir {
            crate::worktree::admin::harden(git_dir, &self.common_dir)?;
        }
        Site::open(
            &self.git,
            git_dir,
            &self.common_dir,
            work_tree,
            self.trusted,
        )
    }

    /// Guarded git on the user's checkout; used for objects and refs only.
    pub(crate) fn objects(&self) -> Result<Site<'_>, GitError> {
        self.site(&self.checkout_git_dir, &self.checkout)
    }

    /// Serialises creation and removal of worktrees, across threads and processes (L1).
    pub(crate) fn lock(&self) -> Result<Held, GitError> {
        lock::exclusive(&self.state.join("lock"))
    }

    /// Where HEAD of the user's checkout points.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn head(&self) -> Result<Head, GitError> {
        self.head_at(&self.objects()?)
    }

    /// Where HEAD of one of its work trees points. Nothing is ever committed on a branch of a repository
    /// of our own beside a plain folder.
    pub(crate) fn head_at(&self, site: &Site<'_>) -> Result<Head, GitError> {
        if self.plain {
            let name = "main".to_owned();
            return Ok(Head::Unborn { name });
        }
        read_head(site)
    }

    /// The branch of the user's checkout and where it stands, if the files of an ordinary repository say
    /// it. Whether that commit exists is not looked at.
    pub(crate) fn glanced_tip(&self) -> Option<(String, Oid)> {
        self.glance(glance::tip)
    }

    /// The branch checked out in the user's checkout: the default base of a task.
    ///
    /// # Errors
    /// [`StartError`] naming an unborn or detached HEAD, each with a remedy.
    pub fn current_branch(&self) -> Result<String, StartError> {
        if let Some(name) = self.glance(glance::branch) {
            return Ok(name);
        }
        match self.head()? {
            Head::Branch { name, .. } => Ok(name),
            Head::Unborn { name } => Err(StartError::Unborn { branch: name }),
            Head::Detached { at } => Err(StartError::Detached { at }),
            Head::Broken => Err(StartError::BrokenHead),
        }
    }

    /// The commit that a base names: a branch first, else any revision.
    ///
    /// # Errors
    /// [`StartError::NoSuchRevision`] if nothing has that name.
    pub fn resolve(&self, revision: &str) -> Result<Oid, StartError> {
        let site = self.objects()?;
        let branch = format!("refs/heads/{revision}");
        if let Some(oid) = site.resolve(&branch, "commit")? {
            return Ok(oid);
        }
        site.resolve(revision, "commit")?
            .ok_or_else(|| StartError::NoSuchRevision {
                revision: revision.to_owned(),
            })
    }

    /// The commit of a ref by its full name, if it exists.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn ref_commit(&self, full_name: &str) -> Result<Option<Oid>, GitError> {
        self.objects()?.resolve(full_name, "commit")
    }

    /// Whether there is a branch of that name (without `refs/heads/`).
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn has_branch(&self, name: &str) -> Result<bool, GitError> {
        if let Some(there) = self.glance(|git_dir| glance::has_branch(git_dir, name)) {
            return Ok(there);
        }
        let found = self.ref_commit(&format!("refs/heads/{name}"))?;
        Ok(found.is_some())
    }

    /// Whether there is certainly no ref of that full name, without asking git.
    pub(crate) fn surely_lacks(&self, full_name: &str) -> bool {
        let files_only = self.ordinary || self.plain;
        files_only && glance::ref_at(&self.common_dir, full_name) == Some(None)
    }

    /// Whether a ref of that full name can certainly be made: there is none, and none in its way, above or
    /// below it.
    pub(crate) fn surely_has_room_for(&self, full_name: &str) -> bool {
        self.surely_lacks(full_name) && glance::has_room_for(&self.common_dir, full_name)
    }

    /// What the files of an ordinary repository say.
    fn glance<T>(&self, look: impl FnOnce(&Path) -> Option<T>) -> Option<T> {
        self.ordinary
            .then(|| look(&self.checkout_git_dir))
            .flatten()
    }

    /// The content of a file in a commit, up to `limit` bytes: config, policy and task files are
    /// read from the base commit, never from an agent's branch (L20). `None` if it is not there, not
    /// a file, or longer.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn file_at(
        &self,
        commit: &Oid,
        path: &crate::RepoPath,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let site = self.objects()?;
        let listing = site
            .call()
            .env("GIT_LITERAL_PATHSPECS", "1")
            .args(["ls-tree", "-z", "--full-tree", commit.as_str(), "--"])
            .arg(path.as_path())
            .ok()?;
        let Some(entry) = listing.stdout.split(|b| *b == 0).next() else {
            return Ok(None);
        };
        let mut fields = entry.split(|b| *b == b' ' || *b == b'\t');
        let (Some(mode), Some(_kind), Some(oid)) = (fields.next(), fields.next(), fields.next())
        else {
            return Ok(None);
        };
        let Ok(blob) = Oid::parse(oid) else {
            return Ok(None);
        };
        if !mode.starts_with(b"100") {
            return Ok(None);
        }
        let output = site
            .call()
            .args(["cat-file", "blob", blob.as_str()])
            .cut_at(limit)
            .ok()?;
        Ok(if output.cut {
            None
        } else {
            Some(output.stdout)
        })
    }
}

impl Parts {
    /// git's own answer, in one process.
    fn ask(git: &Git, path: &Path, named: String) -> Result<Self, OpenError> {
        let questions = [
            "--git-common-dir",
            "--is-bare-repository",
            "--git-dir",
            "--is-shallow-repository",
            // Last: it fails inside `.git` and in bare repositories, after the others were answered.
            "--show-toplevel",
        ];
        let ask = |what: &[&str]| {
            Call::new(git, path)
                .args(["rev-parse", "--path-format=absolute"])
                .args(what)
                .output()
        };
        let all = ask(&questions)?;
        let lines = all.stdout.strip_suffix(b"\n").unwrap_or(&all.stdout);
        let mut answers: Vec<Vec<u8>> = lines.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let expected = questions.len() - usize::from(all.code != Some(0));
        if answers.len() > expected {
            // A path with a newline in it: one by one.
            answers.clear();
            for what in questions {
                let one = ask(&[what])?;
                if one.code == Some(0) {
                    let answer = one.stdout.strip_suffix(b"\n").unwrap_or(&one.stdout);
                    answers.push(answer.to_vec());
                }
            }
        }
        let [common, bare, git_dir, shallow, top @ ..] = answers.as_slice() else {
            return Err(match foreign_git_folder(path) {
                Some(folder) => OpenError::OtherOwner {
                    path: folder.display().to_string(),
                },
                None => OpenError::NotARepository { path: named },
            });
        };
        if bare != b"false" {
            return Err(OpenError::Bare { path: named });
        }
        // Inside `.git` there is no top level.
        let top = top
            .first()
            .and_then(|top| one_path(top).canonicalize().ok());
        let Some(checkout) = top else {
            return Err(OpenError::NotARepository { path: named });
        };
        if !path.starts_with(&checkout) {
            return Err(OpenError::Redirected { path: named });
        }
        let at = |answer: &[u8]| {
            let path = one_path(answer);
            path.canonicalize().map_err(GitError::file("find", &path))
        };
        Ok(Self {
            common_dir: at(common)?,
            git_dir: at(git_dir)?,
            checkout,
            shallow: shallow == b"true",
            ordinary: false,
        })
    }
}

/// Where HEAD of a work tree points.
pub(crate) fn read_head(site: &Site<'_>) -> Result<Head, GitError> {
    let symbolic = site
        .call()
        .args(["symbolic-ref", "--quiet", "HEAD"])
        .output()?;
    let tip = site.resolve("HEAD", "commit")?;
    let text = String::from_utf8_lossy(&symbolic.stdout);
    let branch = text.trim_end_matches('\n').strip_prefix("refs/heads/");
    Ok(match (symbolic.code, branch, tip) {
        (Some(0), Some(name), Some(tip)) => Head::Branch {
            name: name.to_owned(),
            tip,
        },
        (Some(0), Some(name), None) => Head::Unborn {
            name: name.to_owned(),
        },
        (_, None, Some(at)) => Head::Detached { at },
        _ => Head::Broken,
    })
}

/// One path printed with a newline at its end; the path itself may hold newlines.
fn one_path(stdout: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(
        stdout.strip_suffix(b"\n").unwrap_or(stdout),
    ))
}

/// The nearest folder upwards whose `.git` belongs to another user.
fn foreign_git_folder(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let own = rustix::process::geteuid().as_raw();
    let folder = path
        .ancestors()
        .find(|f| f.join(".git").symlink_metadata().is_ok())?;
    let owned = |p: &Path| p.metadata().is_ok_and(|m| m.uid() == own);
    (!(owned(folder) && owned(&folder.join(".git")))).then(|| folder.to_owned())
}
