//! Codex's `exec --json` lines (facts/samples/codex) and its rollout, version 0.169.0. Usage adds up
//! over the whole thread, resumes included.

use std::io;

use serde_json::{Value, json};

use super::translate::{Limit, Run, Told, clock, timestamp};

/// The lines that tell of one event.
pub(super) fn lines(run: &mut Run, told: &Told) -> io::Result<Vec<Value>> {
    Ok(match told {
        Told::Start {} => {
            if run.launch.resume.is_none() {
                rollout(
                    run,
                    "session_meta",
                    json!({"id": run.conversation, "session_id": run.conversation,
                    "cwd": run.folder, "originator": "codex_exec",
                    "cli_version": run.launch.version, "source": "exec"}),
                )?;
            }
            rollout(
                run,
                "turn_context",
                json!({"cwd": run.folder, "approval_policy": "never",
                    "sandbox_policy": {"type": run.launch.mode}}),
            )?;
            vec![
                json!({"type": "thread.started", "thread_id": run.conversation}),
                json!({"type": "turn.started"}),
            ]
        }
        Told::Say { text } | Told::Question { text } => {
            vec![item(run, json!({"type": "agent_message", "text": text}))]
        }
        Told::Tool { name, summary, .. } => {
            let id = format!("item_{}", run.next());
            vec![
                json!({"type": "item.started", "item": {"id": id, "type": "command_execution",
                "command": command(name, summary), "aggregated_output": "", "exit_code": null,
                "status": "in_progress"}}),
            ]
        }
        Told::ToolEnd { ok, output, .. } => {
            // The end carries the id of its start, which was the last number given.
            let id = format!("item_{}", run.serial);
            let (name, summary) = run.open.take().unwrap_or_default();
            vec![
                json!({"type": "item.completed", "item": {"id": id, "type": "command_execution",
                "command": command(&name, &summary), "aggregated_output": output,
                "exit_code": i32::from(!*ok),
                "status": if *ok { "completed" } else { "failed" }}}),
            ]
        }
        // A refused command leaves no item in this version: only the model learns of it.
        Told::Usage(_) | Told::Denied { .. } => Vec::new(),
        Told::Limit(limit) => limit_lines(run, limit)?,
        Told::End { ok: true, .. } => {
            let usage = total_usage(run);
            token_count(run, &usage, None)?;
            vec![json!({"type": "turn.completed", "usage": usage})]
        }
        Told::End { error, .. } => {
            let message = match &run.limit {
                Some(limit) => limit_text(limit),
                None => error.clone().unwrap_or_default(),
            };
            vec![
                json!({"type": "error", "message": message}),
                json!({"type": "turn.failed", "error": {"message": message}}),
            ]
        }
    })
}

fn item(run: &mut Run, mut item: Value) -> Value {
    item["id"] = json!(format!("item_{}", run.next()));
    json!({"type": "item.completed", "item": item})
}

fn command(name: &str, summary: &str) -> String {
    let line = match name {
        "write" | "append" => format!("cat > {summary}"),
        "delete" => format!("rm {summary}"),
        _ => summary.to_owned(),
    };
    format!("/bin/bash -lc '{line}'")
}

fn rollout(run: &Run, kind: &str, payload: Value) -> io::Result<()> {
    let line = json!({"timestamp": timestamp(), "type": kind, "payload": payload});
    run.store.append(&run.conversation, &run.folder, &line)
}

/// The thread's totals: what the rollout knew, and this process's.
fn total_usage(run: &Run) -> Value {
    let before = run
        .store
        .last(&run.conversation, "/payload/info/total_token_usage")
        .unwrap_or_default();
    let sum = |name: &str, add: u64| before[name].as_u64().unwrap_or(0) + add;
    let totals = run.totals;
    json!({"input_tokens": sum("input_tokens", totals.input + totals.cache_read),
        "cached_input_tokens": sum("cached_input_tokens", totals.cache_read),
        "cache_write_input_tokens": 0,
        "output_tokens": sum("output_tokens", totals.output), "reasoning_output_tokens": 0})
}

fn token_count(run: &Run, usage: &Value, reset_at_ms: Option<i64>) -> io::Result<()> {
    let primary = reset_at_ms.map(|ms| {
        json!({"used_percent": 100.0, "window_minutes": 300, "resets_at": ms.div_euclid(1000)})
    });
    rollout(
        run,
        "event_msg",
        json!({"type": "token_count", "info": {"total_token_usage": usage},
            "rate_limits": {"limit_id": "codex", "primary": primary, "secondary": null}}),
    )
}

/// What the played provider said, in Codex's words (facts/limits.md X1–X3).
fn limit_text(limit: &Limit) -> String {
    match limit.class.as_str() {
        "quota" => format!(
            "You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit \
             https://chatgpt.com/settings/usage to purchase more credits or try again at {}.",
            clock(limit.reset_at_ms.unwrap_or_default(), true)
        ),
        "throttle" => "exceeded retry limit, last status: 429 Too Many Requests".to_owned(),
        "overload" => {
            "We’re currently experiencing high demand, which may cause temporary errors.".to_owned()
        }
        "billing" => "Quota exceeded. Check your plan and billing details.".to_owned(),
        _ => "unexpected status 401 Unauthorized: mock invalid_api_key, url: \
              http://127.0.0.1/v1/responses"
            .to_owned(),
    }
}

fn limit_lines(run: &Run, limit: &Limit) -> io::Result<Vec<Value>> {
    let text = limit_text(limit);
    Ok(match limit.class.as_str() {
        "quota" => {
            token_count(run, &total_usage(run), limit.reset_at_ms)?;
            rollout(
                run,
                "event_msg",
                json!({"type": "task_complete",
                    "error": {"message": text, "codex_error_info": "usage_limit_exceeded"}}),
            )?;
            Vec::new()
        }
        "auth" => (1..=5)
            .map(|n| json!({"type": "error", "message": format!("Reconnecting... {n}/5 ({text})")}))
            .collect(),
        _ => Vec::new(),
    })
}
