//! How a failure travels: one body for `--json` and, as RFC 9457 problem details, for HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ExitCode, TaskLink};

/// Media type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Class of a failure: it gives the exit code, the HTTP status and whether a retry can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request or a value in it is wrong.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// A name or prefix fits more than one task.
    Ambiguous,
    /// It conflicts with what is there.
    Conflict,
    /// The caller may not do this (I17).
    Refused,
    /// It is larger than what is taken.
    TooLarge,
    /// It cannot be served now; a retry can help.
    Unavailable,
    /// A fault of Longhaul, or a class that this program does not know.
    #[serde(other)]
    Internal,
}

impl ErrorClass {
    /// The exit code of a verb that fails this way.
    #[must_use]
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::Invalid | Self::TooLarge => ExitCode::Usage,
            Self::NotFound | Self::Ambiguous => ExitCode::NotFound,
            Self::Conflict => ExitCode::Conflict,
            Self::Refused => ExitCode::Refused,
            Self::Unavailable => ExitCode::Unavailable,
            Self::Internal => ExitCode::Error,
        }
    }

    /// The HTTP status of an answer that fails this way, unless a narrower one fits.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Refused => 403,
            Self::NotFound => 404,
            Self::Ambiguous | Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// True where the same call can succeed later.
    #[must_use]
    pub const fn retry_can_help(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

/// What went wrong, to what, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// A stable word for programs, such as `task_not_found`.
    pub code: String,
    /// What happened, to what.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Its class.
    pub class: ErrorClass,
    /// The tasks that an ambiguous name or prefix fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<TaskLink>,
}

/// RFC 9457 problem details, with the members of an error as extensions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:longhaul:error:` and the code.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// The class in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, to what.
    pub detail: String,
    /// A stable word for programs.
    pub code: String,
    /// Its class.
    pub class: ErrorClass,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The tasks that an ambiguous name or prefix fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<TaskLink>,
}

impl Problem {
    /// The problem for an error, with a status.
    #[must_use]
    pub fn new(status: u16, error: ErrorBody) -> Self {
        let title = match error.class {
            ErrorClass::Invalid => "The request is wrong",
            ErrorClass::NotFound => "Not found",
            ErrorClass::Ambiguous => "More than one fits",
            ErrorClass::Conflict => "Conflict",
            ErrorClass::Refused => "Refused",
            ErrorClass::TooLarge => "Too large",
            ErrorClass::Unavailable => "Not available now",
            ErrorClass::Internal => "Internal error",
        };
        Self {
            problem_type: format!("urn:longhaul:error:{}", error.code),
            title: title.to_owned(),
            status,
            detail: error.message,
            code: error.code,
            class: error.class,
            hint: error.hint,
            candidates: error.candidates,
        }
    }
}

impl From<Problem> for ErrorBody {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code,
            message: problem.detail,
            hint: problem.hint,
            class: problem.class,
            candidates: problem.candidates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_carries_the_whole_error() {
        let error = ErrorBody {
            code: "task_not_found".into(),
            message: "no task is called `x`".into(),
            hint: Some("`longhaul ls --all` lists them".into()),
            class: ErrorClass::NotFound,
            candidates: Vec::new(),
        };
        let problem = Problem::new(404, error.clone());
        let text = serde_json::to_string(&problem).unwrap();
        assert!(
            text.starts_with(r#"{"type":"urn:longhaul:error:task_not_found","#),
            "{text}"
        );
        let back: Problem = serde_json::from_str(&text).unwrap();
        assert_eq!(ErrorBody::from(back), error);
    }

    #[test]
    fn a_class_from_a_newer_daemon_reads_as_internal() {
        let class: ErrorClass = serde_json::from_str(r#""cosmic""#).unwrap();
        assert_eq!(class, ErrorClass::Internal);
    }
}
