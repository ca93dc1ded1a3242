//! Google's generateContent: every chunk carries the totals so far; thoughts are output.

use serde_json::Value;

use super::{Count, Finish, number, words};

pub(super) fn event(value: Value, count: &mut Count) {
    if value.get("error").is_some_and(Value::is_object) {
        count.error = Some(value);
        return;
    }
    chunk(&value, count);
}

pub(super) fn chunk(value: &Value, count: &mut Count) {
    count.model = words(value, "/modelVersion").or(count.model.take());
    let of = |name: &str| number(value, &format!("/usageMetadata/{name}"));
    if let Some(prompt) = of("promptTokenCount") {
        let cached = of("cachedContentTokenCount").unwrap_or(0).min(prompt);
        let tools = of("toolUsePromptTokenCount").unwrap_or(0);
        let usage = &mut count.usage;
        usage.input = (prompt - cached).saturating_add(tools);
        usage.cache_read = cached;
        let thoughts = of("thoughtsTokenCount").unwrap_or(0);
        usage.output = of("candidatesTokenCount")
            .unwrap_or(0)
            .saturating_add(thoughts);
        count.told = true;
    }
    let parts = value.pointer("/candidates/0/content/parts");
    let parts = parts.and_then(Value::as_array);
    if parts
        .into_iter()
        .flatten()
        .any(|part| part.get("functionCall").is_some())
    {
        count.finish = Finish::Tool;
    }
    let reason = value.pointer("/candidates/0/finishReason");
    if reason.is_some_and(Value::is_string) {
        count.complete = true;
        if count.finish == Finish::Unknown {
            count.finish = Finish::Turn;
        }
    }
}
