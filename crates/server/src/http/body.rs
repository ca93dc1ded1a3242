//! Bodies and queries in, envelopes out; everything bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use longhaul_agents::snippet;
use longhaul_api::{
    ClearLimitRequest, DrainRequest, Envelope, ErrorClass, OrderRequest, Payload, QueueRequest,
    SendRequest, SubmitRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::app::App;
use super::problem::ApiError;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How much of a body that is too large is read to be thrown away.
const DISCARD_BYTES: usize = 256 << 20;
/// Longest pause in such a body.
const DISCARD_TIME: Duration = Duration::from_secs(1);
/// Bodies up to this size are parsed where they arrive; larger ones where blocking is fine.
const INLINE_BYTES: usize = 64 << 10;

/// A body that a route takes.
pub(crate) trait RequestBody: DeserializeOwned + Send + 'static {
    /// Largest body in bytes.
    const MAX_BYTES: usize;

    /// What no body at all means, if that means anything.
    fn empty() -> Option<Self> {
        None
    }
}

impl RequestBody for SubmitRequest {
    /// Many tasks with prompts of up to 1 MiB.
    const MAX_BYTES: usize = 64 << 20;
}

impl RequestBody for OrderRequest {
    const MAX_BYTES: usize = 4 << 20;
}

impl RequestBody for SendRequest {
    const MAX_BYTES: usize = 4 << 20;
}

impl RequestBody for ClearLimitRequest {
    const MAX_BYTES: usize = 64 << 10;
}

impl RequestBody for QueueRequest {
    const MAX_BYTES: usize = 4 << 20;
}

impl RequestBody for DrainRequest {
    const MAX_BYTES: usize = 64 << 10;

    fn empty() -> Option<Self> {
        Some(Self::default())
    }
}

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: RequestBody> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let declared = request.headers().get(header::CONTENT_LENGTH);
        let declared: Option<usize> = declared.and_then(|v| v.to_str().ok()?.parse().ok());
        if declared.is_some_and(|n| n > T::MAX_BYTES) {
            discard(request.into_body()).await;
            return Err(too_large(T::MAX_BYTES));
        }
        let is_json = has_json(request.headers().get(header::CONTENT_TYPE));
        let _room = app
            .bodies
            .acquire()
            .await
            .map_err(|_| ApiError::shutting_down())?;
        let bytes = collect(request, T::MAX_BYTES).await?;
        if bytes.is_empty()
            && let Some(empty) = T::empty()
        {
            return Ok(Self(empty));
        }
        if !is_json {
            return Err(
                ApiError::invalid("not_json", "the body is not declared as JSON")
                    .hint("send `Content-Type: application/json`")
                    .status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            );
        }
        let parsed = if bytes.len() <= INLINE_BYTES {
            serde_json::from_slice(&bytes)
        } else {
            let parse = tokio::task::spawn_blocking(move || serde_json::from_slice(&bytes));
            parse
                .await
                .map_err(|_| ApiError::bug("a body could not be parsed"))?
        };
        parsed.map(Self).map_err(|error| {
            let what = snippet(&error.to_string(), 300);
            ApiError::invalid(
                "bad_body",
                format!("the body is not what this route takes: {what}"),
            )
            .hint("the JSON Schemas in the documentation say what it takes")
        })
    }
}

async fn collect(request: Request, max: usize) -> Result<Bytes, ApiError> {
    let mut body = request.into_body();
    let whole = Limited::new(&mut body, max).collect();
    match tokio::time::timeout(BODY_TIME, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
            discard(body).await;
            Err(too_large(max))
        }
        Ok(Err(_)) => Err(ApiError::invalid("broken_body", "the body broke off")),
        Err(_) => Err(
            ApiError::invalid("slow_body", "the body took too long to arrive")
                .status(StatusCode::REQUEST_TIMEOUT),
        ),
    }
}

/// Reads on for a while without keeping anything: a client that is still writing when the
/// connection is closed would see a broken pipe and not the answer.
async fn discard(mut body: Body) {
    let mut left = DISCARD_BYTES;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(DISCARD_TIME, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

fn too_large(max: usize) -> ApiError {
    let message = format!("the body is larger than {} KiB", max >> 10);
    ApiError::new(ErrorClass::TooLarge, "body_too_large", message)
        .hint("hand the work in in several parts")
}

fn has_json(kind: Option<&HeaderValue>) -> bool {
    let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The query of a path; unknown keys are errors.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| {
                // Its own text says that it failed; the source says why.
                let why = std::error::Error::source(&error).map(ToString::to_string);
                let what = snippet(&why.unwrap_or_default(), 300);
                ApiError::invalid(
                    "bad_query",
                    format!("the query is not what this route takes: {what}"),
                )
            })
    }
}

/// An answer in its envelope, written out.
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    /// Writes an answer out. A large one is better written where blocking is fine: see
    /// [`App::show`].
    pub(crate) fn new<T: Payload + Serialize>(data: T) -> Result<Self, ApiError> {
        let text = serde_json::to_vec(&Envelope::new(data));
        text.map(Self)
            .map_err(|_| ApiError::bug("an answer could not be written"))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let kind = [(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        )];
        (kind, self.0).into_response()
    }
}
