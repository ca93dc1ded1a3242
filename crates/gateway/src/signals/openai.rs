//! OpenAI: `x-ratelimit-*` of keys, `x-codex-*` of plans, error objects of Responses and Chat Completions.

use hyper::HeaderMap;
use longhaul_core::limit::LimitClass;
use longhaul_core::time::UnixMs;
use serde_json::Value;

use super::{
    Asked, Refusal, Scope, WindowReading, after, by_status, epoch, latest, number, retry_after,
    str_at, text,
};

pub(super) fn windows(asked: Asked<'_>, headers: &HeaderMap) -> Vec<WindowReading> {
    let mut found = Vec::new();
    for name in ["requests", "tokens"] {
        let mut window = WindowReading::new(name, Scope::of_model(asked.model));
        window.limit = number(headers, &format!("x-ratelimit-limit-{name}"));
        window.remaining = number(headers, &format!("x-ratelimit-remaining-{name}"));
        let reset = text(headers, &format!("x-ratelimit-reset-{name}"));
        window.reset_at = reset.and_then(|t| after(asked, t));
        if window.limit.is_some() || window.remaining.is_some() {
            found.push(window.with_share());
        }
    }
    for name in ["primary", "secondary"] {
        let field = |what: &str| format!("x-codex-{name}-{what}");
        let used: Option<f64> = text(headers, &field("used-percent")).and_then(|t| t.parse().ok());
        let reset = text(headers, &field("reset-at")).and_then(|t| t.parse().ok());
        let mut window = WindowReading::new(name, Scope::Account);
        window.used_permille = used.and_then(permille);
        window.minutes = number(headers, &field("window-minutes"));
        window.reset_at = reset.and_then(|secs| epoch(asked, secs, None));
        if window.used_permille.is_some() {
            found.push(window);
        }
    }
    found
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "its range is checked just before"
)]
fn permille(percent: f64) -> Option<u32> {
    (0.0..=10_000.0)
        .contains(&percent)
        .then(|| (percent * 10.0).round() as u32)
}

pub(super) fn refusal(
    asked: Asked<'_>,
    status: u16,
    headers: &HeaderMap,
    body: &Value,
) -> Option<Refusal> {
    let error = body.get("error").unwrap_or(body);
    if let Some(known) = typed(asked, error) {
        return Some(known);
    }
    let message = str_at(error, "/message");
    let words = format!("{}: {message}", kind_of(error));
    if status != 429 {
        return by_status(asked, status, &words);
    }
    let windows = windows(asked, headers);
    let until = retry_after(headers)
        .map(|span| asked.now.plus(span))
        .or_else(|| said(asked, message))
        .or_else(|| latest(&windows));
    let plan = windows
        .iter()
        .find(|w| w.scope == Scope::Account && w.used_permille >= Some(1000));
    let scope = match plan {
        Some(_) => Scope::Account,
        None => Scope::of_model(asked.model),
    };
    Some(match until {
        Some(until) => Refusal::new(LimitClass::Quota, scope, &words)
            .until(Some(until))
            .window(
                windows
                    .iter()
                    .find(|w| w.remaining == Some(0))
                    .map(|w| w.name.as_str()),
            ),
        None => {
            let bare = Refusal::new(LimitClass::Throttle, scope, &words);
            match kind_of(error) {
                "rate_limit_exceeded" | "requests" | "tokens" | "rate_limit_error" => bare,
                _ => bare.unknown(),
            }
        }
    })
}

/// What the error's own type or code says, whatever the status.
fn typed(asked: Asked<'_>, error: &Value) -> Option<Refusal> {
    let message = str_at(error, "/message");
    for kind in [str_at(error, "/code"), str_at(error, "/type")] {
        let words = format!("{kind}: {message}");
        match kind {
            "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" => {
                return Some(Refusal::new(LimitClass::Billing, Scope::Account, &words));
            }
            "usage_limit_reached" | "usage_limit_exceeded" => {
                let whole = |name: &str| error.get(name).and_then(Value::as_i64);
                let until = match (whole("resets_at"), whole("resets_in_seconds")) {
                    (Some(secs), _) => epoch(asked, secs, None),
                    (None, Some(secs)) => after(asked, &format!("{secs}s")),
                    (None, None) => None,
                };
                let refused = Refusal::new(LimitClass::Quota, Scope::Account, &words);
                return Some(refused.until(until));
            }
            "invalid_api_key" | "account_deactivated" => {
                return Some(Refusal::new(LimitClass::Auth, Scope::Account, &words));
            }
            _ => {}
        }
    }
    None
}

/// `Please try again in 1.054s.`
fn said(asked: Asked<'_>, message: &str) -> Option<UnixMs> {
    let (_, rest) = message.split_once("try again in ")?;
    let sentence = rest.trim_end_matches('.');
    let word = rest.split_whitespace().next()?.trim_end_matches('.');
    after(asked, sentence).or_else(|| after(asked, word))
}

fn kind_of(error: &Value) -> &str {
    match str_at(error, "/code") {
        "" => str_at(error, "/type"),
        code => code,
    }
}

pub(super) fn stream_refusal(asked: Asked<'_>, event: &Value) -> Option<Refusal> {
    // Responses: `response.failed` holds it below `response`, `error` is it; Chat: below `error`.
    let error = event
        .pointer("/response/error")
        .or_else(|| event.get("error"))
        .filter(|error| error.is_object())
        .or_else(|| (str_at(event, "/type") == "error").then_some(event))?;
    if let Some(known) = typed(asked, error) {
        return Some(known);
    }
    let message = str_at(error, "/message");
    let words = format!("{}: {message}", kind_of(error));
    match kind_of(error) {
        "rate_limit_exceeded" | "rate_limit_error" => {
            let scope = Scope::of_model(asked.model);
            Some(match said(asked, message) {
                Some(until) => Refusal::new(LimitClass::Quota, scope, &words).until(Some(until)),
                None => Refusal::new(LimitClass::Throttle, scope, &words),
            })
        }
        "server_error" | "server_is_overloaded" | "slow_down" => {
            Some(Refusal::new(LimitClass::Overload, Scope::Account, &words))
        }
        _ => None,
    }
}
