//! Anthropic's Messages: bodies, streams and errors as Claude Code reads them.

use serde_json::{Value, json};

use super::wire::{Answer, Rendered, event, instance};

/// Names of the tools a request offers.
pub(super) fn tools(body: &Value) -> Vec<String> {
    body.get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("name")?.as_str().map(str::to_owned))
        .collect()
}

/// Why a request is not a step of the conversation: Claude's titles, summaries and quota probes come
/// without tools.
pub(super) fn side(body: &Value) -> Option<&'static str> {
    if body.get("max_tokens").and_then(Value::as_u64) == Some(1) {
        Some("quota probe")
    } else if tools(body).is_empty() {
        Some("no tools")
    } else {
        None
    }
}

/// The words of a side answer.
pub(super) fn side_text(body: &Value) -> String {
    body.pointer("/output_config/format/schema")
        .or_else(|| body.pointer("/output_format/schema"))
        .map_or_else(|| "mock".to_owned(), |schema| instance(schema).to_string())
}

/// Both forms of an answer.
pub(super) fn render(a: &Answer<'_>) -> Rendered {
    let id = format!("msg_mock{:012}", a.serial);
    let usage = |output: u64| {
        json!({"input_tokens": a.usage.input, "cache_creation_input_tokens": a.usage.cache_write,
            "cache_read_input_tokens": a.usage.cache_read, "output_tokens": output})
    };
    let mut content = Vec::new();
    if !a.text.is_empty() {
        content.push(json!({"type": "text", "text": a.text}));
    }
    if let Some(call) = &a.call {
        content.push(
            json!({"type": "tool_use", "id": format!("toolu_mock{:012}", a.serial),
            "name": call.name, "input": call.input}),
        );
    }
    let stop = if a.call.is_some() {
        "tool_use"
    } else {
        "end_turn"
    };
    let message = |content: &[Value], stop: Value, usage: Value| {
        json!({"id": id, "type": "message", "role": "assistant", "model": a.model,
            "content": content, "stop_reason": stop, "stop_sequence": null, "usage": usage})
    };

    let mut frames = vec![event(
        "message_start",
        &json!({"type": "message_start", "message": message(&[], Value::Null, usage(1))}),
    )];
    for (index, block) in content.iter().enumerate() {
        let (empty, delta) = if block["type"] == "text" {
            (
                json!({"type": "text", "text": ""}),
                json!({"type": "text_delta", "text": block["text"]}),
            )
        } else {
            (
                json!({"type": "tool_use", "id": block["id"], "name": block["name"], "input": {}}),
                json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}),
            )
        };
        frames.push(event(
            "content_block_start",
            &json!({"type": "content_block_start", "index": index, "content_block": empty}),
        ));
        frames.push(event("ping", &json!({"type": "ping"})));
        frames.push(event(
            "content_block_delta",
            &json!({"type": "content_block_delta", "index": index, "delta": delta}),
        ));
        frames.push(event(
            "content_block_stop",
            &json!({"type": "content_block_stop", "index": index}),
        ));
    }
    if let Some((kind, message)) = a.stream_error {
        frames.push(event(
            "error",
            &json!({"type": "error", "error": {"type": kind, "message": message}}),
        ));
    } else {
        frames.push(event(
            "message_delta",
            &json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
                "usage": {"output_tokens": a.usage.output}}),
        ));
        frames.push(event("message_stop", &json!({"type": "message_stop"})));
    }
    Rendered {
        whole: message(&content, json!(stop), usage(a.usage.output)),
        frames,
    }
}

/// The usual body of an error status (facts/limits.md §1).
pub(super) fn error_body(status: u16, serial: u64) -> Value {
    let (kind, message) = match status {
        400 => ("invalid_request_error", "mock invalid_request_error"),
        401 => ("authentication_error", "invalid x-api-key"),
        402 => ("billing_error", "mock billing_error"),
        403 => ("permission_error", "mock permission_error"),
        404 => ("not_found_error", "mock not_found_error"),
        413 => ("request_too_large", "mock request_too_large"),
        429 => (
            "rate_limit_error",
            "This request would exceed the rate limit for your organization",
        ),
        529 => ("overloaded_error", "Overloaded"),
        _ => ("api_error", "Internal server error"),
    };
    json!({"type": "error", "error": {"type": kind, "message": message},
        "request_id": format!("req_mock{serial:012}")})
}
