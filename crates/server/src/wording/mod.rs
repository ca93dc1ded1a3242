//! Everything Longhaul says about tasks in sentences, in one place. Pure text; no reading, no rule.

mod attempt;
mod event;
mod phrasing;
mod queue;
mod state;
mod story;
#[cfg(test)]
mod tests;

pub use phrasing::Phrasing;

pub(crate) use attempt::{attempt_line, outcome};
pub(crate) use event::event_line;
pub(crate) use queue::{line_line, queue_event_line};
pub(crate) use state::{Scene, need, resting_line, state_line};
pub(crate) use story::{Story, story};

/// `s` for every number but one.
pub(crate) const fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}
