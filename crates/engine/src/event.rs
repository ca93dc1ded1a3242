//! Everything that can happen, as one closed enum: the dispatcher's only input.

use longhaul_core::effect::Effect;
use longhaul_core::fact::{Fact, News};
use longhaul_core::home::Homes;
use longhaul_core::ids::{Fence, TaskId};
use longhaul_core::overlap::Touched;
use longhaul_core::queue::{LineId, QueueEffect, QueueFact};

use crate::handle::{LiveSession, Request};

/// An event.
#[derive(Debug)]
pub enum Event {
    /// A person's command.
    Request(Request),
    /// Something was seen of a task.
    Fact {
        /// The task.
        task: TaskId,
        /// What.
        fact: Fact,
    },
    /// What the sensors know of a live session now.
    Live {
        /// The task.
        task: TaskId,
        /// The attempt.
        fence: Fence,
        /// What.
        live: Box<LiveSession>,
    },
    /// An effect came to no result yet and wants to be asked for again.
    Again {
        /// The effect.
        effect: Effect,
        /// After this many milliseconds.
        after_ms: u64,
        /// Why, for the log.
        why: String,
    },
    /// Something was seen or said of a line of the merge queue.
    Line {
        /// The line.
        line: LineId,
        /// What.
        fact: QueueFact,
    },
    /// An effect of a line came to no result yet and wants to be asked for again.
    LineAgain {
        /// The effect.
        effect: QueueEffect,
        /// After this many milliseconds.
        after_ms: u64,
        /// Why, for the log.
        why: String,
    },
    /// What tasks of a repository have changed in their workspaces, all of those that were looked at.
    Touched(Vec<Touched>),
    /// Whether the machine has what new work needs; `None` = yes (T20, T27).
    Floors {
        /// What is missing.
        lacking: Option<String>,
    },
    /// The account homes there are from here on.
    Homes {
        /// Them.
        homes: Homes,
    },
    /// Time went by.
    Tick,
    /// End the dispatcher; sessions go on.
    Stop,
}

impl Event {
    /// News of an attempt.
    #[must_use]
    pub const fn news(task: TaskId, fence: Fence, news: News) -> Self {
        Self::Fact {
            task,
            fact: Fact::Attempt { fence, news },
        }
    }
}
