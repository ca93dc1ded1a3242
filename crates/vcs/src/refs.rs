//! All refs of a repository at one moment, what changed since, and putting one back (L4, L20). Who may
//! have moved what is the engine's to judge; here a ref is only ever moved by compare-and-swap, and
//! what it stood at stays reachable (I5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use longhaul_acts::files;

use crate::fsx;
use crate::git::GitError;
use crate::lock;
use crate::oid::Oid;
use crate::repo::Repo;
use crate::worktree::{Worktree, admin};

/// The most bytes of a reflog that are read from its end.
const LOG_TAIL: u64 = 1 << 20;

/// All refs with what they stand at. Costs one run of git to take; stored as lines of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefList(BTreeMap<String, String>);

/// A ref that stands elsewhere than before. A value is an object id; one of a symbolic ref is followed
/// by a space and the name that it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefChange {
    /// Full name.
    pub name: String,
    /// What it stood at; `None` if it was not there.
    pub before: Option<String>,
    /// What it stands at; `None` if it is gone.
    pub after: Option<String>,
}

impl RefChange {
    /// The commit or other object that it stood at.
    #[must_use]
    pub fn stood_at(&self) -> Option<Oid> {
        object(self.before.as_deref()?)
    }

    /// The commit or other object that it stands at.
    #[must_use]
    pub fn stands_at(&self) -> Option<Oid> {
        object(self.after.as_deref()?)
    }
}

fn object(value: &str) -> Option<Oid> {
    value.split(' ').next()?.parse().ok()
}

/// What came of putting a ref back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// It stands where it should; where it stood is kept under this name.
    Done {
        /// Name of the ref that holds what it stood at, unless something else holds it.
        kept: Option<String>,
    },
    /// It moved again meanwhile: to be judged anew.
    Moved,
    /// Git refused; the reason in its words.
    Refused {
        /// Git's words.
        why: String,
    },
}

impl RefList {
    /// As text, a line for each ref.
    #[must_use]
    pub fn to_text(&self) -> String {
        let lines = self.0.iter();
        lines.map(|(name, at)| format!("{name}\0{at}\n")).collect()
    }

    /// From [`RefList::to_text`]; lines that make no sense are left out.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let pairs = text.split('\n').filter_map(|line| line.split_once('\0'));
        Self(pairs.map(|(n, at)| (n.to_owned(), at.to_owned())).collect())
    }

    /// What differs in `after`.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<RefChange> {
        let names: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        names
            .into_iter()
            .filter(|name| self.0.get(*name) != after.0.get(*name))
            .map(|name| RefChange {
                name: name.clone(),
                before: self.0.get(name).cloned(),
                after: after.0.get(name).cloned(),
            })
            .collect()
    }
}

impl Repo {
    /// All refs as they stand. A ref whose file is broken counts as gone; one whose name is not UTF-8
    /// is nobody's of ours and left out.
    ///
    /// # Errors
    /// If git cannot list refs.
    pub fn list_refs(&self) -> Result<RefList, GitError> {
        if self.is_plain() {
            return Ok(RefList::default());
        }
        let listing = self
            .objects()?
            .call()
            .args([
                "for-each-ref",
                "--format=%(refname)%00%(objectname) %(symref)",
            ])
            .ok()?;
        let lines = listing.stdout.split(|b| *b == b'\n');
        let pairs = lines.filter_map(|line| {
            let (name, at) = std::str::from_utf8(line).ok()?.split_once('\0')?;
            Some((name.to_owned(), at.trim_end().to_owned()))
        });
        Ok(RefList(pairs.collect()))
    }

    /// True if `old` is reachable from `new`, or the same; false where an object is missing.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn is_ancestor(&self, old: &Oid, new: &Oid) -> Result<bool, GitError> {
        match self.objects()?.is_ancestor(old, new) {
            Err(GitError::Failed { .. }) => Ok(false),
            known => known,
        }
    }

    /// Puts a ref from where it stands now back to `to` (`None`: away). What it stood at is kept as
    /// `kept`, if it is a commit that nothing else of those names holds. Repeating it is harmless.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn put_ref_back(
        &self,
        change: &RefChange,
        to: Option<&Oid>,
        kept: &str,
    ) -> Result<PutBack, GitError> {
        let site = self.objects()?;
        let now = change.stands_at();
        let mut held = None;
        if let Some(now) = now.as_ref().filter(|now| Some(*now) != to)
            && site.resolve(now.as_str(), "commit")?.is_some()
            && site.move_ref(kept, now, None, "longhaul: moved by somebody else")?
        {
            held = Some(kept.to_owned());
        }
        let old = now.as_ref();
        let run = |old: Option<&Oid>| {
            let call = site.call().args(["update-ref", "--no-deref"]);
            match (to, old) {
                (Some(to), old) => {
                    let old = old.map_or_else(|| to.zero(), |o| o.as_str().to_owned());
                    call.args(["-m", "longhaul: put back", &change.name, to.as_str(), &old])
                }
                (None, Some(old)) => call.args(["-d", &change.name, old.as_str()]),
                (None, None) => call.args(["-d", &change.name]),
            }
            .output()
        };
        let mut output = run(old)?;
        if output.code != Some(0)
            && old.is_none()
            && to.is_some()
            && self.clear_rubbish(&change.name)?
        {
            output = run(None)?;
        }
        if output.code == Some(0) {
            return Ok(PutBack::Done { kept: held });
        }
        let stands = site.resolve(&change.name, "object")?;
        Ok(if stands.as_ref() == to && to.is_some() {
            PutBack::Done { kept: held }
        } else if stands != now {
            PutBack::Moved
        } else {
            let why = output.stderr.lines().next_back().unwrap_or("").to_owned();
            PutBack::Refused { why }
        })
    }

    /// Takes away the file of a ref that holds no ref: git refuses to write, or to delete, one that it
    /// cannot read. Under git's own lock of it; false if there is none such.
    fn clear_rubbish(&self, name: &str) -> Result<bool, GitError> {
        let top = self.common_dir();
        let file = top.join(name);
        let folders = || file.ancestors().skip(1).take_while(|f| *f != top);
        let real = |f: &Path| std::fs::symlink_metadata(f).is_ok_and(|m| m.is_dir());
        let plain = std::fs::symlink_metadata(&file).is_ok_and(|m| !m.is_dir());
        if !plain || !folders().all(real) {
            return Ok(false);
        }
        let lock = top.join(format!("{name}.lock"));
        lock::wait_for_git(&lock, &[top])?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        let taken = files::open("vcs.ref.lock", &options, &lock);
        taken.map_err(GitError::file("make the lock", &lock))?;
        let bytes = fsx::read_small(&file, 4096)
            .ok()
            .flatten()
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let rubbish = !text.starts_with("ref: ") && text.trim_end().parse::<Oid>().is_err();
        let removed = if rubbish {
            fsx::remove_file_if_there(&file)
        } else {
            Ok(())
        };
        fsx::remove_file_if_there(&lock)?;
        removed.map(|()| rubbish)
    }

    /// Whether a person is shown to have put a branch where it stands: it is checked out somewhere else
    /// than in its task's worktree (`ours`), the checkout was on it and there, or it was moved in that
    /// worktree after its session. Another, confined session can write none of it.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn is_by_a_person(&self, change: &RefChange, ours: &Path) -> Result<bool, GitError> {
        let site = self.objects()?;
        let used = site
            .call()
            .args(["for-each-ref", "--format=%(worktreepath)", &change.name])
            .ok()?;
        let path = String::from_utf8_lossy(&used.stdout);
        let path = path.trim_end_matches('\n');
        if !path.is_empty() && Path::new(path) != ours {
            return Ok(true);
        }
        let Some(new) = change.stands_at() else {
            // Deleted after it was merged, as git's own `branch -d` wants it.
            return match change.stood_at() {
                Some(old) => self.is_held_by_others(&change.name, &old),
                None => Ok(false),
            };
        };
        // Made in the checkout while that was on this branch (its log says so), or by a person who works
        // on in the task's own worktree. That HEAD merely was at the commit says nothing: it was at the base.
        let log = fsx::read_tail(&self.checkout_git_dir().join("logs/HEAD"), LOG_TAIL);
        let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
        let branch = change.name.trim_start_matches("refs/heads/");
        let arrived = format!(" to {branch}");
        let on_it = log
            .lines()
            .skip_while(|line| !line.ends_with(&arrived))
            .filter_map(|line| line.split(' ').nth(1))
            .any(|at| at == new.as_str());
        let own = admin::find(self.common_dir(), ours)?;
        Ok(on_it || own.is_some_and(|own| head_log_ends(&own) == Some(new)))
    }

    /// Whether a branch, tag or remote branch of the user's holds a commit.
    fn is_held_by_others(&self, name: &str, commit: &Oid) -> Result<bool, GitError> {
        let family = name.rsplit_once('/').map_or(name, |(family, _)| family);
        let holders = self
            .objects()?
            .call()
            .args([
                "for-each-ref",
                "--format=%(refname)",
                "--contains",
                commit.as_str(),
            ])
            .args(["refs/heads", "refs/tags", "refs/remotes"])
            .output()?;
        let text = String::from_utf8_lossy(&holders.stdout);
        let below = format!("{family}/");
        Ok(text.lines().any(|holder| !holder.starts_with(&below)))
    }

    /// A move of a worktree's branch, away from its commits, that was not made in that worktree: its
    /// own log of HEAD, which nobody else's session can write, does not know it. `None` where the log
    /// tells nothing, or the branch only went on: not every tool keeps that log.
    ///
    /// # Errors
    /// If git cannot be run.
    pub fn moved_from_outside(&self, worktree: &Worktree) -> Result<Option<RefChange>, GitError> {
        let head = fsx::read_small(&worktree.git_dir.join("HEAD"), 4096)
            .ok()
            .flatten();
        let name = format!("refs/heads/{}", worktree.branch);
        let on_branch = head.is_some_and(|bytes| bytes == format!("ref: {name}\n").as_bytes());
        let Some(last) = head_log_ends(&worktree.git_dir).filter(|_| on_branch) else {
            return Ok(None);
        };
        let site = self.objects()?;
        let listed = site
            .call()
            .args(["for-each-ref", "--format=%(objectname) %(symref)", &name])
            .ok()?;
        let listed = String::from_utf8_lossy(&listed.stdout);
        let after = listed.trim_end().to_owned();
        if after == last.as_str() || site.resolve(last.as_str(), "commit")?.is_none() {
            return Ok(None);
        }
        if let Some(tip) = object(&after).filter(|_| !after.contains(' '))
            && site.is_ancestor(&last, &tip).unwrap_or(false)
        {
            return Ok(None);
        }
        Ok(Some(RefChange {
            name,
            before: Some(last.as_str().to_owned()),
            after: (!after.is_empty()).then_some(after),
        }))
    }
}

/// Where HEAD of a worktree stood by its own log.
fn head_log_ends(git_dir: &Path) -> Option<Oid> {
    let file = git_dir.join("logs/HEAD");
    if std::fs::symlink_metadata(&file).ok()?.is_symlink() {
        return None;
    }
    let log = fsx::read_tail(&file, LOG_TAIL).ok()?;
    let text = String::from_utf8_lossy(&log);
    text.lines().next_back()?.split(' ').nth(1)?.parse().ok()
}
