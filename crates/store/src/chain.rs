//! The hash chain over a task's ledger rows: each row's hash covers the row and the hash before it, so
//! a row that was changed, removed or put in later shows.

use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::task::StateWord;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// What the first row of a task is linked to.
pub(crate) const START: Hash = [0; 32];

/// The result of walking a task's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Every row is as it was written, and the last one is the task's present state.
    Intact {
        /// How many rows there are.
        rows: u64,
        /// Hash of the last one.
        head: Hash,
    },
    /// It breaks.
    Broken {
        /// At the row of this version.
        version: u64,
        /// How.
        why: &'static str,
    },
}

/// A ledger row in its stored texts, the form that is hashed.
pub(crate) struct Link<'a> {
    pub(crate) task: TaskId,
    pub(crate) version: u64,
    pub(crate) fence: Fence,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) cause: &'a str,
    pub(crate) actor: &'a str,
    pub(crate) op_id: Uuid,
    pub(crate) at: i64,
    pub(crate) data: &'a str,
}

impl Link<'_> {
    /// Its hash: SHA-256 over the previous hash and the row, numbers big-endian, texts with their
    /// length before them. The form is stored for ever: never change it.
    pub(crate) fn hash(&self, previous: &Hash) -> Hash {
        let mut sha = Sha256::new();
        sha.update(previous);
        sha.update(self.task.uuid().as_bytes());
        sha.update(self.version.to_be_bytes());
        sha.update(self.fence.0.to_be_bytes());
        sha.update(self.op_id.as_bytes());
        sha.update(self.at.to_be_bytes());
        for text in [self.from, self.to, self.cause, self.actor, self.data] {
            sha.update((text.len() as u64).to_be_bytes());
            sha.update(text.as_bytes());
        }
        sha.finalize().into()
    }
}

/// Walks a chain row by row.
pub(crate) struct Walk {
    rows: u64,
    head: Hash,
    state: Option<String>,
    broken: Option<Chain>,
}

impl Walk {
    pub(crate) const fn new() -> Self {
        Self {
            rows: 0,
            head: START,
            state: None,
            broken: None,
        }
    }

    /// Takes the next row, in order of version.
    pub(crate) fn row(&mut self, link: &Link<'_>, stored: &Hash) {
        if self.broken.is_some() {
            return;
        }
        self.rows += 1;
        let why = if link.version != self.rows {
            Some("a row is missing")
        } else if self.state.as_deref().is_some_and(|s| s != link.from) {
            Some("it does not start where the row before it ended")
        } else if link.hash(&self.head) != *stored {
            Some("its hash does not fit")
        } else {
            None
        };
        if let Some(why) = why {
            self.broken = Some(Chain::Broken {
                version: self.rows,
                why,
            });
        }
        self.head = *stored;
        self.state = Some(link.to.to_owned());
    }

    /// Compares the end of the chain with the task itself.
    pub(crate) fn end(self, version: u64, state: StateWord, head: &Hash) -> Chain {
        if let Some(broken) = self.broken {
            return broken;
        }
        let why = if self.rows != version {
            Some("the last rows are missing")
        } else if self.state.as_deref() != Some(state.as_str()) || self.head != *head {
            Some("the task is not in the state that its last row says")
        } else {
            None
        };
        match why {
            Some(why) => Chain::Broken { version, why },
            None => Chain::Intact {
                rows: self.rows,
                head: self.head,
            },
        }
    }
}

/// A row of a line's ledger in its stored texts, the form that is hashed.
pub(crate) struct QueueLink<'a> {
    pub(crate) repo: &'a str,
    pub(crate) base: &'a str,
    pub(crate) n: u64,
    pub(crate) version: u64,
    pub(crate) entry: Option<Uuid>,
    pub(crate) cause: &'a str,
    pub(crate) actor: &'a str,
    pub(crate) at: i64,
    pub(crate) data: &'a str,
}

impl QueueLink<'_> {
    /// Its hash, made as that of [`Link::hash`]. The form is stored for ever: never change it.
    pub(crate) fn hash(&self, previous: &Hash) -> Hash {
        let mut sha = Sha256::new();
        sha.update(previous);
        sha.update(self.n.to_be_bytes());
        sha.update(self.version.to_be_bytes());
        sha.update(self.entry.unwrap_or_default().as_bytes());
        sha.update(self.at.to_be_bytes());
        for text in [self.repo, self.base, self.cause, self.actor, self.data] {
            sha.update((text.len() as u64).to_be_bytes());
            sha.update(text.as_bytes());
        }
        sha.finalize().into()
    }
}

/// Walks the chain of a line: its rows in order, each with its number, the hash it should have and the
/// one it has; `rows` and `head` are what the line itself says.
pub(crate) fn walk_queue(links: &[(u64, Hash, Hash)], rows: u64, head: &Hash) -> Chain {
    let mut last = START;
    for (at, (n, wanted, stored)) in (1..).zip(links) {
        let why = if *n != at {
            "a row is missing"
        } else if wanted != stored {
            "its hash does not fit"
        } else {
            last = *stored;
            continue;
        };
        return Chain::Broken { version: at, why };
    }
    if links.len() as u64 != rows || last != *head {
        return Chain::Broken {
            version: rows,
            why: "the last rows are missing",
        };
    }
    Chain::Intact { rows, head: last }
}
