//! A few runs of git that only the binary needs: a demo's repository, and taking back what a
//! rehearsal or `uninstall --purge` made. Hooks are off, nothing prompts (L20, T30).

use std::process::{Command, Stdio};

use camino::Utf8Path;
use longhaul_core::ids::TaskId;

use crate::env::Env;
use crate::failure::Failure;

/// All refs of ours.
pub(crate) const REFS: &str = "refs/longhaul";

/// Hidden refs of all snapshots (L5).
pub(crate) const SNAPSHOTS: &str = "refs/longhaul/snap";

/// Runs git in a folder; gives what it printed.
///
/// # Errors
/// It cannot be run or fails; its last words are told.
pub(crate) fn git(env: &Env, folder: &Utf8Path, args: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
        ])
        .args(args)
        .current_dir(folder)
        .env_clear()
        .envs(
            env.all()
                .filter(|(k, _)| !k.to_string_lossy().starts_with("GIT_")),
        )
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    let output = longhaul_acts::process::output("cli.git", &mut command).map_err(|e| {
        Failure::new("cannot run git")
            .because(e)
            .help("install git 2.40 or newer")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "git {} failed in {folder}: {}",
        args.join(" "),
        said.trim()
    )))
}

/// Deletes a ref, whatever it points to; one that is not there is fine.
pub(crate) fn delete_ref(env: &Env, repo: &Utf8Path, name: &str) -> Result<(), Failure> {
    git(env, repo, &["update-ref", "--no-deref", "-d", name]).map(drop)
}

/// Takes a worktree's registration away; its folder may be gone already.
pub(crate) fn forget_worktree(env: &Env, repo: &Utf8Path, path: &str) -> Result<(), Failure> {
    if !worktrees(env, repo)?.iter().any(|known| known == path) {
        return Ok(());
    }
    // Twice --force: it is locked against exactly this.
    git(
        env,
        repo,
        &["worktree", "remove", "--force", "--force", path],
    )
    .map(drop)
}

/// The folders of a repository's worktrees, its checkout's first.
pub(crate) fn worktrees(env: &Env, repo: &Utf8Path) -> Result<Vec<String>, Failure> {
    let listed = git(env, repo, &["worktree", "list", "--porcelain", "-z"])?;
    let paths = listed
        .split('\0')
        .filter_map(|line| line.strip_prefix("worktree "));
    Ok(paths.map(str::to_owned).collect())
}

/// The hidden refs of a task's snapshots.
pub(crate) fn snapshots(env: &Env, repo: &Utf8Path, task: TaskId) -> Result<Vec<String>, Failure> {
    let below = format!("{SNAPSHOTS}/{task}");
    let listed = git(env, repo, &["for-each-ref", "--format=%(refname)", &below])?;
    Ok(listed.lines().map(str::to_owned).collect())
}
