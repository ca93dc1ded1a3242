//! A session's raw output, by offset, also while it grows.
//!
//! The body begins at the offset that the header `longhaul-offset` names (later than asked for,
//! where the middle of the log was cut) and is whole from there: it ends at the next cut or at the
//! end. A reader asks again from where the body ended; an empty body says that there is no more.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use longhaul_api::{ErrorClass, LogStream};
use longhaul_core::ids::{Fence, TaskId};
use serde::Deserialize;
use tokio::sync::watch;

use crate::http::app::App;
use crate::http::body::Params;
use crate::http::guard::Target;
use crate::http::logs::LogPiece;
use crate::http::problem::ApiError;
use crate::http::serve::ended;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// How often a growing log is looked at: nothing tells that it grew.
const POLL: Duration = Duration::from_millis(150);
/// Looks at a quiet log after which the store is asked again whether the attempt is over.
const RECHECK: u32 = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogsQuery {
    /// Number of the attempt; the last one without it.
    attempt: Option<u32>,
    /// `out` (without it) or `err`.
    stream: LogStream,
    /// First byte.
    offset: Option<u64>,
    /// Instead of `offset`: so many bytes from the end.
    tail: Option<u64>,
    /// `1`: go on until the attempt is over.
    follow: u8,
}

pub(super) async fn read(
    State(app): State<App>,
    Target(task): Target,
    Params(query): Params<LogsQuery>,
) -> Result<Response, ApiError> {
    if query.offset.is_some() && query.tail.is_some() {
        return Err(ApiError::invalid(
            "bad_query",
            "`offset` and `tail` exclude each other",
        ));
    }
    let number = query.attempt;
    let (fence, number) = app
        .view(Vec::new(), move |v| v.attempt_fence(task, number))
        .await?;
    let mut tail = Tail {
        advance: app.advance.clone(),
        shutdown: app.shutdown.clone(),
        app,
        task,
        fence,
        stream: query.stream,
        offset: query.offset.unwrap_or(0),
        follow: query.follow != 0,
        over: false,
        quiet: 0,
    };
    if let Some(bytes) = query.tail {
        tail.offset = tail.end().await?.saturating_sub(bytes);
    }
    tail.skip_cut().await?;
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(
        HeaderName::from_static("longhaul-offset"),
        tail.offset.into(),
    );
    headers.insert(HeaderName::from_static("longhaul-attempt"), number.into());
    let body = unfold(tail, |mut tail| async move {
        tail.next().await.map(|piece| (piece, tail))
    });
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Reads on from an offset.
struct Tail {
    app: App,
    task: TaskId,
    fence: Fence,
    stream: LogStream,
    offset: u64,
    follow: bool,
    /// The attempt was over before the last look.
    over: bool,
    quiet: u32,
    advance: watch::Receiver<u64>,
    shutdown: watch::Receiver<bool>,
}

enum Look {
    Bytes(Bytes),
    Cut(u64),
    End,
}

impl Tail {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if *self.shutdown.borrow() {
                return None;
            }
            if self.follow && !self.over {
                // Asked before the look below, which then sees the log's true end.
                match self.is_over().await {
                    Ok(over) => self.over = over,
                    Err(error) => return Some(Err(io::Error::other(error.body().message.clone()))),
                }
            }
            match self.look().await {
                Ok(Look::Bytes(bytes)) => {
                    self.offset += bytes.len() as u64;
                    self.quiet = 0;
                    return Some(Ok(bytes));
                }
                Ok(Look::End) if self.follow && !self.over => self.wait().await,
                Ok(Look::End | Look::Cut(_)) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Whether the attempt is over; the store is asked when something happened, and now and then.
    async fn is_over(&mut self) -> Result<bool, ApiError> {
        let news = self.advance.has_changed().unwrap_or(false);
        if !news && !self.quiet.is_multiple_of(RECHECK) {
            return Ok(false);
        }
        self.advance.mark_unchanged();
        let (task, fence) = (self.task, self.fence);
        self.app
            .view(Vec::new(), move |v| Ok(!v.attempt_is_live(task, fence)?))
            .await
    }

    async fn wait(&mut self) {
        self.quiet = self.quiet.wrapping_add(1);
        tokio::select! {
            // Both are cancel-safe: nothing is taken out of anything.
            () = ended(&mut self.shutdown) => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }

    async fn look(&self) -> io::Result<Look> {
        let (app, task, fence) = (self.app.clone(), self.task, self.fence);
        let (stream, offset) = (self.stream, self.offset);
        blocking(move || {
            let mut buffer = vec![0; CHUNK];
            Ok(
                match app.logs.read_at(task, fence, stream, offset, &mut buffer)? {
                    LogPiece::Bytes(n) if n > 0 => {
                        buffer.truncate(n);
                        Look::Bytes(buffer.into())
                    }
                    LogPiece::Cut { next } if next > offset => Look::Cut(next),
                    LogPiece::Bytes(_) | LogPiece::Cut { .. } | LogPiece::End => Look::End,
                },
            )
        })
        .await
    }

    async fn skip_cut(&mut self) -> Result<(), ApiError> {
        while let Look::Cut(next) = self.look().await.map_err(|e| unreadable(&e))? {
            self.offset = next;
        }
        Ok(())
    }

    async fn end(&self) -> Result<u64, ApiError> {
        let (app, task, fence, stream) = (self.app.clone(), self.task, self.fence, self.stream);
        let end = blocking(move || app.logs.end(task, fence, stream)).await;
        end.map_err(|e| unreadable(&e))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn unreadable(error: &io::Error) -> ApiError {
    let message = format!("the log could not be read: {error}");
    ApiError::new(ErrorClass::Unavailable, "log_unreadable", message)
}
