//! Gemini CLI's stream-json (facts/samples/gemini), version 0.61.0. No costs, tokens per model.

use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::translate::{Limit, Run, Told, timestamp};

/// The lines that tell of one event.
pub(super) fn lines(run: &mut Run, told: &Told) -> io::Result<Vec<Value>> {
    Ok(match told {
        Told::Start {} => {
            let line = json!({"type": "user", "content": run.prompt});
            run.store.append(&run.conversation, &run.folder, &line)?;
            vec![
                stamp(json!({"type": "init", "session_id": run.conversation, "model": model(run)})),
                stamp(json!({"type": "message", "role": "user", "content": run.prompt})),
            ]
        }
        Told::Say { text } | Told::Question { text } => vec![stamp(
            json!({"type": "message", "role": "assistant", "content": text, "delta": true}),
        )],
        Told::Tool { id, name, summary } => vec![call(id, name, summary)],
        Told::ToolEnd { id, ok, output } => vec![result_of(id, *ok, output)],
        Told::Usage(_) => Vec::new(),
        Told::Denied { tool, detail } => {
            run.calls += 1;
            let id = format!("denied-{}", run.calls);
            vec![
                call(&id, tool, detail),
                result_of(&id, false, "Tool execution denied by policy."),
            ]
        }
        Told::Limit(limit) => {
            if matches!(limit.class.as_str(), "throttle" | "overload") {
                writeln!(
                    io::stderr(),
                    "Attempt 1 failed with status {}. Retrying after 5ms...",
                    limit.status()
                )?;
            }
            Vec::new()
        }
        Told::End { ok: true, .. } => vec![stamp(
            json!({"type": "result", "status": "success", "stats": stats(run)}),
        )],
        Told::End { error, .. } => {
            let message = match &run.limit {
                Some(limit) => limit_text(limit),
                None => error.clone().unwrap_or_default(),
            };
            vec![stamp(json!({"type": "result", "status": "error",
                "error": {"type": "unknown", "message": message}, "stats": stats(run)}))]
        }
    })
}

fn stamp(mut line: Value) -> Value {
    line["timestamp"] = json!(timestamp());
    line
}

fn model(run: &Run) -> &str {
    if run.launch.model.is_empty() {
        "gemini-3.8-flash"
    } else {
        &run.launch.model
    }
}

fn call(id: &str, name: &str, summary: &str) -> Value {
    let (tool, parameters) = match name {
        "write" => ("write_file", json!({"file_path": summary, "content": ""})),
        "append" => ("replace", json!({"file_path": summary})),
        "delete" => (
            "run_shell_command",
            json!({"command": format!("rm {summary}")}),
        ),
        "run" => ("run_shell_command", json!({"command": summary})),
        other => (other, json!({"command": summary})),
    };
    stamp(
        json!({"type": "tool_use", "tool_name": tool, "tool_id": format!("{tool}__{id}"),
        "parameters": parameters}),
    )
}

fn result_of(id: &str, ok: bool, output: &str) -> Value {
    let mut line = json!({"type": "tool_result", "tool_id": id,
        "status": if ok { "success" } else { "error" }, "output": output});
    if !ok {
        line["error"] = json!({"type": "tool_execution_error", "message": output});
    }
    stamp(line)
}

fn stats(run: &Run) -> Value {
    let totals = run.totals;
    let input = totals.input + totals.cache_read;
    let one = json!({"total_tokens": input + totals.output, "input_tokens": input,
        "output_tokens": totals.output, "cached": totals.cache_read, "input": totals.input});
    let mut all = one.clone();
    all["duration_ms"] = json!(100);
    all["tool_calls"] = json!(run.calls);
    all["models"] = json!({ model(run): one });
    all
}

/// What the played provider said, in Gemini's words (facts/limits.md G1, G2).
fn limit_text(limit: &Limit) -> String {
    let error = |code: u16, status: &str, message: &str| {
        let body = json!({"error": {"code": code, "message": message, "status": status}});
        format!("[API Error: {body}]")
    };
    match limit.class.as_str() {
        "quota" => "[API Error: You have exhausted your daily quota on this model.]\nPlease wait \
                    and try again later."
            .to_owned(),
        "throttle" => error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted"),
        "overload" => error(503, "UNAVAILABLE", "The model is overloaded."),
        "billing" => error(400, "FAILED_PRECONDITION", "Billing is disabled"),
        _ => error(401, "UNAUTHENTICATED", "mock UNAUTHENTICATED"),
    }
}
