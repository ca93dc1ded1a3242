//! Tasks: list, show, submit, orders, send.

use std::collections::HashSet;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use longhaul_api::{
    OrderOutcome, OrderRequest, OrderResponse, OrderWord, SendRequest, SubmitRequest,
    SubmitResponse, TaskQuery,
};
use longhaul_core::ids::TaskId;
use longhaul_engine::handle::{Command, OrderResult, Reply, Submit};
use uuid::Uuid;

use super::daemon::{acknowledge, kind};
use crate::http::app::App;
use crate::http::body::{Answer, Json, Params};
use crate::http::guard::Target;
use crate::http::problem::ApiError;

/// Tasks of one submission.
const SUBMIT_MAX: usize = 20_000;
/// Tasks of one order.
const ORDER_MAX: usize = 10_000;
/// Bytes of a text for a session.
const SEND_MAX: usize = 1 << 16;

pub(super) async fn list(
    State(app): State<App>,
    Params(query): Params<TaskQuery>,
) -> Result<Answer, ApiError> {
    let live = app.live(None).await;
    app.show(live, move |v| v.list(&query)).await
}

pub(super) async fn show(State(app): State<App>, Target(id): Target) -> Result<Answer, ApiError> {
    let live = app.live(Some(vec![id])).await;
    app.show(live, move |v| v.detail(id)).await
}

pub(super) async fn submission(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Answer, ApiError> {
    let id = Uuid::parse_str(&id)
        .map_err(|_| ApiError::invalid("bad_id", "the id of a submission is a UUID"))?;
    let live = app.live(None).await;
    app.show(live, move |v| v.submission(id)).await
}

/// 201 if the tasks were accepted, 200 if they were in the queue already.
pub(super) async fn submit(
    State(app): State<App>,
    Json(request): Json<SubmitRequest>,
) -> Result<Response, ApiError> {
    check(&request)?;
    let command = Command::Submit(Submit {
        source: request.source,
        digest: request.digest,
        again: request.again,
        tasks: request.tasks.into_iter().map(|t| (t.id, t.spec)).collect(),
    });
    match app.command(command).await? {
        Reply::Submitted {
            submission,
            tasks,
            reattached,
        } => {
            let status = if reattached {
                StatusCode::OK
            } else {
                StatusCode::CREATED
            };
            let answer = Answer::new(SubmitResponse {
                submission,
                tasks,
                reattached,
            })?;
            Ok((status, answer).into_response())
        }
        other => Err(ApiError::bug(&format!(
            "`submitted` came as {}",
            kind(&other)
        ))),
    }
}

fn check(request: &SubmitRequest) -> Result<(), ApiError> {
    let bad = |message: String| Err(ApiError::invalid("bad_submission", message));
    if request.tasks.is_empty() {
        return bad("there are no tasks in it".to_owned());
    }
    if request.tasks.len() > SUBMIT_MAX {
        return bad(format!("there are more than {SUBMIT_MAX} tasks in it"));
    }
    if request.digest.len() != 64 || !request.digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return bad("`digest` is not a SHA-256 in hexadecimal digits".to_owned());
    }
    let mut ids = HashSet::new();
    match request.tasks.iter().find(|t| !ids.insert(t.id)) {
        Some(twice) => bad(format!("the id {} is in it twice", twice.id)),
        None => Ok(()),
    }
}

pub(super) async fn orders(
    State(app): State<App>,
    Json(request): Json<OrderRequest>,
) -> Result<Answer, ApiError> {
    let order = request
        .order()
        .map_err(|message| ApiError::invalid("bad_order", message))?;
    if request.tasks.is_empty() || request.tasks.len() > ORDER_MAX {
        let message = format!("an order names between 1 and {ORDER_MAX} tasks");
        return Err(ApiError::invalid("bad_order", message));
    }
    // All of them are found before anything is done.
    let texts = request.tasks;
    let tasks = app
        .view(Vec::new(), move |v| {
            let mut seen = HashSet::new();
            let ids = texts.iter().map(|text| v.resolve(text));
            let mut ids = ids.collect::<Result<Vec<TaskId>, _>>()?;
            ids.retain(|id| seen.insert(*id));
            Ok(ids)
        })
        .await?;
    match app.command(Command::Order { tasks, order }).await? {
        Reply::Orders(results) => {
            let phrasing = app.phrasing.clone();
            app.show(Vec::new(), move |v| {
                let each = results.into_iter().map(|(id, result)| {
                    let (result, message) = match result {
                        OrderResult::Done(text) => (OrderWord::Done, text),
                        OrderResult::Already(text) => (OrderWord::Already, text),
                        OrderResult::Refused(text) => (OrderWord::Refused, text),
                        OrderResult::NotFound => (
                            OrderWord::NotFound,
                            "there is no such task any more".to_owned(),
                        ),
                    };
                    let (short_id, name) = v.names(id)?;
                    let message = phrasing.line(&message);
                    Ok(OrderOutcome {
                        id,
                        short_id,
                        name,
                        result,
                        message,
                    })
                });
                Ok(OrderResponse {
                    results: each.collect::<Result<_, crate::views::ViewError>>()?,
                })
            })
            .await
        }
        other => Err(ApiError::bug(&format!("`orders` came as {}", kind(&other)))),
    }
}

pub(super) async fn send(
    State(app): State<App>,
    Target(task): Target,
    Json(request): Json<SendRequest>,
) -> Result<Answer, ApiError> {
    if request.text.trim().is_empty() || request.text.len() > SEND_MAX {
        let message = format!("a text has between 1 and {SEND_MAX} bytes");
        return Err(ApiError::invalid("bad_text", message));
    }
    acknowledge(
        &app,
        Command::Send {
            task,
            text: request.text,
        },
    )
    .await
}
