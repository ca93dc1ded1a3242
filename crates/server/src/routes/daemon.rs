//! The daemon as a whole: version, status, report, drain, estop, shutdown.

use axum::extract::State;
use longhaul_api::{Acknowledged, ApiRange, ClearLimitRequest, DrainRequest, VersionView};
use longhaul_core::time::UnixMs;
use longhaul_engine::handle::{Command, Reply};
use serde::Deserialize;

use crate::http::app::App;
use crate::http::body::{Answer, Json, Params};
use crate::http::problem::ApiError;

/// How far back a report goes that names no time: half a day.
const REPORT_SPAN_MS: i64 = 12 * 3_600_000;

pub(super) async fn version(State(app): State<App>) -> Result<Answer, ApiError> {
    Answer::new(VersionView {
        version: app.version.clone(),
        pid: std::process::id(),
        api: ApiRange::OURS,
    })
}

pub(super) async fn status(State(app): State<App>) -> Result<Answer, ApiError> {
    let Reply::Status(daemon) = app.command(Command::Status).await? else {
        return Err(ApiError::bug("the status came as something else"));
    };
    app.show(Vec::new(), move |v| v.status(Some(&daemon))).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReportQuery {
    since_ms: Option<i64>,
}

pub(super) async fn report(
    State(app): State<App>,
    Params(query): Params<ReportQuery>,
) -> Result<Answer, ApiError> {
    let since = query
        .since_ms
        .unwrap_or_else(|| (app.clock)().0.saturating_sub(REPORT_SPAN_MS));
    let live = app.live(None).await;
    app.show(live, move |v| v.report(UnixMs(since))).await
}

pub(super) async fn drain(
    State(app): State<App>,
    Json(request): Json<DrainRequest>,
) -> Result<Answer, ApiError> {
    acknowledge(&app, Command::Drain { stop: request.stop }).await
}

pub(super) async fn undrain(State(app): State<App>) -> Result<Answer, ApiError> {
    acknowledge(&app, Command::Undrain).await
}

pub(super) async fn estop(State(app): State<App>) -> Result<Answer, ApiError> {
    acknowledge(&app, Command::Estop).await
}

pub(super) async fn thaw(State(app): State<App>) -> Result<Answer, ApiError> {
    acknowledge(&app, Command::Thaw).await
}

pub(super) async fn clear_limit(
    State(app): State<App>,
    Json(request): Json<ClearLimitRequest>,
) -> Result<Answer, ApiError> {
    acknowledge(
        &app,
        Command::ClearLimit {
            scope: request.scope,
        },
    )
    .await
}

pub(super) async fn reload_accounts(State(app): State<App>) -> Result<Answer, ApiError> {
    let said = app.reload_accounts().await?;
    Answer::new(Acknowledged {
        message: app.phrasing.line(&said),
    })
}

pub(super) async fn shutdown(State(app): State<App>) -> Result<Answer, ApiError> {
    acknowledge(&app, Command::Shutdown).await
}

pub(super) async fn acknowledge(app: &App, command: Command) -> Result<Answer, ApiError> {
    match app.command(command).await? {
        Reply::Ok(message) => Answer::new(Acknowledged {
            message: app.phrasing.line(&message),
        }),
        other => Err(ApiError::bug(&format!("`ok` came as {}", kind(&other)))),
    }
}

/// What an answer of the engine is, for a message about a wrong one.
pub(super) const fn kind(reply: &Reply) -> &'static str {
    match reply {
        Reply::Submitted { .. } => "`submitted`",
        Reply::Orders(_) => "`orders`",
        Reply::Ok(_) => "`ok`",
        Reply::Status(_) => "`status`",
        Reply::Live(_) => "`live`",
        Reply::Refused { .. } => "`refused`",
    }
}
