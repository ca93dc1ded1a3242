//! What was last done with a session, beside the socket: for people, and to find a task's session. Nothing is decided
//! by it: whether a session is free, tmux says.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use longhaul_core::time::UnixMs;
use serde::{Deserialize, Serialize};

/// The version of the file.
const VERSION: u32 = 1;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Noted {
    /// An agent was started in it for this job.
    Taken {
        /// The task's name.
        task: String,
        /// The agent's process.
        pid: u32,
    },
    /// Its turn ended.
    Done {
        /// The task's name.
        task: String,
        /// By which sign, or how.
        how: String,
    },
    /// A prompt could not be delivered (A21).
    Stuck {
        /// The task's name.
        task: String,
        /// Why.
        why: String,
    },
}

/// The note of one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    version: u32,
    /// The job's key.
    pub key: String,
    /// When.
    pub at: UnixMs,
    /// What.
    #[serde(flatten)]
    pub noted: Noted,
}

impl Note {
    /// A note of now.
    #[must_use]
    pub fn new(key: &str, at: UnixMs, noted: Noted) -> Self {
        Self {
            version: VERSION,
            key: key.to_owned(),
            at,
            noted,
        }
    }

    /// The note of a session, if there is one that this version understands.
    #[must_use]
    pub fn read(folder: &Utf8Path, session: &str) -> Option<Self> {
        let bytes = fs::read(path(folder, session)).ok()?;
        let note: Self = serde_json::from_slice(&bytes).ok()?;
        (note.version == VERSION).then_some(note)
    }

    /// Writes it; what cannot be written is only missed by people.
    pub(crate) fn write(&self, folder: &Utf8Path, session: &str) {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        let whole = path(folder, session);
        let part = whole.with_extension("part");
        let written = longhaul_acts::files::write("pool.note.write", &part, bytes)
            .and_then(|()| longhaul_acts::files::rename("pool.note.rename", &part, &whole));
        if let Err(error) = written {
            tracing::warn!(%error, session, "cannot note what a session does");
        }
    }
}

fn path(folder: &Utf8Path, session: &str) -> Utf8PathBuf {
    folder.join(format!("{session}.json"))
}
