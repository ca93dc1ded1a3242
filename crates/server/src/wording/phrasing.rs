//! How text of agents and moments in time are made fit for people: cleaned (T31), masked (I12),
//! told in the reader's clock. No sentences of its own.

use std::fmt;
use std::sync::Arc;

use longhaul_agents::{clean_text, snippet};
use longhaul_core::time::UnixMs;
use serde_json::Value;

/// Most characters of foreign text within a line.
const LINE_MAX: usize = 300;
/// Deepest JSON that is looked through; what is deeper is left out.
const DEPTH_MAX: u32 = 32;

/// Tells a moment, given now.
type Clock = Arc<dyn Fn(UnixMs, UnixMs) -> String + Send + Sync>;
/// Hides known secrets.
type Mask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The parts of wording that depend on where it is read. Cheap to clone.
#[derive(Clone)]
pub struct Phrasing {
    clock: Clock,
    mask: Mask,
}

impl fmt::Debug for Phrasing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phrasing").finish_non_exhaustive()
    }
}

impl Default for Phrasing {
    /// UTC, and nothing is known to be secret.
    fn default() -> Self {
        Self::new(utc, str::to_owned)
    }
}

impl Phrasing {
    /// `clock` tells a moment (first argument) to someone who reads it now (second), such as
    /// `02:12`; `mask` replaces every known secret in a text.
    pub fn new(
        clock: impl Fn(UnixMs, UnixMs) -> String + Send + Sync + 'static,
        mask: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            clock: Arc::new(clock),
            mask: Arc::new(mask),
        }
    }

    /// The text without control characters and secrets, lines kept.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        // Cleaned first: a control character within a secret must not hide it from the mask.
        (self.mask)(&clean_text(text))
    }

    /// One clean line, shortened.
    #[must_use]
    pub fn line(&self, text: &str) -> String {
        snippet(&self.clean(text), LINE_MAX)
    }

    /// A moment.
    #[must_use]
    pub fn at(&self, at: UnixMs, now: UnixMs) -> String {
        (self.clock)(at, now)
    }

    /// JSON with every string in it clean, keys included.
    #[must_use]
    pub fn value(&self, value: &Value) -> Value {
        self.value_at(value, DEPTH_MAX)
    }

    fn value_at(&self, value: &Value, depth: u32) -> Value {
        let Some(depth) = depth.checked_sub(1) else {
            return Value::Null;
        };
        match value {
            Value::String(text) => Value::String(self.clean(text)),
            Value::Array(items) => items.iter().map(|v| self.value_at(v, depth)).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(k, v)| (self.clean(k), self.value_at(v, depth)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

/// `02:12 UTC` on the same day, `2026-11-22 02:12 UTC` on another.
fn utc(at: UnixMs, now: UnixMs) -> String {
    const DAY_MS: i64 = 86_400_000;
    let day = at.0.div_euclid(DAY_MS);
    let minute = at.0.rem_euclid(DAY_MS) / 60_000;
    let time = format!("{:02}:{:02} UTC", minute / 60, minute % 60);
    if day == now.0.div_euclid(DAY_MS) {
        return time;
    }
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02} {time}")
}

/// The date of a day since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400
/// years that begin in March.
const fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn moments_are_told_in_utc_by_default() {
        let now = UnixMs(1_795_249_640_000);
        let p = Phrasing::default();
        assert_eq!(p.at(UnixMs(1_795_249_640_000), now), "08:27 UTC");
        assert_eq!(
            p.at(UnixMs(1_795_249_640_000 + 86_400_000), now),
            "2026-11-22 08:27 UTC"
        );
        assert_eq!(p.at(UnixMs(951_782_400_000), now), "2000-02-29 00:00 UTC");
        assert_eq!(p.at(UnixMs(-1), now), "1969-12-31 23:59 UTC");
    }

    #[test]
    fn t31_i12_text_is_cleaned_before_it_is_masked() {
        let p = Phrasing::new(utc, |t| t.replace("hunter2", "***"));
        assert_eq!(p.clean("a\u{1b}[31mhun\u{7}ter2\n"), "a***\n");
        assert_eq!(p.line("a\nb  hunter2"), "a b ***");
        assert_eq!(
            p.value(&json!({"hunter2": ["\u{1b}]0;x\u{7}y", 3]})),
            json!({"***": ["y", 3]})
        );
    }

    #[test]
    fn deep_json_is_cut_and_does_not_overflow() {
        let mut deep = json!("x");
        for _ in 0..10_000 {
            deep = Value::Array(vec![deep]);
        }
        let shown = Phrasing::default().value(&deep).to_string();
        assert_eq!(shown.matches('[').count(), 32);
        // Its drop would recurse as deep as it is.
        while let Value::Array(mut inner) = deep {
            deep = inner.pop().unwrap_or_default();
        }
    }
}
