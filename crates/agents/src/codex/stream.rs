//! Codex's `exec --json` lines (facts/agents.md §2; limits X1–X3).

use std::sync::LazyLock;

use longhaul_core::usage::Usage;
use regex_lite::Regex;
use serde_json::Value;

use crate::event::{AgentEvent, Denial, FailureKind, TurnOutcome};
use crate::limits::{Client, ResetText};
use crate::record::Spent;
use crate::refusal::{Failure, retry_class, without_terminal_event};
use crate::refused_write;
use crate::stream::{
    Dialect, Ending, ParserContext, json_object, sound_conversation, str_at, tool_summary, words,
};
use crate::tally::{beyond, codex_usage, most};
use crate::text::{excerpt, snippet};

static RECONNECTING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?s)^Reconnecting\.\.\. (\d+)/\d+(?: \((.*)\))?").expect("a constant pattern")
});
static TRY_AGAIN_IN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)try again in\s*([\d.]+\s*(?:ms|s|seconds?))\b").expect("a constant pattern")
});

/// Reads one `codex exec` process. `turn.completed` has usage over the whole thread, resumes included;
/// the baseline is what earlier attempts of the thread had used.
pub(crate) struct CodexStream {
    baseline: Usage,
    thread_total: Option<Usage>,
    spoke: bool,
    last_words: String,
    /// An error that was no retry; `turn.failed` usually repeats it.
    error: Option<Failure>,
    end: Option<End>,
}

enum End {
    Completed,
    Failed(Failure),
}

impl CodexStream {
    pub(crate) fn new(context: &ParserContext) -> Self {
        Self {
            baseline: context.baseline,
            thread_total: None,
            spoke: false,
            last_words: String::new(),
            error: None,
            end: None,
        }
    }
}

impl Dialect for CodexStream {
    fn line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let Some(event) = json_object(line, out) else {
            return;
        };
        match str_at(&event, "/type") {
            "thread.started" => {
                self.spoke = true;
                out.push(AgentEvent::Started {
                    conversation: sound_conversation(str_at(&event, "/thread_id")),
                    model: None,
                    mode: None,
                    version: None,
                });
            }
            "turn.started" => {
                self.end = None;
                self.error = None;
            }
            "turn.completed" => {
                self.thread_total = Some(codex_usage(&event["usage"]));
                out.push(AgentEvent::Usage(self.usage()));
                out.push(AgentEvent::TurnEnded { ok: true });
                self.end = Some(End::Completed);
            }
            "turn.failed" => {
                let failure = failure(str_at(&event, "/error/message"));
                out.extend(failure.event());
                out.push(AgentEvent::TurnEnded { ok: false });
                self.end = Some(End::Failed(failure));
            }
            "error" => self.error(str_at(&event, "/message"), out),
            "item.started" => item_started(&event["item"], out),
            "item.completed" => self.item_completed(&event["item"], out),
            "item.updated" => {}
            kind => out.push(AgentEvent::Unknown {
                kind: snippet(kind, 80),
            }),
        }
    }

    fn outcome(&mut self, end: &Ending<'_>, _out: &mut Vec<AgentEvent>) -> TurnOutcome {
        match (&self.end, &self.error) {
            (Some(End::Completed), _) => TurnOutcome::Completed {
                summary: excerpt(&self.last_words, 4096),
            },
            (Some(End::Failed(failure)), _) => failure.outcome(end),
            (None, Some(error)) if matches!(end.exit.code, Some(1..=127)) => error.outcome(end),
            (None, _) if end.stderr.contains("no rollout found") => TurnOutcome::NotResumable {
                message: excerpt(end.stderr, 1024),
            },
            (None, _) => without_terminal_event(Client::Codex, end, self.spoke),
        }
    }

    fn usage(&self) -> Usage {
        self.thread_total
            .map_or_else(Usage::default, |total| beyond(total, self.baseline))
    }

    fn recorded(&mut self, spent: &Spent) {
        if let Spent::Conversation { usage } = spent {
            self.thread_total = Some(
                self.thread_total
                    .map_or(*usage, |known| most(known, *usage)),
            );
        }
    }

    fn conversation_usage(&self) -> Option<Usage> {
        Some(self.thread_total.unwrap_or(self.baseline))
    }
}

impl CodexStream {
    fn error(&mut self, message: &str, out: &mut Vec<AgentEvent>) {
        let Some(retry) = RECONNECTING.captures(message) else {
            out.push(AgentEvent::Warning {
                text: excerpt(message, 1024),
            });
            self.error = Some(failure(message));
            return;
        };
        let cause = retry.get(2).map_or("", |m| m.as_str());
        let delay = TRY_AGAIN_IN
            .captures(cause)
            .and_then(|c| ResetText::parse(c.get(1)?.as_str()));
        out.push(AgentEvent::Retrying {
            class: retry_class(Client::Codex, cause),
            delay_ms: match delay {
                Some(ResetText::In(span)) => Some(span.0),
                _ => None,
            },
            attempt: retry.get(1).and_then(|m| m.as_str().parse().ok()),
        });
    }

    fn item_completed(&mut self, item: &Value, out: &mut Vec<AgentEvent>) {
        let id = snippet(str_at(item, "/id"), 128);
        let status = str_at(item, "/status");
        match str_at(item, "/type") {
            "agent_message" => {
                let text = words(str_at(item, "/text"));
                self.last_words.clone_from(&text);
                out.push(AgentEvent::Text { text });
            }
            "error" => out.push(AgentEvent::Warning {
                text: excerpt(str_at(item, "/message"), 1024),
            }),
            "command_execution" | "mcp_tool_call" | "collab_tool_call" => {
                let reason = str_at(item, "/error/message");
                if status == "declined" || reason.contains("requires approval") {
                    let (tool, summary) = tool(item);
                    let detail = snippet(&format!("{summary} {reason}"), 200);
                    out.push(AgentEvent::Denied(Denial { tool, detail }));
                } else {
                    let (name, summary) = tool(item);
                    let ok = status == "completed";
                    let output = str_at(item, "/aggregated_output");
                    refused_write::find(&name, &summary, ok, output, out);
                    refused_write::find(&name, &summary, ok, reason, out);
                }
                let said = match str_at(item, "/aggregated_output") {
                    "" => reason,
                    output => output,
                };
                out.push(AgentEvent::tool_ended(id, status == "completed", said));
            }
            // These come without a start.
            "file_change" | "web_search" => {
                let (name, summary) = tool(item);
                out.push(AgentEvent::ToolStarted {
                    id: id.clone(),
                    name,
                    summary,
                });
                out.push(AgentEvent::tool_ended(id, status != "failed", ""));
            }
            "reasoning" | "todo_list" => {}
            kind => out.push(AgentEvent::Unknown {
                kind: snippet(&format!("item/{kind}"), 80),
            }),
        }
    }
}

fn item_started(item: &Value, out: &mut Vec<AgentEvent>) {
    if matches!(
        str_at(item, "/type"),
        "command_execution" | "mcp_tool_call" | "collab_tool_call"
    ) {
        let (name, summary) = tool(item);
        out.push(AgentEvent::ToolStarted {
            id: snippet(str_at(item, "/id"), 128),
            name,
            summary,
        });
    }
}

/// An item's tool name and summary.
fn tool(item: &Value) -> (String, String) {
    match str_at(item, "/type") {
        "mcp_tool_call" => {
            let name = format!("{}.{}", str_at(item, "/server"), str_at(item, "/tool"));
            (snippet(&name, 80), tool_summary(&item["arguments"]))
        }
        "file_change" => {
            let paths: Vec<&str> = item["changes"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|change| str_at(change, "/path"))
                .take(16)
                .collect();
            ("file_change".to_owned(), snippet(&paths.join(" "), 200))
        }
        kind => (snippet(kind, 80), tool_summary(item)),
    }
}

/// A 4xx of the provider comes as its JSON body; everything else is a sentence.
fn failure(message: &str) -> Failure {
    let kind = if message.trim_start().starts_with('{') || message.contains("unexpected status 4") {
        FailureKind::Api
    } else {
        FailureKind::Agent
    };
    Failure::of_words(Client::Codex, message, None, kind)
}

#[cfg(test)]
mod tests {
    use longhaul_core::time::UnixMs;

    use super::*;
    use crate::event::ExitStatusInfo;
    use crate::stream::{LineParser, StreamParser};

    fn end(lines: &str, exit: ExitStatusInfo) -> crate::TurnEnd {
        let context = ParserContext::default();
        let mut parser = LineParser::new(CodexStream::new(&context), &context);
        let mut events = Vec::new();
        parser.push(lines.as_bytes(), &mut events);
        parser.finish(exit, UnixMs(0), &mut events)
    }

    #[test]
    fn t23_what_codex_declined_is_a_denial() {
        let end = end(
            r#"{"type":"item.completed","item":{"id":"i","type":"command_execution","command":"rm x","status":"declined"}}
{"type":"item.completed","item":{"id":"j","type":"mcp_tool_call","server":"sup","tool":"t","arguments":{"command":"y"},"error":{"message":"MCP tool call requires approval, but approval policy is never"},"status":"failed"}}
"#,
            ExitStatusInfo::exited(0),
        );
        let tools: Vec<&str> = end.denials.iter().map(|d| d.tool.as_str()).collect();
        assert_eq!(tools, ["command_execution", "sup.t"]);
    }

    #[test]
    fn an_error_before_a_failing_exit_stands_for_a_missing_turn_failed() {
        let error = r#"{"type":"error","message":"unexpected status 503 Service Unavailable"}"#;
        assert!(matches!(
            end(error, ExitStatusInfo::exited(1)).outcome,
            TurnOutcome::Limited(_)
        ));
        for exit in [ExitStatusInfo::exited(0), ExitStatusInfo::signalled(9)] {
            assert!(matches!(
                end(error, exit).outcome,
                TurnOutcome::NoTerminalEvent { .. }
            ));
        }
    }
}
