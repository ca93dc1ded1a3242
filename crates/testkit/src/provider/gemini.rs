//! Google's generateContent: bodies, streams and errors as Gemini CLI reads them.

use serde_json::{Value, json};

use super::wire::{Answer, Rendered, data, instance};

/// Names of the functions a request offers.
pub(super) fn tools(body: &Value) -> Vec<String> {
    body.get("tools")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|tool| tool.get("functionDeclarations")?.as_array())
        .flatten()
        .filter_map(|f| f.get("name")?.as_str().map(str::to_owned))
        .collect()
}

/// Why a request is not a step of the conversation: Gemini's router and its other small helpers come
/// without function declarations.
pub(super) fn side(body: &Value) -> Option<&'static str> {
    tools(body).is_empty().then_some("no tools")
}

/// The words of a side answer.
pub(super) fn side_text(body: &Value) -> String {
    body.pointer("/generationConfig/responseJsonSchema")
        .or_else(|| body.pointer("/generationConfig/responseSchema"))
        .map_or_else(|| "mock".to_owned(), |schema| instance(schema).to_string())
}

/// Both forms of an answer. The error of a stream is a frame with the error object.
pub(super) fn render(a: &Answer<'_>) -> Rendered {
    let prompt = a.usage.input + a.usage.cache_read;
    let usage = json!({"promptTokenCount": prompt, "candidatesTokenCount": a.usage.output,
        "cachedContentTokenCount": a.usage.cache_read,
        "totalTokenCount": prompt + a.usage.output});
    let chunk = |parts: &[Value], finish: Value| {
        json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts},
            "finishReason": finish}], "modelVersion": a.model,
            "responseId": format!("mock{:012}", a.serial), "usageMetadata": usage})
    };
    let mut parts = Vec::new();
    if !a.text.is_empty() {
        parts.push(json!({"text": a.text}));
    }
    if let Some(call) = &a.call {
        parts.push(json!({"functionCall": {"name": call.name, "args": call.input}}));
    }
    let mut frames = Vec::new();
    if let Some((status, message)) = a.stream_error {
        frames.push(data(&chunk(&parts, Value::Null)));
        frames.push(data(
            &json!({"error": {"code": 503, "message": message, "status": status}}),
        ));
    } else if parts.len() > 1 {
        frames.push(data(&chunk(&parts[..1], Value::Null)));
        frames.push(data(&chunk(&parts[1..], json!("STOP"))));
    } else {
        frames.push(data(&chunk(&parts, json!("STOP"))));
    }
    Rendered {
        whole: chunk(&parts, json!("STOP")),
        frames,
    }
}

/// The usual body of an error status.
pub(super) fn error_body(status: u16) -> Value {
    let word = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    json!({"error": {"code": status, "message": format!("mock {word}"), "status": word}})
}
