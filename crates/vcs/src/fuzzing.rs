//! Fuzz targets of this crate's private parsers: any bytes, and what must hold of each. Built only with
//! the feature `fuzzing`; driven by `longhaul-fuzz`.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::diff::{bounded_text, parse};
use crate::git::{ConfigList, overrides};
use crate::include::stays_inside;
use crate::merge::{Fields, conflicted_part};
use crate::oid::Oid;
use crate::path::{RepoPath, split_nul};
use crate::queue::{FollowIntent, read_anything};
use crate::refs::RefList;
use crate::repo::{is_plain_config, is_simple_name};
use crate::rework::Begun;
use crate::settings::SettingsMark;
use crate::worktree::Record;

/// Paths and object ids: printed without harm, read back the same, and plain only if they stay inside.
pub fn names(data: &[u8]) {
    let path = RepoPath::from_bytes(data);
    let shown = path.to_string();
    assert!(!shown.chars().any(char::is_control), "T31: {shown:?}");
    assert_eq!(shown.parse::<RepoPath>(), Ok(path.clone()));
    if path.is_plain() {
        let joined = path.under(Path::new("/top"));
        assert!(joined.starts_with("/top") && joined != Path::new("/top"));
        let steps_out = joined.components().any(|c| c.as_os_str() == "..");
        assert!(!steps_out, "{joined:?}");
    }
    let parts: Vec<RepoPath> = split_nul(data).collect();
    assert!(
        parts
            .iter()
            .all(|p| !p.as_bytes().is_empty() && !p.as_bytes().contains(&0))
    );
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(read) = text.parse::<RepoPath>() {
            assert_eq!(read.to_string().parse::<RepoPath>(), Ok(read));
        }
        if is_simple_name(text) {
            let inside = RepoPath::from_bytes(data).is_plain();
            assert!(
                inside || text.split('/').any(|p| p.eq_ignore_ascii_case(".git")),
                "{text:?}"
            );
        }
    }
    if let Ok(oid) = Oid::parse(data) {
        assert_eq!(oid.as_str().parse::<Oid>(), Ok(oid.clone()));
        assert_eq!(oid.zero().len(), oid.as_str().len());
        assert_eq!(oid.short().len(), 12);
    }
    if let Some(at) = data.iter().position(|b| *b == 0) {
        let (from, to) = (
            RepoPath::from_bytes(&data[..at]),
            RepoPath::from_bytes(&data[at + 1..]),
        );
        if from.is_plain() && stays_inside(from.as_path(), to.as_path()) {
            assert!(
                ends_inside(from.as_path(), to.as_path()),
                "{from:?} -> {to:?}"
            );
        }
    }
}

/// The folder that a link lies in, walked along its target, never leaves the top.
fn ends_inside(link: &Path, target: &Path) -> bool {
    use std::path::Component;
    let mut at: Vec<_> = link
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .collect();
    for part in target.components() {
        match part {
            Component::ParentDir if at.pop().is_none() => return false,
            Component::ParentDir | Component::CurDir => {}
            Component::Normal(_) => at.push(part),
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// What git prints: every reader of it takes every text.
pub fn git_output(data: &[u8]) {
    if let Some(changes) = parse(data) {
        let _totals: (u64, u64) = changes.lines();
        let summary = changes.summary(20);
        assert!(
            summary.lines().count() <= 22,
            "one line each for at most twenty"
        );
        assert!(!summary.chars().any(|c| c.is_control() && c != '\n'), "T31");
    }
    for clean in [false, true] {
        if let Some(merged) = Fields(data).merged(clean) {
            assert_eq!(merged.clean, clean);
            assert!(!clean || merged.conflicts.is_empty());
            assert!(merged.conflicts.len() <= data.len());
        }
        let _batch = Fields(data).merged_in_batch(clean);
    }
    read_anything(data);
    for cut in [false, true] {
        let text = bounded_text(data, cut).text;
        assert!(text.len() <= data.len() * 3 + 40);
    }
    let text = String::from_utf8_lossy(data);
    assert!(conflicted_part(&text).len() <= (64 << 10) + 40);
    let refs = RefList::from_text(&text);
    assert_eq!(RefList::from_text(&refs.to_text()), refs);
    assert!(refs.changes(&refs).is_empty());
}

/// A config that a session may have written: what it names to be run is always taken away (L20).
pub fn git_config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let plain = [is_plain_config(text, false), is_plain_config(text, true)];
        assert!(plain != [true, true], "bare and not bare at once");
        let lower = text.to_ascii_lowercase();
        let includes = lower.lines().any(|l| l.trim().starts_with("[include"));
        assert!(
            !includes || plain == [false, false],
            "an include is never plain"
        );
    }
    let Some(list) = ConfigList::parse(data) else {
        return;
    };
    let trusted = overrides(&list, true, || true);
    for variables in [overrides(&list, false, || false), trusted.clone()] {
        let count = variables
            .first()
            .and_then(|(_, n)| n.to_str()?.parse::<usize>().ok());
        assert_eq!(
            count,
            Some((variables.len() - 1) / 2),
            "git reads as many pairs as there are"
        );
    }
    let guarded = overrides(&list, false, || true);
    for key in [
        "core.sshcommand",
        "diff.external",
        "core.alternaterefscommand",
    ] {
        if list.says_repo(key) {
            let named =
                |(_, value): &(std::ffi::OsString, std::ffi::OsString)| value.as_os_str() == key;
            assert!(
                guarded.iter().any(named),
                "L20: {key} of the repository would run"
            );
        }
    }
}

/// Our own records beside a repository: whatever is read is written back the same.
pub fn records(data: &[u8]) {
    same::<Record>(data);
    same::<Begun>(data);
    same::<FollowIntent>(data);
    same::<SettingsMark>(data);
}

fn same<T: Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(data) {
        let once = serde_json::to_vec(&read).expect("what was read can be written");
        let again: T = serde_json::from_slice(&once).expect("what was written can be read");
        let twice = serde_json::to_vec(&again).expect("what was read can be written");
        assert_eq!(once, twice);
    }
}
