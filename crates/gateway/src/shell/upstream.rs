//! The way to the providers: a pooled client for HTTP/1.1 and 2 over TLS, or plain HTTP to a place that an account
//! names. Retries nothing by itself but what was never sent.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::shared::Times;
use super::way::{Connector, ProxyFailed, Timed, WayOut};
use crate::refuse::Unreached;
use crate::routing::Failure;

/// Why there is no head of an answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The connection failed.
    Failed(Failure, Unreached),
    /// Nothing came in time.
    Silent,
}

pub(super) struct Upstream {
    client: Client<Timed<HttpsConnector<Connector>>, Full<Bytes>>,
    head: Duration,
}

impl Upstream {
    /// With the certificates of the system, by the way that the environment names.
    ///
    /// # Errors
    /// The system has none.
    pub(super) fn new(times: &Times, way: &WayOut) -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(times.connect));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let https = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Connector::new(tcp, way));
        // Three steps at most: to the proxy, through it, and the encryption.
        let https = Timed::new(https, times.connect * 2);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(128)
            .timer(TokioTimer::new())
            .http1_max_buf_size(super::BUFFER_BYTES)
            // A connection whose other end is gone is found out.
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(20))
            .http2_adaptive_window(true)
            .build(https);
        Ok(Self {
            client,
            head: times.head,
        })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        match tokio::time::timeout(self.head, self.client.request(request)).await {
            Err(_) => Err(Unanswered::Silent),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let failure = if error.is_connect() {
                    Failure::Connect
                } else {
                    Failure::Sent
                };
                let cause = cause(&error);
                // Its texts name the place and the cause, no header.
                tracing::warn!(host, cause = %told(&error), "no answer of a provider");
                Err(Unanswered::Failed(failure, cause))
            }
        }
    }
}

/// The error and what is behind it.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| behind(*error))
}

fn behind<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    // The cause of an error of the system is the one that it holds, which it does not give as its cause.
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(held) => Some(held as &(dyn Error + 'static)),
        None => error.source(),
    }
}

fn told(error: &(dyn Error + 'static)) -> String {
    let words: Vec<_> = chain(error).map(ToString::to_string).collect();
    words.join(": ")
}

fn cause(error: &(dyn Error + 'static)) -> Unreached {
    for error in chain(error) {
        if let Some(proxy) = error.downcast_ref::<ProxyFailed>() {
            return match proxy {
                ProxyFailed::Address => Unreached::ProxyAddress,
                ProxyFailed::Unknown(_) => Unreached::ProxyUnknown,
                ProxyFailed::Refused(_) => Unreached::Proxy,
            };
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidCertificate(_) => Unreached::Certificate,
                _ => Unreached::Encryption,
            };
        }
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::TimedOut
        {
            return Unreached::Late;
        }
        if error.to_string().starts_with("dns error") {
            return Unreached::Name;
        }
    }
    Unreached::Other
}
