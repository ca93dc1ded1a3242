//! What the gateway reads of a provider's answers: refusals, windows, and what a stream used.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use longhaul_agents::limits::SNIPPET_CHARS;
use longhaul_core::account::Provider;
use longhaul_core::time::UnixMs;
use longhaul_gateway::meter::{Dialect, Meter};
use longhaul_gateway::outermost::outermost;
use longhaul_gateway::signals::{
    Asked, Refusal, refusal, retry_after, should_retry, stream_refusal, windows,
};
use serde_json::Value;

use crate::mutate::Rng;

const PROVIDERS: [Provider; 3] = [Provider::Anthropic, Provider::Openai, Provider::Gemini];
const DIALECTS: [Dialect; 4] = [
    Dialect::Messages,
    Dialect::Responses,
    Dialect::Chat,
    Dialect::Generate,
];
const NOW: UnixMs = UnixMs(1_764_000_000_000);

/// A status, headers, an empty line, and the body.
pub(super) const ANSWERS: &[&str] = &[
    "429\nretry-after: 12\nanthropic-ratelimit-unified-status: rejected\nanthropic-ratelimit-unified-reset: 1764003600\nanthropic-ratelimit-unified-5h-utilization: 0.97\n\n{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"This request would exceed your account's rate limit\"}}",
    "429\nx-ratelimit-limit-requests: 50\nx-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 6m0s\n\n{\"error\":{\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\",\"message\":\"You exceeded your current quota\"}}",
    "429\n\n{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"34s\"}]}}",
    "529\nx-should-retry: true\nretry-after-ms: 900\n\n{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
    "401\n\n{\"error\":{\"message\":\"Incorrect API key provided\",\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}",
];

pub(super) const ANSWER_WORDS: &[&str] = &[
    "429\n",
    "402\n",
    "503\n",
    "retry-after: ",
    "anthropic-ratelimit-tokens-reset: 2025-11-24T16:00:00Z\n",
    "anthropic-ratelimit-unified-7d-reset: ",
    "x-codex-primary-used-percent: ",
    "x-ratelimit-reset-tokens: 1h2m3s\n",
    "\"resets_in_seconds\":",
    "\"usage_limit_reached\"",
    "99999999999999999999",
    "-1",
    "\u{1b}[31m",
    "\n\n{\"error\":",
];

/// Every provider's reading of any answer: nothing of it that a person sees is long or holds control characters,
/// and an end lies after the question.
pub(super) fn answer(data: &[u8]) {
    let (head, body) = split(data);
    let mut lines = head.split(|b| *b == b'\n');
    let status = lines.next().and_then(|l| std::str::from_utf8(l).ok());
    let status = status.and_then(|s| s.trim().parse().ok()).unwrap_or(429);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(at) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let value = line[at + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(&line[..at]),
            HeaderValue::from_bytes(value),
        ) {
            headers.append(name, value);
        }
    }
    let event = serde_json::from_slice(body).unwrap_or_default();
    let _span = (retry_after(&headers), should_retry(&headers));
    for provider in PROVIDERS {
        for model in [None, Some("claude-opus-4-5")] {
            let asked = Asked {
                provider,
                model,
                now: NOW,
            };
            let told = refusal(asked, status, &headers, body);
            told.iter()
                .chain(&stream_refusal(asked, &event))
                .for_each(check);
            for window in windows(asked, &headers) {
                assert!(!window.name.chars().any(char::is_control), "{window:?}");
            }
        }
    }
}

fn check(refusal: &Refusal) {
    let snippet = &refusal.snippet;
    assert!(snippet.chars().count() <= SNIPPET_CHARS + 1, "{snippet}");
    assert!(!snippet.chars().any(char::is_control), "{snippet:?}");
}

/// Up to the first empty line, and what follows it.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &[]),
    }
}

pub(super) const STREAM_WORDS: &[&str] = &[
    "data: ",
    "event: message_delta\n",
    "\n\n",
    "data: [DONE]\n\n",
    "{\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}",
    "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":18446744073709551615}}",
    "{\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}}",
    "{\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":-1}}",
    "{\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":8}}",
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
];

pub(super) const STREAMS: &[&str] = &[
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":20}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"model\":\"m\",\"usage\":{\"input_tokens\":5,\"output_tokens\":6,\"input_tokens_details\":{\"cached_tokens\":2}}}}\r\n\r\n",
    "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n",
    "data: {\"usageMetadata\":{\"promptTokenCount\":7,\"candidatesTokenCount\":8},\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n",
];

/// Any split of a stream, and of a whole answer, counts the same.
pub(super) fn stream(data: &[u8]) {
    let longest = 1 + Rng::of(data).below(40);
    for dialect in DIALECTS {
        for stream in [true, false] {
            let count = |pieces: &mut dyn Iterator<Item = &[u8]>| {
                let mut meter = Meter::new(dialect, stream);
                pieces.for_each(|piece| meter.push(piece));
                meter.finish(true)
            };
            let whole = count(&mut std::iter::once(data));
            let split = count(&mut data.chunks(longest));
            assert_eq!(split, whole, "{dialect:?} in pieces of {longest}");
        }
    }
}

pub(super) const REQUESTS: &[&str] = &[
    r#"{"model":"claude-sonnet-4-5","metadata":{"user_id":"{\"session_id\":\"s\"}"},"messages":[{"role":"user","content":"a \"quote\" {"}],"stream":true}"#,
    r#" { "store" : false , "input" : [ [ ] , { } , "\\" ] , "previous_response_id" : null , "model" : "gpt-5" } "#,
    r#"{"\u006dodel":1,"model":2}"#,
];

pub(super) const REQUEST_WORDS: &[&str] = &[
    "\"model\":",
    "\"store\":",
    "\\\"",
    "\\u006d",
    "{\"a\":[{}]}",
    "]}",
];

/// What is picked out of a request is what a whole parser finds there.
pub(super) fn request(data: &[u8]) {
    const NAMES: [&str; 2] = ["model", "store"];
    let found = outermost(data, NAMES);
    let Ok(Value::Object(whole)) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let found = found.unwrap_or_else(|| panic!("an object is not seen as one"));
    for (name, at) in NAMES.into_iter().zip(found) {
        let parsed: Option<Value> = at.and_then(|at| serde_json::from_slice(at).ok());
        assert_eq!(parsed.as_ref(), whole.get(name), "{name}");
    }
}
