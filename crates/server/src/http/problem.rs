//! Failures as RFC 9457 problem details.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use longhaul_api::{ErrorBody, ErrorClass, PROBLEM_JSON, Problem};
use longhaul_engine::handle::RefusalClass;

use super::authority::PeerAuthority;
use crate::views::ViewError;

/// A request that is answered with a problem.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: u16,
    body: ErrorBody,
}

impl ApiError {
    pub(crate) fn new(class: ErrorClass, code: &str, message: impl Into<String>) -> Self {
        Self {
            status: class.http_status(),
            body: ErrorBody {
                code: code.to_owned(),
                message: message.into(),
                hint: None,
                class,
                candidates: Vec::new(),
            },
        }
    }

    pub(crate) fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Invalid, code, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// A status that says more than the class does.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }

    pub(crate) fn shutting_down() -> Self {
        Self::new(
            ErrorClass::Unavailable,
            "shutting_down",
            "the daemon is shutting down",
        )
        .hint("try again in a moment; a new daemon starts by itself")
    }

    /// An answer of the engine that does not go with the question.
    pub(crate) fn bug(what: &str) -> Self {
        Self::new(
            ErrorClass::Internal,
            "bug",
            format!("the daemon failed: {what}"),
        )
        .hint("please report it, with the daemon's log")
    }

    pub(crate) fn body(&self) -> &ErrorBody {
        &self.body
    }
}

/// The engine did not follow a command.
pub(crate) fn not_followed(class: RefusalClass, message: String) -> ApiError {
    let (code, class) = match class {
        RefusalClass::Invalid => ("refused", ErrorClass::Invalid),
        RefusalClass::Conflict => ("conflict", ErrorClass::Conflict),
        RefusalClass::NotFound => ("task_not_found", ErrorClass::NotFound),
        RefusalClass::Unavailable => ("unavailable", ErrorClass::Unavailable),
    };
    ApiError::new(class, code, message)
}

/// A peer may not do this (I17).
pub(crate) fn refused(who: PeerAuthority) -> ApiError {
    let error = |code, message: String| ApiError::new(ErrorClass::Refused, code, message);
    match who {
        PeerAuthority::Foreign { uid } => error(
            "foreign_user",
            format!("user {uid} is not the user of this daemon"),
        )
        .hint("run it as the user whose daemon it is"),
        PeerAuthority::Session { task: Some(_) } => error(
            "session_refused",
            "this runs inside a session, which may only read its own task".to_owned(),
        )
        .hint("a person does it from a terminal of their own"),
        PeerAuthority::Session { task: None } | PeerAuthority::Unknown => error(
            "session_refused",
            "nobody can say whether this runs inside a session, so it counts as one".to_owned(),
        )
        .hint("run it from a plain terminal of your own"),
        PeerAuthority::Person => error("refused", "this is refused".to_owned()),
    }
}

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        let body = error.body();
        Self {
            status: body.class.http_status(),
            body,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(code = %self.body.code, "{}", self.body.message);
        }
        let problem = Problem::new(self.status, self.body);
        let text = serde_json::to_vec(&problem).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON))];
        (status, kind, text).into_response()
    }
}
