//! What the gateway reads of a client's request, and how the request goes on: which language, which model, whose
//! conversation, which headers. Without IO; the body is never changed.

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{HeaderMap, Method, Uri};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::api::{Key, Provider};
use crate::meter::Dialect;
use crate::outermost::outermost;
use crate::routing::Conversation;

/// Headers that belong to one connection, or to the way from the client to us.
const NOT_FORWARDED: [&str; 13] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
    "cookie",
    "expect",
];
/// Headers in which clients show their key: here, our token.
const KEYS: [&str; 4] = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];

/// The language of a path; `None` for all others, which are passed through unmetered.
#[must_use]
pub(crate) fn dialect(provider: Provider, method: &Method, path: &str) -> Option<Dialect> {
    if method != Method::POST {
        return None;
    }
    match provider {
        Provider::Anthropic if path.ends_with("/messages") => Some(Dialect::Messages),
        Provider::Openai if path.ends_with("/responses") => Some(Dialect::Responses),
        Provider::Openai if path.ends_with("/chat/completions") => Some(Dialect::Chat),
        Provider::Gemini
            if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") =>
        {
            Some(Dialect::Generate)
        }
        _ => None,
    }
}

/// What the body says, as far as it is needed.
#[derive(Debug, Default)]
struct Peek {
    model: Option<String>,
    metadata: Option<Value>,
    store: Option<bool>,
    /// It names something that one account keeps.
    bound: bool,
}

/// Longest piece of a body that is taken apart.
const PIECE_MAX: usize = 64 << 10;

impl Peek {
    fn at(body: &[u8]) -> Self {
        let names = [
            "model",
            "metadata",
            "store",
            "previous_response_id",
            "container",
            "conversation",
        ];
        let Some([model, metadata, store, kept @ ..]) = outermost(body, names) else {
            return Self::default();
        };
        Self {
            model: read(model),
            metadata: read(metadata),
            store: read(store),
            bound: kept.into_iter().flatten().any(|value| value != b"null"),
        }
    }
}

fn read<T: DeserializeOwned>(value: Option<&[u8]>) -> Option<T> {
    let value = value.filter(|value| value.len() <= PIECE_MAX)?;
    serde_json::from_slice(value).ok()
}

/// What was read of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The model.
    pub(crate) model: Option<String>,
    /// The conversation, by the client's own ids (facts/limits.md §2).
    pub(crate) conversation: Option<Conversation>,
    /// It goes on from something that one account keeps, so it cannot go to another.
    pub(crate) bound: bool,
    /// It changes nothing at the provider: it may be sent twice.
    pub(crate) repeatable: bool,
}

/// Reads a request.
#[must_use]
pub(crate) fn facts(
    session: &str,
    dialect: Option<Dialect>,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Facts {
    let Some(dialect) = dialect else {
        return Facts::default();
    };
    let peek = Peek::at(body);
    let model = match dialect {
        Dialect::Generate => model_in(path),
        Dialect::Messages | Dialect::Responses | Dialect::Chat => peek.model,
    };
    Facts {
        model: model.filter(|name| !name.is_empty() && name.len() <= 200),
        conversation: Some(conversation(session, headers, peek.metadata.as_ref())),
        bound: peek.bound,
        repeatable: match dialect {
            Dialect::Messages | Dialect::Generate => true,
            // Responses are kept by default, chats are not.
            Dialect::Responses => peek.store == Some(false),
            Dialect::Chat => peek.store != Some(true),
        },
    }
}

/// `…/models/NAME:generateContent`.
fn model_in(path: &str) -> Option<String> {
    let (head, _) = path.rsplit_once(':')?;
    head.rsplit('/').next().map(str::to_owned)
}

/// The session's, and the client's ids of its conversation and of the agent within it: a fan-out of agents spreads.
fn conversation(session: &str, headers: &HeaderMap, metadata: Option<&Value>) -> Conversation {
    let mut hash = Sha256::new();
    hash.update(session.as_bytes());
    let mut named = false;
    for name in [
        "x-claude-code-session-id",
        "x-claude-code-agent-id",
        "session-id",
        "session_id",
        "thread-id",
        "conversation_id",
        "x-session-affinity",
        "x-session-id",
    ] {
        if let Some(value) = headers.get(name) {
            hash.update([0]);
            hash.update(name.as_bytes());
            hash.update([1]);
            hash.update(value.as_bytes());
            named = true;
        }
    }
    if !named && let Some(id) = metadata.and_then(user_session) {
        hash.update([2]);
        hash.update(id.as_bytes());
    }
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    Conversation(u64::from_be_bytes(first))
}

/// `metadata.user_id`: an object or a text that holds `session_id`, else the text itself.
fn user_session(metadata: &Value) -> Option<String> {
    let user = metadata.get("user_id")?;
    let id = |value: &Value| value.get("session_id")?.as_str().map(str::to_owned);
    match user {
        Value::String(text) => serde_json::from_str(text)
            .ok()
            .and_then(|value| id(&value))
            .or_else(|| Some(text.clone())),
        other => id(other),
    }
}

/// The tokens that a request shows, wherever clients put a key.
#[must_use]
pub(crate) fn presented(headers: &HeaderMap, query: Option<&str>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for name in KEYS {
        for value in headers.get_all(name) {
            let value = value.as_bytes();
            let value = value
                .split_at_checked(7)
                .filter(|(head, _)| head.eq_ignore_ascii_case(b"bearer "))
                .map_or(value, |(_, rest)| rest);
            found.push(value.trim_ascii().to_vec());
        }
    }
    let pairs = query.unwrap_or_default().split('&');
    for key in pairs.filter_map(|pair| pair.strip_prefix("key=")) {
        found.push(key.as_bytes().to_vec());
    }
    // Nobody has more than a few.
    found.truncate(8);
    found
}

/// Whether the request is meant for us: exactly one host, and it is loopback at our port (against names that
/// resolve here, A13).
#[must_use]
pub(crate) fn is_ours(uri: &Uri, headers: &HeaderMap, port: u16) -> bool {
    let ours = |authority: &str| {
        let Some((host, at)) = authority.rsplit_once(':') else {
            return false;
        };
        at.parse() == Ok(port) && matches!(host, "127.0.0.1" | "localhost" | "[::1]")
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return false;
    }
    let named = first.map(|host| host.to_str().is_ok_and(ours));
    match (uri.authority(), named) {
        // HTTP/2 has the authority in the request's target, and may have no Host.
        (Some(target), None) => ours(target.as_str()),
        (Some(target), Some(named)) => named && ours(target.as_str()),
        (None, Some(named)) => named,
        (None, None) => false,
    }
}

/// The headers that go on: without those of the connection, without any key but the account's.
#[must_use]
pub(crate) fn forwarded(
    provider: Provider,
    metered: bool,
    headers: &HeaderMap,
    key: &Key,
) -> Option<HeaderMap> {
    let mut out = without_hops(headers);
    for name in KEYS {
        out.remove(name);
    }
    if metered {
        // Compressed answers could not be counted; on loopback nothing is gained by them.
        out.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
    }
    let bearer = |key: &Key| HeaderValue::try_from(format!("Bearer {}", key.expose()));
    let (name, value) = match provider {
        Provider::Anthropic => (
            HeaderName::from_static("x-api-key"),
            HeaderValue::from_str(key.expose()),
        ),
        Provider::Gemini => (
            HeaderName::from_static("x-goog-api-key"),
            HeaderValue::from_str(key.expose()),
        ),
        Provider::Openai => (header::AUTHORIZATION, Ok(bearer(key).ok()?)),
    };
    let mut value = value.ok()?;
    value.set_sensitive(true);
    out.insert(name, value);
    Some(out)
}

/// Headers without those that belong to one connection, named ones and those that `connection` names.
#[must_use]
pub(crate) fn without_hops(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let hop =
            NOT_FORWARDED.contains(&name.as_str()) || named.iter().any(|n| n == name.as_str());
        if !hop {
            out.append(name, value.clone());
        }
    }
    out
}

/// Where a request goes: the account's place, then the client's own path and query without a key in it.
#[must_use]
pub(crate) fn upstream(provider: Provider, base_url: Option<&str>, uri: &Uri) -> Option<Uri> {
    let base: Uri = base_url.unwrap_or(provider.base_url()).parse().ok()?;
    let scheme: Scheme = base.scheme().cloned()?;
    let authority: Authority = base.authority().cloned()?;
    let front = base.path().trim_end_matches('/');
    let mut target = format!("{front}{}", uri.path());
    let kept: Vec<&str> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("key="))
        .collect();
    if !kept.is_empty() {
        target.push('?');
        target.push_str(&kept.join("&"));
    }
    let target: PathAndQuery = target.parse().ok()?;
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(target)
        .build()
        .ok()
}
