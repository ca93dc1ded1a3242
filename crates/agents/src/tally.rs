//! Counting usage that a stream repeats: once per API message (T13). Not pricing.

use std::collections::{BTreeMap, VecDeque};

use longhaul_core::usage::{MicroUsd, Usage};
use serde_json::Value;

use crate::stream::u64_at;

/// Ids of messages that are remembered: no attempt has more. Lines of one message stand together in a
/// stream, but its record is read beside it, and from its beginning by a later daemon.
const REMEMBERED: usize = 16_384;

/// Sums usage per message, each message once, with the largest numbers any of its lines had.
#[derive(Debug, Default)]
pub(crate) struct PerMessage {
    sum: Usage,
    /// What each message had; `None` once it is settled.
    known: BTreeMap<String, Option<Usage>>,
    order: VecDeque<String>,
}

impl PerMessage {
    /// Takes one line's usage; true if its message is a new one.
    pub(crate) fn note(&mut self, id: &str, usage: Usage) -> bool {
        let id: String = id.chars().take(128).collect();
        match self.known.get_mut(&id) {
            Some(None) => false,
            Some(Some(known)) => {
                let most = most(*known, usage);
                self.sum += beyond(most, *known);
                *known = most;
                false
            }
            None => {
                self.remember(id, Some(usage));
                self.sum += usage;
                true
            }
        }
    }

    /// Takes the usage of a message that a record tells of. One that the stream has not named counts
    /// unless `complete`: then the stream's own sum has it.
    pub(crate) fn note_recorded(&mut self, id: &str, usage: Usage, complete: bool) {
        let short: String = id.chars().take(128).collect();
        if complete && !self.known.contains_key(&short) {
            self.remember(short, None);
        } else {
            self.note(id, usage);
        }
    }

    pub(crate) fn total(&self) -> Usage {
        self.sum
    }

    /// What was noted until now is counted elsewhere; later words on the same messages count nothing.
    pub(crate) fn settle(&mut self) {
        self.sum = Usage::default();
        self.known.values_mut().for_each(|known| *known = None);
    }

    fn remember(&mut self, id: String, usage: Option<Usage>) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.known.insert(id, usage);
    }
}

/// The larger of each number.
pub(crate) fn most(a: Usage, b: Usage) -> Usage {
    Usage {
        input: a.input.max(b.input),
        output: a.output.max(b.output),
        cache_read: a.cache_read.max(b.cache_read),
        cache_write: a.cache_write.max(b.cache_write),
        cost: a.cost.max(b.cost),
    }
}

/// An Anthropic `usage` object; its cost is not in it.
pub(crate) fn anthropic_usage(usage: &Value) -> Usage {
    Usage {
        input: u64_at(usage, "/input_tokens"),
        output: u64_at(usage, "/output_tokens"),
        cache_read: u64_at(usage, "/cache_read_input_tokens"),
        cache_write: u64_at(usage, "/cache_creation_input_tokens"),
        cost: None,
    }
}

/// A codex usage object: `input_tokens` holds the cached ones, `output_tokens` the reasoning ones
/// (`total_tokens` is their sum in every sample).
pub(crate) fn codex_usage(usage: &Value) -> Usage {
    let cache_read = u64_at(usage, "/cached_input_tokens");
    let cache_write = u64_at(usage, "/cache_write_input_tokens");
    Usage {
        input: u64_at(usage, "/input_tokens")
            .saturating_sub(cache_read)
            .saturating_sub(cache_write),
        output: u64_at(usage, "/output_tokens"),
        cache_read,
        cache_write,
        cost: None,
    }
}

/// What `total` has beyond `baseline`; costs are not compared.
pub(crate) fn beyond(total: Usage, baseline: Usage) -> Usage {
    Usage {
        input: total.input.saturating_sub(baseline.input),
        output: total.output.saturating_sub(baseline.output),
        cache_read: total.cache_read.saturating_sub(baseline.cache_read),
        cache_write: total.cache_write.saturating_sub(baseline.cache_write),
        cost: None,
    }
}

/// Dollars at a JSON pointer, if a number stands there.
pub(crate) fn usd_at(value: &Value, pointer: &str) -> Option<MicroUsd> {
    value
        .pointer(pointer)
        .and_then(Value::as_f64)
        .map(MicroUsd::from_usd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64) -> Usage {
        Usage {
            input,
            output,
            ..Usage::default()
        }
    }

    #[test]
    fn t13_a_message_counts_once_whatever_its_lines_say() {
        let mut tally = PerMessage::default();
        assert!(tally.note("a", usage(1000, 1)));
        assert!(!tally.note("a", usage(1000, 50)));
        assert!(tally.note("b", usage(10, 1)));
        assert!(!tally.note("a", usage(1000, 1)));
        assert_eq!(tally.total(), usage(1010, 51));
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten() {
        let mut tally = PerMessage::default();
        for i in 0..2 * REMEMBERED {
            tally.note(&format!("m{i}"), usage(1, 2));
        }
        assert_eq!(tally.known.len(), REMEMBERED);
        assert_eq!(tally.total(), usage(32_768, 65_536));
    }

    #[test]
    fn t13_stream_and_record_count_a_message_once_in_any_order() {
        let mut tally = PerMessage::default();
        tally.note("a", usage(1000, 1));
        tally.note_recorded("a", usage(1000, 50), false);
        tally.note_recorded("b", usage(7, 7), false);
        tally.note("b", usage(7, 1));
        assert_eq!(tally.total(), usage(1007, 57));
        // A result has said the sum of both, and of one that only the record will name.
        tally.settle();
        tally.note_recorded("a", usage(1000, 60), true);
        tally.note_recorded("sub", usage(9, 9), true);
        assert!(tally.total().is_zero());
        // The next turn of the same process.
        tally.note_recorded("sub", usage(9, 9), false);
        tally.note("c", usage(3, 1));
        assert_eq!(tally.total(), usage(3, 1));
    }
}
