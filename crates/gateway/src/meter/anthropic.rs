//! Anthropic's Messages: usage begins in `message_start` and is cumulative in `message_delta`.

use serde_json::Value;

use super::{Count, Finish, number, words};

pub(super) fn event(value: Value, count: &mut Count) {
    match value.get("type").and_then(Value::as_str) {
        Some("message_start") => {
            if let Some(message) = value.get("message") {
                begin(message, count);
            }
        }
        Some("message_delta") => {
            take(&value, count);
            ended(&value, "/delta/stop_reason", count);
        }
        Some("message_stop") => count.complete = true,
        Some("error") => count.error = Some(value),
        _ => {}
    }
}

pub(super) fn document(message: &Value, count: &mut Count) {
    begin(message, count);
    ended(message, "/stop_reason", count);
}

fn begin(message: &Value, count: &mut Count) {
    count.model = words(message, "/model");
    take(message, count);
}

/// Each number replaces the one before: they are totals of the answer.
fn take(value: &Value, count: &mut Count) {
    let usage = &mut count.usage;
    for (pointer, kept) in [
        ("/usage/input_tokens", &mut usage.input),
        ("/usage/output_tokens", &mut usage.output),
        ("/usage/cache_read_input_tokens", &mut usage.cache_read),
        ("/usage/cache_creation_input_tokens", &mut usage.cache_write),
    ] {
        if let Some(n) = number(value, pointer) {
            *kept = n;
            count.told = true;
        }
    }
}

fn ended(value: &Value, pointer: &str, count: &mut Count) {
    count.finish = match value.pointer(pointer).and_then(Value::as_str) {
        Some("tool_use" | "pause_turn") => Finish::Tool,
        Some(_) => Finish::Turn,
        None => Finish::Unknown,
    };
}
