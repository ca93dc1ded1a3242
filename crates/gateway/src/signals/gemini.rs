//! Google: `RESOURCE_EXHAUSTED` with its details. Headers tell nothing.

use hyper::HeaderMap;
use longhaul_agents::limits::{ResetText, Zone};
use longhaul_core::limit::LimitClass;
use serde_json::Value;

use super::{Asked, Refusal, Scope, after, by_status, retry_after, str_at};

pub(super) fn refusal(
    asked: Asked<'_>,
    status: u16,
    headers: &HeaderMap,
    body: &Value,
) -> Option<Refusal> {
    // Streams answer with a list of one error.
    let error = body
        .pointer("/0/error")
        .or_else(|| body.get("error"))
        .unwrap_or(&Value::Null);
    let words = format!(
        "{}: {}",
        str_at(error, "/status"),
        str_at(error, "/message")
    );
    let reason = details(error)
        .map(|d| str_at(d, "/reason"))
        .find(|r| !r.is_empty());
    match (status, reason) {
        (429, Some("MODEL_CAPACITY_EXHAUSTED")) => {
            Some(Refusal::new(LimitClass::Overload, Scope::Account, &words))
        }
        (429, _) => {
            let mut limited = exhausted(asked, error, &words);
            if limited.until.is_none()
                && let Some(span) = retry_after(headers)
            {
                limited.class = LimitClass::Quota;
                limited.until = Some(asked.now.plus(span));
            }
            Some(limited)
        }
        (400, Some("API_KEY_INVALID"))
        | (403, Some("CONSUMER_SUSPENDED" | "API_KEY_SERVICE_BLOCKED" | "SERVICE_DISABLED")) => {
            Some(Refusal::new(LimitClass::Auth, Scope::Account, &words))
        }
        (400, None) if str_at(error, "/message").starts_with("API key not valid") => {
            Some(Refusal::new(LimitClass::Auth, Scope::Account, &words))
        }
        (403, Some("BILLING_DISABLED")) => {
            Some(Refusal::new(LimitClass::Billing, Scope::Account, &words))
        }
        _ => by_status(asked, status, &words),
    }
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error
        .get("details")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// A daily quota rests until midnight in California whatever `RetryInfo` says; another until `RetryInfo`.
fn exhausted(asked: Asked<'_>, error: &Value, words: &str) -> Refusal {
    let scope = Scope::of_model(asked.model);
    let ids = || {
        details(error)
            .filter_map(|d| d.get("violations")?.as_array())
            .flatten()
            .map(|v| str_at(v, "/quotaId"))
    };
    if let Some(id) = ids().find(|id| id.contains("PerDay")) {
        let until = ResetText::PacificMidnight.resolve(asked.now, &Zone::default(), None);
        return Refusal::new(LimitClass::Quota, scope, words)
            .until(until)
            .window(Some(id));
    }
    let delay = details(error)
        .map(|d| str_at(d, "/retryDelay"))
        .find(|delay| !delay.is_empty());
    match delay.and_then(|delay| after(asked, delay)) {
        Some(until) => Refusal::new(LimitClass::Quota, scope, words)
            .until(Some(until))
            .window(ids().next()),
        None => Refusal::new(LimitClass::Throttle, scope, words),
    }
}

pub(super) fn stream_refusal(asked: Asked<'_>, event: &Value) -> Option<Refusal> {
    let code = event.pointer("/error/code").and_then(Value::as_u64)?;
    refusal(asked, u16::try_from(code).ok()?, &HeaderMap::new(), event)
}
