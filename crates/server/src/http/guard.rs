//! The middleware before every route, known or not: refuses what a peer may not do (I17).

use axum::RequestExt as _;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use longhaul_core::ids::TaskId;
use longhaul_core::queue::Stage;
use longhaul_core::task::StateWord;

use super::app::App;
use super::authority::{PeerAuthority, Permit, RefusedCall, permit};
use super::problem::{ApiError, refused};

/// Who asks, put into every request of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) who: PeerAuthority,
    pub(crate) pid: Option<i32>,
}

/// The task that the guard found a session's text to mean. The route uses it as it is: asking a
/// second time could find another task of the same name.
#[derive(Clone, Copy, Debug)]
struct Resolved(TaskId);

pub(crate) async fn guard(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // Without a caller nobody vouches for the connection.
    let caller = request.extensions().get::<Caller>().copied();
    let caller = caller.unwrap_or(Caller {
        who: PeerAuthority::Unknown,
        pid: None,
    });
    let who = match caller.who {
        PeerAuthority::Unknown if !app.anything_lives().await => PeerAuthority::Person,
        who => who,
    };
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|m| m.as_str().to_owned());
    let text = match request.extract_parts::<RawPathParams>().await {
        Ok(params) => reference(route.as_deref(), &params),
        Err(_) => None,
    };
    let allowed = match permit(who, request.method(), route.as_deref(), text.as_deref()) {
        Permit::Yes => true,
        Permit::No => false,
        Permit::IfOwn { text, task } => {
            let own = app.view(Vec::new(), move |v| v.resolve(&text)).await.ok() == Some(task);
            if own {
                request.extensions_mut().insert(Resolved(task));
            }
            own
        }
    };
    if !allowed {
        (app.on_refused)(&RefusedCall {
            by: who,
            pid: caller.pid,
            method: request.method().to_string(),
            path: request.uri().path().chars().take(200).collect(),
        });
        return Err(refused(who));
    }
    Ok(next.run(request).await)
}

/// The route of orders, which is also the path of a task of this name.
pub(crate) const ORDERS: &str = "/v1/tasks/orders";

/// What a path calls its task.
fn reference(route: Option<&str>, params: &RawPathParams) -> Option<String> {
    if route == Some(ORDERS) {
        return Some("orders".to_owned());
    }
    params
        .iter()
        .find(|(name, _)| *name == "ref")
        .map(|(_, value)| value.to_owned())
}

/// The task that a path means by its `{ref}`: an id, the beginning of one, or a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target(pub(crate) TaskId);

impl FromRequestParts<App> for Target {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if let Some(Resolved(id)) = parts.extensions.get::<Resolved>() {
            return Ok(Self(*id));
        }
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| ApiError::invalid("bad_path", "the path is not valid UTF-8"))?;
        let route = parts
            .extensions
            .get::<MatchedPath>()
            .map(MatchedPath::as_str);
        let text = reference(route, &params)
            .ok_or_else(|| ApiError::invalid("bad_path", "the path names no task"))?;
        app.view(Vec::new(), move |v| v.resolve(&text))
            .await
            .map(Self)
    }
}

impl App {
    /// True while anything of a task lives; also when nobody can say (I6).
    async fn anything_lives(&self) -> bool {
        let lives = self.read(|reader| {
            let counts = reader.counts()?;
            let task = StateWord::ALL
                .iter()
                .any(|w| w.is_active() && counts.of(*w) > 0);
            // A check of the merge queue lives, too.
            Ok(task || reader.lines()?.iter().any(|l| l.stage != Stage::Rest))
        });
        lives.await.unwrap_or(true)
    }
}
