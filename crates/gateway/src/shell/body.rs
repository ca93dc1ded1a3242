//! Bodies: requests taken in whole within bounds, answers passed on piece by piece while they are counted.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, timeout};

use super::shared::Flight;
use crate::meter::Meter;

/// Largest request.
pub(super) const MAX_REQUEST_BYTES: usize = 32 << 20;
/// Largest body of an error that is read before it is passed on.
const MAX_ERROR_BYTES: usize = 1 << 20;
/// How long that may take.
const ERROR_TIME: Duration = Duration::from_secs(10);

/// Why a request's body was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    TooLarge,
    /// It broke off: nobody is there to answer.
    Broken,
    Slow,
    /// There is no memory for it now.
    Full,
}

/// A whole request, and the memory that it holds.
pub(super) struct Taken {
    pub(super) bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

/// Takes in the body of a request.
pub(super) async fn take(
    mut body: Incoming,
    held: &Arc<Semaphore>,
    pause: Duration,
) -> Result<Taken, NotTaken> {
    let declared = body.size_hint();
    if declared.lower() > MAX_REQUEST_BYTES as u64 {
        return Err(NotTaken::TooLarge);
    }
    let mut permit: Option<OwnedSemaphorePermit> = None;
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut length = 0;
    loop {
        let frame = match timeout(pause, body.frame()).await {
            Err(_) => return Err(NotTaken::Slow),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(NotTaken::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length > MAX_REQUEST_BYTES {
            return Err(NotTaken::TooLarge);
        }
        let kib = u32::try_from(data.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let more = Arc::clone(held).try_acquire_many_owned(kib);
        let more = more.map_err(|_| NotTaken::Full)?;
        match &mut permit {
            Some(permit) => permit.merge(more),
            None => permit = Some(more),
        }
        // A body that comes in one piece is not copied.
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            None => whole.extend_from_slice(&data),
            Some(head) => {
                let expected = usize::try_from(declared.lower()).unwrap_or(0);
                whole.reserve(expected.max(head.len() + data.len()));
                whole.extend_from_slice(&head);
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(Taken {
        bytes: first.unwrap_or_else(|| whole.freeze()),
        _held: permit,
    })
}

type Failed = Box<dyn Error + Send + Sync>;

/// A body that the gateway sends to a client.
pub(super) enum Outgoing {
    /// Its own, or an error that was read whole.
    Whole(Full<Bytes>),
    /// A provider's, as it comes.
    Passing(Box<Passing>),
}

impl Outgoing {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Self::Passing(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Passing(body) => body.first.is_none() && body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Passing(body) if body.first.is_none() => body.inner.size_hint(),
            Self::Passing(_) => SizeHint::default(),
        }
    }
}

/// A provider's answer on its way to the client. What it used is written down before the client has its last bytes;
/// if either side goes away, what was seen until then.
pub(super) struct Passing {
    /// What was read of it already.
    first: Option<Bytes>,
    inner: Incoming,
    meter: Option<Meter>,
    flight: Flight,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Passing {
    pub(super) fn new(
        first: Option<Bytes>,
        inner: Incoming,
        meter: Option<Meter>,
        flight: Flight,
    ) -> Self {
        let silence = flight.shared.times.silence;
        Self {
            first,
            inner,
            meter,
            flight,
            silence,
            timer: Box::pin(tokio::time::sleep(silence)),
        }
    }

    fn over(&mut self, whole: bool) {
        let count = self.meter.take().map(|meter| meter.finish(whole));
        self.flight.ended(count);
    }

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(meter), Some(data)) = (&mut self.meter, frame.data_ref()) {
                    meter.push(data);
                }
                let done = self.meter.as_ref().is_some_and(Meter::is_complete);
                if done || self.inner.is_end_stream() {
                    self.over(true);
                }
                let next = Instant::now() + self.silence;
                self.timer.as_mut().reset(next);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.over(true);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.over(false);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => {
                std::task::ready!(self.timer.as_mut().poll(cx));
                self.over(false);
                Poll::Ready(Some(Err("the provider fell silent".into())))
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.over(false);
    }
}

/// The body of an error: whole, or its beginning if it is absurdly large or slow.
pub(super) async fn read_error(body: &mut Incoming) -> (Bytes, bool) {
    let mut read = BytesMut::new();
    let deadline = Instant::now() + ERROR_TIME;
    loop {
        match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(None) => return (read.freeze(), true),
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
                if read.len() > MAX_ERROR_BYTES {
                    return (read.freeze(), false);
                }
            }
            // Broken off or slow: what there is goes on, and then what becomes of the rest.
            Ok(Some(Err(_))) | Err(_) => return (read.freeze(), false),
        }
    }
}
