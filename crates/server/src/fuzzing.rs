//! The routes of the daemon without a socket, for the fuzz targets. Built only with the feature
//! `fuzzing`.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use crate::http::app::App;
use crate::http::authority::PeerAuthority;
use crate::http::guard::Caller;
use crate::http::serve::ServerDeps;
use crate::routes::router;

/// Every route, behind the guard.
#[derive(Clone)]
pub struct Api(Router);

impl Api {
    /// The routes over these parts.
    #[must_use]
    pub fn new(deps: &ServerDeps) -> Self {
        Self(router(App::new(deps)))
    }

    /// Answers a request of this peer.
    pub async fn call(&self, mut request: Request<Body>, who: PeerAuthority) -> Response {
        request.extensions_mut().insert(Caller { who, pid: None });
        match TowerToHyperService::new(self.0.clone()).call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
