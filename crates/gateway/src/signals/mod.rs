//! What a provider's answer says of limits: headers, status and typed error bodies as facts (A5, the most
//! trusted source). Tables of facts/limits.md §1. No clock, no state: what follows from it is `routing`'s.

mod anthropic;
mod gemini;
mod openai;
#[cfg(test)]
mod table;

use hyper::HeaderMap;
use longhaul_agents::limits::{ResetText, SNIPPET_CHARS, Zone};
use longhaul_agents::{clean_text, snippet};
use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::{SpanMs, UnixMs};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::Provider;

/// What of an account a limit or a window holds for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of it.
    Account,
    /// One model.
    Model(String),
    /// All models with this word in their name.
    Family(String),
}

impl Scope {
    /// Whether a request for this model falls under it.
    #[must_use]
    pub fn covers(&self, model: Option<&str>) -> bool {
        match self {
            Self::Account => true,
            Self::Model(name) => model == Some(name),
            Self::Family(word) => model.is_some_and(|model| model.contains(word.as_str())),
        }
    }

    /// The model, or the word in its name.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Account => None,
            Self::Model(name) => Some(name),
            Self::Family(word) => Some(word),
        }
    }

    /// Of this model; of the account, where the request names none.
    fn of_model(model: Option<&str>) -> Self {
        model.map_or(Self::Account, |name| Self::Model(name.to_owned()))
    }
}

/// A window as headers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowReading {
    /// The provider's name of it.
    pub name: String,
    /// What it holds for.
    pub scope: Scope,
    /// Its size.
    pub limit: Option<u64>,
    /// What is left.
    pub remaining: Option<u64>,
    /// Used, in thousandths; more than 1000 is possible.
    pub used_permille: Option<u32>,
    /// Its length in minutes.
    pub minutes: Option<u64>,
    /// When it starts anew.
    pub reset_at: Option<UnixMs>,
}

impl WindowReading {
    fn new(name: &str, scope: Scope) -> Self {
        Self {
            name: name.to_owned(),
            scope,
            limit: None,
            remaining: None,
            used_permille: None,
            minutes: None,
            reset_at: None,
        }
    }

    /// Fills in the share from limit and remaining.
    fn with_share(mut self) -> Self {
        if let (Some(limit @ 1..), Some(left)) = (self.limit, self.remaining) {
            let used = u128::from(limit.saturating_sub(left)) * 1000 / u128::from(limit);
            self.used_permille = u32::try_from(used).ok();
        }
        self
    }
}

/// A refusal as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its class.
    pub class: LimitClass,
    /// What it holds for.
    pub scope: Scope,
    /// When it ends, where that was said.
    pub until: Option<UnixMs>,
    /// The window, in the provider's words.
    pub window: Option<String>,
    /// What was seen.
    pub snippet: String,
    /// True if no rule knew the words and only the status was read: a candidate for a rule.
    pub unknown_words: bool,
}

impl Refusal {
    fn new(class: LimitClass, scope: Scope, words: &str) -> Self {
        Self {
            class,
            scope,
            until: None,
            window: None,
            snippet: snippet(&clean_text(words), SNIPPET_CHARS),
            unknown_words: false,
        }
    }

    fn until(mut self, until: Option<UnixMs>) -> Self {
        self.until = until;
        self
    }

    fn window(mut self, window: Option<&str>) -> Self {
        self.window = window.map(str::to_owned);
        self
    }

    fn unknown(mut self) -> Self {
        self.unknown_words = true;
        self
    }

    /// As the daemon's word for it.
    #[must_use]
    pub fn notice(&self) -> LimitNotice {
        LimitNotice {
            class: self.class,
            reset_at: self.until,
            window: self.window.clone(),
            snippet: self.snippet.clone(),
        }
    }
}

/// What was asked, as far as a reading of the answer needs it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The provider.
    pub provider: Provider,
    /// The model.
    pub model: Option<&'a str>,
    /// When the answer came.
    pub now: UnixMs,
}

/// The windows that an answer's headers tell of; none is not the same as empty ones (R5).
#[must_use]
pub fn windows(asked: Asked<'_>, headers: &HeaderMap) -> Vec<WindowReading> {
    match asked.provider {
        Provider::Anthropic => anthropic::windows(asked, headers),
        Provider::Openai => openai::windows(asked, headers),
        Provider::Gemini => Vec::new(),
    }
}

/// What an answer with an error status means for its account; `None` if it says nothing of it (the request
/// itself is wrong, say). `body` may be cut.
#[must_use]
pub fn refusal(asked: Asked<'_>, status: u16, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    match asked.provider {
        Provider::Anthropic => anthropic::refusal(asked, status, headers, &body),
        Provider::Openai => openai::refusal(asked, status, headers, &body),
        Provider::Gemini => gemini::refusal(asked, status, headers, &body),
    }
}

/// What an error inside a 200 stream means: the JSON of the event that holds it.
#[must_use]
pub fn stream_refusal(asked: Asked<'_>, event: &Value) -> Option<Refusal> {
    match asked.provider {
        Provider::Anthropic => anthropic::stream_refusal(asked, event),
        Provider::Openai => openai::stream_refusal(asked, event),
        Provider::Gemini => gemini::stream_refusal(asked, event),
    }
}

/// `retry-after-ms`, else `retry-after` in seconds; dates are not used by these providers.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<SpanMs> {
    if let Some(ms) = number(headers, "retry-after-ms") {
        return Some(SpanMs(ms));
    }
    let text = text(headers, "retry-after")?;
    let secs: f64 = text.parse().ok()?;
    span_of_secs(secs)
}

/// Whether the answer says that trying again can, or cannot, help.
#[must_use]
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match text(headers, "x-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "its range is checked just before"
)]
fn span_of_secs(secs: f64) -> Option<SpanMs> {
    let absurd = 62.0 * 24.0 * 3600.0;
    (0.0..=absurd)
        .contains(&secs)
        .then(|| SpanMs((secs * 1000.0).ceil() as u64))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// A reset as an epoch in seconds, within what a window of this name can last.
fn epoch(asked: Asked<'_>, secs: i64, window: Option<&str>) -> Option<UnixMs> {
    ResetText::parse(&secs.to_string())?.resolve(asked.now, &Zone::default(), window)
}

/// A reset after a span (`6m0s`, `1.5s`).
fn after(asked: Asked<'_>, span: &str) -> Option<UnixMs> {
    match ResetText::parse(span)? {
        reset @ ResetText::In(_) => reset.resolve(asked.now, &Zone::default(), None),
        ResetText::At(_) | ResetText::Clock { .. } | ResetText::PacificMidnight => None,
    }
}

/// The latest of the resets, since all of the windows must have started anew.
fn latest(windows: &[WindowReading]) -> Option<UnixMs> {
    let spent = |w: &&WindowReading| {
        w.remaining == Some(0) || w.used_permille.is_some_and(|used| used >= 1000)
    };
    windows
        .iter()
        .filter(spent)
        .filter_map(|w| w.reset_at)
        .max()
}

/// A class by status alone, for all providers alike: what no rule about the body knew.
fn by_status(asked: Asked<'_>, status: u16, words: &str) -> Option<Refusal> {
    let class = longhaul_agents::limits::read_status(u64::from(status))?;
    let scope = match (status, class) {
        // A key may be refused one model and serve another.
        (403, _) | (_, LimitClass::Throttle) => Scope::of_model(asked.model),
        _ => Scope::Account,
    };
    Some(Refusal::new(class, scope, words))
}

fn str_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}
