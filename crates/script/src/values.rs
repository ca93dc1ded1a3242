//! The values that commands take: times, sizes, tokens, codes.

use std::time::Duration;

use crate::command::Tokens;
use crate::parse::Problem;

/// The longest time a script can name: 30 days.
const MAX_WAIT: Duration = Duration::from_secs(30 * 86_400);

/// The most a script can flood: 4 GiB.
const MAX_FLOOD_BYTES: u64 = 4 << 30;

/// `input=N output=N cost=0.01`, in any order, every part optional.
pub(crate) fn tokens(rest: &str) -> Result<Tokens, Problem> {
    let mut tokens = Tokens::default();
    for part in rest.split_whitespace() {
        let bad = || Problem::Value {
            found: part.to_owned(),
            wants: "input=N, output=N, cache_read=N, cache_write=N or cost=0.01",
        };
        let (key, value) = part.split_once('=').ok_or_else(bad)?;
        if key == "cost" {
            let cost: f64 = value.parse().map_err(|_| bad())?;
            if !cost.is_finite() || cost < 0.0 {
                return Err(bad());
            }
            tokens.cost_usd = Some(cost);
            continue;
        }
        let field = match key {
            "input" => &mut tokens.input,
            "output" => &mut tokens.output,
            "cache_read" => &mut tokens.cache_read,
            "cache_write" => &mut tokens.cache_write,
            _ => return Err(bad()),
        };
        *field = value.parse().map_err(|_| bad())?;
    }
    Ok(tokens)
}

/// `1.5s`, `300ms`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Problem> {
    let bad = || Problem::Value {
        found: text.to_owned(),
        wants: "a time, such as `300ms`, `1.5s`, `2m` or `1h`, at most 30 days",
    };
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .ok_or_else(bad)?;
    let (number, unit) = text.split_at(unit_at);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(bad()),
    };
    let number: f64 = number.trim().parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(number * seconds_per_unit)
        .ok()
        .filter(|d| *d <= MAX_WAIT)
        .ok_or_else(bad)
}

/// `4096`, `64K`, `10M`, `1G`.
pub(crate) fn bytes(text: &str) -> Result<u64, Problem> {
    let (number, scale) = match text.char_indices().next_back() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let parsed = number.trim().parse::<u64>().ok();
    parsed
        .and_then(|n| n.checked_mul(scale))
        .filter(|n| *n <= MAX_FLOOD_BYTES)
        .ok_or_else(|| Problem::Value {
            found: text.to_owned(),
            wants: "a size, such as `4096`, `64K` or `10M`, at most 4G",
        })
}

/// An exit code.
pub(crate) fn number(text: &str) -> Result<u8, Problem> {
    text.parse().map_err(|_| Problem::Value {
        found: text.to_owned(),
        wants: "a code from 0 to 255",
    })
}
