//! OpenAI's Chat Completions: bodies and streams as OpenCode reads them.

use serde_json::{Value, json};

use super::wire::{Answer, Rendered, data, instance};

/// Names of the functions a request offers.
pub(super) fn tools(body: &Value) -> Vec<String> {
    body.get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.pointer("/function/name")?.as_str().map(str::to_owned))
        .collect()
}

/// Why a request is not a step of the conversation: OpenCode's titles come without tools.
pub(super) fn side(body: &Value) -> Option<&'static str> {
    tools(body).is_empty().then_some("no tools")
}

/// The words of a side answer.
pub(super) fn side_text(body: &Value) -> String {
    body.pointer("/response_format/json_schema/schema")
        .map_or_else(|| "mock".to_owned(), |schema| instance(schema).to_string())
}

/// Both forms of an answer.
pub(super) fn render(a: &Answer<'_>) -> Rendered {
    let id = format!("chatcmpl-mock{:012}", a.serial);
    let prompt = a.usage.input + a.usage.cache_read;
    let usage = json!({"prompt_tokens": prompt, "completion_tokens": a.usage.output,
        "total_tokens": prompt + a.usage.output,
        "prompt_tokens_details": {"cached_tokens": a.usage.cache_read}});
    let calls = a.call.as_ref().map(|call| {
        json!([{"index": 0, "id": format!("call_mock{:012}", a.serial), "type": "function",
            "function": {"name": call.name, "arguments": call.input.to_string()}}])
    });
    let finish = if calls.is_some() {
        "tool_calls"
    } else {
        "stop"
    };
    let chunk = |delta: Value, finish: Value| {
        json!({"id": id, "object": "chat.completion.chunk", "created": 0, "model": a.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    };
    let mut frames = vec![data(&chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    ))];
    if !a.text.is_empty() {
        frames.push(data(&chunk(json!({"content": a.text}), Value::Null)));
    }
    if let Some(calls) = &calls {
        frames.push(data(&chunk(json!({"tool_calls": calls}), Value::Null)));
    }
    if let Some((code, message)) = a.stream_error {
        frames.push(data(
            &json!({"error": {"message": message, "type": code, "code": code}}),
        ));
    } else {
        frames.push(data(&chunk(json!({}), json!(finish))));
        let mut last = chunk(json!({}), Value::Null);
        last["choices"] = json!([]);
        last["usage"] = usage.clone();
        frames.push(data(&last));
        frames.push("data: [DONE]\n\n".to_owned());
    }
    let mut message = json!({"role": "assistant", "content": a.text});
    if let Some(calls) = calls {
        message["tool_calls"] = calls;
    }
    Rendered {
        whole: json!({"id": id, "object": "chat.completion", "created": 0, "model": a.model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": usage}),
        frames,
    }
}
