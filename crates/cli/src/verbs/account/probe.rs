//! `longhaul account test`: the provider's list of models, which takes the key and costs no tokens.

use std::time::Duration;

use longhaul_api::{API_VERSION, ExitCode};
use longhaul_core::account::Provider;
use serde_json::json;

use super::{homes, known};
use crate::accounts::{Account, named};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::outbound;
use crate::output::palette;
use crate::output::text::clean;

/// How long an answer may take.
const TIME: Duration = Duration::from_secs(20);

/// What a provider says of a key.
struct Finding {
    word: &'static str,
    detail: String,
}

pub(super) fn test(context: &Context, name: Option<&str>) -> Outcome {
    context.person_only()?;
    let p = &context.printer;
    let all = known(context)?;
    let mut homes = homes::known(context)?.homes;
    homes.retain(|h| name.map_or(h.enabled, |name| h.name == name));
    let wanted: Vec<&Account> = match name {
        Some(_) if !homes.is_empty() => Vec::new(),
        Some(name) => vec![named(&all, name)?],
        None => all
            .iter()
            .filter(|a| a.enabled && a.same_as.is_none())
            .collect(),
    };
    if wanted.is_empty() && homes.is_empty() {
        return Err(
            Failure::of(ExitCode::NotFound, "there is no account to test")
                .help("`longhaul account add` writes one down"),
        );
    }
    let mut rows = Vec::new();
    let mut sound = true;
    let keys = wanted.into_iter().map(|account| {
        let kind = ("provider", account.provider.as_str().to_owned());
        (account.name.clone(), kind, ask(account))
    });
    let homes = homes.iter().map(|account| {
        let (word, detail) = homes::test(account, &context.env);
        let kind = ("harness", account.harness.clone());
        (account.name.clone(), kind, Finding { word, detail })
    });
    for (name, (kind, of), finding) in keys.chain(homes) {
        sound &= matches!(finding.word, "works" | "limited" | "there");
        if context.json {
            rows.push(
                json!({ "name": name, kind: of, "result": finding.word, "detail": finding.detail }),
            );
            continue;
        }
        let style = match finding.word {
            "works" | "there" => palette::GOOD,
            "limited" => palette::WARN,
            _ => palette::BAD,
        };
        p.line(&format!(
            "{:<20} {} {}",
            clean(&name),
            p.paint(style, finding.word),
            clean(&finding.detail)
        ))?;
    }
    if context.json {
        p.json(&json!({ "longhaul": API_VERSION, "kind": "account_tests", "data": { "accounts": rows } }))?;
    }
    Ok(if sound {
        ExitCode::Done
    } else {
        ExitCode::Error
    })
}

fn ask(account: &Account) -> Finding {
    let finding = |word, detail: String| Finding { word, detail };
    let key = match &account.key {
        Ok(key) => key,
        Err(why) => return finding("no key", why.clone()),
    };
    let own = account.provider.base_url();
    let base = account
        .base_url
        .as_deref()
        .unwrap_or(own)
        .trim_end_matches('/');
    // A base URL of OpenAI's kind often ends in its version already.
    let path = match account.provider {
        Provider::Openai if base.ends_with("/v1") => "/models",
        Provider::Anthropic | Provider::Openai => "/v1/models",
        Provider::Gemini => "/v1beta/models",
    };
    let url = format!("{base}{path}");
    let agent = outbound::agent(&url, TIME);
    let request = agent.get(&url);
    let request = match account.provider {
        Provider::Anthropic => request
            .header("x-api-key", key.expose())
            .header("anthropic-version", "2023-06-01"),
        Provider::Openai => request.header("authorization", format!("Bearer {}", key.expose())),
        Provider::Gemini => request.header("x-goog-api-key", key.expose()),
    };
    match request.call() {
        Err(error) => finding(
            "unreachable",
            error.to_string().replace(key.expose(), "[key]"),
        ),
        Ok(response) => match response.status().as_u16() {
            200..=299 => finding("works", format!("{base} took the key")),
            400 if account.provider == Provider::Gemini => finding(
                "refused",
                "the provider does not take the key (status 400)".to_owned(),
            ),
            status @ (401 | 403) => finding(
                "refused",
                format!("the provider does not take the key (status {status})"),
            ),
            402 => finding(
                "no credit",
                "the provider wants to be paid first (status 402)".to_owned(),
            ),
            429 => finding(
                "limited",
                "the key is good and at a limit now (status 429)".to_owned(),
            ),
            status => finding(
                "unclear",
                format!("the provider answered with status {status}"),
            ),
        },
    }
}
