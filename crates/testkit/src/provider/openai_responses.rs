//! OpenAI's Responses: bodies, streams and errors as Codex reads them.

use serde_json::{Value, json};

use super::wire::{Answer, Rendered, event, instance};

/// Names of the tools a request offers; a tool without a name counts by its type.
pub(super) fn tools(body: &Value) -> Vec<String> {
    body.get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| {
            tool.get("name")
                .or_else(|| tool.get("type"))?
                .as_str()
                .map(str::to_owned)
        })
        .collect()
}

/// Why a request is not a step of the conversation.
pub(super) fn side(body: &Value) -> Option<&'static str> {
    tools(body).is_empty().then_some("no tools")
}

/// The words of a side answer.
pub(super) fn side_text(body: &Value) -> String {
    body.pointer("/text/format/schema")
        .map_or_else(|| "mock".to_owned(), |schema| instance(schema).to_string())
}

/// Both forms of an answer.
pub(super) fn render(a: &Answer<'_>) -> Rendered {
    let id = format!("resp_mock{:012}", a.serial);
    // OpenAI counts cached tokens inside the input; the step's split keeps them apart.
    let input = a.usage.input + a.usage.cache_read;
    let usage = json!({"input_tokens": input,
        "input_tokens_details": {"cached_tokens": a.usage.cache_read},
        "output_tokens": a.usage.output, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input + a.usage.output});
    let mut output = Vec::new();
    if !a.text.is_empty() {
        output.push(
            json!({"type": "message", "role": "assistant", "status": "completed",
            "id": format!("msg_mock{:012}", a.serial),
            "content": [{"type": "output_text", "text": a.text, "annotations": []}]}),
        );
    }
    if let Some(call) = &a.call {
        output.push(
            json!({"type": "function_call", "id": format!("fc_mock{:012}", a.serial),
            "call_id": format!("call_mock{:012}", a.serial), "status": "completed",
            "name": call.name, "arguments": call.input.to_string()}),
        );
    }
    let response = |status: &str, output: &[Value]| {
        json!({"id": id, "object": "response", "created_at": 0, "status": status,
            "model": a.model, "output": output, "error": null, "usage": usage})
    };
    let mut frames = vec![event(
        "response.created",
        &json!({"type": "response.created", "response": response("in_progress", &[])}),
    )];
    for (index, item) in output.iter().enumerate() {
        frames.push(event(
            "response.output_item.added",
            &json!({"type": "response.output_item.added", "output_index": index, "item": item}),
        ));
        if item["type"] == "message" {
            frames.push(event(
                "response.output_text.delta",
                &json!({"type": "response.output_text.delta", "output_index": index,
                    "content_index": 0, "item_id": item["id"], "delta": a.text}),
            ));
        }
        frames.push(event(
            "response.output_item.done",
            &json!({"type": "response.output_item.done", "output_index": index, "item": item}),
        ));
    }
    if let Some((code, message)) = a.stream_error {
        let mut failed = response("failed", &output);
        failed["error"] = json!({"code": code, "message": message});
        frames.push(event(
            "response.failed",
            &json!({"type": "response.failed", "response": failed}),
        ));
    } else {
        frames.push(event(
            "response.completed",
            &json!({"type": "response.completed", "response": response("completed", &output)}),
        ));
    }
    Rendered {
        whole: response("completed", &output),
        frames,
    }
}

/// The usual body of an error status, for Responses and Chat Completions.
pub(super) fn error_body(status: u16) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "invalid_api_key",
        429 => "rate_limit_exceeded",
        _ => "server_error",
    };
    json!({"error": {"message": format!("mock {kind}"), "type": kind, "code": kind, "param": null}})
}
