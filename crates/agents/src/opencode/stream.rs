//! OpenCode's `run --format json` lines (facts/agents.md §2; limits O1). There is no result line: the
//! turn is over with a `step_finish` whose reason is not a tool call.

use std::sync::LazyLock;

use longhaul_core::limit::LimitClass;
use longhaul_core::usage::Usage;
use regex_lite::Regex;
use serde_json::Value;

use crate::event::{AgentEvent, Denial, FailureKind, TurnOutcome};
use crate::limits::Client;
use crate::refusal::{Failure, retry_class, without_terminal_event};
use crate::refused_write;
use crate::stream::{
    Dialect, Ending, json_object, sound_conversation, str_at, tool_summary, u64_at, words,
};
use crate::tally::{PerMessage, usd_at};
use crate::text::{clean_text, excerpt, snippet};

static LOGGED_ERROR: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"AI_(?:APICall|Retry)Error: ([^"]+)"#).expect("a constant pattern")
});

static LOGGED_CAUSE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"level=ERROR .*\berror="([^"]{1,1000})"#).expect("a constant pattern")
});

/// Reads one `opencode run` process. Each step has its own usage and cost.
#[derive(Default)]
pub(crate) struct OpencodeStream {
    spoke: bool,
    steps: PerMessage,
    last_words: String,
    /// The last error in its log: the stream only says that there was one.
    logged: String,
    /// The last tool call was refused: after that it gives up with exit code 0 and no further word.
    refused: Option<Denial>,
    end: Option<End>,
}

enum End {
    Completed,
    Interrupted,
    Failed(Failure),
}

impl Dialect for OpencodeStream {
    fn line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let Some(event) = json_object(line, out) else {
            return;
        };
        if !self.spoke {
            self.spoke = true;
            out.push(AgentEvent::Started {
                conversation: sound_conversation(str_at(&event, "/sessionID")),
                model: None,
                mode: None,
                version: None,
            });
        }
        match str_at(&event, "/type") {
            "step_start" => {
                self.end = None;
                self.refused = None;
            }
            "text" => {
                self.last_words = words(str_at(&event, "/part/text"));
                out.push(AgentEvent::Text {
                    text: self.last_words.clone(),
                });
            }
            "tool_use" => self.tool_use(&event["part"], out),
            "step_finish" => self.step_finish(&event["part"], out),
            "reasoning" => {}
            "error" => self.error(&event["error"], out),
            kind => out.push(AgentEvent::Unknown {
                kind: snippet(kind, 80),
            }),
        }
    }

    fn stderr_line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let line = clean_text(line);
        if let Some(found) = LOGGED_ERROR.captures(&line) {
            let cause = found.get(1).map_or("", |m| m.as_str());
            out.push(AgentEvent::Retrying {
                class: retry_class(Client::OpenCode, cause),
                delay_ms: None,
                attempt: None,
            });
        } else if let Some(found) = LOGGED_CAUSE.captures(&line) {
            self.logged = snippet(found.get(1).map_or("", |m| m.as_str()), 400);
        } else if line.contains("permission requested:") {
            out.push(AgentEvent::Warning {
                text: snippet(&line, 200),
            });
        }
    }

    fn outcome(&mut self, end: &Ending<'_>, _out: &mut Vec<AgentEvent>) -> TurnOutcome {
        match (&self.end, &self.refused) {
            (Some(End::Completed), _) => TurnOutcome::Completed {
                summary: excerpt(&self.last_words, 4096),
            },
            (Some(End::Interrupted), _) => TurnOutcome::Interrupted,
            (Some(End::Failed(Failure::Other(kind, message))), _) if !self.logged.is_empty() => {
                TurnOutcome::Failed {
                    kind: *kind,
                    message: excerpt(&format!("{message} {}", self.logged), 1024),
                }
            }
            (Some(End::Failed(failure)), _) => failure.outcome(end),
            (None, Some(denial)) if end.exit.is_zero() => TurnOutcome::Failed {
                kind: FailureKind::Agent,
                message: format!(
                    "stopped after {} was refused: {}",
                    denial.tool, denial.detail
                ),
            },
            (None, _) if end.stderr.contains("Session not found") => TurnOutcome::NotResumable {
                message: excerpt(end.stderr, 1024),
            },
            (None, _) => without_terminal_event(Client::OpenCode, end, self.spoke),
        }
    }

    fn usage(&self) -> Usage {
        self.steps.total()
    }
}

impl OpencodeStream {
    /// A call comes as one line, when it has ended.
    fn tool_use(&mut self, part: &Value, out: &mut Vec<AgentEvent>) {
        let id = snippet(str_at(part, "/callID"), 128);
        let name = snippet(str_at(part, "/tool"), 80);
        let summary = tool_summary(&part["state"]["input"]);
        let ok = str_at(part, "/state/status") == "completed";
        let error = str_at(part, "/state/error");
        let input_error = str_at(part, "/state/input/error");
        out.push(AgentEvent::ToolStarted {
            id: id.clone(),
            name: name.clone(),
            summary: summary.clone(),
        });
        self.refused = None;
        let output = if ok {
            str_at(part, "/state/output")
        } else {
            error
        };
        refused_write::find(&name, &summary, ok, output, out);
        if error.contains("rejected permission")
            || error.contains("specified a rule which prevents")
        {
            let denial = Denial {
                tool: name,
                detail: summary,
            };
            self.refused = Some(denial.clone());
            out.push(AgentEvent::Denied(denial));
        } else if str_at(part, "/tool") == "invalid" && input_error.contains("unavailable tool") {
            // Its rules took the tool away; it goes on without.
            out.push(AgentEvent::Denied(Denial {
                tool: snippet(str_at(part, "/state/input/tool"), 80),
                detail: "not available in this permission mode".to_owned(),
            }));
        }
        out.push(AgentEvent::tool_ended(id, ok, output));
    }

    fn step_finish(&mut self, part: &Value, out: &mut Vec<AgentEvent>) {
        let tokens = &part["tokens"];
        let usage = Usage {
            input: u64_at(tokens, "/input"),
            output: u64_at(tokens, "/output").saturating_add(u64_at(tokens, "/reasoning")),
            cache_read: u64_at(tokens, "/cache/read"),
            cache_write: u64_at(tokens, "/cache/write"),
            cost: usd_at(part, "/cost"),
        };
        self.steps.note(str_at(part, "/id"), usage);
        out.push(AgentEvent::Usage(self.usage()));
        let end = match str_at(part, "/reason") {
            "tool-calls" => return,
            "stop" => End::Completed,
            reason => End::Failed(Failure::Other(
                FailureKind::Agent,
                snippet(&format!("the model stopped: {reason}"), 200),
            )),
        };
        out.push(AgentEvent::TurnEnded {
            ok: matches!(end, End::Completed),
        });
        self.end = Some(end);
    }

    fn error(&mut self, error: &Value, out: &mut Vec<AgentEvent>) {
        let name = str_at(error, "/name");
        let message = str_at(error, "/data/message");
        let status = error.pointer("/data/statusCode").and_then(Value::as_u64);
        let failure = match name {
            "MessageAbortedError" => {
                self.end = Some(End::Interrupted);
                out.push(AgentEvent::TurnEnded { ok: false });
                return;
            }
            "ProviderAuthError" => Failure::typed(LimitClass::Auth, message),
            _ => failure(message, str_at(error, "/data/responseBody"), status),
        };
        out.extend(failure.event());
        out.push(AgentEvent::TurnEnded { ok: false });
        self.end = Some(End::Failed(failure));
    }
}

/// The status decides, but for a 429 or 4xx whose body says that money or the plan is used up.
fn failure(message: &str, body: &str, status: Option<u64>) -> Failure {
    if matches!(status, Some(400 | 402 | 403 | 429))
        && let Failure::Read(reading) =
            Failure::of_words(Client::OpenCode, body, None, FailureKind::Api)
        && matches!(
            reading.meaning,
            crate::limits::Meaning::Refused(LimitClass::Quota | LimitClass::Billing)
        )
    {
        return Failure::Read(reading);
    }
    match status.map(|s| (s, crate::limits::read_status(s))) {
        Some((_, Some(class))) => Failure::typed(class, message),
        Some(_) => Failure::Other(FailureKind::Api, excerpt(message, 1024)),
        None => Failure::of_words(Client::OpenCode, message, None, FailureKind::Agent),
    }
}
