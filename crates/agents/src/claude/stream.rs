//! Claude Code's `stream-json` lines (facts/agents.md §2; limits J1–J3).

use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::usage::Usage;
use serde_json::Value;

use crate::event::{AgentEvent, Denial, FailureKind, TurnOutcome};
use crate::limits::{Client, SNIPPET_CHARS};
use crate::record::Spent;
use crate::refusal::{Failure, without_terminal_event};
use crate::refused_write::Calls;
use crate::stream::{
    Dialect, Ending, json_object, named, sound_conversation, str_at, tool_summary, u64_at, words,
};
use crate::tally::{PerMessage, anthropic_usage, usd_at};
use crate::text::{excerpt, snippet};

/// `system` lines that say nothing worth an event.
const QUIET_SYSTEM: [&str; 9] = [
    "hook_started",
    "hook_response",
    "hook_progress",
    "status",
    "task_started",
    "task_progress",
    "task_notification",
    "task_updated",
    "notification",
];

/// Reads one `claude -p` process; a long-lived one gives a result per turn, and the last one counts.
#[derive(Default)]
pub(crate) struct ClaudeStream {
    spoke: bool,
    end: Option<End>,
    /// A `rate_limit_event` that rejected, in this turn.
    rejected: Option<LimitNotice>,
    /// The error kind of the last synthetic message, in this turn.
    api_error: String,
    /// What results have said: cumulative in the process.
    settled: Usage,
    /// What messages since the last result have said.
    running: PerMessage,
    calls: Calls,
}

enum End {
    Known(TurnOutcome),
    Failed(Failure),
}

impl Dialect for ClaudeStream {
    fn line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let Some(event) = json_object(line, out) else {
            return;
        };
        match str_at(&event, "/type") {
            "system" => self.system(&event, out),
            "assistant" => self.assistant(&event, out),
            "user" => self.tool_results(&event, out),
            "rate_limit_event" => self.rate_limit(&event, out),
            "result" => self.result(&event, out),
            "stream_event" | "control_response" | "keep_alive" | "tool_progress" => {}
            "control_request" => out.push(AgentEvent::Question {
                text: question(
                    str_at(&event, "/request/tool_name"),
                    &event["request"]["input"],
                ),
            }),
            kind => out.push(AgentEvent::Unknown {
                kind: snippet(kind, 80),
            }),
        }
    }

    fn outcome(&mut self, end: &Ending<'_>, _out: &mut Vec<AgentEvent>) -> TurnOutcome {
        match &self.end {
            Some(End::Known(outcome)) => outcome.clone(),
            Some(End::Failed(failure)) => failure.outcome(end),
            None if is_not_found(end.stderr) => TurnOutcome::NotResumable {
                message: excerpt(end.stderr, 1024),
            },
            None => without_terminal_event(Client::Claude, end, self.spoke),
        }
    }

    fn usage(&self) -> Usage {
        self.settled + self.running.total()
    }

    fn recorded(&mut self, spent: &Spent) {
        if let Spent::Message { id, usage } = spent {
            self.running.note_recorded(id, *usage, self.end.is_some());
        }
    }
}

impl ClaudeStream {
    fn system(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        match str_at(event, "/subtype") {
            "init" => {
                self.spoke = true;
                // A new turn of a long-lived session: the old result no longer speaks for it.
                self.end = None;
                self.rejected = None;
                self.api_error.clear();
                out.push(AgentEvent::Started {
                    conversation: sound_conversation(str_at(event, "/session_id")),
                    model: named(str_at(event, "/model")),
                    mode: named(str_at(event, "/permissionMode")),
                    version: named(str_at(event, "/claude_code_version")),
                });
            }
            "api_retry" => out.push(AgentEvent::Retrying {
                class: retry_class(str_at(event, "/error"), u64_at(event, "/error_status")),
                delay_ms: event
                    .get("retry_delay_ms")
                    .map(|_| u64_at(event, "/retry_delay_ms")),
                attempt: u32::try_from(u64_at(event, "/attempt"))
                    .ok()
                    .filter(|n| *n > 0),
            }),
            "compact_boundary" => out.push(AgentEvent::Warning {
                text: "the conversation was compacted".to_owned(),
            }),
            quiet if QUIET_SYSTEM.contains(&quiet) => {}
            other => out.push(AgentEvent::Unknown {
                kind: snippet(&format!("system/{other}"), 80),
            }),
        }
    }

    fn assistant(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        let synthetic = str_at(event, "/message/model") == "<synthetic>";
        if synthetic {
            str_at(event, "/error").clone_into(&mut self.api_error);
        } else {
            let id = str_at(event, "/message/id");
            let usage = event.pointer("/message/usage").unwrap_or(&Value::Null);
            if self.running.note(id, anthropic_usage(usage)) {
                out.push(AgentEvent::Usage(self.usage()));
            }
        }
        for block in blocks(event) {
            match str_at(block, "/type") {
                // The client's own words: the result repeats and classifies them.
                "text" if synthetic => out.push(AgentEvent::Warning {
                    text: words(str_at(block, "/text")),
                }),
                "text" => out.push(AgentEvent::Text {
                    text: words(str_at(block, "/text")),
                }),
                "tool_use" | "server_tool_use" => {
                    let name = str_at(block, "/name");
                    let input = &block["input"];
                    let id = snippet(str_at(block, "/id"), 128);
                    let summary = tool_summary(input);
                    self.calls.begin(&id, name, &summary);
                    out.push(AgentEvent::ToolStarted {
                        id,
                        name: snippet(name, 80),
                        summary,
                    });
                    if matches!(name, "AskUserQuestion" | "ExitPlanMode") {
                        out.push(AgentEvent::Question {
                            text: question(name, input),
                        });
                    }
                }
                _ => {}
            }
        }
    }

    fn tool_results(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        for block in blocks(event) {
            if str_at(block, "/type") == "tool_result" {
                let id = snippet(str_at(block, "/tool_use_id"), 128);
                let ok = block["is_error"] != Value::Bool(true);
                let output = result_text(&block["content"]);
                self.calls.end(&id, ok, &output, out);
                out.push(AgentEvent::tool_ended(id, ok, &output));
            }
        }
    }

    fn rate_limit(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        let info = &event["rate_limit_info"];
        let reset_at = info
            .get("resetsAt")
            .and_then(Value::as_i64)
            .and_then(crate::limits::epoch_secs);
        let window = named(str_at(info, "/rateLimitType"));
        match str_at(info, "/status") {
            "rejected" => {
                // J1: a bare 429 says `rejected` too, without a reset; that is a throttle.
                let class = match reset_at {
                    Some(_) => LimitClass::Quota,
                    None => LimitClass::Throttle,
                };
                let notice = LimitNotice {
                    class,
                    reset_at,
                    snippet: snippet(&info.to_string(), SNIPPET_CHARS),
                    window,
                };
                out.push(AgentEvent::Limit(notice.clone()));
                self.rejected = Some(notice);
            }
            "allowed_warning" => out.push(AgentEvent::LimitWarning {
                utilization: info.get("utilization").and_then(Value::as_f64),
                window,
                reset_at,
            }),
            _ => {}
        }
    }

    fn result(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        self.settle_usage(event);
        out.push(AgentEvent::Usage(self.usage()));
        for denied in event["permission_denials"].as_array().into_iter().flatten() {
            out.push(AgentEvent::Denied(Denial {
                tool: snippet(str_at(denied, "/tool_name"), 80),
                detail: tool_summary(&denied["tool_input"]),
            }));
        }
        let end = self.end_of(event);
        let ok = matches!(end, End::Known(TurnOutcome::Completed { .. }));
        if let End::Failed(failure) = &end
            && self.rejected.is_none()
        {
            out.extend(failure.event());
        }
        out.push(AgentEvent::TurnEnded { ok });
        self.end = Some(end);
    }

    /// Keyed on `is_error` and `api_error_status`, for an API failure has `subtype: "success"` (J3).
    fn end_of(&self, event: &Value) -> End {
        let errors: Vec<&str> = event["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let said = match str_at(event, "/result") {
            "" => errors.join("\n"),
            result => result.to_owned(),
        };
        let failed = |kind| {
            End::Known(TurnOutcome::Failed {
                kind,
                message: excerpt(&said, 1024),
            })
        };
        match str_at(event, "/subtype") {
            "error_max_budget_usd" => return failed(FailureKind::Budget),
            "error_max_turns" => return failed(FailureKind::MaxTurns),
            "error_during_execution" if is_not_found(&said) => {
                return End::Known(TurnOutcome::NotResumable {
                    message: excerpt(&said, 1024),
                });
            }
            "error_during_execution"
                if str_at(event, "/terminal_reason").starts_with("aborted") =>
            {
                return End::Known(TurnOutcome::Interrupted);
            }
            _ => {}
        }
        if event["is_error"] != Value::Bool(true) {
            return if str_at(event, "/subtype") == "success" {
                End::Known(TurnOutcome::Completed {
                    summary: excerpt(&said, 4096),
                })
            } else {
                failed(FailureKind::Agent)
            };
        }
        let status = event["api_error_status"].as_u64();
        if let Some(notice) = &self.rejected
            && matches!(status, None | Some(429))
        {
            return End::Failed(Failure::Typed(LimitNotice {
                snippet: snippet(&said, SNIPPET_CHARS),
                ..notice.clone()
            }));
        }
        let status = status.or(match self.api_error.as_str() {
            "rate_limit" => Some(429),
            "overloaded" | "server_error" => Some(500),
            "authentication_failed" | "oauth_org_not_allowed" => Some(401),
            "billing_error" => Some(402),
            "model_not_found" | "invalid_request" => Some(400),
            _ => None,
        });
        End::Failed(Failure::of_words(
            Client::Claude,
            &said,
            status,
            FailureKind::Agent,
        ))
    }

    /// `modelUsage` and `total_cost_usd` are cumulative in the process; `usage` is the turn's own, and
    /// is all zeros after some errors.
    fn settle_usage(&mut self, event: &Value) {
        let models = event["modelUsage"].as_object().filter(|m| !m.is_empty());
        let mut total = match models {
            Some(models) => models.values().fold(Usage::default(), |sum, m| {
                sum + Usage {
                    input: u64_at(m, "/inputTokens"),
                    output: u64_at(m, "/outputTokens"),
                    cache_read: u64_at(m, "/cacheReadInputTokens"),
                    cache_write: u64_at(m, "/cacheCreationInputTokens"),
                    cost: None,
                }
            }),
            None => {
                let turn = anthropic_usage(&event["usage"]);
                let running = self.running.total();
                let mut sum = self.settled + if turn.is_zero() { running } else { turn };
                sum.cost = None;
                sum
            }
        };
        total.cost = usd_at(event, "/total_cost_usd");
        self.settled = total;
        self.running.settle();
    }
}

fn blocks(event: &Value) -> impl Iterator<Item = &Value> {
    event
        .pointer("/message/content")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// A result's text: a string, or blocks of which some are text.
fn result_text(content: &Value) -> std::borrow::Cow<'_, str> {
    match content {
        Value::String(text) => text.into(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().map(|part| str_at(part, "/text")).collect();
            texts.join("\n").into()
        }
        _ => "".into(),
    }
}

fn question(tool: &str, input: &Value) -> String {
    let asked = input
        .pointer("/questions/0/question")
        .or_else(|| input.get("question"))
        .or_else(|| input.get("plan"))
        .and_then(Value::as_str);
    match asked {
        Some(text) => excerpt(text, 1024),
        None => snippet(&format!("{tool} {}", tool_summary(input)), 200),
    }
}

fn is_not_found(words: &str) -> bool {
    words.contains("No conversation found")
}

fn retry_class(error: &str, status: u64) -> LimitClass {
    match error {
        "rate_limit" => LimitClass::Throttle,
        "authentication_failed" | "oauth_org_not_allowed" => LimitClass::Auth,
        "billing_error" => LimitClass::Billing,
        _ => crate::limits::read_status(status).unwrap_or(LimitClass::Overload),
    }
}
