//! facts/limits.md §1 row by row: what providers send, and what it means.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use longhaul_core::limit::LimitClass::{self, Auth, Billing, Overload, Quota, Throttle};
use longhaul_core::time::UnixMs;
use serde_json::{Value, json};

use super::{Asked, Refusal, Scope, refusal, retry_after, should_retry, stream_refusal, windows};
use crate::api::Provider::{self, Anthropic, Gemini, Openai};

/// 2026-11-21T00:00:00Z.
const NOW: UnixMs = UnixMs(1_795_219_200_000);
const NOW_S: i64 = NOW.0 / 1000;
const MODEL: &str = "claude-opus-4-1";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    pairs.iter().map(pair).collect()
}

fn asked(provider: Provider) -> Asked<'static> {
    Asked {
        provider,
        model: Some(MODEL),
        now: NOW,
    }
}

fn read(provider: Provider, status: u16, pairs: &[(&str, &str)], body: &Value) -> Option<Refusal> {
    refusal(
        asked(provider),
        status,
        &headers(pairs),
        body.to_string().as_bytes(),
    )
}

/// Class, seconds until its end, and whom it holds for.
#[track_caller]
fn expect(read: Option<Refusal>, class: LimitClass, ends_in_s: Option<f64>, scope: &Scope) {
    let read = read.unwrap();
    let ends = read.until.map(|until| (until.0 - NOW.0) as f64 / 1000.0);
    assert_eq!(
        (read.class, ends, &read.scope),
        (class, ends_in_s, scope),
        "{read:?}"
    );
}

fn model() -> Scope {
    Scope::Model(MODEL.to_owned())
}

fn claude(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"})
}

#[test]
fn a5_anthropic_keys() {
    let limit = claude(
        "rate_limit_error",
        "This request would exceed the rate limit",
    );
    let bucket = [
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-11-21T00:01:00Z"),
        ("anthropic-ratelimit-input-tokens-limit", "40000"),
        ("anthropic-ratelimit-input-tokens-remaining", "39000"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-11-21T00:59:00Z",
        ),
    ];
    expect(
        read(Anthropic, 429, &bucket, &limit),
        Quota,
        Some(60.0),
        &model(),
    );
    let with_retry: Vec<_> = bucket.into_iter().chain([("retry-after", "7")]).collect();
    expect(
        read(Anthropic, 429, &with_retry, &limit),
        Quota,
        Some(7.0),
        &model(),
    );
    // A bare one, and one whose buckets are not empty, are throttles.
    expect(
        read(Anthropic, 429, &[("x-should-retry", "true")], &limit),
        Throttle,
        None,
        &model(),
    );
    expect(
        read(Anthropic, 429, &bucket[3..], &limit),
        Throttle,
        None,
        &model(),
    );

    for (status, kind, class, scope) in [
        (401, "authentication_error", Auth, Scope::Account),
        (402, "billing_error", Billing, Scope::Account),
        (403, "permission_error", Auth, model()),
        (500, "api_error", Overload, Scope::Account),
        (503, "api_error", Overload, Scope::Account),
        (529, "overloaded_error", Overload, Scope::Account),
    ] {
        expect(
            read(Anthropic, status, &[], &claude(kind, "m")),
            class,
            None,
            &scope,
        );
    }
    let credit = claude(
        "invalid_request_error",
        "Your credit balance is too low to access",
    );
    expect(
        read(Anthropic, 400, &[], &credit),
        Billing,
        None,
        &Scope::Account,
    );
    for status in [400, 404, 413] {
        assert_eq!(
            read(
                Anthropic,
                status,
                &[],
                &claude("invalid_request_error", "x")
            ),
            None
        );
    }
}

#[test]
fn a5_anthropic_unified_the_top_status_alone_decides() {
    let prefix = "anthropic-ratelimit-unified-";
    let reset = (NOW_S + 9000).to_string();
    let with = |status: &str, claim: &str, reset: Option<&str>| {
        let mut pairs = vec![
            (format!("{prefix}status"), status.to_owned()),
            (format!("{prefix}representative-claim"), claim.to_owned()),
            (format!("{prefix}5h-status"), "rejected".to_owned()),
        ];
        pairs.extend(reset.map(|r| (format!("{prefix}reset"), r.to_owned())));
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        read(Anthropic, 429, &pairs, &claude("rate_limit_error", "m"))
    };
    let opus = Scope::Family("opus".to_owned());
    expect(
        with("rejected", "five_hour", Some(&reset)),
        Quota,
        Some(9000.0),
        &Scope::Account,
    );
    expect(
        with("rejected", "seven_day_opus", Some(&reset)),
        Quota,
        Some(9000.0),
        &opus,
    );
    // Out of extra usage, no reset: a long rest of unknown end, no throttle.
    expect(
        with("rejected", "five_hour", None),
        Quota,
        None,
        &Scope::Account,
    );
    for status in ["allowed", "allowed_warning"] {
        expect(
            with(status, "five_hour", Some(&reset)),
            Throttle,
            None,
            &model(),
        );
    }
    assert!(opus.covers(Some("claude-opus-4-1")) && !opus.covers(Some("claude-haiku-4-5")));
}

#[test]
fn a10_windows_are_learned_from_any_answer_and_absent_ones_are_unknown() {
    let all = windows(
        asked(Anthropic),
        &headers(&[
            ("anthropic-ratelimit-unified-5h-utilization", "0.953"),
            (
                "anthropic-ratelimit-unified-5h-reset",
                &(NOW_S + 60).to_string(),
            ),
            ("anthropic-ratelimit-unified-7d-utilization", "1.02"),
            ("anthropic-ratelimit-tokens-limit", "1000"),
            ("anthropic-ratelimit-tokens-remaining", "250"),
        ]),
    );
    let told: Vec<_> = all
        .iter()
        .map(|w| (w.name.as_str(), w.used_permille, w.minutes))
        .collect();
    assert_eq!(
        told,
        [
            ("tokens", Some(750), Some(1)),
            ("5h", Some(953), Some(300)),
            ("7d", Some(1020), Some(10_080))
        ]
    );
    assert_eq!(all[1].reset_at, Some(UnixMs((NOW_S + 60) * 1000)));
    let codex = windows(
        asked(Openai),
        &headers(&[
            ("x-codex-primary-used-percent", "96.4"),
            ("x-codex-primary-window-minutes", "300"),
            ("x-codex-primary-reset-at", &(NOW_S + 90).to_string()),
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m23.45s"),
        ]),
    );
    let told: Vec<_> = codex
        .iter()
        .map(|w| (w.name.as_str(), w.used_permille))
        .collect();
    assert_eq!(told, [("requests", Some(1000)), ("primary", Some(964))]);
    assert_eq!(codex[0].reset_at, Some(UnixMs(NOW.0 + 83_450)));
    for provider in [Anthropic, Openai, Gemini] {
        assert_eq!(windows(asked(provider), &HeaderMap::new()), []);
    }
    // Rubbish is not taken for numbers.
    let rubbish = headers(&[
        ("anthropic-ratelimit-unified-5h-utilization", "NaN"),
        ("anthropic-ratelimit-tokens-limit", "many"),
        ("anthropic-ratelimit-unified-7d-reset", "99999999999999"),
    ]);
    assert_eq!(windows(asked(Anthropic), &rubbish), []);
}

#[test]
fn a5_openai() {
    let error = |kind: &str, code: &str, message: &str| json!({"error": {"type": kind, "code": code, "message": message, "param": null}});
    let again = error(
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached. Please try again in 1.054s.",
    );
    expect(read(Openai, 429, &[], &again), Quota, Some(1.054), &model());
    let plain = error("requests", "rate_limit_exceeded", "Rate limit reached.");
    expect(read(Openai, 429, &[], &plain), Throttle, None, &model());
    let bucket = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    expect(
        read(Openai, 429, &bucket, &plain),
        Quota,
        Some(360.0),
        &model(),
    );
    let empty = error(
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota",
    );
    expect(
        read(Openai, 429, &bucket, &empty),
        Billing,
        None,
        &Scope::Account,
    );
    let plan = json!({"error": {"type": "usage_limit_reached", "message": "m", "plan_type": "plus",
        "resets_at": NOW_S + 500}});
    expect(
        read(Openai, 429, &[], &plan),
        Quota,
        Some(500.0),
        &Scope::Account,
    );
    let seconds = json!({"error": {"type": "usage_limit_reached", "resets_in_seconds": 77}});
    expect(
        read(Openai, 429, &[], &seconds),
        Quota,
        Some(77.0),
        &Scope::Account,
    );
    let key = error(
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided",
    );
    expect(read(Openai, 401, &[], &key), Auth, None, &Scope::Account);
    expect(
        read(Openai, 503, &[], &json!({})),
        Overload,
        None,
        &Scope::Account,
    );
    // Words that no rule knows are a candidate, and no more than a throttle.
    let odd = read(
        Openai,
        429,
        &[],
        &error("new_kind", "new_code", "Your moon quota is gone"),
    );
    assert!(odd.as_ref().is_some_and(|r| r.unknown_words));
    expect(odd, Throttle, None, &model());
    assert_eq!(read(Openai, 400, &[], &plain), None);
}

#[test]
fn a5_gemini() {
    let error = |details: Value| {
        json!({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED",
            "details": details}})
    };
    let delay = |text: &str| json!({"@type": "…RetryInfo", "retryDelay": text});
    let quota = |id: &str| json!({"@type": "…QuotaFailure", "violations": [{"quotaId": id}]});
    let minute = error(json!([
        quota("GenerateRequestsPerMinutePerProject"),
        delay("2.5s")
    ]));
    expect(read(Gemini, 429, &[], &minute), Quota, Some(2.5), &model());
    // Eight hours to midnight in California, whatever the delay says.
    let day = error(json!([
        quota("GenerateRequestsPerDayPerProject"),
        delay("58.217843437s")
    ]));
    expect(
        read(Gemini, 429, &[], &day),
        Quota,
        Some(8.0 * 3600.0),
        &model(),
    );
    let list = json!([day]);
    expect(
        read(Gemini, 429, &[], &list),
        Quota,
        Some(8.0 * 3600.0),
        &model(),
    );
    expect(
        read(Gemini, 429, &[], &error(json!([]))),
        Throttle,
        None,
        &model(),
    );
    let full = error(json!([{"reason": "MODEL_CAPACITY_EXHAUSTED"}, delay("5s")]));
    expect(
        read(Gemini, 429, &[], &full),
        Overload,
        None,
        &Scope::Account,
    );
    let key = json!({"error": {"code": 400, "message": "API key not valid. Please pass", "status":
        "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}});
    expect(read(Gemini, 400, &[], &key), Auth, None, &Scope::Account);
    expect(
        read(Gemini, 503, &[], &json!({})),
        Overload,
        None,
        &Scope::Account,
    );
}

#[test]
fn a9_errors_inside_a_stream() {
    let from = |provider, event: Value| stream_refusal(asked(provider), &event);
    let overloaded = claude("overloaded_error", "Overloaded");
    expect(from(Anthropic, overloaded), Overload, None, &Scope::Account);
    expect(
        from(Anthropic, claude("rate_limit_error", "m")),
        Throttle,
        None,
        &model(),
    );
    assert_eq!(from(Anthropic, claude("invalid_request_error", "m")), None);
    let failed = json!({"type": "response.failed", "response": {"error":
        {"code": "rate_limit_exceeded", "message": "Please try again in 20ms"}}});
    expect(from(Openai, failed), Quota, Some(0.02), &model());
    let plan = json!({"type": "response.failed", "response": {"error":
        {"code": "usage_limit_reached", "message": "m", "resets_at": NOW_S + 60}}});
    expect(from(Openai, plan), Quota, Some(60.0), &Scope::Account);
    let server = json!({"type": "error", "code": "server_error", "message": "m"});
    expect(from(Openai, server), Overload, None, &Scope::Account);
    let gone = json!({"error": {"code": 503, "status": "UNAVAILABLE", "message": "m"}});
    expect(from(Gemini, gone), Overload, None, &Scope::Account);
    for provider in [Anthropic, Openai, Gemini] {
        assert_eq!(from(provider, json!({"type": "message_stop"})), None);
    }
}

#[test]
fn what_a_header_says_of_trying_again() {
    let ms = |pairs: &[(&str, &str)]| retry_after(&headers(pairs)).map(|span| span.0);
    assert_eq!(ms(&[("retry-after", "7")]), Some(7000));
    assert_eq!(ms(&[("retry-after", "1.5")]), Some(1500));
    assert_eq!(
        ms(&[("retry-after-ms", "20"), ("retry-after", "7")]),
        Some(20)
    );
    for wrong in ["-1", "NaN", "inf", "soon", "1e300", ""] {
        assert_eq!(ms(&[("retry-after", wrong)]), None, "{wrong}");
    }
    assert_eq!(
        should_retry(&headers(&[("x-should-retry", "false")])),
        Some(false)
    );
    assert_eq!(should_retry(&HeaderMap::new()), None);
}
