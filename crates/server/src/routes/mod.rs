//! The routes of `/v1`. Answers are envelopes (`longhaul_api::Envelope`), failures RFC 9457 problems.
//!
//! | method and path | answer |
//! |---|---|
//! | GET `/v1/version` | program and API range (T29); the only one open to every process of the user |
//! | GET `/v1/status` | the daemon and the counts |
//! | GET `/v1/report?since_ms=` | the morning page; half a day without a time |
//! | GET `/v1/tasks?state=&bucket=&repo=&submission=&all=` | live tasks and the newest finished ones |
//! | POST `/v1/tasks` | hands tasks in: 201, or 200 where they were in the queue already |
//! | POST `/v1/tasks/orders` | one order for several tasks, all found or nothing done |
//! | GET `/v1/tasks/{ref}` | everything about a task; `ref` is an id, the beginning of one, or a name |
//! | GET `/v1/tasks/{ref}/logs?attempt=&stream=&offset=&tail=&follow=` | raw bytes, see [`logs`] |
//! | GET `/v1/tasks/{ref}/events`, `/v1/events` `?after=&follow=` | server-sent events, see [`events`] |
//! | POST `/v1/limits/clear` | a limit is over, a person says |
//! | POST `/v1/accounts/reload` | the accounts are read anew, and given to the gateway |
//! | POST `/v1/tasks/{ref}/send` | text for a task's agent |
//! | GET `/v1/submissions/{id}` | the tasks of a submission, and whether it is settled |
//! | GET `/v1/queue?forecast=` | the lines of the merge queue, what waits in them and why, what landed; with `forecast=true` who would conflict, which asks git |
//! | GET `/v1/queue/{ref}` | an entry with its history; `ref` is its id, the beginning of one, its title, or a task |
//! | POST `/v1/queue` | a person's order for the merge queue, acknowledged in a sentence |
//! | POST `/v1/drain`, `/undrain`, `/estop`, `/thaw`, `/shutdown` | acknowledged in a sentence |

mod daemon;
mod events;
mod logs;
mod queue;
mod tasks;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use longhaul_agents::snippet;
use longhaul_api::ErrorClass;

use crate::http::app::App;
use crate::http::guard::{ORDERS, guard};
use crate::http::problem::ApiError;

/// Every route, behind the guard.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/version", get(daemon::version))
        .route("/v1/status", get(daemon::status))
        .route("/v1/report", get(daemon::report))
        .route("/v1/drain", post(daemon::drain))
        .route("/v1/undrain", post(daemon::undrain))
        .route("/v1/estop", post(daemon::estop))
        .route("/v1/thaw", post(daemon::thaw))
        .route("/v1/limits/clear", post(daemon::clear_limit))
        .route("/v1/accounts/reload", post(daemon::reload_accounts))
        .route("/v1/shutdown", post(daemon::shutdown))
        .route("/v1/queue", get(queue::show).post(queue::order))
        .route("/v1/queue/{ref}", get(queue::explain))
        .route("/v1/events", get(events::all))
        .route("/v1/tasks", get(tasks::list).post(tasks::submit))
        // A task may be called `orders` too: reading it stays possible.
        .route(ORDERS, post(tasks::orders).get(tasks::show))
        .route("/v1/tasks/{ref}", get(tasks::show))
        .route("/v1/tasks/{ref}/logs", get(logs::read))
        .route("/v1/tasks/{ref}/events", get(events::of_task))
        .route("/v1/tasks/{ref}/send", post(tasks::send))
        .route("/v1/submissions/{id}", get(tasks::submission))
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

async fn unknown(uri: Uri) -> ApiError {
    let path = snippet(uri.path(), 100);
    ApiError::new(
        ErrorClass::NotFound,
        "no_such_route",
        format!("there is no `{path}`"),
    )
    .hint("the daemon may be older than this program: `longhaul daemon restart`")
}

async fn other_method(method: Method, uri: Uri) -> ApiError {
    let path = snippet(uri.path(), 100);
    ApiError::invalid("bad_method", format!("`{path}` does not take {method}"))
        .status(StatusCode::METHOD_NOT_ALLOWED)
}
