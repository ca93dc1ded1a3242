//! Codex's rollout, `$CODEX_HOME/sessions/Y/M/D/rollout-…jsonl` (facts/agents.md §4).

use longhaul_core::limit::{LimitClass, LimitNotice};
use longhaul_core::time::UnixMs;
use longhaul_core::usage::Usage;
use serde_json::Value;

use crate::event::FailureKind;
use crate::limits::{Client, SNIPPET_CHARS, Zone, epoch_secs};
use crate::record::{Entries, JsonLines, RecordReader, Spent};
use crate::refusal::Failure;
use crate::stream::{named, sound_conversation, str_at, u64_at};
use crate::tally::codex_usage;
use crate::text::snippet;

/// Reads a thread's rollout as it grows, from its beginning. A torn last line waits for its rest.
///
/// It knows what `exec --json` does not say: the usage of a turn that was killed, the epoch of a usage
/// limit's reset, and the sandbox that is in force.
#[derive(Default)]
pub struct CodexRollout(JsonLines<Seen>);

/// One of an account's windows as codex last saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct RateWindow {
    /// `primary` or `secondary`.
    pub name: &'static str,
    /// Used share in percent.
    pub used_percent: f64,
    /// The window's length.
    pub window_minutes: u64,
    /// When it starts anew.
    pub resets_at: Option<UnixMs>,
}

impl RateWindow {
    /// The window's usual name: `five_hour`, `seven_day`, or codex's own word for other lengths.
    #[must_use]
    pub fn usual_name(&self) -> &'static str {
        match self.window_minutes {
            290..=310 => "five_hour",
            10_000..=10_160 => "seven_day",
            _ => self.name,
        }
    }
}

#[derive(Default)]
struct Seen {
    thread: Option<String>,
    version: Option<String>,
    mode: Option<String>,
    model: Option<String>,
    total: Usage,
    windows: Vec<RateWindow>,
    error: Option<(String, String)>,
    entries: u64,
}

impl RecordReader for CodexRollout {
    fn push(&mut self, bytes: &[u8], spent: &mut Vec<Spent>) {
        self.0.push(bytes, spent);
    }

    fn finish(&mut self, spent: &mut Vec<Spent>) {
        self.0.finish(spent);
    }
}

impl CodexRollout {
    /// Usage over the whole thread, resumes included: the next attempt's baseline.
    #[must_use]
    pub fn conversation_usage(&self) -> Usage {
        self.0.seen.total
    }

    /// The thread's id.
    #[must_use]
    pub fn conversation(&self) -> Option<&str> {
        self.0.seen.thread.as_deref()
    }

    /// Codex's version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.0.seen.version.as_deref()
    }

    /// The sandbox in force: `read-only`, `workspace-write` or `danger-full-access` (T23).
    #[must_use]
    pub fn mode(&self) -> Option<&str> {
        self.0.seen.mode.as_deref()
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.0.seen.model.as_deref()
    }

    /// Lines understood so far: growth is a sign of life.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.0.seen.entries
    }

    /// The account's windows as last reported; empty for API keys.
    #[must_use]
    pub fn windows(&self) -> &[RateWindow] {
        &self.0.seen.windows
    }

    /// The refusal that the last turn ended with, if it did. The reset is the exhausted window's epoch;
    /// prefer it to the stream's text, which has neither date nor zone.
    #[must_use]
    pub fn refusal(&self, now: UnixMs, zone: &Zone) -> Option<LimitNotice> {
        let (info, message) = self.0.seen.error.as_ref()?;
        if info == "usage_limit_exceeded" {
            let spent = |w: &&RateWindow| w.used_percent >= 100.0;
            let window = self
                .0
                .seen
                .windows
                .iter()
                .filter(spent)
                .max_by_key(|w| w.resets_at);
            if let Some(window) = window {
                return Some(LimitNotice {
                    class: LimitClass::Quota,
                    reset_at: window.resets_at,
                    window: Some(window.usual_name().to_owned()),
                    snippet: snippet(message, SNIPPET_CHARS),
                });
            }
        }
        match Failure::of_words(Client::Codex, message, None, FailureKind::Agent) {
            Failure::Read(reading) => reading.notice(now, zone),
            Failure::Typed(notice) => Some(notice),
            Failure::Other(..) if info == "usage_limit_exceeded" => Some(LimitNotice {
                class: LimitClass::Quota,
                reset_at: None,
                window: None,
                snippet: snippet(message, SNIPPET_CHARS),
            }),
            Failure::Other(..) => None,
        }
    }
}

impl Entries for Seen {
    fn take(&mut self, entry: &Value, spent: &mut Vec<Spent>) {
        self.entries += 1;
        let payload = &entry["payload"];
        match (str_at(entry, "/type"), str_at(payload, "/type")) {
            ("session_meta", _) => {
                self.thread = sound_conversation(str_at(payload, "/id"));
                self.version = named(str_at(payload, "/cli_version"));
            }
            ("turn_context", _) => {
                self.mode = named(str_at(payload, "/sandbox_policy/type"));
                self.model = named(str_at(payload, "/model"));
            }
            ("event_msg", "token_count") => {
                if let Some(total) = payload.pointer("/info/total_token_usage") {
                    self.total = codex_usage(total);
                    spent.push(Spent::Conversation { usage: self.total });
                }
                self.take_windows(&payload["rate_limits"]);
            }
            ("event_msg", "task_started") => self.error = None,
            ("event_msg", "error") => self.take_error(payload),
            ("event_msg", "task_complete") => self.take_error(&payload["error"]),
            _ => {}
        }
    }
}

impl Seen {
    fn take_error(&mut self, error: &Value) {
        if !error.is_object() {
            return;
        }
        // A word, or an object whose only key is the word.
        let info = match &error["codex_error_info"] {
            Value::String(word) => word.clone(),
            Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        };
        self.error = Some((info, snippet(str_at(error, "/message"), 1024)));
    }

    fn take_windows(&mut self, limits: &Value) {
        let windows: Vec<RateWindow> = ["primary", "secondary"]
            .into_iter()
            .filter_map(|name| {
                let window = limits.get(name).filter(|w| w.is_object())?;
                Some(RateWindow {
                    name,
                    used_percent: window["used_percent"].as_f64()?,
                    window_minutes: u64_at(window, "/window_minutes"),
                    resets_at: window["resets_at"].as_i64().and_then(epoch_secs),
                })
            })
            .collect();
        if !windows.is_empty() {
            self.windows = windows;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &[u8] = include_bytes!("../../tests/samples/codex/rollout.ok.jsonl");

    #[test]
    fn a_rollout_knows_thread_usage_and_sandbox() {
        let mut rollout = CodexRollout::default();
        for piece in OK.chunks(97) {
            rollout.push(piece, &mut Vec::new());
        }
        assert_eq!(
            rollout.conversation(),
            Some("01a1fb76-9d2c-78e1-8ebf-9c34ffec21b6")
        );
        assert_eq!(
            (rollout.mode(), rollout.version()),
            (Some("danger-full-access"), Some("0.169.0"))
        );
        let usage = rollout.conversation_usage();
        assert_eq!(
            (usage.input, usage.cache_read, usage.output),
            (1400, 600, 100)
        );
        assert!(rollout.windows().is_empty());
        assert_eq!(rollout.refusal(UnixMs(0), &Zone::default()), None);
    }

    #[test]
    fn x1_the_reset_is_the_spent_windows_epoch() {
        let mut rollout = CodexRollout::default();
        rollout.push(concat!(
            r#"{"type":"event_msg","payload":{"type":"token_count","info":null,"rate_limits":{"primary":{"used_percent":100.0,"window_minutes":300,"resets_at":1795227480},"secondary":{"used_percent":41.0,"window_minutes":10080,"resets_at":1795600000}}}}"#, "\n",
            r#"{"type":"event_msg","payload":{"type":"task_complete","error":{"message":"You’ve hit your usage limit. Try again at 2:18 AM.","codex_error_info":"usage_limit_exceeded"}}}"#, "\n").as_bytes(), &mut Vec::new());
        let now = UnixMs(1_795_220_000_000);
        let notice = rollout.refusal(now, &Zone::default()).expect("a refusal");
        assert_eq!(notice.class, LimitClass::Quota);
        assert_eq!(notice.reset_at, Some(UnixMs(1_795_227_480_000)));
        assert_eq!(notice.window.as_deref(), Some("five_hour"));
        assert_eq!(rollout.windows().len(), 2);
        rollout.push(
            b"{\"type\":\"event_msg\",\"payload\":{\"type\":\"task_started\"}}\n",
            &mut Vec::new(),
        );
        assert_eq!(rollout.refusal(now, &Zone::default()), None);
    }
}
