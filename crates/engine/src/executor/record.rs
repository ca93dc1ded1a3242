//! The agent's own record of a conversation, read once when its stream told of a used-up window: a
//! stream may give the reset as words that are rounded to minutes, the record has the very second (A5).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use longhaul_agents::{Harness, TurnEnd, TurnOutcome};
use longhaul_core::limit::LimitClass;
use longhaul_core::time::UnixMs;
use serde_json::Value;

/// Folders of records are `YEAR/MONTH/DAY` deep.
const DEPTH: u32 = 3;
/// The most entries that are looked at before the words have to do.
const MAX_LOOKS: u32 = 20_000;
/// The most bytes read of a record's end.
const MAX_BYTES: u64 = 8 << 20;

/// Where the record of a session's conversation is looked for.
pub(super) struct Record<'a> {
    harness: &'a Harness,
    folder: Option<PathBuf>,
    conversation: Option<String>,
}

impl<'a> Record<'a> {
    /// As noted at the launch.
    pub(super) fn new(harness: &'a Harness, noted: &Value, conversation: Option<&str>) -> Self {
        Self {
            harness,
            folder: noted["records"].as_str().map(PathBuf::from),
            conversation: conversation.map(str::to_owned),
        }
    }

    /// The agent named its conversation.
    pub(super) fn of(&mut self, conversation: &str) {
        self.conversation = Some(conversation.to_owned());
    }

    /// The same end, with the record's reset where the record knows better.
    pub(super) fn correct(&self, mut turn: TurnEnd, now: UnixMs, zone: Option<&str>) -> TurnEnd {
        if let TurnOutcome::Limited(notice) = &mut turn.outcome
            && notice.class == LimitClass::Quota
            && let Some(bytes) = self.bytes()
            && let Some(told) = self.harness.refusal_of_record(&bytes, now, zone)
            && told.class == LimitClass::Quota
            && told.reset_at.is_some()
        {
            *notice = told;
        }
        turn
    }

    /// The end of the record, whole lines only by what the reader makes of them.
    fn bytes(&self) -> Option<Vec<u8>> {
        use std::io::{Seek as _, SeekFrom};
        let suffix = format!("-{}.jsonl", self.conversation.as_deref()?);
        let path = find(self.folder.as_deref()?, &suffix, DEPTH, &mut 0)?;
        let read = || {
            let mut file = File::open(&path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(MAX_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(MAX_BYTES).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        read()
            .map_err(|error| tracing::warn!(path = %path.display(), %error, "cannot read a record"))
            .ok()
    }
}

/// The file with this end of its name, the newest folders first.
fn find(folder: &Path, suffix: &str, depth: u32, looks: &mut u32) -> Option<PathBuf> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        *looks += 1;
        if *looks > MAX_LOOKS {
            return None;
        }
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() && depth > 0 {
            folders.push(entry.path());
        } else if kind.is_file()
            && entry
                .file_name()
                .to_str()
                .is_some_and(|n| n.ends_with(suffix))
        {
            return Some(entry.path());
        }
    }
    folders.sort();
    folders
        .iter()
        .rev()
        .find_map(|below| find(below, suffix, depth - 1, looks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_by_its_conversation_in_the_newest_folder() {
        let root = tempfile::tempdir().unwrap();
        for (day, name) in [
            ("2025/12/31", "rollout-1-aa.jsonl"),
            ("2026/11/21", "rollout-2-aa.jsonl"),
            ("2026/11/21", "rollout-2-bb.jsonl"),
        ] {
            fs::create_dir_all(root.path().join(day)).unwrap();
            fs::write(root.path().join(day).join(name), name).unwrap();
        }
        let found = find(root.path(), "-aa.jsonl", DEPTH, &mut 0).unwrap();
        assert!(found.ends_with("2026/11/21/rollout-2-aa.jsonl"));
        assert_eq!(find(root.path(), "-cc.jsonl", DEPTH, &mut 0), None);
        assert_eq!(
            find(root.path(), "-aa.jsonl", DEPTH, &mut { MAX_LOOKS }),
            None
        );
    }
}
