//! OpenAI: Responses tell usage in their last event, Chat Completions in a last chunk if the client asked for
//! it. Input that came from a cache is counted apart.

use serde_json::Value;

use super::{Count, Finish, number, words};

pub(super) fn response_event(value: Value, count: &mut Count) {
    match value.get("type").and_then(Value::as_str) {
        Some("response.completed" | "response.incomplete") => {
            if let Some(whole) = value.get("response") {
                response(whole, count);
            }
            count.complete = true;
        }
        Some("response.failed") => {
            if let Some(whole) = value.get("response") {
                response(whole, count);
            }
            count.error = Some(value);
        }
        Some("error") => count.error = Some(value),
        _ => {}
    }
}

pub(super) fn response(whole: &Value, count: &mut Count) {
    count.model = words(whole, "/model").or(count.model.take());
    let details = "/usage/input_tokens_details/cached_tokens";
    take(
        whole,
        "/usage/input_tokens",
        "/usage/output_tokens",
        details,
        count,
    );
    let calls = whole.get("output").and_then(Value::as_array);
    let called = calls.into_iter().flatten().any(|item| {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or("");
        kind.ends_with("_call")
    });
    count.finish = if called { Finish::Tool } else { Finish::Turn };
}

pub(super) fn completion_event(value: Value, count: &mut Count) {
    if value.get("error").is_some_and(Value::is_object) {
        count.error = Some(value);
        return;
    }
    completion(&value, count);
}

pub(super) fn completion(whole: &Value, count: &mut Count) {
    count.model = words(whole, "/model").or(count.model.take());
    let details = "/usage/prompt_tokens_details/cached_tokens";
    take(
        whole,
        "/usage/prompt_tokens",
        "/usage/completion_tokens",
        details,
        count,
    );
    match whole
        .pointer("/choices/0/finish_reason")
        .and_then(Value::as_str)
    {
        Some("tool_calls" | "function_call") => count.finish = Finish::Tool,
        Some(_) => count.finish = Finish::Turn,
        None => {}
    }
}

fn take(value: &Value, input: &str, output: &str, cached: &str, count: &mut Count) {
    let (Some(all), Some(output)) = (number(value, input), number(value, output)) else {
        return;
    };
    let cached = number(value, cached).unwrap_or(0).min(all);
    count.usage.input = all - cached;
    count.usage.cache_read = cached;
    count.usage.output = output;
    count.told = true;
}
