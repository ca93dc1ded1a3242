//! Which entries are tried next, and how many at once (L11).

use serde::{Deserialize, Serialize};

use crate::schedule::arrival_key;
use crate::time::SpanMs;

use super::entry::{Entry, EntryId, MergeStyle};
use super::line::{Line, Record};

/// Numbers of the queue, resolved from the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePolicy {
    /// Most entries of a batch (`batch_max`).
    pub batch_max: u32,
    /// Wait before a failed effect is tried again; doubles up to `retry_max`.
    pub retry_min: SpanMs,
    /// Longest such wait.
    pub retry_max: SpanMs,
    /// Failures of effects in a row after which a person is asked.
    pub max_failures: u32,
    /// First wait before the base branch is tried again; doubles up to `retry_max`.
    pub follow_again: SpanMs,
    /// Nothing new is tried now (`drain`, `estop`, a full disk); what is being landed is finished.
    pub held: bool,
}

impl Default for QueuePolicy {
    fn default() -> Self {
        Self {
            batch_max: 8,
            retry_min: SpanMs::from_secs(1),
            retry_max: SpanMs::from_secs(300),
            max_failures: 8,
            follow_again: SpanMs::from_secs(5),
            held: false,
        }
    }
}

/// How many entries to check together: the group size of least expected cost per entry by Dorfman's
/// rule, `1/k + 1 - (1-p)^k` for a share `p` of red ones, at most `most`; one by one from three in ten
/// on.
#[must_use]
pub fn batch_size(record: Record, most: u32) -> usize {
    let p = record.red_permille().min(1000);
    if p >= 300 {
        return 1;
    }
    // In millionths, with integers: the same answer on every machine.
    let green = u64::from(1000 - p);
    let (mut best, mut least) = (1, 1_000_000);
    let mut all_green = 1_000_000_u64;
    for k in 1..=u64::from(most.max(1)) {
        all_green = all_green * green / 1000;
        let cost = if k == 1 {
            1_000_000
        } else {
            1_000_000 / k + 1_000_000 - all_green
        };
        if cost < least {
            (best, least) = (k, cost);
        }
    }
    usize::try_from(best).unwrap_or(1)
}

/// All entries in the order they would be tried: by priority with age, then arrival.
#[must_use]
pub fn order(line: &Line) -> Vec<&Entry> {
    let mut entries: Vec<&Entry> = line.entries.iter().collect();
    entries.sort_by_key(|e| (arrival_key(e.priority, e.since), e.id));
    entries
}

/// The next batch: what is left of a red one, else the first eligible entries. Only entries that are
/// merged share a candidate: each commit on the first-parent line of base must have been checked as
/// that very tree, and the steps of a squash or rebase have not.
pub(super) fn next_batch(line: &mut Line, policy: &QueuePolicy) -> Vec<EntryId> {
    let tip = line.tip.as_ref().map(|t| t.commit.clone());
    let eligible = |e: &Entry| e.is_eligible(tip.as_deref(), line.freeze_below);
    while !line.groups.is_empty() {
        let group = line.groups.remove(0);
        let group: Vec<EntryId> = group
            .into_iter()
            .filter(|id| line.entries.iter().any(|e| e.id == *id && eligible(e)))
            .collect();
        if !group.is_empty() {
            return group;
        }
    }
    let ready: Vec<&Entry> = order(line).into_iter().filter(|e| eligible(e)).collect();
    let Some(first) = ready.first() else {
        return Vec::new();
    };
    if first.style != MergeStyle::Merge {
        return vec![first.id];
    }
    ready
        .iter()
        .take_while(|e| e.style == MergeStyle::Merge)
        .take(batch_size(line.record, policy.batch_max))
        .map(|e| e.id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l11_batches_follow_the_measured_failure_rate() {
        let with = |judged, red| batch_size(Record { judged, red }, 8);
        assert_eq!(with(0, 0), 4, "nothing known: cautious");
        assert_eq!(with(60, 0), 8);
        assert_eq!(with(59, 3), 5, "5 %");
        assert_eq!(with(59, 6), 4, "10 %");
        assert_eq!(with(59, 12), 3, "20 %");
        assert_eq!(with(59, 20), 1, "a third");
        assert_eq!(batch_size(Record::default(), 0), 1);
        assert_eq!(batch_size(Record { judged: 1, red: 1 }, 8), 1);
    }
}
