//! Requests of our own to providers and judges: the certificates of the system, a company's proxy where the environment
//! names one, no redirects. A key goes to the address that the user wrote, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// An agent for one address. A status of an error is an answer.
pub(crate) fn agent(url: &str, time: Duration) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_global(Some(time))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(TlsConfig::builder().root_certs(roots()).build());
    // What is not encrypted would show the key to the proxy, and loopback is here. As the gateway does it.
    if !url.starts_with("https://") || is_loopback(url) {
        config = config.proxy(None);
    }
    config.build().into()
}

fn is_loopback(url: &str) -> bool {
    let parsed: Option<hyper::Uri> = url.parse().ok();
    let host = parsed.as_ref().and_then(|url| url.host());
    host.is_none_or(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let ip = host.parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

/// The roots of the system, so that a company's own are known; those that were built in where it has none.
fn roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates of the system cannot be read");
    }
    if found.certs.is_empty() {
        return RootCerts::WebPki;
    }
    let certs = found.certs.iter();
    let certs: Vec<_> = certs
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    RootCerts::Specific(Arc::new(certs))
}
