//! The HTTP side of the mock provider: takes requests apart, asks the session for its next step and
//! writes the answer. Which bytes a vendor sends is not decided here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::record::{Request, RequestKind, Sessions, is_secret, mask};
use super::respond::{Response, plain, raw, send, with_headers};
use super::step::{Reply, Step, StepUsage};
use super::wire::{Answer, call_for};
use super::{anthropic, gemini, openai_chat, openai_responses};

/// Largest request body taken.
const MAX_BODY_BYTES: usize = 64 << 20;

/// The endpoints that are scripted.
#[derive(Clone, Copy)]
enum Vendor {
    Anthropic,
    Responses,
    Chat,
    Gemini { stream: bool },
}

/// Answers one request.
pub(super) async fn answer(
    sessions: Arc<Sessions>,
    request: hyper::Request<Incoming>,
) -> Result<Response, io::Error> {
    let (parts, body) = request.into_parts();
    let bytes = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(_) => {
            return Ok(plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                &json!("body too large"),
            ));
        }
    };
    let path = parts.uri.path();
    if let Some(rest) = path.strip_prefix("/control/") {
        return Ok(control(&sessions, &parts.method, rest, &bytes));
    }
    let Some((session, below)) = path
        .strip_prefix("/s/")
        .and_then(|rest| rest.split_once('/'))
    else {
        return Ok(plain(StatusCode::NOT_FOUND, &json!("no such path")));
    };
    let (session, below) = (session.to_owned(), format!("/{below}"));
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    let mut record = Request {
        kind: RequestKind::Unknown,
        method: parts.method.to_string(),
        query: masked_query(parts.uri.query().unwrap_or_default()),
        headers: masked_headers(&parts.headers),
        path: below,
        body,
    };

    let Some(vendor) = vendor(&parts.method, &record.path) else {
        let (kind, response) = unscripted(&parts.method, &record.path);
        record.kind = kind;
        sessions.record(&session, record);
        return Ok(response);
    };
    let (step, model) = (
        next_step(&sessions, &session, vendor, &mut record),
        model(&record),
    );
    let (body, serial) = (record.body.clone(), sessions.serial());
    sessions.record(&session, record);
    if step.reply == Reply::Reset {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    Ok(perform(vendor, step, &model, &body, serial).await)
}

/// Chooses the step and notes in the record what the request was taken for.
fn next_step(sessions: &Sessions, session: &str, vendor: Vendor, record: &mut Request) -> Step {
    let side = match vendor {
        Vendor::Anthropic => anthropic::side(&record.body),
        Vendor::Responses => openai_responses::side(&record.body),
        Vendor::Chat => openai_chat::side(&record.body),
        Vendor::Gemini { .. } => gemini::side(&record.body),
    };
    if let Some(why) = side {
        record.kind = RequestKind::Side {
            why: why.to_owned(),
        };
        if let Some((_, step)) = sessions.take(&format!("{session}.side")) {
            return step;
        }
        let text = match vendor {
            Vendor::Anthropic => anthropic::side_text(&record.body),
            Vendor::Responses => openai_responses::side_text(&record.body),
            Vendor::Chat => openai_chat::side_text(&record.body),
            Vendor::Gemini { .. } => gemini::side_text(&record.body),
        };
        return Step::text(text).usage(StepUsage::ZERO);
    }
    let (index, step) = match sessions.take(session) {
        Some((index, step)) => (Some(index), step),
        None => (None, Step::text("mock: the script is over")),
    };
    record.kind = RequestKind::Turn { step: index };
    step
}

/// The answer that a step asks for.
async fn perform(vendor: Vendor, step: Step, model: &str, body: &Value, serial: u64) -> Response {
    if step.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(step.delay_ms)).await;
    }
    let (text, stream_error, cut) = match &step.reply {
        // A reset is the connection's, and does not come here.
        Reply::Hang | Reply::Reset => return std::future::pending().await,
        Reply::Raw { body } => return with_headers(raw(body, &step), &step, serial),
        Reply::Error { status, body } => {
            let code = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let body = match (body, vendor) {
                (Value::Null, Vendor::Anthropic) => anthropic::error_body(*status, serial),
                (Value::Null, Vendor::Gemini { .. }) => gemini::error_body(*status),
                (Value::Null, _) => openai_responses::error_body(*status),
                (body, _) => body.clone(),
            };
            return with_headers(plain(code, &body), &step, serial);
        }
        Reply::StreamError {
            text,
            error,
            message,
        } => (
            text.as_str(),
            Some((error.as_str(), message.as_str())),
            false,
        ),
        Reply::Cut { text } => (text.as_str(), None, true),
        Reply::Text { text } | Reply::Tool { text, .. } => (text.as_str(), None, false),
        Reply::Write { .. } | Reply::Call { .. } => ("", None, false),
    };
    let offered = match vendor {
        Vendor::Anthropic => anthropic::tools(body),
        Vendor::Responses => openai_responses::tools(body),
        Vendor::Chat => openai_chat::tools(body),
        Vendor::Gemini { .. } => gemini::tools(body),
    };
    let answer = Answer {
        serial,
        model,
        text,
        call: call_for(&step.reply, &offered),
        usage: step.usage,
        stream_error,
    };
    let rendered = match vendor {
        Vendor::Anthropic => anthropic::render(&answer),
        Vendor::Responses => openai_responses::render(&answer),
        Vendor::Chat => openai_chat::render(&answer),
        Vendor::Gemini { .. } => gemini::render(&answer),
    };
    let streamed = match vendor {
        Vendor::Gemini { stream } => stream,
        Vendor::Anthropic | Vendor::Responses | Vendor::Chat => {
            body.get("stream").and_then(Value::as_bool) == Some(true)
        }
    };
    with_headers(send(rendered, streamed, cut, &step), &step, serial)
}

/// Which vendor's scripted endpoint this is.
fn vendor(method: &Method, path: &str) -> Option<Vendor> {
    if method != Method::POST {
        return None;
    }
    match path {
        _ if path.ends_with("/messages") => Some(Vendor::Anthropic),
        _ if path.ends_with("/responses") => Some(Vendor::Responses),
        _ if path.ends_with("/chat/completions") => Some(Vendor::Chat),
        _ if path.ends_with(":generateContent") => Some(Vendor::Gemini { stream: false }),
        _ if path.ends_with(":streamGenerateContent") => Some(Vendor::Gemini { stream: true }),
        _ => None,
    }
}

/// Answers to the calls that never take a step.
fn unscripted(method: &Method, path: &str) -> (RequestKind, Response) {
    let side = |why: &str| RequestKind::Side {
        why: why.to_owned(),
    };
    if path.ends_with("/count_tokens") {
        let body = json!({"input_tokens": 1000});
        (side("token count"), plain(StatusCode::OK, &body))
    } else if path.ends_with(":countTokens") {
        let body = json!({"totalTokens": 1000});
        (side("token count"), plain(StatusCode::OK, &body))
    } else if method == Method::HEAD || path.ends_with("/api/hello") {
        (
            side("hello"),
            plain(StatusCode::OK, &json!({"message": "hello"})),
        )
    } else if method == Method::GET && path.ends_with("/models") {
        let body = json!({"object": "list", "data": [], "models": []});
        (side("model list"), plain(StatusCode::OK, &body))
    } else {
        let body = json!({"error": {"message": "the mock has no such endpoint"}});
        (RequestKind::Unknown, plain(StatusCode::NOT_FOUND, &body))
    }
}

/// `POST script/<session>` replaces the script, `GET requests/<session>` reads what was asked,
/// `GET ready` answers when the server runs.
fn control(sessions: &Sessions, method: &Method, path: &str, body: &[u8]) -> Response {
    match (method.as_str(), path.split_once('/')) {
        ("POST", Some(("script", session))) => match serde_json::from_slice::<Vec<Step>>(body) {
            Ok(steps) => {
                let count = steps.len();
                sessions.script(session, steps);
                plain(StatusCode::OK, &json!({"steps": count}))
            }
            Err(error) => plain(
                StatusCode::BAD_REQUEST,
                &json!({"error": error.to_string()}),
            ),
        },
        ("GET", Some(("requests", session))) => {
            plain(StatusCode::OK, &json!(sessions.requests(session)))
        }
        ("GET", None) if path == "ready" => plain(StatusCode::OK, &json!({"ready": true})),
        _ => plain(
            StatusCode::NOT_FOUND,
            &json!({"error": "no such control call"}),
        ),
    }
}

/// The model a request names: in its body, or in Gemini's path.
fn model(request: &Request) -> String {
    if let Some(model) = request.body.get("model").and_then(Value::as_str) {
        return model.to_owned();
    }
    let last = request.path.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default().to_owned()
}

fn masked_headers(headers: &hyper::HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let shown = if is_secret(name.as_str()) {
                mask(&value)
            } else {
                value.into_owned()
            };
            (name.as_str().to_owned(), shown)
        })
        .collect()
}

fn masked_query(query: &str) -> String {
    let part = |part: &str| match part.split_once('=') {
        Some((name, value)) if is_secret(name) => format!("{name}={}", mask(value)),
        _ => part.to_owned(),
    };
    query.split('&').map(part).collect::<Vec<_>>().join("&")
}
