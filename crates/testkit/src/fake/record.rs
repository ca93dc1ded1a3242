//! What a fake agent was started with, for the test to read.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::Store;

/// One start of a fake agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its pid.
    pub pid: u32,
    /// Its arguments, without program and agent.
    pub args: Vec<String>,
    /// Its working folder.
    pub folder: PathBuf,
    /// The prompt; `None` if it ended before it had read it.
    pub prompt: Option<String>,
}

/// A line of the record.
#[derive(Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Line {
    Start {
        pid: u32,
        args: Vec<String>,
        folder: PathBuf,
    },
    Prompt {
        pid: u32,
        prompt: String,
    },
}

/// Reads a record, oldest start first; empty if there is none yet.
#[must_use]
pub fn starts(record: &Path) -> Vec<Start> {
    let text = std::fs::read_to_string(record).unwrap_or_default();
    let mut starts: Vec<Start> = Vec::new();
    for line in text
        .lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
    {
        match line {
            Line::Start { pid, args, folder } => starts.push(Start {
                pid,
                args,
                folder,
                prompt: None,
            }),
            Line::Prompt { pid, prompt } => {
                if let Some(start) = starts.iter_mut().rfind(|start| start.pid == pid) {
                    start.prompt = Some(prompt);
                }
            }
        }
    }
    starts
}

/// The record of one script.
pub(super) struct Record(PathBuf);

impl Record {
    pub(super) fn new(store: &Store, script: &Path) -> Self {
        Self(std::env::var_os("FAKE_AGENT_RECORD").map_or_else(
            || {
                let slug: String = script
                    .to_string_lossy()
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                    .collect();
                store.root().join(format!("fake{slug}.jsonl"))
            },
            PathBuf::from,
        ))
    }

    /// Notes a start and tells which one it is, from 1.
    pub(super) fn start(&self, args: &[String]) -> io::Result<u32> {
        if let Some(folder) = self.0.parent() {
            std::fs::create_dir_all(folder)?;
        }
        self.append(&Line::Start {
            pid: std::process::id(),
            args: args.to_vec(),
            folder: std::env::current_dir()?,
        })?;
        Ok(u32::try_from(starts(&self.0).len()).unwrap_or(u32::MAX))
    }

    pub(super) fn prompt(&self, prompt: &str) -> io::Result<()> {
        self.append(&Line::Prompt {
            pid: std::process::id(),
            prompt: prompt.to_owned(),
        })
    }

    /// One write per line: appending is atomic, so starts at the same time never mix.
    fn append(&self, line: &Line) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0)?
            .write_all(&bytes)
    }
}
