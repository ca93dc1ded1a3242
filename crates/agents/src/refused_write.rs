//! Finding in a tool's output that the system refused it a write (T25). The kernel tells nobody but the
//! process itself, so these are the tools' words: a guess with strict rules, not a record.
//!
//! What counts: a line that *is* an error message (`touch: cannot touch '/x': Permission denied`,
//! `EACCES: permission denied, open '/x'`, `[Errno 13] Permission denied: '/x'`), in the result of a tool
//! that runs commands, or in a failed result of one that changes files. What does not: words of the agent
//! itself, what a tool read, sentences that only mention permissions, refusals by a server
//! (`Permission denied (publickey)`).

use std::collections::BTreeMap;

use longhaul_core::allow::runs_commands;
use longhaul_core::attempt::RefusedWrite;

use crate::event::AgentEvent;
use crate::text::{clean_text, snippet};

/// At most this many are kept of an attempt.
pub(crate) const MAX_REFUSED: usize = 8;

/// Characters of a line and of a path.
const LINE_CHARS: usize = 200;

/// A longer line is no error message.
const MAX_LINE_BYTES: usize = 2_000;

/// Calls of which the end has not been seen; more than any agent has at once.
const MAX_CALLS: usize = 256;

/// Tools that only read: what their results hold is other people's text.
const READERS: [&str; 16] = [
    "read",
    "read_file",
    "read_many_files",
    "notebookread",
    "ls",
    "list",
    "list_directory",
    "glob",
    "grep",
    "grep_search",
    "search_file_content",
    "webfetch",
    "web_fetch",
    "websearch",
    "task",
    "agent",
];

/// What the kernel's three errors are called, without their first letter (its case differs).
const DENIED: &str = "ermission denied";
const NOT_PERMITTED: &str = "peration not permitted";
const READ_ONLY: &str = "ead-only file system";

/// A stream's calls that have begun, for results that name only their call.
#[derive(Debug, Default)]
pub(crate) struct Calls(BTreeMap<String, (String, String)>);

impl Calls {
    /// Takes the start of a call: its id, its tool and its summary.
    pub(crate) fn begin(&mut self, id: &str, tool: &str, summary: &str) {
        if self.0.len() >= MAX_CALLS {
            self.0.clear();
        }
        self.0
            .insert(id.to_owned(), (tool.to_owned(), summary.to_owned()));
    }

    /// Takes a call's result.
    pub(crate) fn end(&mut self, id: &str, ok: bool, output: &str, out: &mut Vec<AgentEvent>) {
        let (tool, summary) = self.0.remove(id).unwrap_or_default();
        find(&tool, &summary, ok, output, out);
    }
}

/// Says what a tool's result tells of refused writes.
pub(crate) fn find(tool: &str, summary: &str, ok: bool, output: &str, out: &mut Vec<AgentEvent>) {
    let commands = runs_commands(tool) || tool == "run";
    let reads = READERS.iter().any(|r| tool.eq_ignore_ascii_case(r));
    if reads || (ok && !commands) {
        return;
    }
    let mut found: Vec<RefusedWrite> = Vec::new();
    for line in output.lines().filter(|l| l.len() <= MAX_LINE_BYTES) {
        if found.len() == MAX_REFUSED {
            break;
        }
        if ![DENIED, NOT_PERMITTED, READ_ONLY]
            .iter()
            .any(|words| line.contains(words))
        {
            continue;
        }
        let cleaned = clean_text(line);
        let Some(path) = read(cleaned.trim()) else {
            continue;
        };
        // A tool that changes files names the one that it was to change.
        let named = || (!commands && plain(summary)).then(|| summary.to_owned());
        let refused = RefusedWrite {
            tool: if tool.is_empty() {
                "tool".to_owned()
            } else {
                snippet(tool, 80)
            },
            line: snippet(&cleaned, LINE_CHARS),
            path: path.map(str::to_owned).or_else(named),
        };
        keep(&mut found, refused);
    }
    out.extend(found.into_iter().map(AgentEvent::WriteRefused));
}

/// Keeps one of each path, or of each line without one.
pub(crate) fn keep(known: &mut Vec<RefusedWrite>, new: RefusedWrite) {
    let same = |old: &RefusedWrite| match (&old.path, &new.path) {
        (Some(old), Some(new)) => old == new,
        (None, None) => old.line == new.line,
        _ => false,
    };
    if known.len() < MAX_REFUSED && !known.iter().any(same) {
        known.push(new);
    }
}

/// `Some` for an error message of the system, with the path that it names.
fn read(line: &str) -> Option<Option<&str>> {
    let line = line.strip_suffix("</tool_use_error>").unwrap_or(line);
    let (words, at) = [DENIED, NOT_PERMITTED, READ_ONLY]
        .into_iter()
        .find_map(|words| Some((words, line.rfind(words)?)))?;
    let head = line.get(..at)?;
    // The first letter, then nothing or the end of what came before.
    let head = head.strip_suffix(['P', 'p', 'O', 'o', 'R', 'r'])?;
    let before = head.trim_end();
    if !(before.is_empty() || before.ends_with([':', ']'])) {
        return None;
    }
    let after = line.get(at + words.len()..)?.trim_end();
    let path = match after {
        "" | "." => path_before(before),
        _ if after.starts_with(" (os error ") && after.trim_end_matches('.').ends_with(')') => {
            path_before(before)
        }
        // Node: `, open '/x'`; Python and zsh: `: '/x'`.
        _ if after.starts_with(", ") || after.starts_with(": ") => Some(path_after(after)?),
        _ => return None,
    };
    // Landlock refuses writes with EACCES; EPERM has many other reasons, and only a file's is told.
    if words == NOT_PERMITTED && !path.is_some_and(|p| p.starts_with('/')) {
        return None;
    }
    Some(path)
}

/// The path of `tool: cannot do '/x':`, `sh: 1: cannot create /x:`, `bash: line 1: /x:`, `open /x:`.
fn path_before(before: &str) -> Option<&str> {
    let before = before.trim_end_matches(':').trim_end();
    if let Some(quoted) = last_quoted(before) {
        return Some(quoted).filter(|p| plain(p));
    }
    let piece = before.rsplit(": ").next()?.trim();
    let path = if piece.starts_with('/') {
        piece
    } else {
        piece.rsplit(char::is_whitespace).next()?
    };
    (path.contains('/') && plain(path)).then_some(path)
}

/// The path of `, open '/x'` and `: '/x'`; `None` where none stands there.
fn path_after(after: &str) -> Option<&str> {
    let piece = after.trim_start_matches([',', ':']).trim();
    if let Some(quoted) = last_quoted(piece) {
        return Some(quoted).filter(|p| plain(p));
    }
    (after.starts_with(": ") && piece.contains('/') && !piece.contains(char::is_whitespace))
        .then_some(piece)
        .filter(|p| plain(p))
}

/// What stands in the quotes that a text ends with.
fn last_quoted(text: &str) -> Option<&str> {
    for (open, close) in [('\'', '\''), ('‘', '’'), ('"', '"'), ('`', '`')] {
        if let Some(inner) = text.strip_suffix(close)
            && let Some(at) = inner.rfind(open)
        {
            return inner.get(at + open.len_utf8()..);
        }
    }
    None
}

/// Whether a text can be a path that is shown: not empty, short, no line, not cut.
fn plain(path: &str) -> bool {
    !path.is_empty()
        && path.chars().count() <= LINE_CHARS
        && !path.contains('\n')
        && !path.ends_with('…')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tool: &str, ok: bool, output: &str) -> Vec<RefusedWrite> {
        let mut out = Vec::new();
        find(tool, "/from/the/call", ok, output, &mut out);
        let each = out.into_iter().map(|event| match event {
            AgentEvent::WriteRefused(refused) => refused,
            other => panic!("{other:?}"),
        });
        each.collect()
    }

    #[test]
    fn t25_error_messages_of_the_system_are_found_with_their_path() {
        for (line, path) in [
            (
                "touch: cannot touch '/etc/x': Permission denied",
                Some("/etc/x"),
            ),
            (
                "mkdir: cannot create directory ‘/opt/a b’: Permission denied",
                Some("/opt/a b"),
            ),
            (
                "/bin/bash: line 1: /etc/hosts: Permission denied",
                Some("/etc/hosts"),
            ),
            (
                "/bin/sh: 1: cannot create /etc/hosts: Permission denied",
                Some("/etc/hosts"),
            ),
            ("zsh:1: permission denied: /etc/hosts", Some("/etc/hosts")),
            (
                "tee: ../other/file: Permission denied",
                Some("../other/file"),
            ),
            ("open /var/lib/x: permission denied", Some("/var/lib/x")),
            (
                "Error: EACCES: permission denied, open '/etc/x'",
                Some("/etc/x"),
            ),
            (
                "<tool_use_error>EROFS: read-only file system, mkdir '/x'</tool_use_error>",
                Some("/x"),
            ),
            (
                "PermissionError: [Errno 13] Permission denied: '/etc/x'",
                Some("/etc/x"),
            ),
            (
                "OSError: [Errno 30] Read-only file system: '/etc/x'",
                Some("/etc/x"),
            ),
            (
                "fatal: Unable to create '/repo/.git/index.lock': Permission denied",
                Some("/repo/.git/index.lock"),
            ),
            (
                "error: failed to write `/x/y`: Permission denied (os error 13)",
                Some("/x/y"),
            ),
            ("  Permission denied (os error 13)", None),
            (
                "cp: cannot create regular file '/x': Read-only file system",
                Some("/x"),
            ),
            (
                "chown: changing ownership of '/x': Operation not permitted",
                Some("/x"),
            ),
            (
                "\u{1b}[31mtouch: cannot touch '/etc/x': Permission denied\u{1b}[0m",
                Some("/etc/x"),
            ),
        ] {
            let all = found("Bash", true, &format!("before\n{line}\nafter\n"));
            assert_eq!(all.len(), 1, "{line}");
            assert_eq!(all[0].path.as_deref(), path, "{line}");
            assert!(!all[0].line.contains('\u{1b}'), "{line}");
        }
    }

    #[test]
    fn t25_text_that_only_talks_of_permissions_is_no_refusal() {
        for line in [
            "If you see \"Permission denied\", run it with sudo",
            "Permission denied errors are common here",
            "git@github.com: Permission denied (publickey).",
            "remote: Permission denied to bob.",
            "psql: ERROR: permission denied for table users",
            "src/main.rs:10:    eprintln!(\"x: Permission denied\");",
            "{\"error\": \"Permission denied\"}",
            "bash: kill: (1) - Operation not permitted",
            "ping: socket: Operation not permitted",
            "was permission denied?",
            "HTTP 403: permission denied: ask your administrator",
        ] {
            assert_eq!(found("Bash", false, line), [], "{line}");
        }
    }

    #[test]
    fn t25_only_results_of_tools_that_write_or_run_count() {
        let line = "EACCES: permission denied, open '/etc/x'";
        assert_eq!(found("Write", false, line).len(), 1);
        assert_eq!(found("Write", true, line), []);
        for tool in ["Read", "Grep", "read_file", "search_file_content", "Task"] {
            assert_eq!(found(tool, false, line), [], "{tool}");
        }
        // A tool that changes files names its file in its call.
        let all = found("write", false, "Permission denied (os error 13)");
        assert_eq!(all[0].path.as_deref(), Some("/from/the/call"));
    }

    #[test]
    fn t25_a_flood_is_bounded_and_repetitions_count_once() {
        let flood: String = (0..1000)
            .map(|n| format!("rm: cannot remove '/usr/{n}': Permission denied\n"))
            .collect();
        assert_eq!(found("Bash", false, &flood).len(), MAX_REFUSED);
        let same =
            "rm: cannot remove '/usr/x': Permission denied\nbash: /usr/x: Permission denied\n";
        assert_eq!(found("Bash", false, same).len(), 1);
        let long = format!(
            "rm: cannot remove '/{}': Permission denied",
            "x".repeat(500)
        );
        let all = found("Bash", false, &long);
        assert_eq!(
            (all[0].line.chars().count(), &all[0].path),
            (LINE_CHARS, &None)
        );
        let beyond = format!(
            "rm: cannot remove '/{}': Permission denied",
            "x".repeat(5000)
        );
        assert_eq!(found("Bash", false, &beyond), []);
    }
}
