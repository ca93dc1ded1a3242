//! Shell commands of the user's as jobs (`setup`, `run` checks): where they run, what they may write, and
//! their output and end in words.

use camino::Utf8PathBuf;
use longhaul_core::ids::SpawnKey;
use longhaul_core::spec::TaskSpec;
use longhaul_core::task::WorkspaceRef;
use longhaul_hosts::{JobLog, JobSpec, Outcome, Stream};

use super::{Desk, sandbox};

/// A shell command of the user's in the workspace: both outputs in one stream, as a person sees them.
pub(super) fn shell_job(
    desk: &Desk,
    spec: &TaskSpec,
    key: &SpawnKey,
    command: &str,
    workspace: &WorkspaceRef,
    mut environment: std::collections::BTreeMap<String, String>,
) -> std::io::Result<JobSpec> {
    let temp = desk.dirs.jobs().join(key.as_str()).join("tmp");
    longhaul_acts::files::create_dir_all("engine.job.temp", &temp)?;
    environment.insert("TMPDIR".to_owned(), temp.to_string());
    let argv = vec![
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        format!("exec 2>&1\n{command}"),
    ];
    let mut writable = workspace_paths(desk, spec, workspace);
    writable.push(temp);
    let mut job = JobSpec::new(key.as_str(), argv, workdir(spec, workspace));
    job.env = environment.into_iter().collect();
    job.sandbox = sandbox::confinement(desk, spec, writable, vec![]);
    job.stop_grace_ms = u64::try_from(desk.practice.stop_grace.as_millis()).unwrap_or(u64::MAX);
    Ok(job)
}

/// Where agent, setup and checks run.
pub(super) fn workdir(spec: &TaskSpec, workspace: &WorkspaceRef) -> Utf8PathBuf {
    let top = Utf8PathBuf::from(&workspace.path);
    match &spec.dir {
        Some(dir) => top.join(dir),
        None => top,
    }
}

/// What a session must be able to write of its workspace and repository (T25).
pub(super) fn workspace_paths(
    desk: &Desk,
    spec: &TaskSpec,
    workspace: &WorkspaceRef,
) -> Vec<Utf8PathBuf> {
    let top = Utf8PathBuf::from(&workspace.path);
    let mut paths = vec![top.clone()];
    if workspace.branch.is_some() {
        let found = desk.repo(&spec.repo).ok().and_then(|repo| {
            let worktree = repo.worktree_at(top.as_std_path()).ok().flatten()?;
            repo.session_write_paths(&worktree).ok()
        });
        paths.extend(
            found
                .into_iter()
                .flatten()
                .filter_map(|p| Utf8PathBuf::from_path_buf(p).ok()),
        );
    }
    paths
}

/// The end of a job's output as clean text.
pub(super) fn log_tail(desk: &Desk, key: &SpawnKey, limit: usize) -> String {
    let dir = desk.dirs.jobs().join(key.as_str());
    let log = JobLog::new(dir.as_std_path(), Stream::Out);
    let bytes = log.tail(limit).unwrap_or_else(|error| {
        tracing::warn!(%key, %error, "a log cannot be read");
        Vec::new()
    });
    let mut start = 0;
    while start < bytes.len().min(4) && bytes[start] & 0xC0 == 0x80 {
        start += 1;
    }
    longhaul_agents::clean_text(&String::from_utf8_lossy(&bytes[start..]))
}

/// How much of the end of an output is looked through for the line that says why.
pub(super) const REASON_BYTES: usize = 64 << 10;
/// Most characters of one line in a reason.
const LINE_CHARS: usize = 200;

/// The last `n` lines of an output in one. The last line that names an error comes first, wherever it is: a
/// reason may be cut where it is shown.
pub(super) fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let why = lines
        .iter()
        .rposition(|line| line.to_ascii_lowercase().contains("error"));
    let last = lines.len().saturating_sub(n)..lines.len();
    let shown: Vec<String> = why
        .into_iter()
        .chain(last.filter(|at| Some(*at) != why))
        .map(|at| longhaul_agents::excerpt(lines[at].trim(), LINE_CHARS))
        .collect();
    shown.join(" / ")
}

/// How a process ended, in words.
pub(super) fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited { code } => format!("exit {code}"),
        Outcome::Signalled { signal, .. } => format!("killed by signal {signal}"),
        Outcome::SpawnFailed { message, .. } => format!("could not be run: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn a_reason_keeps_the_line_that_names_the_error() {
        let noise = "a\n\nb\nc\n";
        assert_eq!(last_lines(noise, 2), "b / c");
        let text = format!("Error: first\nnpm ERROR! no such tag\nx\n{noise}");
        assert_eq!(last_lines(&text, 3), "npm ERROR! no such tag / a / b / c");
        assert_eq!(last_lines("a\nerror: here\nc", 3), "error: here / a / c");
        let long = last_lines(&"x".repeat(5000), 3);
        assert!(long.chars().count() < 400, "{long}");
    }
}
