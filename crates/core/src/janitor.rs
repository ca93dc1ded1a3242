//! What may be thrown away of things that nobody needs any more (A25): by age, then by size, the oldest first. A plan
//! only: whether a thing is needed is known where it is found, and what is needed is never handed in here.

use serde::{Deserialize, Serialize};

use crate::time::{SpanMs, UnixMs};

/// A thing that nobody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<T> {
    /// Which.
    pub what: T,
    /// Bytes on disk.
    pub bytes: u64,
    /// Since when nobody needs it.
    pub since: UnixMs,
}

/// How much of them is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// No longer than this.
    pub age: SpanMs,
    /// Together no more than this, the newest first; `None` = any amount.
    pub bytes: Option<u64>,
}

/// Why a thing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It is older than the limit.
    Old,
    /// With the newer ones it takes more room than the limit.
    Room,
}

/// What goes, the oldest first, and why. A time to come counts as now.
#[must_use]
pub fn plan<T>(mut items: Vec<Item<T>>, limits: Limits, now: UnixMs) -> Vec<(Item<T>, Because)> {
    items.sort_by_key(|i| std::cmp::Reverse(i.since));
    let mut kept = 0_u64;
    let mut goes = Vec::new();
    for item in items {
        let with = kept.saturating_add(item.bytes);
        if now.since(item.since) > limits.age {
            goes.push((item, Because::Old));
        } else if limits.bytes.is_some_and(|most| with > most) {
            goes.push((item, Because::Room));
            // What is older than this goes, too: there is no room for it either.
            kept = u64::MAX;
        } else {
            kept = with;
        }
    }
    goes.reverse();
    goes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(what: &'static str, bytes: u64, since: i64) -> Item<&'static str> {
        Item {
            what,
            bytes,
            since: UnixMs(since),
        }
    }

    fn goes(
        items: &[Item<&'static str>],
        age: u64,
        bytes: Option<u64>,
    ) -> Vec<(&'static str, Because)> {
        let limits = Limits {
            age: SpanMs(age),
            bytes,
        };
        let all = plan(items.to_vec(), limits, UnixMs(1_000));
        all.into_iter().map(|(i, why)| (i.what, why)).collect()
    }

    #[test]
    fn a25_the_oldest_go_first_by_age_and_then_by_size() {
        use Because::{Old, Room};
        let all = [
            item("c", 30, 800),
            item("a", 10, 100),
            item("b", 20, 500),
            item("d", 40, 2_000),
        ];
        assert_eq!(goes(&all, 10_000, None), []);
        assert_eq!(goes(&all, 900, None), []);
        assert_eq!(goes(&all, 899, None), [("a", Old)]);
        assert_eq!(goes(&all, 300, None), [("a", Old), ("b", Old)]);
        assert_eq!(goes(&all, 10_000, Some(100)), []);
        assert_eq!(goes(&all, 10_000, Some(99)), [("a", Room)]);
        // A newer one that is too large takes the older ones along, whatever their size.
        assert_eq!(
            goes(&all, 10_000, Some(45)),
            [("a", Room), ("b", Room), ("c", Room)]
        );
        assert_eq!(goes(&all, 600, Some(70)), [("a", Old), ("b", Room)]);
        // A clock that was set back makes nothing old.
        assert_eq!(goes(&[item("d", 1, 5_000)], 0, Some(1)), []);
    }
}
