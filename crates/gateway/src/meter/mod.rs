//! What an answer used, read from the bytes that pass: a stream of events or one JSON document. Sans-IO: bytes
//! in, a count out; it keeps nothing of the content, and what it does not understand it leaves alone (A11).

mod anthropic;
mod gemini;
mod openai;
mod sse;

use longhaul_core::usage::Usage;
use serde_json::Value;

pub use sse::{Events, MAX_EVENT_BYTES};

/// Largest whole answer that is looked at.
const MAX_WHOLE_BYTES: usize = 16 << 20;

/// The languages that are metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Chat Completions.
    Chat,
    /// Google's generateContent.
    Generate,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// It broke off, or it cannot be told.
    #[default]
    Unknown,
    /// The turn is over.
    Turn,
    /// The model waits for a tool: the turn goes on.
    Tool,
}

/// What was counted in one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Count {
    /// The tokens; no cost yet.
    pub usage: Usage,
    /// True if the answer told of usage at all.
    pub told: bool,
    /// The model as the answer names it.
    pub model: Option<String>,
    /// How it ended.
    pub finish: Finish,
    /// Whether its end was seen.
    pub complete: bool,
    /// An error event inside the stream, as its JSON.
    pub error: Option<Value>,
}

/// Counts one answer.
#[derive(Debug)]
pub struct Meter {
    dialect: Dialect,
    form: Form,
    count: Count,
}

#[derive(Debug)]
enum Form {
    Stream(Events),
    Whole(Vec<u8>),
    TooLarge,
}

impl Meter {
    /// For an answer in this language; `stream` if it is a stream of events.
    #[must_use]
    pub fn new(dialect: Dialect, stream: bool) -> Self {
        Self {
            dialect,
            form: if stream {
                Form::Stream(Events::default())
            } else {
                Form::Whole(Vec::new())
            },
            count: Count::default(),
        }
    }

    /// Takes in bytes of the answer.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.form {
            Form::Stream(events) => {
                let (dialect, count) = (self.dialect, &mut self.count);
                events.push(bytes, |data| event(dialect, data, count));
            }
            Form::Whole(kept) if kept.len() + bytes.len() <= MAX_WHOLE_BYTES => {
                kept.extend_from_slice(bytes);
            }
            form => *form = Form::TooLarge,
        }
    }

    /// Whether the end of a stream was seen: what comes now counts nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.count.complete
    }

    /// What was counted. `whole`: the answer came to its end.
    #[must_use]
    pub fn finish(mut self, whole: bool) -> Count {
        if let Form::Whole(bytes) = &self.form
            && whole
            && let Ok(document) = serde_json::from_slice::<Value>(bytes)
        {
            match self.dialect {
                Dialect::Messages => anthropic::document(&document, &mut self.count),
                Dialect::Responses => openai::response(&document, &mut self.count),
                Dialect::Chat => openai::completion(&document, &mut self.count),
                // A list is a stream that was not asked for as events.
                Dialect::Generate => match document.as_array() {
                    Some(chunks) => chunks
                        .iter()
                        .for_each(|c| gemini::chunk(c, &mut self.count)),
                    None => gemini::chunk(&document, &mut self.count),
                },
            }
            self.count.complete = true;
        }
        self.count.complete &= whole;
        self.count
    }
}

/// Words without which an event cannot matter: most are text, and are not taken apart.
const INTERESTING: [&[u8]; 5] = [
    b"\"usage",
    b"rror\"",
    b"message_stop",
    b"response.",
    b"finish",
];

fn event(dialect: Dialect, data: &[u8], count: &mut Count) {
    if data == b"[DONE]" {
        count.complete = true;
        return;
    }
    if !INTERESTING.iter().any(|word| contains(data, word)) {
        return;
    }
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    match dialect {
        Dialect::Messages => anthropic::event(value, count),
        Dialect::Responses => openai::response_event(value, count),
        Dialect::Chat => openai::completion_event(value, count),
        Dialect::Generate => gemini::event(value, count),
    }
}

fn contains(data: &[u8], word: &[u8]) -> bool {
    let Some((first, rest)) = word.split_first() else {
        return true;
    };
    let mut from = 0;
    while let Some(at) = data
        .get(from..)
        .and_then(|d| d.iter().position(|b| b == first))
    {
        from += at + 1;
        if data.get(from..).is_some_and(|d| d.starts_with(rest)) {
            return true;
        }
    }
    false
}

/// A number at a pointer, if it is there.
fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer)?.as_u64()
}

fn words(value: &Value, pointer: &str) -> Option<String> {
    // A name, not a document.
    let text = value.pointer(pointer)?.as_str()?;
    (!text.is_empty() && text.len() <= 200).then(|| text.to_owned())
}
