//! Which branches would conflict, as git says before anybody tries to land them (L10). Only a trial
//! decides; this warns.

use super::fact::ConflictPath;

/// Somebody's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What people call it; marks its side in conflicting lines.
    pub label: String,
    /// Where it is.
    pub at: HeadAt,
}

/// Where somebody's work is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadAt {
    /// A commit.
    Commit(String),
    /// A branch of a task.
    Branch {
        /// Its name, without `refs/heads/`.
        name: String,
        /// The last snapshot of its workspace, by the full name of its ref.
        snapshot: Option<String>,
    },
}

/// What git says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// The commit that they were merged onto.
    pub onto: String,
    /// Each, in the order they were asked for.
    pub heads: Vec<Foreseen>,
}

/// What git says of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// The commit that was merged; none if its branch is gone.
    pub commit: Option<String>,
    /// The commit is a snapshot with what was not committed.
    pub uncommitted: bool,
    /// How many paths it changes in base, if it merges.
    pub paths: usize,
    /// git cannot merge it at all: another history, or objects are missing.
    pub unmergeable: bool,
    /// With base, or with those before it.
    pub meetings: Vec<Meeting>,
}

/// A conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Position of the other one; `None` = base.
    pub with: Option<usize>,
    /// Where.
    pub paths: Vec<ConflictPath>,
    /// The conflicting lines in zdiff3 style, bounded; lossy text.
    pub preview: String,
    /// A command that shows the same, where there is one.
    pub reproduce: Option<String>,
}
