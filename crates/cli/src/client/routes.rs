//! The addresses of the daemon's API, each in one place.

use uuid::Uuid;

use super::LogRequest;
use super::http::encode;

pub(super) const VERSION: &str = "/v1/version";
pub(super) const STATUS: &str = "/v1/status";
pub(super) const SUBMIT: &str = "/v1/tasks";
pub(super) const ORDERS: &str = "/v1/tasks/orders";
pub(super) const QUEUE: &str = "/v1/queue";
pub(super) const QUEUE_FORECAST: &str = "/v1/queue?forecast=true";
pub(super) const DRAIN: &str = "/v1/drain";
pub(super) const CLEAR_LIMIT: &str = "/v1/limits/clear";
pub(super) const RELOAD_ACCOUNTS: &str = "/v1/accounts/reload";
pub(super) const UNDRAIN: &str = "/v1/undrain";
pub(super) const ESTOP: &str = "/v1/estop";
pub(super) const THAW: &str = "/v1/thaw";
pub(super) const SHUTDOWN: &str = "/v1/shutdown";

pub(super) fn tasks(query: &longhaul_api::TaskQuery) -> String {
    let query = super::reads::query_string(query);
    if query.is_empty() {
        SUBMIT.to_owned()
    } else {
        format!("{SUBMIT}?{query}")
    }
}

pub(super) fn report(since: longhaul_core::time::UnixMs) -> String {
    format!("/v1/report?since_ms={}", since.0)
}

pub(super) fn task(reference: &str) -> String {
    format!("/v1/tasks/{}", encode(reference))
}

pub(super) fn send(reference: &str) -> String {
    format!("/v1/tasks/{}/send", encode(reference))
}

pub(super) fn queue_entry(reference: &str) -> String {
    format!("{QUEUE}/{}", encode(reference))
}

pub(super) fn submission(id: Uuid) -> String {
    format!("/v1/submissions/{id}")
}

pub(super) fn events(after: Option<u64>) -> String {
    after.map_or_else(
        || "/v1/events".to_owned(),
        |seq| format!("/v1/events?after={seq}"),
    )
}

pub(super) fn stored_events(after: u64) -> String {
    format!("/v1/events?after={after}&follow=0")
}

pub(super) fn log(request: &LogRequest<'_>) -> String {
    let mut target = format!(
        "/v1/tasks/{}/logs?stream={}&offset={}",
        encode(request.task),
        request.stream.word(),
        request.offset
    );
    if let Some(n) = request.attempt {
        target.push_str(&format!("&attempt={n}"));
    }
    if request.follow {
        target.push_str("&follow=1");
    }
    target
}
