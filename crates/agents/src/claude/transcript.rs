//! Claude Code's transcript, `projects/<folder>/<uuid>.jsonl` (facts/agents.md §4; limits J4).

use longhaul_core::limit::LimitNotice;
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde_json::Value;

use crate::event::FailureKind;
use crate::limits::{Client, Zone};
use crate::record::{Entries, JsonLines, RecordReader, Spent};
use crate::refusal::Failure;
use crate::stream::{named, sound_conversation, str_at};
use crate::tally::{PerMessage, anthropic_usage};

/// Reads what one attempt appended to a transcript, as it grows. A torn last line waits for its rest.
///
/// Feed it from the offset where the attempt began, else earlier attempts are counted too. Usage is
/// counted once per API message; sub-agents have files of their own (`subagents/agent-*.jsonl`), which
/// need a reader each.
#[derive(Default)]
pub struct ClaudeTranscript(JsonLines<Seen>);

#[derive(Default)]
struct Seen {
    tally: PerMessage,
    conversation: Option<String>,
    model: Option<String>,
    mode: Option<String>,
    refusal: Option<Failure>,
    entries: u64,
}

impl RecordReader for ClaudeTranscript {
    fn push(&mut self, bytes: &[u8], spent: &mut Vec<Spent>) {
        self.0.push(bytes, spent);
    }

    fn finish(&mut self, spent: &mut Vec<Spent>) {
        self.0.finish(spent);
    }
}

impl ClaudeTranscript {
    /// Tokens so far; the cost is not in a transcript.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.seen.tally.total()
    }

    /// The conversation's id.
    #[must_use]
    pub fn conversation(&self) -> Option<&str> {
        self.0.seen.conversation.as_deref()
    }

    /// The model that answered last.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.0.seen.model.as_deref()
    }

    /// The permission mode of the last prompt, in Claude's spelling.
    #[must_use]
    pub fn mode(&self) -> Option<&str> {
        self.0.seen.mode.as_deref()
    }

    /// Lines understood so far: growth is a sign of life.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.0.seen.entries
    }

    /// The refusal that the last answer was, if it was one. `zone` is for times without one.
    #[must_use]
    pub fn refusal(&self, now: UnixMs, zone: &Zone) -> Option<LimitNotice> {
        match self.0.seen.refusal.as_ref()? {
            Failure::Read(reading) => reading.notice(now, zone),
            Failure::Typed(notice) => Some(notice.clone()),
            Failure::Other(..) => None,
        }
    }
}

impl Entries for Seen {
    fn take(&mut self, entry: &Value, spent: &mut Vec<Spent>) {
        self.entries += 1;
        if self.conversation.is_none() {
            self.conversation = sound_conversation(str_at(entry, "/sessionId"));
        }
        match str_at(entry, "/type") {
            "user" => {
                if let Some(mode) = named(str_at(entry, "/permissionMode")) {
                    self.mode = Some(mode);
                }
            }
            "assistant" if entry["isApiErrorMessage"] == Value::Bool(true) => {
                let said = str_at(entry, "/message/content/0/text");
                let status = entry["apiErrorStatus"].as_u64();
                self.refusal = Some(Failure::of_words(
                    Client::Claude,
                    said,
                    status,
                    FailureKind::Agent,
                ));
            }
            "assistant" => {
                self.refusal = None;
                self.model = named(str_at(entry, "/message/model"));
                let usage =
                    anthropic_usage(entry.pointer("/message/usage").unwrap_or(&Value::Null));
                let id = str_at(entry, "/message/id");
                self.tally.note(id, usage);
                spent.push(Spent::Message {
                    id: id.to_owned(),
                    usage,
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::limit::LimitClass;

    use super::*;

    const OK: &[u8] = include_bytes!("../../tests/samples/claude/transcript.ok.jsonl");

    #[test]
    fn t13_each_message_counts_once_and_torn_lines_wait() {
        let mut whole = ClaudeTranscript::default();
        whole.push(OK, &mut Vec::new());
        assert_eq!(
            whole.conversation(),
            Some("11111111-1111-4111-8111-111111111111")
        );
        assert_eq!(
            (whole.model(), whole.mode()),
            (Some("claude-opus-4-8"), Some("bypassPermissions"))
        );
        let want = Usage {
            input: 2000,
            output: 100,
            cache_read: 600,
            cache_write: 400,
            cost: None,
        };
        assert_eq!(whole.usage(), want);
        for cut in [1, OK.len() / 3, OK.len() - 2] {
            let mut torn = ClaudeTranscript::default();
            torn.push(&OK[..cut], &mut Vec::new());
            torn.push(&OK[cut..], &mut Vec::new());
            assert_eq!((torn.usage(), torn.entries()), (want, whole.entries()));
        }
    }

    #[test]
    fn j4_an_error_message_is_a_refusal_until_the_next_answer() {
        let limit = concat!(
            r#"{"type":"assistant","isApiErrorMessage":true,"error":"rate_limit","apiErrorStatus":429,"#,
            r#""message":{"id":"x","model":"<synthetic>","content":[{"type":"text","text":"You've hit your session limit · resets 2:12am (UTC)"}]}}"#,
            "\n"
        );
        let mut transcript = ClaudeTranscript::default();
        transcript.push(limit.as_bytes(), &mut Vec::new());
        let now = UnixMs(1_795_220_000_000);
        let notice = transcript
            .refusal(now, &Zone::default())
            .expect("a refusal");
        assert_eq!(
            (notice.class, notice.window.as_deref()),
            (LimitClass::Quota, Some("five_hour"))
        );
        assert_eq!(notice.reset_at, Some(UnixMs(1_795_227_120_000)));
        assert!(transcript.usage().is_zero());
        transcript.push(OK, &mut Vec::new());
        assert_eq!(transcript.refusal(now, &Zone::default()), None);
    }
}
