//! The gateway's own refusals, in the shape in which the provider would write them: clients know what to do with
//! those.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use longhaul_core::limit::LimitClass;
use longhaul_core::time::UnixMs;
use serde_json::{Value, json};

use crate::api::Provider;

/// Why the gateway itself answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The request is meant for somebody else.
    ForeignHost,
    /// No session has this token.
    BadToken,
    /// It is not a request that is passed on.
    BadRequest,
    /// The body did not come in time.
    SlowBody,
    /// The body is too large.
    TooLarge,
    /// No accounts were given since the start.
    NoAccounts,
    /// None for this session.
    NoAccount,
    /// The budget is used up.
    OverBudget,
    /// The model has no price, and the budget is in money.
    UnknownPrice,
    /// Every account has as many requests as it may.
    Busy,
    /// None can serve.
    Exhausted(LimitClass, Option<UnixMs>),
    /// The provider cannot be reached.
    Unreachable(Unreached),
    /// The provider did not answer in time.
    Silent,
}

/// What stands between the gateway and a provider, as far as somebody can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreached {
    /// Its name is not known.
    Name,
    /// No connection in time.
    Late,
    /// Its certificate is not to be trusted.
    Certificate,
    /// No encrypted connection, for another reason.
    Encryption,
    /// `HTTPS_PROXY` is no address of a proxy.
    ProxyAddress,
    /// The proxy wants to know who asks.
    ProxyUnknown,
    /// The proxy cannot be reached, or does not let through.
    Proxy,
    /// No connection, or one that broke.
    Other,
}

impl Unreached {
    const fn words(self) -> &'static str {
        match self {
            Self::Name => {
                "the provider cannot be reached: its name is not known here (is the network there?)"
            }
            Self::Late => "the provider cannot be reached: no connection in time",
            Self::Certificate => {
                "the provider cannot be reached: its certificate is not trusted. If your company looks into encrypted traffic, name its certificates in SSL_CERT_FILE and run `longhaul gateway stop`"
            }
            Self::Encryption => "the provider cannot be reached: no encrypted connection",
            Self::ProxyAddress => {
                "the provider cannot be reached: HTTPS_PROXY is no http:// address. Correct it and run `longhaul gateway stop`"
            }
            Self::ProxyUnknown => {
                "the provider cannot be reached: the proxy of HTTPS_PROXY wants a name and a password (http://NAME:PASSWORD@HOST:PORT)"
            }
            Self::Proxy => {
                "the provider cannot be reached: the proxy of HTTPS_PROXY does not answer or does not let through"
            }
            Self::Other => "the provider cannot be reached",
        }
    }
}

/// An answer of the gateway's own.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body.
    pub(crate) body: Bytes,
}

/// `x-should-retry`, which clients obey.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Seconds until then, rounded up, at least one.
#[must_use]
pub(crate) fn seconds_until(until: UnixMs, now: UnixMs) -> u64 {
    until.since(now).0.div_ceil(1000).max(1)
}

/// The answer. `waits`: the client sleeps through long waits by itself.
#[must_use]
pub(crate) fn answer(provider: Provider, why: Why, now: UnixMs, waits: bool) -> Answer {
    let (status, message) = words(why);
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let until = match why {
        Why::Exhausted(LimitClass::Quota | LimitClass::Overload, until) => until,
        Why::Busy => Some(UnixMs(now.0.saturating_add(1000))),
        _ => None,
    };
    let seconds = until.map(|until| seconds_until(until, now));
    if let Some(seconds) = seconds {
        headers.push((RETRY_AFTER, HeaderValue::from(seconds)));
    }
    let retry = match why {
        Why::Exhausted(LimitClass::Quota, _) => waits.then_some("true"),
        Why::OverBudget | Why::UnknownPrice | Why::BadToken | Why::NoAccount => Some("false"),
        Why::Exhausted(LimitClass::Billing | LimitClass::Auth, _) => Some("false"),
        _ => None,
    };
    if let Some(retry) = retry {
        headers.push((SHOULD_RETRY, HeaderValue::from_static(retry)));
    }
    let body = match provider {
        Provider::Anthropic => json!({"type": "error",
            "error": {"type": anthropic_type(status), "message": message}}),
        Provider::Openai => openai(status, why, &message, until, seconds),
        Provider::Gemini => gemini(status, why, &message, seconds),
    };
    Answer {
        status,
        headers,
        body: Bytes::from(body.to_string()),
    }
}

fn words(why: Why) -> (StatusCode, String) {
    let (status, text) = match why {
        Why::ForeignHost => (403, "this gateway serves its own loopback address alone"),
        Why::BadToken => (401, "the token is not one of a session of this gateway"),
        Why::BadRequest => (400, "the gateway cannot pass this request on"),
        Why::SlowBody => (408, "the body of the request did not come in time"),
        Why::TooLarge => (413, "the request is larger than 32 MB"),
        Why::NoAccounts => (
            503,
            "the gateway has no keys yet: it was started anew and the daemon of Longhaul has not been here since",
        ),
        Why::NoAccount => (403, "there is no account for this session"),
        Why::OverBudget => (402, "the budget of this session is used up"),
        Why::UnknownPrice => (
            402,
            "the budget of this session is in money, and the price of this model is not known",
        ),
        Why::Busy => (
            429,
            "every account has as many requests as it may; try again",
        ),
        Why::Exhausted(LimitClass::Quota | LimitClass::Throttle, _) => {
            (429, "every account of this session is at its limit")
        }
        Why::Exhausted(LimitClass::Overload, _) => {
            (529, "the provider fails for every account of this session")
        }
        Why::Exhausted(LimitClass::Billing, _) => (402, "no account of this session has credit"),
        Why::Exhausted(LimitClass::Auth, _) => {
            (401, "the key of every account of this session was refused")
        }
        Why::Unreachable(cause) => (502, cause.words()),
        Why::Silent => (504, "the provider did not answer in time"),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (status, format!("Longhaul: {text}"))
}

fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        400 | 408 => "invalid_request_error",
        _ => "api_error",
    }
}

fn openai(
    status: StatusCode,
    why: Why,
    message: &str,
    until: Option<UnixMs>,
    seconds: Option<u64>,
) -> Value {
    // Clients take a reset from this one alone.
    if let (Why::Exhausted(LimitClass::Quota, _), Some(until)) = (why, until) {
        return json!({"error": {"type": "usage_limit_reached", "message": message,
            "code": "usage_limit_reached", "param": null,
            "resets_at": until.0.div_euclid(1000) + i64::from(until.0.rem_euclid(1000) > 0),
            "resets_in_seconds": seconds}});
    }
    let (kind, code) = match status.as_u16() {
        401 => ("invalid_request_error", "invalid_api_key"),
        402 => ("insufficient_quota", "insufficient_quota"),
        403 => ("invalid_request_error", "permission_denied"),
        429 => ("requests", "rate_limit_exceeded"),
        400 | 408 | 413 => ("invalid_request_error", "invalid_request"),
        _ => ("server_error", "server_error"),
    };
    json!({"error": {"type": kind, "code": code, "message": message, "param": null}})
}

fn gemini(status: StatusCode, why: Why, message: &str, seconds: Option<u64>) -> Value {
    let word = match status.as_u16() {
        400 | 413 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        402 | 403 => "PERMISSION_DENIED",
        408 | 504 => "DEADLINE_EXCEEDED",
        429 => "RESOURCE_EXHAUSTED",
        _ => "UNAVAILABLE",
    };
    let mut details = Vec::new();
    if let (Why::Exhausted(LimitClass::Quota, _) | Why::Busy, Some(seconds)) = (why, seconds) {
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{seconds}s")}));
    }
    json!({"error": {"code": status.as_u16(), "message": message, "status": word,
        "details": details}})
}
