//! What tokens cost: the bundled, dated table and the user's own prices before it (A11). A model that neither
//! knows has no cost, never the cost 0.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use longhaul_core::usage::{MicroUsd, Usage};
use serde::Deserialize;

use crate::api::Price;

static BUNDLED: LazyLock<Table> = LazyLock::new(|| {
    serde_json::from_str(include_str!("prices.json")).expect("a constant, read by a test")
});

/// The bundled table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The day on which the providers' lists were read.
    date: String,
    models: BTreeMap<String, Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    price: Price,
    /// Prompts larger than this cost otherwise.
    #[serde(default)]
    long: Option<Long>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    over_tokens: u64,
    price: Price,
}

/// The day of the bundled table, `YYYY-MM-DD`.
#[must_use]
pub fn table_date() -> &'static str {
    &BUNDLED.date
}

/// Whether anybody knows what this model costs.
#[must_use]
pub fn is_known(own: &BTreeMap<String, Price>, model: &str) -> bool {
    price_of(own, model, 0).is_some()
}

/// What an answer cost; `None` where the model has no price.
#[must_use]
pub fn cost(own: &BTreeMap<String, Price>, model: &str, usage: &Usage) -> Option<MicroUsd> {
    let prompt = usage
        .input
        .saturating_add(usage.cache_read)
        .saturating_add(usage.cache_write);
    let price = price_of(own, model, prompt)?;
    // Dollars for a million tokens are millionths of a dollar for one.
    let micro = |tokens: u64, price: f64| tokens as f64 * price;
    let sum = micro(usage.input, price.input)
        + micro(usage.output, price.output)
        + micro(usage.cache_read, price.cache_read.unwrap_or(price.input))
        + micro(usage.cache_write, price.cache_write.unwrap_or(price.input));
    Some(MicroUsd::from_usd(sum / 1e6))
}

fn price_of(own: &BTreeMap<String, Price>, model: &str, prompt: u64) -> Option<Price> {
    let name = model.strip_prefix("models/").unwrap_or(model);
    if let Some(price) = own.get(model).or_else(|| own.get(name)) {
        return Some(*price);
    }
    let base = base_name(name);
    if let Some(price) = own.get(base) {
        return Some(*price);
    }
    let row = BUNDLED
        .models
        .get(name)
        .or_else(|| BUNDLED.models.get(base))?;
    match &row.long {
        Some(long) if prompt > long.over_tokens => Some(long.price),
        _ => Some(row.price),
    }
}

/// A model's name without the date of its version: `claude-sonnet-4-5-20250929`, `gpt-5-2025-08-07`, `…-latest`.
fn base_name(name: &str) -> &str {
    let name = name.strip_suffix("[1m]").unwrap_or(name);
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((head, tail)) = name.rsplit_once(['-', '@'])
        && tail.len() == 8
        && digits(tail)
    {
        return head;
    }
    let mut parts = name.rsplitn(4, '-');
    if let (Some(day), Some(month), Some(year), Some(head)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
        && (day.len(), month.len(), year.len()) == (2, 2, 4)
        && digits(day)
        && digits(month)
        && digits(year)
    {
        return head;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Usage {
        Usage {
            input,
            output,
            cache_read,
            cache_write,
            cost: None,
        }
    }

    #[test]
    fn a11_the_bundled_table_is_sound_and_dated() {
        assert_eq!(table_date().len(), 10);
        for (name, row) in &BUNDLED.models {
            let p = row.price;
            assert!(p.input > 0.0 && p.output >= p.input, "{name}");
            assert!(p.cache_read.is_none_or(|read| read <= p.input), "{name}");
            assert_eq!(base_name(name), name, "rows have no date");
        }
    }

    #[test]
    fn a11_each_kind_of_token_has_its_price() {
        let none = BTreeMap::new();
        let cost = |model: &str, u: &Usage| cost(&none, model, u);
        // A million each: 3 + 15 + 0.3 + 3.75.
        let million = usage(1_000_000, 1_000_000, 0, 0);
        assert_eq!(
            cost("claude-haiku-4-5-20251001", &million),
            Some(MicroUsd(6_000_000))
        );
        let mixed = usage(1000, 50, 300, 200);
        // 1000·3 + 50·15 + 300·0.3 + 200·3.75 = 4590 millionths.
        assert_eq!(cost("claude-sonnet-4-5", &mixed), Some(MicroUsd(4590)));
        assert_eq!(
            cost("models/gemini-2.5-pro", &usage(100, 10, 0, 0)),
            Some(MicroUsd(225))
        );
        // Beyond 200,000 tokens of prompt the long price holds.
        assert_eq!(
            cost("gemini-2.5-pro", &usage(300_000, 0, 0, 0)),
            Some(MicroUsd(750_000))
        );
    }

    #[test]
    fn a11_an_unknown_model_has_no_cost_and_the_users_price_goes_first() {
        let none = BTreeMap::new();
        assert_eq!(cost(&none, "some-new-model", &usage(5, 5, 0, 0)), None);
        assert!(!is_known(&none, "some-new-model"));
        let price = Price {
            input: 2.0,
            output: 4.0,
            cache_read: None,
            cache_write: None,
        };
        let own = BTreeMap::from([
            ("some-new-model".to_owned(), price),
            ("gpt-5".to_owned(), price),
        ]);
        assert_eq!(
            cost(&own, "some-new-model", &usage(1, 1, 1, 1)),
            Some(MicroUsd(10))
        );
        assert_eq!(
            cost(&own, "gpt-5-2025-08-07", &usage(1, 0, 0, 0)),
            Some(MicroUsd(2))
        );
    }

    #[test]
    fn dates_of_versions_are_left_out() {
        for (name, base) in [
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("claude-3-5-haiku-latest", "claude-3-5-haiku"),
            ("claude-opus-4-1@20250805", "claude-opus-4-1"),
            ("gpt-5-2025-08-07", "gpt-5"),
            ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
            ("gpt-5.1-codex", "gpt-5.1-codex"),
            ("o3", "o3"),
        ] {
            assert_eq!(base_name(name), base);
        }
    }
}
