//! The way to the providers: a pooled client for HTTP/1.1 and 2 over TLS, or plain HTTP to a place that an account
//! names. Retries nothing by itself but what was never sent.

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
use crate::routing::Failure;

/// Why there is no head of an answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The connection failed.
    Failed(Failure),
    /// Nothing came in time.
    Silent,
}

pub(super) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    head: Duration,
}

impl Upstream {
    /// With the certificates of the system.
    ///
    /// # Errors
    /// The system has none.
    pub(super) fn new(times: &Times) -> std::io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(times.connect));
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let https = HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
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
        match tokio::time::timeout(self.head, self.client.request(request)).await {
            Err(_) => Err(Unanswered::Silent),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let failure = if error.is_connect() {
                    Failure::Connect
                } else {
                    Failure::Sent
                };
                // Its texts name the place and the cause, no header.
                tracing::debug!(%error, ?failure, "no answer");
                Err(Unanswered::Failed(failure))
            }
        }
    }
}
