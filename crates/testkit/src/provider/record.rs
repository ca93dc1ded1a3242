//! What the provider saw and what it still has to answer, per session. Shared between the server's
//! thread and the test; every change wakes whoever waits for requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::step::Step;

/// Requests kept per session; older ones are dropped first.
const MAX_REQUESTS: usize = 10_000;

/// Why a request was made, as far as the provider can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RequestKind {
    /// A step of the conversation; took the session's next scripted step, `None` past the last one.
    Turn {
        /// Index of the step since the last script was posted.
        step: Option<usize>,
    },
    /// A title, a quota probe, a token count…: answered without a step.
    Side {
        /// Why it was taken for one.
        why: String,
    },
    /// A path that the provider does not know; answered with 404.
    Unknown,
}

/// One request of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its kind.
    pub kind: RequestKind,
    /// HTTP method.
    pub method: String,
    /// Path below the session, such as `/v1/messages`; without the query.
    pub path: String,
    /// Query, keys masked.
    pub query: String,
    /// Headers in order, names in lower case; values that are keys are masked.
    pub headers: Vec<(String, String)>,
    /// Body: JSON, else a string.
    pub body: Value,
}

impl Request {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// All texts that a person or a tool said in the conversation so far, one per line: what a test
    /// looks for the prompt in. System instructions and tool declarations are left out.
    #[must_use]
    pub fn conversation(&self) -> String {
        let mut out = String::new();
        for key in ["messages", "input", "contents"] {
            if let Some(part) = self.body.get(key) {
                collect(part, &mut out);
            }
        }
        out
    }

    /// True if the conversation holds this text.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.conversation().contains(text)
    }

    /// True if this is a step of the conversation.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        matches!(self.kind, RequestKind::Turn { .. })
    }
}

/// Appends every string value below `value`.
fn collect(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Array(all) => all.iter().for_each(|v| collect(v, out)),
        Value::Object(map) => map.values().for_each(|v| collect(v, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// True for the headers and query parameters that carry credentials.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "authorization"
            | "proxy-authorization"
            | "x-api-key"
            | "x-goog-api-key"
            | "api-key"
            | "key"
            | "cookie"
            | "access_token"
    )
}

/// Keeps the last four characters of a long secret, so that tests can tell keys apart.
pub(super) fn mask(secret: &str) -> String {
    let tail: String = match secret.char_indices().rev().nth(3) {
        Some((at, _)) if secret.len() > 12 => secret[at..].to_owned(),
        _ => String::new(),
    };
    format!("***{tail}")
}

/// One session: what is left of its script and what it asked.
#[derive(Debug, Default)]
struct Session {
    steps: VecDeque<Step>,
    taken: usize,
    requests: VecDeque<Request>,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    map: Mutex<BTreeMap<String, Session>>,
    changed: Condvar,
    serial: std::sync::atomic::AtomicU64,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number no other answer has.
    pub(super) fn serial(&self) -> u64 {
        self.serial
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    /// Replaces what is left of a session's script.
    pub(super) fn script(&self, session: &str, steps: Vec<Step>) {
        let mut map = self.lock();
        let session = map.entry(session.to_owned()).or_default();
        session.steps = steps.into();
        session.taken = 0;
    }

    /// Steps that were not asked for yet.
    pub(super) fn left(&self, session: &str) -> usize {
        self.lock().get(session).map_or(0, |s| s.steps.len())
    }

    /// The next step, and its index.
    pub(super) fn take(&self, session: &str) -> Option<(usize, Step)> {
        let mut map = self.lock();
        let session = map.entry(session.to_owned()).or_default();
        let step = session.steps.pop_front()?;
        session.taken += 1;
        Some((session.taken - 1, step))
    }

    /// Keeps a request.
    pub(super) fn record(&self, session: &str, request: Request) {
        let mut map = self.lock();
        let requests = &mut map.entry(session.to_owned()).or_default().requests;
        if requests.len() == MAX_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(request);
        drop(map);
        self.changed.notify_all();
    }

    /// All requests so far, oldest first.
    pub(super) fn requests(&self, session: &str) -> Vec<Request> {
        self.lock()
            .get(session)
            .map(|s| s.requests.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Waits until the session's requests satisfy `enough`; `None` if that took too long.
    pub(super) fn wait(
        &self,
        session: &str,
        limit: Duration,
        enough: impl Fn(&[Request]) -> bool,
    ) -> Option<Vec<Request>> {
        let deadline = Instant::now() + limit;
        let mut map = self.lock();
        loop {
            let requests = map
                .entry(session.to_owned())
                .or_default()
                .requests
                .make_contiguous();
            if enough(requests) {
                return Some(requests.to_vec());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            map = self
                .changed
                .wait_timeout(map, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_key_keeps_only_its_tail() {
        assert_eq!(mask("sk-ant-mock-0001"), "***0001");
        assert_eq!(mask("short"), "***");
        assert!(is_secret("X-Api-Key") && !is_secret("x-request-id"));
    }
}
