//! The stream a played script speaks: one JSON object per line, told apart by `type`.

use std::io::{self, Write};

use serde::Serialize;

/// One line of the stream. Readers ignore types and fields that they do not know.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<'a> {
    /// Always the first.
    Start {
        /// Id to resume by.
        conversation: &'a str,
        /// The permission mode in force: `edits`, `plan` or `bypass` (T23).
        mode: &'a str,
    },
    /// Words of the agent.
    Say {
        /// The words.
        text: &'a str,
    },
    /// A tool call begins.
    Tool {
        /// Ties it to its end.
        id: &'a str,
        /// `write`, `append`, `delete` or `run`.
        name: &'a str,
        /// The path or the command.
        summary: &'a str,
    },
    /// A tool call ended.
    ToolEnd {
        /// As in `Tool`.
        id: &'a str,
        /// Whether it did what it should.
        ok: bool,
        /// The end of its output, or its error.
        output: &'a str,
    },
    /// Totals of this process so far.
    Usage {
        /// Fresh input tokens.
        input: u64,
        /// Output tokens.
        output: u64,
        /// Input tokens read from a cache.
        cache_read: u64,
        /// Input tokens written to a cache.
        cache_write: u64,
        /// US dollars; `null` if the script never named any.
        cost_usd: Option<f64>,
    },
    /// A refusal of the provider (A5).
    Limit {
        /// `quota`, `throttle`, `overload`, `billing` or `auth`.
        class: &'a str,
        /// End of it, in UTC milliseconds.
        reset_at_ms: Option<i64>,
        /// The window's name.
        window: Option<&'a str>,
        /// What the provider said.
        message: &'a str,
    },
    /// A tool call that the permission mode refused.
    Denied {
        /// The tool.
        tool: &'a str,
        /// The path or command.
        detail: &'a str,
    },
    /// A question to a person; nothing follows until it is answered or stopped.
    Question {
        /// The question.
        text: &'a str,
    },
    /// Always the last one of a turn that came to its end.
    End {
        /// Whether the turn did what it should.
        ok: bool,
        /// What was done.
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<&'a str>,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
}

impl Event<'_> {
    /// Writes the event as one line, and flushes.
    ///
    /// # Errors
    /// The output is closed.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()
    }
}
