//! The control socket: for the user's own processes, never for a session (I17). One JSON request, one JSON answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shared::Shared;
use crate::api::{AccountsRequest, CONTROL_VERSION, Problem, SessionSpec};

const MAX_BODY_BYTES: usize = 8 << 20;
const BODY_TIME: Duration = Duration::from_secs(10);

/// A refusal.
struct Refused(StatusCode, String);

impl Refused {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self(status, error.into())
    }
}

type Answer = Result<Response<Full<Bytes>>, Refused>;

/// Answers one control request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let answer = route(shared, request).await;
    Ok(answer.unwrap_or_else(|Refused(status, error)| json(status, &Problem { error })))
}

/// The refusal of a peer that may not ask.
pub(super) fn foreign() -> Response<Full<Bytes>> {
    let error = "only the user's own processes may ask this, and no session may".to_owned();
    json(StatusCode::FORBIDDEN, &Problem { error })
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let prefix = format!("/v{CONTROL_VERSION}/");
    let Some(path) = parts.uri.path().strip_prefix(&prefix) else {
        let text = format!("this gateway speaks version {CONTROL_VERSION} of the control protocol");
        return Err(Refused::new(StatusCode::NOT_FOUND, text));
    };
    let query = parts.uri.query().unwrap_or_default();
    match (&parts.method, path.split_once('/')) {
        (&Method::GET, None) if path == "status" => Ok(json(StatusCode::OK, &shared.status())),
        (&Method::PUT, None) if path == "accounts" => {
            let accounts: AccountsRequest = read(body).await?;
            check_accounts(&accounts)?;
            shared.route(|router, _| router.put_accounts(accounts));
            shared.changed.send_replace(());
            keep(shared).await
        }
        (&Method::PUT, Some(("sessions", id))) => {
            let spec: SessionSpec = read(body).await?;
            check_id(id)?;
            shared
                .route(|router, _| router.put_session(id, spec))
                .map_err(|e| Refused::new(StatusCode::SERVICE_UNAVAILABLE, e.to_string()))?;
            shared.changed.send_replace(());
            keep(shared).await
        }
        (&Method::DELETE, Some(("sessions", id))) => {
            shared.route(|router, _| router.delete_session(id));
            shared.changed.send_replace(());
            keep(shared).await
        }
        (&Method::GET, None) if path == "reports" => {
            let after = number(query, "after")?;
            blocking(move || shared.spool().read(after)).await
        }
        (&Method::POST, Some(("reports", "acknowledged"))) => {
            let through = number(query, "through")?;
            blocking(move || shared.spool().acknowledge(through)).await
        }
        (&Method::POST, Some(("check", account))) => {
            let older = number(query, "older_than_ms")?;
            let found = super::check::check(&shared, account, older).await;
            let none = || Refused::new(StatusCode::NOT_FOUND, "there is no such account");
            Ok(json(StatusCode::OK, &found.ok_or_else(none)?))
        }
        (&Method::POST, None) if path == "shutdown" => {
            shared.stop.notify_one();
            Ok(json(StatusCode::OK, &()))
        }
        _ => Err(Refused::new(
            StatusCode::NOT_FOUND,
            "there is no such route",
        )),
    }
}

/// What was changed is on the disk before it is answered.
async fn keep(shared: Arc<Shared>) -> Answer {
    blocking(move || shared.keep()).await
}

async fn blocking<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Answer {
    let failed = |error: &dyn std::error::Error| {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    };
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
    Ok(json(StatusCode::OK, &done))
}

async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Refused> {
    let whole = Limited::new(body, MAX_BODY_BYTES).collect();
    let bad = |text: &str| Refused::new(StatusCode::BAD_REQUEST, text);
    let bytes = match tokio::time::timeout(BODY_TIME, whole).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(_)) => return Err(bad("the body broke off, or is too large")),
        Err(_) => return Err(bad("the body did not come in time")),
    };
    // Where, not what: the text of the parser may quote a key.
    serde_json::from_slice(&bytes).map_err(|e| {
        bad(&format!(
            "the body is not what this route takes (line {}, column {})",
            e.line(),
            e.column()
        ))
    })
}

fn check_id(id: &str) -> Result<(), Refused> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !id.is_empty() && id.len() <= 128 && id.bytes().all(plain) {
        return Ok(());
    }
    let text = "a session's id is ASCII letters, digits, `-`, `_` and `.`, at most 128";
    Err(Refused::new(StatusCode::BAD_REQUEST, text))
}

fn check_accounts(request: &AccountsRequest) -> Result<(), Refused> {
    let bad = |text: String| Err(Refused::new(StatusCode::BAD_REQUEST, text));
    let mut seen = std::collections::BTreeSet::new();
    if request.accounts.len() > 1000 {
        return bad("there are more than 1000 accounts".to_owned());
    }
    for account in &request.accounts {
        let id = &account.id;
        if !seen.insert(id) {
            return bad(format!("the account {id} is there twice"));
        }
        if HeaderValue::from_str(account.key.expose()).is_err() || account.key.expose().is_empty() {
            return bad(format!(
                "the key of the account {id} cannot be sent in a header"
            ));
        }
        let root = hyper::Uri::from_static("/");
        if crate::request::upstream(account.provider, account.base_url.as_deref(), &root).is_none()
        {
            return bad(format!("the base URL of the account {id} is not one"));
        }
    }
    Ok(())
}

fn number(query: &str, name: &str) -> Result<u64, Refused> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find_map(|(n, value)| (n == name).then_some(value));
    let number = value.and_then(|value| value.parse().ok());
    number.ok_or_else(|| {
        let text = format!("`{name}` must be a number");
        Refused::new(StatusCode::BAD_REQUEST, text)
    })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
