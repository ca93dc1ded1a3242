//! The agent's own record of a conversation, beside its stream: what each call used, also in a turn that
//! was killed (T13), and the very second of a used-up window's reset, which a stream may give as words
//! that are rounded to minutes (A5).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use longhaul_agents::{Harness, RecordReader, Spent, TurnEnd, TurnOutcome};
use longhaul_core::limit::LimitClass;
use longhaul_core::time::UnixMs;
use serde_json::Value;

/// Folders of records are `YEAR/MONTH/DAY` deep.
const DEPTH: u32 = 3;
/// The most entries that are looked at before the words have to do.
const MAX_LOOKS: u32 = 20_000;
/// The most bytes read of a record's end.
const MAX_BYTES: u64 = 8 << 20;

/// The most bytes of a record that are read in one go.
const TAKE_BYTES: usize = 8 << 20;
/// How often a record is looked for before the stream's word has to do.
const MAX_TRIES: u32 = 30;

/// Where the record of a session's conversation is looked for, and how far it was read.
pub(super) struct Record<'a> {
    harness: &'a Harness,
    folder: Option<PathBuf>,
    conversation: Option<String>,
    /// The conversation that was there before the attempt, and how long its record was then.
    before: Option<(String, u64)>,
    reading: Option<Follow>,
    tries: u32,
}

/// A record that is read as it grows.
struct Follow {
    path: PathBuf,
    at: u64,
    reader: Box<dyn RecordReader>,
}

impl<'a> Record<'a> {
    /// As noted at the launch.
    pub(super) fn new(harness: &'a Harness, noted: &Value, conversation: Option<&str>) -> Self {
        Self {
            harness,
            folder: noted["records"].as_str().map(PathBuf::from),
            conversation: conversation.map(str::to_owned),
            before: conversation
                .map(|id| (id.to_owned(), noted["record_from"].as_u64().unwrap_or(0))),
            reading: None,
            tries: 0,
        }
    }

    /// The agent named its conversation.
    pub(super) fn of(&mut self, conversation: &str) {
        if self.conversation.as_deref() != Some(conversation) {
            self.conversation = Some(conversation.to_owned());
            self.reading = None;
            self.tries = 0;
        }
    }

    /// What the record says was used, as far as it has grown since the last look; with `whole`, its end
    /// too. A record that cannot be read says nothing.
    pub(super) fn spent(&mut self, whole: bool) -> Vec<Spent> {
        let mut spent = Vec::new();
        if self.reading.is_none() && (whole || self.tries < MAX_TRIES) {
            self.tries += 1;
            self.reading = self.open();
        }
        let Some(follow) = &mut self.reading else {
            return spent;
        };
        if let Err(error) = follow.take(&mut spent) {
            tracing::debug!(path = %follow.path.display(), %error, "cannot read a record");
        }
        if whole {
            follow.reader.finish(&mut spent);
        }
        spent
    }

    fn open(&self) -> Option<Follow> {
        let id = self.conversation.as_deref()?;
        let reader = self.harness.record_reader()?;
        let path = path_of(self.folder.as_deref()?, id)?;
        let at = match &self.before {
            Some((before, length)) if before == id => *length,
            _ => 0,
        };
        Some(Follow { path, at, reader })
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
        let path = path_of(self.folder.as_deref()?, self.conversation.as_deref()?)?;
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

impl Follow {
    fn take(&mut self, spent: &mut Vec<Spent>) -> std::io::Result<()> {
        use std::io::{Seek as _, SeekFrom};
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        let mut chunk = vec![0; 64 * 1024];
        let mut left = TAKE_BYTES;
        while left > 0 {
            let n = file.read(&mut chunk)?;
            if n == 0 {
                break;
            }
            self.at += n as u64;
            left = left.saturating_sub(n);
            self.reader.push(&chunk[..n], spent);
        }
        Ok(())
    }
}

/// How long the record of a conversation is now; 0 if there is none.
pub(super) fn length(folder: &Path, conversation: &str) -> u64 {
    path_of(folder, conversation)
        .and_then(|path| fs::metadata(path).ok())
        .map_or(0, |meta| meta.len())
}

/// The record of a conversation: near the top where an agent has a folder per project, else deep.
fn path_of(folder: &Path, conversation: &str) -> Option<PathBuf> {
    let name = format!("{conversation}.jsonl");
    find(folder, &name, 1, &mut 0).or_else(|| find(folder, &name, DEPTH, &mut 0))
}

/// The file of this name, or with this end of its name after a `-`; the newest folders first.
fn find(folder: &Path, name: &str, depth: u32, looks: &mut u32) -> Option<PathBuf> {
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
                .and_then(|n| n.strip_suffix(name))
                .is_some_and(|before| before.is_empty() || before.ends_with('-'))
        {
            return Some(entry.path());
        }
    }
    folders.sort();
    folders
        .iter()
        .rev()
        .find_map(|below| find(below, name, depth - 1, looks))
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
        let found = find(root.path(), "aa.jsonl", DEPTH, &mut 0).unwrap();
        assert!(found.ends_with("2026/11/21/rollout-2-aa.jsonl"));
        assert_eq!(length(root.path(), "aa"), 18);
        assert_eq!(find(root.path(), "a.jsonl", DEPTH, &mut 0), None);
        assert_eq!(find(root.path(), "cc.jsonl", DEPTH, &mut 0), None);
        assert_eq!(
            find(root.path(), "aa.jsonl", DEPTH, &mut { MAX_LOOKS }),
            None
        );
    }
}
