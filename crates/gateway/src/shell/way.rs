//! The way out: straight to a provider, or through the proxy of a company that the environment names. Only what is
//! encrypted end to end goes through it, so that it sees no key (I12); loopback never does.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

/// What the environment says about the way to providers. Shows no value: a proxy's address can hold a password.
#[derive(Clone, Default)]
pub struct WayOut {
    proxy: String,
    no_proxy: String,
}

impl WayOut {
    /// `HTTPS_PROXY`, else `ALL_PROXY`, and `NO_PROXY`; in small letters, too. Empty ones count as unset.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&str; 2]| {
            let set = names.into_iter().filter_map(&variable);
            set.map(|value| value.trim().to_owned())
                .find(|value| !value.is_empty())
        };
        let proxy = first(["HTTPS_PROXY", "https_proxy"]);
        Self {
            proxy: proxy
                .or_else(|| first(["ALL_PROXY", "all_proxy"]))
                .unwrap_or_default(),
            no_proxy: first(["NO_PROXY", "no_proxy"]).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for WayOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WayOut")
            .field("proxy", &!self.proxy.is_empty())
            .finish_non_exhaustive()
    }
}

/// Where a connection is made to.
#[derive(Debug)]
enum Route {
    Straight,
    Through(Intercept),
    /// The environment names a proxy that cannot be used. Going past it might be forbidden, or a leak.
    Nowhere,
}

/// What the proxy did.
#[derive(Debug)]
pub(super) enum ProxyFailed {
    /// Its address is none that can be used.
    Address,
    /// It wants a name and a password, or others.
    Unknown(Box<dyn Error + Send + Sync>),
    /// It cannot be reached, or does not let through.
    Refused(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for ProxyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "HTTPS_PROXY is no http:// address",
            Self::Unknown(_) => "the proxy wants to know who asks",
            Self::Refused(_) => "the proxy does not let through",
        })
    }
}

impl Error for ProxyFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Address => None,
            Self::Unknown(error) | Self::Refused(error) => Some(&**error),
        }
    }
}

/// Makes connections, straight or through the proxy.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    proxy: Option<Arc<Proxy>>,
}

struct Proxy {
    /// Which places are reached without it.
    matcher: Matcher,
    /// It is an address of a kind that can be used.
    usable: bool,
}

impl Proxy {
    fn new(way: &WayOut) -> Self {
        let anywhere = Uri::from_static("https://longhaul.invalid");
        let named = |proxy: &str, no: &str| Matcher::builder().https(proxy).no(no).build();
        let found = named(&way.proxy, "").intercept(&anywhere);
        let usable = found.is_some_and(|proxy| proxy.uri().scheme_str() == Some("http"));
        // One that cannot be used is still meant for the same places.
        let address = if usable {
            &way.proxy
        } else {
            "http://longhaul.invalid"
        };
        Self {
            matcher: named(address, &way.no_proxy),
            usable,
        }
    }
}

impl Connector {
    pub(super) fn new(tcp: HttpConnector, way: &WayOut) -> Self {
        let proxy = (!way.proxy.is_empty()).then(|| Arc::new(Proxy::new(way)));
        Self { tcp, proxy }
    }

    fn route(&self, to: &Uri) -> Route {
        let Some(proxy) = &self.proxy else {
            return Route::Straight;
        };
        if to.scheme_str() != Some("https") || to.host().is_none_or(is_loopback) {
            return Route::Straight;
        }
        match proxy.matcher.intercept(to) {
            None => Route::Straight,
            Some(through) if proxy.usable => Route::Through(through),
            Some(_) => Route::Nowhere,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

type Failed = Box<dyn Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Failed>> + Send>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Failed;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self.route(&to) {
            Route::Straight => {
                let connecting = self.tcp.call(to);
                Box::pin(async move { Ok(connecting.await?) })
            }
            Route::Nowhere => Box::pin(std::future::ready(Err(ProxyFailed::Address.into()))),
            Route::Through(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                let connecting = tunnel.call(to);
                Box::pin(async move {
                    connecting.await.map_err(|error| {
                        // The library tells the two apart in words only.
                        let unknown = error.to_string().contains("authorization required");
                        let of = match unknown {
                            true => ProxyFailed::Unknown,
                            false => ProxyFailed::Refused,
                        };
                        of(error.into()).into()
                    })
                })
            }
        }
    }
}

/// Bounds all of a connection's making together: the proxy and the encryption can be silent, too.
#[derive(Clone)]
pub(super) struct Timed<C> {
    inner: C,
    time: Duration,
}

impl<C> Timed<C> {
    pub(super) fn new(inner: C, time: Duration) -> Self {
        Self { inner, time }
    }
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Error: Into<Failed>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = Failed;
    type Future = Connecting<C::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.inner.call(to);
        let time = self.time;
        Box::pin(async move {
            let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
            let made = tokio::time::timeout(time, connecting).await;
            made.map_err(|_| late())?.map_err(Into::into)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(variables: &[(&str, &str)], to: &str) -> String {
        let find = |name: &str| {
            let mut all = variables.iter();
            all.find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        };
        let connector = Connector::new(HttpConnector::new(), &WayOut::of(find));
        match connector.route(&to.parse().unwrap()) {
            Route::Straight => "straight".to_owned(),
            Route::Nowhere => "nowhere".to_owned(),
            Route::Through(proxy) => {
                let who = proxy.basic_auth().map_or("", |_| " with a password");
                format!("{}{who}", proxy.uri())
            }
        }
    }

    #[test]
    fn a8_a_proxy_is_used_as_the_environment_says() {
        const PROVIDER: &str = "https://api.anthropic.com/v1/messages";
        let proxy = ("HTTPS_PROXY", "http://proxy.corp:3128");
        assert_eq!(route(&[], PROVIDER), "straight");
        assert_eq!(route(&[proxy], PROVIDER), "http://proxy.corp:3128/");
        let small = [("https_proxy", "proxy.corp:3128"), ("HTTPS_PROXY", " ")];
        assert_eq!(route(&small, PROVIDER), "http://proxy.corp:3128/");
        let known = [("ALL_PROXY", "http://me:p%40ss@proxy.corp:3128")];
        assert_eq!(
            route(&known, PROVIDER),
            "http://proxy.corp:3128/ with a password"
        );
        for no in [
            "anthropic.com",
            ".anthropic.com",
            "x, api.anthropic.com",
            "*",
        ] {
            assert_eq!(
                route(&[proxy, ("NO_PROXY", no)], PROVIDER),
                "straight",
                "{no}"
            );
        }
        let others = [proxy, ("NO_PROXY", "thropic.com,10.0.0.0/8")];
        assert_eq!(route(&others, PROVIDER), "http://proxy.corp:3128/");
        assert_eq!(route(&others, "https://10.1.2.3"), "straight");
        // What is not encrypted would show the key to the proxy, and loopback is here.
        for here in [
            "http://models.lan",
            "https://localhost:8443",
            "https://127.0.0.9",
            "https://[::1]:9",
        ] {
            assert_eq!(route(&[proxy], here), "straight", "{here}");
        }
        for wrong in [
            "socks5://proxy.corp:1080",
            "https://proxy.corp",
            "ftp://x",
            "a b",
        ] {
            assert_eq!(
                route(&[("HTTPS_PROXY", wrong)], PROVIDER),
                "nowhere",
                "{wrong}"
            );
        }
        let shown = format!("{:?}", WayOut::of(|_| Some("http://me:secret@p".into())));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
