//! An agent's log made readable: its words, its tool calls, its refusals. Bytes in, text out.

use longhaul_agents::{AgentEvent, ParserContext, Registry, StreamParser};

use crate::output::palette::{self, paint};
use crate::output::text::{clean, one_line};

/// Longest line kept waiting for its end where the text is shown as it is.
const LINE_MAX: usize = 64 << 10;

/// Lines that are shown of what a failed tool said.
const SAID_LINES: usize = 12;

/// Makes a log readable as it comes.
pub(crate) struct Transcript {
    parser: Option<Box<dyn StreamParser>>,
    color: bool,
    line: Vec<u8>,
    /// The last thing written was a piece of running text.
    in_text: bool,
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").finish_non_exhaustive()
    }
}

impl Transcript {
    /// For the output of a harness; text that no parser is known for, or `None`, is only cleaned.
    pub(crate) fn new(harness: Option<&str>, color: bool) -> Self {
        let registry = Registry::builtin();
        let known = harness.and_then(|name| registry.resolve(name).ok());
        Self {
            parser: known.map(|h| h.parser(&ParserContext::default())),
            color,
            line: Vec::new(),
            in_text: false,
        }
    }

    /// Takes bytes in, gives text out.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> String {
        let Some(parser) = &mut self.parser else {
            return self.plain(bytes);
        };
        let mut events = Vec::new();
        parser.push(bytes, &mut events);
        events.iter().map(|e| self.event(e)).collect()
    }

    /// What was still waiting for its line's end.
    pub(crate) fn finish(&mut self) -> String {
        if self.parser.is_none() {
            let rest = std::mem::take(&mut self.line);
            if rest.is_empty() {
                return String::new();
            }
            return clean(&String::from_utf8_lossy(&rest)) + "\n";
        }
        if std::mem::take(&mut self.in_text) {
            "\n".to_owned()
        } else {
            String::new()
        }
    }

    fn plain(&mut self, bytes: &[u8]) -> String {
        let mut out = String::new();
        for &byte in bytes {
            if byte == b'\n' || self.line.len() == LINE_MAX {
                out.push_str(&clean(&String::from_utf8_lossy(&self.line)));
                out.push('\n');
                self.line.clear();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        out
    }

    fn event(&mut self, event: &AgentEvent) -> String {
        if let AgentEvent::Text { text } = event {
            self.in_text = !text.ends_with('\n');
            return clean(text);
        }
        let line = self.line_of(event);
        if line.is_empty() {
            return line;
        }
        let before = if std::mem::take(&mut self.in_text) {
            "\n"
        } else {
            ""
        };
        format!("{before}{line}\n")
    }

    fn line_of(&self, event: &AgentEvent) -> String {
        let faint = |text: &str| paint(self.color, palette::FAINT, text);
        let warn = |text: &str| paint(self.color, palette::WARN, text);
        match event {
            AgentEvent::Started { model, mode, .. } => {
                let parts: Vec<String> = [("model", model), ("permission", mode)]
                    .into_iter()
                    .filter_map(|(name, value)| {
                        Some(format!("{name} {}", one_line(value.as_ref()?, 60)))
                    })
                    .collect();
                faint(&format!("— started {}", parts.join(", ")))
                    .trim_end()
                    .to_owned()
            }
            AgentEvent::ToolStarted { name, summary, .. } => {
                format!(
                    "{} {}",
                    paint(
                        self.color,
                        palette::BUSY,
                        &format!("▸ {}", one_line(name, 40))
                    ),
                    one_line(summary, 200)
                )
            }
            AgentEvent::ToolEnded {
                ok: false, said, ..
            } => {
                let mut text = warn("  ↳ it failed");
                let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
                for line in &lines[lines.len().saturating_sub(SAID_LINES)..] {
                    text.push_str(&format!("\n    {}", faint(&one_line(line, 200))));
                }
                text
            }
            AgentEvent::Retrying {
                class, delay_ms, ..
            } => {
                let wait = delay_ms.map_or_else(String::new, |ms| {
                    format!(" for {}", longhaul_core::time::SpanMs(ms))
                });
                warn(&format!("— waits{wait}: {}", class.as_str()))
            }
            AgentEvent::Limit(notice) => warn(&format!(
                "— limit ({}): {}",
                notice.class.as_str(),
                one_line(&notice.snippet, 200)
            )),
            AgentEvent::Denied(denial) => warn(&format!(
                "— denied: {} {}",
                one_line(&denial.tool, 40),
                one_line(&denial.detail, 160)
            )),
            AgentEvent::WriteRefused(refused) => {
                warn(&format!("  ↳ {}", one_line(&refused.line, 200)))
            }
            AgentEvent::Question { text } => warn(&format!("— asks: {}", one_line(text, 300))),
            AgentEvent::Warning { text } => warn(&format!("— {}", one_line(text, 300))),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t31_text_without_a_parser_loses_its_control_characters() {
        let mut t = Transcript::new(None, false);
        assert_eq!(t.feed(b"a\x1b[31mb\nc"), "ab\n");
        assert_eq!(t.finish(), "c\n");
    }

    #[test]
    fn a_script_session_reads_as_words_and_tools() {
        let mut t = Transcript::new(Some("script"), false);
        let log = concat!(
            r#"{"type":"start","conversation":"c","mode":"edits"}"#,
            "\n",
            r#"{"type":"say","text":"looking around"}"#,
            "\n",
            r#"{"type":"tool","id":"1","name":"write","summary":"a.txt"}"#,
            "\n",
        );
        let text = t.feed(log.as_bytes()) + &t.finish();
        assert!(text.contains("looking around"), "{text}");
        assert!(text.contains("▸ write a.txt"), "{text}");
    }

    #[test]
    fn a_failed_tool_says_why() {
        let mut t = Transcript::new(Some("script"), false);
        let ended = |id: &str, ok: bool| {
            let output: String = (0..30).map(|n| format!("line {n}\n\n")).collect();
            serde_json::json!({ "type": "tool_end", "id": id, "ok": ok, "output": output })
                .to_string()
                + "\n"
        };
        assert_eq!(t.feed(ended("1", true).as_bytes()), "");
        let text = t.feed(ended("2", false).as_bytes());
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 1 + SAID_LINES, "{text}");
        assert_eq!(
            (lines[0], lines[1], lines[12]),
            ("↳ it failed", "line 18", "line 29")
        );
    }
}
