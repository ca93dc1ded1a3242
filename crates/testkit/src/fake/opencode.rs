//! OpenCode's `run --format json` (facts/samples/opencode), version 1.18.33. There is no line for the
//! end of a turn: a `step_finish` with the reason `stop` is the last one.

use std::io;

use serde_json::{Value, json};

use super::translate::{Run, Told, now_ms};

/// The lines that tell of one event.
pub(super) fn lines(run: &mut Run, told: &Told) -> io::Result<Vec<Value>> {
    Ok(match told {
        Told::Start {} => {
            let line = json!({"type": "user", "content": run.prompt});
            run.store.append(&run.conversation, &run.folder, &line)?;
            vec![part(run, "step_start", json!({"type": "step-start"}))]
        }
        Told::Say { text } | Told::Question { text } => {
            vec![part(run, "text", json!({"type": "text", "text": text}))]
        }
        // A call is told of when it is over.
        Told::Tool { .. } | Told::Usage(_) | Told::Limit(_) => Vec::new(),
        Told::ToolEnd { id, ok, output } => {
            let (name, summary) = run.open.take().unwrap_or_default();
            vec![tool(run, id, &name, &summary, *ok, output)]
        }
        Told::Denied { tool: name, detail } => {
            run.calls += 1;
            let id = format!("denied-{}", run.calls);
            let text = "The user rejected permission to use this specific tool call.";
            vec![tool(run, &id, name, detail, false, text)]
        }
        Told::End { ok: true, .. } => {
            let totals = run.totals;
            let sum = totals.input + totals.output + totals.cache_read + totals.cache_write;
            vec![part(
                run,
                "step_finish",
                json!({"type": "step-finish", "reason": "stop",
                "tokens": {"total": sum, "input": totals.input, "output": totals.output,
                    "reasoning": 0,
                    "cache": {"write": totals.cache_write, "read": totals.cache_read}},
                "cost": totals.cost_usd.unwrap_or(0.0)}),
            )]
        }
        Told::End { error, .. } => vec![failure(run, error.as_deref().unwrap_or_default())],
    })
}

fn part(run: &mut Run, kind: &str, mut part: Value) -> Value {
    part["id"] = json!(format!("prt_fake{:06}", run.next()));
    part["sessionID"] = json!(run.conversation);
    part["messageID"] = json!("msg_fake000001");
    json!({"type": kind, "timestamp": now_ms(), "sessionID": run.conversation, "part": part})
}

fn tool(run: &mut Run, id: &str, name: &str, summary: &str, ok: bool, output: &str) -> Value {
    let (tool, input) = match name {
        "write" => ("write", json!({"filePath": summary, "content": ""})),
        "append" => ("edit", json!({"filePath": summary})),
        "delete" => ("bash", json!({"command": format!("rm {summary}")})),
        "run" => ("bash", json!({"command": summary})),
        other => (other, json!({"command": summary})),
    };
    let state = if ok {
        json!({"status": "completed", "input": input, "output": output, "title": summary,
            "metadata": {"output": output, "exit": 0, "truncated": false}})
    } else {
        json!({"status": "error", "input": input, "error": output})
    };
    part(
        run,
        "tool_use",
        json!({"type": "tool", "tool": tool, "callID": format!("call_{id}"), "state": state}),
    )
}

fn failure(run: &Run, message: &str) -> Value {
    let error = match &run.limit {
        None => json!({"name": "UnknownError", "data": {"message": message}}),
        Some(limit) => {
            let (status, kind) = match limit.class.as_str() {
                "quota" | "billing" => (429, "insufficient_quota"),
                "throttle" => (429, "rate_limit_exceeded"),
                "overload" => (503, "server_error"),
                _ => (401, "invalid_api_key"),
            };
            let body = json!({"error": {"message": format!("mock {kind}"), "type": kind,
                "code": kind, "param": null}});
            json!({"name": "APIError", "data": {"message": format!("mock {kind}"),
                "statusCode": status, "isRetryable": status != 401, "responseHeaders": {},
                "responseBody": body.to_string()}})
        }
    };
    json!({"type": "error", "timestamp": now_ms(), "sessionID": run.conversation, "error": error})
}
