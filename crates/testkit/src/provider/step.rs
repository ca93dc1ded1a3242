//! What a test asks the mock provider to answer, one [`Step`] per model request. Plain data, the same
//! in Rust and in the JSON of `POST /control/script/<session>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The answer to one model request of a session.
///
/// As JSON: `{"reply":"tool","text":"Creating it.","shell":"echo hi > a.txt","usage":{"input":10}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is answered.
    #[serde(flatten)]
    pub reply: Reply,
    /// Tokens the answer claims to have used.
    #[serde(default)]
    pub usage: StepUsage,
    /// Headers of the answer, beside the usual ones (limit windows, `retry-after`…).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Milliseconds to wait before the first byte.
    #[serde(default)]
    pub delay_ms: u64,
    /// Milliseconds to wait between two chunks of a streamed answer.
    #[serde(default)]
    pub chunk_delay_ms: u64,
}

/// The kinds of answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// Words; the turn ends.
    Text {
        /// The words.
        text: String,
    },
    /// Words (may be empty) and a shell command, in the shape of the asking agent's own shell tool.
    Tool {
        /// The words before the call.
        #[serde(default)]
        text: String,
        /// The command.
        shell: String,
    },
    /// A file written by the agent's own write tool (Codex has none in all modes: its shell does it).
    Write {
        /// Path of the file; absolute, since Claude's tool refuses relative ones.
        path: String,
        /// Its content.
        content: String,
    },
    /// A call of any tool by name.
    Call {
        /// Name, as the agent declared it.
        name: String,
        /// Its arguments.
        input: Value,
    },
    /// An HTTP error.
    Error {
        /// The status.
        status: u16,
        /// The body; `null` = the vendor's usual body for this status.
        #[serde(default)]
        body: Value,
    },
    /// Status 200, then the vendor's error event inside the stream, after the words.
    StreamError {
        /// The words before it.
        #[serde(default)]
        text: String,
        /// Anthropic's or OpenAI's error type (`overloaded_error`, `rate_limit_exceeded`…).
        error: String,
        /// Its message.
        #[serde(default)]
        message: String,
    },
    /// Headers of a 200 never come; the connection stays open.
    Hang,
    /// The connection breaks before the head of an answer.
    Reset,
    /// These bytes as the whole body of a 200, in the name of a stream of events: malformed ones, say.
    Raw {
        /// The bytes.
        body: String,
    },
    /// Half of an answer with these words, then the connection breaks.
    Cut {
        /// The words.
        text: String,
    },
}

/// Tokens of one answer, in the vendor-neutral split of `longhaul_core::usage::Usage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepUsage {
    /// Input tokens neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache (Anthropic only).
    pub cache_write: u64,
}

impl Default for StepUsage {
    fn default() -> Self {
        Self {
            input: 1000,
            output: 50,
            cache_read: 300,
            cache_write: 200,
        }
    }
}

impl StepUsage {
    /// Nothing used: what side requests claim, so that a test's sums are its own.
    pub const ZERO: Self = Self {
        input: 0,
        output: 0,
        cache_read: 0,
        cache_write: 0,
    };
}

impl Step {
    /// Any reply with the default usage and no delay.
    #[must_use]
    pub fn new(reply: Reply) -> Self {
        Self {
            reply,
            usage: StepUsage::default(),
            headers: BTreeMap::new(),
            delay_ms: 0,
            chunk_delay_ms: 0,
        }
    }

    /// Words that end the turn.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Reply::Text { text: text.into() })
    }

    /// A shell command.
    #[must_use]
    pub fn shell(command: impl Into<String>) -> Self {
        Self::new(Reply::Tool {
            text: String::new(),
            shell: command.into(),
        })
    }

    /// A file, by the agent's own write tool.
    #[must_use]
    pub fn write(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self::new(Reply::Write {
            path: path.into(),
            content: content.into(),
        })
    }

    /// An error status with the vendor's usual body.
    #[must_use]
    pub fn error(status: u16) -> Self {
        Self::new(Reply::Error {
            status,
            body: Value::Null,
        })
    }

    /// An error status with this body.
    #[must_use]
    pub fn error_body(status: u16, body: Value) -> Self {
        Self::new(Reply::Error { status, body })
    }

    /// No answer for ever.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(Reply::Hang)
    }

    /// A broken stream.
    #[must_use]
    pub fn cut(text: impl Into<String>) -> Self {
        Self::new(Reply::Cut { text: text.into() })
    }

    /// With these tokens.
    #[must_use]
    pub fn usage(mut self, usage: StepUsage) -> Self {
        self.usage = usage;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Waits this many milliseconds before the first byte.
    #[must_use]
    pub fn delay_ms(mut self, ms: u64) -> Self {
        self.delay_ms = ms;
        self
    }

    /// Anthropic's refusal of a subscription whose five-hour window is used up until `reset` (epoch
    /// seconds), as facts/limits.md §1 describes the headers.
    #[must_use]
    pub fn claude_quota(reset_epoch_s: i64) -> Self {
        let reset = reset_epoch_s.to_string();
        Self::error(429)
            .header("anthropic-ratelimit-unified-status", "rejected")
            .header("anthropic-ratelimit-unified-reset", reset.clone())
            .header(
                "anthropic-ratelimit-unified-representative-claim",
                "five_hour",
            )
            .header("anthropic-ratelimit-unified-5h-status", "rejected")
            .header("anthropic-ratelimit-unified-5h-reset", reset)
            .header("anthropic-ratelimit-unified-5h-utilization", "1.0")
            .header("anthropic-ratelimit-unified-overage-status", "rejected")
            .header(
                "anthropic-ratelimit-unified-overage-disabled-reason",
                "org_level_disabled",
            )
    }

    /// The ChatGPT back end's refusal of a used-up plan until `reset` (epoch seconds).
    #[must_use]
    pub fn codex_quota(reset_epoch_s: i64) -> Self {
        Self::error_body(
            429,
            serde_json::json!({"error": {
                "type": "usage_limit_reached", "message": "The usage limit has been reached",
                "plan_type": "plus", "resets_at": reset_epoch_s,
            }}),
        )
        .header("x-codex-primary-used-percent", "100")
        .header("x-codex-primary-window-minutes", "300")
        .header("x-codex-primary-reset-at", reset_epoch_s.to_string())
    }
}
