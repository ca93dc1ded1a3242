//! The merge queue in the simulator: pretended repositories, the executor of lines, people who use the
//! queue and commit beside it, and what must hold after every step (landing.md L8–L18).

mod checks;
mod depot;
mod effects;
mod oracle;
mod people;
mod tasks;

use longhaul_core::queue::{LineId, QueueAct, Subject};

pub(crate) use checks::{SlotCourse, SlotId, SlotJob};
pub(crate) use depot::Depot;
pub(crate) use effects::LineThread;
pub(crate) use oracle::QueueOracle;
pub(crate) use people::{QueueWord, depots};

/// What is being done for a line; nothing is done twice at the same time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinePlace {
    pub(crate) line: LineId,
    pub(crate) round: u64,
    pub(crate) kind: LineKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LineKind {
    Trial,
    Check { parent: bool, check: u16, run: u16 },
    Land,
    Follow,
    Clear,
}

impl LineKind {
    pub(crate) const fn of(act: &QueueAct) -> Self {
        match act {
            QueueAct::Trial { .. } => Self::Trial,
            QueueAct::Check {
                subject,
                check,
                run,
            } => Self::Check {
                parent: matches!(subject, Subject::Parent),
                check: *check,
                run: *run,
            },
            QueueAct::Land => Self::Land,
            QueueAct::Follow => Self::Follow,
            QueueAct::Clear => Self::Clear,
        }
    }
}

/// The line of a repository.
pub(crate) fn line_id(repo: &str) -> LineId {
    LineId {
        repo: repo.to_owned(),
        base: "main".to_owned(),
    }
}
