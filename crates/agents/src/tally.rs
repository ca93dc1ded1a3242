//! Counting usage that a stream repeats: once per API message (T13). Not pricing.

use std::collections::VecDeque;

use longhaul_core::usage::{MicroUsd, Usage};
use serde_json::Value;

use crate::stream::u64_at;

/// Ids of messages whose lines may still be repeated; older ones are settled. Lines of one message
/// stand together, but those of parallel sub-agents are mixed.
const RECENT: usize = 256;

/// Sums usage per message, each message once, with the largest numbers any of its lines had.
#[derive(Debug, Default)]
pub(crate) struct PerMessage {
    settled: Usage,
    recent: VecDeque<(String, Usage)>,
}

impl PerMessage {
    /// Takes one line's usage; true if its message is a new one.
    pub(crate) fn note(&mut self, id: &str, usage: Usage) -> bool {
        if let Some((_, known)) = self.recent.iter_mut().rev().find(|(known, _)| known == id) {
            *known = Usage {
                input: known.input.max(usage.input),
                output: known.output.max(usage.output),
                cache_read: known.cache_read.max(usage.cache_read),
                cache_write: known.cache_write.max(usage.cache_write),
                cost: known.cost.max(usage.cost),
            };
            return false;
        }
        if self.recent.len() >= RECENT
            && let Some((_, oldest)) = self.recent.pop_front()
        {
            self.settled += oldest;
        }
        self.recent
            .push_back((id.chars().take(128).collect(), usage));
        true
    }

    pub(crate) fn total(&self) -> Usage {
        self.recent
            .iter()
            .fold(self.settled, |sum, (_, usage)| sum + *usage)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
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
        for i in 0..10 * RECENT {
            tally.note(&format!("m{i}"), usage(1, 2));
        }
        assert_eq!(tally.recent.len(), RECENT);
        assert_eq!(tally.total(), usage(2560, 5120));
    }
}
