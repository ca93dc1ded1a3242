//! The lines of a played script. Its usage is cumulative in the process.

use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde_json::Value;

use crate::event::{AgentEvent, Denial, FailureKind, TurnOutcome};
use crate::limits::SNIPPET_CHARS;
use crate::refused_write::Calls;
use crate::stream::{
    Dialect, Ending, json_object, named, sound_conversation, str_at, u64_at, words,
};
use crate::tally::usd_at;
use crate::text::{excerpt, snippet};

/// Reads one played script.
#[derive(Default)]
pub(crate) struct ScriptStream {
    usage: Usage,
    limit: Option<LimitNotice>,
    last_words: String,
    end: Option<TurnOutcome>,
    calls: Calls,
}

impl Dialect for ScriptStream {
    fn line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let Some(event) = json_object(line, out) else {
            return;
        };
        let short = |pointer| snippet(str_at(&event, pointer), 200);
        match str_at(&event, "/type") {
            "start" => out.push(AgentEvent::Started {
                conversation: sound_conversation(str_at(&event, "/conversation")),
                model: named(str_at(&event, "/model")),
                mode: named(str_at(&event, "/mode")),
                version: None,
            }),
            "say" => {
                self.last_words = words(str_at(&event, "/text"));
                out.push(AgentEvent::Text {
                    text: self.last_words.clone(),
                });
            }
            "tool" => {
                let (id, name, summary) = (short("/id"), short("/name"), short("/summary"));
                self.calls.begin(&id, &name, &summary);
                out.push(AgentEvent::ToolStarted { id, name, summary });
            }
            "tool_end" => {
                let id = short("/id");
                let ok = event["ok"] != Value::Bool(false);
                let output = str_at(&event, "/output");
                self.calls.end(&id, ok, output, out);
                out.push(AgentEvent::tool_ended(id, ok, output));
            }
            "usage" => {
                self.usage = Usage {
                    input: u64_at(&event, "/input"),
                    output: u64_at(&event, "/output"),
                    cache_read: u64_at(&event, "/cache_read"),
                    cache_write: u64_at(&event, "/cache_write"),
                    cost: usd_at(&event, "/cost_usd"),
                };
                out.push(AgentEvent::Usage(self.usage));
            }
            "limit" => self.limit(&event, out),
            "denied" => out.push(AgentEvent::Denied(Denial {
                tool: short("/tool"),
                detail: short("/detail"),
            })),
            "question" => out.push(AgentEvent::Question {
                text: excerpt(str_at(&event, "/text"), 1024),
            }),
            "end" => self.end(&event, out),
            kind => out.push(AgentEvent::Unknown {
                kind: snippet(kind, 80),
            }),
        }
    }

    fn outcome(&mut self, end: &Ending<'_>, _out: &mut Vec<AgentEvent>) -> TurnOutcome {
        self.end.clone().unwrap_or_else(|| end.no_terminal_event())
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

impl ScriptStream {
    fn limit(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        let class = match str_at(event, "/class") {
            "quota" => LimitClass::Quota,
            "throttle" => LimitClass::Throttle,
            "overload" => LimitClass::Overload,
            "billing" => LimitClass::Billing,
            "auth" => LimitClass::Auth,
            other => {
                out.push(AgentEvent::Unknown {
                    kind: snippet(&format!("limit/{other}"), 80),
                });
                return;
            }
        };
        let notice = LimitNotice {
            class,
            reset_at: event["reset_at_ms"].as_i64().map(UnixMs),
            window: named(str_at(event, "/window")),
            snippet: snippet(str_at(event, "/message"), SNIPPET_CHARS),
        };
        out.push(AgentEvent::Limit(notice.clone()));
        self.limit = Some(notice);
    }

    fn end(&mut self, event: &Value, out: &mut Vec<AgentEvent>) {
        let ok = event["ok"] == Value::Bool(true);
        self.end = Some(match &self.limit {
            _ if ok => TurnOutcome::Completed {
                summary: match str_at(event, "/summary") {
                    "" => excerpt(&self.last_words, 4096),
                    summary => excerpt(summary, 4096),
                },
            },
            Some(notice) => TurnOutcome::Limited(notice.clone()),
            None => TurnOutcome::Failed {
                kind: FailureKind::Agent,
                message: excerpt(str_at(event, "/error"), 1024),
            },
        });
        out.push(AgentEvent::TurnEnded { ok });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ExitStatusInfo, TurnEnd};
    use crate::stream::{LineParser, ParserContext, StreamParser};

    fn play(lines: &str, exit: i32) -> (Vec<AgentEvent>, TurnEnd, Usage) {
        let mut parser = LineParser::new(ScriptStream::default(), &ParserContext::default());
        let mut events = Vec::new();
        parser.push(lines.as_bytes(), &mut events);
        let end = parser.finish(ExitStatusInfo::exited(exit), UnixMs(0), &mut events);
        (events, end, parser.usage())
    }

    #[test]
    fn a_turn_with_everything() {
        let (events, end, usage) = play(
            r#"{"type":"start","conversation":"c-1","mode":"edits"}
{"type":"say","text":"on it"}
{"type":"tool","id":"1","name":"write","summary":"a.txt"}
{"type":"tool_end","id":"1","ok":false,"output":"no"}
{"type":"denied","tool":"run","detail":"rm -rf /"}
{"type":"question","text":"really?"}
{"type":"usage","input":10,"output":2,"cache_read":3,"cache_write":4,"cost_usd":0.5}
{"type":"usage","input":20,"output":3,"cache_read":3,"cache_write":4,"cost_usd":null}
{"type":"dance"}
{"type":"end","ok":true}
"#,
            0,
        );
        assert_eq!(events.len(), 10);
        assert!(
            matches!(&events[0], AgentEvent::Started { conversation: Some(id), mode: Some(mode), .. }
            if id == "c-1" && mode == "edits")
        );
        assert!(matches!(&events[8], AgentEvent::Unknown { kind } if kind == "dance"));
        assert_eq!(end.denials.len(), 1);
        let summary = "on it".to_owned();
        assert_eq!(end.outcome, TurnOutcome::Completed { summary });
        // Cumulative, and the cost is what was said last.
        assert_eq!((usage.input, usage.cost), (20, None));
    }

    #[test]
    fn a_limit_makes_a_failed_turn_a_limited_one() {
        const LIMIT: &str = r#"{"type":"limit","class":"quota","reset_at_ms":1795227168000,"window":"five_hour","message":"used up"}"#;
        let failed = r#"{"type":"end","ok":false,"error":"gave up"}"#;
        let (_, end, _) = play(&format!("{LIMIT}\n{failed}\n"), 1);
        let TurnOutcome::Limited(notice) = end.outcome else {
            panic!("{end:?}");
        };
        assert_eq!(notice.reset_at, Some(UnixMs(1_795_227_168_000)));
        let (_, end, _) = play(&format!("{LIMIT}\n{{\"type\":\"end\",\"ok\":true}}\n"), 0);
        assert!(matches!(end.outcome, TurnOutcome::Completed { .. }));
        let (_, end, _) = play(failed, 1);
        assert!(
            matches!(end.outcome, TurnOutcome::Failed { ref message, .. } if message == "gave up")
        );
        let (_, end, _) = play(LIMIT, 0);
        assert!(matches!(end.outcome, TurnOutcome::NoTerminalEvent { .. }));
    }
}
