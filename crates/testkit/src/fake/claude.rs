//! Claude Code's stream-json (facts/samples/claude) and transcript, version 2.1.197.

use std::io;

use serde_json::{Value, json};

use super::args::fresh_uuid;
use super::translate::{Limit, Run, Told, clock};

/// The lines that tell of one event.
pub(super) fn lines(run: &mut Run, told: &Told) -> io::Result<Vec<Value>> {
    Ok(match told {
        Told::Start {} => {
            let line = stamp(
                run,
                json!({"type": "user", "message": {"role": "user", "content": run.prompt},
                    "cwd": run.folder, "version": run.launch.version,
                    "permissionMode": run.launch.mode}),
            );
            run.store.append(&run.conversation, &run.folder, &line)?;
            vec![stamp(
                run,
                json!({"type": "system", "subtype": "init", "cwd": run.folder,
                "tools": ["Task", "Bash", "Edit", "Read", "Write"], "mcp_servers": [],
                "model": model(run), "permissionMode": run.launch.mode, "slash_commands": [],
                "apiKeySource": "ANTHROPIC_API_KEY",
                "claude_code_version": run.launch.version, "output_style": "default",
                "agents": [], "skills": [], "plugins": [], "fast_mode_state": "off"}),
            )]
        }
        Told::Say { text } => vec![assistant(run, json!({"type": "text", "text": text}))],
        Told::Question { text } => vec![assistant(run, json!({"type": "text", "text": text}))],
        Told::Tool { id, name, summary } => {
            let (tool, input) = call(name, summary);
            vec![assistant(
                run,
                json!({"type": "tool_use", "id": format!("toolu_{id}"), "name": tool, "input": input}),
            )]
        }
        Told::ToolEnd { id, ok, output } => vec![result_of(run, id, *ok, output)],
        Told::Usage(_) => Vec::new(),
        Told::Denied { tool, detail } => {
            run.calls += 1;
            let id = format!("denied-{}", run.calls);
            let (name, input) = call(tool, detail);
            run.denials.push(
                json!({"tool_name": name, "tool_use_id": format!("toolu_{id}"),
                "tool_input": input}),
            );
            let asked = assistant(
                run,
                json!({"type": "tool_use", "id": format!("toolu_{id}"), "name": name, "input": input}),
            );
            vec![
                asked,
                result_of(run, &id, false, "This command requires approval"),
            ]
        }
        Told::Limit(limit) => limit_lines(run, limit),
        Told::End { ok, summary, error } => {
            let text = match (&run.limit, ok) {
                (Some(limit), false) => limit_text(limit),
                _ => summary
                    .clone()
                    .or_else(|| error.clone())
                    .unwrap_or_default(),
            };
            vec![result(run, *ok, &text)]
        }
    })
}

/// What a resume of an unknown id prints on standard output.
pub(super) fn unknown_conversation(id: &str) -> Value {
    json!({"type": "result", "subtype": "error_during_execution", "duration_ms": 0,
        "duration_api_ms": 0, "is_error": true, "num_turns": 0, "stop_reason": null,
        "session_id": id, "total_cost_usd": 0, "usage": {"input_tokens": 0,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0},
        "modelUsage": {}, "permission_denials": [], "uuid": fresh_uuid(),
        "errors": [format!("No conversation found with session ID: {id}")]})
}

fn stamp(run: &Run, mut line: Value) -> Value {
    line["session_id"] = json!(run.conversation);
    line["uuid"] = json!(fresh_uuid());
    line
}

fn model(run: &Run) -> &str {
    if run.launch.model.is_empty() {
        "claude-opus-4-8"
    } else {
        &run.launch.model
    }
}

/// A script's tool as one of Claude's.
fn call(name: &str, summary: &str) -> (String, Value) {
    match name {
        "write" => (
            "Write".to_owned(),
            json!({"file_path": summary, "content": ""}),
        ),
        "append" => (
            "Edit".to_owned(),
            json!({"file_path": summary, "old_string": "", "new_string": ""}),
        ),
        "delete" => (
            "Bash".to_owned(),
            json!({"command": format!("rm {summary}"), "description": "fake"}),
        ),
        "run" | "Bash" => (
            "Bash".to_owned(),
            json!({"command": summary, "description": "fake"}),
        ),
        other => (other.to_owned(), json!({"file_path": summary})),
    }
}

fn assistant(run: &mut Run, block: Value) -> Value {
    let serial = run.next();
    stamp(
        run,
        json!({"type": "assistant", "message": {"id": format!("msg_fake{serial:06}"),
        "type": "message", "role": "assistant", "model": model(run), "content": [block],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": run.totals.input, "cache_creation_input_tokens": run.totals.cache_write,
            "cache_read_input_tokens": run.totals.cache_read, "output_tokens": 1},
        "context_management": null}, "parent_tool_use_id": null,
        "request_id": format!("req_fake{serial:06}")}),
    )
}

fn result_of(run: &Run, id: &str, ok: bool, output: &str) -> Value {
    stamp(
        run,
        json!({"type": "user", "message": {"role": "user", "content": [
        {"tool_use_id": format!("toolu_{id}"), "type": "tool_result", "content": output,
            "is_error": !ok}]}, "parent_tool_use_id": null,
        "tool_use_result": {"stdout": output, "stderr": "", "interrupted": false}}),
    )
}

fn synthetic(run: &Run, error: &str, text: &str) -> Value {
    stamp(
        run,
        json!({"type": "assistant", "message": {"id": fresh_uuid(), "model": "<synthetic>",
        "role": "assistant", "stop_reason": "stop_sequence", "stop_sequence": "", "type": "message",
        "usage": {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0}, "content": [{"type": "text", "text": text}]},
        "parent_tool_use_id": null, "error": error}),
    )
}

/// What the played provider said, in Claude's words (facts/limits.md J1–J3, C4–C9).
fn limit_text(limit: &Limit) -> String {
    match limit.class.as_str() {
        "quota" => format!(
            "You've hit your session limit · resets {} (UTC)",
            clock(limit.reset_at_ms.unwrap_or_default(), false)
        ),
        "throttle" => "API Error: Request rejected (429) · This request would exceed the rate \
                       limit for your organization"
            .to_owned(),
        "overload" => "API Error: 529 Overloaded. This is a server-side issue, usually temporary \
                       — try again in a moment."
            .to_owned(),
        "billing" => "Credit balance is too low".to_owned(),
        _ => "Invalid API key · Please run /login".to_owned(),
    }
}

fn limit_lines(run: &Run, limit: &Limit) -> Vec<Value> {
    let retry = |attempt: u32, error: &str| {
        stamp(
            run,
            json!({"type": "system", "subtype": "api_retry", "attempt": attempt, "max_retries": 2,
                "retry_delay_ms": 10.5, "error_status": limit.status(), "error": error}),
        )
    };
    let text = limit_text(limit);
    match limit.class.as_str() {
        "quota" => vec![
            stamp(
                run,
                json!({"type": "rate_limit_event", "rate_limit_info": {"status": "rejected",
                "resetsAt": limit.reset_at_ms.map(|ms| ms.div_euclid(1000)),
                "rateLimitType": "five_hour", "overageStatus": "rejected",
                "overageDisabledReason": "org_level_disabled", "isUsingOverage": false}}),
            ),
            synthetic(run, "rate_limit", &text),
        ],
        "throttle" => vec![
            retry(1, "rate_limit"),
            retry(2, "rate_limit"),
            synthetic(run, "rate_limit", &text),
        ],
        "overload" => vec![
            retry(1, "overloaded"),
            retry(2, "overloaded"),
            synthetic(run, "server_error", &text),
        ],
        "billing" => vec![synthetic(run, "billing_error", &text)],
        _ => vec![synthetic(run, "authentication_failed", &text)],
    }
}

fn result(run: &Run, ok: bool, text: &str) -> Value {
    let totals = run.totals;
    let cost = totals.cost_usd.unwrap_or(0.0);
    let status = match (&run.limit, ok) {
        (Some(limit), false) => json!(limit.status()),
        _ => Value::Null,
    };
    // An API failure is `subtype: success` with `is_error`; a failure of the run itself is not.
    let subtype = if ok || run.limit.is_some() {
        "success"
    } else {
        "error_during_execution"
    };
    let mut line = json!({"type": "result", "subtype": subtype, "is_error": !ok,
        "api_error_status": status, "duration_ms": 100, "duration_api_ms": 50,
        "num_turns": run.calls + 1, "result": text, "stop_reason": "end_turn",
        "total_cost_usd": cost, "usage": {"input_tokens": totals.input,
            "cache_creation_input_tokens": totals.cache_write,
            "cache_read_input_tokens": totals.cache_read, "output_tokens": totals.output},
        "modelUsage": {}, "permission_denials": run.denials, "terminal_reason": "completed",
        "fast_mode_state": "off"});
    line["modelUsage"][model(run)] = json!({"inputTokens": totals.input,
        "outputTokens": totals.output, "cacheReadInputTokens": totals.cache_read,
        "cacheCreationInputTokens": totals.cache_write, "webSearchRequests": 0, "costUSD": cost,
        "contextWindow": 200_000});
    if subtype != "success" {
        line["errors"] = json!([text]);
    }
    stamp(run, line)
}
