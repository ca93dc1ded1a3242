//! The envelope around every answer: `{"longhaul":1,"kind":"task_list","data":{…}}`, the same over
//! HTTP and from every read verb's `--json`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{API_VERSION, API_VERSION_MIN, ErrorBody};

/// A type that travels in an [`Envelope`].
pub trait Payload {
    /// The envelope's `kind`. Never renamed.
    const KIND: &'static str;
}

macro_rules! payloads {
    ($($ty:ident = $kind:literal,)*) => {
        $(impl Payload for crate::$ty { const KIND: &'static str = $kind; })*
    };
}

payloads! {
    TaskList = "task_list",
    TaskDetail = "task",
    StatusView = "status",
    ReportView = "report",
    EventView = "event",
    LogChunk = "log",
    SubmitResponse = "submitted",
    SubmissionView = "submission",
    OrderResponse = "orders",
    QueueView = "queue",
    QueueExplanation = "queue_entry",
    Acknowledged = "ok",
    VersionView = "version",
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope<T> {
    /// Version of the format: 1.
    pub longhaul: u32,
    /// What `data` is.
    pub kind: Cow<'static, str>,
    /// The answer.
    pub data: T,
}

impl<T: Payload> Envelope<T> {
    /// Wraps an answer.
    pub const fn new(data: T) -> Self {
        Self {
            longhaul: API_VERSION,
            kind: Cow::Borrowed(T::KIND),
            data,
        }
    }
}

impl<T: Payload + DeserializeOwned> Envelope<T> {
    /// Reads an enveloped answer and checks its version and kind.
    ///
    /// # Errors
    /// Another version, another kind, or text that is no such envelope.
    pub fn read(json: &[u8]) -> Result<T, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            longhaul: u32,
            kind: String,
        }
        let head: Head = serde_json::from_slice(json)?;
        if !(API_VERSION_MIN..=API_VERSION).contains(&head.longhaul) {
            return Err(ReadError::Version { got: head.longhaul });
        }
        if head.kind != T::KIND {
            return Err(ReadError::Kind {
                wanted: T::KIND,
                got: head.kind,
            });
        }
        Ok(serde_json::from_slice::<Self>(json)?.data)
    }
}

/// An answer could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No JSON, or not of this shape.
    #[error("the answer is not an envelope of Longhaul")]
    Json(#[from] serde_json::Error),
    /// A version that this code does not read.
    #[error("the answer has version {got} of the format, which this program cannot read")]
    Version {
        /// The sender's version.
        got: u32,
    },
    /// Something else than what was asked for.
    #[error("the answer is a `{got}` and not a `{wanted}`")]
    Kind {
        /// What was asked for.
        wanted: &'static str,
        /// What came.
        got: String,
    },
}

/// What a verb with `--json` prints when it fails:
/// `{"longhaul":1,"kind":"error","error":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorEnvelope {
    /// Version of the format: 1.
    pub longhaul: u32,
    /// Always `error`.
    pub kind: Cow<'static, str>,
    /// What went wrong.
    pub error: ErrorBody,
}

impl ErrorEnvelope {
    /// Wraps an error.
    #[must_use]
    pub const fn new(error: ErrorBody) -> Self {
        Self {
            longhaul: API_VERSION,
            kind: Cow::Borrowed("error"),
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Acknowledged, OrderResponse};

    #[test]
    fn an_envelope_survives_the_wire_and_grows_without_breaking() {
        let sent = Envelope::new(Acknowledged {
            message: "drained".into(),
        });
        let text = serde_json::to_string(&sent).unwrap();
        assert_eq!(
            text,
            r#"{"longhaul":1,"kind":"ok","data":{"message":"drained"}}"#
        );
        let newer = r#"{"longhaul":1,"kind":"ok","new":1,"data":{"message":"drained","also":[]}}"#;
        assert_eq!(
            Envelope::<Acknowledged>::read(newer.as_bytes()).unwrap(),
            sent.data
        );
    }

    #[test]
    fn another_version_kind_or_shape_is_refused() {
        let read = |text: &str| Envelope::<Acknowledged>::read(text.as_bytes()).unwrap_err();
        assert!(matches!(
            read(r#"{"longhaul":2,"kind":"ok","data":7}"#),
            ReadError::Version { got: 2 }
        ));
        assert!(matches!(
            read(r#"{"longhaul":1,"kind":"orders","data":{"results":[]}}"#),
            ReadError::Kind { wanted: "ok", .. }
        ));
        assert!(matches!(
            read(r#"{"longhaul":1,"kind":"ok","data":7}"#),
            ReadError::Json(_)
        ));
        assert!(matches!(read("nonsense"), ReadError::Json(_)));
        assert_eq!(OrderResponse::KIND, "orders");
    }
}
