//! Plain text of a program that has no stream format.

use std::collections::VecDeque;

use longhaul_core::usage::Usage;

use crate::event::{AgentEvent, FailureKind, TurnOutcome};
use crate::stream::{Dialect, Ending, words};
use crate::text::excerpt;

/// Lines kept for the summary.
const LAST_LINES: usize = 20;

/// Reads lines as words. Such a program has no terminal event, so exit code 0 has to stand for one.
#[derive(Default)]
pub(crate) struct TextStream {
    last: VecDeque<String>,
}

impl Dialect for TextStream {
    fn line(&mut self, line: &str, out: &mut Vec<AgentEvent>) {
        let text = words(line);
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(excerpt(&text, 400));
        out.push(AgentEvent::Text { text });
    }

    fn outcome(&mut self, end: &Ending<'_>, out: &mut Vec<AgentEvent>) -> TurnOutcome {
        let said = Vec::from(std::mem::take(&mut self.last)).join("\n");
        match end.exit.code {
            Some(0) => {
                out.push(AgentEvent::TurnEnded { ok: true });
                TurnOutcome::Completed {
                    summary: excerpt(&said, 4096),
                }
            }
            Some(1..=127) => {
                out.push(AgentEvent::TurnEnded { ok: false });
                let words = if end.stderr.is_empty() {
                    &said
                } else {
                    end.stderr
                };
                TurnOutcome::Failed {
                    kind: FailureKind::Agent,
                    message: excerpt(words, 1024),
                }
            }
            _ => end.no_terminal_event(),
        }
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use longhaul_core::time::UnixMs;

    use super::*;
    use crate::event::ExitStatusInfo;
    use crate::stream::{LineParser, ParserContext, StreamParser};

    fn end(stdout: &str, stderr: &str, exit: ExitStatusInfo) -> TurnOutcome {
        let mut parser = LineParser::new(TextStream::default(), &ParserContext::default());
        let mut events = Vec::new();
        parser.push(stdout.as_bytes(), &mut events);
        parser.push_stderr(stderr.as_bytes(), &mut events);
        parser.finish(exit, UnixMs(0), &mut events).outcome
    }

    #[test]
    fn the_exit_code_stands_for_the_missing_terminal_event() {
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let TurnOutcome::Completed { summary } = end(&many, "", ExitStatusInfo::exited(0)) else {
            panic!("exit code 0 is the end of a turn");
        };
        assert!(summary.starts_with("line 80\n") && summary.ends_with("line 99"));
        assert_eq!(
            end("said\n", "\u{1b}[31mbroke", ExitStatusInfo::exited(2)),
            TurnOutcome::Failed {
                kind: FailureKind::Agent,
                message: "broke".to_owned()
            }
        );
        for exit in [
            ExitStatusInfo::signalled(15),
            ExitStatusInfo::exited(143),
            ExitStatusInfo::default(),
        ] {
            assert!(matches!(
                end("x", "", exit),
                TurnOutcome::NoTerminalEvent { .. }
            ));
        }
    }
}
