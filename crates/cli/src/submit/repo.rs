//! Repositories as the submitter sees them: the work tree a path lies in and its base branch.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_vcs::{Git, GitError, GitSettings, OpenError, Repo, StartError};

use crate::context::Context;
use crate::env::Env;
use crate::failure::Failure;
use crate::paths::Paths;

/// Folder of what the vcs crate remembers, below the state folder.
pub(crate) fn memory(paths: &Paths) -> Utf8PathBuf {
    paths.state_dir.join("repos")
}

/// The git program, known to be good.
///
/// # Errors
/// None is installed, or it is too old (T30).
pub(crate) fn git(env: &Env) -> Result<Git, Failure> {
    Git::new(GitSettings::new(env.all())).map_err(git_failure)
}

/// The git program for work that may not need it: an ordinary repository is read without it. One that
/// is too old fails when it is first used, and no daemon starts with it (T30).
///
/// # Errors
/// None is installed.
pub(crate) fn git_on_demand(env: &Env) -> Result<Git, Failure> {
    Git::on_demand(GitSettings::new(env.all())).map_err(git_failure)
}

/// Why there is no git to work with.
pub(crate) fn git_failure(error: GitError) -> Failure {
    let remedy = match &error {
        GitError::Spawn { source, .. } if source.kind() != io::ErrorKind::NotFound => {
            "git is there and does not start: see why, and call again"
        }
        GitError::TimedOut { .. } => {
            "`git --version` does not answer: find out why, and call again"
        }
        _ => "install git 2.40 or newer",
    };
    Failure::new("git cannot be used")
        .because(error)
        .help(remedy)
}

/// Opens the repository that holds a path.
///
/// # Errors
/// [`OpenError`] as a failure with its remedy.
pub(crate) fn open(git: &Git, paths: &Paths, path: &Utf8Path) -> Result<Repo, Failure> {
    Repo::open(git, path.as_std_path(), memory(paths).as_std_path()).map_err(|e| open_failure(&e))
}

/// Opens the folder of in-place work: a repository's top, or any folder, whose snapshots are kept in a
/// repository beside it.
///
/// # Errors
/// [`OpenError`] as a failure with its remedy.
pub(crate) fn open_in_place(git: &Git, paths: &Paths, folder: &Utf8Path) -> Result<Repo, Failure> {
    let memory = memory(paths);
    match Repo::open(git, folder.as_std_path(), memory.as_std_path()) {
        Ok(repo) if repo.checkout() == folder.as_std_path() => Ok(repo),
        _ => Repo::open_plain(git, folder.as_std_path(), memory.as_std_path())
            .map_err(|e| open_failure(&e)),
    }
}

/// What to say about a repository that cannot be opened.
pub(crate) fn open_failure(error: &OpenError) -> Failure {
    Failure::usage(chain(error)).help(error.remedy())
}

/// What to say about a base that cannot be started from.
pub(crate) fn start_failure(error: &StartError) -> Failure {
    Failure::usage(chain(error)).help(error.remedy())
}

/// The top of the work tree that a folder lies in. Only looks: nothing is remembered of it (I7).
///
/// # Errors
/// It lies in none.
pub(crate) fn top_level(context: &Context, folder: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let outside = || {
        Failure::usage(format!(
            "{folder} is not in the work tree of a git repository"
        ))
        .help("go to one, or name it with -C DIR")
    };
    let git = git_on_demand(&context.env).map_err(|_| outside())?;
    let top = longhaul_vcs::top_level(&git, folder.as_std_path());
    let top = top.ok().flatten().ok_or_else(outside)?;
    Utf8PathBuf::from_path_buf(top).map_err(|_| outside())
}

/// The checkout of a repository as UTF-8.
///
/// # Errors
/// It is not.
pub(crate) fn checkout(repo: &Repo) -> Result<Utf8PathBuf, Failure> {
    Utf8PathBuf::from_path_buf(repo.checkout().to_owned()).map_err(|p| {
        Failure::usage(format!(
            "the repository's path is not UTF-8: {}",
            p.display()
        ))
        .help("move it to a folder whose name is")
    })
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = error.source();
    }
    text
}
