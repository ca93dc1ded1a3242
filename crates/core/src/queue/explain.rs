//! Why an entry waits, for people (L13).

use super::entry::{Entry, EntryId, Origin, WaitOn};
use super::line::{Block, Line, Stage, Subject};
use super::plan::order;

/// What helps an undo that conflicts.
const UNDO_BY_HAND: &str =
    "take it back by hand on a branch, then longhaul queue add that, and remove this";
/// What helps an undo whose check is red.
const UNDO_OTHER_CHECK: &str =
    "remove it, and undo again with the --check CMD that must pass without it";

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// 1 for the one that is tried first.
    pub place: usize,
    /// Whether it would be tried if its turn came now.
    pub ready: bool,
    /// What it waits for, in a sentence.
    pub why: String,
    /// What a person can do, if anything.
    pub remedy: Option<&'static str>,
}

/// Every entry of a line in its order, with what it waits for.
#[must_use]
pub fn standing(line: &Line) -> Vec<Standing<'_>> {
    let ordered = order(line);
    let ahead: Vec<EntryId> = ordered.iter().map(|e| e.id).collect();
    ordered
        .into_iter()
        .enumerate()
        .map(|(n, entry)| {
            let (ready, why, remedy) = explain(line, entry, &ahead[..n]);
            Standing {
                entry,
                place: n + 1,
                ready,
                why,
                remedy,
            }
        })
        .collect()
}

fn explain(line: &Line, entry: &Entry, ahead: &[EntryId]) -> (bool, String, Option<&'static str>) {
    let title = |id: EntryId| {
        line.entry(id)
            .map_or_else(|| id.short(), |e| e.title.clone())
    };
    if line.in_flight().contains(&entry.id) {
        let others = line.in_flight().len() - 1;
        let beside = match others {
            0 => String::new(),
            1 => " together with another entry".to_owned(),
            n => format!(" together with {n} other entries"),
        };
        let doing = match &line.stage {
            Stage::Trial { .. } => format!("is being merged on the tip{beside}"),
            Stage::Check {
                candidate,
                subject,
                check,
                run,
            } => {
                let name = candidate
                    .checks
                    .get(usize::from(*check))
                    .map_or("?", |c| c.name.as_str());
                let again = if *run > 0 { " once more" } else { "" };
                match subject {
                    Subject::Candidate => {
                        format!("`{name}` runs{again} on the merged tree{beside}")
                    }
                    Subject::Parent => {
                        format!("it was red twice; `{name}` runs on the tree below it")
                    }
                }
            }
            Stage::Land { .. } => "is being landed".to_owned(),
            Stage::Rest | Stage::Follow | Stage::Clear => String::new(),
        };
        return (true, doing, None);
    }
    if !entry.may_land() {
        return (
            false,
            "no check would verify the merged tree".to_owned(),
            Some("remove it and add it again with --check-run CMD, or with --unverified"),
        );
    }
    if entry.held {
        return (
            false,
            "a person holds it".to_owned(),
            Some("longhaul queue release"),
        );
    }
    if let Some(least) = line.freeze_below.filter(|least| entry.priority < *least) {
        return (
            false,
            format!("the queue is frozen below priority {least:?}").to_lowercase(),
            Some("longhaul queue freeze --off"),
        );
    }
    if let Some(block) = &line.block {
        let why = match block {
            Block::BaseRed { check, reason, .. } => {
                format!("what has landed fails `{check}` by itself: {reason}")
            }
            Block::Trouble { detail, .. } => detail.clone(),
        };
        return (false, why, Some("mend it, then longhaul queue resume"));
    }
    let current = line.tip.as_ref().map(|t| t.commit.as_str());
    if let Some(wait) = entry
        .wait
        .as_ref()
        .filter(|w| Some(w.tip.as_str()) == current)
    {
        return match &wait.on {
            WaitOn::Tip { report } => (
                false,
                format!("conflicts with what has landed: {}", report.first_paths()),
                Some(match entry.origin {
                    Origin::Undo { .. } => UNDO_BY_HAND,
                    _ => "rebase or merge the branch, then longhaul queue add it again",
                }),
            ),
            WaitOn::Entry { with, report } => (
                false,
                format!(
                    "conflicts with {} before it: {}",
                    title(*with),
                    report.first_paths()
                ),
                None,
            ),
            WaitOn::Unlanded { dependency } => (
                false,
                format!("holds commits of {dependency}, which has not landed"),
                Some("land that one first"),
            ),
            WaitOn::Red { check, reason } => (
                false,
                format!("`{check}` is red on the merged tree: {reason}"),
                Some(match entry.origin {
                    Origin::Undo { .. } => UNDO_OTHER_CHECK,
                    _ => "mend the branch, then longhaul queue add it again",
                }),
            ),
        };
    }
    if line.paused && !line.once {
        return (
            false,
            "the queue is paused".to_owned(),
            Some("longhaul queue resume"),
        );
    }
    let why = match ahead.len() {
        0 => "is next".to_owned(),
        1 => format!("waits behind {}", title(ahead[0])),
        n => format!("waits behind {n} others"),
    };
    (true, why, None)
}
