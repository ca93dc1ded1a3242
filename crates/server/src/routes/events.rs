//! The ledger as server-sent events (G10): resumable by id, live by a hint, complete without one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use longhaul_api::{Envelope, ErrorEnvelope, EventView};
use longhaul_core::ids::TaskId;
use serde::Deserialize;
use tokio::sync::watch;

use crate::http::app::App;
use crate::http::body::Params;
use crate::http::guard::Target;
use crate::http::problem::ApiError;
use crate::http::serve::ended;

/// Rows that are read at once.
const PAGE: usize = 256;
/// A comment this often shows that both sides live.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The ledger is read this often even without a hint.
const POLL: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Only events after this sequence number. Without it: of a task all, of all tasks the new ones.
    after: Option<u64>,
    /// `0`: end when everything that is there was sent.
    #[serde(default = "one")]
    follow: u8,
}

const fn one() -> u8 {
    1
}

type Events = Sse<axum::response::sse::KeepAliveStream<FeedStream>>;
type FeedStream = std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>;

/// Events of all tasks.
pub(super) async fn all(
    State(app): State<App>,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
) -> Result<Events, ApiError> {
    let newest = *app.advance.borrow();
    let after = last_event_id(&headers)?.or(query.after).unwrap_or(newest);
    Ok(Feed::new(app, None, after, query.follow != 0).into_events())
}

/// Events of one task.
pub(super) async fn of_task(
    State(app): State<App>,
    Target(id): Target,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
) -> Result<Events, ApiError> {
    let after = last_event_id(&headers)?.or(query.after).unwrap_or(0);
    Ok(Feed::new(app, Some(id), after, query.follow != 0).into_events())
}

/// What a browser or the CLI sends when it comes back; it is newer than the address's `after`.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let number = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    number.map(Some).ok_or_else(|| {
        ApiError::invalid("bad_event_id", "`Last-Event-ID` is not a sequence number")
    })
}

/// Reads on from a sequence number.
struct Feed {
    app: App,
    task: Option<TaskId>,
    after: u64,
    follow: bool,
    ready: VecDeque<EventView>,
    advance: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
    over: bool,
}

impl Feed {
    fn new(app: App, task: Option<TaskId>, after: u64, follow: bool) -> Self {
        let (advance, shutdown) = (app.advance.clone(), app.shutdown.clone());
        Self {
            app,
            task,
            after,
            follow,
            ready: VecDeque::new(),
            advance,
            shutdown,
            over: false,
        }
    }

    fn into_events(self) -> Events {
        let stream: FeedStream = Box::pin(unfold(self, |mut feed| async move {
            feed.next().await.map(|event| (Ok(event), feed))
        }));
        Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT))
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(view) = self.ready.pop_front() {
                self.after = view.seq;
                return Some(event(view));
            }
            if self.over || *self.shutdown.borrow() {
                return None;
            }
            // Seen before the read: what is written during it wakes the wait below.
            self.advance.mark_unchanged();
            match self.read().await {
                Ok(views) if !views.is_empty() => self.ready.extend(views),
                Ok(_) if self.follow => self.wait().await,
                Ok(_) => return None,
                Err(error) => {
                    self.over = true;
                    return Some(failure(&error));
                }
            }
        }
    }

    async fn read(&self) -> Result<Vec<EventView>, ApiError> {
        let (task, after) = (self.task, self.after);
        self.app
            .view(Vec::new(), move |v| match task {
                Some(id) => v.events_of(id, after),
                None => v.events_after(after, PAGE),
            })
            .await
    }

    async fn wait(&mut self) {
        let hint = async {
            if self.advance.changed().await.is_err() {
                // Nobody gives hints any more; the clock below is enough.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            // All three are cancel-safe: nothing is taken out of anything.
            () = hint => {}
            () = ended(&mut self.shutdown) => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

fn event(view: EventView) -> Event {
    let id = view.seq.to_string();
    match serde_json::to_string(&Envelope::new(view)) {
        Ok(data) => Event::default().id(id).event("ledger").data(data),
        Err(_) => failure(&ApiError::bug("an event could not be written")),
    }
}

/// The stream's last event, when it cannot go on; the reader comes back with the last id it has.
fn failure(error: &ApiError) -> Event {
    let body = ErrorEnvelope::new(error.body().clone());
    Event::default()
        .event("error")
        .data(serde_json::to_string(&body).unwrap_or_default())
}
