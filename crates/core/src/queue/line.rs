//! A line: the queue of one repository and base branch, and what it is about.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::Actor;
use crate::spec::Priority;
use crate::time::UnixMs;

use super::entry::{Entry, EntryId, LandCheck};
use super::fact::{Judgement, ToTask};

/// Names a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LineId {
    /// The repository's work tree, as its tasks name it.
    pub repo: String,
    /// The base branch.
    pub base: String,
}

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.base, self.repo)
    }
}

/// A commit and its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The commit.
    pub commit: String,
    /// Its tree.
    pub tree: String,
}

/// A line as it stands. Ended entries are not in it; the queue's ledger keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Identity.
    pub id: LineId,
    /// Grows by one with every change.
    pub version: u64,
    /// Grows with every new trial; news of an older one is not obeyed.
    pub round: u64,
    /// What it is about.
    pub stage: Stage,
    /// What the integration ref was last seen to hold.
    pub tip: Option<Point>,
    /// A person paused it.
    pub paused: bool,
    /// One round is allowed although it is paused.
    pub once: bool,
    /// Only entries of this priority and above are tried.
    pub freeze_below: Option<Priority>,
    /// Why nothing can land, whatever the entry.
    pub block: Option<Block>,
    /// Parts of a red batch, to be tried before anything else.
    pub groups: Vec<Vec<EntryId>>,
    /// How often candidates were red.
    pub record: Record,
    /// Checks of the last candidate: for a merge of what the user committed on base.
    pub usual: Vec<LandCheck>,
    /// Why the base branch does not follow yet, and when it is tried again.
    pub behind: Option<Behind>,
    /// A person wants the base branch to follow now, also where it is checked out (`queue advance`).
    #[serde(default)]
    pub advance: bool,
    /// How often in a row a push was rejected because the remote branch had moved.
    #[serde(default)]
    pub rejections: u32,
    /// Failures of effects in a row, and when the next try may be.
    pub effort: Effort,
    /// What waits, in order of arrival.
    pub entries: Vec<Entry>,
}

/// The base branch is behind the integration ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// In a sentence.
    pub why: String,
    /// Tried again from then on.
    pub again: UnixMs,
    /// How often it was tried.
    pub tries: u32,
}

/// Failures in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// How many.
    pub failures: u32,
    /// Not before.
    pub not_before: Option<UnixMs>,
    /// The last one, in a sentence.
    pub detail: String,
}

/// Why a whole line stands still until a person (or a new base) helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "block", rename_all = "snake_case")]
pub enum Block {
    /// What is on the tip fails a check by itself: nobody behind it is guilty.
    BaseRed {
        /// The check.
        check: String,
        /// The verdict in a sentence.
        reason: String,
        /// The tip.
        tip: String,
    },
    /// An effect failed in a way only a person can mend.
    Trouble {
        /// What.
        detail: String,
        /// What to do.
        remedy: String,
        /// The tip at that time.
        tip: Option<String>,
    },
}

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Nothing.
    Rest,
    /// These are merged on objects, on the tip.
    Trial {
        /// In this order.
        batch: Vec<EntryId>,
    },
    /// A candidate is checked.
    Check {
        /// It.
        candidate: Candidate,
        /// The tree that is judged now.
        subject: Subject,
        /// Position of the check.
        check: u16,
        /// Which run of it on this subject.
        run: u16,
    },
    /// The integration ref moves from the candidate's parent to the candidate (L8, L18).
    Land {
        /// It.
        candidate: Candidate,
    },
    /// The base branch follows (L14).
    Follow,
    /// What the last round started is stopped.
    Clear,
}

/// Which tree a check judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The candidate's.
    Candidate,
    /// The one it was made on: is it red by itself?
    Parent,
}

/// A commit that would land if its checks pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// It and its tree.
    pub point: Point,
    /// What it was made on: the integration ref must hold exactly this when it lands.
    pub onto: Point,
    /// The entries in it, in the order they were merged.
    pub entries: Vec<EntryId>,
    /// What must pass on its tree, filled in when it is taken in.
    pub checks: Vec<LandCheck>,
    /// A first FAIL that a second run did not confirm, by check.
    pub flaky: Vec<String>,
    /// The second FAIL, kept as evidence while the tree below is judged.
    #[serde(default)]
    pub red: Option<Box<Judgement>>,
}

/// How often candidates were red, over the last ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Entries judged.
    pub judged: u32,
    /// Of which sent back red.
    pub red: u32,
}

impl Record {
    /// Counts an entry that was judged; what is long ago weighs less.
    pub fn note(&mut self, red: bool) {
        if self.judged >= 64 {
            self.judged /= 2;
            self.red /= 2;
        }
        self.judged += 1;
        self.red += u32::from(red);
    }

    /// The share of red ones in thousandths, with a cautious start.
    #[must_use]
    pub const fn red_permille(self) -> u32 {
        (self.red * 1000 + 100) / (self.judged + 1)
    }
}

/// An effect of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEffect {
    /// The line.
    pub line: LineId,
    /// The round it belongs to.
    pub round: u64,
    /// What.
    pub act: QueueAct,
}

/// What to ensure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAct {
    /// Bring the integration ref up to what the user committed, and merge these on objects.
    Trial {
        /// In this order.
        batch: Vec<EntryId>,
    },
    /// Run a check on a tree, find it run, or find its verdict remembered.
    Check {
        /// The tree.
        subject: Subject,
        /// Position of the check.
        check: u16,
        /// Which run of it.
        run: u16,
    },
    /// Move the integration ref from the candidate's parent to the candidate, or find it moved.
    Land,
    /// Let the base branch follow.
    Follow,
    /// Stop what rounds up to this one have running.
    Clear,
}

/// The effect that a line's stage asks for, if any.
#[must_use]
pub fn outstanding(line: &Line) -> Option<QueueEffect> {
    let act = match &line.stage {
        Stage::Rest => return None,
        Stage::Trial { batch } => QueueAct::Trial {
            batch: batch.clone(),
        },
        Stage::Check {
            subject,
            check,
            run,
            ..
        } => QueueAct::Check {
            subject: *subject,
            check: *check,
            run: *run,
        },
        Stage::Land { .. } => QueueAct::Land,
        Stage::Follow => QueueAct::Follow,
        Stage::Clear => QueueAct::Clear,
    };
    Some(QueueEffect {
        line: line.id.clone(),
        round: line.round,
        act,
    })
}

impl Line {
    /// An empty line. Version 0: it is stored with its first change.
    #[must_use]
    pub fn new(id: LineId) -> Self {
        Self {
            id,
            version: 0,
            round: 0,
            stage: Stage::Rest,
            tip: None,
            paused: false,
            once: false,
            freeze_below: None,
            block: None,
            groups: Vec::new(),
            record: Record::default(),
            usual: Vec::new(),
            behind: None,
            advance: false,
            rejections: 0,
            effort: Effort::default(),
            entries: Vec::new(),
        }
    }

    /// An entry of it.
    #[must_use]
    pub fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.iter().find(|e| e.id == id)
    }

    /// When it has to be looked at again without news: `tick` at rest, the outstanding effect once more
    /// elsewhere.
    #[must_use]
    pub fn due(&self) -> Option<UnixMs> {
        self.due_after(None)
    }

    /// The same, once everything that fell due up to a time was looked at.
    #[must_use]
    pub fn due_after(&self, looked: Option<UnixMs>) -> Option<UnixMs> {
        let behind = self.behind.as_ref().map(|b| b.again);
        let later = match self.stage {
            Stage::Rest => behind,
            _ => None,
        };
        let all = self.effort.not_before.into_iter().chain(later);
        all.filter(|at| looked.is_none_or(|looked| *at > looked))
            .min()
    }

    /// Whether a move of the base branch could help it.
    #[must_use]
    pub fn wants_base(&self) -> bool {
        self.behind.is_some()
            || self.block.is_some()
            || self.entries.iter().any(|e| e.wait.is_some())
    }

    /// The candidate that is checked or landed now.
    #[must_use]
    pub const fn candidate(&self) -> Option<&Candidate> {
        match &self.stage {
            Stage::Check { candidate, .. } | Stage::Land { candidate } => Some(candidate),
            _ => None,
        }
    }

    /// The entries of the round that is under way.
    #[must_use]
    pub fn in_flight(&self) -> &[EntryId] {
        match &self.stage {
            Stage::Trial { batch } => batch,
            Stage::Check { candidate, .. } | Stage::Land { candidate } => &candidate.entries,
            Stage::Rest | Stage::Follow | Stage::Clear => &[],
        }
    }
}

/// What a fact comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The line changes.
    Change(Box<QueueChange>),
    /// Nothing changes, and why.
    Ignore(&'static str),
    /// A person's word cannot be followed, and why.
    Refuse(String),
}

/// A change of a line, to be stored in one transaction with what it tells the tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueChange {
    /// The line after it.
    pub line: Line,
    /// Why, row by row.
    pub rows: Vec<QueueRow>,
    /// What tasks hear.
    pub tasks: Vec<ToTask>,
}

/// A row of the queue's ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueRow {
    /// The line's version after the change.
    pub version: u64,
    /// The entry, if it is about one.
    pub entry: Option<EntryId>,
    /// Why.
    pub cause: QueueCause,
    /// Who.
    pub actor: Actor,
    /// When, wall clock.
    pub at: UnixMs,
    /// What else was known.
    pub data: Value,
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a row of the queue's ledger was written. The texts are stored for ever: add, never
        /// rename.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum QueueCause {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }
        impl QueueCause {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The stored text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
            /// Reads a stored text; `None` for any other.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|c| c.as_str() == text)
            }
        }
    };
}

causes! {
    /// An entry came.
    Entered = "entered",
    /// An entry was taken out.
    Withdrawn = "withdrawn",
    /// A batch is tried.
    Trial = "trial",
    /// An entry was passed over.
    PassedOver = "passed_over",
    /// An entry conflicts with what has landed and went back.
    Conflicted = "conflicted",
    /// A candidate was made.
    Candidate = "candidate",
    /// A check passed on a tree.
    CheckPassed = "check_passed",
    /// A check failed on a tree.
    CheckFailed = "check_failed",
    /// A check's process was lost.
    CheckLost = "check_lost",
    /// A check failed once and passed when it was run again.
    Flaky = "flaky",
    /// A red batch was split.
    Bisected = "bisected",
    /// An entry was red by its own and went back.
    Red = "red",
    /// The integration ref took the candidate.
    Landed = "landed",
    /// The integration ref was another than the trial's: the candidate is made anew.
    Moved = "moved",
    /// The base branch followed.
    Followed = "followed",
    /// What has landed was pushed.
    Pushed = "pushed",
    /// The base branch waits.
    Waits = "waits",
    /// Nothing can land.
    Blocked = "blocked",
    /// What blocked is over.
    Unblocked = "unblocked",
    /// An effect failed and is tried again.
    Failed = "failed",
    /// A person's word.
    Ordered = "ordered",
    /// A round was given up.
    Abandoned = "abandoned",
}
