//! The data path: one request from a client, perhaps several tries at providers, one answer. What is decided is
//! decided by `routing`; here it is carried out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response, Uri};
use longhaul_core::limit::LimitClass;
use longhaul_core::time::{SpanMs, UnixMs};
use tokio::sync::watch;
use tokio::time::Instant;

use super::body::{NotTaken, Outgoing, Passing, Taken, read_error, take};
use super::shared::{Asking, Flight, HeldBack, Shared, now};
use super::upstream::Unanswered;
use crate::api::{Provider, TokenHash};
use crate::meter::{Dialect, Meter};
use crate::refuse::{self, SHOULD_RETRY, Why, seconds_until};
use crate::request;
use crate::routing::{Admission, Attempt, Choice, Failure, Next, Target};

/// Requests larger than this are sent once and kept no longer.
const REPLAY_BYTES: usize = 8 << 20;

/// Between two looks at the clock while a request is kept.
const HOLD_STEP: Duration = Duration::from_secs(5);

/// Headers of answers that are about the way to the provider and not for the client.
const NOT_RETURNED: [&str; 2] = ["set-cookie", "alt-svc"];

/// Answers one request. An error means that there is nobody to answer: the connection is closed.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let guess = guess(parts.uri.path());
    if !request::is_ours(&parts.uri, &parts.headers, shared.port) {
        tracing::warn!("refused: a request for another host (A13)");
        return Ok(own(guess, Why::ForeignHost, false));
    }
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Ok(own(guess, Why::BadRequest, false));
    }
    let Some(session) = find_session(&shared, &parts.headers, parts.uri.query()) else {
        return Ok(own(guess, Why::BadToken, false));
    };
    let provider = session.provider;
    let taken = match take(body, &shared.held, shared.times.body).await {
        Ok(taken) => taken,
        Err(NotTaken::Broken) => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        Err(NotTaken::TooLarge) => return Ok(own(provider, Why::TooLarge, false)),
        Err(NotTaken::Slow) => return Ok(own(provider, Why::SlowBody, false)),
        Err(NotTaken::Full) => return Ok(own(provider, Why::Busy, false)),
    };
    let path = parts.uri.path();
    let dialect = request::dialect(provider, &parts.method, path);
    let facts = request::facts(&session.id, dialect, path, &parts.headers, &taken.bytes);
    if dialect.is_some() {
        let model = facts.model.as_deref();
        match shared.route(|router, _| router.admit(&session.id, model)) {
            Admission::Yes => {}
            Admission::Gone => return Ok(own(provider, Why::BadToken, false)),
            Admission::OverBudget { unknown_price } => {
                let why = if unknown_price {
                    Why::UnknownPrice
                } else {
                    Why::OverBudget
                };
                return Ok(own(provider, why, false));
            }
        }
    }
    let asking = Asking {
        session: session.id,
        provider,
        task: session.task,
        fence: session.fence,
        model: facts.model,
        conversation: facts.conversation,
        movable: !facts.bound && taken.bytes.len() <= REPLAY_BYTES,
        repeatable: facts.repeatable || parts.method.is_safe(),
    };
    let call = Call {
        shared,
        asking: Arc::new(asking),
        dialect,
        method: parts.method,
        uri: parts.uri,
        headers: parts.headers,
        taken,
        waits: session.waits,
        holds: session.holds,
    };
    Ok(call.serve().await)
}

/// What is needed of a session.
struct Caller {
    id: String,
    provider: Provider,
    task: Option<longhaul_core::ids::TaskId>,
    fence: longhaul_core::ids::Fence,
    waits: bool,
    holds: bool,
}

fn find_session(shared: &Shared, headers: &HeaderMap, query: Option<&str>) -> Option<Caller> {
    let presented = request::presented(headers, query);
    let hashes: Vec<_> = presented.iter().map(|token| TokenHash::of(token)).collect();
    shared.route(|router, _| {
        let found = hashes.iter().find_map(|hash| router.session_of(hash));
        found.map(|(id, session)| Caller {
            id: id.to_owned(),
            provider: session.spec.provider,
            task: session.spec.task,
            fence: session.spec.fence,
            waits: session.spec.waits,
            holds: session.spec.holds,
        })
    })
}

/// In whose shape a client is told that it has no session: its path is all that is known.
fn guess(path: &str) -> Provider {
    if path.ends_with("/responses") || path.ends_with("/chat/completions") {
        Provider::Openai
    } else if path.contains(":generateContent") || path.contains(":streamGenerateContent") {
        Provider::Gemini
    } else {
        Provider::Anthropic
    }
}

fn own(provider: Provider, why: Why, waits: bool) -> Response<Outgoing> {
    let answer = refuse::answer(provider, why, now(), waits);
    let mut response = Response::new(Outgoing::whole(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().extend(answer.headers);
    response
}

/// A refusal that may yet become the answer.
struct Kept {
    class: LimitClass,
    response: Response<Outgoing>,
}

/// A request and all that is needed to send it.
struct Call {
    shared: Arc<Shared>,
    asking: Arc<Asking>,
    dialect: Option<Dialect>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    taken: Taken,
    waits: bool,
    holds: bool,
}

impl Call {
    async fn serve(self) -> Response<Outgoing> {
        let mut deadline = Instant::now() + self.shared.times.waiting;
        let mut attempt = Attempt::default();
        let mut kept = Vec::new();
        // From before the first look on, so that no change is missed.
        let mut changes = self.shared.changed.subscribe();
        loop {
            let target = match self.choose(&mut attempt, deadline).await {
                Ok(target) => target,
                Err(Why::Exhausted(LimitClass::Quota, until))
                    if self.holds && self.asking.movable =>
                {
                    self.hold(until, &mut changes).await;
                    // As if it had just come: what refused it before may serve it now.
                    deadline = Instant::now() + self.shared.times.waiting;
                    attempt = Attempt::default();
                    kept.clear();
                    continue;
                }
                Err(why) => return self.give_up(why, kept),
            };
            let next = match self.send(&attempt, &target).await {
                Sent::Good(response) => return response,
                Sent::Bad(mut refused) => {
                    let (class, next) = self.refused(&mut attempt, &target, &refused);
                    if next == Next::Relay {
                        if class == Some(LimitClass::Quota) {
                            self.mark_exhausted(refused.response.headers_mut(), &target);
                        }
                        return refused.response;
                    }
                    let response = refused.response;
                    kept.extend(class.map(|class| Kept { class, response }));
                    next
                }
                Sent::Failed(failure, why) => {
                    let next = self.shared.route(|router, now| {
                        let ask = self.asking.ask();
                        router.failed(now, &ask, &mut attempt, &target.account, failure)
                    });
                    if next == Next::Relay {
                        return self.give_up(why, kept);
                    }
                    next
                }
            };
            if let Next::Again { least_ms, most_ms } = next {
                pause(least_ms, most_ms).await;
            }
        }
    }

    /// An account, waited for if all are busy; or why there is none.
    async fn choose(&self, attempt: &mut Attempt, deadline: Instant) -> Result<Target, Why> {
        loop {
            // Listened for before the look, so that a place that becomes free in between is not missed.
            let freed = self.shared.freed.notified();
            let choice = self.shared.route(|router, now| {
                if !router.is_ready() {
                    return Err(Why::NoAccounts);
                }
                match router.choose(now, &self.asking.ask(), attempt) {
                    Choice::Use(target) => Ok(Some(target)),
                    Choice::Busy => Ok(None),
                    Choice::Exhausted { class, until } => Err(Why::Exhausted(class, until)),
                    Choice::NoAccount => Err(Why::NoAccount),
                }
            })?;
            if let Some(target) = choice {
                return Ok(target);
            }
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                return Err(Why::Busy);
            }
        }
    }

    /// Keeps the request until the reset, or until something was changed from outside. By the wall clock: the
    /// machine may sleep meanwhile.
    async fn hold(&self, until: Option<UnixMs>, changes: &mut watch::Receiver<()>) {
        let _held = HeldBack::new(&self.shared, &self.asking.session);
        let until = until.unwrap_or_else(|| now().plus(SpanMs::from_secs(60)));
        loop {
            let left = Duration::from_millis(until.since(now()).0);
            if left.is_zero() {
                return;
            }
            let changed = changes.changed();
            // Cancel-safe: what changed meanwhile is seen the next time.
            if tokio::time::timeout(left.min(HOLD_STEP), changed)
                .await
                .is_ok()
            {
                return;
            }
        }
    }

    /// One try. The account has the request until it is told otherwise.
    async fn send(&self, attempt: &Attempt, target: &Target) -> Sent {
        let (shared, asking) = (Arc::clone(&self.shared), Arc::clone(&self.asking));
        let mut flight = Flight::new(shared, asking, target.account.clone());
        let Some(request) = self.request(target) else {
            flight.landed();
            return Sent::Failed(Failure::Connect, Why::BadRequest);
        };
        let mut response = match self.shared.upstream.send(request).await {
            Ok(response) => response,
            Err(unanswered) => {
                flight.landed();
                return match unanswered {
                    Unanswered::Failed(failure, cause) => {
                        Sent::Failed(failure, Why::Unreachable(cause))
                    }
                    Unanswered::Silent => Sent::Failed(Failure::Sent, Why::Silent),
                };
            }
        };
        let raw = std::mem::take(response.headers_mut());
        let headers = self.returned(&raw);
        let status = response.status();
        let mut body = response.into_body();
        let assemble = |body| {
            let mut response = Response::new(body);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        };
        if status.as_u16() < 400 {
            self.shared.route(|router, now| {
                let ask = self.asking.ask();
                router.accepted(now, &ask, attempt, &target.account, &raw);
            });
            let stream = raw
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
            let meter = self.dialect.map(|dialect| Meter::new(dialect, stream));
            let passing = Passing::new(None, body, meter, flight);
            return Sent::Good(assemble(Outgoing::Passing(Box::new(passing))));
        }
        let (read, whole) = read_error(&mut body).await;
        if whole {
            flight.landed();
            let response = assemble(Outgoing::whole(read.clone()));
            return Sent::Bad(Refused {
                response,
                headers: raw,
                read,
            });
        }
        let passing = Passing::new(Some(read), body, None, flight);
        Sent::Good(assemble(Outgoing::Passing(Box::new(passing))))
    }

    fn request(&self, target: &Target) -> Option<Request<Full<Bytes>>> {
        let provider = self.asking.provider;
        let uri = request::upstream(provider, target.base_url.as_deref(), &self.uri)?;
        let metered = self.dialect.is_some();
        let headers = request::forwarded(provider, metered, &self.headers, &target.key)?;
        let mut request = Request::new(Full::new(self.taken.bytes.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }

    /// The headers of an answer that go on to the client.
    fn returned(&self, raw: &HeaderMap) -> HeaderMap {
        let mut headers = request::without_hops(raw);
        for name in NOT_RETURNED {
            headers.remove(name);
        }
        // The length of a body that does not come; all others are told by the body itself.
        if self.method == Method::HEAD
            && let Some(length) = raw.get(CONTENT_LENGTH)
        {
            headers.insert(CONTENT_LENGTH, length.clone());
        }
        headers
    }

    fn refused(
        &self,
        attempt: &mut Attempt,
        target: &Target,
        refused: &Refused,
    ) -> (Option<LimitClass>, Next) {
        let status = refused.response.status().as_u16();
        let answer = (status, &refused.headers, &*refused.read);
        self.shared.route(|router, now| {
            router.refused(now, &self.asking.ask(), attempt, &target.account, answer)
        })
    }

    /// Nothing more can be tried: the best refusal that came, else one of our own.
    fn give_up(&self, why: Why, kept: Vec<Kept>) -> Response<Outgoing> {
        let exhausted = matches!(why, Why::Exhausted(LimitClass::Quota, _));
        // All at their limits: that answer. Otherwise the one that says least against the accounts.
        let best = kept.into_iter().rev().min_by_key(|kept| match kept.class {
            LimitClass::Quota if exhausted => 0,
            LimitClass::Throttle => 1,
            LimitClass::Overload => 2,
            LimitClass::Quota => 3,
            LimitClass::Billing => 4,
            LimitClass::Auth => 5,
        });
        let Some(mut kept) = best else {
            return own(self.asking.provider, why, self.waits);
        };
        if kept.class == LimitClass::Quota
            && let Why::Exhausted(LimitClass::Quota, Some(until)) = why
        {
            self.tell_when(kept.response.headers_mut(), seconds_until(until, now()));
        }
        kept.response
    }

    /// A refusal goes on because this account alone could serve: it says when that one can again.
    fn mark_exhausted(&self, headers: &mut HeaderMap, target: &Target) {
        let seconds = self.shared.route(|router, now| {
            let model = self.asking.model.as_deref();
            let mut accounts = router.accounts().iter();
            let account = accounts.find(|a| a.spec.id == target.account)?;
            Some(seconds_until(account.rests_until(model, now)?, now))
        });
        if let Some(seconds) = seconds {
            self.tell_when(headers, seconds);
        }
    }

    fn tell_when(&self, headers: &mut HeaderMap, seconds: u64) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        headers.remove("retry-after-ms");
        if self.waits {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
        }
    }
}

/// What one try came to.
enum Sent {
    /// An answer to pass on.
    Good(Response<Outgoing>),
    /// An error, read whole.
    Bad(Refused),
    /// No answer, and what to say if no other comes.
    Failed(Failure, Why),
}

/// An error as it came, and the response that it would be.
struct Refused {
    response: Response<Outgoing>,
    headers: HeaderMap,
    read: Bytes,
}

async fn pause(least_ms: u64, most_ms: u64) {
    if most_ms == 0 {
        return;
    }
    // Spread by the clock's smallest digits: many clients are not to come back together.
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::from(d.subsec_nanos()));
    let span = most_ms.saturating_sub(least_ms) + 1;
    tokio::time::sleep(Duration::from_millis(least_ms + nanos / 1000 % span)).await;
}
