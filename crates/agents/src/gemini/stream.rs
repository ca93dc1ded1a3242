//! Gemini CLI's `stream-json` lines, its stderr and its exit codes (facts/agents.md §2, §3; limits G1, G2).

use std::sync::LazyLock;

use longhaul_core::limit::LimitClass;
use longhaul_core::usage::Usage;
use regex_lite::Regex;
use serde_json::Value;

use crate::event::{AgentEvent, Denial, FailureKind, TurnOutcome};
use crate::limits::Client;
use crate::refusal::{Failure, retry_class, without_terminal_event};
use crate::refused_write::Calls;
use crate::stream::{
    Dialect, Ending, json_object, named, sound_conversation, str_at, tool_summary, u64_at, words,
};
use crate::text::{excerpt, snippet};

static ATTEMPT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Attempt (\d+) failed").expect("a constant pattern"));
static RETRYING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"Retrying after (\d+)ms").expect("a constant pattern"));
static STATUS_IN_BODY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""code":\s*(\d{3})\b"#).expect("a constant pattern"));

/// The most of an answer that is kept for the summary.
const ANSWER_CHARS: usize = 16 << 10;

/// Reads one headless `gemini` process. Its usage counts the process, resumed or not.
#[derive(Default)]
pub(crate) struct GeminiStream {
    spoke: bool,
    usage: Usage,
    /// Words since the last tool call.
    answer: String,
    /// The last tool call's name and summary, for a denial.
    tool: (String, String),
    calls: Calls,
    /// A failed try of which stderr has not yet said how long it waits.
    failed_try: Option<(u32, LimitClass)>,
    end: Option<Result<(), Failure>>,
}

impl Dialect for GeminiStream {
    fn line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let Some(event) = json_object(line, out) else {
            return;
        };
        match str_at(&event, "/type") {
            "init" => {
                self.spoke = true;
                out.push(AgentEvent::Started {
                    conversation: sound_conversation(str_at(&event, "/session_id")),
                    model: named(str_at(&event, "/model")),
                    mode: None,
                    version: None,
                });
            }
            "message" if str_at(&event, "/role") == "assistant" => {
                let text = words(str_at(&event, "/content"));
                if self.answer.len() < ANSWER_CHARS {
                    self.answer.push_str(&text);
                }
                out.push(AgentEvent::Text { text });
            }
            "message" => {}
            "tool_use" => {
                self.answer.clear();
                let name = snippet(str_at(&event, "/tool_name"), 80);
                let summary = tool_summary(&event["parameters"]);
                self.tool = (name.clone(), summary.clone());
                let id = snippet(str_at(&event, "/tool_id"), 128);
                self.calls.begin(&id, &name, &summary);
                out.push(AgentEvent::ToolStarted { id, name, summary });
            }
            "tool_result" => self.tool_result(&event, out),
            "error" => out.push(AgentEvent::Warning {
                text: excerpt(str_at(&event, "/message"), 1024),
            }),
            "result" => self.result(&event, out),
            kind => out.push(AgentEvent::Unknown {
                kind: snippet(kind, 80),
            }),
        }
    }

    fn stderr_line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        if let Some(found) = ATTEMPT.captures(line) {
            let attempt = found
                .get(1)
                .and_then(|m| m.as_str().parse().ok())
                .unwrap_or(0);
            let class = retry_class(Client::Gemini, line);
            if line.contains("Retrying with backoff") {
                out.push(AgentEvent::Retrying {
                    class,
                    delay_ms: None,
                    attempt: Some(attempt),
                });
                self.failed_try = None;
                return;
            }
            self.failed_try = Some((attempt, class));
        }
        if let Some(found) = RETRYING.captures(line) {
            let failed = self.failed_try.take();
            out.push(AgentEvent::Retrying {
                class: failed.map_or(LimitClass::Throttle, |(_, class)| class),
                delay_ms: found.get(1).and_then(|m| m.as_str().parse().ok()),
                attempt: failed.map(|(attempt, _)| attempt),
            });
        }
    }

    fn outcome(&mut self, end: &Ending<'_>, _out: &mut Vec<AgentEvent>) -> TurnOutcome {
        match &self.end {
            Some(Ok(())) => TurnOutcome::Completed {
                summary: excerpt(&self.answer, 4096),
            },
            Some(Err(failure)) => failure.outcome(end),
            None => self.without_result(end),
        }
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

impl GeminiStream {
    fn tool_result(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        let ok = str_at(event, "/status") == "success";
        if matches!(
            str_at(event, "/error/type"),
            "policy_violation" | "tool_not_registered"
        ) {
            let (tool, summary) = std::mem::take(&mut self.tool);
            let reason = snippet(str_at(event, "/error/message"), 80);
            out.push(AgentEvent::Denied(Denial {
                tool,
                detail: snippet(&format!("{summary} ({reason})"), 200),
            }));
        }
        let id = snippet(str_at(event, "/tool_id"), 128);
        let output = match str_at(event, "/output") {
            "" => str_at(event, "/error/message"),
            output => output,
        };
        self.calls.end(&id, ok, output, out);
        out.push(AgentEvent::tool_ended(id, ok, output));
    }

    fn result(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        self.usage = stats_usage(&event["stats"]);
        out.push(AgentEvent::Usage(self.usage));
        let ok = str_at(event, "/status") == "success";
        self.end = Some(if ok {
            Ok(())
        } else {
            let message = str_at(event, "/error/message");
            let status = STATUS_IN_BODY
                .captures(message)
                .and_then(|c| c.get(1)?.as_str().parse().ok());
            let failure = match str_at(event, "/error/type") {
                "FatalTurnLimitedError" => {
                    Failure::Other(FailureKind::MaxTurns, excerpt(message, 1024))
                }
                _ => Failure::of_words(Client::Gemini, message, status, FailureKind::Agent),
            };
            out.extend(failure.event());
            Err(failure)
        });
        out.push(AgentEvent::TurnEnded { ok });
    }

    /// Exit codes are the HTTP status modulo 256, or its own: 41 login, 42 bad resume, 53 turn limit,
    /// 55 untrusted folder.
    fn without_result(&self, end: &Ending<'_>) -> TurnOutcome {
        let words = if end.stderr.is_empty() {
            "no words"
        } else {
            end.stderr
        };
        let failure = match end.exit.code {
            Some(41) => Failure::typed(LimitClass::Auth, words),
            Some(42) if words.contains("resuming session") => {
                return TurnOutcome::NotResumable {
                    message: excerpt(words, 1024),
                };
            }
            Some(42 | 44 | 52 | 55) => Failure::Other(FailureKind::Launch, excerpt(words, 1024)),
            Some(53) => Failure::Other(FailureKind::MaxTurns, excerpt(words, 1024)),
            // 400 … 429, 500 … 504 modulo 256; 143 is SIGTERM, not 399.
            Some(code @ (144..=173 | 244..=248)) if self.spoke => {
                let status = u64::from(code.unsigned_abs()) + 256;
                Failure::of_words(Client::Gemini, words, Some(status), FailureKind::Api)
            }
            _ => return without_terminal_event(Client::Gemini, end, self.spoke),
        };
        failure.outcome(end)
    }
}

/// `input_tokens` holds the cached ones; what `total_tokens` has beyond input is output and thoughts.
fn stats_usage(stats: &Value) -> Usage {
    let input = u64_at(stats, "/input_tokens");
    let cache_read = u64_at(stats, "/cached");
    Usage {
        input: input.saturating_sub(cache_read),
        output: u64_at(stats, "/total_tokens")
            .saturating_sub(input)
            .max(u64_at(stats, "/output_tokens")),
        cache_read,
        cache_write: 0,
        cost: None,
    }
}
