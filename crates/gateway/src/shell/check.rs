//! Checks: the cheapest call of the gateway's own that carries an account's limits, for accounts that no traffic
//! tells about (A10). Never of one that rests (I15).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Uri};
use longhaul_core::ids::Fence;
use longhaul_core::time::UnixMs;
use serde_json::{Value, json};

use super::body::read_error;
use super::shared::{Asking, Flight, Shared, now};
use crate::api::{AccountSpec, AccountView, CheckOutcome, CheckView, Provider};
use crate::request;
use crate::routing::{Attempt, Failure, Target};

/// How long a check may take: whoever asks for it waits.
const CHECK_TIME: Duration = Duration::from_secs(8);
/// Most of an answer that is read.
const ANSWER_MAX: usize = 64 << 10;
/// How often it is looked which accounts are due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Checks an account, unless its traffic told of its windows within `older_than_ms`. `None`: there is none of this
/// name.
pub(super) async fn check(
    shared: &Arc<Shared>,
    account: &str,
    older_than_ms: u64,
) -> Option<CheckView> {
    let view = || view(shared, account);
    let told = view()?.windows.iter().map(|w| w.seen_at).max();
    let outcome = if told.is_some_and(|at| now().since(at).0 < older_than_ms) {
        CheckOutcome::Fresh
    } else {
        match shared.route(|router, now| router.check(now, account)) {
            None => CheckOutcome::Out,
            Some((account, target)) => ask(shared, &account, target).await,
        }
    };
    Some(CheckView {
        account: view()?,
        outcome,
    })
}

fn view(shared: &Shared, account: &str) -> Option<AccountView> {
    shared.route(|router, now| {
        let mut all = router.accounts().iter();
        all.find(|a| a.spec.id == account).map(|a| a.view(now))
    })
}

async fn ask(shared: &Arc<Shared>, account: &AccountSpec, target: Target) -> CheckOutcome {
    let (provider, model) = (account.provider, account.check_model());
    let (path, body) = question(provider, model);
    let asking = Arc::new(Asking {
        session: "check".to_owned(),
        provider,
        task: None,
        fence: Fence(0),
        model: Some(model.to_owned()),
        conversation: None,
        movable: false,
        repeatable: true,
    });
    let mut flight = Flight::new(
        Arc::clone(shared),
        Arc::clone(&asking),
        target.account.clone(),
    );
    let Some(request) = request(provider, &target, &path, &body) else {
        return CheckOutcome::Silent;
    };
    let answered = tokio::time::timeout(CHECK_TIME, shared.upstream.send(request)).await;
    let Ok(Ok(response)) = answered else {
        flight.landed();
        shared.route(|router, now| {
            let mut attempt = Attempt::default();
            let account = &target.account;
            router.failed(now, &asking.ask(), &mut attempt, account, Failure::Connect)
        });
        return CheckOutcome::Silent;
    };
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    if status < 400 {
        shared.route(|router, now| {
            let attempt = Attempt::default();
            router.accepted(now, &asking.ask(), &attempt, &target.account, &head.headers);
        });
        // Read, so that the connection can be used again; what it says is of no interest.
        let rest = Limited::new(body, ANSWER_MAX).collect();
        drop(tokio::time::timeout(CHECK_TIME, rest).await);
        flight.ended(None);
    } else {
        let (read, _) = read_error(&mut body).await;
        flight.landed();
        shared.route(|router, now| {
            let mut attempt = Attempt::default();
            let answer = (status, &head.headers, &*read);
            router.refused(now, &asking.ask(), &mut attempt, &target.account, answer)
        });
    }
    CheckOutcome::Asked { status }
}

/// The path and the body of the cheapest question whose answer carries limits. Lists of models carry none at OpenAI
/// (facts/limits.md §1).
fn question(provider: Provider, model: &str) -> (String, Value) {
    match provider {
        Provider::Anthropic => (
            "/v1/messages".to_owned(),
            json!({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "."}]}),
        ),
        Provider::Openai => (
            "/v1/responses".to_owned(),
            json!({"model": model, "max_output_tokens": 16, "store": false, "input": "."}),
        ),
        Provider::Gemini => (
            format!("/v1beta/models/{model}:generateContent"),
            json!({"contents": [{"role": "user", "parts": [{"text": "."}]}],
                "generationConfig": {"maxOutputTokens": 1}}),
        ),
    }
}

fn request(
    provider: Provider,
    target: &Target,
    path: &str,
    body: &Value,
) -> Option<Request<Full<Bytes>>> {
    let base = target.base_url.as_deref();
    let uri = request::upstream(provider, base, &path.parse::<Uri>().ok()?)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if provider == Provider::Anthropic {
        let version = HeaderName::from_static("anthropic-version");
        headers.insert(version, HeaderValue::from_static("2023-06-01"));
    }
    let headers = request::forwarded(provider, true, &headers, &target.key)?;
    let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some(request)
}

/// Checks idle accounts, one after the other, as often as the policy says; without end.
pub(super) async fn check_idle(shared: Arc<Shared>) {
    let mut asked: std::collections::BTreeMap<String, UnixMs> = Default::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (every, ids) = shared.route(|router, _| {
            let ids = router.accounts().iter().map(|a| a.spec.id.clone());
            (router.check_every_ms(), ids.collect::<Vec<_>>())
        });
        if every == 0 {
            continue;
        }
        asked.retain(|id, _| ids.contains(id));
        for id in ids {
            if asked.get(&id).is_none_or(|at| now().since(*at).0 >= every) {
                asked.insert(id.clone(), now());
                check(&shared, &id, every).await;
            }
        }
    }
}
