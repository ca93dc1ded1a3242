//! What a terminal session of Claude Code says, as its headless one would say it (`stream-json`): its transcript has the
//! same messages, so that everything behind reads both alike. Sans-IO.

use longhaul_core::limit::{LimitClass, LimitNotice};
use serde_json::{Value, json};

use crate::stream::{Line, LineBuffer, str_at};
use crate::text::excerpt;

/// Reads what a turn appends to the transcript, and writes the lines of a stream.
#[derive(Default)]
pub struct ClaudeFeed {
    lines: LineBuffer,
    conversation: String,
    begun: bool,
    acknowledged: bool,
    turn_over: bool,
    last_words: String,
    /// Status and words of the client's own message, if that was the last.
    error: Option<(Option<u64>, String)>,
}

impl ClaudeFeed {
    /// For this conversation, from where its transcript ends before the prompt is pasted.
    #[must_use]
    pub fn new(conversation: &str) -> Self {
        Self {
            conversation: conversation.to_owned(),
            ..Self::default()
        }
    }

    /// Takes the next bytes of the transcript; the stream's lines are appended, without line feeds.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<String>) {
        let mut entries = Vec::new();
        self.lines.push(bytes, |line| {
            if let Line::Whole(line) = line
                && let Ok(entry) = serde_json::from_slice::<Value>(line)
            {
                entries.push(entry);
            }
        });
        for entry in entries {
            self.take(&entry, out);
        }
    }

    /// The line that names the conversation, from the moment in which it may have begun.
    #[must_use]
    pub fn start(&self) -> String {
        json!({"type": "system", "subtype": "init", "session_id": self.conversation}).to_string()
    }

    /// The prompt is in the transcript.
    #[must_use]
    pub const fn acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// The last message ended its turn.
    #[must_use]
    pub const fn turn_over(&self) -> bool {
        self.turn_over
    }

    fn take(&mut self, entry: &Value, out: &mut Vec<String>) {
        if entry["isSidechain"] == Value::Bool(true) {
            return;
        }
        match str_at(entry, "/type") {
            "user" if is_prompt(entry) => {
                self.acknowledged = true;
                if !std::mem::replace(&mut self.begun, true) {
                    out.push(
                        json!({"type": "system", "subtype": "init", "session_id": self.conversation,
                            "permissionMode": entry["permissionMode"],
                            "claude_code_version": entry["version"]})
                        .to_string(),
                    );
                }
            }
            "user" => {
                self.turn_over = false;
                out.push(message("user", entry).to_string());
            }
            "assistant" => self.assistant(entry, out),
            _ => {}
        }
    }

    fn assistant(&mut self, entry: &Value, out: &mut Vec<String>) {
        let words = last_text(entry);
        // An answer may be written before the prompt that it answers.
        self.acknowledged = true;
        if entry["isApiErrorMessage"] == Value::Bool(true) {
            self.error = Some((entry["apiErrorStatus"].as_u64(), words));
            self.turn_over = true;
        } else {
            self.error = None;
            self.turn_over = str_at(entry, "/message/stop_reason") == "end_turn";
            if !words.is_empty() {
                self.last_words = words;
            }
        }
        let mut line = message("assistant", entry);
        line["error"] = entry["error"].clone();
        out.push(line.to_string());
    }

    /// The terminal line of a turn that ended by itself; an error if the client's own words were the last.
    #[must_use]
    pub fn result(&self, sign: &str) -> String {
        match &self.error {
            Some((status, words)) => self.failed(*status, words),
            None => self.line(false, None, &self.last_words, sign),
        }
    }

    /// The terminal lines of a turn that a limit ended. The transcript's own words come first, then the screen's.
    #[must_use]
    pub fn limited(&self, seen: Option<&LimitNotice>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(at) = seen
            .filter(|n| n.class == LimitClass::Quota)
            .and_then(|n| n.reset_at)
        {
            let window = seen.and_then(|n| n.window.clone());
            lines.push(
                json!({"type": "rate_limit_event", "rate_limit_info": {"status": "rejected",
                    "resetsAt": at.0.div_euclid(1000), "rateLimitType": window}})
                .to_string(),
            );
        }
        lines.push(match (&self.error, seen) {
            (Some((status, words)), _) => self.failed(status.or(Some(429)), words),
            (None, Some(notice)) => self.failed(Some(429), &notice.snippet),
            (None, None) => self.failed(Some(429), "You've hit your limit"),
        });
        lines
    }

    /// The terminal line of a turn that failed: with the status of the provider's answer, if there was one.
    #[must_use]
    pub fn failed(&self, status: Option<u64>, words: &str) -> String {
        self.line(true, status, words, "error")
    }

    fn line(&self, is_error: bool, status: Option<u64>, words: &str, sign: &str) -> String {
        json!({"type": "result", "subtype": "success", "is_error": is_error,
            "api_error_status": status, "result": words, "session_id": self.conversation,
            "terminal_reason": sign, "permission_denials": []})
        .to_string()
    }
}

/// A prompt is a text; results of tools are blocks, and the client's own notes are marked.
fn is_prompt(entry: &Value) -> bool {
    if entry["isMeta"] == Value::Bool(true) || entry["isCompactSummary"] == Value::Bool(true) {
        return false;
    }
    match &entry["message"]["content"] {
        Value::String(text) => !["<command-", "<local-command-"]
            .iter()
            .any(|own| text.starts_with(own)),
        Value::Array(blocks) => blocks.iter().any(|b| str_at(b, "/type") == "text"),
        _ => false,
    }
}

fn message(kind: &str, entry: &Value) -> Value {
    json!({"type": kind, "message": entry["message"], "session_id": entry["sessionId"],
        "uuid": entry["uuid"]})
}

fn last_text(entry: &Value) -> String {
    let blocks = entry.pointer("/message/content").and_then(Value::as_array);
    let blocks = blocks.map(Vec::as_slice).unwrap_or_default();
    let texts = blocks.iter().map(|b| str_at(b, "/text"));
    texts
        .rev()
        .find(|t| !t.is_empty())
        .map_or_else(String::new, |t| excerpt(t, 4096))
}

#[cfg(test)]
mod tests {
    use longhaul_core::time::UnixMs;

    use super::*;
    use crate::claude::ClaudeStream;
    use crate::event::{AgentEvent, ExitStatusInfo, TurnOutcome};
    use crate::stream::{LineParser, ParserContext, StreamParser};

    const OK: &[u8] = include_bytes!("../../tests/samples/claude/transcript.ok.jsonl");
    const ID: &str = "11111111-1111-4111-8111-111111111111";

    fn outcome(lines: &[String]) -> (Vec<AgentEvent>, TurnOutcome) {
        let mut parser = LineParser::new(ClaudeStream::default(), &ParserContext::default());
        let mut events = Vec::new();
        for line in lines {
            parser.push(format!("{line}\n").as_bytes(), &mut events);
        }
        let now = UnixMs(1_795_220_000_000);
        let end = parser.finish(ExitStatusInfo::exited(0), now, &mut events);
        (events, end.outcome)
    }

    #[test]
    fn a22_a_transcript_is_read_like_the_stream_of_a_headless_turn() {
        for cut in [1, OK.len() / 2, OK.len()] {
            let mut feed = ClaudeFeed::new(ID);
            let mut lines = Vec::new();
            assert!(!feed.acknowledged());
            feed.push(&OK[..cut], &mut lines);
            feed.push(&OK[cut..], &mut lines);
            assert!(feed.acknowledged() && feed.turn_over());
            lines.push(feed.result("idle"));
            let (events, end) = outcome(&lines);
            let summary = "All done, hello.txt is written.".to_owned();
            assert_eq!(end, TurnOutcome::Completed { summary });
            let started = events.iter().find_map(|e| match e {
                AgentEvent::Started {
                    conversation, mode, ..
                } => Some((conversation.clone(), mode.clone())),
                _ => None,
            });
            let mode = Some("bypassPermissions".to_owned());
            assert_eq!(started, Some((Some(ID.to_owned()), mode)));
            let tools = events
                .iter()
                .filter(|e| matches!(e, AgentEvent::ToolStarted { .. }));
            assert_eq!(tools.count(), 1);
            assert!(
                !events
                    .iter()
                    .any(|e| matches!(e, AgentEvent::Unknown { .. })),
                "{events:?}"
            );
        }
    }

    #[test]
    fn a22_a_turn_is_not_over_while_a_tool_or_a_sub_agent_works() {
        let mut feed = ClaudeFeed::new(ID);
        let mut lines = Vec::new();
        let before = OK.split_inclusive(|b| *b == b'\n').collect::<Vec<_>>();
        let end = before
            .iter()
            .position(|l| String::from_utf8_lossy(l).contains("end_turn"))
            .unwrap();
        feed.push(&before[..end].concat(), &mut lines);
        assert!(feed.acknowledged() && !feed.turn_over());
        let aside = String::from_utf8_lossy(before[end])
            .replace("\"isSidechain\":false", "\"isSidechain\":true");
        feed.push(aside.as_bytes(), &mut lines);
        assert!(!feed.turn_over());
        feed.push(before[end], &mut lines);
        assert!(feed.turn_over());
    }

    #[test]
    fn a21_notes_of_the_client_are_no_acknowledgement() {
        let mut feed = ClaudeFeed::new(ID);
        let mut out = Vec::new();
        for content in [
            "\"<command-name>/exit</command-name>\"",
            "[{\"type\":\"tool_result\",\"content\":\"x\"}]",
        ] {
            let line = format!("{{\"type\":\"user\",\"message\":{{\"content\":{content}}}}}\n");
            feed.push(line.as_bytes(), &mut out);
        }
        feed.push(b"{\"type\":\"user\",\"isMeta\":true,\"message\":{\"content\":\"note\"}}\n{\"type\":\"last-prompt\"}\nnot json\n", &mut out);
        assert!(!feed.acknowledged());
        feed.push(
            b"{\"type\":\"user\",\"message\":{\"content\":\"do it\"}}\n",
            &mut out,
        );
        assert!(feed.acknowledged());
    }

    #[test]
    fn a5_a_limit_comes_from_the_transcript_first_and_from_the_screen_else() {
        let limit = concat!(
            r#"{"type":"assistant","isApiErrorMessage":true,"error":"rate_limit","apiErrorStatus":429,"#,
            r#""message":{"id":"x","model":"<synthetic>","content":[{"type":"text","text":"You've hit your session limit · resets 2:12am (UTC)"}]}}"#,
            "\n"
        );
        let mut feed = ClaudeFeed::new(ID);
        let mut lines = Vec::new();
        feed.push(limit.as_bytes(), &mut lines);
        assert!(feed.turn_over());
        lines.extend(feed.limited(None));
        let TurnOutcome::Limited(notice) = outcome(&lines).1 else {
            panic!("{lines:?}")
        };
        assert_eq!(
            (notice.class, notice.reset_at),
            (LimitClass::Quota, Some(UnixMs(1_795_227_120_000)))
        );
        let seen = LimitNotice {
            class: LimitClass::Quota,
            reset_at: Some(UnixMs(1_795_227_660_000)),
            window: Some("five_hour".to_owned()),
            snippet: "You've hit your session limit · resets 2:21am (UTC)".to_owned(),
        };
        let TurnOutcome::Limited(notice) = outcome(&ClaudeFeed::new(ID).limited(Some(&seen))).1
        else {
            panic!()
        };
        assert_eq!(
            (notice.class, notice.reset_at),
            (LimitClass::Quota, seen.reset_at)
        );
        let end =
            outcome(&[ClaudeFeed::new(ID).failed(Some(401), "Not logged in · Please run /login")])
                .1;
        assert!(matches!(end, TurnOutcome::Limited(n) if n.class == LimitClass::Auth));
    }
}
