//! Anthropic: `anthropic-ratelimit-*` of keys, `anthropic-ratelimit-unified-*` of subscriptions, error objects.

use hyper::HeaderMap;
use longhaul_core::limit::LimitClass;
use longhaul_core::time::UnixMs;
use serde_json::Value;

use super::{
    Asked, Refusal, Scope, WindowReading, by_status, epoch, latest, number, retry_after, str_at,
    text,
};

const UNIFIED: &str = "anthropic-ratelimit-unified-";
/// The buckets of keys, by their name in headers.
const BUCKETS: [(&str, &str); 4] = [
    ("requests", "requests"),
    ("tokens", "tokens"),
    ("input-tokens", "input_tokens"),
    ("output-tokens", "output_tokens"),
];
/// The windows of subscriptions: header, length in minutes, the words that bound a reset.
const WINDOWS: [(&str, Option<u64>, &str); 4] = [
    ("5h", Some(300), "five_hour"),
    ("7d", Some(10_080), "seven_day"),
    ("7d_oi", Some(10_080), "seven_day"),
    ("overage", None, "overage"),
];

pub(super) fn windows(asked: Asked<'_>, headers: &HeaderMap) -> Vec<WindowReading> {
    let mut found = Vec::new();
    for (part, name) in BUCKETS {
        let field = |what: &str| format!("anthropic-ratelimit-{part}-{what}");
        let mut window = WindowReading::new(name, Scope::of_model(asked.model));
        window.limit = number(headers, &field("limit"));
        window.remaining = number(headers, &field("remaining"));
        window.reset_at = text(headers, &field("reset")).and_then(rfc3339);
        window.minutes = Some(1);
        if window.limit.is_some() || window.remaining.is_some() {
            found.push(window.with_share());
        }
    }
    for (part, minutes, words) in WINDOWS {
        let field = |what: &str| format!("{UNIFIED}{part}-{what}");
        let used: Option<f64> = text(headers, &field("utilization")).and_then(|t| t.parse().ok());
        let reset = text(headers, &field("reset")).and_then(|t| t.parse().ok());
        let mut window = WindowReading::new(part, Scope::Account);
        window.used_permille = used.and_then(permille);
        window.minutes = minutes;
        window.reset_at = reset.and_then(|secs| epoch(asked, secs, Some(words)));
        if window.used_permille.is_some() || window.reset_at.is_some() {
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
fn permille(share: f64) -> Option<u32> {
    (0.0..=100.0)
        .contains(&share)
        .then(|| (share * 1000.0).round() as u32)
}

fn rfc3339(text: &str) -> Option<UnixMs> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(UnixMs(at.as_millisecond()))
}

pub(super) fn refusal(
    asked: Asked<'_>,
    status: u16,
    headers: &HeaderMap,
    body: &Value,
) -> Option<Refusal> {
    let kind = str_at(body, "/error/type");
    let message = str_at(body, "/error/message");
    let words = format!("{kind}: {message}");
    match status {
        429 => Some(limited(asked, headers, kind, &words)),
        // The one refusal of an account that comes with the status of a wrong request.
        400 if message.contains("credit balance is too low") => {
            Some(Refusal::new(LimitClass::Billing, Scope::Account, &words))
        }
        _ => by_status(asked, status, &words),
    }
}

/// A 429: a quota only with a rejected top-level status or a reset; else a throttle.
fn limited(asked: Asked<'_>, headers: &HeaderMap, kind: &str, words: &str) -> Refusal {
    if let Some(top) = text(headers, &format!("{UNIFIED}status")) {
        // A window may say `rejected` while the account as a whole serves: the top alone decides.
        if top != "rejected" {
            return Refusal::new(LimitClass::Throttle, Scope::of_model(asked.model), words);
        }
        let claim = text(headers, &format!("{UNIFIED}representative-claim"));
        let scope = match claim {
            Some("seven_day_opus") => Scope::Family("opus".to_owned()),
            Some("seven_day_sonnet") => Scope::Family("sonnet".to_owned()),
            _ => Scope::Account,
        };
        let reset = text(headers, &format!("{UNIFIED}reset")).and_then(|t| t.parse().ok());
        let until = reset.and_then(|secs| epoch(asked, secs, claim));
        return Refusal::new(LimitClass::Quota, scope, words)
            .until(until)
            .window(claim);
    }
    let scope = Scope::of_model(asked.model);
    let windows = windows(asked, headers);
    let spent = windows.iter().find(|w| w.remaining == Some(0));
    // `reset` is when the bucket is full again; `retry-after` is when it serves.
    let until = match retry_after(headers) {
        Some(span) => Some(asked.now.plus(span)),
        None => latest(&windows),
    };
    match until {
        Some(until) => Refusal::new(LimitClass::Quota, scope, words)
            .until(Some(until))
            .window(spent.map(|w| w.name.as_str())),
        None => {
            let bare = Refusal::new(LimitClass::Throttle, scope, words);
            if kind == "rate_limit_error" {
                bare
            } else {
                bare.unknown()
            }
        }
    }
}

pub(super) fn stream_refusal(asked: Asked<'_>, event: &Value) -> Option<Refusal> {
    let kind = str_at(event, "/error/type");
    let words = format!("{kind}: {}", str_at(event, "/error/message"));
    let (class, scope) = match kind {
        "rate_limit_error" => (LimitClass::Throttle, Scope::of_model(asked.model)),
        "overloaded_error" | "api_error" | "timeout_error" => {
            (LimitClass::Overload, Scope::Account)
        }
        "authentication_error" => (LimitClass::Auth, Scope::Account),
        "permission_error" => (LimitClass::Auth, Scope::of_model(asked.model)),
        "billing_error" => (LimitClass::Billing, Scope::Account),
        _ => return None,
    };
    Some(Refusal::new(class, scope, &words))
}
